// The deadline of replies: one timer for all that is under way on a connection. It expires when nothing has come for `timeoutMs`.
export class ReplyDeadline {
  readonly #timeoutMs: number
  readonly #expire: () => void
  #timer: NodeJS.Timeout | null = null
  #progressed = false

  constructor(timeoutMs: number, expire: () => void) {
    this.#timeoutMs = timeoutMs
    this.#expire = expire
  }

  /** Something is under way. */
  arm(): void {
    this.#timer ??= setTimeout(() => this.#fired(), this.#timeoutMs)
  }

  /** Something came. */
  progress(): void {
    this.#progressed = true
    this.#timer?.refresh()
  }

  /** Nothing is under way. */
  clear(): void {
    if (this.#timer !== null) clearTimeout(this.#timer)
    this.#timer = null
  }

  #fired(): void {
    // If this process itself was held up, the reply may lie in the socket unread: look there before blaming the server.
    this.#progressed = false
    setImmediate(() => {
      if (!this.#progressed && this.#timer !== null) this.#expire()
    })
  }
}
