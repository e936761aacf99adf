// The example shop, run as a newcomer runs it: each route's hit comes from the cache, writes show at once, tenants do not mix, nothing is left behind.
import { type ChildProcess, execFile, spawn } from 'node:child_process'
import { once } from 'node:events'
import { chmod, mkdtemp, readdir, rm } from 'node:fs/promises'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { fileURLToPath } from 'node:url'
import { promisify } from 'node:util'
import { Redis } from 'ioredis'
import pg from 'pg'
import { afterAll, beforeAll, describe, expect, test } from 'vitest'
import { ROUTES, type Route } from '../../examples/shop/routes.ts'
import { until } from '../programs.ts'

const root = fileURLToPath(new URL('../..', import.meta.url))
const SMALL = ['--products', '300', '--orders', '2000', '--rounds', '2']

interface Run {
  output(): string
  ended: Promise<unknown[]>
  /** the signal of a terminal's Ctrl-C: to the whole group */
  interrupt(): void
  child: ChildProcess
}

let folder: string
const runs: Run[] = []

beforeAll(async () => {
  folder = await mkdtemp(join(tmpdir(), 'shop-'))
  await chmod(folder, 0o755) // PostgreSQL may run as another user
})

afterAll(async () => {
  for (const { child } of runs) child.kill('SIGKILL')
  await rm(folder, { recursive: true, force: true })
})

function start(...args: string[]): Run {
  const child = spawn(process.execPath, ['--import', 'tsx', 'examples/shop/run.ts', ...SMALL, ...args], {
    cwd: root,
    env: { ...process.env, TMPDIR: folder },
    detached: true,
    stdio: ['ignore', 'pipe', 'pipe'],
  })
  let output = ''
  const hear = (chunk: Buffer) => {
    output += chunk
  }
  child.stdout.on('data', hear)
  child.stderr.on('data', hear)
  const run = {
    output: () => output,
    ended: once(child, 'close'),
    interrupt: () => process.kill(-(child.pid as number), 'SIGINT'),
    child,
  }
  runs.push(run)
  return run
}

async function says(run: Run, text: string | RegExp): Promise<void> {
  await until(() => run.output().search(text) >= 0 || run.child.exitCode !== null, 90_000)
  expect(run.output()).toMatch(text)
}

/** What there is of a run after its end: processes of its group (a group without any cannot be signalled), folders of its servers. */
async function leftBehind({ child }: Run): Promise<string[]> {
  let group = ['processes of its group']
  try {
    process.kill(-(child.pid as number), 0)
  } catch {
    group = []
  }
  // Servers remove their folders when they have ended. Prisma and tsx keep caches beside them.
  return [...group, ...(await readdir(folder)).filter((name) => name.startsWith('cachectl-'))]
}

async function nothingIsLeft(run: Run): Promise<void> {
  await until(async () => (await leftBehind(run)).length === 0, 10_000).catch(() => {})
  expect(await leftBehind(run)).toEqual([])
}

