// The primary of a Sentinel set: the Sentinels are asked in turn, and whom they name must call itself master; otherwise they are asked again.
import type { Socket } from 'node:net'
import { setTimeout as delay } from 'node:timers/promises'
import type { RedisTarget } from '../../config/resolved.ts'
import { asCachectlError, CachectlError, EXIT } from '../../core/errors.ts'
import { nearest } from '../../core/nearest.ts'
import { printable } from '../../core/printable.ts'
import { isErrorReply } from '../../core/reply.ts'
import { formatDuration } from '../../core/units.ts'
import type { Reply } from '../../ports.ts'
import { askOn } from './ask.ts'
import { describeError } from './errors.ts'
import { type OpenOptions, openConnection } from './open-connection.ts'
import type { SentinelAddress } from './server-url.ts'
import { endpointOfAddress, type RedisAddress } from './url.ts'

export interface OpenedPrimary {
  socket: Socket
  /** of the primary */
  endpoint: string
  /** who named it */
  sentinel: RedisAddress
}

/** A Sentinel that does not answer within this time is left for the next one. */
const SENTINEL_WITHIN_MS = 1_000
/** A primary that does not may be gone: the Sentinels are asked again. */
const PRIMARY_WITHIN_MS = 2_000
const ASK_AGAIN_MS = 100

/**
 * A connection to the primary, whom the Sentinels are asked for until the deadline: during a failover they name one that is gone, or none yet.
 * @throws CachectlError REDIS_UNREACHABLE: no Sentinel answers, or no primary does; REDIS_URL_INVALID: they do not know the name; REDIS_AUTH, REDIS_ACL, REDIS_TLS
 */
export async function openPrimary(
  address: SentinelAddress,
  tls: RedisTarget['tls'],
  options: OpenOptions,
): Promise<OpenedPrimary> {
  const deadline = performance.now() + options.timeoutMs
  const left = (): number => Math.max(1, Math.ceil(deadline - performance.now()))
  let known: CachectlError | null = null
  for (;;) {
    const named = await askSentinels(address, tls, { ...options, timeoutMs: left() }).catch((error: unknown) => {
      // In the little time that is left at the end they may seem not to answer.
      throw known ?? error
    })
    const failure = await openNamed(named, address, tls, { ...options, timeoutMs: Math.min(left(), PRIMARY_WITHIN_MS) })
    if ('socket' in failure) return failure
    options.signal?.throwIfAborted()
    if (failure.exitCode === EXIT.denied) throw failure
    known = notThere(failure, named, address.name, formatDuration(options.timeoutMs))
    if (performance.now() + ASK_AGAIN_MS > deadline) throw known
    await delay(ASK_AGAIN_MS, undefined, options.signal ? { signal: options.signal } : {})
  }
}

interface Named {
  sentinel: RedisAddress
  host: string
  port: number
}

async function openNamed(
  { host, port, sentinel }: Named,
  { server }: SentinelAddress,
  tls: RedisTarget['tls'],
  options: OpenOptions,
): Promise<OpenedPrimary | CachectlError> {
  const primary = { ...server, host, port, path: null }
  const endpoint = endpointOfAddress(primary)
  try {
    const socket = await openConnection(primary, tls, options)
    const role = await roleOf(socket, endpoint, options)
    if (role === 'master' || role === null) return { socket, endpoint, sentinel }
    socket.destroy()
    return new CachectlError('REDIS_UNREACHABLE', `${endpoint} is a replica`)
  } catch (error) {
    return asCachectlError(error)
  }
}

/** Null where the user may not ask: a replica then refuses writes, and a connection that hears so is given up. */
async function roleOf(socket: Socket, endpoint: string, { timeoutMs, signal }: OpenOptions): Promise<string | null> {
  try {
    const [role = null] = await askOn(socket, [['ROLE']], deadlineOf(timeoutMs, signal))
    return Array.isArray(role) ? String(role[0]) : null
  } catch (error) {
    socket.destroy()
    throw tooLate(error, endpoint) ?? describeError(error, endpoint)
  }
}

function tooLate(error: unknown, endpoint: string): CachectlError | null {
  if (!(error instanceof Error && error.name === 'TimeoutError')) return null
  return new CachectlError('REDIS_TIMEOUT', `${endpoint} took the connection, but did not answer in time`)
}

