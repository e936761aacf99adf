import fc from 'fast-check'
import { describe, expect, it } from 'vitest'
import { countRest, createKeys, idText, listRest, parameterSegments } from '../../src/core/key.ts'
import { awkwardName, awkwardText, runs } from './arbitrary.ts'

const shop = createKeys({ prefix: 'shop', tenantLabel: 'org' })

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
