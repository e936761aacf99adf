// Express over a real Redis under concurrency: one handler for many, streams, clients that go away or read slowly, handlers that fail.
import { once } from 'node:events'
import { request } from 'node:http'
import { connect } from 'node:net'
import { pipeline, Readable } from 'node:stream'
import { gunzipSync, gzipSync } from 'node:zlib'
import express, { type NextFunction, type Request, type Response } from 'express'
import { afterAll, beforeAll, beforeEach, describe, expect, test } from 'vitest'
import type { ExpressOptions, ExpressRequest } from '../../src/http/express.ts'
import { aNamespace } from '../resolved.ts'
import { randomFromSeed, seed } from '../seed.ts'
import { startRedis, type TestRedis } from '../servers.ts'
import { closeAll, eventually, get, listen, type OpenHttp, openHttp } from './open-http.ts'

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
const many = <T>(count: number, work: (index: number) => Promise<T>) =>
  Promise.all(Array.from({ length: count }, (_, index) => work(index)))

function latch() {
  let open: () => void = () => {}
  const opened = new Promise<void>((resolve) => {
    open = resolve
  })
  return { open, opened }
}

interface Served extends OpenHttp {
  url: string
  runs: number
}

async function serve(
  handler: (req: Request, res: Response, run: number, next: NextFunction) => unknown,
  options: Partial<ExpressOptions<ExpressRequest>> = {},
  opened: OpenHttp = openHttp(redis.url, { namespaces: [aNamespace('graced', { beta: 0, graceMs: 60_000 })] }),
): Promise<Served> {
  const app = express()
  const served: Served = { ...opened, url: '', runs: 0 }
  app.get('/x', opened.http.express({ namespace: 'list', ...options }), (req, res, next) =>
    handler(req, res, ++served.runs, next),
  )
  app.use((error: Error, _req: Request, res: Response, _next: NextFunction) => {
    if (res.headersSent) res.destroy()
    else res.status(500).send(error.message)
  })
  served.url = `${await listen(app)}/x`
  return served
}

describe('one handler for all who ask at once', () => {
  test('200 requests in one process, 50 more in another', async () => {
    const gate = latch()
    const handler = async (_: Request, res: Response, run: number) => {
      await gate.opened
      res.json({ run })
    }
    const one = await serve(handler)
    const other = await serve(handler)
    const host = { Host: 'shop.example' }
    const answers = Promise.all([many(200, () => get(one.url, host)), many(50, () => get(other.url, host))])
    await eventually(() => expect(one.runs + other.runs).toBeGreaterThan(0))
    setTimeout(gate.open, 100)
    const all = (await answers).flat()
    expect(one.runs + other.runs).toBe(1)
    expect(new Set(all.map(({ text }) => text))).toEqual(new Set(['{"run":1}']))
    expect(all.filter(({ cache }) => cache === 'MISS')).toHaveLength(1)
    expect(all.filter(({ cache }) => cache === 'HIT')).toHaveLength(249)
  })

  test.each<[string, (res: Response, run: number) => unknown]>([
    ['with a cookie', (res, run) => res.cookie('sid', `secret-${run}`).json({ run })],
    ['private', (res, run) => res.set('Cache-Control', 'private').json({ run })],
    ['an error', (res, run) => res.status(500).json({ run })],
    ['too large', (res, run) => res.send(`${run} `.repeat(1_000))],
    [
      'too large, in chunks',
      (res, run) => {
        for (let at = 0; at < 200; at++) res.write(`${run} `.repeat(10))
        res.end()
      },
    ],
  ])('a response that must not be shared is not: %s', async (_, answer) => {
    const gate = latch()
    const app = await serve(
      async (_req, res, run) => {
        await gate.opened
        answer(res, run)
      },
      { maxSize: '1kb' },
    )
    const answers = many(20, () => get(app.url))
    await app.waiting(20)
    await eventually(() => expect(app.runs).toBe(1))
    gate.open()
    const all = await answers
    expect(app.runs).toBe(20)
    expect(new Set(all.map(({ text }) => text)).size).toBe(20)
    const cookies = all.flatMap(({ headers }) => headers['set-cookie'] ?? [])
    expect(new Set(cookies).size).toBe(cookies.length)
    expect(await keys()).toEqual([])
  })

  test('the mutant that shares whatever the first handler made gives one user’s cookie to the others', async () => {
    // The naive middleware: one promise a URL, no look at what came.
    const flights = new Map<string, Promise<{ headers: Record<string, unknown>; body: string }>>()
    const app = express()
    let runs = 0
    const gate = latch()
    app.get('/x', async (req, res) => {
      const known = flights.get(req.url)
      const flight = known ?? gate.opened.then(() => ({ headers: { 'set-cookie': `sid=secret-${++runs}` }, body: 'x' }))
      flights.set(req.url, flight)
      const { headers, body } = await flight
      res.set(headers as never).send(body)
    })
    const url = `${await listen(app)}/x`
    const answers = many(5, () => get(url))
    gate.open()
    const cookies = (await answers).map(({ headers }) => headers['set-cookie']?.[0])
    expect(new Set(cookies).size).toBe(1)
  })
})

