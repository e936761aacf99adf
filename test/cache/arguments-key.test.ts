// Keys of calls: equal arguments have one rest, different ones never share it.
import { isDeepStrictEqual } from 'node:util'
import { runInNewContext } from 'node:vm'
import fc from 'fast-check'
import { describe, expect, test } from 'vitest'
import { argumentsRest, type KeyParts, partsRest } from '../../src/cache/arguments-key.ts'
import { createKeys } from '../../src/core/key.ts'
import { randomFromSeed, seed } from '../seed.ts'

const keys = createKeys({ prefix: 'shop', tenantLabel: 'org' })
const address = { namespace: 'user_data', subject: '@fn.getUser', version: '1', tenant: null }
const rest = (...args: unknown[]) => argumentsRest(args, 'getUser')
const keyOf = (args: readonly unknown[]) => keys.build({ ...address, rest: argumentsRest(args, 'getUser') })

describe('text of arguments', () => {
  test.each([
    [[], []],
    [[7], ['7']],
    [['7'], ["'7'"]],
    [[7n], ['7n']],
    [['7n'], ["'7n'"]],
    [[-0], ['-0']],
    [[0], ['0']],
    [[1e21], ['1e+21']],
    [['1e+21'], ["'1e+21'"]],
    [
      [Number.NaN, 'NaN'],
      ['NaN', "'NaN'"],
    ],
    [
      [true, 'true'],
      ['true', "'true'"],
    ],
    [
      [null, undefined, 'null', 'undefined'],
      ['null', 'undefined', "'null'", "'undefined'"],
    ],
    [
      ['de', 'Köln am Rhein', ''],
      ['de', 'Köln am Rhein', "''"],
    ],
    [['550e8400-e29b-41d4-a716-446655440000'], ['550e8400-e29b-41d4-a716-446655440000']],
    [["it's"], ["'it''s'"]],
    [['(page=1)'], ["'(page=1)'"]],
    [[{ sort: 'name', page: 1 }], ['(page=1,sort=name)']],
    [
      [{ a: undefined }, {}],
      ['(a=undefined)', '()'],
    ],
    [
      [[1, '1', [2]], []],
      ["<1,'1',<2>>", '<>'],
    ],
    [
      [new Date(0), new Date(Number.NaN)],
      ['Date(1970-01-01T00:00:00.000Z)', 'Date(NaN)'],
    ],
    [
      [
        new Map<unknown, unknown>([
          ['b', 1],
          ['a', { x: 1 }],
        ]),
      ],
      ['Map(a=(x=1),b=1)'],
    ],
    [[new Set([2, 1])], ['Set(1,2)']],
    [
      [Buffer.from('hi'), new Uint8Array([104, 105])],
      ['Buffer(aGk=)', 'Uint8Array(aGk=)'],
    ],
    [['\ud800'], ['UTF16(ANg=)']],
  ])('%o', (args, expected) => {
    expect(rest(...args)).toEqual(expected)
    // what is made of it is a key, and the key says what it was made of
    expect(keys.parse(keyOf(args))?.rest).toEqual(expected)
  })

  test('two calls that differ have two keys', () => {
    const calls = [
      [],
      [undefined],
      [null],
      [1],
      ['1'],
      [1n],
      [1, undefined],
      [1, null],
      [[1]],
      [[[1]]],
      [{ 0: 1 }],
      [new Set([1])],
      [new Map([[0, 1]])],
      [true],
      ['true'],
      [0],
      [-0],
      [''],
      ["''"],
      [' '],
      [{}],
      [[]],
      [{ a: 1, b: 2 }],
      [{ a: '1', b: 2 }],
      [{ a: 1 }, { b: 2 }],
      [{ 'a=1,b': 2 }],
      [{ a: { b: 2 } }],
      ['a', 'b'],
      ['a,b'],
      ['a:b'],
      ['a%3Ab'],
      ['org_1'],
      ['org%5F1'],
      [new Date(0)],
      [0n],
      ['1970-01-01T00:00:00.000Z'],
      [new Uint8Array(1)],
      [new Int8Array(1)],
      [Buffer.alloc(1)],
      ['\ud800'],
      ['\udc00'],
      ['UTF16(ANg=)'],
      ['#abc'],
      [JSON.parse('{"__proto__":1}')],
      ['é'],
      ['e\u0301'],
    ] // prettier-ignore
    expect(new Set(calls.map(keyOf)).size).toBe(calls.length)
  })

  test('objects without a prototype and of another realm are like others', () => {
    expect(rest(Object.assign(Object.create(null), { a: 1 }))).toEqual(rest({ a: 1 }))
    expect(rest(runInNewContext('({ a: [1] })'))).toEqual(rest({ a: [1] }))
  })
})

