// Times of entries: early refresh as XFetch has it, and jitter.
import { describe, expect, test } from 'vitest'
import { encode } from '../../src/cache/encoding.ts'
import { refreshesEarly } from '../../src/core/early-refresh.ts'
import { decodeHeader } from '../../src/core/entry.ts'
import { randomFromSeed, seed } from '../seed.ts'

const TRIALS = 200_000 * Number(process.env.PROOF ?? 1)

describe(`early refresh (seed ${seed})`, () => {
  const chance = (deltaMs: number, leftMs: number, beta: number): number => {
    const random = randomFromSeed(seed)
    let refreshed = 0
    for (let trial = 0; trial < TRIALS; trial++)
      if (refreshesEarly({ freshUntilMs: 10_000 + leftMs, deltaMs }, beta, 10_000, random)) refreshed++
    return refreshed / TRIALS
  }
  /** Five standard deviations of a binomial: one false alarm in millions of runs. */
  const tolerance = (share: number): number => 5 * Math.sqrt((share * (1 - share)) / TRIALS)

  test.each([
    [100, 100, 1, Math.exp(-1)],
    [100, 300, 1, Math.exp(-3)],
    [100, 600, 2, Math.exp(-3)],
    [250, 100, 1, Math.exp(-0.4)],
  ])('delta %i ms, %i ms left, beta %i: %f of reads', (deltaMs, leftMs, beta, expected) => {
    expect(Math.abs(chance(deltaMs, leftMs, beta) - expected)).toBeLessThan(tolerance(expected))
  })

  test('36.8 % at delta and 5.0 % at three times it, as published', () => {
    expect(chance(100, 100, 1)).toBeCloseTo(0.368, 2)
    expect(chance(100, 300, 1)).toBeCloseTo(0.05, 2)
  })

  test('a naive variant, a chance that falls evenly over three deltas, is told apart', () => {
    const random = randomFromSeed(seed)
    let refreshed = 0
    for (let trial = 0; trial < TRIALS; trial++) if (random() < 1 - 100 / 300) refreshed++
    expect(Math.abs(refreshed / TRIALS - Math.exp(-1))).toBeGreaterThan(tolerance(Math.exp(-1)))
  })

  test.each([
    ['beta 0', { freshUntilMs: 10_001, deltaMs: 1000 }, 0],
    ['a value that took no time', { freshUntilMs: 10_001, deltaMs: 0 }, 1],
    ['an entry that is never stale', { freshUntilMs: null, deltaMs: 1000 }, 1],
  ])('never with %s', (_, entry, beta) => {
    const random = randomFromSeed(seed)
    for (let trial = 0; trial < 10_000; trial++) expect(refreshesEarly(entry, beta, 10_000, random)).toBe(false)
  })

  test('always at its end, whatever is drawn', () => {
    for (const drawn of [0, 0.5, 1 - 2 ** -53])
      expect(refreshesEarly({ freshUntilMs: 10_000, deltaMs: 1 }, 1, 10_000, () => drawn)).toBe(true)
  })
})

test(`jitter only shortens, evenly over its share (seed ${seed})`, () => {
  const random = randomFromSeed(seed)
  const clock = { now: () => 1_795_230_245_123 }
  const policy = { ttlMs: 60_000, graceMs: 5_000, jitter: 0.2, compressAboveBytes: null }
  const entry = { incarnation: 'abcdefgh-_ABCD12', writer: 'test', tags: [], deltaMs: 1, sourceVersion: null }
  const times: number[] = []
  for (let trial = 0; trial < 5_000; trial++) {
    const { bytes, ttlMs, freshUntilMs } = encode(1, policy, { clock, random }, entry)
    const head = decodeHeader(Buffer.from(bytes))
    expect(head.ok && head.header).toMatchObject({ freshUntilMs, graceMs: 5_000 })
    // the physical TTL is freshness and grace
    expect(ttlMs).toBe((freshUntilMs as number) - clock.now() + 5_000)
    times.push((freshUntilMs as number) - clock.now())
  }
  expect(Math.max(...times)).toBeLessThanOrEqual(60_000)
  expect(Math.min(...times)).toBeGreaterThanOrEqual(48_000)
  const mean = times.reduce((sum, time) => sum + time, 0) / times.length
  expect(Math.abs(mean - 54_000)).toBeLessThan(300)
})
