// What an invalidation of a model makes unreachable, and what it leaves; over a real Redis, by two kernels.
import { afterAll, afterEach, beforeAll, beforeEach, describe, expect, it } from 'vitest'
import type { Kernel } from '../../src/cache/kernel.ts'
import { shownStamps } from '../../src/core/model-stamps.ts'
import type { Row } from '../../src/ports.ts'
import { aModel, aNamespace } from '../resolved.ts'
import { randomFromSeed, seed } from '../seed.ts'
import { startRedis, type TestRedis } from '../servers.ts'
import { aList, closeKernels, createShop, type Opened, open, sourceOf, table } from './model-shop.ts'

let redis: TestRedis
beforeAll(async () => {
  redis = await startRedis({ port: 0 })
})
afterAll(() => redis.stop())
beforeEach(() => redis.call('FLUSHALL'))
afterEach(closeKernels)

function change(rows: { rows: Map<string, Row> }, id: number | string, to: Row): void {
  rows.rows.set(String(id), { ...rows.rows.get(String(id)), ...to })
}

describe('invalidate', () => {
  const requests = [{ list: 'byCategory', where: { category_id: 1 } }, { list: 'byStock' }, { where: { price: 100 } }]

  /** All reads of a shop, and which of them loaded. */
  async function loaded(shop: ReturnType<typeof createShop>, { model }: Opened): Promise<string[]> {
    const names: string[] = []
    const { product, category } = shop
    const calls = () => JSON.stringify([product.calls, category.calls])
    const track = async (name: string, read: () => Promise<unknown>) => {
      const before = calls()
      await read()
      if (calls() !== before) names.push(name)
    }
    await track('row 1', () => model('product').get(1))
    await track('row 2', () => model('product').get(2))
    for (const request of requests) {
      const name = request.list ?? 'others'
      await track(`list ${name}`, () => model('product').list(request))
      await track(`count ${name}`, () => model('product').count(request))
    }
    return names
  }
  const lists = (...names: string[]) => names.flatMap((name) => [`list ${name}`, `count ${name}`])
  const all = ['row 1', 'row 2', ...lists('byCategory', 'byStock', 'others')]

  it.each<[string, (of: Opened) => Promise<unknown>, string[]]>([
    ['a row by its id', ({ model }) => model('product').invalidate(1), ['row 1', ...all.slice(2)]],
    ['a row', ({ model }) => model('product').invalidate({ id: 2, price: 3 }), ['row 2', ...all.slice(2)]],
    ['rows', ({ model }) => model('product').invalidate([1, { id: 2 }]), all],
    ['no rows', ({ model }) => model('product').invalidate([]), []],
    ['a new row', ({ model }) => model('product').invalidate(7), all.slice(2)],
    [
      'a row of which a column that shows changed',
      ({ model }) => model('product').invalidate(1, { changed: ['stock', 'price'] }),
      ['row 1', ...all.slice(2)],
    ],
    [
      'a row of which only a column of one sort changed',
      ({ model }) => model('product').invalidate(1, { changed: ['stock'] }),
      ['row 1', ...lists('byStock', 'others')],
    ],
    [
      'a row of which nothing that any list knows changed',
      ({ model }) => model('product').invalidate({ id: 1, note: 'b' }, { before: { id: 1, note: 'a' } }),
      ['row 1', ...lists('others')],
    ],
    ['one list', ({ model }) => model('product').invalidate({ list: 'byStock' }), lists('byStock')],
    ['all lists', ({ model }) => model('product').invalidate({ list: '*' }), all.slice(2)],
    ['the model', ({ model }) => model('product').invalidateAll(), all],
    ['a joined row', ({ model }) => model('category').invalidate(1), all],
    ['what the joined row is related to', ({ model }) => model('world').invalidate(1), all],
    ['the model of joined rows', ({ model }) => model('category').invalidateAll(), all],
    ['a model that does not show', ({ model }) => model('product').invalidate(99, { changed: [] }), lists('others')],
  ])('of %s', async (_, invalidate, expected) => {
    const shop = createShop()
    const [reader, writer] = [open(redis.url, shop.models), open(redis.url, shop.models)]
    expect(await loaded(shop, reader)).toEqual(all)
    expect(await loaded(shop, reader)).toEqual([])
    await invalidate(writer)
    expect(await loaded(shop, reader)).toEqual(expected)
    expect(await loaded(shop, reader)).toEqual([])
  })

  it.each(['{"list":"byPrice"}', '{"list":""}'])('refuses the list of %s', async (target) => {
    const { model } = open(redis.url, createShop().models)
    await expect(model('product').invalidate(JSON.parse(target))).rejects.toMatchObject({ code: 'USAGE' })
  })

  it.each([[{}], [{ name: 'no id' }], [''], [null], [undefined], [[null]]])('refuses %j', async (target) => {
    const { model } = open(redis.url, createShop().models)
    await expect(model('product').invalidate(target as never)).rejects.toThrow(/id/)
  })

  it('makes the entry of the row go unless it is of this version or a later one', async () => {
    const shop = createShop()
    const { model } = open(redis.url, shop.models)
    await model('product').get(5)
    for (const [version, loads] of [
      ['4', 1],
      ['5', 1],
      ['6', 2],
      [undefined, 3],
    ] as const) {
      await model('product').invalidateOnChange(5, version)
      await model('product').get(5)
      expect(shop.product.calls.load).toBe(loads)
    }
  })

  it('reaches rows that show rows of their own model', async () => {
    const people = table([
      { id: 1, name: 'boss', boss: null },
      { id: 2, name: 'worker', boss: 1 },
    ])
    const join = [{ field: 'boss_row', model: 'person', on: 'boss' }]
    const { model } = open(redis.url, [aModel('person', sourceOf(people), { join })])
    expect(await model('person').get(2)).toMatchObject({ boss_row: { name: 'boss' } })
    change(people, 1, { name: 'new boss' })
    await model('person').invalidate(1)
    expect(await model('person').get(2)).toMatchObject({ boss_row: { name: 'new boss' } })
  })
})

