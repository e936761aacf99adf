// expire, lock, why, and reads from replicas where keys lie on several masters, and move meanwhile.
import { afterAll, beforeAll, beforeEach, expect, it } from 'vitest'
import { openStore } from '../../src/adapters/redis/store.ts'
import { encodeEntry } from '../../src/core/entry.ts'
import { generationsKey, leaseKey, stampKey } from '../../src/core/key.ts'
import { parseTarget } from '../../src/core/target.ts'
import type { OperationContext } from '../../src/ops/context.ts'
import { type ExpireReport, executeExpire } from '../../src/ops/expire.ts'
import { planExpire } from '../../src/ops/expire-plan.ts'
import { planRelease, releaseLock, showLocks } from '../../src/ops/lock.ts'
import { stats } from '../../src/ops/stats.ts'
import { why } from '../../src/ops/why.ts'
import type { Store } from '../../src/ports.ts'
import { randomFromSeed, seed } from '../seed.ts'
import { startCluster, type TestCluster } from '../topologies.ts'
import { contextOf, testConfig } from './fixture.ts'

const HOUR = 3_600_000
const KEYS = 600

let cluster: TestCluster
let store: Store
let context: OperationContext
beforeAll(async () => {
  cluster = await startCluster({ masters: 3, replicas: 1 })
  const url = cluster.urls[0] as string
  store = openStore({ url, from: 'test', tls: null }, { connectTimeoutMs: 2_000, replyTimeoutMs: 10_000 })
  context = contextOf(store, { config: testConfig(url) })
}, 60_000)
afterAll(async () => {
  await store?.close()
  await cluster?.stop()
})
beforeEach(() => cluster.flush())

const nameOf = (index: number): string => `shop:v1:list:product:${index}`

async function fill(): Promise<void> {
  await Promise.all(Array.from({ length: KEYS }, (_, index) => store.call('SET', nameOf(index), 'x')))
}

async function ttls(): Promise<number[]> {
  return Promise.all(Array.from({ length: KEYS }, async (_, index) => Number(await store.call('PTTL', nameOf(index)))))
}

async function expire(of: OperationContext): Promise<ExpireReport> {
  const plan = await planExpire(of, {
    targets: [parseTarget('all', of.config)],
    tenant: null,
    foreign: false,
    allTenants: false,
    expiry: { ttlMs: HOUR, jitter: 0, overMs: 0 },
    shortenOnly: false,
    missingOnly: false,
    exact: true,
    pace: 'auto',
  })
  expect(plan.preview.keys).toBe(KEYS)
  return executeExpire(of, plan)
}

it('expire reaches the keys of all masters', async () => {
  await fill()
  expect(await expire(context)).toMatchObject({ ok: true, changed: KEYS, matched: KEYS, exitCode: 0 })
  expect((await ttls()).filter((ms) => ms <= 0 || ms > HOUR)).toEqual([])
})

it(`expire while slots move: every key, or it says how many are left (seed ${seed})`, async () => {
  const random = randomFromSeed(seed)
  await fill()
  const moved: Promise<unknown>[] = []
  const emit: OperationContext['emit'] = (event) => {
    if (event.event === 'progress' && moved.length < 3)
      moved.push(cluster.moveSlotOfKey(nameOf(Math.floor(random() * KEYS))))
  }
  const report = await expire({ ...context, emit })
  await Promise.all(moved)
  const left = (await ttls()).filter((ms) => ms <= 0).length
  expect(moved.length).toBeGreaterThan(0)
  expect(report.matched).toBe(report.changed + report.alreadyGone + report.failed + report.unknown + report.remaining)
  // Walked again where slots have moved, and counted once all the same.
  if (left > 0) expect(report.exitCode).toBe(3)
  else expect([report.changed, report.matched]).toEqual([KEYS, KEYS])
})

it('lock finds and releases a lock wherever it lies', async () => {
  for (const name of ['a', 'b', 'c', 'd', 'e', 'f'])
    await store.call('SET', `shop~lock:${name}`, JSON.stringify({ holder: `h:${name}`, since: '2026-11-21T03:04:05Z' }))
  expect((await showLocks(context, null)).locks.map(({ name }) => name)).toEqual(['a', 'b', 'c', 'd', 'e', 'f'])
  expect(await releaseLock(context, await planRelease(context, 'd'), false)).toMatchObject({ outcome: 'released' })
  expect((await showLocks(context, null)).locks).toHaveLength(5)
})

it('why puts together what lies on several masters', async () => {
  const key = 'shop:v1:detail:product:1'
  const tags = ['a', 'b', 'c'].map((name) => ({ tag: `tag:${name}`, stamp: 's1' }))
  const nowMs = Date.now()
  const entry = encodeEntry('v', {
    incarnation: 'abcdefghijklmnop',
    createdAtMs: nowMs,
    freshUntilMs: nowMs + 60_000,
    graceMs: 0,
    deltaMs: 1,
    writer: 'test',
    sourceVersion: null,
    tags,
    compressAboveBytes: null,
  })
  await store.call('HSET', generationsKey('shop'), 'incarnation', 'abcdefghijklmnop')
  await store.call('SET', key, entry, 'PX', 60_000)
  await store.call('SET', leaseKey('shop', key), 'token', 'PX', 5_000)
  for (const { tag } of tags) await store.call('SET', stampKey('shop', tag), 's1')
  expect(await why(context, key)).toMatchObject({
    read: { outcome: 'fresh' },
    lease: { token: 'token' },
    entry: { tags: ['a', 'b', 'c'] },
  })
  await store.call('DEL', stampKey('shop', 'tag:b'))
  expect((await why(context, key)).read).toMatchObject({ outcome: 'miss', reason: 'invalidated' })
})

it('stats counts on a replica of each master', async () => {
  await fill()
  await Promise.all(cluster.masters.map((master) => master.call('WAIT', 1, 5_000)))
  const report = await stats(context, {
    targets: [],
    tenant: null,
    by: ['namespace'],
    mode: { kind: 'full' },
    top: 20,
    largest: 0,
    age: false,
    intervalMs: null,
    replica: true,
  })
  expect(report.total.keys).toBe(KEYS)
  const replicas = cluster.nodes.filter(({ replicaOf }) => replicaOf !== null).map(({ port }) => `127.0.0.1:${port}`)
  expect(report.readFrom?.map(({ replica }) => replica).sort()).toEqual(replicas.sort())
})
