// Guarantee 1 while what it stands on is lost: leases lapse under the loader, control data is deleted or evicted, connections that tell of invalidations
// are cut, a loader is stopped beyond its lease. Whatever is lost costs loads, and brings nothing old back.
import { setTimeout as pause } from 'node:timers/promises'
import { afterAll, beforeAll, describe, expect, it } from 'vitest'
import { seed } from '../seed.ts'
import { startRedis } from '../servers.ts'
import { SOON, untilMet } from './goes.ts'
import { trialsIn, violationsOf } from './history.ts'
import {
  closeCaches,
  openCaches,
  PROOF,
  runTrials,
  type Scene,
  startWorkers,
  TRIALS,
  type TrialsOptions,
  type Worker,
} from './processes.ts'
import { KINDS, type Kind, UNHELD } from './trial.ts'

let scene: Scene

beforeAll(async () => {
  const [redis, truth, workers] = await Promise.all([startRedis(), startRedis(), startWorkers(2)])
  scene = { redis, truth, workers }
})
afterAll(async () => {
  await Promise.all(scene.workers.map((worker) => worker.kill()))
  await Promise.all([scene.redis.stop(), scene.truth.stop()])
})

/** The keys of control data of one kind, as they are at this moment. */
const keysOf = async (pattern: string): Promise<string[]> => {
  const [, keys] = (await scene.redis.call('SCAN', 0, 'MATCH', pattern, 'COUNT', 10_000)) as [string, string[]]
  return keys
}

const lose = (pattern: string): NonNullable<TrialsOptions['chaos']> => {
  return async (prefix, random) => {
    const keys = await keysOf(prefix + pattern)
    const key = keys[Math.floor(random() * keys.length)]
    if (key !== undefined) await scene.redis.call('DEL', key)
  }
}

const lapse: NonNullable<TrialsOptions['chaos']> = async (prefix, random) => {
  for (const key of await keysOf(`${prefix}~lease:*`)) if (random() < 0.3) await scene.redis.call('PEXPIRE', key, 1)
}

const cut = (type: 'pubsub' | 'normal', everyMs: number): NonNullable<TrialsOptions['chaos']> => {
  return async () => {
    await pause(everyMs)
    await scene.redis.call('CLIENT', 'KILL', 'TYPE', type, 'SKIPME', 'yes')
  }
}

/** A global bump is everybody's: of one trial in thirty. */
const LOCAL = KINDS.filter((kind) => kind !== 'global')
const anyKind = (trial: number): Kind => (trial % 30 === 29 ? 'global' : (LOCAL[trial % LOCAL.length] as Kind))

/** Of each of so many ways to lose something; all of them in the long run. */
const FEWER = PROOF === 1 ? TRIALS / 2 : TRIALS

