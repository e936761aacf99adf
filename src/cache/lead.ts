// A load that this process leads: for which entries, with what, how. Types only.
import type { Mirror } from './control-mirror.ts'
import type { Flight, Flights } from './flights.ts'
import type { GoodEntry } from './judging.ts'
import type { Kernel, LoadControl, LoadMany, Place, Policy } from './kernel.ts'
import type { Link } from './link.ts'
import type { Gate } from './load-control.ts'
import type { Reader } from './reading.ts'
import type { Near } from './tiers.ts'

/** One entry to be loaded. */
export interface Lead {
  place: Place
  key: string
  mirror: Mirror
  flight: Flight
  /** of the LoadMany call */
  index: number
  /** what is there and is not good enough */
  stale: LoadControl['stale']
  /** when what was there was made, good or not; what is found to be another was loaded by somebody else meanwhile */
  seenMs: number | null
}

export interface LeadContext
  extends Pick<Kernel, 'config' | 'clock' | 'random' | 'counters' | 'writer' | 'production' | 'report'> {
  link: Link
  reader: Reader
  flights: Flights
  near: Near | null
  closing: AbortSignal
  deadlineMs: number
  /** of loaders while Redis is away: a bounded number at once */
  gate: Gate
}

export interface LeadOptions {
  policy: Policy
  load: LoadMany
  /** `take`: whoever holds the lease loses it; `yield`: where somebody else holds it, nothing is done */
  lease: 'wait' | 'take' | 'yield'
  /** Whether an entry that is found there after all is good enough. */
  accepts(entry: GoodEntry): Promise<boolean>
}
