// Express 5 over loopback and a real Redis: what is answered from the cache, with which headers, and what is never kept.
import { gzipSync } from 'node:zlib'
import express, { type Request, type Response } from 'express'
import { afterAll, beforeAll, beforeEach, describe, expect, test } from 'vitest'
import type { ExpressOptions, ExpressRequest } from '../../src/http/express.ts'
import { aModel, aNamespace } from '../resolved.ts'
import { startRedis, type TestRedis } from '../servers.ts'
import { closeAll, eventually, get, listen, type OpenHttp, type OpenOptions, openHttp } from './open-http.ts'

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
const keys = async () => ((await redis.call('KEYS', 'shop:*')) as Buffer[]).map(String).sort()
/** Entries are written behind the answer. */
const stored = (count = 1) => eventually(async () => expect(await keys()).toHaveLength(count))

interface Served extends OpenHttp {
  url: string
  runs: number
}

/** An app with one cached route. The handler is told how often it has run. */
async function serve(
  handler: (req: Request, res: Response, run: number) => unknown,
  options: Partial<ExpressOptions<ExpressRequest>> = {},
  { path = '/api/cities', ...open }: OpenOptions & { path?: string } = {},
): Promise<Served> {
  const opened = openHttp(redis.url, open)
  const app = express()
  const served: Served = { ...opened, url: '', runs: 0 }
  app.get(path, opened.http.express({ namespace: 'list', ...options }), (req, res) => handler(req, res, ++served.runs))
  served.url = `${await listen(app)}`
  return served
}

describe('hit and miss', () => {
  test('the handler runs once; status, body and its headers come back as they were', async () => {
    const app = await serve((_, res, run) => {
      res.set('X-Own', ['a', 'b'])
      res.json({ run, city: 'Zürich' })
    })
    const miss = await get(`${app.url}/api/cities`)
    await stored()
    const hit = await get(`${app.url}/api/cities`)
    expect(miss.cache).toBe('MISS')
    expect(hit.cache).toBe('HIT')
    expect(app.runs).toBe(1)
    expect(hit.text).toBe(miss.text)
    const { date: _a, 'x-cache': _b, age, connection: _c, ...hitHeaders } = hit.headers
    const { date: _d, 'x-cache': _e, connection: _f, ...missHeaders } = miss.headers
    expect(hitHeaders).toEqual(missHeaders)
    expect(age).toBe('0')
    expect(hit.headers['x-own']).toBe('a, b')
    expect(hit.headers['cache-control']).toBe('max-age=600')
    expect(hit.headers['content-type']).toBe('application/json; charset=utf-8')
  })

  test('keys name the route and what the entry varies on', async () => {
    const app = await serve((req, res) => void res.json(req.query), { vary: ['country', 'sort'] })
    await get(`${app.url}/api/cities?sort=name&country=DE`, { Host: 'shop.example' })
    await stored()
    expect(await keys()).toEqual(['shop:v1:list:@http.GET./api/cities:@host_shop.example:country_DE:sort_name'])
  })

  test.each([
    ['json', (res: Response) => res.json({ a: 1 })],
    ['send of a Buffer', (res: Response) => res.send(Buffer.from([0, 255, 10, 128]))],
    ['send of nothing', (res: Response) => res.send()],
    ['end alone', (res: Response) => res.end()],
    [
      'write and end',
      (res: Response) => {
        res.write('a')
        res.write(Buffer.from('b'))
        res.end('c')
      },
    ],
    [
      'write in latin1',
      (res: Response) => {
        res.write('é', 'latin1')
        res.end('ff00', 'hex')
      },
    ],
    ['writeHead with an object', (res: Response) => res.writeHead(200, { 'X-A': '1' }).end('x')],
    ['writeHead with a flat list', (res: Response) => res.writeHead(200, 'Fine', ['X-A', '1', 'X-A', '2']).end('x')],
    [
      'flushHeaders before',
      (res: Response) => {
        res.flushHeaders()
        res.end('x')
      },
    ],
    ['end with a callback', (res: Response) => res.end('x', () => {})],
  ])('%s', async (_, answer) => {
    const app = await serve((_req, res) => answer(res))
    const miss = await get(`${app.url}/api/cities`)
    await stored()
    const hit = await get(`${app.url}/api/cities`)
    expect([miss.cache, hit.cache, app.runs]).toEqual(['MISS', 'HIT', 1])
    expect(hit.body).toEqual(miss.body)
    expect(hit.headers['x-a']).toEqual(miss.headers['x-a'])
    expect(hit.headers['content-type']).toEqual(miss.headers['content-type'])
  })

  test('a handler that uses its buffer again', async () => {
    const app = await serve((_req, res) => {
      const buffer = Buffer.from('first')
      res.write(buffer, () => {
        buffer.write('other')
        res.end()
      })
    })
    await get(`${app.url}/api/cities`)
    await stored()
    expect((await get(`${app.url}/api/cities`)).text).toBe('first')
  })

  test('HEAD is answered from the entry of GET, and does not make one', async () => {
    const app = await serve((_, res) => void res.json({ a: 1 }))
    expect((await get(`${app.url}/api/cities`, {}, 'HEAD')).cache).toBe('MISS')
    expect(await keys()).toEqual([])
    const miss = await get(`${app.url}/api/cities`)
    await stored()
    const head = await get(`${app.url}/api/cities`, {}, 'HEAD')
    expect([head.cache, head.text, app.runs]).toEqual(['HIT', '', 2])
    expect(head.headers['content-length']).toBe(miss.headers['content-length'])
    expect((await get(`${app.url}/api/cities`)).text).toBe('{"a":1}')
  })

  test('Age counts, and the end of the freshness is the end of the entry', async () => {
    const app = await serve((_, res, run) => void res.json({ run }), { ttl: '2500ms' })
    await get(`${app.url}/api/cities`)
    await stored()
    const aged = await eventually(async () => {
      const answer = await get(`${app.url}/api/cities`)
      expect(Number(answer.headers.age)).toBe(1)
      return answer
    })
    expect(aged.headers['cache-control']).toBe('max-age=2')
    await eventually(async () => expect((await get(`${app.url}/api/cities`)).text).toBe('{"run":2}'))
  })
})

