// The first words on a connection: AUTH, name, database, and PING until the server has loaded its data.
import type { Socket } from 'node:net'
import { setTimeout as delay } from 'node:timers/promises'
import { describeReply } from '../../core/error-reply.ts'
import { CachectlError, EXIT } from '../../core/errors.ts'
import { describeError } from './errors.ts'
import { explainClosed, notRedis, tlsPort } from './explain-connection.ts'
import { ReplyLines } from './reply-lines.ts'
import type { RedisAddress } from './url.ts'

/** A connection that is being opened. */
export interface Attempt {
  socket: Socket
  address: RedisAddress
  endpoint: string
  /** its deadline, or somebody who wants it no more */
  signal: AbortSignal
}

const LOADING_POLL_MS = 100

/** All questions go in one write: one round trip. A server that is loading is asked again until the deadline. */
export async function greet(
  attempt: Attempt,
  options: { readOnly?: boolean; onNote?: (message: string) => void },
): Promise<void> {
  const { socket, address, signal } = attempt
  const lines = new ReplyLines(socket, signal)
  const steps = greeting(address, options.readOnly ?? false)
  const bytes = Buffer.concat(steps.map(({ command }) => encode(command)))
  let waiting = false
  try {
    for (;;) {
      socket.write(bytes)
      const refusal = await firstRefusal(attempt, steps, lines)
      if (refusal === null) return
      if (!refusal.passing) throw refusal.error
      if (!waiting) options.onNote?.(`${refusal.error.message}: waiting for it`)
      waiting = true
      await delay(LOADING_POLL_MS, undefined, { signal }).catch(() => {})
      if (signal.aborted) throw refusal.error
    }
  } finally {
    lines.release()
  }
}

interface Step {
  command: readonly string[]
  /** error replies that do not matter */
  mayRefuse: RegExp | null
}

function greeting(address: RedisAddress, readOnly: boolean): Step[] {
  const { username, password, database } = address
  const steps: Step[] = []
  if (password !== null) {
    const command = username === null ? ['AUTH', password] : ['AUTH', username, password]
    // A server that asks for no password may be given one, as with redis-cli.
    steps.push({ command, mayRefuse: /no password is set|without any password configured/ })
  }
  steps.push({ command: ['CLIENT', 'SETNAME', 'cachectl'], mayRefuse: /^-(NOPERM|ERR unknown)/ })
  if (database > 0) steps.push({ command: ['SELECT', String(database)], mayRefuse: null })
  if (readOnly) steps.push({ command: ['READONLY'], mayRefuse: /cluster support disabled/ })
  // A user without the right to PING is a user who has been let in; a server that cannot save refuses PING together with writes, and can be read.
  steps.push({ command: ['PING'], mayRefuse: /^-(NOPERM|MISCONF)/ })
  return steps
}

function encode(command: readonly string[]): Buffer {
  const parts = command.map((argument) => `$${Buffer.byteLength(argument)}\r\n${argument}\r\n`)
  return Buffer.from(`*${command.length}\r\n${parts.join('')}`)
}

interface Refusal {
  error: CachectlError
  /** worth waiting: the server is loading, or held up by a script */
  passing: boolean
}

/** The first refusal that matters. All replies are read, so that the next round begins with a reply of its own. */
async function firstRefusal(attempt: Attempt, steps: readonly Step[], lines: ReplyLines): Promise<Refusal | null> {
  let first: Refusal | null = null
  for (const { command, mayRefuse } of steps) {
    const line = await lines.next()
    // A server that is full, or in protected mode, says so and hangs up.
    if (line === null && first !== null) return { ...first, passing: false }
    const reply = line === null ? await hungUp(attempt, lines) : line
    if (!/^[+-]/.test(reply))
      throw reply.startsWith(TLS_ALERT) ? tlsPort(attempt.endpoint) : notRedis(attempt.endpoint, reply)
    if (first !== null || reply.startsWith('+') || mayRefuse?.test(reply)) continue
    const error = describeReply(reply.slice(1), attempt.endpoint, command[0])
    // Whatever a server has against AUTH, it has not let us in.
    const denied =
      command[0] === 'AUTH' && error.code === 'REDIS_REPLY' ? new CachectlError('REDIS_AUTH', error.message) : error
    if (denied.exitCode === EXIT.denied) throw denied
    first = { error: denied, passing: /^-(LOADING|BUSY)\b/.test(reply) }
  }
  return first
}

/** The first byte of a TLS record that says what is wrong. */
const TLS_ALERT = '\x15'

async function hungUp({ address, endpoint, signal }: Attempt, lines: ReplyLines): Promise<never> {
  const { code } = (lines.failure ?? {}) as NodeJS.ErrnoException
  // TLS 1.3 servers look at a client's certificate when the client thinks that all is done.
  if (code !== undefined && code !== 'ECONNRESET' && code !== 'EPIPE') throw describeError(lines.failure, endpoint)
  if (lines.count === 0) throw await explainClosed(address, endpoint, signal)
  throw new CachectlError('REDIS_UNREACHABLE', `${endpoint} closed the connection while it was being opened`)
}