describe('users and tenants', () => {
  test(`never see each other's response, seed ${seed}`, async () => {
    const random = randomFromSeed(seed)
    const opened = openHttp(redis.url)
    const app = express()
    let runs = 0
    app.use((req, _res, next) => {
      const tenant = req.headers['x-tenant'] as string | undefined
      if (tenant === undefined) next()
      else opened.runWithTenant(tenant, next)
    })
    const cached = opened.http.express({
      namespace: 'list',
      ttl: '30ms',
      grace: '20ms',
      vary: { query: ['q'], user: (req) => req.headers['x-user'] as string },
    })
    app.get('/x', cached, async (req, res) => {
      runs++
      await new Promise((resolve) => setTimeout(resolve, random() * 5))
      // What the handler sees of the tenant is what the request has, however the load came about.
      res.send(`${opened.surface.tenant()} ${req.headers['x-user']} ${req.query.q}`)
    })
    const url = `${await listen(app)}/x`
    let wrong = 0
    await many(20, async () => {
      for (let turn = 0; turn < 40; turn++) {
        const tenant = ['1', '2', '1:2', 'org_1'][Math.floor(random() * 4)] as string
        const user = ['1', '2', '1:q_a', '%31'][Math.floor(random() * 4)] as string
        const q = ['a', 'b', 'a:b'][Math.floor(random() * 3)] as string
        const headers = { 'X-Tenant': tenant, 'X-User': user, Cookie: `sid=${user}` }
        const { text } = await get(`${url}?q=${encodeURIComponent(q)}`, headers)
        if (text !== `${tenant} ${user} ${q}`) wrong++
      }
    })
    expect(wrong).toBe(0)
    expect(runs).toBeLessThan(800)
    expect(opened.errors).toEqual([])
  })
})

describe('clients', () => {
  test('one that goes away while others wait: another handler answers those, nothing half is kept', async () => {
    const gate = latch()
    const app = await serve(async (_req, res, run) => {
      res.write(`half ${run} `)
      if (run === 1) await gate.opened
      res.end('whole')
    })
    const leaving = request(app.url, { agent: false })
    leaving.on('error', () => {})
    leaving.end()
    await once(leaving, 'response')
    const waiting = many(20, () => get(app.url))
    await app.waiting(21)
    expect(app.runs).toBe(1)
    leaving.destroy()
    const answers = await waiting
    gate.open()
    expect(new Set(answers.map(({ text }) => text))).toEqual(new Set(['half 2 whole']))
    expect(app.runs).toBe(2)
    await stored()
    expect((await get(app.url)).text).toBe('half 2 whole')
  })

  test('one that does not read holds up nobody', async () => {
    // More than the buffers of both sockets hold.
    const part = Buffer.alloc(64 * 1024, 'x')
    const parts = Array.from({ length: 240 }, () => part)
    const app = await serve((_req, res) => pipeline(Readable.from(parts, { objectMode: false }), res, () => {}), {
      maxSize: '16mb',
    })
    const { port } = new URL(app.url)
    const lazy = connect({ port: Number(port), host: '127.0.0.1' })
    await once(lazy, 'connect')
    lazy.pause()
    lazy.write(`GET /x HTTP/1.1\r\nHost: 127.0.0.1:${port}\r\n\r\n`)
    await eventually(() => expect(app.runs).toBe(1))
    const { body, cache } = await get(app.url)
    expect([body.length, cache, app.runs]).toEqual([part.length * parts.length, 'HIT', 1])
    lazy.destroy()
  })

  test('a stream of 200 MB passes through with backpressure, at flat memory', async () => {
    const chunk = Buffer.alloc(64 * 1024, 'x')
    const chunks = 3_200
    let made = 0
    const app = await serve((_req, res) => {
      const stream = Readable.from(
        (function* () {
          for (; made < chunks; made++) yield chunk
        })(),
        { objectMode: false, highWaterMark: chunk.length },
      )
      pipeline(stream, res, () => {})
    })
    const { port } = new URL(app.url)
    const client = request({ port, path: '/x', agent: false })
    client.end()
    const [response] = (await once(client, 'response')) as [NodeJS.ReadableStream]
    response.pause()
    // Nobody reads: the stream stands still once the buffers of both ends are full.
    let before = -1
    await eventually(() => {
      const now = made
      const still = now === before
      before = now
      expect(still).toBe(true)
    }, 200)
    expect(made).toBeLessThan(chunks / 10)
    let received = 0
    let most = 0
    const base = process.memoryUsage().arrayBuffers
    for await (const part of response) {
      received += (part as Buffer).length
      most = Math.max(most, process.memoryUsage().arrayBuffers - base)
    }
    expect(received).toBe(chunk.length * chunks)
    expect(most).toBeLessThan(60 * 1024 * 1024)
    expect(await keys()).toEqual([])
  })
})

