// What processes saw of a cache, and whether it may be so: a read that began after an invalidation had resolved gives no version older than the one
// that was written before it. Times are those of CLOCK_MONOTONIC (process.hrtime), which all processes of a machine share.

export interface ReadEvent {
  trial: number
  /** what the value says of itself; another one than `trial` has crossed */
  of: number
  version: number
  startMs: number
  process: number
}

export interface InvalidationEvent {
  trial: number
  /** written to the source before the invalidation was called */
  version: number
  /** when it had resolved */
  endMs: number
  process: number
  status: 'applied' | 'queued'
}

export interface History {
  reads: ReadEvent[]
  invalidations: InvalidationEvent[]
  /** values that were loaded from the source */
  loads: number
  /** reads that the memory of the process answered */
  nearHits: number
}

export interface Violation {
  read: ReadEvent
  /** the oldest version that it may have given */
  required: number
}

export function monotonicMs(): number {
  return Number(process.hrtime.bigint()) / 1e6
}

export function emptyHistory(): History {
  return { reads: [], invalidations: [], loads: 0, nearHits: 0 }
}

export function joinHistories(histories: readonly History[]): History {
  const joined = emptyHistory()
  for (const { reads, invalidations, loads, nearHits } of histories) {
    for (const read of reads) joined.reads.push(read)
    for (const invalidation of invalidations) joined.invalidations.push(invalidation)
    joined.loads += loads
    joined.nearHits += nearHits
  }
  return joined
}

/** `queued` binds the process that was told so: it trusts nothing before it is applied. `applied` binds all. */
export function violationsOf({ reads, invalidations }: History): Violation[] {
  const byTrial = new Map<number, InvalidationEvent[]>()
  for (const invalidation of invalidations) {
    const known = byTrial.get(invalidation.trial)
    if (known) known.push(invalidation)
    else byTrial.set(invalidation.trial, [invalidation])
  }
  const violations: Violation[] = []
  for (const read of reads) {
    let required = 0
    for (const { endMs, version, status, process } of byTrial.get(read.trial) ?? []) {
      const binds = status === 'applied' || process === read.process
      if (binds && endMs < read.startMs) required = Math.max(required, version)
    }
    if (read.of !== read.trial || read.version < required) violations.push({ read, required })
  }
  return violations
}

/** Of how many trials at least one read was wrong. */
export function trialsIn(violations: readonly Violation[]): number {
  return new Set(violations.map(({ read }) => read.trial)).size
}
