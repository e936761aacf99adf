// A connection to the primary of a Sentinel set: whom the Sentinels name must call itself master; otherwise they are asked again.
import type { Socket } from 'node:net'
import { setTimeout as delay } from 'node:timers/promises'
import type { RedisTarget } from '../../config/resolved.ts'
import { asCachectlError, CachectlError, EXIT } from '../../core/errors.ts'
import { printable } from '../../core/printable.ts'
import { formatDuration } from '../../core/units.ts'
import { askOn } from './ask.ts'
import { type Named, Sentinels, tooLate } from './ask-sentinels.ts'
import { describeError } from './errors.ts'
import { type OpenOptions, openConnection } from './open-connection.ts'
import type { SentinelAddress } from './server-url.ts'
import { endpointOfAddress, type RedisAddress } from './url.ts'

export interface OpenedPrimary {
  socket: Socket
  /** of the primary */
  endpoint: string
  named: Named
  /** performance.now() of when the Sentinels were asked */
  askedMs: number
}

export interface OpenPrimaryOptions extends OpenOptions {
  /** False: somebody has named a later primary. */
  accepts?(opened: OpenedPrimary): boolean
}

/** A primary that does not answer within this time may be gone: the Sentinels are asked again. */
const PRIMARY_WITHIN_MS = 2_000
/** How long a Sentinel that answers waits for the word of the others. */
const OTHERS_WITHIN_MS = 250
const ASK_AGAIN_MS = 100

/**
 * A connection to the primary, whom the Sentinels are asked for until the deadline: during a failover they name one that is gone, or none yet.
 * @throws CachectlError REDIS_UNREACHABLE: no Sentinel answers, or no primary does; REDIS_URL_INVALID: they do not know the name; REDIS_AUTH, REDIS_ACL, REDIS_TLS
 */
export async function openPrimary(
  address: SentinelAddress,
  tls: RedisTarget['tls'],
  options: OpenPrimaryOptions,
): Promise<OpenedPrimary> {
  const { signal, timeoutMs } = options
  const sentinels = new Sentinels(address, tls)
  const deadline = performance.now() + timeoutMs
  const left = (): number => Math.max(1, Math.ceil(deadline - performance.now()))
  let known: CachectlError | null = null
  for (;;) {
    const askedMs = performance.now()
    const asking = { timeoutMs: left(), othersWithinMs: OTHERS_WITHIN_MS, ...(signal ? { signal } : {}) }
    const named = await sentinels.ask(asking).catch((error: unknown) => {
      // In the little time that is left at the end they may seem not to answer.
      throw known ?? error
    })
    const opened = await openNamed(named, address.server, tls, {
      ...options,
      timeoutMs: Math.min(left(), PRIMARY_WITHIN_MS),
    })
    const failure = 'socket' in opened ? refusedBy(options, { ...opened, named, askedMs }) : opened
    if ('socket' in failure) return failure
    signal?.throwIfAborted()
    if (failure.exitCode === EXIT.denied) throw failure
    known = notThere(failure, named, address.name, formatDuration(timeoutMs))
    if (performance.now() + ASK_AGAIN_MS > deadline) throw known
    await delay(ASK_AGAIN_MS, undefined, signal ? { signal } : {})
  }
}

function refusedBy({ accepts }: OpenPrimaryOptions, opened: OpenedPrimary): OpenedPrimary | CachectlError {
  if (accepts === undefined || accepts(opened)) return opened
  opened.socket.destroy()
  return new CachectlError('REDIS_UNREACHABLE', `${opened.endpoint} is the primary no more`)
}

async function openNamed(
  { host, port }: Named,
  server: RedisAddress,
  tls: RedisTarget['tls'],
  options: OpenOptions,
): Promise<Pick<OpenedPrimary, 'socket' | 'endpoint'> | CachectlError> {
  const primary = { ...server, host, port, path: null }
  const endpoint = endpointOfAddress(primary)
  try {
    const socket = await openConnection(primary, tls, options)
    const role = await roleOf(socket, endpoint, options)
    if (role === 'master' || role === null) return { socket, endpoint }
    socket.destroy()
    return new CachectlError('REDIS_UNREACHABLE', `${endpoint} is a replica`)
  } catch (error) {
    return asCachectlError(error)
  }
}

/** Null where the user may not ask: a replica then refuses writes, and a connection that hears so is given up. */
async function roleOf(socket: Socket, endpoint: string, { timeoutMs, signal }: OpenOptions): Promise<string | null> {
  const deadline = AbortSignal.timeout(timeoutMs)
  try {
    const [role = null] = await askOn(socket, [['ROLE']], signal ? AbortSignal.any([signal, deadline]) : deadline)
    return Array.isArray(role) ? String(role[0]) : null
  } catch (error) {
    socket.destroy()
    throw tooLate(error, endpoint) ?? describeError(error, endpoint)
  }
}

function notThere(failure: CachectlError, { sentinel }: Named, name: string, within: string): CachectlError {
  const said = `Sentinel ${endpointOfAddress(sentinel)} names as ${printable(name)} a server that is of no use: ${failure.message} (asked for ${within})`
  return new CachectlError(failure.code, said, {
    hint: 'is a failover under way? Then run it again in a moment. Otherwise the address may be right only in the network of the Sentinels: set `sentinel announce-ip` and `replica-announce-ip`, or run this there',
  })
}
