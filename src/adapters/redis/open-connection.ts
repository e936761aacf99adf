// Opens a connection to a Redis server and brings it to the point where commands can go: socket, TLS, AUTH, database, loading.
// ioredis does the same, but retries what cannot succeed, hides what the server said, and keeps the password in its errors.
import { readFileSync } from 'node:fs'
import { connect as connectPlain, isIP, type Socket } from 'node:net'
import { setTimeout as delay } from 'node:timers/promises'
import { type ConnectionOptions, connect as connectTls } from 'node:tls'
import type { RedisTarget } from '../../config/resolved.ts'
import { CachectlError } from '../../core/errors.ts'
import { formatDuration } from '../../core/units.ts'
import { describeError } from './errors.ts'
import { answersPlainly, explainClosed, plainPort } from './explain-connection.ts'
import { type Attempt, greet } from './greeting.ts'
import { endpointOfAddress, type RedisAddress } from './url.ts'

export interface OpenOptions {
  /** for all of it: name, socket, TLS, password, and a server that is still loading */
  timeoutMs: number
  /** lets a replica of a cluster answer reads */
  readOnly?: boolean
  onNote?: (message: string) => void
  signal?: AbortSignal
}

const KEEP_ALIVE_MS = 30_000
/** A TLS server on a slow line takes longer than this as well; it only says when to look whether the port is a plain one. */
const TLS_DOUBT_AFTER_MS = 300

/**
 * A socket on which the server has answered PING as this user, in this database; nothing unread is left on it.
 * @throws CachectlError REDIS_UNREACHABLE, REDIS_TIMEOUT, REDIS_AUTH, REDIS_ACL, REDIS_TLS
 */
export async function openConnection(
  address: RedisAddress,
  tls: RedisTarget['tls'],
  options: OpenOptions,
): Promise<Socket> {
  const endpoint = endpointOfAddress(address)
  const deadline = AbortSignal.timeout(options.timeoutMs)
  const signal = options.signal ? AbortSignal.any([options.signal, deadline]) : deadline
  const socket = dial(address, tlsOptions(address, tls))
  const attempt: Attempt = { socket, address, endpoint, signal }
  try {
    await opened(attempt)
    await greet(attempt, options)
    return socket
  } catch (error) {
    const { connecting } = socket
    socket.destroy()
    options.signal?.throwIfAborted()
    if (error instanceof CachectlError) throw error
    throw deadline.aborted ? tooLate(endpoint, connecting, options.timeoutMs) : describeError(error, endpoint)
  }
}

function tooLate(endpoint: string, connecting: boolean, timeoutMs: number): CachectlError {
  const within = `within ${formatDuration(timeoutMs)}`
  if (!connecting) {
    const hint = 'is this the port of Redis? If it is, the server is stalled: look at its machine'
    return new CachectlError('REDIS_TIMEOUT', `${endpoint} took the connection, but did not answer ${within}`, { hint })
  }
  const hint = 'is the host right, and does a firewall or security group let you in?'
  return new CachectlError('REDIS_UNREACHABLE', `${endpoint} could not be reached ${within}`, { hint })
}

function tlsOptions(address: RedisAddress, tls: RedisTarget['tls']): ConnectionOptions | null {
  if (!address.tls || address.host === null) return null
  const options: ConnectionOptions = { host: address.host, port: address.port }
  // Node sends no server name of its own accord, and servers behind a shared address choose their certificate by it.
  const servername = tls?.servername ?? (isIP(address.host) ? undefined : address.host)
  if (servername !== undefined) options.servername = servername
  for (const name of ['ca', 'cert', 'key'] as const) {
    const value = tls?.[name]
    if (value !== undefined) options[name] = pem(name, value)
  }
  return options
}

/** PEM text, or the path of a file of it. */
function pem(name: string, value: string): string {
  if (value.includes('-----BEGIN')) return value
  try {
    return readFileSync(value, 'utf8')
  } catch (error) {
    const { code } = error as NodeJS.ErrnoException
    throw new CachectlError(
      'CONFIG_INVALID',
      `\`tls.${name}\` is neither PEM text nor a file that can be read (${code})`,
    )
  }
}

function dial(address: RedisAddress, tls: ConnectionOptions | null): Socket {
  if (tls) return connectTls(tls)
  return connectPlain(address.path ? { path: address.path } : { host: address.host as string, port: address.port })
}

/** Resolves when bytes can go. */
async function opened(attempt: Attempt): Promise<void> {
  const { socket, address, endpoint, signal } = attempt
  socket.setNoDelay(true)
  socket.setKeepAlive(true, KEEP_ALIVE_MS)
  // Errors are also told by 'close'; without a listener those that come later would end the process.
  socket.on('error', () => {})
  const settled = new AbortController()
  const until = AbortSignal.any([signal, settled.signal])
  const event = new Promise<void>((resolve, reject) => {
    socket.once(address.tls ? 'secureConnect' : 'connect', resolve)
    socket.once('error', reject)
    until.addEventListener('abort', () => reject(until.reason), { once: true })
  })
  try {
    await (address.tls ? Promise.race([event, doubtTls(attempt, until)]) : event)
  } catch (error) {
    const hungUp = address.tls && (error as NodeJS.ErrnoException).code === 'ECONNRESET'
    throw hungUp ? await explainClosed(address, endpoint, signal) : error
  } finally {
    settled.abort()
  }
}

/** A plain server waits for the end of a line that a TLS greeting need not have: it is asked in its own words. Never resolves. */
async function doubtTls({ socket, address, endpoint }: Attempt, until: AbortSignal): Promise<never> {
  await delay(TLS_DOUBT_AFTER_MS, undefined, { signal: until }).catch(() => {})
  if (!until.aborted && !socket.connecting && (await answersPlainly(address, until))) throw plainPort(endpoint)
  return new Promise<never>(() => {})
}