/** The first answer of a Sentinel that knows the primary. */
async function askSentinels(
  { sentinels, name }: SentinelAddress,
  tls: RedisTarget['tls'],
  options: OpenOptions,
): Promise<Named> {
  const deadline = performance.now() + options.timeoutMs
  const failures: CachectlError[] = []
  for (const sentinel of sentinels) {
    const timeoutMs = Math.min(SENTINEL_WITHIN_MS, Math.ceil(deadline - performance.now()))
    if (timeoutMs <= 0) break
    try {
      return { sentinel, ...(await askSentinel(sentinel, name, tls, { ...options, timeoutMs })) }
    } catch (error) {
      options.signal?.throwIfAborted()
      failures.push(asCachectlError(error))
    }
  }
  // Whoever is there but refuses has more to say than those who are not there.
  const told = failures.find(({ code }) => code !== 'REDIS_UNREACHABLE' && code !== 'REDIS_TIMEOUT')
  throw told ?? noneReached(failures, name)
}

async function askSentinel(
  sentinel: RedisAddress,
  name: string,
  tls: RedisTarget['tls'],
  options: OpenOptions,
): Promise<{ host: string; port: number }> {
  const endpoint = endpointOfAddress(sentinel)
  const socket = await openConnection(sentinel, tls, { ...options, readOnly: false }).catch((error: unknown) => {
    throw explainDenied(asCachectlError(error))
  })
  try {
    const until = deadlineOf(options.timeoutMs, options.signal)
    const questions = [
      ['SENTINEL', 'GET-MASTER-ADDR-BY-NAME', name],
      ['SENTINEL', 'MASTERS'],
    ]
    const [answer = null, all = null] = await askOn(socket, questions, until)
    if (isErrorReply(answer)) throw refused(answer, endpoint)
    if (!Array.isArray(answer)) throw unknownName(name, endpoint, all)
    return { host: String(answer[0]), port: Number(answer[1]) }
  } catch (error) {
    throw tooLate(error, `Sentinel ${endpoint}`) ?? describeError(error, `Sentinel ${endpoint}`)
  } finally {
    socket.destroy()
  }
}

function deadlineOf(timeoutMs: number, signal: AbortSignal | undefined): AbortSignal {
  const deadline = AbortSignal.timeout(timeoutMs)
  return signal ? AbortSignal.any([signal, deadline]) : deadline
}

function refused(reply: { error: string; code: string }, endpoint: string): CachectlError {
  if (!/unknown command/i.test(reply.error)) return explainDenied(describeError(reply, `Sentinel ${endpoint}`))
  return new CachectlError('REDIS_URL_INVALID', `${endpoint} is no Sentinel`, {
    hint: 'Sentinels listen on 26379 unless they are told otherwise; for a server alone write redis://host:6379',
  })
}

/** The password of the URL is for the servers. */
function explainDenied(error: CachectlError): CachectlError {
  if (error.code !== 'REDIS_AUTH') return error
  return new CachectlError('REDIS_AUTH', `as a Sentinel, ${error.message}`, {
    hint: 'give what the Sentinels themselves ask for as ?sentinelPassword= (and ?sentinelUsername=), or as `sentinelPassword` in the config',
  })
}

function unknownName(name: string, endpoint: string, all: Reply): CachectlError {
  const known = Array.isArray(all) ? all.map(nameOf).filter((one) => one !== '') : []
  const meant = nearest(name, known)
  return new CachectlError('REDIS_URL_INVALID', `Sentinel ${endpoint} knows no primary called ${printable(name)}`, {
    hint:
      known.length === 0
        ? 'it watches none: is it the right Sentinel?'
        : `${meant ? `did you mean ${printable(meant)}? ` : ''}it knows ${known.map((one) => printable(one)).join(', ')}`,
  })
}

/** Of a list of fields and values, one primary. */
function nameOf(fields: Reply): string {
  if (!Array.isArray(fields)) return ''
  const at = fields.findIndex((field, index) => index % 2 === 0 && String(field) === 'name')
  return at < 0 ? '' : String(fields[at + 1])
}

function noneReached(failures: readonly CachectlError[], name: string): CachectlError {
  const reasons = failures.map(({ message }) => message).join('; ')
  return new CachectlError('REDIS_UNREACHABLE', `no Sentinel of ${printable(name)} can be reached: ${reasons}`, {
    hint: 'are the hosts and ports right (Sentinels listen on 26379 unless told otherwise), and does the network let you in?',
  })
}

function notThere(failure: CachectlError, { sentinel }: Named, name: string, within: string): CachectlError {
  const said = `Sentinel ${endpointOfAddress(sentinel)} names as ${printable(name)} a server that is of no use: ${failure.message} (asked for ${within})`
  return new CachectlError(failure.code, said, {
    hint: 'is a failover under way? Then run it again in a moment. Otherwise the address may be right only in the network of the Sentinels: set `sentinel announce-ip` and `replica-announce-ip`, or run this there',
  })
}
