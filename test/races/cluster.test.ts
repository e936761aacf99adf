// Guarantees 1 and 2 on a Cluster: entries, stamps, leases and control data on three masters, while slots move between them and now and then one is slow.
import { setTimeout as pause } from 'node:timers/promises'
import { afterAll, beforeAll, describe, expect, it } from 'vitest'
import { randomFromSeed, seed } from '../seed.ts'
import { startRedis } from '../servers.ts'
import { startClusterAsOne, type TestCluster } from '../topologies.ts'
import { SOON, untilMet } from './goes.ts'
import { trialsIn, violationsOf } from './history.ts'
import type { OpenOptions } from './process.ts'
import {
  closeCaches,
  openCaches,
  runTrials,
  type Scene,
  startWorkers,
  TRIALS,
  type TrialsOptions,
  type Worker,
} from './processes.ts'
import { KINDS, type Kind, UNHELD } from './trial.ts'

let scene: Scene
let cluster: TestCluster

beforeAll(async () => {
  const [redis, truth, workers] = await Promise.all([startClusterAsOne(), startRedis(), startWorkers(4)])
  scene = { redis, truth, workers }
  cluster = redis.cluster
})
afterAll(async () => {
  await Promise.all(scene.workers.map((worker) => worker.kill()))
  await Promise.all([scene.redis.stop(), scene.truth.stop()])
})

/** A global bump is everybody's: of one trial in thirty. */
const LOCAL = KINDS.filter((kind) => kind !== 'global')
const anyKind = (trial: number): Kind => (trial % 30 === 29 ? 'global' : (LOCAL[trial % LOCAL.length] as Kind))

const pick = <T>(items: readonly T[], random: () => number): T => items[Math.floor(random() * items.length)] as T

/** The slot of some key of the caches goes elsewhere, in steps between which it is in two places. */
const moveSlot: NonNullable<TrialsOptions['chaos']> = async (prefix, random) => {
  const from = pick(cluster.masters, random)
  const [, keys] = (await from.call('SCAN', 0, 'MATCH', `${prefix}*`, 'COUNT', 1_000)) as [string, string[]]
  if (keys.length === 0) return
  const slot = await cluster.slotOf(pick(keys, random))
  const to = pick(
    cluster.masters.filter((node) => node !== from),
    random,
  )
  if ((await cluster.ownerOf(slot)) !== from) return
  await cluster.beginMove(slot, to)
  await pause(random() * 5)
  await cluster.moveKeys(slot, to, 1)
  await pause(random() * 5)
  await cluster.moveKeys(slot, to)
  await cluster.endMove(slot, to)
}

/** Writes wait for a moment on one of the masters, and reads do not: what goes to several at once is done in any order. */
const slowWrites: NonNullable<TrialsOptions['chaos']> = async (_, random) => {
  await pick(cluster.masters, random).call('CLIENT', 'PAUSE', 10, 'WRITE')
  await pause(20)
}

const anything: NonNullable<TrialsOptions['chaos']> = (prefix, random) =>
  random() < 0.2 ? slowWrites(prefix, random) : moveSlot(prefix, random)

describe(`nothing old comes back (seed ${seed}, ${TRIALS} trials each)`, () => {
  for (const l1 of [false, true]) {
    it(`while slots move and masters are slow${l1 ? ', with L1' : ''}`, { timeout: 300_000 }, async () => {
      const two = { ...scene, workers: scene.workers.slice(0, 2) }
      const options = {
        kind: anyKind,
        trials: TRIALS,
        chaos: anything,
        durationMs: l1 ? 250 : 120,
        open: { l1, heartbeatMs: 1_000, deadlineMs: 10_000 },
      }
      // With slots on the move copies in memory are seldom trusted: on a busy machine it takes more than one go to meet some.
      const go = async (count: number) => {
        const history = await runTrials(two, { ...options, pauseMs: 12 * 2 ** count })
        expect(violationsOf(history).slice(0, 3)).toEqual([])
        expect(history.invalidations).toHaveLength(TRIALS * 2 * two.workers.length)
        expect(history.invalidations.filter(({ status }) => status === 'applied').length).toBeGreaterThan(TRIALS * 3)
        expect(history.reads.length - history.loads).toBeGreaterThan(TRIALS)
        return history.nearHits
      }
      const nearHits = await untilMet(go, (hits) => !l1 || hits > 0)
      if (l1) expect(nearHits).toBeGreaterThan(0)
    })
  }
})

