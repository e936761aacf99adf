// How often a process read, missed, loaded and failed, by namespace, subject and tenant, until it is flushed to Redis.
import { COUNTER_FIELDS, type CountedEvent, type CounterField } from '../core/counter-fields.ts'
import { countersKey } from '../core/key.ts'
import type { Clock } from '../ports.ts'
import { type Cell, type CountedPlace, Groups, NOWHERE } from './counted-groups.ts'

export type { CountedEvent, CountedPlace }

export interface GroupCounter {
  /** `amount`: how many (1); of `load`: with how many milliseconds it took */
  count(event: CountedEvent, amount?: number, loadMs?: number): void
}

export interface Counters {
  /** `amount`: how many (1); of `load`: with how many milliseconds it took. Never throws. */
  count(event: CountedEvent, place: CountedPlace, amount?: number, loadMs?: number): void
  /** The same for one place, to be held on to: half the work of `count`. */
  group(place: CountedPlace): GroupCounter
}

/** Counters that are written to Redis every so often. */
export interface FlushedCounters extends Counters {
  /** Never rejects. One at a time: while one is under way, this is it. */
  flush(): Promise<void>
  /** The last flush. What is counted later is lost. */
  close(): Promise<void>
}

/** By how much a field of a minute's hash grew. */
export interface CounterDelta {
  field: string
  by: number
}

export interface CountersOptions {
  /**
   * Writes `counterCommands` of these. False: nothing was sent, and the deltas are kept for the next time. Rejected: nobody knows what was
   * written, and they are dropped, because a count that is missing misleads less than one that is there twice.
   */
  flush(minute: number, deltas: readonly CounterDelta[]): Promise<boolean>
  clock: Clock
  /** what a flush rejected with */
  onError(error: unknown): void
  intervalMs?: number
}

/** Twice what `stats` looks back, so that a reader whose clock is behind finds them. */
export const COUNTERS_TTL_SECONDS = 2 * 60 * 60
const FLUSH_INTERVAL_MS = 10_000
const MINUTE_MS = 60_000
/** Deltas a flush call: few enough to share a connection with reads that wait. */
const DELTAS_A_CALL = 500

/** One page of commands for these deltas. The TTL stands behind the first, so that a hash that was begun has one whatever happens to the rest. */
export function counterCommands(
  prefix: string,
  minute: number,
  deltas: readonly CounterDelta[],
): (string | number)[][] {
  const key = countersKey(prefix, minute)
  const commands: (string | number)[][] = deltas.map(({ field, by }) => ['HINCRBY', key, field, by])
  if (commands.length > 0) commands.splice(1, 0, ['EXPIRE', key, COUNTERS_TTL_SECONDS])
  return commands
}

export function createCounters(options: CountersOptions): FlushedCounters {
  return new MinuteCounters(options)
}

/** Counts that were taken out of a cell: to be written, or put back. */
interface Taken {
  cell: Cell
  field: CounterField
  by: number
}

class MinuteCounters implements FlushedCounters {
  readonly #options: CountersOptions
  readonly #timer: NodeJS.Timeout
  #minute: number
  #last = NOWHERE
  #underWay: Promise<void> | null = null
  #closing: Promise<void> | null = null
  /** A new one each minute: whoever holds a cell of another one asks again. */
  groups = new Groups()

  constructor(options: CountersOptions) {
    this.#options = options
    this.#minute = minuteOf(options.clock)
    this.#timer = setInterval(() => void this.flush(), options.intervalMs ?? FLUSH_INTERVAL_MS)
    this.#timer.unref()
  }

  count(event: CountedEvent, place: CountedPlace, amount = 1, loadMs = 0): void {
    const { of } = this.#last
    // Reads come in runs of one group, and comparing names is cheaper than looking them up.
    if (
      of.subject !== place.subject ||
      of.tenant !== place.tenant ||
      of.namespace !== place.namespace ||
      of.severalTenants
    )
      this.#last = this.groups.cell(place)
    this.#last.add(event, amount, loadMs)
  }

  group(place: CountedPlace): GroupCounter {
    return new HeldGroup(this, place)
  }

  flush(): Promise<void> {
    this.#underWay ??= this.#send().finally(() => {
      this.#underWay = null
    })
    return this.#underWay
  }

  close(): Promise<void> {
    this.#closing ??= (async () => {
      clearInterval(this.#timer)
      await this.#underWay
      await this.flush()
    })()
    return this.#closing
  }

  async #send(): Promise<void> {
    const taken = this.#take()
    const minute = minuteOf(this.#options.clock)
    for (let start = 0; start < taken.length; start += DELTAS_A_CALL) {
      const deltas = taken
        .slice(start, start + DELTAS_A_CALL)
        .map(({ cell, field, by }) => ({ field: `${cell.name}:${field}`, by }))
      try {
        if (await this.#options.flush(minute, deltas)) continue
        return this.#putBack(taken.slice(start))
      } catch (error) {
        this.#report(error)
      }
    }
  }

  #take(): Taken[] {
    const taken: Taken[] = []
    for (const cell of this.groups.cells) {
      for (const field of COUNTER_FIELDS) {
        const by = Math.round(cell[field])
        cell[field] = 0
        if (by > 0 && Number.isSafeInteger(by)) taken.push({ cell, field, by })
      }
    }
    const minute = minuteOf(this.#options.clock)
    if (minute !== this.#minute) {
      this.#minute = minute
      this.groups = new Groups()
      this.#last = NOWHERE
    }
    return taken
  }

  #putBack(taken: readonly Taken[]): void {
    for (const { cell, field, by } of taken) {
      const { namespace, subject, tenant, severalTenants } = cell.of
      const told = subject !== null && !severalTenants
      const into = told ? this.groups.cell({ namespace, subject, tenant }) : this.groups.sum(namespace, subject)
      into[field] += by
    }
  }

  #report(error: unknown): void {
    try {
      this.#options.onError(error)
    } catch {
      // What a listener of the application throws must not end the flush.
    }
  }
}

class HeldGroup implements GroupCounter {
  readonly #counters: MinuteCounters
  readonly #place: CountedPlace
  #groups: Groups | null = null
  #cell = NOWHERE

  constructor(counters: MinuteCounters, place: CountedPlace) {
    this.#counters = counters
    this.#place = place
  }

  count(event: CountedEvent, amount = 1, loadMs = 0): void {
    const { groups } = this.#counters
    if (groups !== this.#groups) {
      this.#groups = groups
      this.#cell = groups.cell(this.#place)
    }
    this.#cell.add(event, amount, loadMs)
  }
}

function minuteOf(clock: Clock): number {
  return Math.floor(clock.now() / MINUTE_MS)
}