describe('handlers that fail', () => {
  test.each<[string, (res: Response, next: NextFunction) => unknown]>([
    [
      'throw',
      () => {
        throw new Error('boom')
      },
    ],
    ['reject', () => Promise.reject(new Error('boom'))],
    ['call next with an error', (_, next) => next(new Error('boom'))],
    [
      'fail in the middle',
      (res, next) => {
        res.write('half')
        next(new Error('boom'))
      },
    ],
  ])('that %s: nothing is kept, and the next request has a handler of its own', async (_, fail) => {
    const app = await serve((_req, res, run, next) => (run === 1 ? fail(res, next) : res.send('good')))
    const first = await get(app.url).catch(() => null)
    expect(first === null || first.status === 500).toBe(true)
    const second = await get(app.url)
    expect([second.text, second.cache]).toEqual(['good', 'MISS'])
    await stored()
  })

  test('that send twice: the first answer is sent and kept, the second is the error that it always is', async () => {
    const app = await serve((_req, res) => {
      res.json({ first: true })
      res.json({ second: true })
    })
    await get(app.url).catch(() => null)
    await stored()
    expect((await get(app.url)).text).toBe('{"first":true}')
  })

  test('that never answer hold up nobody when their client goes', async () => {
    const app = await serve((_req, res, run) => (run === 1 ? undefined : res.send('good')))
    const leaving = request(app.url, { agent: false })
    leaving.on('error', () => {})
    leaving.end()
    await eventually(() => expect(app.runs).toBe(1))
    const waiting = get(app.url)
    await app.waiting(2)
    leaving.destroy()
    expect((await waiting).text).toBe('good')
  })

  test('that are later than timeout.hard: the others get an error, not a handler each', async () => {
    const gate = latch()
    const app = await serve(
      async (_req, res) => {
        await gate.opened
        res.send('late')
      },
      { timeout: { hard: '2s' } },
    )
    const first = get(app.url)
    await eventually(() => expect(app.runs).toBe(1))
    const waiting = many(10, () => get(app.url))
    await app.waiting(11)
    const others = await waiting
    expect(new Set(others.map(({ status }) => status))).toEqual(new Set([500]))
    expect(app.runs).toBe(1)
    gate.open()
    expect((await first).text).toBe('late')
  })
})

