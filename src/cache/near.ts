// L1: entries in the memory of this process, given only while it is proved that every change in Redis up to a heartbeat ago was heard.
// The server says what it tracks for this process; other processes announce what they invalidate, and are told when it is dropped here.
import { hostname } from 'node:os'
import type { ResolvedConfig } from '../config/resolved.ts'
import { CachectlError } from '../core/errors.ts'
import { createKeys, filledChannel, generationsKey, revisionKey, stampKey } from '../core/key.ts'
import type { Clock, CommandArgument, Lane, Reply } from '../ports.ts'
import { ackChannel, ackMessage, announce, type BusMessage, bounded } from './announce.ts'
import { failedReply } from './link.ts'
import { NearBus, type OpenBus } from './near-bus.ts'
import { NearStore } from './near-store.ts'
import { NearTrust, type Session } from './near-trust.ts'
import { leaveCommand, Registration } from './processes.ts'
import type { Announcement, Near, NearEntry } from './tiers.ts'
import { newToken } from './token.ts'

export interface NearOptions {
  config: Pick<ResolvedConfig, 'prefix' | 'tenantLabel' | 'namespaces' | 'version' | 'models' | 'heartbeatMs'>
  clock: Clock
  /** Called once: at the first attach where a namespace has L1, else when somebody is first waited for. */
  openBus: OpenBus
  /** Of what makes L1 weaker or useless; each once. */
  report(error: CachectlError): void
  /** How long copies are trusted here without a word of Redis; that of the config, at most. */
  heartbeatMs?: number
}

interface Expectation {
  session: Session
  mark: number
  /** performance.now() */
  atMs: number
}

/** @throws CachectlError USAGE for a heartbeat that is none, or longer than that of the config */
export function createNear(options: NearOptions): Near {
  return new NearTier(options)
}

class NearTier implements Near {
  readonly #options: NearOptions
  readonly #prefix: string
  readonly #hasNear: boolean
  readonly #heartbeatMs: number
  readonly #id = newToken()
  readonly #store: NearStore
  readonly #trust: NearTrust
  readonly #bus: NearBus
  readonly #bumped: (() => void)[] = []
  readonly #reported = new Set<string>()
  #lane: Lane | null = null
  #timer: NodeJS.Timeout | null = null
  #seq = 0
  #closed = false

  constructor(options: NearOptions) {
    const { config, heartbeatMs = config.heartbeatMs } = options
    // Whoever invalidates elsewhere knows that of the config, and waits no longer.
    if (!(heartbeatMs > 0 && heartbeatMs <= config.heartbeatMs)) {
      const hint = `give at most that of the config, ${config.heartbeatMs} ms; it may be set there: \`heartbeat: '30s'\``
      throw new CachectlError('USAGE', `a heartbeat cannot last ${heartbeatMs} ms`, { hint })
    }
    this.#options = options
    this.#prefix = config.prefix
    this.#hasNear = Object.values(config.namespaces).some(({ l1 }) => l1 !== null)
    this.#heartbeatMs = heartbeatMs
    this.#store = new NearStore(config.namespaces, createKeys(config))
    this.#trust = this.#createTrust()
    this.#bus = this.#createBus()
  }

  trusted(): boolean {
    return performance.now() < this.#trust.untilMs
  }

  find(namespace: string, key: string): NearEntry | null {
    const nowMs = performance.now()
    return nowMs < this.#trust.untilMs ? this.#store.find(namespace, key, nowMs) : null
  }

