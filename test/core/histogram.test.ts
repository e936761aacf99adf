import { describe, expect, it } from 'vitest'
import {
  createHistogram,
  mergeHistogram,
  PERCENTILE_PRECISION,
  percentile,
  percentileOf,
  recordDuration,
  TTL_CLASSES_MS,
} from '../../src/core/histogram.ts'

const seed = Number(process.env.SEED ?? 7)
const draw = (() => {
  let state = seed
  return () => {
    state = (Math.imul(state, 1103515245) + 12345) & 0x7fffffff
    return state / 0x7fffffff
  }
})()

describe('a histogram of durations', () => {
  it('gives percentiles within its stated precision over nine orders of magnitude', () => {
    const values = Array.from({ length: 20_000 }, () => Math.round(10 ** (draw() * 9 + 1)))
    const histogram = createHistogram()
    for (const value of values) recordDuration(histogram, value)
    values.sort((a, b) => a - b)
    for (const share of [0.01, 0.05, 0.5, 0.9, 0.95, 0.99, 1]) {
      const exact = percentileOf(values, share) as number
      expect(
        Math.abs((percentile(histogram, share) as number) - exact) / exact,
        `p${share * 100}, seed ${seed}`,
      ).toBeLessThanOrEqual(PERCENTILE_PRECISION)
    }
  })

  it('counts its classes exactly, bounds included in the upper one', () => {
    const histogram = createHistogram()
    for (const bound of TTL_CLASSES_MS) {
      recordDuration(histogram, bound - 1)
      recordDuration(histogram, bound)
    }
    expect([...histogram.classes]).toEqual([1, ...TTL_CLASSES_MS.slice(1).map(() => 2), 1])
  })

  it('gives no percentile beyond what there is: of one TTL of an hour it is an hour', () => {
    const [histogram, other] = [createHistogram(), createHistogram()]
    for (let count = 0; count < 10; count++) recordDuration(histogram, 3_600_000)
    expect([0.01, 0.5, 1].map((share) => percentile(histogram, share))).toEqual([3_600_000, 3_600_000, 3_600_000])
    recordDuration(other, 90_000)
    mergeHistogram(histogram, other)
    expect(percentile(histogram, 0.01)).toBeGreaterThanOrEqual(90_000)
    expect(percentile(histogram, 1)).toBe(3_600_000)
  })

  it('merges, and knows nothing of nothing', () => {
    const [a, b] = [createHistogram(), createHistogram()]
    expect(percentile(a, 0.5)).toBeNull()
    recordDuration(a, 100)
    recordDuration(b, 1e18)
    recordDuration(b, 0)
    mergeHistogram(a, b)
    expect(a.total).toBe(3)
    expect(percentile(a, 0.01)).toBe(1)
    expect(percentile(a, 1)).toBeGreaterThan(1e12)
  })
})
