// Models over a real Redis: what they read, what of it reaches Redis, whose it is.
import { afterAll, afterEach, beforeAll, beforeEach, describe, expect, it } from 'vitest'
import type { Row, Source } from '../../src/ports.ts'
import { aModel, aNamespace } from '../resolved.ts'
import { startRedis, type TestRedis } from '../servers.ts'
import { aList, CANARY, closeKernels, createShop, open, sourceOf, table } from './model-shop.ts'

let redis: TestRedis
beforeAll(async () => {
  redis = await startRedis({ port: 0 })
})
afterAll(() => redis.stop())
beforeEach(() => redis.call('FLUSHALL'))
afterEach(closeKernels)

const TEA = { id: 1, world: 1, name: 'tea', updated_at: '1' }
const FIRST = { id: 1, name: 'product 1', price: 100, category_id: 1, category: TEA }

/** Everything that is in Redis, keys and values. */
async function allOfRedis(): Promise<string> {
  const keys = (await redis.call('KEYS', '*')) as string[]
  const values = await Promise.all(
    keys.map(async (key) => {
      const type = await redis.call('TYPE', key)
      return type === 'string' ? redis.call('GET', key) : redis.call('HGETALL', key)
    }),
  )
  return JSON.stringify([keys, values])
}

describe('rows', () => {
  it('are loaded once, projected and joined, and the same on a hit as on a miss', async () => {
    const shop = createShop()
    const first = open(redis.url, shop.models)
    expect(await first.model('product').get(1)).toEqual(FIRST)
    const second = open(redis.url, shop.models)
    expect(await second.model('product').get('1')).toEqual(FIRST)
    expect(shop.product.calls.load).toBe(1)
    expect(shop.category.calls.load).toBe(1)
  })

  it('are given by the ids as they were asked for, each loaded once, all with one load', async () => {
    const shop = createShop()
    const { model } = open(redis.url, shop.models)
    await model('product').get(2)
    const rows = await model('product').getMany([3, '3', 2, 99, 1, 3n])
    expect([...rows.keys()]).toEqual([3, '3', 2, 1, 3n])
    expect(rows.get('3')).toEqual(rows.get(3n))
    expect(rows.get(1)).toEqual(FIRST)
    expect(shop.product.calls.load).toBe(2)
    expect(await model('product').getMany([])).toEqual(new Map())
  })

  it('are many at once', async () => {
    const many = table(Array.from({ length: 20_000 }, (_, id) => ({ id, name: `row ${id}`, updated_at: '1' })))
    const { model } = open(redis.url, [aModel('city', sourceOf(many))], {}, { deadlineMs: 20_000 })
    const ids = Array.from({ length: 20_000 }, (_, id) => id)
    const city = model('city')
    expect((await city.getMany(ids)).size).toBe(20_000)
    expect((await city.getMany(ids)).get(19_999)).toMatchObject({ name: 'row 19999' })
    expect(many.calls.load).toBe(1)
  })

  it('keep excluded columns from Redis on every path', async () => {
    const shop = createShop()
    const { model, errors } = open(redis.url, shop.models)
    await model('product').getMany([1, 2])
    await model('product').set({ ...(shop.product.rows.get('3') as Row) })
    await model('product').refresh(4)
    await model('product').list({ list: 'byCategory', where: { category_id: 1 } })
    await model('product').list({ where: { stock: 9 }, size: 5 })
    await model('category').get(1)
    await model('category').list()
    await model('category').refresh(2)
    const all = await allOfRedis()
    expect(all).toContain('product 3')
    expect(all).toContain('pots')
    expect(all).not.toContain(CANARY)
    expect(errors).toEqual([])
    await model('product').set({ id: 'new', category_id: 2, name: 'n', note: CANARY })
    expect(await model('product').get('new')).toMatchObject({ name: 'n', category: { name: 'pots' } })
    expect(await allOfRedis()).not.toContain(CANARY)
  })

  it('that are not there are undefined, and remembered as long as the config says', async () => {
    const shop = createShop()
    const forgetting = open(redis.url, shop.models)
    expect(await forgetting.model('product').get(99)).toBeUndefined()
    expect(await forgetting.model('product').get(99)).toBeUndefined()
    expect(shop.product.calls.load).toBe(2)
    const names = { list: aNamespace('list'), count: aNamespace('count') }
    const namespaces = { ...names, detail: aNamespace('detail', { negativeTtlMs: 5_000 }) }
    const { model } = open(redis.url, shop.models, { namespaces })
    for (let time = 0; time < 3; time++) expect(await model('product').get(99)).toBeUndefined()
    expect(shop.product.calls.load).toBe(3)
    expect(await redis.call('PTTL', 'shop:v1:detail:product:99')).toBeLessThanOrEqual(65_000)
    shop.product.rows.set('99', { id: 99, name: 'now', category_id: 1, updated_at: '1' })
    await model('product').invalidate(99)
    expect(await model('product').get(99)).toMatchObject({ name: 'now' })
  })

  it('live as long as the row says', async () => {
    const rows = table([
      { id: 1, popular: true },
      { id: 2, popular: false },
      { id: 3, popular: null },
    ])
    const ttl = (row: Row) => (row.popular === null ? null : row.popular ? 300_000 : 7_200_000)
    const { model } = open(redis.url, [aModel('item', sourceOf(rows), { ttl, graceMs: 0 })])
    // The second read is behind what the first one wrote.
    for (let time = 0; time < 2; time++) await model('item').getMany([1, 2, 3])
    const ttls = await Promise.all([1, 2, 3].map((id) => redis.call('PTTL', `shop:v1:detail:item:${id}`)))
    expect(ttls[0]).toBeGreaterThan(290_000)
    expect(ttls[0]).toBeLessThanOrEqual(300_000)
    expect(ttls[1]).toBeGreaterThan(7_190_000)
    expect(ttls[2]).toBe(-1)
    await model('item').set({ id: 1, popular: false })
    expect(await redis.call('PTTL', 'shop:v1:detail:item:1')).toBeGreaterThan(7_190_000)
  })

  it('are read through, and Redis is left alone, where the model is not enabled', async () => {
    const rows = table([{ id: 1, name: 'one', secret: CANARY }])
    const off = aModel('item', sourceOf(rows), { enabled: false, exclude: ['secret'] })
    const { model, errors } = open('redis://127.0.0.1:1', [off])
    for (let time = 1; time <= 2; time++) {
      expect(await model('item').get(1)).toEqual({ id: 1, name: 'one' })
      expect(await model('item').list()).toEqual([{ id: 1, name: 'one' }])
      expect(await model('item').count()).toBe(1)
      expect(rows.calls).toEqual({ load: time, list: time, count: time })
    }
    expect(await model('item').set({ id: 1 })).toBe(false)
    expect(errors).toEqual([])
  })

  it('of a source that fails are that failure, in words', async () => {
    const shop = createShop()
    shop.product.slow = async () => {
      throw new Error('the database is down')
    }
    const { model } = open(redis.url, shop.models)
    await expect(model('product').get(1)).rejects.toMatchObject({
      code: 'SOURCE_FAILED',
      message: expect.stringContaining('the database is down'),
    })
    await expect(model('product').list()).rejects.toMatchObject({ code: 'SOURCE_FAILED' })
  })

  it('of an application alone (`source: null`) are what it has set', async () => {
    const alone = { ...aModel('item', sourceOf(table([]))), source: null }
    const { model } = open(redis.url, [alone])
    expect(await model('item').get(1)).toBeUndefined()
    expect(await model('item').set({ id: 1, name: 'set' })).toBe(true)
    expect(await model('item').get(1)).toEqual({ id: 1, name: 'set' })
    await expect(model('item').list()).rejects.toMatchObject({ code: 'USAGE' })
    await model('item').invalidate({ id: 1 })
    expect(await model('item').get(1)).toBeUndefined()
  })
})

