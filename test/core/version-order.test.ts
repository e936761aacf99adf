import fc from 'fast-check'
import { describe, expect, it } from 'vitest'
import { compareVersions } from '../../src/core/entry.ts'
import { awkwardText, runs } from './arbitrary.ts'

describe('compareVersions', () => {
  it.each([
    [null, '1', 'unknown'],
    [null, null, 'unknown'],
    ['', '', 'equal'],
    ['9', '10', 'older'],
    ['18446744073709551616', '18446744073709551615', 'newer'],
    ['-2', '-1', 'older'],
    ['-1.5', '-1.25', 'older'],
    ['01', '1', 'equal'],
    ['1.10', '1.9', 'older'],
    ['2026-11-21 03:04:05.123456+00', '2026-11-21 03:04:05.123457+00', 'older'],
    ['2026-11-21 03:04:05+00', '2026-11-21 03:04:05.5+00', 'older'],
    ['2026-11-21T03:04:05Z', '2026-11-21T03:04:05.5Z', 'older'],
    ['2026-11-21T03:04:05.1Z', '2026-11-21T03:04:05.12Z', 'older'],
    ['2026-11-21 03:04:05.1+00', '2026-11-21 03:04:05.100000+00', 'equal'],
    ['2026-11-21 04:04:05+01', '2026-11-21 03:04:05+00', 'equal'],
    ['2026-11-21 03:34:05+05:30', '2026-11-20T22:04:05Z', 'equal'],
    ['2026-11-21 00:00:00-05', '2026-11-21 04:59:59+00', 'newer'],
    ['2026-11-21 03:04:05', '2026-11-21 03:04:05+00', 'unknown'],
    ['2026-11-21', '2026-11-22', 'older'],
    ['1969-12-31 23:59:59.5', '1970-01-01 00:00:00', 'older'],
    ['0x00000000000007D1', '0x00000000000007D2', 'older'],
    ['0x07', '7', 'unknown'],
    ['W/"abc"', 'W/"abd"', 'unknown'],
    ['infinity', '2026-11-21', 'unknown'],
  ] as const)('%s is, beside %s: %s', (a, b, order) => {
    expect(compareVersions(a, b)).toBe(order)
    const opposite = { equal: 'equal', unknown: 'unknown', older: 'newer', newer: 'older' } as const
    expect(compareVersions(b, a)).toBe(opposite[order])
  })

  it('orders what PostgreSQL and JavaScript write for instants a microsecond apart', () => {
    const instant = fc.tuple(
      fc.date({ min: new Date('1970-01-01'), max: new Date('2100-01-01'), noInvalidDate: true }),
      fc.nat(999),
      fc.constantFrom('+00', 'Z', '+00:00', 'UTC'),
    )
    const spell = ([date, micros, zone]: readonly [Date, number, string]) => {
      const fraction = `${date.toISOString().slice(20, 23)}${String(micros).padStart(3, '0')}`.replace(/0+$/, '')
      return `${date
        .toISOString()
        .slice(0, 19)
        .replace('T', zone === 'Z' ? 'T' : ' ')}${fraction ? `.${fraction}` : ''}${zone}`
    }
    const value = ([date, micros]: readonly [Date, number, string]) => BigInt(date.getTime()) * 1000n + BigInt(micros)
    fc.assert(
      fc.property(instant, instant, fc.boolean(), (a, other, near) => {
        const b = near ? ([a[0], other[1], other[2]] as const) : other
        const expected = value(a) === value(b) ? 'equal' : value(a) < value(b) ? 'older' : 'newer'
        expect(compareVersions(spell(a), spell(b))).toBe(expected)
      }),
      runs(2000),
    )
  })

  it('takes any text', () => {
    fc.assert(
      fc.property(awkwardText, awkwardText, (a, b) => {
        expect(['equal', 'unknown', 'older', 'newer']).toContain(compareVersions(a, b))
        expect(compareVersions(a, a)).toBe('equal')
      }),
      runs(500),
    )
  })
})
