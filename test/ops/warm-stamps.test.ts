// Warm and the library write the same entries: the library reads what warm wrote without asking the source, and its invalidations reach it at any moment.
import type pg from 'pg'
import { afterAll, afterEach, beforeAll, beforeEach, describe, expect, it } from 'vitest'
import { openControl } from '../../src/adapters/redis/control.ts'
import { openStore } from '../../src/adapters/redis/store.ts'
import { sql } from '../../src/adapters/sources/sql.ts'
import type { ResolvedConfig, ResolvedModel } from '../../src/config/resolved.ts'
import { listStamps } from '../../src/core/model-stamps.ts'
import { warm } from '../../src/ops/warm.ts'
import { planWarm, type WarmOptions } from '../../src/ops/warm-plan.ts'
import { why } from '../../src/ops/why.ts'
import type { BulkLane, Capture, Control, Source, Store } from '../../src/ports.ts'
import { aList, closeKernels, createShop, open, sourceOf, table } from '../cache/model-shop.ts'
import { type Postgres, seedCities, startPostgres } from '../postgres.ts'
import { aModel } from '../resolved.ts'
import { randomFromSeed, seed } from '../seed.ts'
import { startRedis, type TestRedis } from '../servers.ts'

let redis: TestRedis
let postgres: Postgres
let pool: pg.Pool
let store: Store
let control: Control

beforeAll(async () => {
  ;[redis, postgres] = await Promise.all([startRedis({ port: 0 }), startPostgres()])
  store = openStore({ url: redis.url, from: 'the test', tls: null }, { connectTimeoutMs: 5_000, replyTimeoutMs: 5_000 })
  control = openControl(store, 'shop')
  pool = postgres.pool()
  await seedCities((text, values) => pool.query(text, values as unknown[]), { limit: 500 })
})
afterAll(async () => {
  await store.close()
  await Promise.all([redis.stop(), postgres.stop()])
})
beforeEach(() => redis.call('FLUSHALL'))
afterEach(closeKernels)

const contextOf = (config: ResolvedConfig) => ({
  config,
  store,
  clock: { now: Date.now },
  random: Math.random,
  emit: () => undefined,
  signal: new AbortController().signal,
  stateDir: null,
})

function run(config: ResolvedConfig, given: Partial<WarmOptions> = {}, over: Control = control) {
  const options: WarmOptions = { targets: [], concurrency: 2, batch: 50, ifLocked: 'fail', dryRun: false, ...given }
  return warm(contextOf(config), over, planWarm(config, options, Date.now()), options)
}

/** The source, with how often each of its methods is called. */
function counting(source: Source) {
  const calls = { load: 0, list: 0, count: 0 }
  const counted = { ...source } as Record<string, unknown>
  for (const name of ['load', 'list', 'count'] as const) {
    counted[name] = (...args: never[]) => {
      calls[name]++
      return (source[name] as (...given: never[]) => unknown)(...args)
    }
  }
  return { source: counted as unknown as Source, calls }
}

