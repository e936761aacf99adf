// What is heard of a Redis without asking. Types only.

/** What is heard on the connection of a bus, in the order in which the server sent it. */
export interface BusListener {
  /**
   * A connection stands, and its channels are subscribed. What was said before is lost. `clientId`: where the tracking of other connections can be
   * redirected to; null where that is not wanted, or the server refuses it.
   */
  connected(clientId: number | null): void
  message(channel: string, payload: string): void
  /** Keys that the server tracks for this process have changed; null: all of them (FLUSHALL). */
  invalidated(keys: readonly string[] | null): void
  /** The connection was lost, or could not be made. It is tried again until the bus is closed. */
  lost(error: Error): void
}

/** One connection that only listens; made anew whenever it is lost. */
export interface Bus {
  /** On the connection that there is, and on each later one. */
  subscribe(channel: string): void
  unsubscribe(channel: string): void
  /**
   * Resolves with an answer that came behind everything that the server had sent on this connection before. Where none comes in time the connection
   * is given up. @throws CachectlError REDIS_UNREACHABLE, REDIS_TIMEOUT
   */
  ping(): Promise<void>
  close(): void
}
