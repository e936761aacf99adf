import { describe, expect, it } from 'vitest'
import { criticalValue, estimateGroup, normalQuantile } from '../../src/core/estimate.ts'

const seed = Number(process.env.SEED ?? 11)

const randomFrom = (start: number) => {
  let state = start * 2654435761
  return () => {
    state |= 0
    state = (state + 0x6d2b79f5) | 0
    let t = Math.imul(state ^ (state >>> 15), 1 | state)
    t = (t + Math.imul(t ^ (t >>> 7), 61 | t)) ^ t
    return ((t ^ (t >>> 14)) >>> 0) / 4294967296
  }
}

/** Five groups of different shares and skews; the last one is rare. */
const population = (() => {
  const random = randomFrom(seed)
  const sizes = Array.from({ length: 50_000 }, (_, i) => {
    const group = i % 100 < 60 ? 0 : i % 100 < 85 ? 1 : i % 100 < 95 ? 2 : i % 100 < 99 ? 3 : 4
    // Log-normal sizes: a few large values carry much of the memory.
    const normal = Math.sqrt(-2 * Math.log(1 - random())) * Math.cos(2 * Math.PI * random())
    return { group, bytes: Math.round(Math.exp(5 + 0.8 * normal)) }
  })
  return sizes
})()
const truth = [0, 1, 2, 3, 4].map((group) => {
  const own = population.filter((key) => key.group === group)
  return { keys: own.length, bytes: own.reduce((sum, key) => sum + key.bytes, 0) }
})

/** In how many of 100 samples all intervals hold at once. */
const covered = (sampleSize: number, z: number): number => {
  let runs = 0
  for (let run = 0; run < 100; run++) {
    const random = randomFrom(seed * 1000 + run)
    const pool = [...population]
    const groups = truth.map(() => ({ keys: 0, bytes: 0, bytesSquared: 0, sized: 0 }))
    for (let i = 0; i < sampleSize; i++) {
      const pick = i + Math.floor(random() * (pool.length - i))
      const key = pool[pick] as (typeof pool)[number]
      pool[pick] = pool[i] as (typeof pool)[number]
      const group = groups[key.group] as (typeof groups)[number]
      group.keys++
      group.sized++
      group.bytes += key.bytes
      group.bytesSquared += key.bytes ** 2
    }
    const holds = groups.every((group, index) => {
      const { keys, bytes, error } = estimateGroup(group, { visited: sampleSize, population: population.length }, z)
      const real = truth[index] as (typeof truth)[number]
      return (
        Math.abs(keys - real.keys) <= error.keys &&
        (error.bytes === null || Math.abs((bytes ?? 0) - real.bytes) <= error.bytes)
      )
    })
    if (holds) runs++
  }
  return runs
}

describe('what a sample says of the whole', () => {
  it('is in the stated intervals, of all groups at once, in at least 95 of 100 samples', () => {
    for (const sampleSize of [1000, 5000])
      expect(covered(sampleSize, criticalValue(truth.length)), `seed ${seed}`).toBeGreaterThanOrEqual(95)
  })

  it('would not be with the intervals of one figure alone', () => {
    expect(covered(1000, 1.96)).toBeLessThan(95)
  })

  it('has no error when everything was looked at, and says nothing of the spread of a few', () => {
    const group = { keys: 3, bytes: 300, bytesSquared: 30_000, sized: 3 }
    expect(estimateGroup(group, { visited: 10, population: 10 }, 3)).toEqual({
      keys: 3,
      bytes: 300,
      error: { keys: 0, bytes: 0 },
    })
    expect(estimateGroup(group, { visited: 100, population: 1000 }, 3)).toMatchObject({
      keys: 30,
      bytes: 3000,
      error: { bytes: null },
    })
    expect(estimateGroup({ ...group, bytes: 0, sized: 0 }, { visited: 100, population: 1000 }, 3).bytes).toBeNull()
  })

  it('knows the normal distribution', () => {
    for (const [p, z] of [
      [0.5, 0],
      [0.975, 1.959964],
      [0.995, 2.575829],
      [0.00135, -2.999977],
      [0.9999, 3.719016],
    ] as const) {
      expect(normalQuantile(p)).toBeCloseTo(z, 5)
    }
  })
})
