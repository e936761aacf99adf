import { isDeepStrictEqual } from 'node:util'
import { deflateRawSync } from 'node:zlib'
import fc from 'fast-check'
import { describe, expect, it } from 'vitest'
import {
  createEntryEncoder,
  decodeEntry,
  decodeHeader,
  type EntryMeta,
  encodeEntry,
  HEADER_PROBE_BYTES,
} from '../../src/core/entry.ts'
import { awkwardText, runs } from './arbitrary.ts'

const META: EntryMeta = {
  incarnation: 'abcdefgh-_ABCD12',
  createdAtMs: 1_763_690_645_123,
  freshUntilMs: 1_763_690_945_123,
  graceMs: 300_000,
  deltaMs: 12,
  writer: 'writer01',
  sourceVersion: '2026-11-21 03:04:05.123456+00',
  tags: [],
  compressAboveBytes: null,
}

function bytesOf(value: unknown, meta: Partial<EntryMeta> = {}): Buffer {
  return Buffer.from(encodeEntry(value, { ...META, ...meta }))
}

function roundTrip(value: unknown, meta: Partial<EntryMeta> = {}): unknown {
  const decoded = decodeEntry(bytesOf(value, meta))
  if (!decoded.ok) throw new Error(decoded.reason)
  return decoded.value
}

const leaf = fc.oneof(
  fc.string({ unit: 'binary' }),
  awkwardText,
  fc.string({ unit: 'binary' }).map((text) => `${text}\ud800`),
  fc.double(),
  fc.constantFrom<unknown>(
    null,
    undefined,
    true,
    false,
    -0,
    0,
    Number.NaN,
    Number.POSITIVE_INFINITY,
    Number.NEGATIVE_INFINITY,
  ),
  fc.bigInt(),
  fc.date({ noInvalidDate: true }),
  fc.uint8Array().map((bytes) => Buffer.from(bytes)),
  fc.uint8Array(),
  fc.int8Array(),
  fc.uint8ClampedArray(),
  fc.int16Array(),
  fc.uint16Array(),
  fc.int32Array(),
  fc.uint32Array(),
  fc.float32Array(),
  fc.float64Array(),
  fc.bigInt64Array(),
  fc.bigUint64Array(),
  fc.uint8Array().map((bytes) => Uint8Array.from(bytes).buffer),
  // a view into the middle of a larger buffer
  fc.uint8Array({ minLength: 8 }).map((bytes) => bytes.subarray(3, 7)),
)
const fieldName = fc.oneof(
  {
    weight: 2,
    arbitrary: fc.constantFrom(
      '~date',
      '~object',
      '~',
      '~map',
      '__proto__',
      'constructor',
      'prototype',
      'toString',
      '',
      '0',
      'a',
    ),
  },
  { weight: 1, arbitrary: fc.string({ unit: 'binary' }) },
)
const anyValue = fc.letrec<{ value: unknown }>((tie) => ({
  value: fc.oneof(
    { depthSize: 'small', withCrossShrink: true },
    leaf,
    fc.array(tie('value'), { maxLength: 4 }),
    fc.array(fc.tuple(fieldName, tie('value')), { maxLength: 4 }).map((fields) => {
      const object = {}
      for (const [name, value] of fields)
        Object.defineProperty(object, name, { value, enumerable: true, writable: true, configurable: true })
      return object
    }),
    fc.array(fc.tuple(tie('value'), tie('value')), { maxLength: 3 }).map((entries) => new Map(entries)),
    fc.array(tie('value'), { maxLength: 3 }).map((items) => new Set(items)),
  ),
})).value

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
    const withDate = JSON.parse('{"__proto__":{"polluted":true},"n":{"__proto__":1}}')
    withDate.__proto__.at = new Date(1)
    withDate.n.at = new Date(2)
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

