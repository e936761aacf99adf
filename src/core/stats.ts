// The report of `stats`, and how it is made of what was counted. Bytes and milliseconds; null where unknown, never 0.
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
  /** namespace and subject are in the config */
  declared: boolean
  keys: number
  bytes: number | null
  /** of all keys that were counted; 0 to 1 */
  share: number
  noTtlKeys: number
  ttl: TtlSummary
  age: AgeSummary | null
  hits: number | null
  misses: number | null
  hitRate: number | null
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
}

/** The groups as the report gives them, largest first. */
export function summarise(counted: CountedGroups, options: SummaryOptions): Summary {
  const all = counted.groups
  const shown = all.length > options.top + 1 ? all.slice(0, options.top) : all
  const summed = all.slice(shown.length)
  const z = criticalValue(shown.length + 2)
  const keys = all.reduce((sum, group) => sum + group.tally.keys, 0)
  const describe = (group: string, tally: Tally): StatsGroup => describeTally(group, tally, keys, options, z)

  const groups = shown.map(({ identity, tally }): StatsGroup => {
    const { group, namespace, subject, tenant, version, declaration } = identity
    const place = { namespace, subject, tenant, version, declared: declaration.declared }
    return { ...describe(group, tally), ...place, age: counted.ages.get(group) ?? null }
  })
  if (summed.length > 0) groups.push(describe(`(${summed.length} more groups)`, joined(summed)))
  const control = estimateTally(counted.control, options, z)
  return {
    groups,
    total: describe('(all)', joined(all)),
    control: { keys: control.keys, bytes: control.bytes },
    summed: summed.length,
  }
}

function joined(groups: readonly Group[]): Tally {
  const sum = createTally()
  for (const { tally } of groups) mergeTally(sum, tally)
  return sum
}

function describeTally(group: string, tally: Tally, allKeys: number, options: SummaryOptions, z: number): StatsGroup {
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
    hits: null,
    misses: null,
    hitRate: null,
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
