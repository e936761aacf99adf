import { describe, expect, it } from 'vitest'
import { diagnose, type Facts, FINDINGS } from '../../src/core/diagnose.ts'

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
  saveFailed: false,
  replica: false,
  keys: 1000,
  noTtlKeys: 0,
  bytesKnown: true,
  largest: { key: 'k', bytes: 1000 },
  config: { undeclaredKeys: 0, undeclaredExample: null, withoutTtl: [], overTtl: [], emptyModels: [] },
}
const config = (more: Partial<NonNullable<Facts['config']>>): Partial<Facts> => ({
  config: { ...(healthy.config as NonNullable<Facts['config']>), ...more },
})

/** For each rule: facts just over its threshold, and just under. */
const borders: Record<string, [over: Partial<Facts>, under: Partial<Facts>]> = {
  'save-failed': [{ saveFailed: true }, {}],
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
    expect(diagnose(healthy)).toEqual({ status: 'healthy', findings: [] })
  })

  it.each(FINDINGS.map((rule) => [rule.id, rule] as const))(
    '%s is found over its threshold and not under',
    (id, rule) => {
      const [over, under] = borders[id] as [Partial<Facts>, Partial<Facts>]
      const found = diagnose({ ...healthy, ...over }).findings.find((finding) => finding.id === id)
      expect(found).toMatchObject({ severity: rule.severity, advice: rule.advice, next: rule.next })
      expect(found?.evidence).not.toBe('')
      expect(diagnose({ ...healthy, ...under }).findings.map((finding) => finding.id)).not.toContain(id)
    },
  )

  it('has an id of its own for each finding, and a threshold to print', () => {
    expect(new Set(FINDINGS.map((rule) => rule.id)).size).toBe(FINDINGS.length)
    expect(Object.keys(borders).sort()).toEqual(FINDINGS.map((rule) => rule.id).sort())
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
    const unknown = Object.fromEntries(Object.keys(healthy).map((key) => [key, null])) as unknown as Facts
    expect(
      diagnose({
        ...unknown,
        keys: 0,
        noTtlKeys: 0,
        lookupsNow: 0,
        saveFailed: false,
        replica: false,
        bytesKnown: true,
      }).findings,
    ).toEqual([])
  })
})
