import fc from 'fast-check'
import { describe, expect, it } from 'vitest'
import { decodeHeader, type EntryMeta, encodeEntry, HEADER_PROBE_BYTES } from '../../src/core/entry.ts'
import { awkwardText, runs } from './arbitrary.ts'
import { bytesOf, META } from './arbitrary-value.ts'

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
