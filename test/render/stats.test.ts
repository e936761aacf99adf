import { Chalk } from 'chalk'
import { describe, expect, it } from 'vitest'
import { TTL_CLASSES_MS } from '../../src/core/histogram.ts'
import type { StatsGroup } from '../../src/core/stats.ts'
import type { StatsReport } from '../../src/ops/stats.ts'
import { displayWidth } from '../../src/render/columns.ts'
import { renderStats } from '../../src/render/stats.ts'

const plain = new Chalk({ level: 0 })
const ttl = (p50Ms: number | null, counts: Record<number, number> = {}): StatsGroup['ttl'] => ({
  p50Ms,
  p95Ms: p50Ms === null ? null : p50Ms * 1.2,
  buckets: [...TTL_CLASSES_MS, null].map((underMs, i) => ({ underMs, keys: counts[i] ?? 0 })),
})
const group = (name: string, keys: number, more: Partial<StatsGroup> = {}): StatsGroup => ({
  group: name,
  namespace: null,
  subject: null,
  tenant: null,
  version: null,
  declared: true,
  keys,
  bytes: keys * 24_000,
  share: keys / 1247,
  noTtlKeys: 0,
  ttl: ttl(241_000),
  age: null,
  hits: null,
  misses: null,
  hitRate: null,
  loads: null,
  loadMs: null,
  error: null,
  ...more,
})
const report: StatsReport = {
  command: 'stats',
  ok: true,
  complete: true,
  dryRun: false,
  startedAt: '2026-11-21T03:04:05.678Z',
  durationMs: 120,
  redis: {
    endpoint: '127.0.0.1:6379',
    database: 0,
    role: 'primary',
    mode: 'standalone',
    version: 'Redis 7.0.15',
    runId: 'r',
    replicationId: 'p',
    from: 'cache.config.ts',
  },
  prefix: 'shop',
  targets: [],
  by: ['namespace'],
  method: 'full',
  server: {
    usedMemoryBytes: 47_395_636,
    maxMemoryBytes: 268_435_456,
    policy: 'allkeys-lru',
    keys: 1249,
    hits: 9539,
    misses: 461,
    hitRate: 0.9539,
    hitRateNow: null,
    intervalMs: null,
    evictedKeys: 0,
    expiredKeys: 1234,
    fragmentationRatio: 1.12,
    connectedClients: 3,
    uptimeMs: 41 * 86_400_000,
  },
  groups: [
    group('list:*', 523),
    group('detail:*', 700, { noTtlKeys: 12, ttl: ttl(null) }),
    group('(3 more groups)', 24),
  ],
  total: group('(all)', 1247, { noTtlKeys: 12, ttl: ttl(241_000, { 1: 1000, 9: 235 }) }),
  control: { keys: 2, bytes: 200 },
  readFrom: null,
  largest: [],
  health: { status: 'healthy', findings: [] },
  scan: {
    visited: 1249,
    population: 1249,
    gone: 0,
    hitsAdded: 1249,
    missesAdded: 0,
    headersRead: 0,
    slowestCallMs: 0.4,
    durationMs: 100,
  },
  notes: [],
}

