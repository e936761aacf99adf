// warm on a Cluster whose slots move, and on a Sentinel set whose primary changes: complete, or truly reported as not.
import { afterAll, beforeAll, describe, expect, it } from 'vitest'
import { openControl } from '../../src/adapters/redis/control.ts'
import { openStore } from '../../src/adapters/redis/store.ts'
import { fn } from '../../src/adapters/sources/fn.ts'
import { warm } from '../../src/ops/warm.ts'
import { planWarm, type WarmOptions } from '../../src/ops/warm-plan.ts'
import type { WarmReport } from '../../src/ops/warm-report.ts'
import type { Store } from '../../src/ports.ts'
import { invalidateEntries } from '../other-program.ts'
import { aConfig, aModel } from '../resolved.ts'
import type { TestRedis } from '../servers.ts'
import { startClusterAsOne, startSentinel, type TestCluster, type TestSentinel } from '../topologies.ts'

const ROWS = 4_000

const open = (url: string) =>
  openStore({ url, from: 'the test', tls: null }, { connectTimeoutMs: 5_000, replyTimeoutMs: 10_000 })

/** A stream of rows, which cannot be asked for again; `between` runs when half of them are read. */
async function run(store: Store, given: Partial<WarmOptions>, between: () => Promise<unknown>): Promise<WarmReport> {
  const source = fn(async function* () {
    for (let id = 1; id <= ROWS; id++) {
      if (id === ROWS / 2) await between()
      yield { id, name: `note ${id}` }
    }
  })
  const config = aConfig('redis://unused', [aModel('note', source)])
  const options: WarmOptions = { targets: [], concurrency: 2, batch: 200, ifLocked: 'fail', dryRun: false, ...given }
  const context = {
    config,
    store,
    clock: Date,
    random: Math.random,
    emit: () => {},
    signal: new AbortController().signal,
    stateDir: null,
  }
  return warm(context, openControl(store, config.prefix), planWarm(config, options, Date.now()), options)
}

describe('on a Cluster', () => {
  let redis: TestRedis & { cluster: TestCluster }
  let store: Store
  beforeAll(async () => {
    redis = await startClusterAsOne()
    store = open(redis.url)
  })
  afterAll(async () => {
    await store.close()
    await redis.stop()
  })
  const entries = async () => ((await redis.call('KEYS', 'shop:v1:detail:note:*')) as string[]).length

  it('writes every row of a stream while slots move, and says so', async () => {
    const { cluster } = redis
    const move = async () => {
      for (let id = 1; id <= 20; id++) await cluster.moveSlotOfKey(`shop:v1:detail:note:${id}`)
    }
    const report = await run(store, {}, move)
    expect(report.problems).toEqual([])
    expect(report).toMatchObject({ exitCode: 0, redis: { mode: 'cluster' } })
    expect(report.totals).toMatchObject({ selected: ROWS, written: ROWS, failed: 0 })
    expect(await entries()).toBe(ROWS)
    expect(await redis.call('KEYS', 'shop~lease*')).toEqual([])
  })

  it('leaves what is there, and refuses rows that were loaded before an invalidation', async () => {
    expect((await run(store, {}, async () => {})).totals).toMatchObject({ written: 0, skipped: { present: ROWS } })
    await redis.call('FLUSHALL')
    const invalidate = () => invalidateEntries(store, 'note', ['shop:v1:detail:note:1'])
    const report = await run(store, {}, invalidate)
    const { written, skipped } = report.totals
    expect(skipped.invalidated).toBeGreaterThan(0)
    expect(written + skipped.invalidated).toBe(ROWS)
    // It was written before it was invalidated.
    expect(await redis.call('EXISTS', 'shop:v1:detail:note:1')).toBe(0)
    expect(await entries()).toBe(written - 1)
    expect(report.exitCode).toBe(3)
  })
})

describe('on a Sentinel set', () => {
  let set: TestSentinel
  let store: Store
  beforeAll(async () => {
    set = await startSentinel()
    store = open(set.url)
  })
  afterAll(async () => {
    await store.close()
    await set.stop()
  })

  it('is complete', async () => {
    const report = await run(store, {}, async () => {})
    expect(report).toMatchObject({ exitCode: 0, redis: { mode: 'sentinel' }, totals: { written: ROWS } })
  })

  it('does not say that it is done where another primary took over', async () => {
    await (await set.primary()).call('FLUSHALL')
    const report = await run(store, {}, () => set.failover())
    expect(report.ok).toBe(false)
    expect(report.complete).toBe(false)
    expect([3, 10]).toContain(report.exitCode)
    const again = await run(store, {}, async () => {})
    expect(again.exitCode).toBe(0)
    expect(await (await set.primary()).call('EVAL', "return #redis.call('KEYS', 'shop:v1:detail:note:*')", 0)).toBe(
      ROWS,
    )
  })
})