describe('invalidate, of tenants', () => {
  /** A shelf of a tenant, its books, and a catalogue of all. */
  function library() {
    const shelf = table(['a', 'b'].map((org) => ({ id: org, org, name: `shelf ${org}` })))
    const book = table(['a', 'b'].map((org) => ({ id: org, org, shelf: org })))
    const page = table([{ id: 1, shelf: 'a' }])
    const join = [{ field: 'on', model: 'shelf', on: 'shelf' }]
    const ofTenants = { tenant: true, lists: [aList('everything')] }
    const models = [
      aModel('shelf', sourceOf(shelf, { tenant: 'org' }), ofTenants),
      aModel('book', sourceOf(book, { tenant: 'org' }), { ...ofTenants, join }),
      aModel('page', sourceOf(page), { related: ['shelf'] }),
    ]
    return { shelf, book, page, models }
  }

  async function loads(tables: ReturnType<typeof library>, { model, in: inTenant }: Opened): Promise<string[]> {
    const before = [tables.book, tables.page].map(({ calls }) => ({ ...calls }))
    const names: string[] = []
    for (const org of ['a', 'b']) {
      await inTenant(org)('book').get(org)
      if (tables.book.calls.load !== before[0]?.load) names.push(`book ${org}`)
      await inTenant(org)('book').list({ list: 'everything' })
      if (tables.book.calls.list !== before[0]?.list) names.push(`books ${org}`)
      before[0] = { ...tables.book.calls }
    }
    await model('page').get(1)
    if (tables.page.calls.load !== before[1]?.load) names.push('page')
    return names
  }

  it.each<[string, (of: Opened) => Promise<unknown>, string[]]>([
    ['a row', (of) => of.in('a')('book').invalidate('a'), ['book a', 'books a']],
    ['a row that names its tenant', (of) => of.model('book').invalidate({ id: 'b', org: 'b' }), ['book b', 'books b']],
    ['a joined row', (of) => of.in('a')('shelf').invalidate('a'), ['book a', 'books a', 'page']],
    ['a model in a tenant', (of) => of.in('b')('shelf').invalidateAll(), ['book b', 'books b', 'page']],
    ['a model', (of) => of.model('shelf').invalidateAll(), ['book a', 'books a', 'book b', 'books b', 'page']],
    ['lists', (of) => of.in('b')('book').invalidate({ list: '*' }), ['books b']],
  ])('%s', async (_, invalidate, expected) => {
    const tables = library()
    const [reader, writer] = [open(redis.url, tables.models), open(redis.url, tables.models)]
    await loads(tables, reader)
    expect(await loads(tables, reader)).toEqual([])
    await invalidate(writer)
    expect(await loads(tables, reader)).toEqual(expected)
  })

  it('makes what shows rows under another subject go', async () => {
    const { models } = library()
    const { kernel, model, in: inTenant } = open(redis.url, models)
    const shelf = models[0] as (typeof models)[0]
    const policy = (tenant: string) => ({
      ...TEN_MINUTES,
      stamps: shownStamps(kernel.config, shelf, tenant),
    })
    let made = 0
    const read = async (tenant: string) => {
      const place = { namespace: 'list', subject: '@http.GET./shelves', version: '1', tenant, rest: [] }
      return (await kernel.load(place, policy(tenant), () => ++made)).value
    }
    expect([await read('a'), await read('b')]).toEqual([1, 2])
    await inTenant('a')('shelf').invalidate('a')
    expect([await read('a'), await read('b')]).toEqual([3, 2])
    await model('shelf').invalidateAll()
    expect([await read('a'), await read('b')]).toEqual([4, 5])
    await inTenant('b')('shelf').invalidateAll()
    expect([await read('a'), await read('b')]).toEqual([4, 6])
  })
})

