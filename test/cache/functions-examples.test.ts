// The worked examples of docs/functions.md over a real Redis: permissions, an external API, an expensive report, products by popularity.
import { createServer, type Server } from 'node:http'
import type { AddressInfo } from 'node:net'
import { afterAll, afterEach, beforeAll, beforeEach, expect, test, vi } from 'vitest'
import { aNamespace } from '../resolved.ts'
import { startRedis, type TestRedis } from '../servers.ts'
import { closeSurfaces, openSurfaces } from './open-surfaces.ts'

let redis: TestRedis
const servers: Server[] = []
beforeAll(async () => {
  redis = await startRedis()
})
afterAll(async () => {
  await closeSurfaces()
  await redis.stop()
})
beforeEach(async () => {
  await closeSurfaces()
  await redis.call('FLUSHALL')
})
afterEach(() => {
  for (const server of servers.splice(0)) {
    server.close()
    server.closeAllConnections()
  }
})
const open = () =>
  openSurfaces(redis.url, {
    namespaces: Object.fromEntries(['api', 'stats', 'detail'].map((name) => [name, aNamespace(name, { beta: 0 })])),
  })
/** Entries are written behind the answer. */
const pttl = (key: string) =>
  vi.waitFor(async () => {
    const ttlMs = Number(await redis.call('PTTL', key))
    expect(ttlMs).toBeGreaterThan(0)
    return ttlMs
  })

test('permissions: granted and revoked at once in every process, of one user, or of all who have a role', async () => {
  const granted = new Map([
    [7, { role: 'editor', rights: ['read', 'write'] }],
    [8, { role: 'reader', rights: ['read'] }],
    [9, { role: 'reader', rights: ['read'] }],
  ])
  let queries = 0
  const loadPermissions = async function permissionsOf(userId: number) {
    queries++
    return structuredClone(granted.get(userId)) ?? { role: 'none', rights: [] as string[] }
  }
  const processes = [open(), open()].map((cache) => ({
    cache,
    permissionsOf: cache.fn('user_data', loadPermissions, {
      ttl: '1h',
      tags: ({ role }, userId) => [`user:${userId}`, `role:${role}`],
    }),
  }))
  const may = async (userId: number, right: string) =>
    Promise.all(processes.map(async ({ permissionsOf }) => (await permissionsOf(userId)).rights.includes(right)))

  for (const user of [7, 8, 9, 7, 8, 9]) await may(user, 'read')
  expect(queries).toBe(3)

  granted.set(7, { role: 'reader', rights: ['read'] })
  await processes[0]?.cache.invalidateTag('user:7')
  expect(await may(7, 'write')).toEqual([false, false])
  expect(queries).toBe(4)

  for (const user of [7, 8, 9]) granted.set(user, { role: 'reader', rights: ['read', 'comment'] })
  await processes[1]?.cache.invalidateTag('role:reader')
  for (const user of [7, 8, 9]) expect(await may(user, 'comment')).toEqual([true, true])
  expect(queries).toBe(7)
})