describe('warm, then the library', () => {
  it('reads rows, lists and counts of PostgreSQL without asking it', async () => {
    const cities = counting(sql({ client: () => pool, table: 'city', id: 'id', updatedAt: 'updated_at' }))
    const countries = counting(sql({ client: () => pool, table: 'country', id: 'code', updatedAt: 'updated_at' }))
    const list = aList('byCountry', { by: ['country'], sort: ['-population', 'id'], pageSize: 5, top: 10 })
    const models = [
      aModel('country', countries.source),
      aModel('city', cities.source, {
        exclude: ['alt_name'],
        join: [{ field: 'country_row', model: 'country', on: 'country' }],
        lists: [list, aList('largest', { sort: ['-population'], pageSize: 10 })],
      }),
    ]
    const { kernel, model } = open(redis.url, models)
    const report = await run(kernel.config)
    expect(report).toMatchObject({ exitCode: 0, totals: { failed: 0 } })
    const { rows } = await pool.query('select id, name, country from city order by id')
    const top = await pool.query('select country from city group by country order by count(*) desc, country limit 10')
    for (const { calls } of [cities, countries]) Object.assign(calls, { load: 0, list: 0, count: 0 })

    const found = await model('city').getMany(rows.map(({ id }) => id))
    expect(found.size).toBe(rows.length)
    expect(found.get(rows[0].id)).toMatchObject({ name: rows[0].name, country_row: { code: rows[0].country } })
    for (const { country } of top.rows) {
      const request = { list: 'byCountry', where: { country } }
      const page = await model('city').list(request)
      expect(page.every((row) => row.country === country)).toBe(true)
      const total = await model('city').count(request)
      if (total > 5) expect(await model('city').list({ ...request, page: 2 })).not.toEqual(page)
    }
    expect(await model('city').list({ list: 'largest' })).toHaveLength(10)
    expect(await model('city').count({ list: 'largest' })).toBe(rows.length)
    expect({ ...cities.calls, countries: countries.calls.load }).toEqual({ load: 0, list: 0, count: 0, countries: 0 })

    await model('country').invalidate(rows[0].country)
    await model('city').get(rows[0].id)
    await model('city').list({ list: 'largest' })
    expect([cities.calls.load, cities.calls.list]).toEqual([1, 1])
  })

  it('reads the rows and lists of each tenant, and writes anew what was invalidated', async () => {
    const shelf = table(['a', 'b'].map((org) => ({ id: org, org, name: `shelf ${org}` })))
    const book = table(
      [1, 2, 3, 4].map((id) => ({ id, org: id % 2 ? 'a' : 'b', shelf: id % 2 ? 'a' : 'b', updated_at: '1' })),
    )
    const books: Source = sourceOf(book, { tenant: 'org' })
    const source = {
      ...books,
      tenants: async function* () {
        yield ['a', 'b']
      },
    }
    const models = [
      aModel('shelf', sourceOf(shelf, { tenant: 'org' }), { tenant: true, warm: null }),
      aModel('book', source, {
        tenant: true,
        join: [{ field: 'on', model: 'shelf', on: 'shelf' }],
        lists: [aList('everything')],
      }),
    ]
    const { kernel, in: inTenant } = open(redis.url, models)
    const reads = async () => {
      const before = { ...book.calls }
      for (const org of ['a', 'b']) {
        await inTenant(org)('book').getMany([1, 2, 3, 4])
        await inTenant(org)('book').list({ list: 'everything' })
        await inTenant(org)('book').count({ list: 'everything' })
      }
      return [book.calls.load - before.load, book.calls.list - before.list, book.calls.count - before.count]
    }
    // What the other tenant has is not there, and is asked for each time: one load a tenant.
    expect(await run(kernel.config)).toMatchObject({ exitCode: 0, totals: { failed: 0 } })
    expect(await reads()).toEqual([2, 0, 0])
    await inTenant('a')('shelf').invalidate('a')
    const again = await run(kernel.config)
    const [rows, lists] = again.models.filter(({ model }) => model === 'book')
    expect(rows).toMatchObject({ written: 2, skipped: { present: 2 } })
    expect(lists).toMatchObject({ written: 1, skipped: { present: 1 } })
    const missing = await (async () => {
      await inTenant('b')('shelf').invalidate('b')
      return run(kernel.config, { missing: true })
    })()
    expect(missing.models.find(({ model }) => model === 'book')).toMatchObject({ written: 2, skipped: { present: 2 } })
    expect(await reads()).toEqual([2, 0, 0])
  })

  it('holds stamps that live as long as the entries, by row', async () => {
    const parent = table([{ id: 1 }])
    const rows = table([1, 2].map((id) => ({ id, parent: 1 })))
    const DAYS = 86_400_000
    const join = [{ field: 'of', model: 'parent', on: 'parent' }]
    const model = aModel('item', sourceOf(rows), { join, ttl: ({ id }) => (id as number) * 5 * DAYS })
    const { kernel } = open(redis.url, [aModel('parent', sourceOf(parent), { warm: null }), model])
    await run(kernel.config)
    const left = (await redis.call('PTTL', 'shop~stamp:rows:parent')) as number
    expect(left).toBeGreaterThanOrEqual((await redis.call('PTTL', 'shop:v1:detail:item:2')) as number)
    expect(left).toBeGreaterThan(9.9 * DAYS)
  })

  it('tells in `why` what was invalidated', async () => {
    const shop = createShop()
    const { kernel, model } = open(redis.url, shop.models)
    await run(kernel.config)
    const key = await model('product').key(1)
    expect((await why(contextOf(kernel.config), key)).read).toMatchObject({ outcome: 'fresh' })
    await model('category').invalidate(1)
    const { read } = await why(contextOf(kernel.config), key)
    expect(read).toMatchObject({ outcome: 'miss' })
    expect(read.sentences.join(' ')).toContain('category')
  })
})

