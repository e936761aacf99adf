// Guarantee 5: Redis cut off, stopped, restarted empty or from an older file, replaced by its replica. The application goes on within its deadline, what
// was invalidated meanwhile is applied before Redis is trusted, nothing of another history is, and Redis is used again within 2 s of its return.
import { mkdtemp, rm } from 'node:fs/promises'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { setTimeout as pause } from 'node:timers/promises'
import { afterAll, beforeAll, describe, expect, it } from 'vitest'
import { seed } from '../seed.ts'
import { startRedis } from '../servers.ts'
import { untilMet } from './goes.ts'
import { type InvalidationEvent, violationsOf } from './history.ts'
import { DEADLINE_MS, readInTime, SLACK_MS, usesRedis } from './outage.ts'
import type { OpenOptions } from './process.ts'
import {
  closeCaches,
  type Given,
  openCaches,
  runTrials,
  type Scene,
  startWorkers,
  TRIALS,
  type TrialsOptions,
  type Worker,
} from './processes.ts'
import { startProxy, type TestProxy } from './proxy.ts'

let scene: Scene
let dir: string
let proxies: [TestProxy, TestProxy]
let first: Worker

beforeAll(async () => {
  const [redis, truth, workers] = await Promise.all([startRedis(), startRedis(), startWorkers(2)])
  scene = { redis, truth, workers }
  ;[first] = workers as [Worker, Worker]
  dir = await mkdtemp(join(tmpdir(), 'races-'))
  proxies = [await startProxy(join(dir, '0'), redis.url), await startProxy(join(dir, '1'), redis.url)]
})
afterAll(async () => {
  await Promise.all(scene.workers.map((worker) => worker.kill()))
  await Promise.all(proxies.map((proxy) => proxy.close()))
  await Promise.all([scene.redis.stop(), scene.truth.stop()])
  await rm(dir, { recursive: true })
})

const throughProxies = (more: Partial<OpenOptions> = {}): Given => {
  return (process) => ({ url: (proxies[process] as TestProxy).url, deadlineMs: DEADLINE_MS, ...more })
}

describe(`nothing old comes back over outages (seed ${seed}, ${TRIALS} trials each)`, () => {
  let over = 0
  /** Cuts one process off and lets it back, again and again. */
  const flicker: TrialsOptions['chaos'] = async (_, random) => {
    const proxy = proxies[over++ % 2] as TestProxy
    if (random() < 0.7) proxy.cut()
    else proxy.hang()
    await pause(random() * 250)
    proxy.heal()
  }
  const options = { kind: 'key', trials: TRIALS, durationMs: 400, writes: 4, pauseMs: 150, chaos: flicker } as const

  /** Adds what became of the invalidations. */
  const run = async (given: TrialsOptions, seen: Record<InvalidationEvent['status'], number>) => {
    const history = await runTrials(scene, given)
    expect(violationsOf(history).slice(0, 3)).toEqual([])
    for (const { status } of history.invalidations) seen[status]++
  }

  for (const l1 of [false, true]) {
    it(`of connections that are cut and hang${l1 ? ', with L1' : ''}`, { timeout: 300_000 }, async () => {
      const seen = { applied: 0, queued: 0, off: 0 }
      await untilMet(
        () => run({ ...options, open: throughProxies({ l1 }) }, seen),
        () => Math.min(seen.applied, seen.queued) > TRIALS / 10,
      )
      for (const status of ['applied', 'queued'] as const) expect(seen[status]).toBeGreaterThan(TRIALS / 10)
    })
  }

  it('of a server that is stopped and goes on', { timeout: 300_000 }, async () => {
    const stop: TrialsOptions['chaos'] = async (_, random) => {
      process.kill(scene.redis.pid, 'SIGSTOP')
      await pause(random() * 400)
      process.kill(scene.redis.pid, 'SIGCONT')
    }
    const seen = { applied: 0, queued: 0, off: 0 }
    await untilMet(
      () => run({ ...options, chaos: stop, open: { deadlineMs: DEADLINE_MS } }, seen),
      () => seen.queued > TRIALS / 10,
    )
    expect(seen.queued).toBeGreaterThan(TRIALS / 10)
  })

  it('in a process that is cut off while another one invalidates', { timeout: 300_000 }, async () => {
    proxies[0].cut()
    const open: Given = (process) => (process === 0 ? { url: proxies[0].url, deadlineMs: DEADLINE_MS } : {})
    const busy = {
      kind: 'key',
      trials: TRIALS,
      durationMs: 200,
      writes: 4,
      writer: 1,
      readers: 4,
      restMs: 60,
      loadMs: 120,
      open,
    } as const
    const history = await runTrials(scene, busy)
    proxies[0].heal()
    expect(violationsOf(history).slice(0, 3)).toEqual([])
  })

  it('and a cache that forgets what it could not apply is caught', async () => {
    await openCaches(scene, throughProxies({ mutant: 'no backlog' }))
    await first.read(1, 0)
    await usesRedis(first)
    proxies[0].cut()
    expect((await first.write(1)).status).toBe('queued')
    proxies[0].heal()
    await usesRedis(first)
    expect((await first.read(1, 0)).value).toEqual({ of: 1, version: 0 })
    await closeCaches(scene)
  })
})

describe('answers in time, and comes back', () => {
  it('where Redis was never up', async () => {
    await openCaches(scene, { url: `unix:${join(dir, 'nothing')}`, deadlineMs: DEADLINE_MS })
    expect((await readInTime(first, 1)).tier).toBe('source')
    expect((await first.write(1)).status).toBe('queued')
    expect((await readInTime(first, 1)).value).toEqual({ of: 1, version: 1 })
    await closeCaches(scene)
  })

  it('where the connection is cut while nothing is under way', async () => {
    await openCaches(scene, { deadlineMs: DEADLINE_MS })
    await usesRedis(first)
    await scene.redis.call('CLIENT', 'KILL', 'TYPE', 'normal', 'SKIPME', 'yes')
    await pause(50)
    await usesRedis(first)
    await closeCaches(scene)
  })

  const OUTAGES: [string, () => Promise<() => void>][] = [
    [
      'is cut off',
      async () => {
        proxies[0].cut()
        return () => proxies[0].heal()
      },
    ],
    [
      'is silent',
      async () => {
        proxies[0].hang()
        return () => proxies[0].heal()
      },
    ],
    [
      'is stopped',
      async () => {
        process.kill(scene.redis.pid, 'SIGSTOP')
        return () => process.kill(scene.redis.pid, 'SIGCONT')
      },
    ],
  ]
  for (const [name, begin] of OUTAGES) {
    for (const forMs of [300, 3_000]) {
      it(`where Redis ${name} for ${forMs} ms`, async () => {
        await openCaches(scene, throughProxies())
        expect((await first.read(1, 0)).value).toEqual({ of: 1, version: 0 })
        await usesRedis(first)
        const end = await begin()
        const endsMs = performance.now() + forMs
        expect((await readInTime(first, 1)).value).toEqual({ of: 1, version: 0 })
        const { status, tookMs, lateMs } = await first.write(1)
        expect(status).toBe('queued')
        expect(tookMs - lateMs).toBeLessThan(DEADLINE_MS + SLACK_MS)
        while (performance.now() < endsMs) {
          expect((await readInTime(first, 1)).value).toEqual({ of: 1, version: 1 })
          await pause(20)
        }
        end()
        await usesRedis(first)
        // What was queued has been applied by then, for everybody.
        for (const worker of scene.workers) expect((await worker.read(1, 0)).value).toEqual({ of: 1, version: 1 })
        await closeCaches(scene)
      })
    }
  }
})
