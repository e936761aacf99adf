// A pattern in the library where namespaces have servers of their own: none of them can answer a SCAN for the others.
import { afterAll, beforeAll, expect, it } from 'vitest'
import { createCache } from '../../src/create-cache.ts'
import { startRedis, type TestRedis } from '../servers.ts'

let main: TestRedis
let reports: TestRedis
beforeAll(async () => {
  ;[main, reports] = await Promise.all([startRedis(), startRedis()])
})
afterAll(() => Promise.all([main.stop(), reports.stop()]))

it('goes on each server', async () => {
  const cache = createCache(
    {
      redis: { default: main.url, reports: reports.url },
      prefix: 'shop',
      namespaces: { detail: { ttl: '1h' }, stats: { ttl: '1h', redis: 'reports' } },
    },
    { deadline: '5s' },
  )
  try {
    for (const namespace of ['detail', 'stats'] as const)
      for (let id = 0; id < 20; id++) await cache.set(namespace, ['visits', `${id}`], id)
    expect(await reports.call('DBSIZE')).toBe(20)
    expect(await cache.invalidate({ pattern: 'shop:v1:*:visits:1*' })).toMatchObject({ status: 'applied', deleted: 22 })
    expect(await reports.call('KEYS', '*:visits:1*')).toEqual([])
    expect(await main.call('KEYS', 'shop:v1:*:visits:1*')).toEqual([])
    expect(await reports.call('DBSIZE')).toBe(9)
  } finally {
    await cache.close()
  }
})
