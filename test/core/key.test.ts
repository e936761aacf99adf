import fc from 'fast-check'
import { describe, expect, it } from 'vitest'
import {
  countRest,
  createKeys,
  type EntryAddress,
  EPOCH_FIELD,
  fenceKey,
  type Generations,
  generationsKey,
  INCARNATION_FIELD,
  idText,
  isControlKey,
  leaseKey,
  listRest,
  lockKey,
  parameterSegments,
  readGenerations,
  type Scope,
  scopeField,
  tenantSubjectScope,
} from '../../src/core/key.ts'
import { compileGlob, escapeGlob } from '../../src/core/pattern.ts'
import { printable } from '../../src/core/printable.ts'
import { awkwardName, awkwardText, runs } from './arbitrary.ts'

const version = fc.constantFrom('1', '2', '1.2', '10', '0', '12345.67890')
const segment = fc.oneof(
  { weight: 4, arbitrary: awkwardName },
  {
    weight: 2,
    arbitrary: fc.constantFrom(
      'org_1',
      'org%5F1',
      'org%255F1',
      'org',
      'org_',
      'my_org_1',
      'my%5Forg_1',
      '#',
      '#AAAAAAAAAAAAAAAAAAAAAA',
      'page_1',
      'all',
    ),
  },
  { weight: 1, arbitrary: fc.string({ minLength: 1, maxLength: 1200, unit: 'binary' }) },
)
const address: fc.Arbitrary<EntryAddress> = fc.record({
  namespace: awkwardName,
  subject: awkwardName,
  version,
  tenant: fc.option(awkwardName),
  rest: fc.array(segment, { maxLength: 4 }),
})
const label = fc.constantFrom('org', 'my_org', 'o:rg', 'o%5Frg', 'é')
const token = fc.stringMatching(/^[A-Za-z0-9_-]{1,12}$/)

function generationsFor({ namespace, subject, tenant }: EntryAddress): fc.Arbitrary<Generations> {
  const map = (name: string) => fc.option(token).map((text) => new Map(text === null ? [] : [[name, text] as const]))
  return fc.record({
    global: fc.option(token),
    namespaces: map(namespace),
    subjects: map(subject),
    tenants: map(tenant ?? 'none'),
    tenantSubjects: map(tenantSubjectScope(tenant ?? 'none', subject)),
  })
}

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

