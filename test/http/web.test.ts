// Web-standard handlers: Hono over loopback, plain functions as Next.js has them, over a real Redis.
import { Hono } from 'hono'
import { afterAll, beforeAll, beforeEach, describe, expect, test } from 'vitest'
import type { WebOptions } from '../../src/http/web.ts'
import { aModel, aNamespace } from '../resolved.ts'
import { startRedis, type TestRedis } from '../servers.ts'
import { closeAll, eventually, get, listen, openHttp, webListener } from './open-http.ts'

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
const stored = (count = 1) => eventually(async () => expect(await keys()).toHaveLength(count))

function wrap(
  handler: (request: Request, run: number) => Response | Promise<Response>,
  options: Partial<WebOptions<Request>> = {},
) {
  const graced = aNamespace('graced', { beta: 0, graceMs: 60_000 })
  const opened = openHttp(redis.url, { namespaces: [graced], models: [aModel('city', null as never)] })
  const app = { ...opened, runs: 0, fetch: async (_: Request): Promise<Response> => new Response() }
  app.fetch = opened.http.web({ namespace: 'list', route: '/x', ...options })((request) => handler(request, ++app.runs))
  return app
}
const ask = async (
  app: { fetch(request: Request): Promise<Response> },
  headers: Record<string, string> = {},
  url = 'http://shop.example/x',
  method = 'GET',
) => {
  const response = await app.fetch(new Request(url, { headers, method }))
  return { response, cache: response.headers.get('x-cache'), status: response.status, text: await response.text() }
}

describe('Hono', () => {
  test('a route over loopback: miss, hit, 304, HEAD', async () => {
    const { http } = openHttp(redis.url)
    let runs = 0
    const cached = http.web({ namespace: 'detail', route: '/api/cities/:id', vary: ['lang'] })
    const city = cached((request: Request, id: string) => {
      runs++
      return Response.json({ id, lang: new URL(request.url).searchParams.get('lang') })
    })
    const app = new Hono().get('/api/cities/:id', (c) => city(c.req.raw, c.req.param('id')))
    const url = `${await listen(webListener((request) => app.fetch(request)))}/api/cities/42?lang=de`
    const miss = await get(url, { Host: 'shop.example' })
    expect([miss.cache, miss.text]).toEqual(['MISS', '{"id":"42","lang":"de"}'])
    await stored()
    expect(await keys()).toEqual([
      'shop:v1:detail:@http.GET./api/cities/%3Aid:@host_shop.example:@path_/api/cities/42:lang_de',
    ])
    const hit = await get(url, { Host: 'shop.example' })
    expect([hit.cache, hit.text, hit.headers.etag, hit.headers['content-type']]).toEqual([
      'HIT',
      miss.text,
      miss.headers.etag,
      'application/json',
    ])
    const unchanged = await get(url, { Host: 'shop.example', 'If-None-Match': hit.headers.etag as string })
    expect([unchanged.status, unchanged.text]).toEqual([304, ''])
    const head = await get(url, { Host: 'shop.example' }, 'HEAD')
    expect([head.status, head.cache, head.text]).toEqual([200, 'HIT', ''])
    expect(runs).toBe(1)
  })

  test('a handler that has the context, and a user that is read from it', async () => {
    const { http } = openHttp(redis.url)
    interface Context {
      get(name: string): string
      text(text: string): Response
    }
    const cached = http.web({
      namespace: 'list',
      route: '/me',
      vary: { user: (_request: Request, c: Context) => c.get('user') },
    })
    const me = cached((_: Request, c: Context) => c.text(`I am ${c.get('user')}`))
    const app = new Hono<{ Variables: { user: string } }>()
    app.use(async (c, next) => {
      c.set('user', c.req.header('x-user') ?? '')
      await next()
    })
    app.get('/me', (c) => me(c.req.raw, c as unknown as Context))
    const url = `${await listen(webListener((request) => app.fetch(request)))}/me`
    const as = (user: string) => get(url, { 'X-User': user, Cookie: `sid=${user}` })
    expect((await as('1')).text).toBe('I am 1')
    await stored()
    const mine = await as('1')
    expect([mine.cache, mine.text, mine.headers['cache-control']?.startsWith('private')]).toEqual([
      'HIT',
      'I am 1',
      true,
    ])
    expect((await as('2')).text).toBe('I am 2')
  })
})