describe(`nothing old comes back (seed ${seed}, ${FEWER} trials each)`, () => {
  const LOSSES: [string, NonNullable<TrialsOptions['chaos']>][] = [
    ['leases lapse under their loaders', lapse],
    ['the revision is lost', lose('~revision:*')],
    ['the generations are lost', lose('~generations')],
    ['stamps are lost', lose('~stamp:*')],
    ['the log of stamps is lost', lose('~stamp-log')],
    ['fences are lost', lose('~fence:*')],
    ['leases are lost', lose('~lease:*')],
    ['the hash of processes is lost', lose('~processes')],
    ['any control data is lost', lose('~*')],
    ['the connections that tell of invalidations are cut', cut('pubsub', 250)],
    ['the connections that read are cut', cut('normal', 400)],
  ]
  for (const l1 of [false, true]) {
    for (const [name, chaos] of LOSSES) {
      it(`while ${name}${l1 ? ', with L1' : ''}`, { timeout: 300_000 }, async () => {
        const options = {
          kind: anyKind,
          trials: FEWER,
          chaos,
          pauseMs: l1 ? 80 : 20,
          open: { l1 },
        }
        const seen = { applied: 0, found: 0, nearHits: 0 }
        const go = async (count: number) => {
          // Where everything takes longer, so does what is between two losses.
          const pauseMs = options.pauseMs * 2 ** count
          const history = await runTrials(scene, { ...options, pauseMs, durationMs: count < 3 ? 200 : 1_000 })
          expect(violationsOf(history).slice(0, 3)).toEqual([])
          expect(history.invalidations).toHaveLength(FEWER * 2 * scene.workers.length)
          seen.applied += history.invalidations.filter(({ status }) => status === 'applied').length
          seen.found += history.reads.length - history.loads
          seen.nearHits += history.nearHits
        }
        // Some were applied while it happened, entries lived long enough to be found, and copies in memory, which are seldom trusted meanwhile, were given.
        const least = { applied: FEWER / 2, found: FEWER, nearHits: l1 ? 0 : -1 }
        const names = ['applied', 'found', 'nearHits'] as const
        await untilMet(go, () => names.every((name) => seen[name] > least[name]))
        for (const name of names) expect(seen[name]).toBeGreaterThan(least[name])
      })
    }
  }

  it('while memory is short and keys are evicted', { timeout: 300_000 }, async () => {
    const full = await startRedis({ args: ['--maxmemory', '3mb', '--maxmemory-policy', 'allkeys-lru'] })
    try {
      const filler = 'x'.repeat(2_000)
      const evicted = async (): Promise<number> =>
        Number(/evicted_keys:(\d+)/.exec(String(await full.call('INFO', 'stats')))?.[1])
      const fill: TrialsOptions['chaos'] = async (_, random) => {
        const some = Array.from({ length: 200 }, () => `filler${Math.floor(random() * 5_000)}`)
        await Promise.all(some.map((key) => full.call('SET', key, filler)))
      }
      for (const l1 of [false, true]) {
        const before = await evicted()
        const options = { kind: anyKind, trials: TRIALS, durationMs: 200, chaos: fill, open: { l1 } }
        const go = async () => {
          const history = await runTrials({ ...scene, redis: full }, options)
          expect(violationsOf(history).slice(0, 3)).toEqual([])
          return (await evicted()) - before
        }
        expect(await untilMet(go, (keys) => keys > 20)).toBeGreaterThan(20)
      }
    } finally {
      await full.stop()
    }
  })

  /** What one process gives of what it has in its memory, when another one has invalidated it after the connection that tells of that was cut. */
  const readAfterCut = async (mutant: 'deaf L1' | null): Promise<unknown> => {
    await openCaches(scene, { l1: true, mutant, deadlineMs: 10_000 })
    const [holder, writer] = scene.workers as [Worker, Worker]
    await expect.poll(async () => (await holder.read(1, 0)).tier, SOON).toBe('l1')
    await scene.redis.call('CLIENT', 'KILL', 'TYPE', 'pubsub')
    expect((await writer.write(1)).status).toBe('applied')
    const { value } = await holder.read(1, 0)
    await closeCaches(scene)
    return value
  }

  const versionIn = (value: unknown) => (value as { version: number }).version

  it('when a push is lost', { timeout: 300_000 }, async () => {
    for (let count = 0; count < TRIALS / 6; count++) expect(await readAfterCut(null)).toEqual({ of: 1, version: 1 })
    // The naive variant trusts its copy.
    const naive = () => readAfterCut('deaf L1')
    expect(await untilMet(naive, (value) => versionIn(value) === 0)).toEqual({ of: 1, version: 0 })
  })

  it('from a memory whose generations were lost and made anew by others', async () => {
    const prefix = await openCaches(scene, { l1: true, deadlineMs: 10_000 })
    const [holder, other] = scene.workers as [Worker, Worker]
    expect(await other.bump(1)).toBe('applied')
    await expect.poll(async () => (await holder.read(1, 0)).tier, SOON).toBe('l1')
    // It reads its control data anew, for an entry that it does not hold in memory.
    expect(await other.bump(2)).toBe('applied')
    await holder.read(UNHELD, 0)
    await expect.poll(async () => (await holder.read(1, 0)).tier, SOON).toBe('l1')
    await scene.redis.call('DEL', `${prefix}~generations`)
    const options = { prefix, process: 1, l1: true, mutant: null, heartbeatMs: 300, deadlineMs: 10_000 }
    await other.close()
    await other.open({ ...options, url: scene.redis.url, truthUrl: scene.truth.url })
    await other.read(1, 0)
    // The bump is forgotten, and with it the key under which the holder found its copy.
    expect((await other.write(1)).status).toBe('applied')
    expect((await holder.read(1, 0)).value).toEqual({ of: 1, version: 1 })
    await closeCaches(scene)
  })

  it('when a loader is stopped for longer than its lease', { timeout: 60_000 }, async () => {
    await openCaches(scene, { deadlineMs: 10_000 })
    const [loader, other] = scene.workers as [Worker, Worker]
    // It is stopped for longer than this.
    const loading = loader.read(1, 3_000)
    await expect.poll(() => keysOf('*~lease:*'), SOON).toHaveLength(1)
    await pause(50)
    loader.signal('SIGSTOP')
    // Its lease lapses; whoever waited for it loads anew, after a change that nobody told of.
    expect((await other.read(1, 0)).value).toEqual({ of: 1, version: 0 })
    const { status } = await other.write(1)
    expect(status).toBe('applied')
    expect((await other.read(1, 0)).value).toEqual({ of: 1, version: 1 })
    loader.signal('SIGCONT')
    // It began before: it may have what it loaded, and nobody else may.
    expect((await loading).value).toEqual({ of: 1, version: 0 })
    await pause(50)
    for (const worker of scene.workers) expect((await worker.read(1, 0)).value).toEqual({ of: 1, version: 1 })
    await closeCaches(scene)
  })
})

describe(`naive variants are caught (seed ${seed})`, () => {
  const MUTANTS: [string, TrialsOptions][] = [
    ['plain fill', { kind: 'key', trials: 60, chaos: lapse, open: { mutant: 'plain fill' } }],
    [
      'generations begin at 1',
      {
        kind: 'subject',
        trials: 60,
        writes: 4,
        chaos: lose('~generations'),
        open: { mutant: 'generations begin at 1' },
      },
    ],
    ['stamps begin at 0', { kind: 'tag', trials: 60, chaos: lose('~stamp:*'), open: { mutant: 'stamps begin at 0' } }],
  ]
  for (const [name, options] of MUTANTS) {
    it(name, async () => {
      const go = async () => trialsIn(violationsOf(await runTrials(scene, options)))
      expect(await untilMet(go, (caught) => caught > 0)).toBeGreaterThan(0)
    })
  }
})
