import fc from 'fast-check'
import { describe, expect, it } from 'vitest'
import { printable, safeJson, unprintable } from '../../src/core/printable.ts'
import { awkwardText, runs } from './arbitrary.ts'

/** Written down independently of the code: what a person must never get raw. `\p` is fine here, where nothing is stored. */
const DANGEROUS =
  /[\p{Cc}\p{Cf}\p{Zl}\p{Zp}\p{Default_Ignorable_Code_Point}\p{Bidi_Control}\p{Cs}]|[^\P{White_Space} ]/u

/** Format characters that are seen (Arabic number signs and the like): they stay. */
const SEEN = /[\u0600-\u0605\u06dd\u070f\u0890\u0891\u08e2\u{110bd}\u{110cd}]/gu

const isDangerous = (text: string) => DANGEROUS.test(text.replace(SEEN, ''))

const ranges = [
  [0, 0x3100],
  [0xd800, 0x10000],
  [0x110b0, 0x110d0],
  [0x1bc80, 0x1bcc0],
  [0x1d100, 0x1d200],
  [0xe0000, 0xe0400],
] as const
const characters = ranges.flatMap(([from, to]) =>
  Array.from({ length: to - from }, (_, index) => String.fromCodePoint(from + index)),
)

describe('printable', () => {
  it('lets no dangerous character through, and every other one, in text and in bytes', () => {
    const alsoHidden = '\\\u2800\u2065\ufff0'
    const wrong = characters.filter((character) => {
      const shown = printable(character)
      const escaped = shown !== character
      if (isDangerous(shown)) return true
      // what Unicode may still assign is not of interest
      if (escaped !== (isDangerous(character) || alsoHidden.includes(character)) && !/\p{Cn}/u.test(character))
        return true
      if (/\p{Cs}/u.test(character)) return false
      return printable(Buffer.from(character)) !== shown || !unprintable(shown).equals(Buffer.from(character))
    })
    expect(wrong.map((character) => character.codePointAt(0)?.toString(16))).toEqual([])
  })

  it('spells them', () => {
    expect(printable('a\u001b[31m\n\u007f')).toBe('a\\x1B[31m\\x0A\\x7F')
    expect(printable('\u0085\u202e\u{e0041}\ud800')).toBe('\\u{85}\\u{202E}\\u{E0041}\\u{D800}')
    expect(printable('c:\\new')).toBe('c:\\\\new')
    expect(printable('café 日本 🧡 \ufffd')).toBe('café 日本 🧡 \ufffd')
    expect(printable(Buffer.from([0x61, 0xff, 0xc2, 0xc2, 0x85, 0xe2, 0x82]))).toBe('a\\xFF\\xC2\\u{85}\\xE2\\x82')
  })

  it('escapes every byte that is no valid UTF-8, and gives all bytes back', () => {
    const bytes = fc.oneof(
      fc.uint8Array({ maxLength: 40 }),
      fc
        .array(
          fc.constantFrom(
            0x61,
            0x5c,
            0x78,
            0xc0,
            0xc2,
            0x80,
            0xa0,
            0xbf,
            0xe0,
            0xe2,
            0xed,
            0x9f,
            0xf0,
            0x90,
            0xf4,
            0x8f,
            0xf5,
            0xff,
          ),
        )
        .map((list) => Uint8Array.from(list)),
    )
    fc.assert(
      fc.property(bytes, (raw) => {
        const shown = printable(raw)
        expect(isDangerous(shown)).toBe(false)
        expect(unprintable(shown).equals(Buffer.from(raw))).toBe(true)
        const decoded = new TextDecoder('utf-8', { ignoreBOM: true }).decode(raw)
        if (!decoded.includes('\ufffd')) expect(shown).toBe(printable(decoded))
      }),
      runs(2000),
    )
  })

  it('keeps different texts apart', () => {
    fc.assert(
      fc.property(awkwardText, awkwardText, (a, b) => {
        expect(printable(a) === printable(b)).toBe(a === b)
        expect(unprintable(printable(a)).toString()).toBe(a)
      }),
      runs(1000),
    )
  })

  it.each(['a\\b', '\\', 'a\\x1', '\\u{110000}', '\\u{d800}', '\\u{}', '\\\\\\', '\ud800'])(
    'takes no form that it never writes: %j',
    (text) => {
      expect(() => unprintable(text)).toThrow(expect.objectContaining({ code: 'USAGE' }))
    },
  )
})

describe('safeJson', () => {
  it('is JSON of the same value, without a dangerous character', () => {
    const wrong = characters.filter((character) => {
      const json = safeJson([`a${character}b`, { [character]: 1 }])
      return isDangerous(json) || json !== safeJson(JSON.parse(json)) || JSON.parse(json)[0] !== `a${character}b`
    })
    expect(wrong).toEqual([])
    fc.assert(
      fc.property(fc.jsonValue(), (value) => {
        expect(JSON.parse(safeJson(value))).toEqual(JSON.parse(JSON.stringify(value)))
      }),
      runs(300),
    )
  })

  it('keeps the lines of its indentation', () => {
    expect(safeJson({ a: ['\n\u0085'] }, 2)).toBe('{\n  "a": [\n    "\\n\\u0085"\n  ]\n}')
  })

  it('tells what JSON has no words for', () => {
    const value = {
      big: 12n,
      bytes: Buffer.from([0x61, 0xff]),
      map: new Map([[1, new Date(0)]]),
      set: new Set([Number.NaN, Number.NEGATIVE_INFINITY]),
      view: Uint16Array.of(1, 2),
      buffer: Uint8Array.of(98).buffer,
    }
    expect(JSON.parse(safeJson(value))).toEqual({
      big: '12',
      bytes: 'a\\xFF',
      map: [[1, '1970-01-01T00:00:00.000Z']],
      set: ['NaN', '-Infinity'],
      view: [1, 2],
      buffer: 'b',
    })
    expect(safeJson(undefined)).toBe('null')
  })

  it('refuses what is too deep with a next step', () => {
    const deep = JSON.parse('['.repeat(100_000) + ']'.repeat(100_000))
    expect(() => safeJson(deep)).toThrow(
      expect.objectContaining({ code: 'USAGE', hint: expect.stringContaining('--raw') }),
    )
  })
})
