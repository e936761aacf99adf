// The one table of errors: code, exit code, and the next step to show when the thrower knows no better one.

/** Exit codes are an interface: scripts act on them. A code that is not in this table is to be read as failure. */
export const EXIT = {
  done: 0,
  unexpected: 1,
  usage: 2,
  partial: 3,
  refused: 4,
  locked: 5,
  problems: 6,
  unreachable: 10,
  denied: 11,
  source: 12,
  refusesWrites: 13,
  sigint: 130,
  sigterm: 143,
} as const

export type ExitCode = (typeof EXIT)[keyof typeof EXIT]

/** What each exit code means; the README's table is held to it by a test. */
export const EXIT_MEANINGS: Readonly<Record<ExitCode, string>> = {
  0: 'done',
  1: 'unexpected error: a bug in cachectl, please report it',
  2: 'usage or configuration: nothing was done',
  3: 'partial or incomplete: the report says what is missing',
  4: 'refused by a safeguard, or answered no',
  5: 'another run holds the lock',
  6: 'a check found problems',
  10: 'Redis unreachable',
  11: 'authentication, ACL or TLS',
  12: 'a source (database, function, file) failed',
  13: 'the server refuses writes (OOM, MISCONF, READONLY)',
  130: 'interrupted (SIGINT)',
  143: 'terminated (SIGTERM)',
}

/** When several outcomes apply, the first of these wins. */
const PRECEDENCE: readonly ExitCode[] = [130, 143, 1, 2, 11, 10, 13, 12, 5, 4, 3, 6, 0]

/** The exit code of a run in which all of `codes` happened. */
export function worstExit(codes: Iterable<ExitCode>): ExitCode {
  const present = new Set(codes)
  return PRECEDENCE.find((code) => present.has(code)) ?? EXIT.done
}

const ERRORS = {
  USAGE: { exit: EXIT.usage, hint: 'run `cachectl --help`' },
  CONFIG_INVALID: { exit: EXIT.usage, hint: 'mend the file, then run `cachectl config check`' },
  CONFIG_NOT_FOUND: {
    exit: EXIT.usage,
    hint: 'run `cachectl init`, or name the file with --config, or the server with --redis',
  },
  CONFIG_LOAD: { exit: EXIT.usage, hint: 'mend the file, or compile it to JavaScript and name that with --config' },
  REDIS_URL_UNSET: {
    exit: EXIT.usage,
    hint: 'set the variable that the config reads (cron does not read your shell profile), or name one: --redis redis://127.0.0.1:6379',
  },
  REDIS_URL_INVALID: {
    exit: EXIT.usage,
    hint: 'percent-encode special characters of the password (/ is %2F, # is %23, @ is %40)',
  },
  KEY_INVALID: { exit: EXIT.usage, hint: 'ids and names must be non-empty, well-formed text' },
  PATTERN_INVALID: { exit: EXIT.usage, hint: 'use at most 1,024 characters and 16 stars' },
  DEADLINE: { exit: EXIT.partial, hint: 'run it again with a longer --deadline; what is done is kept' },
  LOCKED: { exit: EXIT.locked, hint: 'wait for it, or use --if-locked wait' },
  REFUSED: { exit: EXIT.refused, hint: 'see the message' },
  REDIS_UNREACHABLE: { exit: EXIT.unreachable, hint: 'is Redis running there, and does the network let you in?' },
  REDIS_TIMEOUT: {
    exit: EXIT.unreachable,
    hint: 'the server is reachable but did not answer in time; look at its load with `redis-cli --latency`',
  },
  REDIS_AUTH: { exit: EXIT.denied, hint: 'check user and password in the URL' },
  REDIS_ACL: { exit: EXIT.denied, hint: 'give the user the right that the message names' },
  REDIS_TLS: {
    exit: EXIT.denied,
    hint: 'use rediss:// for a TLS port, redis:// for a plain one, and name a private CA with `tls: { ca }`',
  },
  REDIS_TOO_OLD: { exit: EXIT.usage, hint: 'docs/topologies.md says what works from which version on' },
  REDIS_REFUSES_WRITES: { exit: EXIT.refusesWrites, hint: 'free memory or mend the server, then run it again' },
  REDIS_PROTOCOL: { exit: EXIT.unexpected, hint: 'is this port a Redis server?' },
  REDIS_BINARY_MISSING: {
    exit: EXIT.unreachable,
    hint: 'install Redis (`apt-get install redis-server` or `brew install redis`), or set REDIS_URL to a server that runs',
  },
  REDIS_REPLY: {
    exit: EXIT.unexpected,
    hint: 'the server answered with an error that cachectl does not know; please report it',
  },
  LOADER_TIMEOUT: { exit: EXIT.source, hint: 'mend the source, or raise `timeout.hard`' },
  SOURCE_FAILED: { exit: EXIT.source, hint: 'mend the source, then run it again' },
  SOURCE_INVALID: { exit: EXIT.usage, hint: 'mend the source in the config' },
  OUTPUT_FAILED: { exit: EXIT.partial, hint: 'write the answer to a place that has room, and run it again' },
  INTERRUPTED: { exit: EXIT.sigint, hint: 'run the same command again; what is done is kept' },
  TERMINATED: { exit: EXIT.sigterm, hint: 'run the same command again; what is done is kept' },
  UNEXPECTED: {
    exit: EXIT.unexpected,
    hint: 'this is a bug in cachectl; please report it with the output of the same command and --verbose',
  },
} as const satisfies Record<string, { exit: ExitCode; hint: string }>

export type ErrorCode = keyof typeof ERRORS

/** An error that a person can act on. Anything else that is thrown is a bug of ours and is shown as one. */
export class CachectlError extends Error {
  override readonly name = 'CachectlError'
  readonly code: ErrorCode
  readonly hint: string
  readonly exitCode: ExitCode

  constructor(code: ErrorCode, message: string, options: { hint?: string | undefined; cause?: unknown } = {}) {
    super(message, options.cause === undefined ? undefined : { cause: options.cause })
    this.code = code
    this.hint = options.hint ?? ERRORS[code].hint
    this.exitCode = ERRORS[code].exit
  }
}

/** Whether Redis is away or refuses. Anything else is the caller's, whatever the state of Redis. */
export function isOfRedis(error: unknown): boolean {
  return error instanceof CachectlError && error.code.startsWith('REDIS_')
}

/** Anything that was thrown, as an error with a code. */
export function asCachectlError(thrown: unknown): CachectlError {
  if (thrown instanceof CachectlError) return thrown
  const message = thrown instanceof Error ? thrown.message : String(thrown)
  return new CachectlError('UNEXPECTED', message, { cause: thrown })
}