describe('the header', () => {
  it('is 76 characters of ASCII, source version and tags, alone readable', () => {
    const meta = {
      ...META,
      tags: [
        { tag: 'product:42', stamp: 'k1x' },
        { tag: 'é;=%\n', stamp: '' },
      ],
      sourceVersion: 'Zeit 5 % é\n',
    }
    const bytes = bytesOf('é', meta)
    const text = bytes.toString('latin1')
    expect(text.startsWith('cctl1sabcdefgh-_ABCD12')).toBe(true)
    expect(text.slice(0, -2)).toMatch(/^[ -~]*$/)
    const { compressAboveBytes: _, ...expected } = meta
    const header = { ...expected, format: 1, codec: 'text', payloadBytes: 2 }
    expect(decodeHeader(bytes)).toEqual({ ok: true, header, headerBytes: bytes.length - 2 })
    expect(decodeHeader(bytes.subarray(0, -2))).toEqual({ ok: true, header, headerBytes: bytes.length - 2 })
  })

  it('says how many bytes it needs', () => {
    const bytes = bytesOf(
      {},
      { tags: Array.from({ length: 40 }, (_, i) => ({ tag: `product:${i}`, stamp: 'abcdefgh' })) },
    )
    for (let have = 1; have < 76; have++)
      expect(decodeHeader(bytes.subarray(0, have))).toEqual({ ok: false, reason: 'truncated', needBytes: 76 })
    const probe = decodeHeader(bytes.subarray(0, HEADER_PROBE_BYTES))
    expect(probe).toMatchObject({ ok: false, reason: 'truncated' })
    const needBytes = probe.ok ? 0 : (probe.needBytes ?? 0)
    expect(decodeHeader(bytes.subarray(0, needBytes))).toMatchObject({ ok: true })
    expect(decodeHeader(bytes.subarray(0, needBytes - 1))).toMatchObject({ ok: false })
    expect(HEADER_PROBE_BYTES).toBeGreaterThan(bytesOf({}).length)
  })

  it('holds every meta that it takes', () => {
    const ms = fc.integer({ min: 0, max: 36 ** 9 - 1 })
    const meta = fc.record({
      incarnation: fc.stringMatching(/^[\w-]{16}$/),
      createdAtMs: ms,
      freshUntilMs: fc.option(ms),
      graceMs: ms,
      deltaMs: fc.integer({ min: 0, max: 36 ** 6 - 1 }),
      writer: fc.stringMatching(/^[\w-]{1,8}$/),
      sourceVersion: fc.option(awkwardText),
      tags: fc.array(fc.record({ tag: awkwardText, stamp: awkwardText }), { maxLength: 3 }),
    })
    fc.assert(
      fc.property(meta, (given) => {
        const decoded = decodeHeader(bytesOf([1], given))
        // no tags and one tag of empty names are different texts
        expect(decoded).toMatchObject({ ok: true, header: given })
      }),
      runs(1000),
    )
  })

  it('rounds fractions down and clamps a long delta', () => {
    expect(decodeHeader(bytesOf(1, { freshUntilMs: 10.9, deltaMs: 1e12 }))).toMatchObject({
      header: { freshUntilMs: 10, deltaMs: 36 ** 6 - 1 },
    })
  })

  it.each<Partial<EntryMeta>>([
    { incarnation: 'short' },
    { incarnation: 'sixteen, but bad' },
    { writer: '' },
    { writer: 'nine-char' },
    { createdAtMs: -1 },
    { createdAtMs: Number.NaN },
    { freshUntilMs: Number.POSITIVE_INFINITY },
    { graceMs: 36 ** 9 },
    { sourceVersion: 'x'.repeat(1296) },
  ])('takes no %j', (meta) => {
    expect(() => encodeEntry({}, { ...META, ...meta })).toThrow(expect.objectContaining({ code: 'UNEXPECTED' }))
  })
})