/** Parents change while rows that show them are warmed, at a random moment of the run. */
async function trials(rounds: number, random: () => number, wrap: (control: Control) => Control): Promise<number> {
  let old = 0
  for (let round = 0; round < rounds; round++) {
    await redis.call('FLUSHALL')
    const shop = createShop()
    const { kernel, model } = open(redis.url, shop.models)
    const pause = (ms: number) => new Promise((resolve) => setTimeout(resolve, random() * ms))
    shop.product.slow = () => pause(2)
    shop.category.slow = () => pause(20)
    await model('category').get(1)
    const running = run(kernel.config, { batch: 2, targets: ['product'] }, wrap(control))
    await pause(30)
    const which = 1 + Math.floor(random() * 2)
    shop.category.rows.set(String(which), { id: which, world: 1, name: 'new', updated_at: '2' })
    await model('category').invalidate(which)
    await running
    const names = new Map([1, 2].map((id) => [id, shop.category.rows.get(String(id))?.name]))
    const rows = await model('product').getMany([1, 2, 3, 4, 5])
    if ([...rows.values()].some((row) => row.category.name !== names.get(row.category_id))) old++
    await closeKernels()
  }
  return old
}

/** As most warmers are: nothing is looked at between the load and the write. */
function naive(control: Control): Control {
  return {
    ...control,
    async bulk() {
      const lane: BulkLane = await control.bulk()
      let captured: { subjects: readonly string[]; first: Capture } | null = null
      return {
        ...lane,
        async capture(subjects, entries) {
          const first = await lane.capture(subjects, entries)
          captured ??= { subjects, first }
          return { ...first, fences: captured.first.fences, epoch: captured.first.epoch }
        },
        async commit(writes) {
          if (captured) await lane.capture(captured.subjects)
          return lane.commit(writes)
        },
      }
    },
  }
}

describe(`rows that are warmed while what they show changes (SEED=${seed})`, () => {
  it('are never old afterwards', async () => {
    expect(await trials(40 * Number(process.env.PROOF ?? 1), randomFromSeed(seed), (same) => same)).toBe(0)
  }, 120_000)

  it('are old where nothing guards the write', async () => {
    expect(await trials(40, randomFromSeed(seed), naive)).toBeGreaterThan(0)
  }, 120_000)
})

describe('stamps of lists', () => {
  it('are captured before a list is loaded, also where it is loaded again under leases', async () => {
    const shop = createShop()
    const { kernel, model } = open(redis.url, shop.models)
    let lists = 0
    const product = shop.models.find(({ name }) => name === 'product') as ResolvedModel
    const source = product.source as Source
    source.list = async () => {
      lists++
      const rows = [{ id: lists, row: { id: lists, name: `load ${lists}` }, version: null, tenant: null }]
      // Behind the read of the rows: what is written of them is old.
      if (lists <= 2) await model('product').invalidate(1)
      return rows
    }
    const config = {
      ...kernel.config,
      models: {
        ...kernel.config.models,
        product: { ...product, lists: [aList('all_by_id', { countNamespace: null })] },
      },
    }
    await run(config, { targets: ['product'] })
    expect(lists).toBe(2)
    expect(await model('product').list({ list: 'all_by_id' })).toMatchObject([{ name: 'load 3' }])
    expect(listStamps(config, product, 'all_by_id', null)).toContain('lists:product')
  })
})
