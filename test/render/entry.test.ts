import { Chalk } from 'chalk'
import { expect, it } from 'vitest'
import type { GetReport } from '../../src/ops/get.ts'
import type { WhyReport } from '../../src/ops/why.ts'
import { renderAbout, renderValue, renderWhy } from '../../src/render/entry.ts'
import { renderKeys } from '../../src/render/keys.ts'

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
  ageMs: 60_000,
  freshForMs: -5000,
  graceMs: 300_000,
  deltaMs: 12,
  writer: 'cli',
  sourceVersion: '7',
  incarnation: 'i',
  tags: ['a', '\x1b'],
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
    'k\\x1B  string, entry · TTL 1 m · 2.9 KB\njson, 2 KB · written 1 m ago by cli · stale since 5 s · grace 5 m · took 12 ms to load · source version 7 · tags a, \\x1B\nnote: n\n',
  )
  expect(renderAbout({ ...report, found: false, about: null }, paint)).toBe('k\\x1B: there is no such key\n')
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
      declared: true,
      raw: false,
    },
    reads: { hits: 900, misses: 300, hitRate: 0.75, loads: 250, loadMs: { mean: 31.4 } },
    read: {
      outcome: 'stale',
      reason: 'within-grace',
      sentences: ['A read gives it as stale.'],
      next: 'cachectl warm product',
    },
  }
  expect(renderWhy(report, paint).split('\n')).toEqual([
    'shop:v1:detail:product:1',
    'in Redis    string · no TTL · 100 B',
    expect.stringMatching(/^envelope {4}json, 2 KB/),
    'belongs to  namespace detail · model product · version v1 · tenant 7 · 1',
    'last hour   1,200 reads of its group · 75 % hits · 250 loads of 31 ms',
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
        read: { ...report.read, outcome: 'miss', next: null },
      },
      paint,
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