describe('lists and counts', () => {
  it('are pages under the keys that warm writes, read once', async () => {
    const shop = createShop()
    const { model } = open(redis.url, shop.models)
    const product = model('product')
    const request = { list: 'byCategory', where: { category_id: 1 } }
    expect((await product.list(request)).map((row) => row.id)).toEqual([1, 3])
    expect((await product.list({ ...request, page: 2 })).map((row) => row.id)).toEqual([5])
    expect(await product.list({ ...request, page: 3 })).toEqual([])
    expect(await product.count(request)).toBe(3)
    expect((await product.list({ ...request, where: { category_id: '1' } })).map((row) => row.id)).toEqual([1, 3])
    expect(await product.count(request)).toBe(3)
    expect(shop.product.calls).toEqual({ load: 0, list: 3, count: 1 })
    const keys = ((await redis.call('KEYS', 'shop:*')) as string[]).sort()
    expect(keys).toEqual([
      'shop:v1:count:product:byCategory:category%5Fid_1',
      ...[1, 2, 3].map((page) => `shop:v1:list:product:byCategory:category%5Fid_1:page_${page}:size_2`),
    ])
  })

  it('take any filters where no list is named', async () => {
    const shop = createShop()
    const { model } = open(redis.url, shop.models)
    expect((await model('product').list({ where: { category_id: 2 } })).map(({ id }) => id)).toEqual([2, 4])
    expect(await model('product').count({ where: { category_id: 2 } })).toBe(2)
    expect(await model('product').list({ size: 3 })).toHaveLength(3)
    expect(await model('product').count()).toBe(5)
    expect(await redis.call('EXISTS', 'shop:v1:list:product:all:category%5Fid_2:page_1:size_20')).toBe(1)
  })

  it.each([
    [{ list: 'byPrice' }, /no list called/],
    [{ list: 'byCategory' }, /filtered by category_id, not by nothing/],
    [{ list: 'byCategory', where: { category_id: 1, price: 2 } }, /not by category_id, price/],
    [{ list: 'all_by_id', where: { price: 2 } }, /filtered by nothing/],
    [{ where: { price: undefined } }, /undefined/],
    [{ page: 0 }, /page 0/],
    [{ page: 1.5 }, /page 1.5/],
    [{ page: Number.NaN }, /NaN/],
    [{ page: '2' }, /page 2 of a list is no whole number/],
    [{ size: -1 }, /size -1/],
    [{ page: 1e9 }, /behind row/],
    [{ where: { price: { gt: 5 } } }, /parameter price/],
  ])('refuse %j', async (request, message) => {
    const { model } = open(redis.url, createShop().models)
    await expect(model('product').list(request as never)).rejects.toThrow(message)
  })
})

