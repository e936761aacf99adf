// What this process hears of others: announcements, acknowledgements of its own, and that an entry was filled. Opened when it is first needed.
import { busChannel } from '../core/key.ts'
import type { Bus, BusListener } from '../ports.ts'
import { Acks, ackChannel, type BusMessage, parseMessage } from './announce.ts'
import { Wakers } from './wakers.ts'

export type OpenBus = (options: { channels: readonly string[]; tracking: boolean }, listener: BusListener) => Bus

export interface NearBusOptions {
  prefix: string
  /** of this process */
  id: string
  /** announcements and changes of tracked keys are listened to as well */
  hasNear: boolean
  openBus: OpenBus
}

export interface NearBusListener extends Pick<BusListener, 'connected' | 'invalidated' | 'lost'> {
  /** Another process announced this. */
  announced(message: BusMessage): void
  /** Something was announced of which it is not known what. */
  missed(): void
}

/** How long an announcement waits until acknowledgements can be heard. */
const LISTENING_WITHIN_MS = 1_000
/** Processes whose last announcement is remembered. */
const MAX_PUBLISHERS = 1_000

export class NearBus {
  readonly acks = new Acks()
  readonly #options: NearBusOptions
  readonly #listener: NearBusListener
  readonly #wakers = new Wakers()
  /** number of the last announcement of each process */
  readonly #heard = new Map<string, number>()
  #bus: Bus | null = null
  #connected = false
  #whenConnected: (() => void)[] = []

  constructor(options: NearBusOptions, listener: NearBusListener) {
    this.#options = options
    this.#listener = listener
  }

  open(): Bus {
    if (this.#bus !== null) return this.#bus
    const { prefix, id, hasNear, openBus } = this.#options
    const own = ackChannel(prefix, id)
    const channels = hasNear ? [busChannel(prefix), own] : [own]
    this.#bus = openBus(
      { channels, tracking: hasNear },
      {
        connected: (clientId) => {
          this.#connected = true
          this.#heard.clear()
          for (const resolve of this.#whenConnected.splice(0)) resolve()
          this.#listener.connected(clientId)
        },
        message: (channel, payload) => {
          if (channel === busChannel(prefix)) this.#hear(payload)
          else if (channel === own) this.acks.hear(payload)
          else this.#wakers.wake(channel)
        },
        invalidated: (keys) => this.#listener.invalidated(keys),
        lost: (error) => {
          this.#connected = false
          this.#listener.lost(error)
        },
      },
    )
    return this.#bus
  }

  /** Resolves when everything that was sent to this process before is heard. @throws CachectlError where the connection is lost */
  async ping(): Promise<void> {
    await this.#bus?.ping()
  }

  /** Resolves with the next message on the channel, or after `ms`. */
  wait(channel: string, ms: number): Promise<void> {
    return this.#wakers.wait(this.open(), channel, ms)
  }

  /** Resolves when acknowledgements are heard, or after a while: an announcement waits for the lapse then. */
  async listening(): Promise<void> {
    this.open()
    if (this.#connected) return
    await new Promise<void>((resolve) => {
      const timer = setTimeout(resolve, LISTENING_WITHIN_MS)
      this.#whenConnected.push(() => {
        clearTimeout(timer)
        resolve()
      })
    })
  }

  close(): void {
    this.#connected = false
    this.#bus?.close()
    this.#wakers.close()
  }

  #hear(payload: string): void {
    const message = parseMessage(payload)
    // Of a later version of the code, perhaps.
    if (message === null) this.#listener.missed()
    else if (message.from !== this.#options.id) {
      if (this.#hasGap(message)) this.#listener.missed()
      this.#listener.announced(message)
    }
  }

  #hasGap({ from, seq }: BusMessage): boolean {
    const last = this.#heard.get(from)
    this.#heard.delete(from)
    this.#heard.set(from, seq)
    if (this.#heard.size > MAX_PUBLISHERS) {
      const [oldest] = this.#heard.keys()
      if (oldest !== undefined) this.#heard.delete(oldest)
    }
    return last !== undefined && seq !== last + 1
  }
}
