// The connection that listens: messages of other processes, and the server's own word on keys that this process has read.
// Pushes of tracking come over RESP2, redirected from the connection that reads (CLIENT TRACKING ON REDIRECT).
import { setTimeout as delay } from 'node:timers/promises'
import type { Redis } from 'ioredis'
import type { RedisTarget } from '../../config/resolved.ts'
import { CachectlError } from '../../core/errors.ts'
import type { Bus, BusListener } from '../../ports.ts'
import { connectTo } from './client.ts'
import { describeError } from './errors.ts'
import { serverOfKeys } from './named-keys.ts'
import { type Place, placeOf } from './place.ts'

export interface BusOptions {
  /** subscribed before `connected` is told */
  channels: readonly string[]
  /** keys that other connections of this process read will be tracked */
  tracking: boolean
  connectTimeoutMs: number
  /** for PING and SUBSCRIBE */
  replyTimeoutMs: number
}

const INVALIDATE = '__redis__:invalidate'
const RETRY_MS = [50, 100, 200, 400, 500]

/** Connects behind the caller's back, at once and again; failures go to the listener. */
export function openBus(target: RedisTarget, options: BusOptions, listener: BusListener): Bus {
  const { named } = target
  if (!named) return new RedisBus(target, options, listener)
  const main = new RedisBus(target, { ...options, tracking: false }, listener)
  // What is said on the other servers only wakes who waits for a load there, and who waits looks again all the same: their loss is nobody's concern.
  const quiet: BusListener = {
    connected: () => {},
    lost: () => {},
    invalidated: () => {},
    message: (channel, payload) => listener.message(channel, payload),
  }
  const aside = { ...options, channels: [], tracking: false }
  const others = Object.entries(named.others).map(([name, other]) => [name, new RedisBus(other, aside, quiet)] as const)
  return joinBuses(main, new Map(others), serverOfKeys(named))
}

/** Announcements go over the bus of `default`; other channels are where their keys are. */
function joinBuses(main: Bus, others: ReadonlyMap<string, Bus>, serverOf: (channel: string) => string): Bus {
  const busOf = (channel: string): Bus => others.get(serverOf(channel)) ?? main
  return {
    subscribe: (channel) => busOf(channel).subscribe(channel),
    unsubscribe: (channel) => busOf(channel).unsubscribe(channel),
    ping: () => main.ping(),
    close() {
      for (const bus of [main, ...others.values()]) bus.close()
    },
  }
}

class RedisBus implements Bus {
  readonly #place: Place
  readonly #options: BusOptions
  readonly #listener: BusListener
  readonly #channels: Set<string>
  readonly #closing = new AbortController()
  /** null while there is no connection whose channels are subscribed */
  #redis: Redis | null = null

  constructor(target: RedisTarget, options: BusOptions, listener: BusListener) {
    this.#place = placeOf(target)
    this.#options = options
    this.#listener = listener
    this.#channels = new Set(options.channels)
    void this.#stayConnected()
  }

  subscribe(channel: string): void {
    if (this.#channels.has(channel)) return
    this.#channels.add(channel)
    // Where it fails the connection does, or the user may not: who waits has a deadline of their own.
    this.#redis?.subscribe(channel).catch(() => {})
  }

  unsubscribe(channel: string): void {
    if (this.#channels.delete(channel)) this.#redis?.unsubscribe(channel).catch(() => {})
  }

  async ping(): Promise<void> {
    const redis = this.#redis
    if (redis === null) throw this.#lostHere()
    try {
      await redis.ping()
    } catch (thrown) {
      const error = describeError(thrown, this.#place.endpoint)
      this.#lose(redis, error)
      throw error
    }
  }

  close(): void {
    this.#closing.abort()
    this.#redis?.disconnect()
    this.#redis = null
  }

  async #stayConnected(): Promise<void> {
    const { signal } = this.#closing
    for (let failures = 0; !signal.aborted; failures++) {
      try {
        const redis = await connectTo(this.#place, { ...this.#options, dedicated: true })
        const ended = new Promise((resolve) => redis.once('end', resolve))
        if (await this.#listen(redis)) {
          failures = 0
          await ended
          this.#lose(redis, this.#lostHere())
        }
      } catch (error) {
        if (!signal.aborted) this.#listener.lost(describeError(error, this.#place.endpoint))
      }
      const waitMs = RETRY_MS[Math.min(failures, RETRY_MS.length - 1)] as number
      await delay(waitMs, undefined, { signal, ref: false }).catch(() => {})
    }
  }

  /** Subscribes, and tells the listener; false where the bus was closed meanwhile. */
  async #listen(redis: Redis): Promise<boolean> {
    try {
      const clientId = this.#options.tracking ? await this.#clientId(redis) : null
      redis.on('messageBuffer', (channel: Buffer, payload: unknown) => this.#hear(channel, payload))
      const subscribed = new Set(this.#channels)
      if (subscribed.size > 0) await redis.subscribe(...subscribed)
      const tracked = clientId !== null && (await allowed(redis.subscribe(INVALIDATE)))
      if (this.#closing.signal.aborted || redis.status !== 'ready') {
        redis.disconnect()
        return !this.#closing.signal.aborted
      }
      this.#redis = redis
      for (const channel of this.#channels) if (!subscribed.has(channel)) redis.subscribe(channel).catch(() => {})
      this.#listener.connected(tracked ? clientId : null)
      return true
    } catch (error) {
      redis.disconnect()
      throw error
    }
  }

  /** Asked first: a connection that listens takes no such command. Null where the user may not ask. */
  async #clientId(redis: Redis): Promise<number | null> {
    const id = redis.call('CLIENT', 'ID')
    return (await allowed(id)) ? Number(await id) : null
  }

  #hear(channel: Buffer, payload: unknown): void {
    const name = channel.toString()
    if (name !== INVALIDATE) this.#listener.message(name, String(payload))
    // An array of keys, whatever the types of ioredis say.
    else this.#listener.invalidated(Array.isArray(payload) ? payload.map(String) : null)
  }

  #lose(redis: Redis, error: Error): void {
    redis.disconnect()
    if (this.#redis !== redis) return
    this.#redis = null
    this.#listener.lost(error)
  }

  #lostHere(): CachectlError {
    return new CachectlError('REDIS_UNREACHABLE', `the connection to ${this.#place.endpoint} was lost`)
  }
}

/** False where the server refuses; other failures are thrown. */
async function allowed(reply: Promise<unknown>): Promise<boolean> {
  try {
    await reply
    return true
  } catch (error) {
    if (error instanceof Error && error.name === 'ReplyError') return false
    throw error
  }
}