describe('what cannot be told apart', () => {
  class Money {
    amount = 1
  }
  const loop: Record<string, unknown> = { a: [] }
  ;(loop.a as unknown[]).push(loop)
  const deep = Array.from({ length: 5_000 }).reduce<unknown>((inner) => [inner], 1)
  test.each([
    [[() => 1], 'argument 1 of getUser is a function'],
    [[1, { a: { 'b c': [1, Symbol('x')] } }], 'argument 2 of getUser, at .a.b c[1], is a symbol'],
    [[new Money()], 'argument 1 of getUser is an instance of Money'],
    [
      [{ on: new Map([['k', { money: new Money() }]]) }],
      'argument 1 of getUser, at .on.get(k).money, is an instance of Money',
    ],
    [[new Set([new URL('http://a')])], 'argument 1 of getUser, at .values(), is an instance of URL'],
    [[/x/], 'argument 1 of getUser is an instance of RegExp'],
    [[new (class extends Date {})()], 'is an instance of'],
    [[new (class Rows extends Array {})()], 'argument 1 of getUser is an instance of Rows'],
    [[loop], 'contains itself'],
    [[deep], 'nested deeper than 100 levels'],
    [[Object.assign([1], { 2: 3 })], 'has holes'],
    [['a-b'.match(/(a)/)], 'fields beside its items'],
    [[{ [Symbol('id')]: 1 }], 'named by a symbol, Symbol(id)'],
    [[Object.assign(new Date(0), { zone: 'UTC' })], 'fields that its type does not have'],
    [[{ toString: () => 'x' }], 'at .toString, is a function'],
  ])('%#', (args, message) => {
    expect(() => rest(...args)).toThrow(
      expect.objectContaining({
        code: 'KEY_INVALID',
        message: expect.stringContaining(message),
        hint: expect.stringContaining('`key:`'),
      }),
    )
  })

  test('what `key:` gives', () => {
    expect(partsRest(7, 'f')).toEqual(['7'])
    expect(partsRest(['a', 7, 7n], 'f')).toEqual(['a', '7', '7'])
    for (const bad of ['', Number.NaN, undefined, null, {}, ['a', ''], [['a']], () => 1, 2 ** 60]) {
      expect(() => partsRest(bad as KeyParts, 'f')).toThrow(/what `key:` gave for f is no key/)
    }
  })
})

describe(`at random (SEED=${seed})`, () => {
  const runs = { seed, numRuns: 3_000 * Number(process.env.PROOF ?? 1) }
  // few values, so that equal ones are met
  const scalar = fc.oneof(
    fc.constantFrom<unknown>(
      0,
      -0,
      1,
      '1',
      1n,
      '1n',
      true,
      'true',
      null,
      'null',
      undefined,
      'undefined',
      '',
      "'",
      "''",
      ',',
      '=',
      '(',
      ')',
      '<1>',
      'a',
      'a=1',
      Number.NaN,
      'NaN',
    ),
    fc.string({ unit: 'binary', maxLength: 4 }),
    fc.integer(),
    fc.double(),
    fc.bigInt(),
    fc.date({ noInvalidDate: true }),
    fc.constantFrom('\ud800', '\udfff', 'x\ud800'),
    fc.uint8Array({ maxLength: 2 }),
    fc.uint8Array({ maxLength: 2 }).map((bytes) => Buffer.from(bytes)),
  )
  const { value } = fc.letrec((tie) => ({
    value: fc.oneof(
      { maxDepth: 3, withCrossShrink: true },
      scalar,
      fc.array(tie('value'), { maxLength: 3 }),
      fc.dictionary(fc.constantFrom('a', 'b', '1', 'a=1,b', "'", '__proto__'), tie('value'), {
        maxKeys: 3,
        noNullPrototype: true,
      }),
      fc.array(fc.tuple(scalar, tie('value')), { maxLength: 3 }).map((entries) => new Map(entries)),
      fc.array(tie('value'), { maxLength: 3 }).map((items) => new Set(items)),
    ),
  }))
  const args = fc.array(value, { maxLength: 3 })

  test('arguments have the same key exactly when they are deeply equal', () => {
    fc.assert(
      fc.property(args, args, (a, b) => {
        expect(keyOf(a) === keyOf(b)).toBe(isDeepStrictEqual(a, b))
      }),
      runs,
    )
  })

  test('a change of one place is another key; another order of fields is not', () => {
    const shuffled = (input: unknown): unknown => {
      if (Array.isArray(input)) return input.map(shuffled)
      if (input instanceof Map) return new Map([...input].reverse())
      if (input instanceof Set) return new Set([...input].reverse())
      if (typeof input !== 'object' || input === null || Object.getPrototypeOf(input) !== Object.prototype) return input
      return Object.fromEntries(
        Object.entries(input)
          .reverse()
          .map(([key, item]) => [key, shuffled(item)]),
      )
    }
    fc.assert(
      fc.property(args, value, value, (a, one, other) => {
        expect(keyOf([...a, shuffled(one)])).toBe(keyOf([...a, one]))
        expect(keyOf([...a, one]) === keyOf([...a, other])).toBe(isDeepStrictEqual(one, other))
        expect(keyOf([{ a, one }]) === keyOf([{ a, one: other }])).toBe(isDeepStrictEqual(one, other))
      }),
      runs,
    )
  })

  test('of 300,000 random ids no two share a key, short or as a digest; of a 32-bit hash some do', () => {
    const random = randomFromSeed(seed)
    const word = () =>
      Math.floor(random() * 2 ** 32)
        .toString(16)
        .padStart(8, '0')
    const padding = 'x'.repeat(200)
    const seen = { short: new Set<string>(), long: new Set<string>(), djb2: new Set<number>() }
    for (let i = 0; i < 300_000; i++) {
      const id = word() + word() + word() + word()
      seen.short.add(keyOf([id]))
      seen.long.add(keyOf([{ padding, id }]))
      seen.djb2.add(djb2(JSON.stringify([id])))
    }
    expect(seen.short.size).toBe(300_000)
    expect(seen.long.size).toBe(300_000)
    expect([...seen.long][0]).toMatch(/:#[\w-]{22}$/)
    // the mutant: what another library makes keys with
    expect(seen.djb2.size).toBeLessThan(300_000)
  })
})

function djb2(text: string): number {
  let hash = 5381
  for (let i = 0; i < text.length; i++) hash = (Math.imul(hash, 33) ^ text.charCodeAt(i)) >>> 0
  return hash
}
