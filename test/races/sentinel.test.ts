// Guarantee 5 on a Sentinel set: the primary is killed, or replaced while it lives, and the library goes on with its successor by itself.
import { afterAll, beforeAll, expect, it } from 'vitest'
import { seed } from '../seed.ts'
import { startRedis } from '../servers.ts'
import { startSentinel, type TestSentinel } from '../topologies.ts'
import { type History, monotonicMs, violationsOf } from './history.ts'
import { runTrials, type Scene, startWorkers } from './processes.ts'
import { KINDS, type Kind } from './trial.ts'

let scene: Scene
let set: TestSentinel

beforeAll(async () => {
  const [started, truth, workers] = await Promise.all([startSentinel(), startRedis(), startWorkers(2)])
  set = started
  const first = await set.primary()
  const call: typeof first.call = async (...args) => (await set.primary()).call(...args)
  scene = { redis: { ...first, url: set.url, call }, truth, workers }
})
afterAll(async () => {
  await Promise.all(scene.workers.map((worker) => worker.kill()))
  await Promise.all([set.stop(), scene.truth.stop()])
})

const LOCAL = KINDS.filter((kind) => kind !== 'global')
const anyKind = (trial: number): Kind => LOCAL[trial % LOCAL.length] as Kind

/** Trials that go on while another primary takes over; `overMs` is when all of it was over. */
const during = async (change: () => Promise<unknown>): Promise<History & { overMs: number }> => {
  let changing: Promise<unknown> | null = null
  let overMs = Number.POSITIVE_INFINITY
  const history = await runTrials(scene, {
    kind: anyKind,
    trials: 16,
    durationMs: 5_000,
    writes: 30,
    restMs: 60,
    open: { deadlineMs: 500 },
    chaos: async () => {
      changing ??= change().then(() => {
        overMs = monotonicMs()
      })
      await changing
    },
  })
  return { ...history, overMs }
}

/** They were read, found, invalidated and given after it as before it. */
const expectGoesOn = ({ reads, invalidations, overMs }: History & { overMs: number }): void => {
  expect(reads.filter(({ startMs }) => startMs > overMs).length).toBeGreaterThan(50)
  const after = invalidations.filter(({ endMs }) => endMs > overMs + 1_000)
  expect(after.length).toBeGreaterThan(10)
  // On a busy machine an answer may be late at any time.
  expect(after.filter(({ status }) => status === 'applied').length).toBeGreaterThan(after.length / 2)
}

it(`replaced while it lives: both take writes until it is told, and nothing of that outlives it (seed ${seed})`, {
  timeout: 120_000,
}, async () => {
  const history = await during(() => set.failover())
  expectGoesOn(history)
  const { invalidations, overMs } = history
  const reads = history.reads.filter(({ startMs }) => startMs > overMs + 500)
  expect(violationsOf({ ...history, reads, invalidations }).slice(0, 3)).toEqual([])
})

it(`killed: nothing that was invalidated comes back (seed ${seed})`, { timeout: 120_000 }, async () => {
  const history = await during(() => set.killPrimary())
  expectGoesOn(history)
  expect(violationsOf(history).slice(0, 3)).toEqual([])
})
