// Cached responses as an application has them: `createCache(config).http`, with names that the config has, and with L1.
import express, { type Request } from 'express'
import { afterAll, beforeAll, expect, test } from 'vitest'
import { defineConfig } from '../../src/config/define-config.ts'
import { createCache } from '../../src/create-cache.ts'
import { startRedis, type TestRedis } from '../servers.ts'
import { closeAll, eventually, get, listen } from './open-http.ts'

let redis: TestRedis
const closing: (() => Promise<void>)[] = []
beforeAll(async () => {
  redis = await startRedis()
})
afterAll(async () => {
  await closeAll()
  for (const close of closing) await close()
  await redis.stop()
})

function open() {
  const cache = createCache(
    defineConfig({
      redis: redis.url,
      prefix: 'shop',
      tenant: { label: 'org' },
      namespaces: { pages: { ttl: '5m', l1: true }, list: { ttl: '5m' } },
      models: { city: { source: null, tenant: true } },
    }),
    { deadline: '5s' },
  )
  closing.push(() => cache.close())
  return cache
}

test('two processes with L1: bytes come back as they were, and an invalidation in one reaches the other', async () => {
  const caches = [open(), open()]
  let runs = 0
  const urls = await Promise.all(
    caches.map((cache) => {
      const app = express()
      app.get('/x', cache.http.express({ namespace: 'pages', subject: 'city' }), (_, res) => {
        runs++
        res.send(Buffer.from([runs, 0, 255, 10]))
      })
      return listen(app)
    }),
  )
  const ask = (index: number) => get(`${urls[index]}/x`, { Host: 'shop.example' })
  for (let round = 1; round <= 20; round++) {
    const body = Buffer.from([round, 0, 255, 10])
    const one = round % 2
    expect((await ask(one)).body).toEqual(body)
    for (const index of [0, 1, 0, 1]) {
      await eventually(async () => expect((await ask(index)).cache).toBe('HIT'))
      expect((await ask(index)).body).toEqual(body)
    }
    expect(runs).toBe(round)
    const cache = caches[one] as ReturnType<typeof open>
    const done =
      round % 3 === 0 ? cache.model('city').invalidateAll() : cache.tenant('1').model('city').invalidate(round)
    expect((await done).status).toBe('applied')
  }
})

test('tenants and users of a cache', async () => {
  const cache = open()
  const app = express()
  let runs = 0
  app.use((req, _res, next) => cache.runWithTenant(req.headers['x-org'] as string, next))
  const cached = cache.http.express({
    namespace: 'list',
    subject: 'city',
    vary: { tenant: true, user: (req: Request) => req.get('x-user') },
  })
  app.get('/me', cached, (req, res) => void res.send(`${req.get('x-org')} ${req.get('x-user')} ${++runs}`))
  const url = await listen(app)
  const ask = async (org: string, user: string) => (await get(`${url}/me`, { 'X-Org': org, 'X-User': user })).text
  expect([await ask('1', '7'), await ask('1', '8'), await ask('2', '7')]).toEqual(['1 7 1', '1 8 2', '2 7 3'])
  await eventually(async () =>
    expect([await ask('1', '7'), await ask('1', '8'), await ask('2', '7')]).toEqual(['1 7 1', '1 8 2', '2 7 3']),
  )
  await cache.tenant('1').user(7).invalidate()
  expect([await ask('1', '7'), await ask('1', '8'), await ask('2', '7')]).toEqual(['1 7 4', '1 8 2', '2 7 3'])
  await cache.user(7).invalidate()
  expect([await ask('1', '7'), await ask('1', '8'), await ask('2', '7')]).toEqual(['1 7 5', '1 8 2', '2 7 6'])
})

test('names that the config has not do not compile', () => {
  const { http } = open()
  // @ts-expect-error no such namespace
  expect(() => http.express({ namespace: 'pagess' })).toThrow('pagess')
  // @ts-expect-error no such namespace
  expect(() => http.web({ namespace: 'pagess', route: '/x' })).toThrow('pagess')
  // @ts-expect-error a route must be named
  http.web({ namespace: 'pages' })
  // @ts-expect-error no such namespace
  expect(() => http.resource('things', { list: { namespace: 'pagess' } })).toThrow('pagess')
  // @ts-expect-error a handler gives a Response
  http.web({ namespace: 'pages', route: '/x' })(() => 'text')
})
