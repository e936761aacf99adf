import fc from 'fast-check'
import { describe, expect, it } from 'vitest'
import { CachectlError } from '../../src/core/errors.ts'
import {
  formatBytes,
  formatCount,
  formatDuration,
  formatPercent,
  parseDuration,
  parseSize,
} from '../../src/core/units.ts'
import { runs } from './arbitrary.ts'

const SECOND = 1000
const MINUTE = 60 * SECOND
const HOUR = 60 * MINUTE
const DAY = 24 * HOUR

describe('parseDuration', () => {
  it.each([
    ['250ms', 250],
    ['90s', 90 * SECOND],
    ['15m', 15 * MINUTE],
    ['24h', DAY],
    ['7d', 7 * DAY],
    ['1h30m', 90 * MINUTE],
    ['1d2h3m4s5ms', DAY + 2 * HOUR + 3 * MINUTE + 4 * SECOND + 5],
    ['1.5h', 90 * MINUTE],
    ['0.1s', 100],
    ['0s', 0],
    [' 4m 1s ', 4 * MINUTE + SECOND],
    ['250 ms', 250],
    ['36500d', 36500 * DAY],
  ])('%s', (text, ms) => expect(parseDuration(text)).toBe(ms))

  it.each([
    '',
    'never',
    '15 minutes',
    '15M',
    '-5s',
    '1e3s',
    '30m1h',
    '1h1h',
    's',
    '5x',
    '5s!',
    '١s',
    '1.s',
    '.5s',
    'NaNs',
  ])('refuses %j', (text) => {
    expect(() => parseDuration(text)).toThrow(
      expect.objectContaining({ code: 'USAGE', message: expect.stringContaining('write "90s"') }),
    )
  })

  it('says what to write for a bare number', () => {
    expect(() => parseDuration('900')).toThrow(/"900" has no unit: write "900s" for seconds, "900m"/)
  })

  it('refuses what is no whole millisecond, and what is over a hundred years', () => {
    expect(() => parseDuration('0.5ms')).toThrow(/whole number of milliseconds/)
    expect(() => parseDuration('36501d')).toThrow(/36500d/)
    expect(() => parseDuration('999999999999999d')).toThrow(/36500d/)
  })

  it('never shows a control character raw', () => {
    expect(() => parseDuration('\u001b[31m\u202e')).toThrow(
      expect.objectContaining({ message: expect.not.stringMatching(/[\u001b\u202e]/) }),
    )
  })

  it('throws nothing but CachectlError, and gives whole milliseconds', () => {
    const parts = fc.array(fc.oneof(fc.constantFrom('1', '30', '.', 's', 'm', 'h', 'd', 'ms', ' ', '-'), fc.string()), {
      maxLength: 6,
    })
    fc.assert(
      fc.property(parts, (pieces) => {
        try {
          expect(parseDuration(pieces.join(''))).toSatisfy((ms: number) => Number.isSafeInteger(ms) && ms >= 0)
        } catch (error) {
          expect(error).toBeInstanceOf(CachectlError)
        }
      }),
      runs(500),
    )
  })
})

describe('formatDuration', () => {
  it.each([
    [0, '0 ms'],
    [250, '250 ms'],
    [999.6, '1 s'],
    [1500, '1.5 s'],
    [9_960, '10 s'],
    [59_499, '59 s'],
    [59_600, '1 m'],
    [241_000, '4m 1s'],
    [2 * HOUR + 5 * MINUTE, '2h 5m'],
    [HOUR - 400, '1 h'],
    [DAY - 1, '1 d'],
    [DAY + 2 * HOUR, '1d 2h'],
    [41 * DAY + 3 * HOUR, '41 d'],
    [3000 * DAY, '3,000 d'],
    [-1500, '-1.5 s'],
  ])('%d', (ms, text) => expect(formatDuration(ms)).toBe(text))

  it('is within five per cent of what it stands for, and is read back', () => {
    fc.assert(
      fc.property(fc.double({ min: 25, max: 9 * DAY, noNaN: true }), (ms) => {
        expect(Math.abs(parseDuration(formatDuration(ms)) - ms)).toBeLessThanOrEqual(Math.max(0.5, ms * 0.051))
      }),
      runs(500),
    )
  })
})

describe('sizes', () => {
  it.each([
    ['512b', 512],
    ['4kb', 4096],
    ['1.5mb', 1.5 * 1024 ** 2],
    ['64MB', 64 * 1024 ** 2],
    ['2 gb', 2 * 1024 ** 3],
    ['1tb', 1024 ** 4],
    ['1.1kb', 1126],
  ])('%s', (text, bytes) => expect(parseSize(text)).toBe(bytes))

  it.each(['', '5', '4kib', '-1kb', 'kb', '1e3b', '9999999999tb', '4constructor', '4__proto__'])(
    'refuses %j',
    (text) => {
      expect(() => parseSize(text)).toThrow(expect.objectContaining({ code: 'USAGE' }))
    },
  )

  it('says what to write for a bare number', () => {
    expect(() => parseSize('64')).toThrow(/"64" has no unit: write "64kb"/)
  })

  it.each([
    [0, '0 B'],
    [12, '12 B'],
    [1023.7, '1 KB'],
    [47_395_635, '45.2 MB'],
    [64 * 1024 ** 2, '64 MB'],
    [1024 ** 2 - 1, '1 MB'],
    [1024 ** 6 * 5, '5,120 PB'.replace(',', '')],
  ])('shows %d', (bytes, text) => expect(formatBytes(bytes)).toBe(text))
})

it.each([
  [0, '0'],
  [999, '999'],
  [1247, '1,247'],
  [1_000_000, '1,000,000'],
  [-1247, '-1,247'],
])('counts %d', (n, text) => expect(formatCount(n)).toBe(text))

it.each([
  [0.9539, '95.39 %'],
  [0.42, '42 %'],
  [0, '0 %'],
  [1, '100 %'],
  [0.00001, '<0.01 %'],
  [0.99999, '>99.99 %'],
  [0.999, '99.9 %'],
])('ratio %d', (ratio, text) => expect(formatPercent(ratio)).toBe(text))
