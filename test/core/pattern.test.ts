import fc from 'fast-check'
import { describe, expect, it } from 'vitest'
import { assertPattern, compileGlob, escapeGlob, literalPrefix, matchesEverything } from '../../src/core/pattern.ts'
import { awkwardText, runs } from './arbitrary.ts'

describe('compileGlob', () => {
  it.each([
    ['shop:*', 'shop:v1', true],
    ['*', '', true],
    ['**', '', false],
    ['', '', true],
    ['', 'a', false],
    ['a[', 'a[', false],
    ['a[^', 'ab', true],
    ['[a-', 'a', true],
    ['[z-a]', 'm', true],
    ['a\\', 'a\\', true],
    ['[\\]]', ']', true],
    ['*\\*', 'ab*', true],
    ['?', 'é', false],
    ['??', 'é', true],
    ['A', 'a', false],
  ])('%j on %j: %j', (pattern, key, expected) => {
    expect(compileGlob(pattern)(key)).toBe(expected)
    expect(compileGlob(pattern)(Buffer.from(key))).toBe(expected)
  })

  it('takes no exponential time', () => {
    const started = performance.now()
    expect(compileGlob(`${'a*'.repeat(16)}b`)('a'.repeat(10_000))).toBe(false)
    expect(compileGlob(`${'*a'.repeat(300)}b`)('a'.repeat(3_000))).toBe(false)
    expect(performance.now() - started).toBeLessThan(2_000)
  })

  it('finds escaped text and only that', () => {
    fc.assert(
      fc.property(awkwardText, awkwardText, (text, other) => {
        const matches = compileGlob(escapeGlob(text))
        expect(matches(text)).toBe(true)
        expect(matches(other)).toBe(other === text)
        expect(literalPrefix(escapeGlob(text))).toBe(text)
        expect(literalPrefix(`${escapeGlob(text)}*${other}`)).toBe(text)
      }),
      runs(1000),
    )
  })
})

describe('literalPrefix', () => {
  it.each([
    ['shop:v1:*', 'shop:v1:'],
    ['a\\*b*', 'a*b'],
    ['a\\', 'a\\'],
    ['a\\\nb?', 'a\nb'],
    ['[a]b', ''],
    ['a]b', 'a]b'],
  ])('%j', (pattern, prefix) => expect(literalPrefix(pattern)).toBe(prefix))

  it('begins whatever the pattern matches', () => {
    const piece = fc.constantFrom('a', 'b', '*', '?', '[ab]', '[^a]', '\\*', '\\a', 'é')
    fc.assert(
      fc.property(
        fc.array(piece, { maxLength: 6 }),
        fc.array(fc.constantFrom('a', 'b', '*', 'é'), { maxLength: 6 }),
        (pattern, key) => {
          if (compileGlob(pattern.join(''))(key.join('')))
            expect(key.join('').startsWith(literalPrefix(pattern.join('')))).toBe(true)
        },
      ),
      runs(2000),
    )
  })
})

describe('matchesEverything', () => {
  it.each(['*', '?*', '*?', '***', '[^x]*', '*[^x]', '??*', '*[^ab]*', '?*?', '[^\\n-\\r]*'])('%j does', (pattern) => {
    expect(matchesEverything(pattern)).toBe(true)
  })

  it.each(['*:*', 'a*', '*a', 'shop:*', '[a-z]*', '?', '????????', '\\*', '', '[*]', 'v*', '*[a-z]'])(
    '%j does not',
    (pattern) => {
      expect(matchesEverything(pattern)).toBe(false)
    },
  )

  it.each(['*:*', 'shop:*', 's*', '*o*', '*op:?*', 'shop:[^x]*', 'sh[a-z]p:*'])('%j does within shop:', (pattern) => {
    expect(matchesEverything(pattern, 'shop:')).toBe(true)
  })

  it.each(['shop:v1:*', 'shop:v*', '*:*:*:*:*:*', 'other:*', 'shop:'])('%j does not within shop:', (pattern) => {
    expect(matchesEverything(pattern, 'shop:')).toBe(false)
  })
})

describe('assertPattern', () => {
  it('takes what people write', () => {
    for (const pattern of [
      '*',
      'shop:v1:list:*',
      'a'.repeat(1024),
      'a*'.repeat(16),
      '*'.repeat(40),
      '\\*'.repeat(40),
      `[${'*'.repeat(40)}]`,
    ]) {
      expect(() => assertPattern(pattern)).not.toThrow()
    }
  })

  it.each(['', 'a'.repeat(1025), 'a*'.repeat(17), 'a\ud800*'])('refuses %j', (pattern) => {
    expect(() => assertPattern(pattern)).toThrow(expect.objectContaining({ code: 'PATTERN_INVALID' }))
  })
})