describe('conditions', () => {
  test('304 for the ETag that was given, on hits and on misses', async () => {
    const app = await serve((_, res) => void res.end('text'))
    const { headers } = await get(`${app.url}/api/cities`)
    expect(headers.etag).toMatch(/^"[\w-]{22}"$/)
    await stored()
    for (const tag of [headers.etag as string, `W/${headers.etag}`, `"a,b", ${headers.etag}`, '*']) {
      const answer = await get(`${app.url}/api/cities`, { 'If-None-Match': tag })
      expect([answer.status, answer.text, answer.cache, answer.headers.etag]).toEqual([304, '', 'HIT', headers.etag])
      expect(answer.headers['content-length']).toBeUndefined()
    }
    expect((await get(`${app.url}/api/cities`, { 'If-None-Match': '"other"' })).status).toBe(200)
    await redis.call('FLUSHALL')
    const again = await get(`${app.url}/api/cities`, { 'If-None-Match': headers.etag as string })
    expect([again.status, again.text, again.cache]).toEqual([304, '', 'MISS'])
    await stored()
    const whole = await get(`${app.url}/api/cities`)
    expect([whole.status, whole.text, app.runs]).toEqual([200, 'text', 2])
  })

  test('the ETag that Express makes is kept, and its own 304 does not get in the way', async () => {
    const app = await serve((_, res) => void res.json({ a: 1 }))
    const { headers } = await get(`${app.url}/api/cities`)
    await redis.call('FLUSHALL')
    const cold = await get(`${app.url}/api/cities`, { 'If-None-Match': headers.etag as string })
    expect([cold.status, cold.cache]).toEqual([304, 'MISS'])
    await stored()
    const warm = await get(`${app.url}/api/cities`)
    expect([warm.status, warm.text, warm.headers.etag]).toEqual([200, '{"a":1}', headers.etag])
  })

  test('If-Modified-Since against the Last-Modified of the handler', async () => {
    const app = await serve((_, res) => void res.set('Last-Modified', 'Wed, 01 Jan 2025 00:00:00 GMT').json({}))
    await get(`${app.url}/api/cities`)
    await stored()
    const since = async (text: string) => (await get(`${app.url}/api/cities`, { 'If-Modified-Since': text })).status
    expect(await since('Wed, 01 Jan 2025 00:00:00 GMT')).toBe(304)
    expect(await since('Tue, 31 Dec 2024 23:59:59 GMT')).toBe(200)
    expect(await since('nonsense')).toBe(200)
  })
})

