// Guarantee 1 from the command line, of what is under way: a load, and a page of bulk writes, that began before.
import { afterAll, beforeAll, describe, expect, it } from 'vitest'
import { seed } from '../seed.ts'
import { SOON, untilMet } from './goes.ts'
import { NAIVE_CLI, type Rewrite } from './naive-cli.ts'
import { openOutside } from './outside.ts'
import { closeCaches, type OpenedScene, openCaches, openScene, type Worker } from './processes.ts'
import type { Kind } from './trial.ts'

let { scene, truth, close } = {} as OpenedScene

beforeAll(async () => {
  ;({ scene, truth, close } = await openScene())
})
afterAll(() => close())

describe('a load that is under way', () => {
  const readAfter = async (kind: Kind, naive?: Rewrite) => {
    const worker = scene.workers[0] as Worker
    const prefix = await openCaches(scene)
    const given = { l1: false, truth, loadMs: 10, trials: 3, seed }
    const outside = openOutside(scene.redis.url, { ...given, ...(naive ? { naive } : {}) })
    try {
      await outside.context(prefix)
      const loading = worker.read(1, 1_000)
      await expect.poll(() => scene.redis.call('KEYS', `${prefix}~lease:*`), SOON).toHaveLength(1)
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
    // On a busy machine the load may be over too soon.
    const naive = () => readAfter(kind, NAIVE_CLI['leases stay'])
    const isOld = (value: unknown) => (value as { version: number }).version === 0
    expect(await untilMet(naive, isOld)).toEqual({ of: 1, version: 0 })
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
