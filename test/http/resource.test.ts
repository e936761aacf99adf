// A REST resource on a real Express and a real Redis: cached reads, and writes after which nobody reads what was before.
import { request } from 'node:http'
import express, { type Response, Router } from 'express'
import { afterAll, beforeAll, beforeEach, describe, expect, test } from 'vitest'
import { createModels } from '../../src/cache/models.ts'
import type { ExpressRequest } from '../../src/http/express.ts'
import type { ResourceOptions } from '../../src/http/resource.ts'
import type { Source } from '../../src/ports.ts'
import { aModel } from '../resolved.ts'
import { startRedis, type TestRedis } from '../servers.ts'
import { closeAll, eventually, get, listen, openHttp } from './open-http.ts'

let redis: TestRedis
beforeAll(async () => {
  redis = await startRedis()
})
afterAll(async () => {
  await closeAll()
  await redis.stop()
})
beforeEach(async () => {
  await closeAll()
  await redis.call('FLUSHALL')
})

interface Faculty {
  id: number
  name: string
}

/** A database in memory, the resource over it, and the model that reads it. */
async function serve(options: ResourceOptions<ExpressRequest> = {}, { tenant = false } = {}) {
  const rows = new Map<number, Faculty>([[1, { id: 1, name: 'Ada' }]])
  const source: Source = {
    kind: 'test',
    reads: 'page',
    strategies: ['all'],
    async *select() {},
    load: async (ids) => {
      const found = ids.flatMap((id) => rows.get(Number(id)) ?? [])
      return found.map((row) => ({ id: row.id, row: { ...row }, version: null, tenant: tenant ? '7' : null }))
    },
  }
  const opened = openHttp(redis.url, { models: [aModel('faculty', source, { tenant })] })
  const model = createModels(opened.surface).model('faculty')
  const app = express()
  app.use(express.json())
  app.use((req, _res, next) => {
    const id = req.headers['x-tenant'] as string | undefined
    return id === undefined ? next() : opened.runWithTenant(id, next)
  })
  const router = Router()
  let reads = 0
  router.get('/', (_, res) => {
    reads++
    res.json([...rows.values()])
  })
  router.get('/:id', (req, res) => {
    reads++
    const row = rows.get(Number(req.params.id))
    if (row) res.json(row)
    else res.status(404).end()
  })
  router.get('/:id/photos', (_, res) => void res.json([]))
  router.post('/', (req, res) => {
    rows.set(req.body.id, req.body)
    res.status(201).json(req.body)
  })
  const change = (id: number, name: string, res: Response) => {
    rows.set(id, { id, name })
    res.json({ id, name })
  }
  router.put('/:id', (req, res) => change(Number(req.params.id), req.body.name, res))
  router.patch('/:id', (req, res) => {
    rows.set(Number(req.params.id), { id: Number(req.params.id), name: req.body.name })
    // Content-Length is reached with the write, before the end.
    res.set('Content-Length', '2').write('ok')
    setTimeout(() => res.end(), 5)
  })
  router.delete('/:id', (req, res) => {
    rows.delete(Number(req.params.id))
    res.status(204).end()
  })
  router.post('/import', (_, res) => change(1, 'Imported', res))
  router.post('/refused', (_, res) => {
    rows.set(1, { id: 1, name: 'not committed' })
    res.status(422).end()
  })
  router.put('/twice/now', (_, res) => {
    res.json({ first: true })
    res.status(500).json({ second: true })
  })
  app.use('/faculty', opened.http.resource('faculty', options), router)
  const url = `${await listen(app)}/faculty`
  return { ...opened, url, rows, model, reads: () => reads }
}

const json = { 'Content-Type': 'application/json' }
const cached = (url: string, headers = {}) =>
  eventually(async () => expect((await get(url, headers)).cache).toBe('HIT'))

