// Whether copies in the memory of this process may be given: for a heartbeat after it was proved that every change in Redis was heard.
// The server tracks what the kernel's connection (the lane) reads, and tells the bus.
import { CachectlError } from '../core/errors.ts'
import { isErrorReply } from '../core/reply.ts'
import type { Lane } from '../ports.ts'
import type { Registration } from './processes.ts'

/** The connections under which copies are kept; with other ones all of them are dropped. */
export interface Session {
  readonly lane: Lane
  /** the client that the server tells of changes to what the lane reads; null: it refused, and only announcements are heard */
  readonly redirect: number | null
}

export interface NearTrustOptions {
  heartbeatMs: number
  /** Resolves when all that the server told this process before is heard. */
  ping(): Promise<void>
  registration: Registration
  /** A session ended: what was kept and what is being read are of no use. */
  onEnd(): void
  /** A session begins. What was read of control data before was not tracked. */
  onBegin(): void
  /** each once */
  report(error: CachectlError): void
}

export class NearTrust {
  /** performance.now() until which copies may be given */
  untilMs = 0
  /** null: nothing that is read is to be kept */
  session: Session | null = null
  readonly #options: NearTrustOptions
  #lane: Lane | null = null
  /** of the bus; null while it is lost */
  #connection: { clientId: number | null } | null = null
  /** the session whose beat is under way */
  #beating: Session | null = null

  constructor(options: NearTrustOptions) {
    this.#options = options
  }

  /** The kernel has another connection. Resolves when its reads are tracked, if they can be by now. */
  attach(lane: Lane): Promise<void> {
    this.end()
    this.#lane = lane
    return this.#begin()
  }

  /** The bus has another connection. */
  connected(clientId: number | null): void {
    this.end()
    this.#connection = { clientId }
    void this.#begin()
  }

  lost(): void {
    this.#connection = null
    this.end()
  }

  end(): void {
    this.session = null
    this.untilMs = 0
    this.#options.onEnd()
  }

  /** To be called three times a heartbeat. */
  async tick(): Promise<void> {
    if (this.session !== null) return this.beat()
    await this.#options.ping()
    await this.#begin()
  }

  async #begin(): Promise<void> {
    const lane = this.#lane
    const connection = this.#connection
    if (lane === null || lane.closed || connection === null) return
    const { clientId } = connection
    // A connection to several servers is tracked by none: what it read is kept for a heartbeat at most.
    const tracked = clientId !== null && lane.page().scattered !== true && (await this.#track(lane, clientId))
    if (lane !== this.#lane || connection !== this.#connection || lane.closed) return
    this.end()
    this.session = { lane, redirect: tracked ? clientId : null }
    this.#options.onBegin()
    void this.beat()
  }

  async #track(lane: Lane, clientId: number): Promise<boolean> {
    try {
      const page = lane.page()
      page.add('CLIENT', 'TRACKING', 'ON', 'REDIRECT', clientId, 'OPTIN')
      const [reply] = await lane.run(page)
      if (!isErrorReply(reply)) return true
      const hint =
        'give the user the right to CLIENT TRACKING; until then L1 sees what no process announces after a heartbeat'
      const message = `the server does not track what L1 holds: ${reply.error}`
      this.#options.report(new CachectlError('REDIS_ACL', message, { hint }))
    } catch {
      // The connection is lost, which the kernel sees as well.
    }
    return false
  }

  /**
   * Trust lasts for a heartbeat from the moment before these were sent: the bus answered behind all that it had to say until then, the lane is still
   * the one whose reads are tracked, and whoever invalidates knows of this process.
   */
  async beat(): Promise<void> {
    const { session } = this
    const { registration, heartbeatMs } = this.#options
    if (session === null || this.#beating === session) return
    this.#beating = session
    const sentAtMs = performance.now()
    try {
      const page = session.lane.page()
      page.add(...registration.command())
      page.add('CLIENT', 'GETREDIR')
      const [replies] = await Promise.all([session.lane.run(page), this.#options.ping()])
      if (session !== this.session) return
      const [registered = null, redirect] = replies
      const redirected = session.redirect === null || redirect === session.redirect || isErrorReply(redirect)
      if (!redirected) return this.end()
      const outcome = registration.outcome(registered)
      if (outcome === 'registered') {
        // Whoever invalidated while nothing was given here may not have waited for this process: it begins anew.
        if (performance.now() >= this.untilMs) this.#options.onEnd()
        this.untilMs = sentAtMs + heartbeatMs
      }
      if (outcome === 'again') setImmediate(() => void this.beat())
    } catch {
      // A connection is lost or silent. The bus says so itself; the kernel attaches another lane.
      if (session === this.session && session.lane.closed) this.end()
    } finally {
      if (this.#beating === session) this.#beating = null
    }
  }
}
