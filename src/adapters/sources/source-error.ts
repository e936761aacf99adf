// How failures of a database, a function or a file are told: their own message, the next step, and never a password.
import { CachectlError } from '../../core/errors.ts'

/** The source is wrongly declared: exit code 2. */
export function sourceInvalid(message: string, hint?: string): CachectlError {
  return new CachectlError('SOURCE_INVALID', message, { hint })
}

const LOST = 'the connection was lost; run it again, what is done is kept'

/** By SQLSTATE or code of the operating system. https://www.postgresql.org/docs/current/errcodes-appendix.html */
const HINTS: readonly (readonly [RegExp, string])[] = [
  [
    /^(ECONNREFUSED|ENOTFOUND|EAI_AGAIN|EHOSTUNREACH|ENETUNREACH)$/,
    'is the database running there, and does the network let you in?',
  ],
  [/^(ECONNRESET|EPIPE|08\w{3}|57P0[12])$/, LOST],
  [/^57P03$/, 'the database is starting or stopping; run it again in a moment'],
  [/^28\w{3}$/, 'check user and password in the URL of the database'],
  [/^3D000$/, 'check the name of the database in its URL'],
  [
    /^42501$/,
    'give the role the right to read it: `grant select on … to …`, or name the readable columns with `columns`',
  ],
  [
    /^57014$/,
    'a statement timeout or a cancellation ended the query; an index on the columns it is ordered by, or a smaller --batch, makes it short',
  ],
  [/^53300$/, 'the database has no connection left; lower `max` of the pool'],
  [/^(ENOENT|EISDIR|ENOTDIR)$/, 'check the path; it is relative to the folder where the command runs'],
  [/^(EACCES|EPERM)$/, 'give the user who runs this the right to read it'],
]

/** The same for errors that have no code but a message that is known. */
const MESSAGE_HINTS: readonly (readonly [RegExp, string])[] = [
  [/password|SASL/i, 'check user and password in the URL of the database'],
  [/certificate|SSL/i, 'set `sslmode` in the URL of the database, or `ssl` of the client, to what the server offers'],
  [/timeout|timed out/i, 'the database did not answer in time; is it reachable and not overloaded?'],
  [/terminated|closed|ended|not queryable/i, LOST],
]

/** `scheme://user:password@` anywhere in a text; the password may hold any character but whitespace and quotes. */
const CREDENTIALS = /([a-z][a-z0-9+.-]*:\/\/[^\s:/@'"]*:)[^\s'"]*@/gi

function scrub(text: string, secrets: readonly string[]): string {
  let clean = text.replace(CREDENTIALS, '$1***@')
  for (const secret of secrets) if (secret !== '') clean = clean.replaceAll(secret, '***')
  return clean
}

function codeOf(thrown: unknown): string | null {
  const code = (thrown as { code?: unknown } | null)?.code
  return typeof code === 'string' ? code : null
}

/** A connection refused on each address of a name is an AggregateError, whose own message is empty. */
function messageOf(thrown: unknown): string {
  if (!(thrown instanceof Error)) return String(thrown)
  if (thrown.message === '' && thrown instanceof AggregateError) return thrown.errors.map(messageOf).join('; ')
  return thrown.message === '' ? thrown.name : thrown.message
}

/**
 * What was thrown while `doing` something (`reading table "city"`), as SOURCE_FAILED; an error that is already ours stays as it is.
 * Drivers hang the connection's settings on their errors, so the cause is a copy of message and stack only.
 */
export function sourceFailed(doing: string, thrown: unknown, secrets: readonly string[] = []): CachectlError {
  if (thrown instanceof CachectlError) return thrown
  const code = codeOf(thrown)
  const message = messageOf(thrown)
  const hint =
    HINTS.find(([pattern]) => code !== null && pattern.test(code))?.[1] ??
    MESSAGE_HINTS.find(([pattern]) => pattern.test(message))?.[1]
  const cause = new Error(scrub(message, secrets))
  if (thrown instanceof Error && thrown.stack !== undefined) cause.stack = scrub(thrown.stack, secrets)
  const told = code === null || message.includes(code) ? message : `${message} (${code})`
  return new CachectlError('SOURCE_FAILED', scrub(`${doing} failed: ${told}`, secrets), { hint, cause })
}
