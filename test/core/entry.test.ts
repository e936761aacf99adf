import { deflateRawSync } from 'node:zlib'
import fc from 'fast-check'
import { describe, expect, it } from 'vitest'
import { createEntryEncoder, decodeEntry, decodeHeader, encodeEntry } from '../../src/core/entry.ts'
import { runs } from './arbitrary.ts'
import { anyValue, bytesOf, META, roundTrip } from './arbitrary-value.ts'

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
  const { bytes, sizeBytes } = encode(row, META)
  expect(bytes).toBe(encodeEntry(row, META))
  expect(sizeBytes).toBe(Buffer.byteLength(bytes))
  expect(typeof bytes).toBe('string')
  expect(typeof encode({ at: new Date() }, META).bytes).toBe('string')
  expect(encode(Buffer.from('a'), META).bytes).toBeInstanceOf(Buffer)
})
