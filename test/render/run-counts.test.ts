// What the journal's counts are in a table: short enough to stand beside who and when.
import { describe, expect, it } from 'vitest'
import { runCounts } from '../../src/render/run-counts.ts'

describe('counts of a run', () => {
  it.each([
    [{ selected: 1_560, loaded: 1_560, written: 1_560, bytes: 374_206 }, '1,560 written, 365.4 KB'],
    [{ selected: 1_560, loaded: 1_560, written: 0, present: 1_560, bytes: 0 }, '1,560 present'],
    [
      { selected: 1_560, loaded: 1_560, written: 60, present: 1_400, failed: 100 },
      '1,560 selected, 60 written, 1,400 present, 100 failed',
    ],
    [{ selected: 10, loaded: 8, written: 7, absent: 2 }, '10 selected, 8 loaded, 7 written, 2 absent'],
    [{ matched: 61, deleted: 61 }, '61 deleted'],
    [{ matched: 61, deleted: 50, alreadyGone: 11 }, '61 matched, 50 deleted, 11 already gone'],
    [{ matched: 5 }, '5 matched'],
    [{ scopes: 1, matched: 999, outdated: 999 }, '1 scope, 999 outdated'],
    [{ scopes: 2, matched: 0 }, '2 scopes'],
  ])('%j', (counts, text) => expect(runCounts(counts).join(', ')).toBe(text))

  it('of a run without a result: none', () => expect(runCounts(null)).toEqual([]))
})