describe('grace', () => {
  const stale = async (app: Served) => {
    expect((await get(app.url)).text).toBe('1')
    await stored()
    await eventually(async () => expect(await redis.call('EXISTS', ...(await keys()))).toBe(1))
    await new Promise((resolve) => setTimeout(resolve, 120))
  }

  test('the one who finds it stale makes it anew; the others have the stale one meanwhile', async () => {
    const gate = latch()
    const app = await serve(
      async (_req, res, run) => {
        if (run > 1) await gate.opened
        res.send(String(run))
      },
      { namespace: 'graced', ttl: '100ms' },
    )
    await stale(app)
    const maker = get(app.url)
    await eventually(() => expect(app.runs).toBe(2))
    const others = await many(20, () => get(app.url))
    expect(others.every(({ text, cache }) => text === '1' && cache === 'STALE')).toBe(true)
    expect(others[0]?.headers['cache-control']).toBe('max-age=0')
    gate.open()
    const made = await maker
    expect([made.text, made.cache, app.runs]).toEqual(['2', 'MISS', 2])
  })

  test.each<[string, (res: Response, next: NextFunction) => unknown]>([
    ['throws', (_, next) => next(new Error('boom'))],
    ['answers 503', (res) => res.status(503).set('X-Failed', '1').json({ down: true })],
    [
      'answers 503 in chunks',
      (res) => {
        res.writeHead(503, { 'X-Failed': '1' })
        res.write('do')
        setTimeout(() => res.end('wn'), 20)
      },
    ],
  ])('a handler that %s while there is something stale: that is given, and onError told', async (_, fail) => {
    const app = await serve((_req, res, run, next) => (run === 1 ? res.type('text').send('1') : fail(res, next)), {
      namespace: 'graced',
      ttl: '100ms',
    })
    await stale(app)
    for (let turn = 0; turn < 3; turn++) {
      const answer = await get(app.url)
      expect([answer.status, answer.text, answer.cache]).toEqual([200, '1', 'STALE'])
      expect(answer.headers['content-type']).toBe('text/plain; charset=utf-8')
      expect(answer.headers['x-failed']).toBeUndefined()
    }
    expect(app.errors).toContainEqual(expect.objectContaining({ code: 'SOURCE_FAILED' }))
  })

  test('a handler that is later than timeout.hard: the stale one is given, and what comes late goes nowhere', async () => {
    const gate = latch()
    const done = latch()
    const app = await serve(
      async (_req, res, run) => {
        if (run === 1) return res.send('1')
        await gate.opened
        res.set('X-Late', '1').json({ late: true })
        done.open()
      },
      { namespace: 'graced', ttl: '100ms', timeout: { hard: '100ms' } },
    )
    await stale(app)
    const answer = await get(app.url)
    expect([answer.text, answer.cache]).toEqual(['1', 'STALE'])
    gate.open()
    await done.opened
  })

  test('what is gone is not given as stale any more', async () => {
    const app = await serve((_req, res, run) => (run === 1 ? res.send('1') : res.status(404).send('gone')), {
      namespace: 'graced',
      ttl: '100ms',
    })
    await stale(app)
    expect((await get(app.url)).text).toBe('gone')
    await eventually(async () => expect(await keys()).toEqual([]))
    expect((await get(app.url)).text).toBe('gone')
  })
})

describe('other middleware', () => {
  test('headers of what runs before are not stored; what the handler takes away stays away', async () => {
    const opened = openHttp(redis.url)
    const app = express()
    let requests = 0
    app.use((_req, res, next) => {
      res.set({ 'X-Request-Id': String(++requests), 'X-Frame-Options': 'DENY', 'X-Changed': 'before' })
      next()
    })
    app.get('/x', opened.http.express({ namespace: 'list' }), (_, res) => {
      res.removeHeader('X-Frame-Options')
      res.set('X-Changed', 'after').send('x')
    })
    const url = `${await listen(app)}/x`
    const miss = await get(url)
    await stored()
    const hit = await get(url)
    expect(hit.cache).toBe('HIT')
    for (const { headers } of [miss, hit]) {
      expect(headers['x-frame-options']).toBeUndefined()
      expect(headers['x-changed']).toBe('after')
    }
    expect([miss.headers['x-request-id'], hit.headers['x-request-id']]).toEqual(['1', '2'])
  })

  test('a session that sets its cookie when the head is sent reaches its own client only', async () => {
    const opened = openHttp(redis.url)
    const app = express()
    let sessions = 0
    app.use((_req, res, next) => {
      const { writeHead } = res
      const sid = ++sessions
      res.writeHead = ((...args: unknown[]) => {
        res.setHeader('Set-Cookie', `sid=${sid}`)
        return writeHead.apply(res, args as never)
      }) as never
      next()
    })
    app.get('/x', opened.http.express({ namespace: 'list' }), (_, res) => void res.send('x'))
    const url = `${await listen(app)}/x`
    expect((await get(url)).headers['set-cookie']).toEqual(['sid=1'])
    await stored()
    const hit = await get(url)
    expect([hit.cache, hit.headers['set-cookie']]).toEqual(['HIT', ['sid=2']])
  })

  test('compression before it: what is kept is not compressed, each client has what it takes', async () => {
    const opened = openHttp(redis.url)
    const app = express()
    let runs = 0
    // As the package compression goes about it.
    app.use((req, res, next) => {
      const { end } = res
      if (!req.headers['accept-encoding']?.includes('gzip')) return next()
      res.end = ((body: string) => {
        res.vary('Accept-Encoding')
        res.set('Content-Encoding', 'gzip').removeHeader('Content-Length')
        return end.call(res, gzipSync(body), 'utf8')
      }) as never
      next()
    })
    app.get('/x', opened.http.express({ namespace: 'list' }), (_, res) => void res.send(`text ${++runs}`))
    const url = `${await listen(app)}/x`
    const zipped = async () => gunzipSync((await get(url, { 'Accept-Encoding': 'gzip' })).body).toString()
    expect(await zipped()).toBe('text 1')
    await stored()
    expect(await zipped()).toBe('text 1')
    expect((await get(url)).text).toBe('text 1')
    expect(runs).toBe(1)
  })

  test('no-store or a cookie of what runs before counts as the handler’s', async () => {
    for (const header of ['Cache-Control', 'Set-Cookie']) {
      const opened = openHttp(redis.url)
      const app = express()
      app.use((_req, res, next) => {
        res.set(header, 'no-store')
        next()
      })
      app.get('/x', opened.http.express({ namespace: 'list' }), (_, res) => void res.send('x'))
      const url = `${await listen(app)}/x`
      await get(url)
      expect((await get(url)).cache).toBe('BYPASS')
    }
    expect(await keys()).toEqual([])
  })
})

