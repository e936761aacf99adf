import { describe, expect, it } from 'vitest'
import { diagnose, type Facts, FINDINGS } from '../../src/core/diagnose.ts'
import { CHECKS, TROUBLES } from '../../src/core/findings/checks.ts'
import { type CheckedFacts, NOTHING_KNOWN } from '../../src/core/findings/facts.ts'

const MB = 1024 ** 2
const healthy: Facts = {
  usedMemoryBytes: 200 * MB,
  maxMemoryBytes: 1000 * MB,
  systemMemoryBytes: 8000 * MB,
  policy: 'allkeys-lru',
  hits: 95_000,
  misses: 5000,
  hitRateNow: null,
  lookupsNow: 0,
  uptimeMs: 86_400_000,
  evictedKeys: 0,
  expiredKeys: 1000,
  expiredStaleRatio: 0.01,
  fragmentationRatio: 1.1,
  connectedClients: 10,
  maxClients: 10_000,
  failedSaves: [],
  replica: false,
  keys: 1000,
  noTtlKeys: 0,
  bytesKnown: true,
  largest: { key: 'k', bytes: 1000 },
  config: { undeclaredKeys: 0, undeclaredExample: null, withoutTtl: [], overTtl: [], emptyModels: [] },
  checked: {
    connection: { failure: null },
    latency: { server: 'redis:6379', pings: 100, p50Ms: 0.2, p99Ms: 2 },
    clock: { server: 'redis:6379', skewMs: 20 },
    rights: { missing: [] },
    policy: { drift: [] },
    databases: { others: [] },
    replication: { behind: [], cutOff: [], alone: [] },
    clients: { buffers: [] },
    slowlog: { entries: 2, slowest: { ms: 20, command: 'MGET shop:v1:detail:product:1' } },
    generations: { entries: 1000, dead: 0, example: null },
    leases: { orphans: 0, example: null, ttlMs: null },
    locks: { held: [{ name: 'warm:product', holder: 'web:1', ageMs: 3_600_000 }] },
    control: { missing: false, entries: 1000, otherHistory: null, flushes: 0, ageMs: 60_000 },
    processes: { registered: 2, silent: [] },
    journal: { unfinished: [] },
    reads: { reads: 1000, neverRead: [] },
    entries: { headers: 500, undecodable: [], otherIncarnation: 0, cheap: [], oldWarms: [] },
    tenants: { rows: 100, misplaced: [] },
    source: { rows: 100, stale: [] },
  },
}
const checked = (more: CheckedFacts): Partial<Facts> => ({ checked: { ...healthy.checked, ...more } })
const control = (more: Partial<NonNullable<CheckedFacts['control']>>): Partial<Facts> =>
  checked({ control: { ...(healthy.checked?.control as NonNullable<CheckedFacts['control']>), ...more } })
const config = (more: Partial<NonNullable<Facts['config']>>): Partial<Facts> => ({
  config: { ...(healthy.config as NonNullable<Facts['config']>), ...more },
})

const failed = (code: string): Partial<Facts> =>
  checked({ connection: { failure: { code, message: 'redis:6379 is not there', hint: 'start it' } } })
const latency = (p50Ms: number, p99Ms: number): Partial<Facts> =>
  checked({ latency: { server: 'redis:6379', pings: 100, p50Ms, p99Ms } })
const slow = (entries: number, ms: number): Partial<Facts> =>
  checked({ slowlog: { entries, slowest: { ms, command: 'GET x' } } })
const dead = (count: number, entries: number): Partial<Facts> =>
  checked({ generations: { entries, dead: count, example: 'shop:v1~a:detail:product:1' } })
const entries = (more: Partial<NonNullable<CheckedFacts['entries']>>): Partial<Facts> =>
  checked({ entries: { ...(healthy.checked.entries as NonNullable<CheckedFacts['entries']>), ...more } })
const lock = (ageMs: number | null): Partial<Facts> =>
  checked({ locks: { held: [{ name: 'warm:product', holder: null, ageMs }] } })