  expect(): Expectation | null {
    const { session } = this.#trust
    return session === null ? null : { session, mark: this.#store.mark(), atMs: performance.now() }
  }

  keep(expected: unknown, namespace: string, key: string, entry: NearEntry): void {
    const expectation = expected as Expectation | null
    if (expectation === null || expectation.session !== this.#trust.session) return
    const { session, mark, atMs } = expectation
    const { freshUntilMs, graceMs } = entry.header
    const nowMs = performance.now()
    // Where the server does not track, nothing is heard of a change that nobody announces: it may have come as soon as the entry was read.
    const trackedMs = session.redirect === null ? atMs + this.#heartbeatMs : Number.POSITIVE_INFINITY
    const goodMs = freshUntilMs === null ? trackedMs : nowMs + freshUntilMs + graceMs - this.#options.clock.now()
    const untilMs = Math.min(trackedMs, goodMs)
    if (untilMs > nowMs) this.#store.keep(mark, namespace, key, entry, untilMs)
  }

  drop(announcement: Announcement): void {
    const { keys, stamps, bumped, pattern } = bounded(announcement)
    for (const key of keys) this.#store.dropKey(key)
    for (const name of stamps) this.#store.dropStamp(name)
    if (pattern !== null) this.#store.dropPattern(pattern)
    if (bumped) this.#tellBumped()
  }

  clear(): void {
    this.#store.clear()
  }

  async attach(lane: Lane): Promise<void> {
    this.#lane = lane
    if (!this.#hasNear || this.#closed) return
    this.#bus.open()
    // Failures are told by the bus, and by the kernel's own connection.
    this.#timer ??= setInterval(() => void this.#trust.tick().catch(() => {}), this.#heartbeatMs / 3).unref()
    await this.#trust.attach(lane)
  }

  async announce(announcement: Announcement): Promise<{ processes: number; of: number; lapsed: boolean }> {
    this.drop(announcement)
    return announce(announcement, {
      prefix: this.#prefix,
      from: this.#id,
      nextSeq: () => ++this.#seq,
      hasNear: this.#hasNear,
      heartbeatMs: this.#options.config.heartbeatMs,
      call: (...args) => this.#call(...args),
      acks: this.#bus.acks,
      listening: () => this.#bus.listening(),
    })
  }

  woken(key: string, ms: number): Promise<void> {
    if (this.#closed) return Promise.resolve()
    return this.#bus.wait(filledChannel(this.#prefix, key), ms)
  }

  onBumped(listener: () => void): void {
    this.#bumped.push(listener)
  }

  async close(): Promise<void> {
    if (this.#closed) return
    this.#closed = true
    const registered = this.#trust.session !== null
    this.#trust.lost()
    if (this.#timer !== null) clearInterval(this.#timer)
    this.#bus.close()
    // Over a connection that is lost it cannot be taken back, and lapses.
    if (registered) await this.#call(...leaveCommand(this.#prefix, this.#id)).catch(() => {})
  }

  #createTrust(): NearTrust {
    const { config } = this.#options
    const versions = new Set([config.version, ...Object.values(config.models).map((model) => model.version)])
    const record = { host: hostname(), pid: process.pid, heartbeatMs: this.#heartbeatMs, versions: [...versions] }
    const report = (error: CachectlError) => this.#reportOnce(error)
    const registration = new Registration(this.#prefix, this.#id, record, report)
    return new NearTrust({
      heartbeatMs: this.#heartbeatMs,
      ping: () => this.#bus.ping(),
      registration,
      onEnd: () => this.#store.clear(),
      onBegin: () => this.#tellBumped(),
      report,
    })
  }

  #createBus(): NearBus {
    const { openBus } = this.#options
    return new NearBus(
      { prefix: this.#prefix, id: this.#id, hasNear: this.#hasNear, openBus },
      {
        connected: (clientId) => this.#trust.connected(clientId),
        announced: (message) => this.#hear(message),
        missed: () => this.#dropAll(),
        invalidated: (keys) => {
          if (keys !== null) return this.#dropTracked(keys)
          this.#dropAll()
          // The registration went with the rest.
          void this.#trust.beat()
        },
        lost: (error) => {
          this.#trust.lost()
          // That Redis is away the kernel says; that it does not let the bus in nobody else would.
          if (error instanceof CachectlError && error.code === 'REDIS_ACL') this.#reportOnce(error)
        },
      },
    )
  }

  #dropAll(): void {
    this.#store.clear()
    this.#tellBumped()
  }

  #dropTracked(keys: readonly string[]): void {
    const stamps = stampKey(this.#prefix, '')
    for (const key of keys) {
      if (key.startsWith(`${this.#prefix}:`)) this.#store.dropKey(key)
      else if (key.startsWith(stamps)) this.#store.dropStamp(key.slice(stamps.length))
      else if (key === revisionKey(this.#prefix) || key === generationsKey(this.#prefix)) this.#tellBumped()
    }
  }

  #hear(message: BusMessage): void {
    const { op, from } = message
    this.drop(message)
    // Where it is not heard the other waits for the lapse.
    this.#call('PUBLISH', ackChannel(this.#prefix, from), ackMessage(op, this.#id)).catch(() => {})
  }

  #tellBumped(): void {
    for (const listener of this.#bumped) listener()
  }

  async #call(...args: readonly CommandArgument[]): Promise<Reply> {
    const lane = this.#lane
    if (lane === null) throw new CachectlError('REDIS_UNREACHABLE', 'there is no connection to Redis')
    const page = lane.page()
    page.add(...args)
    const replies = await lane.run(page)
    const failed = failedReply(replies)
    if (failed) throw failed
    return replies[0] ?? null
  }

  #reportOnce(error: CachectlError): void {
    if (this.#reported.has(error.message)) return
    this.#reported.add(error.message)
    this.#options.report(error)
  }
}
