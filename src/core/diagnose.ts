// What is wrong with a cache, by one table: the documentation prints it, `stats` judges by it. Thresholds stand here and nowhere else.
import { formatBytes, formatCount, formatDuration, formatPercent } from './units.ts'

export type Severity = 'info' | 'warning' | 'critical'

export interface Finding {
  id: string
  severity: Severity
  /** the figures that it was found by */
  evidence: string
  advice: string
  /** what to type next; null where there is nothing to type */
  next: string | null
}

export interface Health {
  status: 'healthy' | 'warning' | 'critical'
  findings: Finding[]
}

/** Null: unknown, and no finding is made of it. */
export interface Facts {
  usedMemoryBytes: number | null
  maxMemoryBytes: number | null
  systemMemoryBytes: number | null
  policy: string | null
  hits: number | null
  misses: number | null
  hitRateNow: number | null
  /** lookups that `hitRateNow` is made of */
  lookupsNow: number
  uptimeMs: number | null
  evictedKeys: number | null
  expiredKeys: number | null
  expiredStaleRatio: number | null
  fragmentationRatio: number | null
  connectedClients: number | null
  maxClients: number | null
  /** the last save to disk failed */
  saveFailed: boolean
  replica: boolean
  /** keys that were counted, control data excluded */
  keys: number
  noTtlKeys: number
  bytesKnown: boolean
  largest: { key: string; bytes: number } | null
  /** null: there is no config */
  config: ConfigFacts | null
}

export interface ConfigFacts {
  undeclaredKeys: number
  /** the largest undeclared group */
  undeclaredExample: string | null
  /** groups whose entries should all have a TTL, and keys in them that have none */
  withoutTtl: readonly { group: string; keys: number }[]
  /** groups with keys that live longer than the config allows */
  overTtl: readonly { group: string; keys: number }[]
  /** models of which nothing is cached */
  emptyModels: readonly string[]
}

export interface Rule {
  id: string
  severity: Severity
  /** when it is found, for people */
  threshold: string
  advice: string
  next: string | null
  /** the evidence, or null where there is nothing to find */
  find(facts: Facts): string | null
}

const MB = 1024 ** 2
const BIG_KEY_BYTES = 10 * MB
const ENOUGH_LOOKUPS = 10_000
/** Ratios of small servers say nothing: the overhead of the process dominates. */
const ENOUGH_MEMORY_BYTES = 100 * MB