describe('decoding', () => {
  it('tells why there is no entry', () => {
    const bytes = bytesOf({ a: 1 })
    const changed = (at: number, text: string) =>
      Buffer.concat([bytes.subarray(0, at), Buffer.from(text), bytes.subarray(at + text.length)])
    expect(decodeEntry(Buffer.alloc(0))).toEqual({ ok: false, reason: 'foreign' })
    expect(decodeEntry(Buffer.from('{"a":1}'))).toEqual({ ok: false, reason: 'foreign' })
    expect(decodeEntry(changed(4, '2'))).toEqual({ ok: false, reason: 'format' })
    expect(decodeEntry(changed(5, 'x'))).toEqual({ ok: false, reason: 'corrupt' })
    expect(decodeEntry(changed(bytes.length - 1, ']'))).toEqual({ ok: false, reason: 'corrupt' })
    expect(decodeEntry(bytes.subarray(0, -1))).toEqual({ ok: false, reason: 'truncated' })
    expect(decodeEntry(Buffer.concat([bytes, Buffer.from(' ')]))).toEqual({ ok: false, reason: 'corrupt' })
    expect(decodeEntry(bytesOf('a'.repeat(100)), { maxBytes: 99 })).toEqual({ ok: false, reason: 'too large' })
  })

  it('takes no length of the payload but the right one', () => {
    const bytes = bytesOf('abcdefghij')
    for (const length of ['0000000', '0000009', '000000b', 'zzzzzzz']) {
      const wrong = Buffer.concat([bytes.subarray(0, 69), Buffer.from(length), bytes.subarray(76)])
      expect(decodeEntry(wrong).ok).toBe(false)
    }
    expect(decodeEntry(bytes)).toMatchObject({ ok: true, value: 'abcdefghij' })
  })

  it('stops a bomb at the limit', () => {
    const bomb = deflateRawSync(Buffer.alloc(200 * 1024 * 1024))
    const header = bytesOf('x'.repeat(bomb.length)).subarray(0, -bomb.length)
    header[5] = 'S'.charCodeAt(0)
    expect(decodeEntry(Buffer.concat([header, bomb]))).toEqual({ ok: false, reason: 'too large' })
    expect(decodeEntry(Buffer.concat([header, bomb]), { maxBytes: 1000 })).toEqual({ ok: false, reason: 'too large' })
  })

  it('never throws, on noise, cuts, flipped bits and tags that no encoder writes', () => {
    const noise = fc.uint8Array({ maxLength: 200 })
    const grammar = fc.letrec<{ json: unknown }>((tie) => ({
      json: fc.oneof(
        fc.constantFrom<unknown>('AAAA', '1', 'x', 1, null, true, 'NaN', 'Float64Array', ''),
        fc.array(tie('json'), { maxLength: 3 }),
        fc
          .record({
            name: fc.constantFrom(
              '~date',
              '~bigint',
              '~number',
              '~map',
              '~set',
              '~buffer',
              '~arraybuffer',
              '~typed',
              '~object',
              '~undefined',
              '~new',
              '__proto__',
            ),
            content: tie('json'),
          })
          .map(({ name, content }) => JSON.parse(`{${JSON.stringify(name)}:${JSON.stringify(content)}}`)),
      ),
    })).json
    const hostile = (json: unknown) => {
      const text = JSON.stringify(json)
      const bytes = bytesOf(text)
      bytes[5] = 't'.charCodeAt(0)
      return bytes
    }
    const damaged = fc
      .tuple(anyValue, fc.nat(), fc.nat(7), fc.boolean(), fc.constantFrom(null, 0))
      .map(([value, at, bit, cut, compressAboveBytes]) => {
        const bytes = bytesOf(value, { compressAboveBytes })
        if (cut) return bytes.subarray(0, at % bytes.length)
        const place = at % bytes.length
        bytes[place] = (bytes[place] ?? 0) ^ (1 << bit)
        return bytes
      })
    const magic = noise.map((bytes) => Buffer.concat([Buffer.from('cctl1j'), bytes]))
    fc.assert(
      fc.property(fc.oneof(noise, damaged, damaged, magic, grammar.map(hostile)), (bytes) => {
        const decoded = decodeEntry(bytes, { maxBytes: 1_000_000 })
        expect(typeof decoded.ok).toBe('boolean')
        expect(({} as { polluted?: unknown }).polluted).toBeUndefined()
      }),
      runs(6000),
    )
    const deep = `${'{"~set":['.repeat(50_000)}${']}'.repeat(50_000)}`
    const bytes = bytesOf(deep)
    bytes[5] = 't'.charCodeAt(0)
    expect(decodeEntry(bytes)).toEqual({ ok: false, reason: 'corrupt' })
  })

  it('takes no invalid UTF-8 for text', () => {
    for (const value of ['aé', { a: 'é' }]) {
      const bytes = bytesOf(value)
      bytes[bytes.indexOf(0xc3)] = 0xff
      expect(decodeEntry(bytes)).toEqual({ ok: false, reason: 'corrupt' })
    }
    expect(roundTrip('\ufffd')).toBe('\ufffd')
    expect(roundTrip('\ufeffa')).toBe('\ufeffa')
  })

  it('gives bytes that do not change with the reply they came in', () => {
    const bytes = bytesOf(Buffer.from('abc'))
    const decoded = decodeEntry(bytes)
    bytes.fill(0)
    expect(decoded.ok && decoded.value).toEqual(Buffer.from('abc'))
  })
})

describe('compression', () => {
  const text = JSON.stringify(Array.from({ length: 100 }, (_, id) => ({ id, name: `city ${id}` })))

  it('begins above the size and only where it helps', () => {
    const codec = (value: unknown, compressAboveBytes: number | null) => {
      const decoded = decodeHeader(bytesOf(value, { compressAboveBytes }))
      return decoded.ok && decoded.header.codec
    }
    expect(codec(text, text.length)).toBe('text')
    expect(codec(text, text.length - 1)).toBe('text-deflated')
    expect(codec(JSON.parse(text), 100)).toBe('json-deflated')
    expect(codec([new Date(0), text], 100)).toBe('tagged-deflated')
    expect(codec(Buffer.from(text), 100)).toBe('bytes-deflated')
    expect(codec(text, null)).toBe('text')
    expect(codec(Buffer.from('abc'), 0)).toBe('bytes')
    expect(bytesOf(text, { compressAboveBytes: 0 }).length).toBeLessThan(text.length / 3)
  })
})

it('writes text as text, so that a row costs one concatenation, and the batch form writes the same', () => {
  const row = { id: 1, name: 'é' }
  const encode = createEntryEncoder(META)
  expect(encode(row, META)).toBe(encodeEntry(row, META))
  expect(typeof encode(row, META)).toBe('string')
  expect(typeof encode({ at: new Date() }, META)).toBe('string')
  expect(encode(Buffer.from('a'), META)).toBeInstanceOf(Buffer)
})