const TEN_MINUTES = {
  ttlMs: 600_000,
  graceMs: 0,
  jitter: 0,
  compressAboveBytes: null,
  negativeTtlMs: null,
  beta: 0,
  softTimeoutMs: null,
  hardTimeoutMs: null,
  clone: false,
  check: null,
  accept: null,
}

describe('models with a key of their own', () => {
  function posts() {
    const rows = table([{ id: 1, slug: 'first', text: 'a' }], 'slug')
    const model = aModel('post', sourceOf(rows), { key: (row) => row.slug as string })
    return { rows, model }
  }

  it('are read by it, where the source loads by it', async () => {
    const { rows, model } = posts()
    const { model: of } = open(redis.url, [model])
    expect(await of('post').get('first')).toMatchObject({ id: 1 })
    expect(await of('post').get('first')).toMatchObject({ id: 1 })
    expect(await of('post').get('other')).toBeUndefined()
    expect(rows.calls.load).toBe(2)
  })

  it('go by row, also where the row has another key now, and by one that does not say its key', async () => {
    const { rows, model } = posts()
    const { model: of } = open(redis.url, [model])
    const renamed = { id: 1, slug: 'second', text: 'a' }
    for (const target of [renamed, { id: 1 }, 1]) {
      rows.rows = new Map([['first', { id: 1, slug: 'first', text: 'a' }]])
      await of('post').refresh('first')
      expect(await of('post').get('first')).toMatchObject({ slug: 'first' })
      rows.rows = new Map([['second', renamed]])
      await of('post').invalidate(target)
      expect(await of('post').get('first')).toBeUndefined()
      expect(await of('post').get('second')).toMatchObject({ slug: 'second' })
    }
  })

  it('are not looked up by the id column of a sql source', async () => {
    const { model } = posts()
    const source = { ...(model.source as NonNullable<typeof model.source>), kind: 'sql' }
    const { model: of } = open(redis.url, [{ ...model, source }])
    await expect(of('post').get('first')).rejects.toMatchObject({ code: 'SOURCE_INVALID' })
  })
})