describe('Redis', () => {
  test('away from the start: handlers answer, within the deadline', async () => {
    const app = await serve(
      (_, res, run) => void res.json({ run }),
      {},
      openHttp('redis://127.0.0.1:1', { deadlineMs: 150 }),
    )
    const began = performance.now()
    expect((await get(app.url)).text).toBe('{"run":1}')
    expect(performance.now() - began).toBeLessThan(1_000)
    expect((await get(app.url)).text).toBe('{"run":2}')
  })

  test('something else under the key is a miss', async () => {
    const app = await serve((_, res, run) => void res.json({ run }))
    await get(app.url)
    await stored()
    const [key] = await keys()
    for (const value of ['nonsense', '']) {
      await redis.call('SET', key as string, value)
      expect((await get(app.url)).cache).toBe('MISS')
      await eventually(async () => expect((await get(app.url)).cache).toBe('HIT'))
    }
  })
})

describe('hostile requests', () => {
  const raw = (url: string, text: string) =>
    new Promise<string>((resolve, reject) => {
      const socket = connect({ port: Number(new URL(url).port), host: '127.0.0.1' }, () => socket.end(text))
      let answer = ''
      socket.on('data', (data) => {
        answer += data
      })
      socket.on('close', () => resolve(answer))
      socket.on('error', reject)
    })

  test.each([
    ['no Host (HTTP/1.0)', 'GET /x HTTP/1.0\r\n\r\n', /^HTTP\/1\.1 200[\s\S]*X-Cache: BYPASS/],
    [
      'an absolute target',
      'GET http://evil.example/x HTTP/1.1\r\nHost: a\r\nConnection: close\r\n\r\n',
      /X-Cache: BYPASS/,
    ],
    ['a target of two slashes', 'GET //x HTTP/1.1\r\nHost: a\r\nConnection: close\r\n\r\n', /^HTTP\/1\.1 (404|200)/],
    [
      'a header with a bare CR',
      'GET /x HTTP/1.1\r\nHost: a\r\nX: a\rb\r\nConnection: close\r\n\r\n',
      /^HTTP\/1\.1 400/,
    ],
    [
      'a chunked body',
      'GET /x HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: chunked\r\nConnection: close\r\n\r\n0\r\n\r\n',
      /X-Cache: BYPASS/,
    ],
  ])('%s', async (_, text, expected) => {
    const app = await serve((_req, res) => void res.send('x'))
    expect(await raw(app.url, text)).toMatch(expected)
    expect(await keys()).toEqual([])
  })

  test('a huge Host and huge varied headers are entries of bounded keys', async () => {
    const app = await serve((req, res) => void res.send(String(req.headers['x-a'])), { vary: { headers: ['x-a'] } })
    const huge = 'é'.repeat(3_000)
    const header = Buffer.from(huge).toString('latin1')
    expect((await get(app.url, { Host: `${'a'.repeat(6_000)}.example`, 'X-A': header })).text.length).toBeGreaterThan(
      3_000,
    )
    await stored()
    expect((await keys())[0]?.length).toBeLessThan(400)
    expect((await get(app.url, { Host: `${'a'.repeat(6_000)}.example`, 'X-A': `${header}b` })).cache).toBe('MISS')
  })
})
