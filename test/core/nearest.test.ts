import { describe, expect, it } from 'vitest'
import { didYouMean, nearest } from '../../src/core/nearest.ts'

describe('nearest', () => {
  it.each<[string, string[], string | null]>([
    ['prodcut', ['product', 'category'], 'product'],
    ['Product', ['product'], 'product'],
    ['produkt', ['product', 'produce'], 'product'],
    ['xyz', ['product', 'category'], null],
    ['a', ['b'], null],
    ['lst', ['list', 'last'], 'list'],
    ['', ['a'], null],
    ['toString', [], null],
  ])('%s of %j is %s', (word, candidates, expected) => {
    expect(nearest(word, candidates)).toBe(expected)
  })

  it('takes no time over a huge word', () => {
    const start = performance.now()
    expect(nearest('x'.repeat(1_000_000), ['list'.repeat(1000)])).toBeNull()
    expect(performance.now() - start).toBeLessThan(100)
  })

  it('ends a message', () => {
    expect(didYouMean('nme', ['name'])).toBe('; did you mean "name"?')
    expect(didYouMean('zzz', ['name'])).toBe('')
  })
})
