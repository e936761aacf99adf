import fc from 'fast-check'
import { describe, expect, it } from 'vitest'
import { patternsOverlap } from '../../src/config/overlap.ts'
import { compileGlob } from '../../src/core/pattern.ts'
import { compileRawKey } from '../../src/core/raw-key.ts'
import { seed } from '../seed.ts'

describe('patternsOverlap', () => {
  it.each<[string, string, boolean]>([
    ['product:*', 'product:*', true],
    ['product:*', 'user:*', false],
    ['product:*', '{subject}:v{version}:{rest}', true],
    ['product', '{subject}:v{version}:{rest}', false],
    ['a*b', 'ab*', true],
    ['a?', 'a', false],
    ['\\*', 'x', false],
    ['\\*', '*', true],
    ['sess:{rest}', 'sess:', false],
    ['{subject}:x', 'a:b:x', false],
    ['{subject}:{rest}', 'a:b:x', true],
    ['*a*a*a*a*a*a*a*b', '*a*a*a*a*a*a*a*c', false],
  ])('%s and %s: %s', (a, b, expected) => {
    expect(patternsOverlap(a, b)).toBe(expected)
    expect(patternsOverlap(b, a)).toBe(expected)
  })

  it(`says yes exactly where a key matches both, all short keys of few letters tried (seed ${seed})`, () => {
    const letters = ['a', 'b', ':']
    const texts = ['', ...letters]
    const keys = Array.from({ length: 6 }).reduce<string[]>(
      (all) => [...new Set(all.flatMap((key) => texts.map((letter) => key + letter)))],
      [''],
    )
    const pattern = fc
      .oneof(
        fc.array(fc.constantFrom('a', 'b', ':', '*', '?'), { minLength: 1, maxLength: 5 }),
        fc.array(fc.constantFrom('a', ':'), { maxLength: 2 }).map((parts) => ['{subject}', ...parts]),
        fc.array(fc.constantFrom('a', ':'), { maxLength: 2 }).map((parts) => [...parts, '{rest}']),
      )
      .map((parts) => parts.join(''))
    const matcher = (text: string) =>
      text.includes('{') ? (key: string) => compileRawKey(text)(Buffer.from(key)) !== null : compileGlob(text)
    fc.assert(
      fc.property(pattern, pattern, (a, b) => {
        const [matchesA, matchesB] = [matcher(a), matcher(b)]
        const shared = keys.some((key) => key !== '' && matchesA(key) && matchesB(key))
        // what needs a key longer than those tried is left out; with at most five parts each, little is
        if (shared) expect(patternsOverlap(a, b)).toBe(true)
        else if (a.length + b.length <= 7 && !`${a}${b}`.includes('{')) expect(patternsOverlap(a, b)).toBe(false)
      }),
      { seed, numRuns: 300 },
    )
  })
})
