// What is found in keys, without reading what they hold: TTLs, sizes, generations, leases, locks, who reads them.
import { shellWord } from '../shell-word.ts'
import { formatBytes, formatCount, formatDuration, formatPercent } from '../units.ts'
import type { GroupKeys } from './facts.ts'
import { groupsText, listed, type Rule } from './rule.ts'

const BIG_KEY_BYTES = 10 * 1024 ** 2
const MANY_DEAD = { keys: 100, share: 0.1 }
/** A bulk run holds its leases for 30 s, the library for 5 s, renewed while the load runs: nobody gives a longer one. */
export const LONGEST_LEASE_MS = 60_000
const LONG_LOCK_MS = 6 * 3_600_000

export const KEY_RULES: readonly Rule[] = [
  {
    id: 'no-ttl',
    severity: 'warning',
    check: 'keys',
    troubles: ['stale', 'memory'],
    threshold: 'keys without TTL where the config declares one',
    advice: 'they stay for ever: give them the TTL of the config, and find who writes them without cachectl',
    next: 'cachectl expire <target> --from-config --missing-only',
    find: ({ config }) =>
      config === null || config.withoutTtl.length === 0
        ? null
        : {
            evidence: `${groupsText(config.withoutTtl)} without TTL`,
            next: `cachectl expire ${namespacesOf(config.withoutTtl)} --from-config --missing-only`,
          },
  },
  {
    id: 'ttl-too-long',
    severity: 'warning',
    check: 'keys',
    troubles: ['stale', 'memory'],
    threshold: 'keys whose TTL is longer than the config allows (ttl + grace, by over 1 %)',
    advice: 'they were written with another config, or by other software: give them the TTL of the config',
    next: 'cachectl expire <target> --from-config',
    find: ({ config }) =>
      config === null || config.overTtl.length === 0
        ? null
        : {
            evidence: `${groupsText(config.overTtl)} beyond their TTL`,
            next: `cachectl expire ${namespacesOf(config.overTtl)} --from-config`,
          },
  },
  {
    id: 'undeclared',
    severity: 'info',
    check: 'keys',
    troubles: ['memory'],
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
    check: 'keys',
    troubles: ['misses'],
    threshold: 'a model of the config without one key',
    advice: 'nothing of it is cached: warm it, or remove it from the config',
    next: 'cachectl warm',
    find: ({ config }) =>
      config === null || config.emptyModels.length === 0
        ? null
        : {
            evidence: listed(config.emptyModels),
            next: `cachectl warm ${config.emptyModels.slice(0, 5).map(shellWord).join(' ')}`,
          },
  },
  {
    id: 'big-key',
    severity: 'warning',
    check: 'keys',
    troubles: ['memory'],
    threshold: `a key of at least ${formatBytes(BIG_KEY_BYTES)}`,
    advice: 'reading or deleting it holds the server up: split it, or compress it',
    next: 'cachectl stats --full --largest 20',
    find: ({ largest }) =>
      largest === null || largest.bytes < BIG_KEY_BYTES ? null : `${largest.key} has ${formatBytes(largest.bytes)}`,
  },
  {
    id: 'dead-keys',
    severity: 'warning',
    check: 'generations',
    troubles: ['memory'],
    threshold: `at least ${formatCount(MANY_DEAD.keys)} entries, and ${formatPercent(MANY_DEAD.share)} of them, are of generations or versions that nobody reads any more`,
    advice: 'they only take room until their TTL ends: sweep them',
    next: 'cachectl version prune',
    find: ({ checked: { generations } }) => {
      if (generations === undefined) return null
      const { dead, entries, example } = generations
      if (dead < MANY_DEAD.keys || dead < MANY_DEAD.share * entries) return null
      return `${formatCount(dead)} of ${formatCount(entries)} entries (${formatPercent(dead / entries)}), such as ${example}`
    },
  },
  {
    id: 'orphan-leases',
    severity: 'warning',
    check: 'leases',
    troubles: ['misses'],
    threshold: `leases of loads without TTL, or with more than ${formatDuration(LONGEST_LEASE_MS)} left`,
    advice:
      'no load of cachectl holds one so long, and who waits for it waits in vain: something else has written it, or taken its TTL away; invalidating the entry takes it away',
    next: 'cachectl invalidate key:<key>',
    find: ({ checked: { leases } }) => {
      if (leases === undefined || leases.orphans === 0 || leases.example === null) return null
      const left = leases.ttlMs === null ? 'no TTL' : `${formatDuration(leases.ttlMs)} left`
      return {
        evidence: `${formatCount(leases.orphans)}; that of ${leases.example} has ${left}`,
        next: `cachectl invalidate ${shellWord(`key:${leases.example}`)}`,
      }
    },
  },
  {
    id: 'lock-held',
    severity: 'warning',
    check: 'locks',
    troubles: ['misses'],
    threshold: `a lock of a run that never lapses, or was taken over ${formatDuration(LONG_LOCK_MS)} ago`,
    advice:
      'while it is held no other run does the same work: look whether its process is still there, and release it if not',
    next: 'cachectl lock show',
    find: ({ checked: { locks } }) => {
      const held = locks?.held.filter(({ ageMs }) => ageMs === null || ageMs > LONG_LOCK_MS) ?? []
      if (held.length === 0) return null
      return listed(
        held.map(({ name, holder, ageMs }) => {
          const since = ageMs === null ? 'without end' : `for ${formatDuration(ageMs)}`
          return `${name} ${since} by ${holder ?? 'somebody unknown'}`
        }),
      )
    },
  },
  {
    id: 'never-read',
    severity: 'info',
    check: 'reads',
    troubles: ['memory'],
    threshold:
      'a group of at least 100 keys that nobody read in the last hour, while at least 100 reads were counted in others',
    advice: 'it takes room and saves nothing: stop warming it, shorten its TTL, or evict it',
    next: 'cachectl evict <target> --dry-run',
    find: ({ checked: { reads } }) => {
      const [first] = reads?.neverRead ?? []
      if (reads === undefined || first === undefined) return null
      const groups = reads.neverRead.map(
        ({ group, keys, share }) => `${group} (${formatCount(keys)} keys, ${formatPercent(share)})`,
      )
      return {
        evidence: `${listed(groups)}, of ${formatCount(reads.reads)} reads none`,
        next: `cachectl evict ${shellWord(first.target)} --dry-run`,
      }
    },
  },
  {
    id: 'bytes-unknown',
    severity: 'info',
    check: 'keys',
    troubles: [],
    threshold: 'MEMORY USAGE is refused',
    advice: 'give the user `+memory|usage`; some managed services have no such command',
    next: null,
    find: (facts) => (facts.bytesKnown ? null : 'the server does not say how large keys are'),
  },
]

function namespacesOf(groups: readonly GroupKeys[]): string {
  const names = [...new Set(groups.flatMap(({ namespace }) => namespace ?? []))]
  return names.length === 0
    ? '<target>'
    : names
        .slice(0, 5)
        .map((name) => shellWord(`namespace:${name}`))
        .join(' ')
}
