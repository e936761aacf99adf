// Loads under way in this process, one an entry. Who comes later may share one only if it is as good as a load of their own: begun after they asked,
// or, as Redis told them after they asked, not touched by any invalidation since it began.
import { newToken } from './token.ts'

/** What a flight came to. `again`: nothing that can be shared; look once more. */
export type Outcome = { kind: 'value'; take(): Arrived } | { kind: 'again' }

/** A value, with the times of its entry where it was cached. */
export interface Arrived {
  value: unknown
  tier: 'l2' | 'source'
  createdAtMs: number | null
  freshUntilMs: number | null
  sourceVersion: string | null
}

export interface Flight {
  readonly token: string
  /** of the moment in which the load began, in the order of all calls of this process */
  readonly order: number
  /** of the control data under which it began; null: Redis was away */
  readonly incarnation: string | null
  readonly outcome: Promise<Outcome>
  /** Whether what waits for it waits for a load of another process. */
  waiting: boolean
  /** the first line of the log of invalidated stamps, before the load */
  log: string | null
  /** as they were before the load */
  stamps: ReadonlyMap<string, string>
  land(outcome: Outcome): void
  fail(error: unknown): void
}

/** What a caller learned from Redis after asking. */
export interface Asked {
  order: number
  incarnation: string
  lease: string | null
  log: string | null
  stamps: ReadonlyMap<string, string | null>
}

export interface Flights {
  /** The next moment. */
  tick(): number
  get(key: string): Flight | undefined
  begin(key: string, incarnation: string | null): Flight
  /** Takes it off the map, if it is still there. */
  end(key: string, flight: Flight): void
  /** No call that comes later may share what is under way. */
  forget(key: string): void
  forgetAll(): void
}

/** @param tick the clock of other flights of this process, whose calls may come to these */
export function createFlights(tick: () => number = createTick()): Flights {
  const flights = new Map<string, Flight>()
  return {
    tick,
    get: (key) => flights.get(key),
    begin(key, incarnation) {
      const flight = createFlight(tick(), incarnation)
      flights.set(key, flight)
      return flight
    },
    end(key, flight) {
      if (flights.get(key) === flight) flights.delete(key)
    },
    forget: (key) => void flights.delete(key),
    forgetAll: () => flights.clear(),
  }
}

/** `share`: its value is good for the caller. `wait`: it may not be; look again when it has landed. `lead`: it is outdated. */
export function mayShare(flight: Flight, asked: Asked): 'share' | 'wait' | 'lead' {
  if (flight.waiting) return 'wait'
  if (flight.order > asked.order) return 'share'
  // A bump that was lost with the control data leaves key, lease and log as they were before it.
  if (asked.incarnation !== flight.incarnation) return 'lead'
  if (asked.lease !== flight.token) return 'lead'
  const moved = firstLine(asked.log) !== flight.log
  for (const [name, stamp] of flight.stamps)
    if (asked.stamps.has(name) && asked.stamps.get(name) !== stamp) return 'wait'
  // Some stamp was invalidated; whether it is one that the loader will name is not known yet.
  return moved ? 'wait' : 'share'
}

/** The newest line of the log of invalidated stamps; null: there is no log. */
export function firstLine(log: string | null): string | null {
  return log === null ? null : (log.split('\n', 1)[0] ?? null)
}

function createTick(): () => number {
  let now = 0
  return () => ++now
}

function createFlight(order: number, incarnation: string | null): Flight {
  const { promise, resolve, reject } = withResolvers<Outcome>()
  // Whoever waits hears of it; where nobody does, it is no unhandled rejection.
  promise.catch(() => {})
  return {
    token: newToken(),
    order,
    incarnation,
    outcome: promise,
    waiting: false,
    log: null,
    stamps: new Map(),
    land: resolve,
    fail: reject,
  }
}

function withResolvers<T>() {
  let resolve!: (value: T) => void
  let reject!: (error: unknown) => void
  const promise = new Promise<T>((res, rej) => {
    resolve = res
    reject = rej
  })
  return { promise, resolve, reject }
}