describe('tenants', () => {
  const orders = () =>
    table([
      { id: 1, org: 'a', state: 'open', name: 'of a' },
      { id: 2, org: 'b', state: 'open', name: 'of b' },
      { id: 3, org: 'a', state: 'open', name: 'of a too' },
    ])
  const orderModel = (rows: ReturnType<typeof orders>) =>
    aModel('order', sourceOf(rows, { tenant: 'org' }), { tenant: true, lists: [aList('byState', { by: ['state'] })] })

  it('see their own rows, lists and counts, and nothing of each other', async () => {
    const shop = open(redis.url, [orderModel(orders())])
    const [a, b] = [shop.in('a')('order'), shop.in('b')('order')]
    for (let time = 0; time < 2; time++) {
      expect(await a.get(1)).toMatchObject({ name: 'of a' })
      expect(await b.get(1)).toBeUndefined()
      expect(await a.get(2)).toBeUndefined()
      expect([...(await b.getMany([1, 2, 3])).keys()]).toEqual([2])
      expect((await a.list({ list: 'byState', where: { state: 'open' } })).map(({ id }) => id)).toEqual([1, 3])
      expect((await b.list({ list: 'byState', where: { state: 'open' } })).map(({ id }) => id)).toEqual([2])
      expect([await a.count(), await b.count()]).toEqual([2, 1])
    }
    const keys = ((await redis.call('KEYS', 'shop:*order:*')) as string[]).sort()
    expect(keys.every((key) => /:org_[ab]:/.test(key))).toBe(true)
  })

  it('are named, or the call throws', async () => {
    const { model, in: inTenant } = open(redis.url, [orderModel(orders())])
    const order = model('order')
    const calls: (() => Promise<unknown>)[] = [
      () => order.get(1),
      () => order.getMany([1]),
      () => order.getMany([]),
      () => order.list(),
      () => order.count(),
      () => order.refresh(1),
      () => order.set({ id: 1 }),
      () => order.invalidate(1),
      () => order.invalidate({ list: 'byState' }),
      () => order.key(1),
    ]
    for (const call of calls) await expect(call()).rejects.toMatchObject({ code: 'KEY_INVALID' })
    await expect(inTenant('a')('order').set({ id: 2, org: 'b' })).rejects.toMatchObject({ code: 'USAGE' })
    await expect(inTenant('a')('order').invalidate({ id: 2, org: 'b' })).rejects.toMatchObject({ code: 'USAGE' })
  })

  it('are not given rows of a source that does not look at the tenant', async () => {
    const rows = orders()
    const leaky: Source = sourceOf(rows, { tenant: 'org' })
    const all = async () =>
      [...rows.rows.values()].map((row) => ({ id: row.id as number, row, version: null, tenant: String(row.org) }))
    const source = { ...leaky, load: all, list: all }
    const { in: inTenant } = open(redis.url, [aModel('order', source, { tenant: true })])
    expect(await inTenant('a')('order').get(2)).toBeUndefined()
    expect((await inTenant('b')('order').list()).map(({ id }) => id)).toEqual([2])
  })
})

describe('bad input', () => {
  it.each([[''], [Number.NaN], [2 ** 60], [null], [undefined], [{}], ['\ud800']])('refuses the id %j', async (id) => {
    const { model } = open(redis.url, createShop().models)
    await expect(model('product').get(id as never)).rejects.toMatchObject({ code: 'KEY_INVALID' })
    await expect(model('product').getMany([1, id as never])).rejects.toMatchObject({ code: 'KEY_INVALID' })
  })

  it.each([['a:b %'], ['org_1'], ['__proto__'], ['x'.repeat(10_000)], ['*']])('takes the hostile id %s', async (id) => {
    const rows = table([{ id, name: 'mine' }])
    const { model } = open(redis.url, [aModel('item', sourceOf(rows))], { tenantLabel: 'org' })
    expect(await model('item').get(id)).toEqual({ id, name: 'mine' })
    expect(await model('item').get(id)).toEqual({ id, name: 'mine' })
    expect(rows.calls.load).toBe(1)
    await model('item').invalidate(id)
    rows.rows.delete(id)
    expect(await model('item').get(id)).toBeUndefined()
  })

  it('names the models that there are', () => {
    const { model } = open(redis.url, createShop().models)
    for (const name of ['prodct', '__proto__', '', undefined])
      expect(() => model(name as never)).toThrow(/no model called/)
    expect(() => model('prodct')).toThrow(expect.objectContaining({ hint: 'did you mean `product`?' }))
  })
})
