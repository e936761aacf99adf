// Sentences in the width of a terminal: none is lost, none is longer but for a word that is.
import fc from 'fast-check'
import { describe, expect, it } from 'vitest'
import { wrapped } from '../../src/render/wrapped.ts'
import { seed } from '../seed.ts'

describe('wrapped sentences', () => {
  it(`keep every word, the indent of the first line and that of the others, and the width (seed ${seed})`, () => {
    const word = fc.string({ minLength: 1, maxLength: 12 }).filter((text) => !/\s/.test(text))
    fc.assert(
      fc.property(
        fc.array(word, { minLength: 1, maxLength: 60 }),
        fc.integer({ min: 20, max: 90 }),
        fc.integer({ min: 0, max: 6 }),
        (words, width, indent) => {
          const lines = wrapped(`   ${words.join(' ')}`, { width, indent })
          expect(lines.map((line, index) => line.slice(index === 0 ? 3 : indent)).join(' ')).toBe(words.join(' '))
          for (const line of lines) expect(line.length).toBeLessThanOrEqual(width)
        },
      ),
      { seed },
    )
  })

  it('leave a word that is longer alone', () => {
    expect(wrapped('see abcdefghijklmnop now', { width: 10, indent: 2 })).toEqual([
      'see',
      '  abcdefghijklmnop',
      '  now',
    ])
  })
})
