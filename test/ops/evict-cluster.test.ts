// On a Cluster: the order is one over all masters, and slots may move between the plan and the end.
import { afterAll, beforeAll, expect, it } from 'vitest'
import type { Store } from '../../src/ports.ts'
import type { TestRedis } from '../servers.ts'
import { startClusterAsOne, type TestCluster } from '../topologies.ts'
import { budgets, type Entry, evict, execute, keyOf, keysOf, plan, restore } from './evict-world.ts'
import { contextOf, openTestStore } from './fixture.ts'

let server: TestRedis & { cluster: TestCluster }
let store: Store
beforeAll(async () => {
  server = await startClusterAsOne()
  store = openTestStore(server)
}, 60_000)
afterAll(async () => {
  await store?.close()
  await server?.stop()
})

const KEYS = 3000
const fill = () =>
  restore(
    store,
    Array.from(
      { length: KEYS },
      (_, i): Entry => ({ key: keyOf('detail', i), idleSeconds: 1e6 - i * 10, ttlMs: 1e6 + i * 10_000 }),
    ),
  )
const left = async () => {
  const ids: number[] = []
  for (const node of server.cluster.nodes)
    for (const key of await keysOf(node.call)) if (key.startsWith('shop:')) ids.push(Number(key.split(':').at(-1)))
  return ids.sort((a, b) => a - b)
}
const newest = (count: number) => Array.from({ length: count }, (_, i) => KEYS - count + i)
const context = (maxKeys: number, policy: 'lru' | 'ttl') =>
  contextOf(store, { config: budgets(server.url, { detail: { maxKeys, policy } }) })

it('takes the longest idle of all masters', async () => {
  await fill()
  expect(await evict(context(1000, 'lru'))).toMatchObject({ ok: true, deleted: 2000, journal: 'redis' })
  expect(await left()).toEqual(newest(1000))
})

it.each([
  ['by name', { values: 1_000_000, names: 50_000 }],
  ['by value', { values: 1_000_000, names: 10 }],
  // A key that moves looks as if it had just been used, so by lru it would be spared; its TTL stays.
])('finds keys of slots that moved since the plan, %s', async (_, held) => {
  await fill()
  const planned = await plan(context(500, 'ttl'), { held })
  for (let i = 0; i < 20; i++) await server.cluster.moveSlotOfKey(keyOf('detail', i * 7))
  const report = await execute(context(500, 'ttl'), planned)
  expect(report).toMatchObject({ ok: true, deleted: 2500, exitCode: 0 })
  const wanted = new Set(newest(500))
  const strays = (await left()).filter((id) => !wanted.has(id))
  expect(strays.length).toBeLessThanOrEqual((report.namespaces[0]?.error ?? 0) * KEYS + 1)
})
