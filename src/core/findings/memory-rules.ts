// What is found in the memory of the server: limits, policy, evictions, fragmentation, saves.
import { formatBytes, formatCount, formatDuration, formatPercent } from '../units.ts'
import type { Facts } from './facts.ts'
import { listed, type Rule } from './rule.ts'

const MB = 1024 ** 2
const HOUR_MS = 3_600_000
const ENOUGH_LOOKUPS = 10_000
/** Ratios of small servers say nothing: the overhead of the process dominates. */
const ENOUGH_MEMORY_BYTES = 100 * MB
/** Of all keys: fewer without TTL keep nothing from being evicted. */
const MANY_WITHOUT_TTL = 0.1

export const MEMORY_RULES: readonly Rule[] = [
  {
    id: 'save-failed',
    severity: 'critical',
    check: 'persistence',
    troubles: ['invalidation', 'misses'],
    threshold: 'the last save to disk failed (RDB, AOF, or AOF rewrite)',
    advice:
      'unless stop-writes-on-bgsave-error is off, nothing can be cached or invalidated until a save succeeds: look at the log and the disk of the server',
    next: 'redis-cli INFO persistence',
    find: ({ failedSaves }) => (failedSaves.length === 0 ? null : listed(failedSaves)),
  },
  {
    id: 'memory-full',
    severity: 'critical',
    check: 'memory',
    troubles: ['memory', 'misses'],
    threshold: 'at least 95 % of maxmemory used under `noeviction`',
    advice:
      'writes fail when it is full: let it evict (allkeys-lru for a cache alone, volatile-lru where other data shares it) or raise maxmemory',
    next: 'cachectl policy check',
    find: (facts) => (memoryRatio(facts) >= 0.95 && facts.policy === 'noeviction' ? memoryText(facts) : null),
  },
  {
    id: 'memory-high',
    severity: 'warning',
    check: 'memory',
    troubles: ['memory'],
    threshold: '80 to 95 % of maxmemory used under `noeviction`',
    advice: 'shorten TTLs, set budgets and evict by them, or raise maxmemory before writes fail',
    next: 'cachectl evict --dry-run',
    find: (facts) =>
      memoryRatio(facts) >= 0.8 && memoryRatio(facts) < 0.95 && facts.policy === 'noeviction'
        ? memoryText(facts)
        : null,
  },
  {
    id: 'memory-unbounded',
    severity: 'warning',
    check: 'memory',
    troubles: ['memory'],
    threshold: 'no maxmemory, and at least 60 % of the machine’s memory used',
    advice: 'set maxmemory, or the system ends the server when memory is gone',
    next: 'cachectl policy check',
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
    check: 'memory',
    troubles: ['memory'],
    threshold: 'no maxmemory',
    advice: 'a cache should have a limit and a policy that evicts',
    next: 'cachectl policy check',
    find: (facts) => (facts.maxMemoryBytes === 0 ? `maxmemory is 0, policy ${facts.policy ?? 'unknown'}` : null),
  },
  {
    id: 'nothing-to-evict',
    severity: 'warning',
    check: 'keys',
    troubles: ['memory'],
    threshold: 'a volatile-* policy, at least 80 % of maxmemory used, and over half of the keys without TTL',
    advice: 'under this policy only keys with a TTL can be evicted: give the others one, or choose an allkeys-* policy',
    next: 'cachectl expire all --from-config --missing-only --dry-run',
    find: (facts) => {
      if (!facts.policy?.startsWith('volatile-') || memoryRatio(facts) < 0.8 || facts.noTtlKeys * 2 <= facts.keys)
        return null
      return `${formatCount(facts.noTtlKeys)} of ${formatCount(facts.keys)} keys have no TTL; ${memoryText(facts)}`
    },
  },
  {
    id: 'never-evicted',
    severity: 'info',
    check: 'keys',
    troubles: ['memory'],
    threshold: `a volatile-* policy with a maxmemory, and at least ${formatPercent(MANY_WITHOUT_TTL)} of the keys without TTL`,
    advice: 'these stay when memory is full, and the others go in their place',
    next: 'cachectl stats --full',
    find: ({ policy, maxMemoryBytes, noTtlKeys, keys }) =>
      policy?.startsWith('volatile-') && maxMemoryBytes !== 0 && keys > 0 && noTtlKeys >= MANY_WITHOUT_TTL * keys
        ? `${formatCount(noTtlKeys)} of ${formatCount(keys)} keys have no TTL under ${policy}`
        : null,
  },
  {
    id: 'control-evictable',
    severity: 'info',
    check: 'memory',
    troubles: ['misses'],
    threshold: 'an allkeys-* policy with a maxmemory',
    advice:
      "it may evict cachectl's own data too: that costs misses, and never brings old data back; volatile-* spares what has no TTL",
    next: null,
    find: ({ policy, maxMemoryBytes }) =>
      policy?.startsWith('allkeys-') && maxMemoryBytes !== null && maxMemoryBytes > 0
        ? `maxmemory-policy is ${policy}`
        : null,
  },
  {
    id: 'policy-drift',
    severity: 'warning',
    check: 'policy',
    troubles: ['memory'],
    threshold: 'maxmemory or maxmemory-policy is not what `server` of the config says',
    advice: 'somebody changed it, or the server was restarted without it: put it back, or change the config',
    next: 'cachectl policy check',
    find: ({ checked: { policy } }) =>
      policy === undefined || policy.drift.length === 0 ? null : listed(policy.drift),
  },
  {
    id: 'evictions',
    severity: 'warning',
    check: 'memory',
    troubles: ['memory', 'misses'],
    threshold: 'at least 1,000 evictions since the start, and at least 10 % of all keys that left were evicted',
    advice: 'entries leave before their time: raise maxmemory, shorten TTLs, or cache less',
    next: 'cachectl stats --full --largest 20',
    find: ({ evictedKeys: evicted, expiredKeys: expired, uptimeMs }) => {
      if (evicted === null || expired === null || evicted < 1000 || evicted < 0.1 * (evicted + expired)) return null
      const hourly =
        uptimeMs === null || uptimeMs < HOUR_MS ? '' : ` (${formatCount(evicted / (uptimeMs / HOUR_MS))} an hour)`
      return `${formatCount(evicted)} evicted${hourly}, ${formatCount(expired)} expired since the server started`
    },
  },
  {
    id: 'hit-rate-low',
    severity: 'warning',
    check: 'hits',
    troubles: ['misses'],
    threshold: 'under 80 % of at least 10,000 lookups hit (of the last moments with --interval, else since the start)',
    advice:
      'warm what is asked for, lengthen TTLs, or stop caching what is read once; the rate is of the whole server, other software included',
    next: 'cachectl stats --interval 10s',
    find: lowHitRate,
  },
  {
    id: 'fragmentation',
    severity: 'warning',
    check: 'memory',
    troubles: ['memory'],
    threshold: `memory fragmentation over 1.5 with at least ${formatBytes(ENOUGH_MEMORY_BYTES)} used`,
    advice: 'the process holds more memory than its data: turn on activedefrag, or restart it in a quiet hour',
    next: 'redis-cli CONFIG SET activedefrag yes',
    find: (facts) => fragmentation(facts, (ratio) => ratio > 1.5),
  },
  {
    id: 'swapping',
    severity: 'warning',
    check: 'memory',
    troubles: ['memory'],
    threshold: `memory fragmentation under 0.9 with at least ${formatBytes(ENOUGH_MEMORY_BYTES)} used`,
    advice:
      'a part of the data is probably in swap, where each lookup is slow: give the machine memory or lower maxmemory',
    next: 'redis-cli INFO memory',
    find: (facts) => fragmentation(facts, (ratio) => ratio < 0.9),
  },
  {
    id: 'expired-backlog',
    severity: 'warning',
    check: 'memory',
    troubles: ['memory'],
    threshold: 'an estimated 25 % of the keys with TTL are expired and still in memory',
    advice: 'more expires at once than the server clears: spread TTLs with `jitter`, or raise active-expire-effort',
    next: 'redis-cli INFO stats',
    find: ({ expiredStaleRatio: ratio }) =>
      ratio === null || ratio < 0.25 ? null : `${formatPercent(ratio)} expired and not yet removed`,
  },
  {
    id: 'other-databases',
    severity: 'info',
    check: 'databases',
    troubles: ['memory'],
    threshold: 'other databases of the same server hold keys',
    advice: 'memory, policy and evictions are shared with them; policy apply changes theirs too',
    next: 'cachectl policy check',
    find: ({ checked: { databases } }) =>
      databases === undefined || databases.others.length === 0
        ? null
        : listed(databases.others.map(({ database, keys }) => `${formatCount(keys)} keys in database ${database}`)),
  },
]

function memoryRatio({ usedMemoryBytes: used, maxMemoryBytes: max }: Facts): number {
  return used === null || max === null || max === 0 ? 0 : used / max
}

function memoryText(facts: Facts): string {
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
