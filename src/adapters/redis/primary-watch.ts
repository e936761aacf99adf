// Who is the primary of a Sentinel set, for all connections of this process to it. An old primary that lives goes on answering for seconds when its successor
// has been named: connections to it end as soon as that is known, and while it is not asked for nobody trusts what it says for longer than a moment.
import type { Socket } from 'node:net'
import { setTimeout as delay } from 'node:timers/promises'
import type { RedisTarget } from '../../config/resolved.ts'
import type { Lane, Settled } from '../../ports.ts'
import { Sentinels } from './ask-sentinels.ts'
import type { OpenedPrimary } from './sentinel.ts'
import type { SentinelAddress } from './server-url.ts'

/** How long a primary is trusted after the Sentinels named it. Who writes to its successor waits for that. */
const TRUST_MS = 2_000
/** Clocks of two machines do not go at one pace. */
const TRUST_MARGIN = 1.02
/** Between two questions while there are connections that trust. */
const ASK_EVERY_MS = 250
const ASK_WITHIN_MS = 1_000
const OTHERS_WITHIN_MS = 500
/** Sentinels that were set up anew begin with the first epoch: an older one counts when none newer was heard of for so long. */
const FORGET_EPOCH_MS = 5_000

interface Known {
  host: string
  port: number
  runId: string
  epoch: number
  /** performance.now(): it has been named since then, at least */
  sinceMs: number
  /** performance.now() of the last question that was answered so */
  askedMs: number
}

export class PrimaryWatch {
  readonly #sentinels: Sentinels
  readonly #sockets = new Set<Socket>()
  #known: Known | null = null
  /** how many primaries there were */
  #era = 0
  /** lanes that trust */
  #lanes: Lane[] = []
  #timer: NodeJS.Timeout | null = null
  /** No Sentinel answers: what there is goes on. */
  #unheard = false
  #asking: Promise<boolean> | null = null
  #next: Promise<boolean> | null = null

  constructor(address: SentinelAddress, tls: RedisTarget['tls']) {
    this.#sentinels = new Sentinels(address, tls)
  }

  /** Whether this connection is one to the primary, as far as is known; then it ends when another one takes over. */
  accepts(opened: OpenedPrimary): boolean {
    if (!this.#learn(opened, true)) return false
    const { socket } = opened
    this.#sockets.add(socket)
    socket.once('close', () => this.#sockets.delete(socket))
    return true
  }

  /** The Sentinels are asked every moment while this lane is open. */
  keepAsking(lane: Lane): void {
    this.#lanes.push(lane)
    this.#sentinels.kept = true
    this.#askLater()
  }

  /** What a lane of `keepAsking` says may be believed at this moment. */
  get trusted(): boolean {
    return this.#unheard || (this.#known !== null && performance.now() < this.#known.askedMs + TRUST_MS)
  }

  /** Resolves when the primary may be trusted, or no Sentinel answers; where it is another one, the connections have ended. */
  async confirm(): Promise<void> {
    this.#unheard = !(await this.#ask())
  }

  /** As `Store.settling`. */
  settling(): () => Promise<Settled> {
    const era = this.#era
    const moved = () => this.#era !== era
    return async () => {
      if (moved()) return 'moved'
      if (!(await this.#askAlive())) return 'unknown'
      const sinceMs = this.#known?.sinceMs ?? 0
      const waitMs = sinceMs + TRUST_MS * TRUST_MARGIN - performance.now()
      if (!moved() && waitMs > 0) await delay(waitMs)
      return moved() ? 'moved' : 'settled'
    }
  }

  #askLater(): void {
    this.#timer ??= setTimeout(async () => {
      this.#lanes = this.#lanes.filter(({ closed }) => !closed)
      if (this.#lanes.length > 0) await this.#ask()
      this.#timer = null
      // Connections on which somebody else is asking just now are not taken from under the question.
      if (this.#lanes.length > 0 || this.#asking !== null) this.#askLater()
      else this.#sentinels.kept = false
    }, ASK_EVERY_MS).unref()
  }

  /** What is asked on keeps no process running, and the connection to the primary may be gone: who waits for this is not to end for it. */
  async #askAlive(): Promise<boolean> {
    const alive = setInterval(() => {}, ASK_WITHIN_MS)
    try {
      return await this.#ask()
    } finally {
      clearInterval(alive)
    }
  }

  /** A question that is asked after this was called: one for all who wait for it. False: no Sentinel says what is news. */
  #ask(): Promise<boolean> {
    if (this.#next !== null) return this.#next
    if (this.#asking === null) return this.#askNow()
    this.#next = this.#asking.then(() => this.#askNow())
    return this.#next
  }

  #askNow(): Promise<boolean> {
    this.#next = null
    this.#asking = this.#askOnce().finally(() => {
      this.#asking = null
    })
    return this.#asking
  }

  async #askOnce(): Promise<boolean> {
    const askedMs = performance.now()
    try {
      const named = await this.#sentinels.ask({ timeoutMs: ASK_WITHIN_MS, othersWithinMs: OTHERS_WITHIN_MS })
      return this.#learn({ named, askedMs }, false)
    } catch {
      return false
    }
  }

  /** @param connected it has answered as a master, so whatever was known before is older where that was not heard of just now */
  #learn({ named, askedMs }: Pick<OpenedPrimary, 'named' | 'askedMs'>, connected: boolean): boolean {
    const { host, port, runId, epoch } = named
    const known = this.#known
    const isOlder = known !== null && epoch < known.epoch
    if (isOlder && askedMs <= known.askedMs + FORGET_EPOCH_MS) return false
    // One that was cut off names another server, which must not end good connections.
    if (isOlder && !connected && !isSameAddress(known, named)) return false
    const sinceMs = performance.now() - named.forMs
    const isSame = known !== null && isSamePrimary(known, named)
    this.#unheard = false
    this.#known = {
      // Under another name its id may not be told yet, and be that of another server then.
      ...(isSame && !isSameAddress(known, named) ? known : { host, port, runId }),
      epoch,
      sinceMs: isSame ? Math.min(known.sinceMs, sinceMs) : sinceMs,
      askedMs: isSame ? Math.max(known.askedMs, askedMs) : askedMs,
    }
    if (!isSame && known !== null) this.#move()
    return true
  }

  #move(): void {
    this.#era++
    const error = new Error('another server is the primary now')
    for (const socket of this.#sockets) socket.destroy(error)
    this.#sockets.clear()
  }
}

type Who = Pick<Known, 'host' | 'port' | 'runId' | 'epoch'>

function isSameAddress(one: Who, other: Who): boolean {
  return one.host === other.host && one.port === other.port
}

/**
 * Under one epoch there is one primary, whatever names the Sentinels have for it, unless they were told of another one by hand (SENTINEL MONITOR begins with the
 * first epoch each time): that has another id. Where they tell no epochs there is its name alone.
 */
function isSamePrimary(one: Who, other: Who): boolean {
  if (one.epoch < 0 || other.epoch < 0) return isSameAddress(one, other)
  if (one.epoch !== other.epoch) return false
  return isSameAddress(one, other) || one.runId === '' || other.runId === '' || one.runId === other.runId
}