describe('a resource', () => {
  test('lists and details are cached; clients are told to ask each time', async () => {
    const app = await serve()
    const list = await get(app.url)
    expect([list.cache, list.text, list.headers['cache-control']]).toEqual([
      'MISS',
      '[{"id":1,"name":"Ada"}]',
      'no-cache',
    ])
    expect((await get(`${app.url}/1`)).text).toBe('{"id":1,"name":"Ada"}')
    await cached(app.url)
    await cached(`${app.url}/1`)
    expect(app.reads()).toBe(2)
    expect((await get(`${app.url}/1/photos`)).cache).toBeUndefined()
    expect((await get(`${app.url}?page=2`)).cache).toBe('BYPASS')
    const keys = ((await redis.call('KEYS', 'shop:*')) as Buffer[]).map(String).sort()
    expect(keys.map((key) => key.replace(/%3A\d+/, ''))).toEqual([
      'shop:v1:detail:@http.GET./faculty/%3Aid:@host_127.0.0.1:@path_/faculty/1',
      'shop:v1:list:@http.GET./faculty:@host_127.0.0.1',
    ])
  })

  test.each<[string, string, string, unknown]>([
    ['POST', '', '[{"id":1,"name":"Ada"},{"id":2,"name":"Bo"}]', { id: 2, name: 'Bo' }],
    ['PUT', '/1', '[{"id":1,"name":"Eve"}]', { name: 'Eve' }],
    ['PATCH', '/1', '[{"id":1,"name":"Eve"}]', { name: 'Eve' }],
    ['DELETE', '/1', '[]', {}],
    ['POST', '/import', '[{"id":1,"name":"Imported"}]', {}],
  ])('%s %s: who has its whole answer reads what it wrote, 40 times', async (method, path, expected, body) => {
    const app = await serve()
    for (let turn = 0; turn < 40; turn++) {
      app.rows.clear()
      app.rows.set(1, { id: 1, name: 'Ada' })
      await app.model.invalidateAll()
      await get(app.url)
      await get(`${app.url}/1`)
      await app.model.get(1)
      const written = await get(`${app.url}${path}`, json, method, JSON.stringify(body))
      expect(written.status).toBeLessThan(300)
      expect((await get(app.url)).text).toBe(expected)
      expect(await app.model.get(1)).toEqual(app.rows.get(1))
      expect((await get(`${app.url}/1`)).text).toBe(app.rows.has(1) ? JSON.stringify(app.rows.get(1)) : '')
    }
  })

  test('the answer waits for the invalidation, also where Content-Length is reached before the end', async () => {
    const app = await serve()
    const { invalidate } = app.kernel
    let applied = false
    app.kernel.invalidate = async (change) => {
      await new Promise((resolve) => setTimeout(resolve, 50))
      const done = await invalidate(change)
      applied = true
      return done
    }
    for (const [method, path] of [
      ['PUT', '/1'],
      ['PATCH', '/1'],
      ['DELETE', '/1'],
    ] as const) {
      applied = false
      const answer = await get(`${app.url}${path}`, json, method, '{"name":"Eve"}')
      expect([answer.status < 300, applied]).toEqual([true, true])
    }
  })

  test('the mutant that invalidates when the response has finished lets its client read what was before', async () => {
    const app = await serve()
    const naive = express()
    naive.use(express.json())
    naive.put('/faculty/:id', (req, res) => {
      res.on('finish', () => void setTimeout(() => app.model.invalidate(1).catch(() => {}), 5))
      app.rows.set(1, { id: 1, name: req.body.name })
      res.end()
    })
    const url = `${await listen(naive)}/faculty`
    await get(app.url)
    await cached(app.url)
    await get(`${url}/1`, json, 'PUT', '{"name":"Eve"}')
    expect((await get(app.url)).text).toBe('[{"id":1,"name":"Ada"}]')
  })

  test('a write that fails invalidates nothing', async () => {
    const app = await serve()
    await get(app.url)
    await cached(app.url)
    expect((await get(`${app.url}/refused`, {}, 'POST')).status).toBe(422)
    expect((await get(`${app.url}/x/nowhere`, {}, 'POST')).status).toBe(404)
    expect((await get(app.url)).cache).toBe('HIT')
  })

  test('a write that answers twice: the first answer, whole', async () => {
    const app = await serve()
    const answer = await get(`${app.url}/twice/now`, {}, 'PUT')
    expect([answer.status, answer.text]).toEqual([200, '{"first":true}'])
  })

  test('the model’s own invalidation reaches the responses', async () => {
    const app = await serve()
    await get(app.url)
    await cached(app.url)
    app.rows.set(1, { id: 1, name: 'Eve' })
    await app.model.invalidate(1)
    expect((await get(app.url)).text).toBe('[{"id":1,"name":"Eve"}]')
    await cached(app.url)
    app.rows.set(1, { id: 1, name: 'Fay' })
    await app.model.invalidateAll()
    expect((await get(app.url)).text).toBe('[{"id":1,"name":"Fay"}]')
  })

  test('in a tenant: its responses die, those of another stay; the invalidation of all reaches each', async () => {
    const app = await serve({}, { tenant: true })
    const [seven, eight] = [{ 'X-Tenant': '7' }, { 'X-Tenant': '8' }]
    await get(app.url, seven)
    await get(app.url, eight)
    await cached(app.url, seven)
    await cached(app.url, eight)
    await get(`${app.url}/1`, { ...json, ...seven }, 'PUT', '{"name":"Eve"}')
    expect((await get(app.url, eight)).cache).toBe('HIT')
    expect((await get(app.url, seven)).text).toBe('[{"id":1,"name":"Eve"}]')
    await cached(app.url, seven)
    await app.model.invalidateAll()
    expect((await get(app.url, seven)).cache).toBe('MISS')
    expect((await get(app.url, eight)).text).toBe('[{"id":1,"name":"Eve"}]')
  })

  test('a name that is no model', async () => {
    const { http } = openHttp(redis.url)
    const app = express()
    let runs = 0
    const router = Router()
    router.get('/', (_, res) => void res.json(++runs))
    router.post('/', (_, res) => void res.redirect(303, '/things'))
    app.use('/things', http.resource('things', { ttl: '1m', detail: { ttl: '1h' } }), router)
    const url = `${await listen(app)}/things`
    await get(url)
    await cached(url)
    await get(url, {}, 'POST')
    expect((await get(url)).text).toBe('2')
    expect(() => http.resource('things', { list: { namespace: 'nowhere' } })).toThrow('nowhere')
  })

  test('the client of a write that goes away does not keep it from invalidating', async () => {
    const app = await serve()
    await get(app.url)
    await cached(app.url)
    const { port } = new URL(app.url)
    const leaving = request({
      port,
      path: '/faculty/1',
      method: 'PUT',
      headers: { ...json, 'Content-Length': '14' },
      agent: false,
    })
    leaving.on('error', () => {})
    leaving.end('{"name":"Eve"}', () => leaving.destroy())
    await eventually(() => expect(app.rows.get(1)?.name).toBe('Eve'))
    await eventually(async () => expect((await get(app.url)).text).toBe('[{"id":1,"name":"Eve"}]'))
  })
})
