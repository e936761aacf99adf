// Guarantee 1 from the command line: what running processes read after `cachectl invalidate` has said that it is applied was loaded after it was called,
// whatever the target, with loads, warms and copies in memory under way.
import { mkdtempSync, rmSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { setTimeout as pause } from 'node:timers/promises'
import { Redis } from 'ioredis'
import { afterAll, beforeAll, describe, expect, it } from 'vitest'
import { CachectlError } from '../../src/core/errors.ts'
import { seed } from '../seed.ts'
import { startRedis } from '../servers.ts'
import { type History, trialsIn, violationsOf } from './history.ts'
import { NAIVE_CLI, openOutside, type Rewrite } from './outside.ts'
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
import { startProxy, type TestProxy } from './proxy.ts'
import { KINDS, type Kind, OUTSIDE_KINDS, type Truth } from './trial.ts'

let scene: Scene
let truth: Truth & { close(): void }

beforeAll(async () => {
  const [redis, source, workers] = await Promise.all([startRedis(), startRedis(), startWorkers(2)])
  scene = { redis, truth: source, workers }
  const client = new Redis({ path: source.socketUrl.replace(/^unix:/, ''), enableAutoPipelining: true })
  truth = {
    read: async (trial) => Number((await client.get(`${trial}`)) ?? 0),
    write: (trial) => client.incr(`${trial}`),
    close: () => client.disconnect(),
  }
})
afterAll(async () => {
  truth.close()
  await Promise.all(scene.workers.map((worker) => worker.kill()))
  await Promise.all([scene.redis.stop(), scene.truth.stop()])
})

/** What takes everything is everybody's: of one trial in thirty. */
const LOCAL: readonly Kind[] = [...KINDS, ...OUTSIDE_KINDS].filter((kind) => kind !== 'global')
const anyKind = (trial: number): Kind => (trial % 30 === 29 ? 'global' : (LOCAL[trial % LOCAL.length] as Kind))

interface Attempt extends Partial<TrialsOptions> {
  l1?: boolean
  naive?: Rewrite
}

async function attempt(
  kind: Kind | ((trial: number) => Kind),
  // Loads that take as long as an invalidation: many are under way when it comes.
  { l1 = false, trials = TRIALS, loadMs = 300, naive, ...more }: Attempt = {},
): Promise<{ history: History; warmed: number }> {
  const outside = openOutside(scene.redis.url, { l1, truth, loadMs, trials, seed, ...(naive ? { naive } : {}) })
  try {
    // Readers go on for longer than two invalidations take beside them.
    const times = { durationMs: 900, loadMs, atOnce: 20 }
    const history = await runTrials(scene, { kind, trials, ...times, open: { l1 }, outside: outside.run, ...more })
    return { history, warmed: outside.warmed() }
  } finally {
    await outside.close()
  }
}

describe(`an old value never comes back (seed ${seed}, ${TRIALS} trials each)`, () => {
  const runs: [string, Kind | ((trial: number) => Kind)][] =
    PROOF === 1 ? [['any target', anyKind]] : [...LOCAL, 'global' as const].map((kind) => [kind, kind])
  for (const l1 of [false, true]) {
    it.each(runs)(`after an invalidation of %s${l1 ? ', with L1' : ''}`, { timeout: 600_000 }, async (_, kind) => {
      let { history, warmed } = await attempt(kind, { l1 })
      // Rows that readers have just filled are not warmed, and copies in memory are short-lived beside invalidations: that there were some may take a few goes.
      const isIdle = () => (typeof kind === 'function' && warmed === 0) || (l1 && history.nearHits === 0)
      for (let go = 1; go < 6 && isIdle(); go++) {
        expect(violationsOf(history).slice(0, 3)).toEqual([])
        const next = await attempt(kind, { l1 })
        history = { ...next.history, nearHits: next.history.nearHits + history.nearHits }
        warmed += next.warmed
      }
      expect(violationsOf(history).slice(0, 3)).toEqual([])
      expect(history.invalidations).toHaveLength(TRIALS * 2)
      expect(history.invalidations.every(({ status }) => status === 'applied')).toBe(true)
      expect(history.loads).toBeGreaterThan(TRIALS)
      expect(history.reads.length).toBeGreaterThan(TRIALS * 4)
      if (typeof kind === 'function') expect(warmed).toBeGreaterThan(0)
      if (l1) expect(history.nearHits).toBeGreaterThan(0)
    })
  }
})

/** One process hears late: what it holds in its memory is old by then, and only its word, or the time, says that it is gone. */
describe('a process that hears late', () => {
  let folder: string
  let proxy: TestProxy
  beforeAll(async () => {
    folder = mkdtempSync(join(tmpdir(), 'cachectl-'))
    proxy = await startProxy(join(folder, 'p'), scene.redis.url)
  })
  afterAll(async () => {
    await proxy.close()
    rmSync(folder, { recursive: true, force: true })
  })

  /** What it reads when the invalidation has said that it is applied. */
  async function readAfter(kind: Kind, trial: number, naive?: Rewrite): Promise<unknown> {
    const worker = scene.workers[0] as Worker
    const open = { l1: true, heartbeatMs: 3_000, deadlineMs: 1_000 }
    const prefix = await openCaches({ ...scene, workers: [worker] }, { ...open, url: proxy.url })
    // The naive one knows of no copies either, or it would wait until they are past their time.
    const given = { l1: naive === undefined, truth, loadMs: 10, trials: 30, seed }
    const outside = openOutside(scene.redis.url, { ...given, ...(naive ? { naive } : {}) })
    try {
      await expect.poll(async () => (await worker.read(trial, 0)).tier).toBe('l1')
      await outside.context(prefix)
      proxy.hang()
      await truth.write(trial)
      const invalidated = outside.invalidate({ trial, kind }, prefix)
      await Promise.race([invalidated, pause(400)])
      if (!naive) proxy.heal()
      expect(await invalidated).toMatchObject({ applied: true, complete: true })
      const { value } = await worker.read(trial, 0)
      return value
    } finally {
      proxy.heal()
      await outside.close()
      await closeCaches({ ...scene, workers: [worker] })
    }
  }

  // Trial 1 is in a namespace with L1, and of no tenant.
  const KINDS_HERE: Kind[] = ['pattern', 'subject', 'key', 'namespace', 'global']
  it.each(KINDS_HERE)('is waited for, after %s', async (kind) => {
    expect(await readAfter(kind, 1)).toEqual({ of: 1, version: 1 })
  })

  it.each(KINDS_HERE)('that nobody tells is caught, after %s', async (kind) => {
    expect(await readAfter(kind, 1, NAIVE_CLI['nobody is told'])).toEqual({ of: 1, version: 0 })
  })

  it('does not keep Ctrl-C waiting: it is not said that it heard', async () => {
    const worker = scene.workers[0] as Worker
    const part = { ...scene, workers: [worker] }
    const prefix = await openCaches(part, { l1: true, heartbeatMs: 30_000, url: proxy.url })
    const stop = new AbortController()
    const given = { l1: true, truth, loadMs: 10, trials: 30, seed, signal: stop.signal }
    const outside = openOutside(scene.redis.url, given)
    try {
      await expect.poll(async () => (await worker.read(1, 0)).tier).toBe('l1')
      await outside.context(prefix)
      proxy.hang()
      const invalidated = outside.invalidate({ trial: 1, kind: 'subject' }, prefix)
      await Promise.race([invalidated, pause(400)])
      const stoppedMs = performance.now()
      stop.abort(new CachectlError('INTERRUPTED', 'interrupted'))
      const report = await invalidated
      expect(performance.now() - stoppedMs).toBeLessThan(2_500)
      expect(report).toMatchObject({ applied: false, complete: false, exitCode: 130, acknowledged: null })
      expect(report.stopped).toMatchObject({ code: 'INTERRUPTED' })
    } finally {
      proxy.heal()
      await outside.close()
      await closeCaches(part)
    }
  })

  it('what was deleted by a run that was killed before it told anybody is told by the next', async () => {
    const worker = scene.workers[0] as Worker
    const part = { ...scene, workers: [worker] }
    const prefix = await openCaches(part, { l1: true, heartbeatMs: 3_000, url: proxy.url })
    const outside = openOutside(scene.redis.url, { l1: true, truth, loadMs: 10, trials: 30, seed })
    try {
      await expect.poll(async () => (await worker.read(1, 0)).tier).toBe('l1')
      await outside.context(prefix)
      proxy.hang()
      await truth.write(1)
      expect(await scene.redis.call('UNLINK', `${prefix}:v1:n1:s1:e:1`)).toBe(1)
      const invalidated = outside.invalidate({ trial: 1, kind: 'pattern' }, prefix)
      await Promise.race([invalidated, pause(400)])
      const heard = await Promise.race([invalidated.then(() => 'applied'), pause(1, 'waiting')])
      expect(heard).toBe('waiting')
      proxy.heal()
      expect(await invalidated).toMatchObject({ applied: true, deleted: 0 })
      expect((await worker.read(1, 0)).value).toEqual({ of: 1, version: 1 })
    } finally {
      proxy.heal()
      await outside.close()
      await closeCaches(part)
    }
  })
})

describe('a load that is under way', () => {
  const readAfter = async (kind: Kind, naive?: Rewrite) => {
    const worker = scene.workers[0] as Worker
    const prefix = await openCaches(scene)
    const given = { l1: false, truth, loadMs: 10, trials: 3, seed }
    const outside = openOutside(scene.redis.url, { ...given, ...(naive ? { naive } : {}) })
    try {
      await outside.context(prefix)
      const loading = worker.read(1, 1_000)
      await expect.poll(() => scene.redis.call('KEYS', `${prefix}~lease:*`)).toHaveLength(1)
      await truth.write(1)
      const { applied } = await outside.invalidate({ trial: 1, kind }, prefix)
      expect(applied).toBe(true)
      await loading
      return (await worker.read(1, 0)).value
    } finally {
      await outside.close()
      await closeCaches(scene)
    }
  }

  it.each(['pattern', 'key'] as Kind[])('writes nothing after its lease went with its %s', async (kind) => {
    expect(await readAfter(kind)).toEqual({ of: 1, version: 1 })
  })

  it.each(['pattern', 'key'] as Kind[])('brings back what is old where leases stay, by %s', async (kind) => {
    expect(await readAfter(kind, NAIVE_CLI['leases stay'])).toEqual({ of: 1, version: 0 })
  })
})

describe('a page of bulk writes whose load began before a pattern was invalidated', () => {
  const commit = async (naive?: Rewrite) => {
    const prefix = await openCaches(scene)
    const given = { l1: false, truth, loadMs: 10, trials: 3, seed }
    const outside = openOutside(scene.redis.url, { ...given, ...(naive ? { naive } : {}) })
    try {
      const context = await outside.context(prefix)
      await context.control().read()
      const bulk = await context.control().bulk()
      await bulk.capture(['s2'])
      const { applied } = await outside.invalidate({ trial: 2, kind: 'pattern' }, prefix)
      expect(applied).toBe(true)
      const key = `${prefix}:v1:n2:s2:2`
      return await bulk.commit([{ key, value: 'old', sizeBytes: 3, ttlMs: 60_000, replace: false }])
    } finally {
      await outside.close()
      await closeCaches(scene)
    }
  }

  it('is refused', async () => {
    expect(await commit()).toEqual(['refused'])
  })

  it('is written where nothing advances', async () => {
    expect(await commit(NAIVE_CLI['no advance'])).toEqual(['written'])
  })
})

describe(`what an invalidation may not leave out (seed ${seed})`, () => {
  const MUTANTS: [keyof typeof NAIVE_CLI, Kind][] = [
    ['stamps stay', 'tag'],
    ['stamps stay', 'list'],
    ['no bump', 'namespace'],
    ['no bump', 'model'],
  ]
  it.each(MUTANTS)('%s: caught by %s', async (name, kind) => {
    const { history } = await attempt(kind, {
      trials: 8,
      atOnce: 8,
      loadMs: 600,
      durationMs: 900,
      naive: NAIVE_CLI[name],
    })
    expect(trialsIn(violationsOf(history))).toBeGreaterThan(0)
  })
})