export const FINDINGS: readonly Rule[] = [
  {
    id: 'save-failed',
    severity: 'critical',
    threshold: 'the last save to disk failed',
    advice:
      'unless stop-writes-on-bgsave-error is off, nothing can be cached until a save succeeds: look at the log and the disk of the server',
    next: 'redis-cli INFO persistence',
    find: (facts) => (facts.saveFailed ? 'rdb_last_bgsave_status is err' : null),
  },
  {
    id: 'memory-full',
    severity: 'critical',
    threshold: 'at least 95 % of maxmemory used under `noeviction`',
    advice:
      'writes fail when it is full: let it evict (allkeys-lru for a cache alone, volatile-lru where other data shares it) or raise maxmemory',
    next: 'redis-cli CONFIG SET maxmemory-policy allkeys-lru',
    find: (facts) => (memoryRatio(facts) >= 0.95 && facts.policy === 'noeviction' ? memoryEvidence(facts) : null),
  },
  {
    id: 'memory-high',
    severity: 'warning',
    threshold: '80 to 95 % of maxmemory used under `noeviction`',
    advice: 'shorten TTLs, let it evict, or raise maxmemory before writes fail',
    next: 'cachectl stats --full',
    find: (facts) =>
      memoryRatio(facts) >= 0.8 && memoryRatio(facts) < 0.95 && facts.policy === 'noeviction'
        ? memoryEvidence(facts)
        : null,
  },
  {
    id: 'memory-unbounded',
    severity: 'warning',
    threshold: 'no maxmemory, and at least 60 % of the machine’s memory used',
    advice: 'set maxmemory, or the system ends the server when memory is gone',
    next: 'redis-cli CONFIG SET maxmemory 2gb',
    find: (facts) => {
      const { usedMemoryBytes: used, systemMemoryBytes: system } = facts
      if (facts.maxMemoryBytes !== 0 || used === null || system === null || system === 0 || used < 0.6 * system)
        return null
      return `${formatBytes(used)} of the machine's ${formatBytes(system)}, no maxmemory`
    },
  },
  {
    id: 'no-maxmemory',
    severity: 'info',
    threshold: 'no maxmemory',
    advice: 'a cache should have a limit and a policy that evicts',
    next: 'redis-cli CONFIG SET maxmemory 2gb',
    find: (facts) => (facts.maxMemoryBytes === 0 ? `maxmemory is 0, policy ${facts.policy ?? 'unknown'}` : null),
  },
  {
    id: 'nothing-to-evict',
    severity: 'warning',
    threshold: 'a volatile-* policy, at least 80 % of maxmemory used, and over half of the keys without TTL',
    advice: 'under this policy only keys with a TTL can be evicted: give the others one, or choose an allkeys-* policy',
    next: 'cachectl stats --full',
    find: (facts) => {
      if (!facts.policy?.startsWith('volatile-') || memoryRatio(facts) < 0.8 || facts.noTtlKeys * 2 <= facts.keys)
        return null
      return `${formatCount(facts.noTtlKeys)} of ${formatCount(facts.keys)} keys have no TTL; ${memoryEvidence(facts)}`
    },
  },
  {
    id: 'evictions',
    severity: 'warning',
    threshold: 'at least 1,000 evictions since the start, and at least 10 % of all keys that left were evicted',
    advice: 'entries leave before their time: raise maxmemory, shorten TTLs, or cache less',
    next: 'cachectl stats --full --largest 20',
    find: ({ evictedKeys: evicted, expiredKeys: expired }) => {
      if (evicted === null || expired === null || evicted < 1000 || evicted < 0.1 * (evicted + expired)) return null
      return `${formatCount(evicted)} evicted, ${formatCount(expired)} expired since the server started`
    },
  },
  {
    id: 'hit-rate-low',
    severity: 'warning',
    threshold: 'under 80 % of at least 10,000 lookups hit (of the last moments with --interval, else since the start)',
    advice:
      'warm what is asked for, lengthen TTLs, or stop caching what is read once; the rate is of the whole server, other software included',
    next: 'cachectl warm',
    find: lowHitRate,
  },
  {
    id: 'no-ttl',
    severity: 'warning',
    threshold: 'keys without TTL where the config declares one',
    advice: 'they stay for ever: find who writes them without cachectl, and delete or rewrite them',
    next: 'cachectl keys namespace:<name> -o ndjson',
    find: (facts) => groupsEvidence(facts.config?.withoutTtl ?? [], 'without TTL'),
  },
  {
    id: 'ttl-too-long',
    severity: 'warning',
    threshold: 'keys whose TTL is longer than the config allows (ttl + grace, by over 1 %)',
    advice: 'they were written with another config, or by other software: warm them again, or let them expire',
    next: 'cachectl warm --refresh',
    find: (facts) => groupsEvidence(facts.config?.overTtl ?? [], 'beyond their TTL'),
  },
  {
    id: 'undeclared',
    severity: 'info',
    threshold: 'at least 1 % of the keys belong to nothing in the config',
    advice: 'other software shares this database, or a namespace or model is missing in the config',
    next: 'cachectl stats --by pattern',
    find: ({ config, keys }) => {
      if (config === null || keys === 0 || config.undeclaredKeys < 0.01 * keys) return null
      const example = config.undeclaredExample === null ? '' : `, most of them ${config.undeclaredExample}`
      return `${formatCount(config.undeclaredKeys)} of ${formatCount(keys)} keys${example}`
    },
  },
  {
    id: 'not-cached',
    severity: 'info',
    threshold: 'a model of the config without one key',
    advice: 'nothing of it is cached: warm it, or remove it from the config',
    next: 'cachectl warm',
    find: ({ config }) => (config === null || config.emptyModels.length === 0 ? null : listed(config.emptyModels)),
  },
  {
    id: 'big-key',
    severity: 'warning',
    threshold: `a key of at least ${formatBytes(BIG_KEY_BYTES)}`,
    advice: 'reading or deleting it holds the server up: split it, or compress it',
    next: 'cachectl stats --full --largest 20',
    find: ({ largest }) =>
      largest === null || largest.bytes < BIG_KEY_BYTES ? null : `${largest.key} has ${formatBytes(largest.bytes)}`,
  },
  {
    id: 'fragmentation',
    severity: 'warning',
    threshold: `memory fragmentation over 1.5 with at least ${formatBytes(ENOUGH_MEMORY_BYTES)} used`,
    advice: 'the process holds more memory than its data: turn on activedefrag, or restart it in a quiet hour',
    next: 'redis-cli CONFIG SET activedefrag yes',
    find: (facts) => fragmentation(facts, (ratio) => ratio > 1.5),
  },
  {
    id: 'swapping',
    severity: 'warning',
    threshold: `memory fragmentation under 0.9 with at least ${formatBytes(ENOUGH_MEMORY_BYTES)} used`,
    advice:
      'a part of the data is probably in swap, where each lookup is slow: give the machine memory or lower maxmemory',
    next: 'redis-cli INFO memory',
    find: (facts) => fragmentation(facts, (ratio) => ratio < 0.9),
  },
  {
    id: 'expired-backlog',
    severity: 'warning',
    threshold: 'an estimated 25 % of the keys with TTL are expired and still in memory',
    advice: 'more expires at once than the server clears: spread TTLs with `jitter`, or raise active-expire-effort',
    next: 'redis-cli INFO stats',
    find: ({ expiredStaleRatio: ratio }) =>
      ratio === null || ratio < 0.25 ? null : `${formatPercent(ratio)} expired and not yet removed`,
  },
  {
    id: 'clients-near-limit',
    severity: 'warning',
    threshold: 'at least 90 % of maxclients connected',
    advice: 'the next ones are refused: look for connections that nobody closes, or raise maxclients',
    next: 'redis-cli CLIENT LIST',
    find: ({ connectedClients: clients, maxClients: limit }) =>
      clients === null || limit === null || limit === 0 || clients < 0.9 * limit
        ? null
        : `${formatCount(clients)} of ${formatCount(limit)} clients`,
  },
  {
    id: 'replica',
    severity: 'info',
    threshold: 'the server is a replica',
    advice: 'hits, misses and evictions are its own, not those of the primary',
    next: null,
    find: (facts) => (facts.replica ? 'these figures are of a replica' : null),
  },
  {
    id: 'bytes-unknown',
    severity: 'info',
    threshold: 'MEMORY USAGE is refused',
    advice: 'give the user `+memory|usage`; some managed services have no such command',
    next: null,
    find: (facts) => (facts.bytesKnown ? null : 'the server does not say how large keys are'),
  },
]