/** For each rule: facts just over its threshold, and just under. */
const borders: Record<string, [over: Partial<Facts>, under: Partial<Facts>]> = {
  unreachable: [failed('REDIS_UNREACHABLE'), failed('REDIS_TIMEOUT')],
  'no-answer': [failed('REDIS_TIMEOUT'), failed('REDIS_AUTH')],
  'login-refused': [failed('REDIS_AUTH'), failed('REDIS_TLS')],
  'tls-failed': [failed('REDIS_TLS'), failed('REDIS_AUTH')],
  latency: [latency(10, 11), latency(9.9, 99.9)],
  'clock-skew': [checked({ clock: { server: 's', skewMs: -2001 } }), checked({ clock: { server: 's', skewMs: 2000 } })],
  'rights-missing': [checked({ rights: { missing: [{ verb: 'stats', commands: ['SCAN'] }] } }), {}],
  'replica-cut-off': [checked({ replication: { behind: [], cutOff: ['s has lost its primary'], alone: [] } }), {}],
  'replica-behind': [checked({ replication: { behind: ['r is 12 s behind'], cutOff: [], alone: [] } }), {}],
  'writes-alone': [checked({ replication: { behind: [], cutOff: [], alone: ['s, which has one replica'] } }), {}],
  'client-buffers': [checked({ clients: { buffers: [{ client: 'web', bytes: 9 * MB }] } }), {}],
  'slow-commands': [slow(10, 11), slow(9, 99)],
  'never-evicted': [
    { policy: 'volatile-lru', noTtlKeys: 100 },
    { policy: 'volatile-lru', noTtlKeys: 99 },
  ],
  'control-evictable': [{ policy: 'allkeys-lru' }, { policy: 'volatile-lru' }],
  'policy-drift': [
    checked({ policy: { drift: ['maxmemory-policy is noeviction, the config says volatile-lru'] } }),
    {},
  ],
  'other-databases': [checked({ databases: { others: [{ database: '3', keys: 7 }] } }), {}],
  'dead-keys': [dead(100, 1000), dead(99, 100)],
  'orphan-leases': [checked({ leases: { orphans: 1, example: 'shop:v1:detail:product:1', ttlMs: null } }), {}],
  'lock-held': [lock(null), lock(6 * 3_600_000)],
  'never-read': [
    checked({
      reads: { reads: 100, neverRead: [{ group: 'list:*', target: 'namespace:list', keys: 100, share: 0.2 }] },
    }),
    {},
  ],
  'incarnation-missing': [control({ missing: true, entries: 1 }), control({ missing: true, entries: 0 })],
  'other-history': [control({ otherHistory: { known: 'a', now: 'b' } }), {}],
  flushed: [control({ flushes: 1, ageMs: 3_600_000 }), control({ flushes: 1, ageMs: 3_600_001 })],
  'other-incarnation': [entries({ headers: 100, otherIncarnation: 10 }), entries({ headers: 10, otherIncarnation: 9 })],
  undecodable: [entries({ undecodable: [{ key: "shop:v1:detail:product:it's", reason: 'foreign' }] }), {}],
  'warm-old': [entries({ oldWarms: [{ model: 'product', newestAgeMs: 7_200_000, ttlMs: 3_600_000, read: 10 }] }), {}],
  'cheap-loads': [entries({ cheap: [{ group: 'list:*', loadMs: 0.05, fetchMs: 0.2 }] }), {}],
  'tenant-mixed': [
    checked({ tenants: { rows: 10, misplaced: [{ key: 'k', model: 'order', tenant: '1', belongsTo: '2' }] } }),
    {},
  ],
  'stale-rows': [
    checked({
      source: { rows: 10, stale: [{ key: 'k', model: 'product', target: 'product:1', tenant: null, why: 'changed' }] },
    }),
    {},
  ],
  'process-silent': [checked({ processes: { registered: 2, silent: ['web:4711'] } }), {}],
  'unfinished-runs': [
    checked({
      journal: {
        unfinished: [{ verb: 'invalidate', what: 'product', at: '2026-11-21T03:04:05Z', state: 'interrupted' }],
      },
    }),
    {},
  ],
  'save-failed': [{ failedSaves: ['rdb_last_bgsave_status is err'] }, {}],
  'memory-full': [{ usedMemoryBytes: 950 * MB, policy: 'noeviction' }, { usedMemoryBytes: 950 * MB }],
  'memory-high': [
    { usedMemoryBytes: 800 * MB, policy: 'noeviction' },
    { usedMemoryBytes: 799 * MB, policy: 'noeviction' },
  ],
  'memory-unbounded': [
    { maxMemoryBytes: 0, usedMemoryBytes: 4800 * MB },
    { maxMemoryBytes: 0, usedMemoryBytes: 4799 * MB },
  ],
  'no-maxmemory': [{ maxMemoryBytes: 0 }, { maxMemoryBytes: null }],
  'nothing-to-evict': [
    { policy: 'volatile-lru', usedMemoryBytes: 800 * MB, noTtlKeys: 501 },
    { policy: 'volatile-lru', usedMemoryBytes: 800 * MB, noTtlKeys: 500 },
  ],
  evictions: [
    { evictedKeys: 1000, expiredKeys: 9000 },
    { evictedKeys: 999, expiredKeys: 0 },
  ],
  'hit-rate-low': [
    { hits: 7999, misses: 2001 },
    { hits: 7000, misses: 2999 },
  ],
  'no-ttl': [config({ withoutTtl: [{ group: 'list:*', keys: 3 }] }), {}],
  'ttl-too-long': [config({ overTtl: [{ group: 'list:*', keys: 3 }] }), {}],
  undeclared: [config({ undeclaredKeys: 10, undeclaredExample: 'sess:*' }), config({ undeclaredKeys: 9 })],
  'not-cached': [config({ emptyModels: ['city'] }), {}],
  'big-key': [{ largest: { key: 'k', bytes: 10 * MB } }, { largest: { key: 'k', bytes: 10 * MB - 1 } }],
  fragmentation: [{ fragmentationRatio: 1.51 }, { fragmentationRatio: 9, usedMemoryBytes: 99 * MB }],
  swapping: [{ fragmentationRatio: 0.89 }, { fragmentationRatio: 0.9 }],
  'expired-backlog': [{ expiredStaleRatio: 0.25 }, { expiredStaleRatio: 0.24 }],
  'clients-near-limit': [{ connectedClients: 9000 }, { connectedClients: 8999 }],
  replica: [{ replica: true }, {}],
  'bytes-unknown': [{ bytesKnown: false }, {}],
}

