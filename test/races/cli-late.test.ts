// Guarantee 1 from the command line, of what is there by then: copies in a process that hears late, or that nobody knows of; keys that carry tokens.
import { mkdtempSync, rmSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { setTimeout as pause } from 'node:timers/promises'
import { afterAll, beforeAll, describe, expect, it } from 'vitest'
import { CachectlError } from '../../src/core/errors.ts'
import { createKeys } from '../../src/core/key.ts'
import { seed } from '../seed.ts'
import { SOON, untilMet } from './goes.ts'
import { NAIVE_CLI, type Rewrite } from './naive-cli.ts'
import { openOutside } from './outside.ts'
import { closeCaches, type OpenedScene, openCaches, openScene, type Worker } from './processes.ts'
import { startProxy, type TestProxy } from './proxy.ts'
import { type Kind, placeOf } from './trial.ts'

let { scene, truth, close } = {} as OpenedScene

beforeAll(async () => {
  ;({ scene, truth, close } = await openScene())
})
afterAll(() => close())

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
      await expect.poll(async () => (await worker.read(trial, 0)).tier, SOON).toBe('l1')
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

  const isOld = (value: unknown) => (value as { version: number }).version === 0

  // Trial 1 is in a namespace with L1, and of no tenant.
  const KINDS_HERE: Kind[] = ['pattern', 'subject', 'key', 'namespace', 'global', 'bump-model', 'bump-global']
  it.each(KINDS_HERE)('is waited for, after %s', async (kind) => {
    expect(await readAfter(kind, 1)).toEqual({ of: 1, version: 1 })
  })

  it.each(KINDS_HERE)('that nobody tells is caught, after %s', async (kind) => {
    // On a busy machine the copies may be past their time by then.
    const naive = () => readAfter(kind, 1, NAIVE_CLI['nobody is told'])
    expect(await untilMet(naive, isOld)).toEqual({ of: 1, version: 0 })
  })

  /** What it reads when an invalidation is applied, of whoever knows its heartbeat or takes it for another one; the list of processes was lost before. */
  async function readAfterLoss(lose: (prefix: string) => Promise<unknown>, kind: Kind, heartbeatMs: number) {
    const [deaf, other] = scene.workers as [Worker, Worker]
    const prefix = await openCaches(scene, (process) =>
      process === 0 ? { l1: true, heartbeatMs: HEARTBEAT_MS, deadlineMs: 200, url: proxy.url } : { l1: true },
    )
    const outside = openOutside(scene.redis.url, { l1: true, heartbeatMs, truth, loadMs: 10, trials: 30, seed })
    try {
      await expect.poll(async () => (await other.read(2, 0)).tier, SOON).toBe('l1')
      await expect.poll(async () => (await deaf.read(1, 0)).tier, SOON).toBe('l1')
      await outside.context(prefix)
      proxy.hang()
      await lose(prefix)
      // The one that hears is there again.
      const list = () => scene.redis.call('HLEN', `${prefix}~processes`)
      await expect.poll(list, SOON).toBe(2)
      await truth.write(1)
      expect(await outside.invalidate({ trial: 1, kind }, prefix)).toMatchObject({ applied: true, complete: true })
      return (await deaf.read(1, 0)).value
    } finally {
      proxy.heal()
      await outside.close()
      await closeCaches(scene)
    }
  }

  const HEARTBEAT_MS = 1_500
  const LOSSES: [string, Kind, (prefix: string) => Promise<unknown>][] = [
    ['of processes', 'key', (prefix) => scene.redis.call('DEL', `${prefix}~processes`)],
    ['of everything', 'bump-model', () => scene.redis.call('FLUSHALL')],
  ]
  it.each(LOSSES)('is waited for after the loss %s, by %s: the config says how long', async (_, kind, lose) => {
    expect(await readAfterLoss(lose, kind, HEARTBEAT_MS)).toEqual({ of: 1, version: 1 })
    // Whoever thinks of a shorter heartbeat is caught; on a busy machine the copies may be past their time by then.
    expect(await untilMet(() => readAfterLoss(lose, kind, 300), isOld)).toEqual({ of: 1, version: 0 })
  })

  it('does not keep Ctrl-C waiting: it is not said that it heard', async () => {
    const worker = scene.workers[0] as Worker
    const part = { ...scene, workers: [worker] }
    const prefix = await openCaches(part, { l1: true, heartbeatMs: 30_000, url: proxy.url })
    const stop = new AbortController()
    const given = { l1: true, truth, loadMs: 10, trials: 30, seed, signal: stop.signal }
    const outside = openOutside(scene.redis.url, given)
    try {
      await expect.poll(async () => (await worker.read(1, 0)).tier, SOON).toBe('l1')
      await outside.context(prefix)
      proxy.hang()
      const invalidated = outside.invalidate({ trial: 1, kind: 'subject' }, prefix)
      await Promise.race([invalidated, pause(400)])
      const stoppedMs = performance.now()
      stop.abort(new CachectlError('INTERRUPTED', 'interrupted'))
      const report = await invalidated
      // The lapse of a heartbeat would be waited for half a minute.
      expect(performance.now() - stoppedMs).toBeLessThan(15_000)
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
      await expect.poll(async () => (await worker.read(1, 0)).tier, SOON).toBe('l1')
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

describe('a pattern after `version bump`', () => {
  /** Each with the pattern by which a person means the entry, and which its key no longer matches as it stands in Redis. */
  const BUMPED: [Kind, number, string][] = [
    ['bump-global', 1, 'v1:n1:s1:*'],
    ['bump-namespace', 1, 'v1:n1:s1:*'],
    ['bump-model', 1, 'v1:*:s1:*'],
    ['bump-tenant', 3, 'v1:n3:s3:org_t3:*'],
    ['bump-tenant-subject', 3, 'v1:n3:s3:org_t3:*'],
  ]
  it.each(BUMPED)(
    'finds what is live after %s, in Redis and in memory, and deletes it',
    async (kind, trial, pattern) => {
      const prefix = await openCaches(scene, { l1: true })
      const glob = `${prefix}:${pattern}`
      const outside = openOutside(scene.redis.url, { l1: true, truth, loadMs: 10, trials: 4, seed })
      const read = () => Promise.all(scene.workers.map((worker) => worker.read(trial, 0)))
      const tiers = async () => (await read()).map(({ tier }) => tier)
      try {
        // They are there from the first read on.
        await read()
        expect(await outside.invalidate({ trial, kind }, prefix)).toMatchObject({ applied: true, complete: true })
        await expect.poll(tiers, SOON).toEqual(['l1', 'l1'])
        // The server itself finds what the bump has ended, and not what is given now.
        const keys = async (match: string) =>
          ((await scene.redis.call('SCAN', 0, 'MATCH', match, 'COUNT', 10_000)) as [string, string[]])[1]
        const ended = createKeys({ prefix, tenantLabel: 'org' }).build(placeOf({ trial, kind: 'key' }))
        expect(await keys(glob)).toEqual([ended])
        expect(await keys(`${prefix}:*`)).toHaveLength(2)
        await truth.write(trial)
        const report = await outside.invalidate({ trial, kind: 'pattern' }, prefix, pattern)
        expect(report).toMatchObject({ applied: true, complete: true, matched: 2, deleted: 2, remaining: 0 })
        expect(await keys(`${prefix}:*`)).toEqual([])
        expect((await read()).map(({ value }) => value)).toEqual([
          { of: trial, version: 1 },
          { of: trial, version: 1 },
        ])
      } finally {
        await outside.close()
        await closeCaches(scene)
      }
    },
  )
})
