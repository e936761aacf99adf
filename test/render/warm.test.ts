// The report of `warm` in 80 columns: what is nought goes first, what counts stays, and what nothing was written of is no failure.
import { Chalk } from 'chalk'
import { expect, it } from 'vitest'
import type { WarmModelReport, WarmReport } from '../../src/ops/warm-report.ts'
import { renderWarm } from '../../src/render/warm.ts'

const paint = new Chalk({ level: 0 })
const counts = (written: number, skipped: Partial<WarmModelReport['skipped']> = {}) => {
  const all = { present: 0, newer: 0, invalidated: 0, absent: 0, ...skipped }
  const selected = written + all.present + all.newer + all.invalidated
  return { selected, loaded: selected, written, skipped: all, failed: 0, bytes: written * 1_000, durationMs: 10 }
}
const report = (of: ReturnType<typeof counts>): WarmReport => ({
  command: 'warm',
  ok: true,
  complete: true,
  dryRun: false,
  startedAt: '2026-11-21T03:00:00.000Z',
  durationMs: 1_000,
  redis: {
    endpoint: '127.0.0.1:6379',
    database: 0,
    mode: 'standalone',
    role: 'primary',
    version: 'Redis 7.0.15',
    runId: null,
    replicationId: null,
    from: 'test',
  },
  models: [{ ...of, model: 'a_long_product_name', namespace: 'detail', strategy: 'recent', tenant: '17', errors: [] }],
  totals: of,
  notWarmed: [],
  problems: [],
  exitCode: 0,
  journal: 'redis',
})
const text = (of: ReturnType<typeof counts>, widthColumns: number | null) =>
  renderWarm(report(of), { paint, widthColumns })

it('leaves out columns of noughts in 80 columns, names them, and none where it is piped', () => {
  const narrow = text(counts(1_000, { newer: 3 }), 80)
  expect(Math.max(...narrow.split('\n').map((line) => line.length))).toBeLessThanOrEqual(80)
  expect(narrow).toMatch(/selected +written +newer +bytes\n/)
  expect(narrow).toContain('no room for: failed, invalid., present (')
  expect(text(counts(1_000, { newer: 3 }), null)).toMatch(/newer +invalid\. +failed +bytes\n/)
})

it.each([
  [counts(1_000), '✓ 1,000 of 1,000 entries written in 1 s.\n'],
  [counts(0, { present: 900, newer: 100 }), '✓ 0 of 1,000 entries written in 1 s; all were there already.\n'],
  [counts(60, { present: 940 }), '✓ 60 of 1,000 entries written in 1 s; the others were there already.\n'],
  [counts(60, { present: 939, invalidated: 1 }), '✓ 60 of 1,000 entries written in 1 s.\n'],
])('says what became of the others', (of, verdict) => {
  expect(text(of, null).endsWith(verdict)).toBe(true)
})