describe('the statistics for people', () => {
  it('are what the documentation shows', () => {
    expect(renderStats(report, { paint: plain, widthColumns: null })).toMatchInlineSnapshot(`
      "=== Redis Cache Statistics ===   prefix shop · exact · 2026-11-21T03:04:05Z
      127.0.0.1:6379/0 primary, Redis 7.0.15 (from cache.config.ts)
      Memory  45.2 MB of 256 MB (allkeys-lru)  Hit rate 95.39 % over 41 d  Keys 1,247
      0 evicted · 1,234 expired · fragmentation 1.12 · 3 clients

      group            keys  share    memory  no TTL  TTL p50  TTL p95  hit rate
      list:*            523   42 %     12 MB       0    4m 1s   4m 49s         …
      detail:*          700   56 %     16 MB      12        …        …         …
      (3 more groups)    24    2 %  562.5 KB       0    4m 1s   4m 49s         …
      2 more keys are cachectl's own control data (200 B)
      TTL  none 1 % · <5 m 80 % · ≥30 d 19 %
      looked at 1,249 keys in 100 ms (adds 1,249 hits and 0 misses to INFO)

      ✓ Cache is healthy
      "
    `)
  })

  it('fit 80 columns on a terminal, and name what had no room; a pipe gets everything', () => {
    const wide = {
      ...report,
      method: 'sample' as const,
      groups: report.groups.map((row) => ({
        ...row,
        group: `${row.group}${'x'.repeat(20)}`,
        error: { keys: 12, bytes: 1000 },
        age: { p50Ms: 1000, p95Ms: 2000, read: 3 },
      })),
    }
    const table = (widthColumns: number | null): string[] =>
      renderStats(wide, { paint: plain, widthColumns }).split('\n').slice(5, 10)
    expect(table(null)[0]).toMatch(
      /group +keys +± +share +memory +± memory +no TTL +TTL p50 +TTL p95 +age p50 +hit rate/,
    )
    const narrow = table(80)
    for (const line of narrow.slice(0, 4)) expect(displayWidth(line)).toBeLessThanOrEqual(80)
    expect(narrow[0]).toMatch(/group +keys +± +share +memory +no TTL +TTL p50$/)
    expect(narrow[4]).toBe('no room for: age p50, ± memory, TTL p95, hit rate (a pipe or --json has them)')
    for (const width of [20, 40, 60, 100, 120]) {
      const lines = table(width)
      expect(lines[0]).toMatch(/group +keys.*memory/)
    }
  })

  it('say what the library read and loaded in the last hour, where it counted', () => {
    const counted = {
      ...report,
      groups: [
        group('list:*', 523, { hits: 900, misses: 100, hitRate: 0.9, loads: 95, loadMs: { mean: 12.3456 } }),
        group('detail:*', 700, { hits: 0, misses: 0, loads: 2, loadMs: { mean: 0.24 } }),
        group('count:*', 0, { bytes: 0, share: 0, hits: 1, misses: 1, hitRate: 0.5, loads: 0 }),
        group('user_data:*', 3),
      ],
      total: group('(all)', 1226, { hits: 901, misses: 101, hitRate: 901 / 1002, loads: 97, loadMs: { mean: 12.1 } }),
    }
    const text = renderStats(counted, { paint: plain, widthColumns: null }).split('\n')
    const cells = text.slice(5, 10).map((line) => line.split(/ {2,}/))
    expect(cells.map((row) => [row[0], ...row.slice(-2)])).toEqual([
      ['group', 'hit rate', 'load'],
      ['list:*', '90 %', '12 ms'],
      ['detail:*', '…', '0.2 ms'],
      ['count:*', '50 %', '…'],
      ['user_data:*', '…', '…'],
    ])
    expect(text).toContain('last hour  1,002 reads, 89.92 % hits · 97 loads of 12 ms')
    const narrow = renderStats(counted, { paint: plain, widthColumns: 75 })
    expect(narrow).toContain('no room for: TTL p95 (')
    expect(narrow).toMatch(/hit rate +load\n/)
    expect(renderStats(report, { paint: plain, widthColumns: null })).not.toMatch(/last hour|load/)
  })

  it('are plain without colour, and coloured with', () => {
    const finding = {
      id: 'memory-full',
      severity: 'critical' as const,
      evidence: 'full',
      advice: 'make room',
      next: 'redis-cli X',
    }
    const ill = { ...report, health: { status: 'critical' as const, findings: [finding] } }
    const text = renderStats(ill, { paint: plain, widthColumns: 80 })
    expect(text).not.toContain('\x1b')
    expect(text).toContain('✗ Cache is in trouble\n  ✗ memory-full: full\n    make room\n    → redis-cli X\n')
    expect(renderStats(ill, { paint: new Chalk({ level: 1 }), widthColumns: 80 })).toContain('\x1b[31m✗')
  })

  it('say what is unknown, empty, stopped or sampled', () => {
    const odd: StatsReport = {
      ...report,
      complete: false,
      method: 'sample',
      prefix: null,
      targets: ['pattern:\x1b[31m*'],
      groups: [],
      server: {
        ...report.server,
        usedMemoryBytes: null,
        hitRate: null,
        maxMemoryBytes: null,
        hitRateNow: null,
        intervalMs: 5000,
        evictedKeys: null,
        expiredKeys: null,
        fragmentationRatio: null,
        connectedClients: null,
      },
      redis: { ...report.redis, version: null, mode: 'embedded' },
      largest: [{ key: 'big', bytes: 2048, ttlMs: 1000 }],
      notes: ['ages are unknown'],
      control: { keys: 0, bytes: 0 },
    }
    const text = renderStats(odd, { paint: plain, widthColumns: 80 })
    expect(text).toContain('pattern:\\x1B[31m* · stopped early: sample of 1,249 of 1,249 keys')
    expect(text).toContain('primary (embedded), unknown version')
    expect(text).toContain('Memory  …  Hit rate none asked  Keys ~1,247')
    expect(text).toContain('hit rate of the last 5 s: no lookups')
    expect(text).toContain('no keys')
    expect(text).toContain('  2 KB  big  (TTL 1 s)')
    expect(text).toContain('note: ages are unknown')
    expect(text).toContain('± holds for all groups at once in at least 95 of 100 samples')
  })
})
