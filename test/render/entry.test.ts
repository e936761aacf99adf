import { Chalk } from 'chalk'
import { expect, it } from 'vitest'
import type { GetReport } from '../../src/ops/get.ts'
import type { WhyReport } from '../../src/ops/why.ts'
import { renderAbout, renderValue } from '../../src/render/entry.ts'
import { renderKeys } from '../../src/render/keys.ts'
import { renderWhy } from '../../src/render/why.ts'

const paint = new Chalk({ level: 0 })
const base = {
  ok: true,
  complete: true,
  dryRun: false,
  startedAt: '2026-11-21T03:04:05.000Z',
  durationMs: 1,
  redis: {} as GetReport['redis'],
} as const
const entry = {
  codec: 'json',
  createdAt: '2026-11-21T03:03:05.678Z',
  ageMs: 60_000,
  freshForMs: -5000,
  graceMs: 300_000,
  deltaMs: 12,
  writer: 'cli',
  sourceVersion: '7',
  incarnation: 'i',
  tags: ['user:7', '\x1b'],
  dependsOn: ['rows of category'],
  payloadBytes: 2048,
}

it('a value is JSON, its envelope a line beside it', () => {
  const report: GetReport = {
    ...base,
    command: 'get',
    key: 'k\\x1B',
    found: true,
    value: { a: '\u202e\x1b', b: 1n },
    raw: null,
    about: { type: 'string', format: 'entry', ttlMs: 60_000, bytes: 3000, entry, notes: ['n'] },
  }
  expect(renderValue(report)).toBe('{\n  "a": "\\u202e\\u001b",\n  "b": "1"\n}\n')
  expect(renderAbout(report, paint)).toBe(
    'k\\x1B  string, entry · TTL 1 m · 2.9 KB\njson, 2 KB · written 1 m ago by cli · stale since 5 s · grace 5 m · took 12 ms to load · source version 7 · tags user:7, \\x1B · shows rows of category\nnote: n\n',
  )
  expect(renderAbout({ ...report, found: false, about: null }, paint)).toBe(
    "k\\x1B: there is no such key\n  next: cachectl why 'k\\x1B'\n",
  )
})

it('why is told in lines that each say one thing', () => {
  const report: WhyReport = {
    ...base,
    command: 'why',
    key: 'shop:v1:detail:product:1',
    exists: true,
    type: 'string',
    ttlMs: null,
    bytes: 100,
    entry,
    belongsTo: {
      namespace: 'detail',
      subject: 'product',
      model: 'product',
      version: '1',
      tenant: '7',
      rest: ['1'],
      digest: null,
      declared: true,
      raw: false,
      keyedByRow: false,
      life: { kind: 'time', ttlMs: 3_600_000, graceMs: 300_000, jitter: 0.1 },
    },
    ended: [
      {
        scope: 'model:product',
        tenant: '7',
        token: null,
        current: 'g1',
        endedAt: '2026-11-21T03:00:00.1Z',
        by: 'ops@web:1',
      },
    ],
    version: { version: '1', current: '1', registeredSince: null, live: false },
    lease: { token: 'abc', expiresInMs: 4_000 },
    refresh: null,
    journal: [
      {
        op: 'x',
        verb: 'invalidate',
        what: ['product', 'tag:a'],
        who: 'ops@web:1',
        config: null,
        startedAt: '2026-11-21T03:00:00.123Z',
        endedAt: '2026-11-21T03:00:01.123Z',
        durationMs: 1000,
        ok: true,
        complete: true,
        exitCode: 0,
        counts: { matched: 1200, deleted: 1200, failed: 0 },
        state: 'done',
        journal: 'redis',
        redis: null,
      },
    ],
    near: [{ key: 'shop:v2:detail:product:1', how: 'in version v2', exists: true }],
    reads: { hits: 900, misses: 300, hitRate: 0.75, loads: 250, loadMs: { mean: 31.4 } },
    read: {
      outcome: 'stale',
      reason: 'within-grace',
      sentences: ['A read gives it as stale.'],
      next: 'cachectl warm product',
    },
  }
  expect(renderWhy(report, paint, null).split('\n')).toEqual([
    'shop:v1:detail:product:1',
    'in Redis    string · no TTL · 100 B',
    'written     2026-11-21T03:03:05Z (1 m ago) by cli · took 12 ms to load · source version 7',
    'envelope    json, 2 KB · stale since 5 s · grace 5 m',
    'tags        user:7, \\x1B',
    'shows       rows of category',
    'belongs to  namespace detail · model product · version v1 · tenant 7 · 1',
    'by config   fresh for 1 h, up to 10 % less at random, grace 5 m',
    'bumped      model:product of tenant 7: 2026-11-21T03:00:00Z by ops@web:1 (no token before, g1 now)',
    'loading     lease abc, lapses in 4 s unless it is renewed',
    'last hour   1,200 reads of its group · 75 % hits · 250 loads of 31 ms',
    'journal     2026-11-21T03:00:00Z invalidate product tag:a · done · 1,200 deleted · ops@web:1',
    'see also    shop:v2:detail:product:1 (in version v2)',
    'a read now  stale hit',
    'A read gives it as stale.',
    'next: cachectl warm product',
    '',
  ])
  expect(
    renderWhy(
      {
        ...report,
        exists: false,
        type: null,
        entry: null,
        belongsTo: null,
        reads: null,
        ended: [],
        lease: null,
        journal: [],
        near: [],
        read: { ...report.read, outcome: 'miss', next: null },
      },
      paint,
      null,
    ),
  ).toBe('shop:v1:detail:product:1\nin Redis    no\na read now  miss\nA read gives it as stale.\n')
})

it('keys are one a line, with what was asked for before them', () => {
  const rows = [
    { key: 'a', ttlMs: 60_000, bytes: 72, ageMs: 1000 },
    { key: 'b\\x00', ttlMs: null, bytes: null, ageMs: null },
  ]
  expect(renderKeys(rows, { ttlAndSize: false, age: false })).toBe('a\nb\\x00\n')
  expect(renderKeys(rows, { ttlAndSize: true, age: true })).toBe(
    '      1 m       72 B        1 s  a\n        -          -          -  b\\x00\n',
  )
})
