// Guarantee 1: what is read after an invalidation was applied was loaded after it was called, in every process, whatever is invalidated and however.
import { afterAll, beforeAll, describe, expect, it } from 'vitest'
import { seed } from '../seed.ts'
import { startRedis } from '../servers.ts'
import { untilMet } from './goes.ts'
import { trialsIn, violationsOf } from './history.ts'
import type { OpenOptions } from './process.ts'
import { runTrials, type Scene, startWorkers, TRIALS } from './processes.ts'
import { KINDS, type Kind } from './trial.ts'

let scene: Scene

beforeAll(async () => {
  const [redis, truth, workers] = await Promise.all([startRedis(), startRedis(), startWorkers(2)])
  scene = { redis, truth, workers }
})
afterAll(async () => {
  await Promise.all(scene.workers.map((worker) => worker.kill()))
  await Promise.all([scene.redis.stop(), scene.truth.stop()])
})

describe(`an old value never comes back (seed ${seed}, ${TRIALS} trials each)`, () => {
  for (const l1 of [false, true]) {
    for (const kind of KINDS) {
      it(`after an invalidation by ${kind}${l1 ? ', with L1' : ''}`, { timeout: 300_000 }, async () => {
        const durationMs = l1 ? 250 : 70
        const go = async () => {
          const open = { l1, deadlineMs: 10_000 }
          const history = await runTrials(scene, { kind, trials: TRIALS, durationMs, open })
          expect(violationsOf(history).slice(0, 3)).toEqual([])
          // Every trial was one: it was loaded anew after invalidations, by reads that began before and after them.
          expect(history.invalidations).toHaveLength(TRIALS * 2 * scene.workers.length)
          expect(history.invalidations.every(({ status }) => status === 'applied')).toBe(true)
          expect(history.loads).toBeGreaterThan(TRIALS)
          expect(history.reads.length).toBeGreaterThan(TRIALS * 4)
          return history.nearHits
        }
        const nearHits = await untilMet(go, (hits) => !l1 || hits > 0)
        if (l1) expect(nearHits).toBeGreaterThan(0)
        else expect(nearHits).toBe(0)
      })
    }
  }
})

describe(`naive variants are caught (seed ${seed})`, () => {
  const MUTANTS: [OpenOptions['mutant'], Kind][] = [
    ['plain fill', 'key'],
    ['plain fill', 'pattern'],
    ['leases stay', 'key'],
    ['leases stay', 'pattern'],
    ['stamps begin at 0', 'tag'],
    ['no log of stamps', 'late-tag'],
    ['silent bump', 'namespace'],
    ['silent bump', 'tenant'],
    ['any flight', 'key'],
    ['time of tag', 'tag'],
    ['members of tag', 'tag'],
  ]
  for (const [mutant, kind] of MUTANTS) {
    it(`${mutant}, by ${kind}`, async () => {
      const go = async (count: number) => {
        // Where invalidations take long, only longer loads are under way when they are done.
        const longer = 2 ** Math.min(count, 5)
        const options = { loadMs: 30 * longer, durationMs: 70 * longer, open: { mutant } }
        return trialsIn(violationsOf(await runTrials(scene, { kind, trials: 60, ...options })))
      }
      expect(await untilMet(go, (caught) => caught > 0)).toBeGreaterThan(0)
    })
  }
})
