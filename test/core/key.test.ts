import { describe, expect, it } from 'vitest'
import { createKeys, type EntryAddress, type Generations, listRest, tenantSubjectScope } from '../../src/core/key.ts'

const shop = createKeys({ prefix: 'shop', tenantLabel: 'org' })

describe('build', () => {
  it.each<[string, Partial<EntryAddress>]>([
    ['shop:v1:list:faculty:org_123:page_1', { namespace: 'list', subject: 'faculty', tenant: '123', rest: ['page_1'] }],
    ['shop:v1:detail:product:42', { rest: ['42'] }],
    ['shop:v1.2:detail:product:42', { version: '1.2', rest: ['42'] }],
    ['shop:v1:user_data:@fn.getUserData:7', { namespace: 'user_data', subject: '@fn.getUserData', rest: ['7'] }],
    [
      'shop:v1:user_data:@http.GET./api/cities:',
      { namespace: 'user_data', subject: '@http.GET./api/cities', rest: [] },
    ],
    ['shop:v1:user_data:@frag.header:', { namespace: 'user_data', subject: '@frag.header', rest: [] }],
    ['shop:v1:detail:product:a%3Ab%20c:100%25', { rest: ['a:b c', '100%'] }],
    ['shop:v1:detail:product:org%5F1', { rest: ['org_1'] }],
    ['shop:v1:detail:product:org_1:org_1', { tenant: '1', rest: ['org_1'] }],
    ['shop:v1:detail:product:日本é🧡', { rest: ['日本é🧡'] }],
    ['shop:v1:detail:product:%E2%80%AE%F3%A0%81%81', { rest: ['\u202e\u{e0041}'] }],
    [
      'shop:v1:list:city:all:country%5Fcode_DE:page_1:size_20',
      { namespace: 'list', subject: 'city', rest: listRest(null, { country_code: 'DE' }, 1, 20) },
    ],
  ])('%s', (key, parts) => {
    const whole = { namespace: 'detail', subject: 'product', version: '1', tenant: null, rest: [], ...parts }
    expect(shop.build(whole)).toBe(key)
    expect(shop.parse(key)).toMatchObject({ ...whole, digest: null })
  })

  it('writes tokens behind ~, in the places of their scopes', () => {
    const generations = (tenants: Record<string, string>, tenantSubjects: Record<string, string>): Generations => ({
      global: 'g',
      namespaces: new Map([['detail', 'n']]),
      subjects: new Map([['product', 's']]),
      tenants: new Map(Object.entries(tenants)),
      tenantSubjects: new Map(Object.entries(tenantSubjects)),
    })
    const spelled = (tenants: Record<string, string>, tenantSubjects: Record<string, string>) =>
      createKeys({ prefix: 'shop', tenantLabel: 'org' }, generations(tenants, tenantSubjects)).build({
        namespace: 'detail',
        subject: 'product',
        version: '1.2',
        tenant: '1',
        rest: ['42'],
      })
    const scope = tenantSubjectScope('1', 'product')
    expect(spelled({}, {})).toBe('shop:v1.2~g:detail~n:product~s:org_1:42')
    expect(spelled({ 1: 't' }, {})).toBe('shop:v1.2~g:detail~n:product~s:org_1~t:42')
    expect(spelled({ 1: 't' }, { [scope]: 'ts' })).toBe('shop:v1.2~g:detail~n:product~s:org_1~t~ts:42')
    expect(spelled({}, { [scope]: 'ts' })).toBe('shop:v1.2~g:detail~n:product~s:org_1~~ts:42')
  })

  it.each<[string, Partial<EntryAddress>]>([
    ['an empty id', { rest: [''] }],
    ['an empty id among others', { rest: ['a', '', 'b'] }],
    ['half a surrogate pair', { rest: ['a\ud83e'] }],
    ['the other half', { tenant: '\udde1' }],
    ['an empty tenant', { tenant: '' }],
    ['an empty subject', { subject: '' }],
    ['an empty namespace', { namespace: '' }],
    ['a version with letters', { version: 'v1' }],
    ['a version with a leading zero', { version: '01' }],
    ['a version of three parts', { version: '1.2.3' }],
  ])('throws on %s', (_, parts) => {
    expect(() =>
      shop.build({ namespace: 'detail', subject: 'product', version: '1', tenant: null, rest: ['1'], ...parts }),
    ).toThrow(expect.objectContaining({ code: 'KEY_INVALID', exitCode: 2 }))
  })

  it.each(['', 'a:b', 'a~', 'a b', 'a{b}', '\u200b'])('takes no prefix %j', (prefix) => {
    expect(() => createKeys({ prefix, tenantLabel: null })).toThrow(expect.objectContaining({ code: 'KEY_INVALID' }))
  })

  it('takes no token that could be read as another part of the key, and no tenant without a label', () => {
    const generations = {
      global: 'a:b',
      namespaces: new Map(),
      subjects: new Map(),
      tenants: new Map(),
      tenantSubjects: new Map(),
    }
    expect(() => createKeys({ prefix: 'shop', tenantLabel: null }, generations)).toThrow(
      expect.objectContaining({ code: 'KEY_INVALID' }),
    )
    expect(() =>
      createKeys({ prefix: 'shop', tenantLabel: null }).build({
        namespace: 'a',
        subject: 'b',
        version: '1',
        tenant: '1',
        rest: [],
      }),
    ).toThrow(expect.objectContaining({ code: 'KEY_INVALID' }))
  })

  it('replaces a rest over 200 bytes by its digest, not one of 200', () => {
    const build = (rest: string[], tenant: string | null = null) =>
      shop.build({ namespace: 'detail', subject: 'product', version: '1', tenant, rest })
    expect(build(['a'.repeat(200)])).toBe(`shop:v1:detail:product:${'a'.repeat(200)}`)
    expect(build(['a'.repeat(201)])).toMatch(/^shop:v1:detail:product:#[\w-]{22}$/)
    expect(build(['é'.repeat(100)])).toContain('é')
    expect(build(['é'.repeat(101)])).toContain(':#')
    expect(build(['a'.repeat(100), 'a'.repeat(100)])).toContain(':#')
    expect(shop.parse(build(['a'.repeat(201)]))).toMatchObject({
      rest: [],
      digest: build(['a'.repeat(201)]).split('#')[1],
    })
    expect(build([`org_${'a'.repeat(200)}`]).split('#')[1]).toBe(build([`org_${'a'.repeat(200)}`], '1').split('#')[1])
  })
})

describe('parse', () => {
  it.each([
    'shop',
    'shop:v1',
    'shop:v1:list',
    'shop:v1:list:product',
    'shops:v1:list:product:1',
    'shop:1:list:product:1',
    'shop:vendor:list:product:1',
    'shop:v01:list:product:1',
    'shop:v1::product:1',
    'shop:v1:list::1',
    'shop:v1:list:product:a::b',
    'shop:v1:list:product:a:',
    'shop:v1:list:product::a',
    'shop:v1:list:product:org_:1',
    'shop:v1:list:product:org_7',
    'shop:v1:list:product:org_7~:1',
    'shop:v1:list:product:org_7~~:1',
    'shop:v1:list:product:org_7~a~:1',
    'shop:v1:list:product:org_7~a~b~c:1',
    'shop:v1~:list:product:1',
    'shop:v1~a~b:list:product:1',
    'shop:v1:list:product:1~a',
    'shop:v1:list:product:a%3ab',
    'shop:v1:list:product:%61',
    'shop:v1:list:product:a%',
    'shop:v1:list:product:%FF',
    'shop:v1:list:product:a%255Fb',
    'shop:v1:list:product:#short',
    'shop:v1:list:product:#AAAAAAAAAAAAAAAAAAAAAB',
    'shop:v1:list:product:#AAAAAAAAAAAAAAAAAAAAAA:1',
    'shop:v1:list:product:a b',
    'shop:v1:list:product:*',
    `shop:v1:list:product:${'a'.repeat(201)}`,
    'shop~generations',
  ])('takes %j for no entry key', (key) => {
    expect(shop.parse(key)).toBeNull()
    expect(shop.parse(Buffer.from(key))).toBeNull()
  })

  it('does not take a broken byte for U+FFFD, which is a character', () => {
    expect(shop.parse('shop:v1:a:b:\ufffd')?.rest).toEqual(['\ufffd'])
    expect(shop.parse(Buffer.concat([Buffer.from('shop:v1:a:b:'), Buffer.of(0xff)]))).toBeNull()
  })

  it('forgets heads before they fill the memory, and still knows them', () => {
    for (let i = 0; i < 10_000; i++) expect(shop.parse(`shop:v1:list:s${i % 5000}:1`)?.subject).toBe(`s${i % 5000}`)
  })
})
