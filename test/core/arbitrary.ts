// Random cases for the core's tests. SEED=… repeats a run, PROOF=10 makes it ten times as long; a failure prints the seed.
import fc from 'fast-check'
import { seed } from '../seed.ts'

export function runs(count: number): { seed: number; numRuns: number } {
  return { seed, numRuns: count * Number(process.env.PROOF ?? 1) }
}

/** Well-formed text that is rich in what keys, globs and terminals give a meaning to. */
export const awkwardText = fc
  .array(
    fc.oneof(
      {
        weight: 3,
        arbitrary: fc.constantFrom(
          ...':%~*?[]{}#&\\_-^. \n\t\u0000\u007f\u0085\u00a0\u200b\u200d\u202e\u2028\u2066\ufeff\ufffd',
        ),
      },
      {
        weight: 3,
        arbitrary: fc.constantFrom(
          '%5F',
          '%255F',
          '%25',
          '%',
          'org',
          'org_',
          'label',
          'a',
          'B',
          '7',
          'é',
          '日本',
          '🧡',
          '\u{e0041}',
          'NaN',
          '__proto__',
        ),
      },
      { weight: 1, arbitrary: fc.string({ unit: 'grapheme' }) },
      { weight: 1, arbitrary: fc.string({ unit: 'binary' }) },
    ),
    { maxLength: 12 },
  )
  .map((parts) => parts.join(''))

export const awkwardName = awkwardText.filter((text) => text !== '')