describe('validate', () => {
  const validated = (validateMs: number, rows: ReturnType<typeof table>) =>
    aModel('item', sourceOf(rows), { validateMs })
  const items = () => table([1, 2, 3].map((id) => ({ id, name: `item ${id}`, updated_at: '1' })))

  it('always compares each hit, and loads anew only what is outdated', async () => {
    const rows = items()
    const { model } = open(redis.url, [validated(0, rows)])
    const item = model('item')
    await item.getMany([1, 2, 3])
    expect(rows.calls.load).toBe(1)
    await item.getMany([1, 2, 3])
    expect(rows.calls.load).toBe(2)
    change(rows, 2, { name: 'changed', updated_at: '2' })
    rows.rows.delete('3')
    const found = await item.getMany([1, 2, 3])
    expect([...found.values()].map(({ name }) => name)).toEqual(['item 1', 'changed'])
    expect(rows.calls.load).toBe(4)
    expect(await item.get(2)).toMatchObject({ name: 'changed' })
    expect(rows.calls.load).toBe(5)
  })

  it('compares after a while, counted from when it was made or compared last', async () => {
    const rows = items()
    let now = Date.now()
    const { model } = open(redis.url, [validated(30_000, rows)], {}, { clock: { now: () => now } })
    const item = model('item')
    const later = async (ms: number) => {
      now += ms
      const { name } = (await item.get(1)) ?? {}
      return [name, rows.calls.load]
    }
    expect(await later(0)).toEqual(['item 1', 1])
    change(rows, 1, { name: 'changed', updated_at: '2' })
    expect(await later(29_000)).toEqual(['item 1', 1])
    expect(await later(1_000)).toEqual(['changed', 3])
    expect(await later(29_999)).toEqual(['changed', 3])
    expect(await later(1)).toEqual(['changed', 4])
    expect(await later(29_999)).toEqual(['changed', 4])
    expect(await later(1)).toEqual(['changed', 5])
  })

  it('gives nothing stale that is outdated', async () => {
    const rows = items()
    let now = Date.now()
    const namespaces = Object.fromEntries(
      ['detail', 'list', 'count'].map((name) => [name, aNamespace(name, { beta: 0 })]),
    )
    const { model } = open(redis.url, [validated(0, rows)], { namespaces }, { clock: { now: () => now } })
    await model('item').get(1)
    change(rows, 1, { name: 'changed', updated_at: '2' })
    now += 610_000
    expect(await model('item').get(1)).toMatchObject({ name: 'changed' })
  })
})

/** Joined rows are renamed and invalidated while rows that show them are loaded: afterwards none may show an old name. */
async function trials(rounds: number, random: () => number, wrap: (kernel: Kernel) => Kernel): Promise<number> {
  const shop = createShop()
  const pause = (ms: number) => new Promise((resolve) => setTimeout(resolve, random() * ms))
  shop.product.slow = () => pause(2)
  shop.category.slow = () => pause(20)
  const [writer, ...readers] = [1, 2, 3].map(() => open(redis.url, shop.models)) as [Opened, Opened, Opened]
  let old = 0
  for (let round = 0; round < rounds; round++) {
    const ids = [1, 2, 3, 4, 5]
    await writer.model('product').invalidateAll()
    const reading = readers.flatMap((reader) => [
      reader.over(wrap(reader.kernel))('product').getMany(ids),
      reader.over(wrap(reader.kernel))('product').get(1),
    ])
    await pause(25)
    change(shop.category, 1, { name: `tea ${round}` })
    await writer.model('category').invalidate(1)
    await Promise.all(reading)
    const seen = await (readers[0] as Opened)
      .over(wrap((readers[0] as Opened).kernel))('product')
      .getMany([1, 3, 5])
    if ([...seen.values()].some((row) => row.category.name !== `tea ${round}`)) old++
  }
  return old
}

describe(`joined rows that change while they are loaded (SEED=${seed})`, () => {
  const rounds = 60 * Number(process.env.PROOF ?? 1)

  it('are never old afterwards', async () => {
    expect(await trials(rounds, randomFromSeed(seed), (kernel) => kernel)).toBe(0)
  }, 60_000)

  it('are old where entries hold no stamps', async () => {
    const naive = (kernel: Kernel): Kernel => ({
      ...kernel,
      load: (place, policy, load) => kernel.load(place, { ...policy, stamps: [] }, load),
      loadMany: (places, policy, load) => kernel.loadMany(places, { ...policy, stamps: [] }, load),
    })
    expect(await trials(30, randomFromSeed(seed), naive)).toBeGreaterThan(0)
  }, 60_000)

  it('are old where stamps are captured after the load', async () => {
    const late = (kernel: Kernel): Kernel => ({
      ...kernel,
      async loadMany(places, policy, load) {
        const found = await kernel.read(places, policy)
        const missing = found.flatMap(({ hit }, index) => (hit === 'fresh' ? [] : [index]))
        if (missing.length === 0) return found
        const control = { ttlMs() {}, sourceVersion() {}, signal: new AbortController().signal } as never
        const values = (await load(missing, () => control)) as unknown[]
        await kernel.write(missing.map((index, at) => ({ place: places[index] as never, policy, value: values[at] })))
        missing.forEach((index, at) => {
          found[index] = { ...(found[index] as (typeof found)[0]), value: values[at] }
        })
        return found
      },
    })
    expect(await trials(30, randomFromSeed(seed), late)).toBeGreaterThan(0)
  }, 60_000)
})