describe('any key', () => {
  it('is read back as it was built, from text and from bytes, and its parts make it', () => {
    const cases = fc
      .tuple(label, address)
      .chain(([tenantLabel, where]) => fc.tuple(fc.constant(tenantLabel), fc.constant(where), generationsFor(where)))
    fc.assert(
      fc.property(cases, ([tenantLabel, where, generations]) => {
        const keys = createKeys({ prefix: 'shop', tenantLabel }, generations)
        const plainKeys = createKeys({ prefix: 'shop', tenantLabel })
        const key = keys.build(where)
        const parsed = keys.parse(key)
        expect(parsed).toEqual(keys.parse(Buffer.from(key)))
        expect(parsed).toEqual({
          ...where,
          rest: parsed?.digest ? [] : where.rest,
          digest: parsed?.digest ?? null,
          tokens: {
            global: generations.global,
            namespace: generations.namespaces.get(where.namespace) ?? null,
            subject: generations.subjects.get(where.subject) ?? null,
            tenant: where.tenant === null ? null : (generations.tenants.get(where.tenant) ?? null),
            tenantSubject:
              where.tenant === null
                ? null
                : (generations.tenantSubjects.get(tenantSubjectScope(where.tenant, where.subject)) ?? null),
          },
        })
        expect(keys.head(where) + keys.rest(where.tenant, where.rest)).toBe(key)
        if (parsed) expect(keys.plain(parsed)).toBe(plainKeys.build(where))
        // no key holds what a glob, a hash tag, a shell or a terminal would take for its own
        expect(key).toBe(printable(key))
        expect(key).not.toMatch(/[\s*?[\]{}&\\]/)
        expect(compileGlob(key)(key)).toBe(true)
        expect(escapeGlob(key)).toBe(key)
        expect(isControlKey('shop', key)).toBe(false)
      }),
      runs(3000),
    )
  })

  it('is one address only', () => {
    const small = fc.record({
      namespace: fc.constantFrom('a', 'a_b', 'a%5Fb'),
      subject: fc.constantFrom('a', 'b'),
      version: fc.constantFrom('1', '1.2'),
      tenant: fc.option(fc.constantFrom('1', '1:', '1%3A')),
      rest: fc.array(fc.constantFrom('org_1', 'org%5F1', 'org%255F1', 'org', '1', ':', '%3A', '%', '1:org_1'), {
        maxLength: 3,
      }),
    })
    for (const pairOf of [small, address]) {
      fc.assert(
        fc.property(fc.array(pairOf, { minLength: 20, maxLength: 20 }), (addresses) => {
          const byKey = new Map<string, string>()
          for (const where of addresses) {
            const key = shop.build(where)
            const text = JSON.stringify([where.namespace, where.subject, where.version, where.tenant, where.rest])
            expect(byKey.get(key) ?? text).toBe(text)
            byKey.set(key, text)
          }
        }),
        runs(300),
      )
    }
  })

  it('is the only text that is read as its address', () => {
    const edit = fc.record({
      at: fc.nat(),
      cut: fc.nat(3),
      insert: fc.oneof(awkwardText, fc.constantFrom('%2', '%61', '%3a', '%ED%A0%80', '~', '::', ':org_', '#')),
    })
    fc.assert(
      fc.property(address, edit, (where, { at, cut, insert }) => {
        const key = shop.build(where)
        const place = at % (key.length + 1)
        const other = key.slice(0, place) + insert + key.slice(place + cut)
        const parsed = shop.parse(other)
        if (parsed === null) return
        const { tokens } = parsed
        const generations: Generations = {
          global: tokens.global,
          namespaces: new Map(tokens.namespace ? [[parsed.namespace, tokens.namespace]] : []),
          subjects: new Map(tokens.subject ? [[parsed.subject, tokens.subject]] : []),
          tenants: new Map(tokens.tenant ? [[parsed.tenant ?? '', tokens.tenant]] : []),
          tenantSubjects: new Map(
            tokens.tenantSubject
              ? [[tenantSubjectScope(parsed.tenant ?? '', parsed.subject), tokens.tenantSubject]]
              : [],
          ),
        }
        const rebuilt = createKeys({ prefix: 'shop', tenantLabel: 'org' }, generations)
        expect(parsed.digest === null ? rebuilt.build(parsed) : `${rebuilt.head(parsed)}#${parsed.digest}`).toBe(other)
      }),
      runs(3000),
    )
  })

  it('is never read from any bytes but with a result or null', () => {
    fc.assert(
      fc.property(fc.uint8Array({ maxLength: 60 }), (noise) => {
        const bytes = Buffer.concat([Buffer.from('shop:v1:a:b:'), noise])
        const parsed = shop.parse(bytes)
        if (parsed)
          expect(
            Buffer.from(shop.build(parsed)).equals(bytes) ||
              parsed.digest !== null ||
              Object.values(parsed.tokens).some(Boolean),
          ).toBe(true)
        expect(shop.parse(noise)).toBeNull()
      }),
      runs(1000),
    )
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

describe('idText', () => {
  it.each([
    ['a', 'a'],
    [42, '42'],
    [-0, '0'],
    [1.5, '1.5'],
    [2n ** 70n, '1180591620717411303424'],
    [Number.MAX_SAFE_INTEGER, '9007199254740991'],
  ])('%s', (id, text) => expect(idText(id)).toBe(text))

  it.each([['', '\ud800', Number.NaN, Number.POSITIVE_INFINITY, 2 ** 53, 1e300, null, undefined, {}]].flat())(
    'throws on %s',
    (id) => {
      expect(() => idText(id as string)).toThrow(expect.objectContaining({ code: 'KEY_INVALID' }))
    },
  )
})

describe('parameterSegments', () => {
  it('sorts names, keeps the order of repeated values, tells null, empty and absent apart', () => {
    expect(
      parameterSegments({
        b: 2,
        a: ['y', 'x', 'y'],
        c: null,
        d: '',
        e: undefined,
        f: [],
        g_h: true,
        'i%': 10n,
        j: new Date(0),
      }),
    ).toEqual(['a_y', 'a_x', 'a_y', 'b_2', 'c', 'd_', 'f%', 'g%5Fh_true', 'i%25_10', 'j_1970-01-01T00:00:00.000Z'])
  })

  it.each([
    { a: {} },
    { a: [[1]] },
    { a: [undefined] },
    { a: Number.NaN },
    { a: () => 1 },
    { a: Symbol('x') },
    { '': 1 },
    { a: '\ud800' },
    { '\ud800': 1 },
    { a: new Date(Number.NaN) },
  ])('throws on %j', (params) => {
    expect(() => parameterSegments(params)).toThrow(expect.objectContaining({ code: 'KEY_INVALID' }))
  })

  it('differs exactly when the parameters do', () => {
    const name = fc.oneof(
      fc.constantFrom('a', 'b', 'a_b', 'a%5Fb', 'a%', 'a%25', '%', '_', '__proto__', 'page'),
      awkwardName,
    )
    const scalar = fc.oneof(
      fc.constantFrom(null, '', 'b', '_', 'b_c', '%', '%5F', 'null', 'undefined', 'true'),
      awkwardText,
    )
    const params = fc.array(fc.tuple(name, fc.oneof(scalar, fc.array(scalar, { maxLength: 3 }))), { maxLength: 3 })
    // as a query string tells them: a list of one is the value itself
    const meaning = (entries: readonly (readonly [string, unknown])[]) =>
      JSON.stringify(
        [
          ...new Map(
            entries.map(([key, value]) => [key, Array.isArray(value) && value.length === 1 ? value[0] : value]),
          ),
        ].sort(([a], [b]) => (a < b ? -1 : 1)),
      )
    const keyOf = (entries: readonly (readonly [string, unknown])[]) =>
      shop.build({
        namespace: 'a',
        subject: '@fn.b',
        version: '1',
        tenant: null,
        rest: parameterSegments(Object.fromEntries(entries)),
      })
    fc.assert(
      fc.property(params, params, (a, b) => {
        expect(keyOf(a) === keyOf(b)).toBe(meaning(a) === meaning(b))
        expect(keyOf([...new Map(a)].reverse())).toBe(keyOf(a))
      }),
      runs(3000),
    )
  })
})

it('spells lists and counts', () => {
  expect(listRest(null, { country: 'DE' }, 1, 20)).toEqual(['all', 'country_DE', 'page_1', 'size_20'])
  expect(listRest('byCountry', {}, 3, 50)).toEqual(['byCountry', 'page_3', 'size_50'])
  expect(countRest('byCountry', { b: 1, a: 2 })).toEqual(['byCountry', 'a_2', 'b_1'])
  expect(() => listRest(null, {}, 1.5, 20)).toThrow(expect.objectContaining({ code: 'KEY_INVALID' }))
})

describe('control data', () => {
  it('lies outside the prefix', () => {
    const names = [
      generationsKey('shop'),
      fenceKey('shop', 'a b'),
      leaseKey('shop', 'shop:v1:a:b:c'),
      lockKey('shop', 'warm:product:org 1'),
    ]
    expect(names).toEqual([
      'shop~generations',
      'shop~fence:a%20b',
      'shop~lease:{shop:v1:a:b:c}',
      'shop~lock:warm:product:org%201',
    ])
    for (const name of names) {
      expect(isControlKey('shop', name) && isControlKey('shop', Buffer.from(name))).toBe(true)
      expect(shop.parse(name)).toBeNull()
      expect(isControlKey('sho', name) || isControlKey('shopp', Buffer.from(name))).toBe(false)
    }
    expect(isControlKey('shop', 'shop:v1')).toBe(false)
    expect(isControlKey('shop', Buffer.from('sho'))).toBe(false)
  })

  it('gives generations back by the fields that scopes have', () => {
    const scope: fc.Arbitrary<Scope> = fc.oneof(
      fc.constant({ kind: 'global' } as const),
      fc.record({ kind: fc.constant('namespace' as const), namespace: awkwardName }),
      fc.record({ kind: fc.constant('subject' as const), subject: awkwardName }),
      fc.record({ kind: fc.constant('tenant' as const), tenant: awkwardName }),
      fc.record({ kind: fc.constant('tenant-subject' as const), tenant: awkwardName, subject: awkwardName }),
    )
    fc.assert(
      fc.property(scope, scope, (bumped, other) => {
        const { incarnation, generations } = readGenerations([
          [INCARNATION_FIELD, 'i'],
          [EPOCH_FIELD, 'e'],
          ['unknown:of:later', 'x'],
          [scopeField(bumped), 't'],
        ])
        expect(incarnation).toBe('i')
        expect(tokenOf(generations, bumped)).toBe('t')
        expect(tokenOf(generations, other)).toBe(scopeField(other) === scopeField(bumped) ? 't' : null)
        expect(JSON.stringify(bumped) === JSON.stringify(other)).toBe(scopeField(other) === scopeField(bumped))
      }),
      runs(1000),
    )
    expect(readGenerations([]).incarnation).toBeNull()
  })
})

function tokenOf(generations: Generations, scope: Scope): string | null {
  switch (scope.kind) {
    case 'global':
      return generations.global
    case 'namespace':
      return generations.namespaces.get(scope.namespace) ?? null
    case 'subject':
      return generations.subjects.get(scope.subject) ?? null
    case 'tenant':
      return generations.tenants.get(scope.tenant) ?? null
    case 'tenant-subject':
      return generations.tenantSubjects.get(tenantSubjectScope(scope.tenant, scope.subject)) ?? null
  }
}
