// The report of `stats`, and how it is made of what was counted. Bytes and milliseconds; null where unknown, never 0.
import type { ReadCounts } from './counted-reads.ts'
import { criticalValue, type Estimate, estimateGroup, type SampleSize } from './estimate.ts'
import type { Group } from './groups.ts'
import { percentile, TTL_CLASSES_MS } from './histogram.ts'
import { createTally, mergeTally, type Tally } from './tally.ts'

export interface StatsGroup {
  group: string
  namespace: string | null
  subject: string | null
  tenant: string | null
  version: string | null
  /** namespace and subject are in the config, or the namespace is and live processes read the subject in the last hour */
  declared: boolean
  keys: number
  bytes: number | null
  /** of all keys that were counted; 0 to 1 */
  share: number
  noTtlKeys: number
  ttl: TtlSummary
  age: AgeSummary | null
  /** reads by the library in the last hour, stale ones are hits; null where nothing was counted, or not of such groups */
  hits: number | null
  misses: number | null
  /** null where nothing was read */
  hitRate: number | null
  loads: number | null
  /** null where nothing was loaded */
  loadMs: { mean: number } | null
  /** plus or minus; null where keys were counted, not estimated */
  error: { keys: number; bytes: number | null } | null
}

export interface TtlSummary {
  p50Ms: number | null
  p95Ms: number | null
  /** keys whose TTL is under `underMs` and not under that of the bucket before; the last one has no bound */
  buckets: { underMs: number | null; keys: number }[]
}

export interface AgeSummary {
  p50Ms: number | null
  p95Ms: number | null
  /** entries whose header was read */
  read: number
}

export interface StatsServer {
  usedMemoryBytes: number | null
  maxMemoryBytes: number | null
  policy: string | null
  keys: number | null
  /** since the server started, all databases and clients */
  hits: number | null
  misses: number | null
  hitRate: number | null
  /** over `intervalMs`, without the lookups of this run */
  hitRateNow: number | null
  intervalMs: number | null
  evictedKeys: number | null
  expiredKeys: number | null
  fragmentationRatio: number | null
  connectedClients: number | null
  uptimeMs: number | null
}

export interface SummaryOptions {
  /** groups that are shown; the others are summed */
  top: number
  /** null: everything was visited */
  sample: SampleSize | null
  /** false where a sample is not random: estimates are given without an error then */
  errorsKnown: boolean
}

export interface Summary {
  groups: StatsGroup[]
  /** all groups together, control data excluded */
  total: StatsGroup
  control: { keys: number; bytes: number | null }
  /** groups that are summed in the last one */
  summed: number
}

export interface CountedGroups {
  groups: readonly Group[]
  control: Tally
  ages: ReadonlyMap<string, AgeSummary>
  /** null in all: nothing is known */
  reads: { of: ReadonlyMap<Group, ReadCounts>; total: ReadCounts | null }
}

/** The groups as the report gives them, largest first. */
export function summarise(counted: CountedGroups, options: SummaryOptions): Summary {
  const all = counted.groups
  const shown = all.length > options.top + 1 ? all.slice(0, options.top) : all
  const summed = all.slice(shown.length)
  const z = criticalValue(shown.length + 2)
  const keys = all.reduce((sum, group) => sum + group.tally.keys, 0)
  const { of: readsOf, total: allReads } = counted.reads
  const describe = (group: string, tally: Tally, reads: ReadCounts | null): StatsGroup => ({
    ...describeTally(group, tally, keys, options, z),
    ...describeReads(reads),
  })

  const groups = shown.map((one): StatsGroup => {
    const { group, namespace, subject, tenant, version, declaration } = one.identity
    const place = { namespace, subject, tenant, version, declared: declaration.declared }
    const described = describe(group, one.tally, readsOf.get(one) ?? null)
    return { ...described, ...place, age: counted.ages.get(group) ?? null }
  })
  if (summed.length > 0)
    groups.push(describe(`(${summed.length} more groups)`, joined(summed), joinedReads(summed, readsOf)))
  const control = estimateTally(counted.control, options, z)
  return {
    groups,
    total: describe('(all)', joined(all), allReads),
    control: { keys: control.keys, bytes: control.bytes },
    summed: summed.length,
  }
}

function joined(groups: readonly Group[]): Tally {
  const sum = createTally()
  for (const { tally } of groups) mergeTally(sum, tally)
  return sum
}

/** Null where none of them was read. */
function joinedReads(groups: readonly Group[], of: ReadonlyMap<Group, ReadCounts>): ReadCounts | null {
  let sum: ReadCounts | null = null
  for (const group of groups) {
    const reads = of.get(group)
    if (reads === undefined) continue
    sum ??= { hits: 0, misses: 0, loads: 0, loadUs: 0 }
    sum.hits += reads.hits
    sum.misses += reads.misses
    sum.loads += reads.loads
    sum.loadUs += reads.loadUs
  }
  return sum
}

/** Null in all where nothing was counted. */
export function describeReads(
  reads: ReadCounts | null,
): Pick<StatsGroup, 'hits' | 'misses' | 'hitRate' | 'loads' | 'loadMs'> {
  if (reads === null) return { hits: null, misses: null, hitRate: null, loads: null, loadMs: null }
  const { hits, misses, loads, loadUs } = reads
  return {
    hits,
    misses,
    hitRate: hits + misses === 0 ? null : hits / (hits + misses),
    loads,
    loadMs: loads === 0 ? null : { mean: Math.round(loadUs / loads) / 1000 },
  }
}

function describeTally(
  group: string,
  tally: Tally,
  allKeys: number,
  options: SummaryOptions,
  z: number,
): Omit<StatsGroup, 'hits' | 'misses' | 'hitRate' | 'loads' | 'loadMs'> {
  const { keys, bytes, error } = estimateTally(tally, options, z)
  const scale = tally.keys === 0 ? 0 : keys / tally.keys
  return {
    group,
    namespace: null,
    subject: null,
    tenant: null,
    version: null,
    declared: false,
    keys,
    bytes,
    share: allKeys === 0 ? 0 : tally.keys / allKeys,
    noTtlKeys: Math.round(tally.noTtl * scale),
    ttl: describeTtl(tally, scale),
    age: null,
    error: options.sample === null || !options.errorsKnown ? null : error,
  }
}

function estimateTally(tally: Tally, options: SummaryOptions, z: number): Estimate {
  if (options.sample !== null) return estimateGroup(tally, options.sample, z)
  // Where some sizes are refused, the others are taken for typical; where all are, nothing is known.
  const bytes =
    tally.keys === 0
      ? 0
      : tally.sized === 0
        ? null
        : tally.sized === tally.keys
          ? tally.bytes
          : Math.round((tally.bytes / tally.sized) * tally.keys)
  return { keys: tally.keys, bytes, error: { keys: 0, bytes: 0 } }
}

function describeTtl(tally: Tally, scale: number): TtlSummary {
  const classes = tally.ttl?.classes
  return {
    p50Ms: tally.ttl === null ? null : percentile(tally.ttl, 0.5),
    p95Ms: tally.ttl === null ? null : percentile(tally.ttl, 0.95),
    buckets: [...TTL_CLASSES_MS, null].map((underMs, index) => ({
      underMs,
      keys: Math.round((classes?.[index] ?? 0) * scale),
    })),
  }
}
