import { describe, expect, it } from 'vitest'
import { createOrder, EVICTION_POLICIES, type KeyFacts } from '../../src/core/eviction.ts'
import { createRanking, type RankingLimits } from '../../src/core/ranking.ts'
import { randomFromSeed, seed } from '../seed.ts'

const STARTED_MS = Date.parse('2026-11-21T03:00:00Z')
const run = { startedAtMs: STARTED_MS, seed: 7 }
const key = (name: string) => Buffer.from(name)
const facts = (given: Partial<KeyFacts>): KeyFacts => ({ idleSeconds: 10, frequency: 5, pttlMs: -1, ...given })

describe('the order of a policy', () => {
  const orderOf = (policy: (typeof EVICTION_POLICIES)[number], all: readonly [string, Partial<KeyFacts>][]) => {
    const order = createOrder(policy, run)
    return all
      .map(([name, given]) => [name, order.value(facts(given), key(name), STARTED_MS) as number] as const)
      .sort((a, b) => a[1] - b[1])
      .map(([name]) => name)
  }

  it('lru: idle for longest first; of equally idle ones those that live shortest, those without TTL last', () => {
    const all: [string, Partial<KeyFacts>][] = [
      ['used', { idleSeconds: 0 }],
      ['longest', { idleSeconds: 2 ** 24 - 1 }],
      ['forever', { idleSeconds: 60 }],
      ['hour', { idleSeconds: 60, pttlMs: 3_600_000 }],
      ['minute', { idleSeconds: 60, pttlMs: 60_000 }],
      ['expiring', { idleSeconds: 60, pttlMs: 0 }],
      ['later', { idleSeconds: 59, pttlMs: 1 }],
    ]
    expect(orderOf('lru', all)).toEqual(['longest', 'expiring', 'minute', 'hour', 'forever', 'later', 'used'])
  })

  it('lfu: least often used first; ttl: shortest remaining first, none last', () => {
    const all: [string, Partial<KeyFacts>][] = [
      ['hot', { frequency: 255, pttlMs: 1 }],
      ['cold', { frequency: 0 }],
      ['cold and short', { frequency: 0, pttlMs: 1000 }],
      ['new', { frequency: 5, pttlMs: 500 }],
    ]
    expect(orderOf('lfu', all)).toEqual(['cold and short', 'cold', 'new', 'hot'])
    expect(orderOf('ttl', all)).toEqual(['hot', 'new', 'cold and short', 'cold'])
  })

  it('random: as the seed says, evenly', () => {
    const order = createOrder('random', { startedAtMs: STARTED_MS, seed })
    const quarters = [0, 0, 0, 0]
    for (let i = 0; i < 40_000; i++) {
      const value = order.value(facts({}), key(`shop:v1:detail:product:${i}`), STARTED_MS) as number
      const quarter = Math.floor(value / 2 ** 30)
      quarters[quarter] = (quarters[quarter] ?? 0) + 1
    }
    for (const count of quarters) expect(Math.abs(count - 10_000), `SEED=${seed}`).toBeLessThan(500)
    const other = createOrder('random', { startedAtMs: STARTED_MS, seed: seed + 1 })
    expect(other.value(facts({}), key('a'), STARTED_MS)).not.toBe(order.value(facts({}), key('a'), STARTED_MS))
  })

  it.each(EVICTION_POLICIES)(
    '%s: is the same whenever a key is measured, and a later one once it was used',
    (policy) => {
      const random = randomFromSeed(seed)
      const order = createOrder(policy, run)
      for (let i = 0; i < 2000; i++) {
        const idleSeconds = 4 + Math.floor(random() * 1e6)
        const pttlMs = 1e6 + Math.floor(random() * 1e9)
        const laterS = Math.floor(random() * 900)
        const at = STARTED_MS + Math.floor(random() * 1000)
        const value = order.value(facts({ idleSeconds, pttlMs }), key(`k${i}`), at) as number
        expect(Number.isSafeInteger(value)).toBe(true)
        const later = facts({ idleSeconds: idleSeconds + laterS, pttlMs: pttlMs - laterS * 1000 })
        expect(order.value(later, key(`k${i}`), at + laterS * 1000), `SEED=${seed}`).toBe(value)
        if (policy === 'random') continue
        const used = facts({ idleSeconds: 0, frequency: 6, pttlMs: 3e9 })
        expect(order.value(used, key(`k${i}`), at + laterS * 1000)).toBeGreaterThan(value + order.slack)
      }
    },
  )

  it('gives back what it goes by', () => {
    const given = facts({ idleSeconds: 90, frequency: 17, pttlMs: 12_345 })
    const value = (policy: (typeof EVICTION_POLICIES)[number], of: KeyFacts, afterMs = 0) => {
      const order = createOrder(policy, run)
      return order.measure(order.value(of, key('k'), STARTED_MS) as number, STARTED_MS + afterMs)
    }
    expect(value('lru', given)).toBe(90_000)
    expect(value('lru', given, 5000)).toBe(95_000)
    expect(value('lfu', given)).toBe(17)
    expect(value('ttl', given)).toBe(12_345)
    expect(value('ttl', given, 2000)).toBe(10_345)
    expect(value('ttl', facts({}))).toBeNull()
    expect(value('random', given)).toBeNull()
  })

  it('is unknown where the server does not say what it goes by', () => {
    const silent = facts({ idleSeconds: null, frequency: null, pttlMs: null })
    const values = EVICTION_POLICIES.map((policy) => createOrder(policy, run).value(silent, key('k'), STARTED_MS))
    expect(values).toEqual([null, null, expect.any(Number), null])
  })
})

