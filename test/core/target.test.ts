import { describe, expect, it } from 'vitest'
import { CachectlError } from '../../src/core/errors.ts'
import { createKeys } from '../../src/core/key.ts'
import { matchesTarget, parseTarget } from '../../src/core/target.ts'
import { shop } from './declared-fixture.ts'

const keys = createKeys({ prefix: 'shop', tenantLabel: 'org' })
const matches = (target: string, key: string | Buffer, cache: typeof shop | null = shop): boolean => {
  const bytes = Buffer.from(key as string)
  const parsed = cache === null ? null : keys.parse(bytes)
  return matchesTarget(parseTarget(target, cache), {
    bytes,
    parsed,
    plain: parsed === null ? null : keys.plain(parsed),
  })
}
const refusal = (target: string, cache: typeof shop | null = shop): CachectlError => {
  try {
    parseTarget(target, cache)
  } catch (error) {
    if (error instanceof CachectlError) return error
  }
  return expect.fail(`${target} was taken`)
}

describe('a target', () => {
  it.each<[string, string, boolean]>([
    ['product', 'shop:v1:list:product:all:page_1', true],
    ['model:product', 'shop:v1.2~g:detail~n:product~s:org_7~t:42', true],
    ['product', 'shop:v1:detail:category:1', false],
    ['category', 'shop:v1:detail:product:1', true], // product is related to category
    ['category', 'shop:v1:detail:review:1', true], // review joins product
    ['product', 'shop:v1:detail:review:1', true],
    ['review', 'shop:v1:detail:product:1', false],
    ['page', 'shop:v1:forever:page_text:1', true],
    ['product:42', 'shop:v1:detail:product:42', true],
    ['product:42', 'shop:v1:detail:product:org_7:42', true],
    ['product:42', 'shop:v1:detail:product:43', false],
    ['product:42', 'shop:v1:detail:product:42:more', false],
    ['product:42', 'shop:v1:list:product:all:page_1', true],
    ['product:42', 'shop:v1:count:product:all', true],
    ['product:42', 'shop:v1:detail:review:7', true],
    ['namespace:list', 'shop:v1:list:product:all', true],
    ['namespace:list', 'shop:v1:detail:product:1', false],
    ['subject:@fn.getUser', 'shop:v1:detail:@fn.getUser:7', true],
    ['subject:@fn.getUser:7', 'shop:v1:detail:@fn.getUser:7', true],
    ['subject:@fn.getUser:8', 'shop:v1:detail:@fn.getUser:7', false],
    ['tenant:7', 'shop:v1:detail:product:org_7:1', true],
    ['org:7', 'shop:v1:detail:product:org_7:1', true],
    ['tenant:7', 'shop:v1:detail:product:org_77:1', false],
    ['pattern:shop:v1:detail:product:*', 'shop:v1~g:detail~n:product:42', true],
    ['pattern:other:*', 'other:1', true],
    ['pattern:other:*', 'shop:v1:detail:product:1', false],
    ['key:a\\x00b', 'a\0b', true],
    ['key:a\\x00b', 'a\\x00b', false],
    ['all', 'anything', true],
  ])('%s and %s: %s', (target, key, expected) => {
    expect(matches(target, key)).toBe(expected)
  })

  it('by pattern, key or all needs no config', () => {
    expect(matches('pattern:a*', Buffer.from([0x61, 0xff]), null)).toBe(true)
    expect(matches('all', 'x', null)).toBe(true)
  })

  it.each<[string, string, RegExp, RegExp]>([
    ['shop:*', 'USAGE', /looks like a pattern/, /pattern:'shop:\*'/],
    ['a?', 'USAGE', /looks like a pattern/, /pattern:'a\?'/],
    ["it's[x]", 'USAGE', /looks like a pattern/, /pattern:'it'\\''s\[x\]'/],
    ['prodcut', 'USAGE', /no model called `prodcut`/, /did you mean `product`\?/],
    ['detail', 'USAGE', /no model called `detail`/, /did you mean `namespace:detail`\?/],
    ['namespace:detial', 'USAGE', /no namespace called `detial`/, /did you mean `namespace:detail`/],
    ['zzz', 'USAGE', /no model called `zzz`/, /product, category, review, page/],
    ['product:', 'USAGE', /names nothing behind the colon/, /./],
    ['namespace:', 'USAGE', /names nothing/, /./],
    ['key:', 'USAGE', /names nothing/, /./],
    ['all:x', 'USAGE', /stands alone/, /./],
    ['', 'USAGE', /empty target/, /./],
    ['pattern:', 'PATTERN_INVALID', /empty/, /./],
    ['constructor', 'USAGE', /no model called/, /./],
    ['namespace:__proto__', 'USAGE', /no namespace called/, /./],
    ['\x1b[31m', 'USAGE', /\\x1B/, /./],
  ])('%s is refused: %s', (target, code, message, hint) => {
    const error = refusal(target)
    expect(error.code).toBe(code)
    expect(error.message).toMatch(message)
    expect(error.hint).toMatch(hint)
    expect(error.message + error.hint).not.toContain('\x1b')
  })

  it('by a name is refused without a config, and told what works', () => {
    expect(refusal('product', null)).toMatchObject({
      code: 'CONFIG_NOT_FOUND',
      hint: expect.stringContaining("pattern:'product*'"),
    })
    expect(refusal('tenant:7', { ...shop, tenantLabel: null })).toMatchObject({
      code: 'USAGE',
      message: expect.stringContaining('no tenants'),
    })
  })

  it('by tag cannot be told from a key', () => {
    expect(() => matches('tag:x', 'shop:v1:detail:product:1')).toThrow(/tags are in the entries/)
  })
})
