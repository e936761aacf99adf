// The one-line replies of a connection that is being opened, one after the other; the socket is left as it was found.
import type { Socket } from 'node:net'

/** Far above any error text; a server that sends this much without a line's end is none of Redis. */
const MAX_LINE_BYTES = 16_384

export class ReplyLines {
  readonly #socket: Socket
  readonly #signal: AbortSignal
  #pending = ''
  #ended = false
  #wake: (() => void) | null = null
  /** lines read so far */
  count = 0
  /** what the socket said of its end; TLS sockets keep it nowhere else */
  failure: Error | null = null

  constructor(socket: Socket, signal: AbortSignal) {
    this.#socket = socket
    this.#signal = signal
    socket.on('data', this.#onData)
    for (const event of ['end', 'close', 'error']) socket.on(event, this.#onEnd)
    signal.addEventListener('abort', this.#onAbort)
  }

  /**
   * The next line without its end; null when the connection ended first. What came before the end of the connection, or is
   * too long or too binary to be a line of Redis, counts as one.
   * @throws the signal's reason
   */
  async next(): Promise<string | null> {
    for (;;) {
      this.#signal.throwIfAborted()
      const end = this.#pending.indexOf('\r\n')
      const line = end >= 0 ? this.#pending.slice(0, end) : null
      if (line !== null) {
        this.#pending = this.#pending.slice(end + 2)
        this.count++
        return line
      }
      if (
        this.#pending !== '' &&
        (this.#ended || !/^[+-]/.test(this.#pending) || this.#pending.length > MAX_LINE_BYTES)
      )
        return this.#pending
      if (this.#ended || this.#socket.destroyed) return null
      await new Promise<void>((resolve) => {
        this.#wake = resolve
      })
    }
  }

  release(): void {
    this.#socket.pause()
    this.#socket.off('data', this.#onData)
    for (const event of ['end', 'close', 'error']) this.#socket.off(event, this.#onEnd)
    this.#signal.removeEventListener('abort', this.#onAbort)
  }

  readonly #onData = (chunk: Buffer): void => {
    this.#pending += chunk.toString('latin1')
    this.#wake?.()
  }

  readonly #onEnd = (error?: unknown): void => {
    if (error instanceof Error) this.failure = error
    this.#ended = true
    this.#wake?.()
  }

  readonly #onAbort = (): void => {
    this.#wake?.()
  }
}
