// Guarantee 2: one load of an entry over all processes, while Redis keeps its lease; another one when the process that loads is killed.
import { setTimeout as pause } from 'node:timers/promises'
import { afterAll, beforeAll, expect, it } from 'vitest'
import { startRedis } from '../servers.ts'
import { SOON } from './goes.ts'
import { closeCaches, openCaches, type Scene, startWorkers, TRIALS, type Worker } from './processes.ts'

const CALLERS = 125
/** Who waits for Redis no longer loads on its own: on a busy machine that may be after a second. */
const PATIENT = { deadlineMs: 20_000 }

let scene: Scene

beforeAll(async () => {
  const [redis, truth, workers] = await Promise.all([startRedis(), startRedis(), startWorkers(4)])
  scene = { redis, truth, workers }
})
afterAll(async () => {
  await Promise.all(scene.workers.map((worker) => worker.kill()))
  await Promise.all([scene.redis.stop(), scene.truth.stop()])
})

const stampede = async (trial: number, callers: number, loadMs: number, tag?: string) => {
  const all = await Promise.all(scene.workers.map((worker) => worker.stampede(trial, callers, loadMs, tag)))
  return {
    loads: all.reduce((sum, { loads }) => sum + loads, 0),
    values: all.reduce((sum, { values }) => sum + values, 0),
  }
}

it(`${TRIALS} entries are loaded once each by callers of 4 processes, 500 of the first`, {
  timeout: 300_000,
}, async () => {
  await openCaches(scene, PATIENT)
  expect(await stampede(0, CALLERS, 100)).toEqual({ loads: 1, values: 4 * CALLERS })
  for (let start = 1; start < TRIALS; start += 20) {
    const trials = Array.from({ length: Math.min(20, TRIALS - start) }, (_, index) => start + index)
    const seen = await Promise.all(trials.map((trial) => stampede(trial, 5, Math.random() * 30)))
    expect(seen).toEqual(trials.map(() => ({ loads: 1, values: 20 })))
  }
  await closeCaches(scene)
})

it('also where the loader names tags', { timeout: 300_000 }, async () => {
  await openCaches(scene, PATIENT)
  for (let start = 0; start < TRIALS; start += 20) {
    const trials = Array.from({ length: Math.min(20, TRIALS - start) }, (_, index) => start + index)
    const seen = await Promise.all(trials.map((trial) => stampede(trial, 5, Math.random() * 30, `t${trial}`)))
    expect(seen).toEqual(trials.map(() => ({ loads: 1, values: 20 })))
  }
  await closeCaches(scene)
})

it('leases that are not kept are caught', async () => {
  // Each process has its own prefix: nobody sees a lease of another.
  await openCaches(scene)
  await closeCaches(scene)
  await Promise.all(
    scene.workers.map((worker, process) =>
      worker.open({
        url: scene.redis.url,
        truthUrl: scene.truth.url,
        prefix: `alone${process}`,
        process,
        l1: false,
        heartbeatMs: 300,
        ...PATIENT,
        mutant: null,
      }),
    ),
  )
  expect((await stampede(0, CALLERS, 100)).loads).toBe(4)
  await closeCaches(scene)
})

it('another process loads when the one that loads is killed, after its lease', async () => {
  const [survivor, ...others] = scene.workers as [Worker, ...Worker[]]
  await openCaches(scene, PATIENT)
  const loader = others.pop() as Worker
  // Nobody hears of it any more.
  loader.read(7, 60_000).catch(() => {})
  const leases = async () => (await scene.redis.call('KEYS', '*~lease:*')) as string[]
  await expect.poll(async () => (await leases()).length, SOON).toBe(1)
  const waiting = [survivor, ...others].map((worker) => worker.stampede(7, 10, 20))
  await pause(100)
  await loader.kill()
  // Nobody renews it: it lapses within this time, the others go on then, and not before.
  const [lease = ''] = await leases()
  const askedMs = performance.now()
  const leftMs = Number(await scene.redis.call('PTTL', lease))
  expect(leftMs).toBeLessThanOrEqual(5_000)
  const seen = await Promise.all(waiting)
  expect(seen.reduce((sum, { loads }) => sum + loads, 0)).toBe(1)
  expect(performance.now() - askedMs).toBeGreaterThanOrEqual(leftMs)
})
