// On 500,000 keys: what is kept, against the exact order; and how far below the limit it goes.
import { afterAll, beforeAll, describe, expect, it } from 'vitest'
import { BATCH_KEYS } from '../../src/ops/evict-victims.ts'
import type { Store } from '../../src/ports.ts'
import { randomFromSeed, seed } from '../seed.ts'
import { startRedis, type TestRedis } from '../servers.ts'
import { budgets, type Entry, evict, keyOf, keysOf, restore } from './evict-world.ts'
import { contextOf, openTestStore } from './fixture.ts'

const KEYS = 500_000

let server: TestRedis
let store: Store
/** by the number of the entry */
const idleSeconds = new Uint32Array(KEYS)
const ttlMs = new Float64Array(KEYS)
let there = Array.from({ length: KEYS }, (_, i) => i)

beforeAll(async () => {
  server = await startRedis()
  store = openTestStore(server)
  const random = randomFromSeed(seed)
  const entries = function* (): Generator<Entry> {
    for (let i = 0; i < KEYS; i++) {
      idleSeconds[i] = Math.floor(random() ** 3 * 1_000_000)
      ttlMs[i] = random() < 0.1 ? Number.POSITIVE_INFINITY : 600_000 + Math.floor(random() * 86_400_000)
      yield {
        key: keyOf('detail', i),
        idleSeconds: idleSeconds[i] as number,
        ttlMs: Number.isFinite(ttlMs[i]) ? (ttlMs[i] as number) : 0,
      }
    }
  }
  await restore(store, entries())
}, 180_000)
afterAll(async () => {
  await store?.close()
  await server?.stop()
})

/** Evicts, and gives the share of what should have gone among what went. */
async function agreement(policy: 'lru' | 'ttl', maxKeys: number, held?: { values: number; names: number }) {
  const config = budgets(server.url, { detail: { maxKeys, policy } })
  const report = await evict(contextOf(store, { config, random: randomFromSeed(seed) }), held ? { held } : {})
  expect(report).toMatchObject({ ok: true, complete: true })
  const after = new Set(Array.from(await keysOf(server.call), (key) => Number(key.split(':').at(-1))))
  const rank =
    policy === 'lru'
      ? (a: number, b: number) => (idleSeconds[b] as number) - (idleSeconds[a] as number)
      : (a: number, b: number) => (ttlMs[a] as number) - (ttlMs[b] as number)
  const should = new Set(there.sort(rank).slice(0, there.length - maxKeys))
  const went = there.filter((id) => !after.has(id))
  const kept = there.length - went.length
  there = there.filter((id) => after.has(id))
  expect(kept).toBeLessThanOrEqual(maxKeys)
  expect(kept).toBeGreaterThan(maxKeys - BATCH_KEYS)
  expect(report.deleted).toBe(went.length)
  return { share: went.filter((id) => should.has(id)).length / should.size, error: report.namespaces[0]?.error }
}

describe(`of 500,000 keys (SEED=${seed})`, () => {
  it('lru takes those that the exact order would, where their values are held', async () => {
    const { share, error } = await agreement('lru', 400_000)
    expect(error).toBeCloseTo(0.001, 6)
    expect(share).toBeGreaterThan(0.99)
  }, 180_000)

  it('ttl takes 95 in 100 of those that the exact order would, where values are sampled', async () => {
    const { share, error } = await agreement('ttl', 300_000, { values: 60_000, names: 1000 })
    expect(error).toBeCloseTo(0.0053, 3)
    expect(share).toBeGreaterThan(0.95)
  }, 180_000)
})