describe('what is never kept', () => {
  test.each<[string, (res: Response) => unknown]>([
    ['status 404', (res) => res.status(404).json({})],
    ['status 500', (res) => res.status(500).json({})],
    ['a redirect', (res) => res.redirect('/other')],
    ['Set-Cookie', (res) => res.cookie('sid', 'secret').json({})],
    ['Cache-Control private', (res) => res.set('Cache-Control', 'private, max-age=60').json({})],
    ['Cache-Control no-store', (res) => res.set('Cache-Control', 'No-Store').json({})],
    ['Cache-Control no-cache', (res) => res.set('Cache-Control', 'no-cache="x-own"').json({})],
    ['max-age=0', (res) => res.set('Cache-Control', 'public, max-age=0').json({})],
    ['nonsense for max-age', (res) => res.set('Cache-Control', 'max-age=-1').json({})],
    ['Expires in the past', (res) => res.set('Expires', '0').json({})],
    ['Vary: *', (res) => res.set('Vary', '*').json({})],
    ['Vary on what the entry does not vary on', (res) => res.vary('Accept-Language').json({})],
    ['a Content-Encoding', (res) => res.set('Content-Encoding', 'gzip').end(gzipSync('a'))],
    ['an event stream', (res) => res.type('text/event-stream').end('data: 1\n\n')],
    [
      'trailers',
      (res) => {
        res.write('a')
        res.addTrailers({ 'X-Sum': '1' })
        res.end()
      },
    ],
    [
      'less than Content-Length says',
      (res) => {
        res.set('Content-Length', '5')
        res.write('abcd')
        res.destroy()
      },
    ],
    ['over the size, by Content-Length', (res) => res.send('x'.repeat(2_000))],
    [
      'over the size, in chunks',
      (res) => {
        res.write('x'.repeat(900))
        res.write('x'.repeat(900))
        res.end()
      },
    ],
  ])('%s', async (_, answer) => {
    const app = await serve((_req, res) => answer(res), { maxSize: '1kb' })
    const first = await get(`${app.url}/api/cities`).catch(() => null)
    const second = await get(`${app.url}/api/cities`).catch(() => null)
    expect(app.runs).toBe(2)
    expect(await keys()).toEqual([])
    expect(second?.text).toEqual(first?.text)
    expect(second?.cache).not.toBe('HIT')
  })

  test.each<[string, Record<string, string>, string?, string?]>([
    ['Cookie', { Cookie: 'sid=1' }],
    ['Authorization', { Authorization: 'Bearer x' }],
    ['Range', { Range: 'bytes=0-1' }],
    ['If-Match', { 'If-Match': '"x"' }],
    ['a method override', { 'X-HTTP-Method-Override': 'DELETE' }],
    ['a body', { 'Content-Length': '2' }, '', 'ab'],
    ['an unlisted parameter', {}, '?other=1'],
    ['__proto__ as a parameter', {}, '?__proto__=1'],
    ['constructor as a parameter', {}, '?constructor=1'],
    ['a listed parameter as an object', {}, '?country[a]=1'],
    ['a ? too many', {}, '??country=DE'],
    ['bytes that are no UTF-8', {}, '?country=%ff'],
    ['a % without a number', {}, '?country=%zz%41'],
    ['too many parameters', {}, `?${'utm_a=1&'.repeat(150)}country=DE`],
  ])('a request with %s goes to the handler, and leaves nothing', async (_, headers, query = '', body) => {
    const app = await serve((_req, res) => void res.json({}), { vary: ['country'], ignore: ['utm_*'] })
    for (let turn = 0; turn < 2; turn++)
      expect((await get(`${app.url}/api/cities${query}`, headers, 'GET', body)).cache).toBe('BYPASS')
    expect(app.runs).toBe(2)
    expect(await keys()).toEqual([])
  })

  test('development says why, production does not', async () => {
    const development = await serve((_, res) => void res.json({}))
    expect((await get(`${development.url}/api/cities?x=1`)).headers['x-cache-reason']).toBe('query')
    const production = await serve((_, res) => void res.json({}), {}, { production: true })
    expect((await get(`${production.url}/api/cities?x=1`)).headers['x-cache-reason']).toBeUndefined()
  })

  test('a request cannot tell the cache to stand aside', async () => {
    const app = await serve((_, res) => void res.json({}))
    await get(`${app.url}/api/cities`)
    await stored()
    const answer = await get(`${app.url}/api/cities`, { 'Cache-Control': 'no-cache, no-store', Pragma: 'no-cache' })
    expect([answer.cache, app.runs]).toEqual(['HIT', 1])
  })
})