it('and a cache that writes what it loaded whatever happened meanwhile is caught', async () => {
  const two = { ...scene, workers: scene.workers.slice(0, 2) }
  const options = { kind: 'key', trials: 60, durationMs: 200, writes: 4, open: { mutant: 'plain fill' } } as const
  const go = async () => trialsIn(violationsOf(await runTrials(two, options)))
  expect(await untilMet(go, (caught) => caught > 0)).toBeGreaterThan(0)
})

/** What is read after a tag was invalidated that a load under way has named, while the master that has the log of stamps is slow. */
const readBehindSlowLog = async (mutant: OpenOptions['mutant']): Promise<unknown> => {
  const prefix = await openCaches(scene, { mutant, deadlineMs: 20_000 })
  const [loader, writer] = scene.workers as [Worker, Worker]
  const log = await cluster.ownerOf(await cluster.slotOf(`${prefix}~stamp-log`))
  const isElsewhere = async (key: string) => (await cluster.ownerOf(await cluster.slotOf(key))) !== log
  let trial = 1
  while (!(await isElsewhere(`${prefix}:v1:n${trial}:s${trial}:e:${trial}`))) trial += trial % 3 === 1 ? 1 : 2
  let tag = 0
  while (!(await isElsewhere(`${prefix}~stamp:tag:${tag}`))) tag++
  await Promise.all([loader.read(UNHELD, 0), writer.read(UNHELD, 0)])
  const loading = loader.read(trial, 600, `${tag}`)
  await expect.poll(() => scene.redis.call('KEYS', '*~lease:*'), SOON).toHaveLength(1)
  await log.call('CLIENT', 'PAUSE', 1_500, 'WRITE')
  const writing = writer.write(trial, `${tag}`)
  await loading
  expect((await writing).status).toBe('applied')
  const { value } = await writer.read(trial, 0)
  await closeCaches(scene)
  return value
}

it('an invalidation is told before it is done, wherever the two happen; a cache that does both at once is caught', async () => {
  expect(await readBehindSlowLog(null)).toMatchObject({ version: 1 })
  // It is a matter of which server is quicker, so it may take a few goes.
  let version: unknown = null
  for (let go = 0; go < 20 && version !== 0; go++)
    version = ((await readBehindSlowLog('in one write')) as { version: unknown }).version
  expect(version).toBe(0)
})

it(`${TRIALS} entries are loaded once each by callers of 4 processes while slots move`, {
  timeout: 300_000,
}, async () => {
  const prefix = await openCaches(scene, { deadlineMs: 20_000 })
  let over = false
  const random = randomFromSeed(seed)
  const moving = (async () => {
    while (!over) await moveSlot(prefix, random)
  })()
  const stampede = async (trial: number, callers: number, loadMs: number) => {
    const all = await Promise.all(scene.workers.map((worker) => worker.stampede(trial, callers, loadMs)))
    return all.reduce((sum, { loads }) => sum + loads, 0)
  }
  try {
    for (let start = 0; start < TRIALS; start += 20) {
      const trials = Array.from({ length: 20 }, (_, index) => start + index)
      expect(await Promise.all(trials.map((trial) => stampede(trial, 25, random() * 30)))).toEqual(trials.map(() => 1))
    }
  } finally {
    over = true
    await moving
  }
  await closeCaches(scene)
})
