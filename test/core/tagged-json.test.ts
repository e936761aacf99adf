import { isDeepStrictEqual } from 'node:util'
import fc from 'fast-check'
import { describe, expect, it } from 'vitest'
import { decodeEntry, encodeEntry } from '../../src/core/entry.ts'
import { runs } from './arbitrary.ts'
import { anyValue, bytesOf, META, roundTrip } from './arbitrary-value.ts'

describe('a value', () => {
  it('comes back equal, of every type and nested, compressed or not', () => {
    fc.assert(
      fc.property(anyValue, fc.constantFrom(null, 0, 50), (value, compressAboveBytes) => {
        const back = roundTrip(value, { compressAboveBytes })
        if (!isDeepStrictEqual(back, value)) expect(back).toStrictEqual(value)
        expect(Object.prototype.toString.call(back)).toBe(Object.prototype.toString.call(value))
        expect(Buffer.isBuffer(back)).toBe(Buffer.isBuffer(value))
      }),
      runs(3000),
    )
  })

  it('is not changed by being written', () => {
    fc.assert(
      fc.property(anyValue, (value) => {
        const copy = roundTrip(value)
        encodeEntry(value, META)
        expect(isDeepStrictEqual(value, copy)).toBe(true)
      }),
      runs(300),
    )
  })

  it.each<[string, unknown, string]>([
    ['a row of plain JSON', { id: 1, name: 'x', list: [null, true, 1.5, { a: 'é' }] }, 'json'],
    ['a field that is called like a tag among others', { '~date': 1, b: 2 }, 'json'],
    ['an object that looks like a tag', { '~date': 'x' }, 'tagged'],
    ['a row with a date', { at: new Date(5) }, 'tagged'],
    ['an undefined field', { a: undefined }, 'tagged'],
    ['-0', -0, 'tagged'],
    ['text', 'text', 'text'],
    ['text with half a pair', '\ud800', 'json'],
    ['bytes', Buffer.from([0, 255]), 'bytes'],
  ])('%s takes the plainest form', (_, value, codec) => {
    const decoded = decodeEntry(bytesOf(value))
    expect(decoded).toMatchObject({ ok: true, header: { codec } })
    expect(decoded.ok && isDeepStrictEqual(decoded.value, value)).toBe(true)
  })

  it('keeps `__proto__` fields as fields and pollutes nothing', () => {
    const plain = JSON.parse('{"__proto__":{"polluted":true},"constructor":{"prototype":{"polluted":true}}}')
    const withDate = JSON.parse('{"__proto__":{"polluted":true,"at":1},"n":{"__proto__":1,"at":2}}', (key, field) =>
      key === 'at' ? new Date(field) : field,
    )
    for (const value of [plain, withDate]) {
      const back = roundTrip(value) as object
      expect(isDeepStrictEqual(back, value)).toBe(true)
      expect(Object.hasOwn(back, '__proto__')).toBe(true)
      expect(Object.getPrototypeOf(back)).toBe(Object.prototype)
    }
    const hostile = bytesOf({ '~x': 1, y: new Date(0) })
    const text = hostile
      .toString('latin1')
      .replace('{"~x":1,"y":{"~date":0}}', '{"__proto__":{"__proto__":{"~set":["polluted"]}}}')
    decodeEntry(Buffer.from(text, 'latin1'))
    expect(({} as { polluted?: unknown }).polluted).toBeUndefined()
  })

  it('that is an invalid date comes back as one', () => {
    expect(roundTrip([new Date(Number.NaN)])).toEqual([new Date(Number.NaN)])
  })

  it('without a prototype comes back as an ordinary object', () => {
    expect(roundTrip(Object.assign(Object.create(null), { a: 1 }))).toStrictEqual({ a: 1 })
  })

  class Money {
    amount = 1
    toJSON() {
      return '1'
    }
  }
  const cycle: Record<string, unknown> = { a: { b: {} } }
  ;(cycle.a as Record<string, unknown>).b = cycle
  const hidden = Object.defineProperty({ a: 1 }, 'toJSON', { value: () => 1, enumerable: false })

  it.each<[string, unknown, RegExp]>([
    ['a function', { rows: [1, { 'on click': () => 1 }] }, /value\.rows\[1\]\["on click"\] is a function/],
    ['a symbol', [Symbol('x')], /value\[0\] is a symbol/],
    ['a class instance', { price: new Money() }, /value\.price is an instance of Money/],
    ['a subclass of Date', new (class Later extends Date {})(), /value is an instance of Later/],
    ['a URL', { at: new URL('http://a/') }, /value\.at is an instance of URL/],
    ['a RegExp', /a/, /value is an instance of RegExp/],
    ['an Error', new Map([['a', new Error('x')]]), /value\[0\]\[1\] is an instance of Error/],
    ['a promise', Promise.resolve(1), /Promise/],
    ['a boxed number', { a: Object(1) }, /value\.a is an instance of Number/],
    ['a hole', { a: Object.assign([1], { 2: 3 }) }, /value\.a\[1\] is a hole/],
    ['a cycle', cycle, /contains itself/],
    ['a method toJSON that is hidden', hidden, /has a toJSON method/],
    ['a DataView', new DataView(new ArrayBuffer(1)), /DataView/],
    ['control characters in the path', { '\u001b[31m': () => 1 }, /^[^\u001b]*\\u001b[^\u001b]*$/],
  ])('that cannot come back equal is refused with its place: %s', (_, value, message) => {
    expect(() => encodeEntry(value, META)).toThrow(
      expect.objectContaining({ code: 'USAGE', message: expect.stringMatching(message) }),
    )
  })

  it('nested deeper than the limit is refused, at any depth of the stack, and never crashes', () => {
    const nested = (levels: number, wrap: (inner: unknown) => unknown) => {
      let value: unknown = 1
      for (let i = 0; i < levels; i++) value = wrap(value)
      return value
    }
    expect(
      isDeepStrictEqual(
        roundTrip(nested(900, (a) => ({ a }))),
        nested(900, (a) => ({ a })),
      ),
    ).toBe(true)
    expect(() => roundTrip(nested(300, (a) => new Map([[a, undefined]])))).not.toThrow()
    for (const levels of [1001, 100_000]) {
      for (const wrap of [(a: unknown) => ({ a }), (a: unknown) => [a], (a: unknown) => new Set([a])]) {
        expect(() => encodeEntry(nested(levels, wrap), META)).toThrow(expect.objectContaining({ code: 'USAGE' }))
      }
    }
    const value = nested(900, (a) => [a, undefined])
    const tight = (depth: number): unknown => {
      try {
        return tight(depth + 1)
      } catch (error) {
        if (!(error instanceof RangeError)) throw error
        return encodeEntry(value, META)
      }
    }
    expect(() => tight(0)).not.toThrow(RangeError)
  })
})