describe('what an entry varies on', () => {
  test('parameters: order does not count, repeated ones keep theirs, absent and empty differ, ignored ones do not count', async () => {
    const app = await serve((req, res) => void res.send(new URL(req.originalUrl, 'http://x').search), {
      vary: ['country', 'sort'],
      ignore: ['utm_*'],
    })
    const ask = async (query: string) => (await get(`${app.url}/api/cities${query}`)).cache
    const distinct = [
      '',
      '?country=',
      '?country=DE',
      '?country=DE&country=FR',
      '?country=FR&country=DE',
      '?country=DE&sort=a',
    ]
    for (const query of distinct) expect(await ask(query)).toBe('MISS')
    await stored(distinct.length)
    for (const query of [
      ...distinct,
      '?sort=a&country=DE',
      '?country=D%45',
      '?utm_source=x&country=DE',
      '?&country=DE&',
    ])
      expect(await ask(query)).toBe('HIT')
    expect(await ask('?country=DE&sort=a&sort=b')).toBe('MISS')
  })

  test('headers, the user, the tenant', async () => {
    const app = await serve(
      (req, res) => void res.vary('Accept-Language').send(`${req.headers['accept-language']} ${req.headers['x-user']}`),
      { vary: { headers: ['Accept-Language'], user: (req) => req.headers['x-user'] as string | undefined } },
    )
    const ask = (language: string, user?: string) =>
      get(`${app.url}/api/cities`, { 'Accept-Language': language, Cookie: 'x=1', ...(user ? { 'X-User': user } : {}) })
    expect((await ask('de', '1')).text).toBe('de 1')
    await stored()
    const hit = await ask('de', '1')
    expect([hit.cache, hit.text, hit.headers.vary]).toEqual(['HIT', 'de 1', 'accept-language'])
    expect(hit.headers['cache-control']).toMatch(/^private, max-age=/)
    expect((await ask('fr', '1')).text).toBe('fr 1')
    expect((await ask('de', '2')).text).toBe('de 2')
    // Nobody is logged in, but there is a cookie that nothing is known of.
    expect((await ask('de')).cache).toBe('BYPASS')
  })

  test('a credential in the key is a digest', async () => {
    const app = await serve((req, res) => void res.send(req.headers.authorization), {
      vary: { headers: ['Authorization'] },
    })
    expect((await get(`${app.url}/api/cities`, { Authorization: 'Bearer one-secret' })).text).toBe('Bearer one-secret')
    await stored()
    const hit = await get(`${app.url}/api/cities`, { Authorization: 'Bearer one-secret' })
    expect([hit.cache, hit.headers['cache-control']?.startsWith('private')]).toEqual(['HIT', true])
    expect((await get(`${app.url}/api/cities`, { Authorization: 'Bearer other' })).text).toBe('Bearer other')
    expect((await keys()).join()).not.toContain('secret')
  })

  test('hosts, paths and spellings of paths are entries of their own', async () => {
    const app = await serve(
      (req, res) => void res.send(`${req.headers.host} ${req.originalUrl} ${JSON.stringify(req.params)}`),
      {},
      {
        path: '/api/cities/:id',
      },
    )
    const paths = [
      '/api/cities/a:b',
      '/api/cities/a%3Ab',
      '/api/cities/a%2Fb',
      '/API/cities/a:b',
      '/api/cities/a:b/',
      '/api/cities/*',
      '/api/cities/:id',
    ]
    const hosts = ['shop.example', 'evil.example', 'shop.example:80', '__proto__']
    const answers = new Set<string>()
    for (const Host of hosts) for (const path of paths) answers.add((await get(app.url + path, { Host })).text)
    await stored(paths.length * hosts.length)
    expect(answers.size).toBe(paths.length * hosts.length)
    for (const Host of hosts)
      for (const path of paths) {
        const { cache, text } = await get(app.url + path, { Host })
        expect([cache, text.startsWith(`${Host} ${path} `)]).toEqual(['HIT', true])
      }
  })

  test('what trust proxy makes of X-Forwarded-Host is in the key', async () => {
    const { http } = openHttp(redis.url)
    const app = express().set('trust proxy', true)
    app.get('/', http.express({ namespace: 'list' }), (req, res) => void res.send(`${req.protocol} ${req.host}`))
    const url = await listen(app)
    expect((await get(`${url}/`, { 'X-Forwarded-Host': 'evil.example' })).text).toBe('http evil.example')
    expect((await get(`${url}/`, { 'X-Forwarded-Host': 'shop.example' })).text).toBe('http shop.example')
    expect((await get(`${url}/`, { 'X-Forwarded-Host': 'shop.example', 'X-Forwarded-Proto': 'https' })).text).toBe(
      'https shop.example',
    )
  })
})