describe('the line', () => {
  const limits = (given: Partial<RankingLimits> = {}): RankingLimits => ({
    values: 1000,
    names: 50,
    random: randomFromSeed(seed),
    ...given,
  })
  /** `n` keys, their values a random order of 0 to n - 1, of 1 to 100 bytes. */
  const filled = (n: number, given?: Partial<RankingLimits>) => {
    const ranking = createRanking(limits(given))
    const random = randomFromSeed(seed + 1)
    const values = Array.from({ length: n }, (_, i) => i)
    for (let i = n - 1; i > 0; i--) {
      const j = Math.floor(random() * (i + 1))
      ;[values[i], values[j]] = [values[j] as number, values[i] as number]
    }
    const sizes = new Float64Array(n)
    for (const value of values) {
      sizes[value] = 1 + Math.floor(random() * 100)
      ranking.offer(value, sizes[value] as number, Buffer.from(`k${value}`))
    }
    return { ranking, sizes }
  }

  it('is exact, with names, where few go; and with values alone where they can all be held', () => {
    const { ranking, sizes } = filled(1000)
    for (const keys of [1, 2, 10, 49, 50]) {
      const line = ranking.line({ keys, bytes: 0 })
      expect(line, `SEED=${seed}`).toMatchObject({ first: 0, last: keys - 1, upTo: keys - 1, keys, error: 0 })
      const named = line?.named?.map(({ value }) => value)
      expect(named).toEqual(Array.from({ length: named?.length ?? 0 }, (_, i) => i))
      expect(named?.length).toBeGreaterThan(keys)
      expect(line?.bytes).toBe(sizes.slice(0, keys).reduce((a, b) => a + b))
      expect(line?.samples.map(String)).toEqual(Array.from({ length: 10 }, (_, i) => `k${i}`))
    }
    for (const keys of [200, 500, 999, 1000]) {
      const line = ranking.line({ keys, bytes: 0 })
      expect(line, `SEED=${seed}`).toMatchObject({ first: 0, last: keys - 1, keys, named: null })
      expect(line?.error).toBeCloseTo(keys * 0.000_005, 9)
      expect(line?.bytes).toBe(sizes.slice(0, keys).reduce((a, b) => a + b))
      expect(line?.upTo).toBeGreaterThanOrEqual(keys - 1)
      expect(line?.upTo).toBeLessThanOrEqual(keys * 1.01)
    }
  })

  it('makes room for both keys and bytes, and for no more', () => {
    const { ranking, sizes } = filled(1000)
    for (const [keys, bytes] of [
      [0, 1],
      [0, 700],
      [3, 900],
      [40, 5],
      [0, 20_000],
      [300, 30_000],
      [700, 3],
    ] as const) {
      const line = ranking.line({ keys, bytes })
      const sum = (count: number) => sizes.slice(0, count).reduce((a, b) => a + b, 0)
      const gone = line?.keys ?? 0
      expect(gone).toBeGreaterThanOrEqual(keys)
      expect(sum(gone)).toBeGreaterThanOrEqual(bytes)
      expect(gone - 1 < keys || sum(gone - 1) < bytes, `SEED=${seed}`).toBe(true)
    }
  })

  it('takes everything where that is not enough, and is none where there is nothing', () => {
    expect(filled(1000).ranking.line({ keys: 5000, bytes: 0 })).toMatchObject({ keys: 1000, last: 999 })
    expect(filled(20).ranking.line({ keys: 5000, bytes: 0 })?.named).toHaveLength(20)
    expect(filled(20).ranking.line({ keys: 0, bytes: 0 })).toBeNull()
    expect(createRanking(limits()).line({ keys: 1, bytes: 0 })).toBeNull()
  })

  it('holds with equal values', () => {
    const ranking = createRanking(limits())
    for (let i = 0; i < 1000; i++) ranking.offer(i % 3, 10, Buffer.from(`k${i}`))
    expect(ranking.line({ keys: 30, bytes: 0 })).toMatchObject({ keys: 30, last: 0 })
    expect(ranking.line({ keys: 500, bytes: 0 })).toMatchObject({ keys: 500, last: 1 })
  })

  it('is off by no more than it says where values are sampled', () => {
    let within = 0
    const trials = 60
    for (let trial = 0; trial < trials; trial++) {
      const { ranking } = filled(20_000, { values: 1000, random: randomFromSeed(seed + trial) })
      const line = ranking.line({ keys: 8000, bytes: 0 })
      expect(line?.error).toBeCloseTo(1 / Math.sqrt(1000) + 0.002, 3)
      expect(line?.upTo).toBeGreaterThan(line?.last ?? 0)
      if (Math.abs((line?.last ?? 0) - 8000) <= 20_000 * (line?.error ?? 0)) within++
    }
    expect(within, `SEED=${seed}`).toBeGreaterThanOrEqual(trials * 0.85)
  })
})