describe('what is kept', () => {
  test.each<[string, () => Response]>([
    ['404', () => new Response('x', { status: 404 })],
    ['Set-Cookie', () => new Response('x', { headers: { 'Set-Cookie': 'a=1' } })],
    ['private', () => new Response('x', { headers: { 'Cache-Control': 'private' } })],
    ['Vary on another header', () => new Response('x', { headers: { Vary: 'Origin' } })],
    ['too large', () => new Response('x'.repeat(2_000))],
  ])('not: %s', async (_, answer) => {
    const app = wrap(() => answer(), { maxSize: '1kb' })
    const [one, two] = [await ask(app), await ask(app)]
    expect([one.cache, two.cache, app.runs]).toEqual(['BYPASS', 'BYPASS', 2])
    expect([one.text, one.status]).toEqual([await answer().text(), answer().status])
    expect(await keys()).toEqual([])
  })

  test('what fetch gave, whose headers cannot be changed; bodies of bytes; no body', async () => {
    const origin = await listen((_, res) => void res.setHeader('X-Origin', '1').end(Buffer.from([0, 255, 10])))
    const app = wrap(() => fetch(origin))
    expect((await ask(app)).cache).toBe('MISS')
    await stored()
    const { response } = await ask(app)
    expect(response.headers.get('x-origin')).toBe('1')
    expect((await ask(app)).text).toBe(Buffer.from([0, 255, 10]).toString())
    expect((await ask(app, { Cookie: 'a=1' })).cache).toBe('BYPASS')
    const empty = wrap(() => new Response(null, { status: 204 }), { statuses: [204], route: '/empty' })
    expect((await ask(empty)).status).toBe(204)
    await stored(2)
    expect([(await ask(empty)).status, (await ask(empty)).cache]).toEqual([204, 'HIT'])
  })

  test('a stream over the size goes on as it comes; one that breaks is broken for its client alone', async () => {
    const part = new Uint8Array(600).fill(120)
    let made = 0
    const endless = wrap(
      () =>
        new Response(
          new ReadableStream(
            {
              pull(controller) {
                made++
                controller.enqueue(part)
                if (made === 1_000) controller.close()
              },
            },
            { highWaterMark: 0 },
          ),
        ),
      { maxSize: '1kb' },
    )
    const response = await endless.fetch(new Request('http://shop.example/x'))
    expect(made).toBeLessThan(10)
    expect((await response.arrayBuffer()).byteLength).toBe(600_000)
    const broken = wrap(
      () =>
        new Response(
          new ReadableStream({
            start(controller) {
              controller.enqueue(part)
            },
            pull(controller) {
              controller.error(new Error('boom'))
            },
          }),
        ),
    )
    await expect((await broken.fetch(new Request('http://shop.example/x'))).text()).rejects.toThrow('boom')
    expect(await keys()).toEqual([])
  })
})