describe('invalidation', () => {
  const city = aModel('city', null as never)
  const invalidateRow = ({ kernel }: OpenHttp) =>
    kernel.invalidate({
      entries: [{ namespace: 'detail', subject: 'city', version: '1', tenant: null, rest: ['42'] }],
      stamps: ['lists:city', 'rows:city'],
      fences: ['city'],
    })

  test.each<[string, (app: OpenHttp) => Promise<unknown>]>([
    ['a row of the subject', invalidateRow],
    [
      'the whole subject, by a bump',
      ({ kernel }) => kernel.invalidate({ scopes: [{ kind: 'subject', subject: 'city' }] }),
    ],
    ['a row of a model that the subject depends on', ({ kernel }) => kernel.invalidate({ stamps: ['rows:country'] })],
    ['a tag', ({ kernel }) => kernel.invalidate({ stamps: ['tag:org%3A7'] })],
    [
      'the route',
      ({ kernel }) => kernel.invalidate({ scopes: [{ kind: 'subject', subject: '@http.GET./api/cities' }] }),
    ],
  ])('%s', async (_, invalidate) => {
    const models = [{ ...city, related: ['country'] }, aModel('country', null as never)]
    const app = await serve(
      (_req, res, run) => void res.json({ run }),
      { subject: 'city', tags: ['org:7'] },
      { models },
    )
    await get(`${app.url}/api/cities`)
    await stored()
    expect((await get(`${app.url}/api/cities`)).cache).toBe('HIT')
    await invalidate(app)
    expect((await get(`${app.url}/api/cities`)).text).toBe('{"run":2}')
    await eventually(async () => expect((await get(`${app.url}/api/cities`)).cache).toBe('HIT'))
    expect(app.runs).toBe(2)
  })

  test('a bump of the subject reaches other processes', async () => {
    const app = await serve((_req, res, run) => void res.json({ run }), { subject: 'city' }, { models: [city] })
    await get(`${app.url}/api/cities`)
    await stored()
    await get(`${app.url}/api/cities`)
    const other = openHttp(redis.url, { models: [city] })
    await other.kernel.invalidate({ scopes: [{ kind: 'subject', subject: 'city' }] })
    expect((await get(`${app.url}/api/cities`)).text).toBe('{"run":2}')
  })

  test('an invalidation while the handler runs: its response is not kept', async () => {
    let arrived: (() => void) | undefined
    let go: (() => void) | undefined
    const inHandler = new Promise<void>((resolve) => {
      arrived = resolve
    })
    const gate = new Promise<void>((resolve) => {
      go = resolve
    })
    const app = await serve(
      async (_req, res, run) => {
        arrived?.()
        if (run === 1) await gate
        res.json({ run })
      },
      { subject: 'city' },
      { models: [city] },
    )
    const first = get(`${app.url}/api/cities`)
    await inHandler
    await invalidateRow(app)
    const second = get(`${app.url}/api/cities`)
    go?.()
    expect((await first).text).toBe('{"run":1}')
    expect((await second).text).toBe('{"run":2}')
  })

  test('the user’s logout, also from outside of the tenant', async () => {
    const { http, kernel, runWithTenant } = openHttp(redis.url)
    const app = express()
    let runs = 0
    app.use((_req, _res, next) => runWithTenant('7', next))
    app.get(
      '/',
      http.express({ namespace: 'list', vary: { tenant: true, user: () => 123 } }),
      (_, res) => void res.json(++runs),
    )
    const url = await listen(app)
    await get(`${url}/`)
    await stored()
    expect((await get(`${url}/`)).text).toBe('1')
    await kernel.invalidate({ stamps: ['tag:user%3A123'] })
    expect((await get(`${url}/`)).text).toBe('2')
    await eventually(async () => expect((await get(`${url}/`)).cache).toBe('HIT'))
    await kernel.invalidate({ stamps: ['tenant:7:tag:user%3A123'] })
    expect((await get(`${url}/`)).text).toBe('3')
  })
})

