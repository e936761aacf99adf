// Guarantee 1 over two named servers: control data, stamps and half of the entries on one, the other half with their leases on the other, while now this and now
// that one is slow to write or ends its connections.
import { setTimeout as pause } from 'node:timers/promises'
import { afterAll, beforeAll, describe, expect, it } from 'vitest'
import { seed } from '../seed.ts'
import { startRedis, type TestRedis } from '../servers.ts'
import { untilMet } from './goes.ts'
import { trialsIn, violationsOf } from './history.ts'
import { runTrials, type Scene, startWorkers, TRIALS, type TrialsOptions } from './processes.ts'
import { KINDS, type Kind } from './trial.ts'

let scene: Scene
let other: TestRedis

beforeAll(async () => {
  const [redis, second, truth, workers] = await Promise.all([startRedis(), startRedis(), startRedis(), startWorkers(2)])
  scene = { redis, truth, workers }
  other = second
})
afterAll(async () => {
  await Promise.all(scene.workers.map((worker) => worker.kill()))
  await Promise.all([scene.redis.stop(), other.stop(), scene.truth.stop()])
})

/** A global bump is everybody's: of one trial in thirty. */
const LOCAL = KINDS.filter((kind) => kind !== 'global')
const anyKind = (trial: number): Kind => (trial % 30 === 29 ? 'global' : (LOCAL[trial % LOCAL.length] as Kind))

const disturb: NonNullable<TrialsOptions['chaos']> = async (_, random) => {
  const server = random() < 0.5 ? scene.redis : other
  if (random() < 0.98) await server.call('CLIENT', 'PAUSE', 10, 'WRITE')
  else await server.call('CLIENT', 'KILL', 'TYPE', 'normal', 'SKIPME', 'yes')
  await pause(20)
}

describe(`nothing old comes back (seed ${seed}, ${TRIALS} trials each)`, () => {
  for (const l1 of [false, true]) {
    it(`from either server${l1 ? ', with L1' : ''}`, { timeout: 300_000 }, async () => {
      const history = await runTrials(scene, {
        kind: anyKind,
        trials: TRIALS,
        chaos: disturb,
        durationMs: l1 ? 250 : 120,
        open: { l1, otherUrl: other.url, heartbeatMs: 1_000, deadlineMs: 2_000 },
      })
      expect(violationsOf(history).slice(0, 3)).toEqual([])
      expect(history.invalidations.filter(({ status }) => status === 'applied').length).toBeGreaterThan(TRIALS / 2)
      expect(history.reads.length - history.loads).toBeGreaterThan(TRIALS)
      // On both of them something was kept.
      for (const { call } of [scene.redis, other]) expect((await call('KEYS', '*:v1*')) as string[]).not.toHaveLength(0)
    })
  }
})

/** The entries of odd trials are on the second server, whose stamps and control data are on the first. */
it.each([
  ['plain fill', 'key'],
  ['stamps begin at 0', 'tag'],
  ['silent bump', 'tenant-subject'],
] as const)('and a cache with %s is caught', async (mutant, kind) => {
  const options = { kind, trials: 60, durationMs: 200, writes: 4, open: { mutant, otherUrl: other.url } }
  const go = async () => {
    const wrong = violationsOf(await runTrials(scene, options))
    return trialsIn(wrong.filter(({ read }) => read.trial % 2 === 1))
  }
  expect(await untilMet(go, (caught) => caught > 0)).toBeGreaterThan(0)
})