describe('concurrency', () => {
  test('one handler for all who ask at once', async () => {
    const app = wrap(async (_, run) => {
      await new Promise((resolve) => setTimeout(resolve, 50))
      return Response.json({ run })
    })
    const answers = await Promise.all(Array.from({ length: 50 }, () => ask(app)))
    expect(app.runs).toBe(1)
    expect(answers.filter(({ cache }) => cache === 'MISS')).toHaveLength(1)
    expect(answers.filter(({ cache }) => cache === 'HIT')).toHaveLength(49)
  })

  test('a response that must not be shared is not, nor what a handler throws', async () => {
    const app = wrap(async (_, run) => {
      await new Promise((resolve) => setTimeout(resolve, 30))
      if (run % 2 === 0) throw new Error(`boom ${run}`)
      return new Response(String(run), { headers: { 'Set-Cookie': `sid=${run}` } })
    })
    const settled = await Promise.allSettled(Array.from({ length: 20 }, () => ask(app)))
    const all = settled.map((one) => (one.status === 'fulfilled' ? one.value.text : (one.reason as Error).message))
    expect(new Set(all).size).toBe(20)
    expect(app.runs).toBe(20)
    expect(await keys()).toEqual([])
  })

  test('one whose client goes: the others wait for another handler', async () => {
    const app = wrap(async (request, run) => {
      if (run > 1) return new Response(String(run))
      await new Promise((resolve) => request.signal.addEventListener('abort', resolve))
      throw new Error('aborted')
    })
    const leaving = new AbortController()
    const first = app.fetch(new Request('http://shop.example/x', { signal: leaving.signal })).catch(() => 'left')
    await eventually(() => expect(app.runs).toBe(1))
    const others = Promise.all(Array.from({ length: 10 }, () => ask(app)))
    await app.waiting(11)
    leaving.abort()
    expect(await first).toBe('left')
    expect(new Set((await others).map(({ text }) => text))).toEqual(new Set(['2']))
    expect(app.runs).toBe(2)
  })
})

describe('grace', () => {
  test('everybody has the stale one at once while it is made anew; a handler that fails leaves it', async () => {
    let answer = (run: number): Response => new Response(String(run))
    const app = wrap((_, run) => answer(run), { namespace: 'graced', ttl: '100ms' })
    await ask(app)
    await stored()
    await new Promise((resolve) => setTimeout(resolve, 120))
    answer = () => new Response('down', { status: 503 })
    for (let turn = 0; turn < 3; turn++) {
      const stale = await ask(app)
      expect([stale.text, stale.cache]).toEqual(['1', 'STALE'])
    }
    await eventually(() => expect(app.errors).toContainEqual(expect.objectContaining({ code: 'SOURCE_FAILED' })))
    answer = () => {
      throw new Error('boom')
    }
    expect((await ask(app)).text).toBe('1')
    answer = (run) => new Response(`new ${run}`)
    await eventually(async () => expect((await ask(app)).text).toMatch(/^new /))
  })

  test('what is gone is not given as stale any more', async () => {
    const app = wrap((_, run) => new Response(String(run), { status: run === 1 ? 200 : 404 }), {
      namespace: 'graced',
      ttl: '100ms',
    })
    await ask(app)
    await stored()
    await new Promise((resolve) => setTimeout(resolve, 120))
    expect((await ask(app)).cache).toBe('STALE')
    await eventually(async () => expect((await ask(app)).status).toBe(404))
    expect(await keys()).toEqual([])
  })
})

test('a row of the subject is invalidated', async () => {
  const app = wrap((_, run) => new Response(String(run)), { subject: 'city' })
  await ask(app)
  await stored()
  expect((await ask(app)).cache).toBe('HIT')
  await app.kernel.invalidate({ stamps: ['lists:city', 'rows:city'] })
  expect((await ask(app)).text).toBe('2')
})

test('hosts, schemes and paths are entries of their own', async () => {
  const app = wrap((request) => new Response(request.url), { route: '/x/:id' })
  const urls = [
    'http://a.example/x/1',
    'https://a.example/x/1',
    'http://b.example/x/1',
    'http://a.example/x/1%2F2',
    'http://a.example/x/1/2',
  ]
  for (const url of urls) expect((await ask(app, {}, url)).text).toBe(url)
  await stored(urls.length)
  for (const url of urls)
    expect([(await ask(app, {}, url)).cache, (await ask(app, {}, url)).text]).toEqual(['HIT', url])
})