describe('options', () => {
  test.each<[string, Record<string, unknown>]>([
    ['a namespace that is not declared', { namespace: 'nowhere' }],
    ['a raw namespace', { namespace: 'raw' }],
    ['a status that cannot be cached', { statuses: [206] }],
    ['a size that is none', { maxSize: '1' }],
    ['a size that is too large', { maxSize: '1gb' }],
    ['a header that is none', { vary: { headers: ['a b'] } }],
    ['a parameter that is none', { vary: ['@host'] }],
    ['something else to vary on', { vary: { cookies: ['a'] } }],
    ['a ttl that is none', { ttl: '5' }],
  ])('%s is refused when the route is made', (_, options) => {
    const { http } = openHttp(redis.url, { namespaces: [aNamespace('raw', { format: 'raw' })] })
    expect(() => http.express({ namespace: 'list', ...options } as never)).toThrow(
      expect.objectContaining({ code: 'USAGE', hint: expect.stringMatching(/\w/) }),
    )
  })

  test('a tenant that there must be', async () => {
    const app = await serve((_, res) => void res.json({}), { vary: { tenant: true } })
    expect((await get(`${app.url}/api/cities`)).status).toBe(500)
    expect(app.runs).toBe(0)
  })

  test('public, other statuses, revalidate, and the handler’s own Cache-Control', async () => {
    const app = await serve((_, res) => void res.status(404).set('X-A', '1').json({}), {
      public: true,
      statuses: [404],
    })
    await get(`${app.url}/api/cities`, { Cookie: 'a=1' })
    await stored()
    const hit = await get(`${app.url}/api/cities`, { Cookie: 'a=2' })
    expect([hit.status, hit.cache, hit.headers['cache-control']?.startsWith('public, max-age=')]).toEqual([
      404,
      'HIT',
      true,
    ])
    const asking = await serve((_, res) => void res.json({}), { revalidate: true })
    expect((await get(`${asking.url}/api/cities`)).headers['cache-control']).toBe('no-cache')
    const own = await serve((_, res) => void res.set('Cache-Control', 'max-age=2').json({}))
    await get(`${own.url}/api/cities`)
    await stored(3)
    const answer = await get(`${own.url}/api/cities`)
    expect([answer.cache, answer.headers['cache-control']]).toEqual(['HIT', 'max-age=2'])
    // The entry lives no longer than the response says.
    const [ttlMs] = await Promise.all(
      (await keys()).filter((key) => key.includes(new URL(own.url).port)).map((key) => redis.call('PTTL', key)),
    )
    expect(Number(ttlMs)).toBeLessThanOrEqual(2_000)
  })
})