/** Everything that the table finds in these facts, worst first. */
export function diagnose(facts: Facts): Health {
  const findings: Finding[] = []
  for (const { id, severity, advice, next, find } of FINDINGS) {
    const evidence = find(facts)
    if (evidence !== null) findings.push({ id, severity, evidence, advice, next })
  }
  const rank: Record<Severity, number> = { critical: 0, warning: 1, info: 2 }
  findings.sort((a, b) => rank[a.severity] - rank[b.severity])
  const worst = findings[0]?.severity
  return { status: worst === undefined || worst === 'info' ? 'healthy' : worst, findings }
}

function memoryRatio({ usedMemoryBytes: used, maxMemoryBytes: max }: Facts): number {
  return used === null || max === null || max === 0 ? 0 : used / max
}

function memoryEvidence(facts: Facts): string {
  return `${formatBytes(facts.usedMemoryBytes ?? 0)} of ${formatBytes(facts.maxMemoryBytes ?? 0)} (${facts.policy})`
}

function lowHitRate(facts: Facts): string | null {
  const { hits, misses, hitRateNow, lookupsNow, uptimeMs } = facts
  if (hitRateNow !== null && lookupsNow >= ENOUGH_LOOKUPS)
    return hitRateNow < 0.8 ? `${formatPercent(hitRateNow)} of ${formatCount(lookupsNow)} lookups just now` : null
  if (hits === null || misses === null || hits + misses < ENOUGH_LOOKUPS || hits >= 0.8 * (hits + misses)) return null
  return `${formatPercent(hits / (hits + misses))} of ${formatCount(hits + misses)} lookups${uptimeMs === null ? '' : ` in ${formatDuration(uptimeMs)}`}`
}

function fragmentation(
  { usedMemoryBytes: used, fragmentationRatio: ratio }: Facts,
  found: (ratio: number) => boolean,
): string | null {
  if (used === null || ratio === null || used < ENOUGH_MEMORY_BYTES || !found(ratio)) return null
  return `ratio ${ratio.toFixed(2)} with ${formatBytes(used)} used`
}

function groupsEvidence(groups: readonly { group: string; keys: number }[], what: string): string | null {
  if (groups.length === 0) return null
  return `${listed(groups.map(({ group, keys }) => `${formatCount(keys)} in ${group}`))} ${what}`
}

function listed(items: readonly string[]): string {
  const shown = items.slice(0, 5).join(', ')
  return items.length > 5 ? `${shown} and ${items.length - 5} more` : shown
}
