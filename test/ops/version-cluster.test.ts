// `version` on a Cluster: one generation for all masters, and everything dead on each of them found.
import { afterAll, afterEach, beforeAll, expect, it } from 'vitest'
import { showVersions } from '../../src/ops/version-show.ts'
import type { TestRedis } from '../servers.ts'
import { startCluster, type TestCluster } from '../topologies.ts'
import { bump, closeWorld, openCache, openCommand, prune } from './version-world.ts'

let cluster: TestCluster
let server: TestRedis
beforeAll(async () => {
  cluster = await startCluster({ masters: 3 })
  server = { url: cluster.urls[0] } as TestRedis
}, 60_000)
afterAll(() => cluster.stop())
afterEach(closeWorld)

it('bumps, shows and prunes over all masters', async () => {
  const cache = openCache(server)
  const fill = async () => {
    for (let id = 0; id < 60; id++) await cache.getOrSet('list', ['x', `${id}`], async () => id)
  }
  const seen = async () => {
    const { scopes, method } = await showVersions(await openCommand(server), {
      targets: ['namespace:list'],
      tenant: null,
      full: false,
    })
    return { method, keys: scopes[0]?.keys, dead: scopes[0]?.previous.map(({ keys }) => keys) }
  }
  // A cache that could not reach all masters in time has gone on without them.
  await expect.poll(() => fill().then(seen), { timeout: 20_000 }).toEqual({ method: 'full', keys: 60, dead: [] })
  expect(await bump(await openCommand(server), 'namespace:list')).toMatchObject({ ok: true, outdated: 60 })
  await expect.poll(() => fill().then(seen), { timeout: 20_000 }).toEqual({ method: 'full', keys: 60, dead: [60] })
  expect(await prune(await openCommand(server))).toMatchObject({ ok: true, deleted: 60 })
  expect(await seen()).toEqual({ method: 'full', keys: 60, dead: [] })
  expect(await cache.get('list', ['x', '7'])).toBe(7)
}, 60_000)
