// Keys that are read from a replica: the primary is not walked, and the report says where the figures come from.
import { afterAll, beforeAll, describe, expect, it } from 'vitest'
import { openStore } from '../../src/adapters/redis/store.ts'
import type { KeyRow } from '../../src/ops/keys.ts'
import { keys } from '../../src/ops/keys.ts'
import type { ReadFrom } from '../../src/ops/read-from.ts'
import { stats } from '../../src/ops/stats.ts'
import type { Store } from '../../src/ports.ts'
import { until } from '../cli/spawned.ts'
import { startRedis, type TestRedis } from '../servers.ts'
import { contextOf, testConfig } from './fixture.ts'

const KEYS = 3_000

let primary: TestRedis
let replica: TestRedis
let alone: TestRedis
const stores: Store[] = []
beforeAll(async () => {
  ;[primary, replica, alone] = await Promise.all([
    startRedis({ port: 0 }),
    startRedis({ port: 0 }),
    startRedis({ port: 0 }),
  ])
  await primary.call('CONFIG', 'SET', 'repl-diskless-sync-delay', '0')
  await replica.call('REPLICAOF', '127.0.0.1', primary.port as number)
  const pairs = Array.from({ length: KEYS }, (_, i) => [`shop:v1:list:product:${i}`, 'x']).flat()
  await Promise.all([primary.call('MSET', ...pairs), alone.call('MSET', ...pairs)])
  await until(
    async () =>
      Number(await replica.call('DBSIZE')) === KEYS &&
      /state=online/.test(String(await primary.call('INFO', 'replication'))),
  )
})
afterAll(async () => {
  for (const store of stores) await store.close()
  await Promise.all([primary?.stop(), replica?.stop(), alone?.stop()])
})

function open(server: TestRedis): Store {
  const store = openStore(
    { url: server.url, from: 'test', tls: null },
    { connectTimeoutMs: 2_000, replyTimeoutMs: 5_000 },
  )
  stores.push(store)
  return store
}

async function scansOf(server: TestRedis): Promise<number> {
  return Number(/cmdstat_scan:calls=(\d+)/.exec(String(await server.call('INFO', 'commandstats')))?.[1] ?? 0)
}

const statsOf = (server: TestRedis, more = {}) =>
  stats(contextOf(open(server), { config: testConfig(server.url) }), {
    targets: [],
    tenant: null,
    by: ['namespace', 'model'],
    mode: { kind: 'full' },
    top: 20,
    largest: 0,
    age: true,
    intervalMs: null,
    replica: true,
    ...more,
  })

async function keysOf(server: TestRedis): Promise<{ rows: KeyRow[]; from: ReadFrom[] }> {
  const rows: KeyRow[] = []
  const from: ReadFrom[] = []
  const context = contextOf(open(server), { config: testConfig(server.url) })
  const options = { targets: [], tenant: null, details: true, age: false, limit: null, replica: true }
  for await (const page of keys(context, { ...options, onReadFrom: (one) => from.push(one) })) rows.push(...page)
  return { rows, from }
}

describe('with a replica in step', () => {
  it('stats counts there, and not on the primary', async () => {
    const before = [await scansOf(primary), await scansOf(replica)]
    const report = await statsOf(primary)
    expect(report).toMatchObject({ total: { keys: KEYS }, redis: { role: 'primary' }, complete: true })
    expect(report.readFrom).toEqual([
      { master: `127.0.0.1:${primary.port}`, replica: `127.0.0.1:${replica.port}`, lagBytes: expect.any(Number) },
    ])
    expect(report.readFrom?.[0]?.lagBytes).toBeLessThan(1_000_000)
    expect(await scansOf(primary)).toBe(before[0])
    expect(await scansOf(replica)).toBeGreaterThan(before[1] as number)
  })

  it('the hit rate of the primary is not mixed with what was asked of the replica', async () => {
    const report = await statsOf(primary, { intervalMs: 1 })
    expect(report.scan.hitsAdded).toBeGreaterThan(KEYS)
    expect(report.server.hitRateNow).toBeNull()
  })

  it('keys come from there, and what has expired by the clock is not among them', async () => {
    await primary.call('SET', 'shop:v1:list:product:gone', 'x', 'PX', 1)
    await until(async () => Number(await primary.call('EXISTS', 'shop:v1:list:product:gone')) === 0)
    const before = await scansOf(primary)
    const { rows, from } = await keysOf(primary)
    expect(rows).toHaveLength(KEYS)
    expect(from).toEqual([expect.objectContaining({ replica: `127.0.0.1:${replica.port}` })])
    expect(await scansOf(primary)).toBe(before)
  })
})

it('without one the primary answers, and that is said', async () => {
  expect((await statsOf(alone)).readFrom).toEqual([
    { master: `127.0.0.1:${alone.port}`, replica: null, lagBytes: null },
  ])
  expect((await statsOf(alone, { replica: false })).readFrom).toBeNull()
  const { rows, from } = await keysOf(alone)
  expect(rows).toHaveLength(KEYS)
  expect(from).toEqual([expect.objectContaining({ replica: null })])
})
