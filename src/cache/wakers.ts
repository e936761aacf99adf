// Who waits in this process for an entry that another one loads: a channel an entry, subscribed while somebody waits.
import type { Bus } from '../ports.ts'

/** Who looked and waits again should find the channel still subscribed. */
const LINGER_MS = 1_000

interface Channel {
  waiting: Set<() => void>
  /** woken while nobody was waiting: between two waits of one who looks again and again */
  missed: boolean
  linger: NodeJS.Timeout | null
}

export class Wakers {
  readonly #channels = new Map<string, Channel>()

  /** Resolves with the next message on the channel, or after `ms`. */
  wait(bus: Bus, name: string, ms: number): Promise<void> {
    const channel = this.#channels.get(name) ?? this.#open(bus, name)
    if (channel.missed) {
      channel.missed = false
      return Promise.resolve()
    }
    if (channel.linger !== null) clearTimeout(channel.linger)
    channel.linger = null
    return new Promise((resolve) => {
      const wake = () => {
        clearTimeout(timer)
        channel.waiting.delete(wake)
        if (channel.waiting.size === 0) this.#leave(bus, name, channel)
        resolve()
      }
      const timer = setTimeout(wake, ms)
      channel.waiting.add(wake)
    })
  }

  /** A message on this channel. */
  wake(name: string): void {
    const channel = this.#channels.get(name)
    if (channel === undefined) return
    channel.missed = channel.waiting.size === 0
    for (const wake of [...channel.waiting]) wake()
  }

  /** Wakes all; to be called when the bus is closed. */
  close(): void {
    for (const channel of this.#channels.values()) {
      for (const wake of [...channel.waiting]) wake()
      if (channel.linger !== null) clearTimeout(channel.linger)
    }
    this.#channels.clear()
  }

  #open(bus: Bus, name: string): Channel {
    const channel: Channel = { waiting: new Set(), missed: false, linger: null }
    this.#channels.set(name, channel)
    bus.subscribe(name)
    return channel
  }

  #leave(bus: Bus, name: string, channel: Channel): void {
    channel.linger = setTimeout(() => {
      this.#channels.delete(name)
      bus.unsubscribe(name)
    }, LINGER_MS)
    channel.linger.unref()
  }
}