describe('kept up with --serve', () => {
  let run: Run
  let shop: string
  let uncached: string
  let database: pg.Client
  let redis: Redis

  beforeAll(async () => {
    run = start('--serve')
    await says(run, 'Ctrl-C stops everything')
    expect((await leftBehind(run)).length).toBe(3) // what is looked for at its end is there meanwhile
    const one = (pattern: RegExp) => run.output().match(pattern)?.[1] as string
    shop = one(/(http:\/\/[\d.:]+)\/bestsellers/)
    uncached = one(/(http:\/\/[\d.:]+)\/products\/42 /)
    database = new pg.Client({ connectionString: one(/DATABASE_URL='(.+)'/) })
    database.on('error', () => {})
    await database.connect()
    redis = new Redis({ path: one(/REDIS_URL='unix:(.+)'/) })
  })

  afterAll(async () => {
    redis?.disconnect()
    await database?.end()
  })

  const get = async (url: string, headers: Record<string, string> = {}) => {
    const response = await fetch(url, { headers })
    expect(response.status, url).toBe(200)
    return { text: await response.text(), cache: response.headers.get('x-cache') }
  }
  const forget = async () => {
    for (const path of ['/cache', '/till/42']) await fetch(shop + path, { method: 'DELETE' })
  }
  const send = (method: string, path: string, body: unknown, headers: Record<string, string> = {}) =>
    fetch(shop + path, {
      method,
      body: JSON.stringify(body),
      headers: { 'content-type': 'application/json', ...headers },
    })

  test('it says what it measured, and what holds', () => {
    for (const { path } of ROUTES) expect(run.output()).toContain(`GET ${path} `)
    expect(run.output().match(/^ {2}ok {2}/gm)).toHaveLength(5)
    expect(run.output()).toMatch(/detail:product:\*.+%/)
    expect(run.output()).not.toContain('Error')
  })

  test('a hit is what the miss was, although the source is another one by now', async () => {
    await forget()
    const ask = (from: string) => Promise.all(ROUTES.map(({ path, headers }: Route) => get(from + path, headers)))
    const misses = await ask(shop)
    await database.query(`
      update product set name = name || '!', price = price + 1;
      update category set name = name || '!';
      update customer set name = name || '!', role = 'manager';
      insert into orders (org, product_id, quantity, total) values ('north', 1, 1, 1), ('south', 1, 1, 1);
    `)
    const hits = await ask(shop)
    const now = await ask(uncached)
    for (const [index, { path }] of ROUTES.entries()) {
      expect(hits[index]?.text, path).toBe(misses[index]?.text)
      expect(now[index]?.text, path).not.toBe(hits[index]?.text)
      if (hits[index]?.cache !== null) expect([misses[index]?.cache, hits[index]?.cache], path).toEqual(['MISS', 'HIT'])
    }
    expect(JSON.parse((await redis.get('price:42')) ?? '')).toEqual(JSON.parse((await get(`${shop}/till/42`)).text))
  })

  test('without its cache the shop answers the same', async () => {
    await forget()
    for (const { path, headers } of ROUTES.filter(({ path }) => !path.startsWith('/rates')))
      expect((await get(shop + path, headers)).text, path).toBe((await get(uncached + path, headers)).text)
  })

  test('what is written through Prisma shows at once, in every form', async () => {
    const places = [
      '/products/1',
      '/basket?ids=1,2',
      '/bestsellers?page=1',
      '/products?category=CN',
      '/till/1',
      '/shelf/CN',
    ]
    for (let price = 90_001; price < 90_006; price++) {
      for (const path of places) await get(shop + path)
      await send('PATCH', '/products/1', { price })
      for (const path of places)
        expect((await get(shop + path)).text, path).toContain(path.startsWith('/shelf') ? `${price / 100}` : `${price}`)
    }
  })

  test('what the config excludes never reaches Redis', async () => {
    await get(`${shop}/products/42`)
    expect(await redis.exists('shop:v1:detail:product:42')).toBe(1)
    expect((await redis.getBuffer('shop:v1:detail:product:42'))?.toString()).not.toContain('"cost"')
  })

  test('organisations do not mix, asked at the same time', async () => {
    const totals = { north: new Set<number>(), south: new Set<number>() }
    await Promise.all(
      Array.from({ length: 200 }, async (_, n) => {
        const org = n % 2 ? 'north' : 'south'
        const { rows } = JSON.parse((await get(`${shop}/org/orders?page=${1 + (n % 5)}`, { 'x-org': org })).text)
        expect(rows.map((row: { org: string }) => row.org)).toEqual(Array(20).fill(org))
        totals[org].add(JSON.parse((await get(`${shop}/org/dashboard`, { 'x-org': org })).text).orders)
      }),
    )
    expect([totals.north.size, totals.south.size]).toEqual([1, 1])
    expect([...totals.north]).not.toEqual([...totals.south])
  })

  test('orders at the same time are all counted, and none is sold twice', async () => {
    const headers = { 'x-org': 'south' }
    const dashboard = async () => JSON.parse((await get(`${shop}/org/dashboard`, headers)).text).orders as number
    const { stock } = JSON.parse((await get(`${shop}/products/7`)).text)
    const before = await dashboard()
    const order = { product_id: 7, quantity: Math.ceil(stock / 4) }
    const statuses = await Promise.all(
      Array.from({ length: 6 }, async () => (await send('POST', '/org/orders', order, headers)).status),
    )
    const sold = Math.floor(stock / order.quantity)
    expect(statuses.sort()).toEqual([...Array(sold).fill(201), ...Array(6 - sold).fill(409)])
    expect(await dashboard()).toBe(before + sold)
    expect(JSON.parse((await get(`${shop}/products/7`)).text).stock).toBe(stock - sold * order.quantity)
  })

  test('Ctrl-C ends it well, with everything that it started', async () => {
    redis.disconnect()
    run.interrupt()
    expect(await run.ended).toEqual([0, null])
    await nothingIsLeft(run)
  })
})

test('without --serve it ends by itself', async () => {
  const run = start()
  await run.ended
  expect(run.output()).toContain('npm run example -- --serve')
  expect(run.child.exitCode).toBe(0)
  await nothingIsLeft(run)
})

test('Ctrl-C in the middle of it leaves nothing', async () => {
  const run = start('--rounds', '1000')
  await says(run, '2 of 4')
  run.interrupt()
  expect(await run.ended).toEqual([130, null])
  await nothingIsLeft(run)
})

test('it is TypeScript without a mistake', async () => {
  await promisify(execFile)(process.execPath, ['node_modules/typescript/bin/tsc', '--noEmit', '-p', 'examples/shop'], {
    cwd: root,
  }).catch(({ stdout }) => expect(stdout).toBe(''))
})