describe('the health of a cache', () => {
  it('is good where nothing is wrong', () => {
    expect(diagnose({ ...healthy, policy: 'volatile-lru' })).toEqual({ status: 'healthy', findings: [] })
  })

  it.each(FINDINGS.map((rule) => [rule.id, rule] as const))(
    '%s is found over its threshold and not under',
    (id, rule) => {
      const [over, under] = borders[id] as [Partial<Facts>, Partial<Facts>]
      const found = diagnose({ ...healthy, ...over }).findings.find((finding) => finding.id === id)
      expect(found).toMatchObject({ severity: rule.severity, advice: rule.advice })
      // The same command as in the table, with what the facts say in its places.
      expect(found?.next?.split(' ')[1]).toBe(rule.next?.split(' ')[1])
      expect(found?.evidence).not.toBe('')
      expect(diagnose({ ...healthy, ...under }).findings.map((finding) => finding.id)).not.toContain(id)
    },
  )

  it('has an id of its own for each finding, and a threshold to print', () => {
    expect(new Set(FINDINGS.map((rule) => rule.id)).size).toBe(FINDINGS.length)
    expect(Object.keys(borders).sort()).toEqual(FINDINGS.map((rule) => rule.id).sort())
  })

  it('has rules for each trouble and each check', () => {
    expect(new Set(FINDINGS.flatMap((rule) => rule.troubles))).toEqual(new Set(Object.keys(TROUBLES)))
    expect(new Set(FINDINGS.map((rule) => rule.check))).toEqual(new Set(Object.keys(CHECKS)))
  })

  it('names what is to be mended in its next command, in one word of a shell each', () => {
    const nextOf = (over: Partial<Facts>, id: string) =>
      diagnose({ ...healthy, ...over }).findings.find((finding) => finding.id === id)?.next
    const stale = ['1', '2'].map((id) => ({
      key: 'k',
      model: 'order',
      target: `order:${id}`,
      tenant: 'a b',
      why: 'gone' as const,
    }))
    expect(nextOf(checked({ source: { rows: 9, stale } }), 'stale-rows')).toBe(
      "cachectl invalidate order:1 order:2 --tenant 'a b'",
    )
    const many = [...stale, ...stale]
    expect(nextOf(checked({ source: { rows: 9, stale: many } }), 'stale-rows')).toBe(
      "cachectl invalidate order --tenant 'a b'",
    )
    expect(nextOf(borders.undecodable?.[0] ?? {}, 'undecodable')).toBe("cachectl why 'shop:v1:detail:product:it'\\''s'")
    expect(nextOf(config({ overTtl: [{ group: 'list:*', namespace: 'list', keys: 1 }] }), 'ttl-too-long')).toBe(
      'cachectl expire namespace:list --from-config',
    )
  })

  it('is as bad as its worst finding; remarks do not count', () => {
    expect(diagnose({ ...healthy, maxMemoryBytes: 0 }).status).toBe('healthy')
    expect(diagnose({ ...healthy, fragmentationRatio: 2 }).status).toBe('warning')
    const worst = diagnose({
      ...healthy,
      usedMemoryBytes: 990 * MB,
      policy: 'noeviction',
      fragmentationRatio: 2,
      replica: true,
    })
    expect(worst.status).toBe('critical')
    expect(worst.findings.map((finding) => finding.severity)).toEqual(['critical', 'warning', 'info'])
  })

  it('trusts the hit rate of the last moments over that since the start, if enough was asked', () => {
    const bad = { ...healthy, hits: 1000, misses: 99_000 }
    expect(diagnose({ ...bad, hitRateNow: 0.99, lookupsNow: 20_000 }).status).toBe('healthy')
    expect(diagnose({ ...bad, hitRateNow: 0.99, lookupsNow: 10 }).status).toBe('warning')
  })

  it('says nothing of what is unknown', () => {
    expect(diagnose(NOTHING_KNOWN).findings).toEqual([])
  })
})