test('an external API: the last answer while it fails or hangs, and never a wait beyond the timeout', async () => {
  const api = { mode: 'up' as 'up' | 'error' | 'hang', asked: 0, aborted: 0 }
  const server = createServer((request, response) => {
    api.asked++
    if (api.mode === 'hang') return void request.socket.once('close', () => api.aborted++)
    response.writeHead(api.mode === 'up' ? 200 : 503, { 'content-type': 'application/json' })
    response.end(JSON.stringify({ EUR: api.asked }))
  }).listen(0, '127.0.0.1')
  servers.push(server)
  await new Promise((resolve) => server.once('listening', resolve))
  const url = `http://127.0.0.1:${(server.address() as AddressInfo).port}/rates`

  const cache = open()
  const rates = cache.fn(
    'api',
    async function exchangeRates(_currency: string): Promise<{ EUR: number }> {
      const response = await fetch(url, { signal: cache.context()?.signal ?? null })
      if (!response.ok) throw new Error(`the API answered ${response.status}`)
      return (await response.json()) as { EUR: number }
    },
    { ttl: '50ms', grace: '1h', timeout: { soft: '100ms', hard: '400ms' } },
  )
  expect(await rates('USD')).toEqual({ EUR: 1 })
  const past = async () => {
    const freshUntil = Date.now() + 60
    await vi.waitFor(() => expect(Date.now()).toBeGreaterThan(freshUntil))
  }

  api.mode = 'error'
  await past()
  expect(await rates('USD')).toEqual({ EUR: 1 })
  api.mode = 'hang'
  await vi.waitFor(() => expect(cache.errors.length).toBeGreaterThan(0))
  const began = performance.now()
  expect(await rates('USD')).toEqual({ EUR: 1 })
  expect(performance.now() - began).toBeLessThan(350)
  // the request that hangs is given up, also where nobody waits for it any more
  await vi.waitFor(() => expect(api.aborted).toBe(1), { timeout: 5_000 })

  // of what was never answered there is nothing to give
  await expect(rates('CHF')).rejects.toMatchObject({ code: 'LOADER_TIMEOUT' })
  api.mode = 'up'
  await vi.waitFor(async () => expect((await rates('USD')).EUR).toBeGreaterThan(1), { timeout: 5_000 })
})

test('an expensive report: once, however many ask in however many processes; asked for again, the old one at once', async () => {
  const report = { running: 0, atOnce: 0, runs: 0 }
  const makeReport = async function salesReport({ year }: { year: number; region?: string }) {
    report.runs++
    report.atOnce = Math.max(report.atOnce, ++report.running)
    await new Promise((resolve) => setTimeout(resolve, 150))
    report.running--
    return { year, total: report.runs }
  }
  const processes = [open(), open(), open()].map((cache) =>
    cache.fn('stats', makeReport, { ttl: '50ms', grace: '10m' }),
  )
  const askAll = () =>
    Promise.all(
      Array.from({ length: 300 }, (_, i) => {
        const salesReport = processes[i % 3]
        return i % 2 ? salesReport?.({ year: 2026, region: 'eu' }) : salesReport?.({ region: 'eu', year: 2026 })
      }),
    )
  const first = await askAll()
  expect(report).toEqual({ running: 0, atOnce: 1, runs: 1 })
  expect(new Set(first.map((answer) => answer?.total))).toEqual(new Set([1]))

  const freshUntil = Date.now() + 60
  await vi.waitFor(() => expect(Date.now()).toBeGreaterThan(freshUntil))
  const again = await askAll()
  expect(new Set(again.map((answer) => answer?.total))).toEqual(new Set([1]))
  await vi.waitFor(() => expect(report).toEqual({ running: 0, atOnce: 1, runs: 2 }))
})

test('products: the popular ones, whose stock changes, for five minutes, the others for two hours', async () => {
  const products = [
    { id: 1, name: 'Teapot', sales: 3 },
    { id: 2, name: 'Cup', sales: 4_000 },
  ]
  const cache = open()
  const getProduct = cache.fn(
    'detail',
    async function getProduct(id: number) {
      return products.find((product) => product.id === id) ?? null
    },
    { ttl: (product) => (product.sales > 1_000 ? '5m' : '2h'), grace: '0s', negativeTtl: '30s' },
  )
  expect(await Promise.all([getProduct(1), getProduct(2), getProduct(3)])).toEqual([...products, null])
  for (const [id, ttlMs] of [
    [1, 7_200_000],
    [2, 300_000],
    [3, 30_000],
  ] as const) {
    // prettier-ignore
    const left = await pttl(await getProduct.key(id))
    expect(left).toBeLessThanOrEqual(ttlMs)
    expect(left).toBeGreaterThan(ttlMs - 10_000)
  }
  // `get` tells no product that is cached from nothing that is: both are given as they are
  expect([await getProduct.get(3), await getProduct.get(4)]).toEqual([null, undefined])
})
