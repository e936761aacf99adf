// Guarantee 6: tenants that read and invalidate entries of the same names at the same time never see each other's.
import { afterAll, beforeAll, expect, it } from 'vitest'
import { startRedis } from '../servers.ts'
import { untilMet } from './goes.ts'
import { closeCaches, openCaches, PROOF, type Scene, startWorkers } from './processes.ts'

const FOR_MS = 3_000 * PROOF

let scene: Scene

beforeAll(async () => {
  const [redis, truth, workers] = await Promise.all([startRedis(), startRedis(), startWorkers(2)])
  scene = { redis, truth, workers }
})
afterAll(async () => {
  await Promise.all(scene.workers.map((worker) => worker.kill()))
  await Promise.all([scene.redis.stop(), scene.truth.stop()])
})

const run = async (tenants: readonly string[], forMs: number) => {
  const seen = await Promise.all(
    scene.workers.flatMap((worker) => tenants.map((tenant) => worker.tenant(tenant, forMs, 50))),
  )
  const reads = seen.reduce((sum, one) => sum + one.reads, 0)
  return { reads, crossed: seen.reduce((sum, one) => sum + one.crossed, 0) }
}

for (const l1 of [false, true]) {
  it(`two tenants for ${FOR_MS / 1000} s${l1 ? ', with L1' : ''}: no value crosses`, { timeout: 120_000 }, async () => {
    await openCaches(scene, { l1 })
    // Ids that would be each other's where they were joined carelessly.
    let reads = 0
    const go = async () => {
      const seen = await run(['1', '1:s1'], FOR_MS)
      expect(seen.crossed).toBe(0)
      reads += seen.reads
    }
    await untilMet(go, () => reads > FOR_MS)
    expect(reads).toBeGreaterThan(FOR_MS)
    await closeCaches(scene)
  })
}

it('a cache that leaves the tenant out of its keys is caught', async () => {
  await openCaches(scene, { mutant: 'no tenant' })
  const crossed = async () => (await run(['1', '2'], 500)).crossed
  expect(await untilMet(crossed, (values) => values > 0)).toBeGreaterThan(0)
  await closeCaches(scene)
})
