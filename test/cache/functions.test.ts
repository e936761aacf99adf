// cache.fn over a real Redis: what is cached, under which key, for how long, and how it goes.
import { afterAll, beforeAll, beforeEach, describe, expect, test, vi } from 'vitest'
import type { FunctionOptions } from '../../src/cache/functions.ts'
import { aNamespace } from '../resolved.ts'
import { startRedis, type TestRedis } from '../servers.ts'
import { closeSurfaces, type OpenOptions, openSurfaces } from './open-surfaces.ts'

let redis: TestRedis
beforeAll(async () => {
  redis = await startRedis()
})
afterAll(async () => {
  await closeSurfaces()
  await redis.stop()
})
beforeEach(async () => {
  await closeSurfaces()
  await redis.call('FLUSHALL')
})
const open = (options?: OpenOptions) => openSurfaces(redis.url, options)
/** Entries are written behind the answer. */
const pttl = async (key: string) =>
  vi.waitFor(async () => {
    const ttlMs = Number(await redis.call('PTTL', key))
    expect(ttlMs).toBeGreaterThan(0)
    return ttlMs
  })
const keys = async () => ((await redis.call('KEYS', 'shop:*')) as Buffer[]).map(String).sort()

interface Row {
  id: number
  loads: number
}

/** A loader that counts its loads. */
function counting() {
  let loads = 0
  return {
    get loads() {
      return loads
    },
    async getUser(id: number): Promise<Row> {
      return { id, loads: ++loads }
    },
  }
}

describe('a cached function', () => {
  test('runs once for the same arguments, in every process', async () => {
    const source = counting()
    const one = open().fn('user_data', source.getUser)
    const other = open().fn('user_data', source.getUser)
    expect(await one(7)).toEqual({ id: 7, loads: 1 })
    expect(await one(7)).toEqual({ id: 7, loads: 1 })
    expect(await other(7)).toEqual({ id: 7, loads: 1 })
    expect(await other(8)).toEqual({ id: 8, loads: 2 })
    expect(await other.get(8)).toEqual({ id: 8, loads: 2 })
    expect(await keys()).toEqual(['shop:v1:user_data:@fn.getUser:7', 'shop:v1:user_data:@fn.getUser:8'])
    expect(one.name).toBe('getUser')
  })

  test('tells 7 from "7", and takes no arguments at all', async () => {
    const { fn } = open()
    const describeIt = fn('user_data', function describeIt(...args: unknown[]) {
      return args.map((arg) => typeof arg).join()
    })
    expect(await Promise.all([describeIt(7), describeIt('7'), describeIt(), describeIt(undefined)])).toEqual([
      'number',
      'string',
      '',
      'undefined',
    ])
    expect(await describeIt('7')).toBe('string')
    await vi.waitFor(async () => expect(await keys()).toHaveLength(4))
  })

  test('key, get, refresh, invalidate and invalidateAll act on these arguments', async () => {
    const source = counting()
    const getUser = open().fn('user_data', source.getUser)
    expect(await getUser.get(7)).toBeUndefined()
    expect(source.loads).toBe(0)
    await getUser(7)
    await getUser(8)
    expect(await getUser.key(7)).toBe('shop:v1:user_data:@fn.getUser:7')
    expect(await getUser.get(7)).toEqual({ id: 7, loads: 1 })
    expect(await getUser.refresh(7)).toEqual({ id: 7, loads: 3 })
    expect(await getUser(7)).toEqual({ id: 7, loads: 3 })
    expect(await getUser.invalidate(7)).toMatchObject({ status: 'applied', deleted: 1 })
    expect(await getUser.get(7)).toBeUndefined()
    expect(await getUser.get(8)).toEqual({ id: 8, loads: 2 })
    expect((await getUser.invalidateAll()).status).toBe('applied')
    expect(await getUser.get(8)).toBeUndefined()
    expect(await getUser.key(8)).toMatch(/^shop:v1:user_data:@fn\.getUser~[\w-]+:8$/)
  })

  test('an invalidation while it runs is not overtaken by what it read before', async () => {
    let value = 'old'
    let begun = () => {}
    let goOn = () => {}
    const started = new Promise<void>((resolve) => {
      begun = resolve
    })
    const gate = new Promise<void>((resolve) => {
      goOn = resolve
    })
    const read = async function getName(_: number) {
      const seen = value
      begun()
      await gate
      return seen
    }
    const reader = open().fn('user_data', read)
    const writer = open().fn('user_data', read)
    const first = reader(7)
    await started
    value = 'new'
    await writer.invalidate(7)
    goOn()
    expect(await first).toBe('old')
    expect(await writer(7)).toBe('new')
    expect(await reader(7)).toBe('new')
  })

  test('concurrent calls share one run', async () => {
    const source = counting()
    const [one, other] = [open(), open()].map((process) => process.fn('user_data', source.getUser))
    const results = await Promise.all(Array.from({ length: 200 }, (_, i) => (i % 2 ? one : other)?.(7)))
    expect(source.loads).toBe(1)
    expect(new Set(results.map((row) => row?.loads))).toEqual(new Set([1]))
  })

  test('what it throws is thrown, and nothing is cached', async () => {
    let calls = 0
    const failing = open().fn('user_data', async function failing(_: number): Promise<string> {
      if (++calls === 1) throw new TypeError('no such user')
      return 'there'
    })
    await expect(failing(7)).rejects.toThrow(new TypeError('no such user'))
    expect(await failing(7)).toBe('there')
  })

  test('sync results are given as promises; arguments without a key reject, and the function does not run', async () => {
    const { fn } = open()
    let runs = 0
    const twice = fn('user_data', function twice(n: unknown) {
      runs++
      return Number(n) * 2
    })
    expect(await twice(4)).toBe(8)
    await expect(twice(() => 1)).rejects.toMatchObject({
      code: 'KEY_INVALID',
      message: expect.stringContaining('twice'),
    })
    await expect(twice.invalidate(() => 1)).rejects.toMatchObject({ code: 'KEY_INVALID' })
    expect(runs).toBe(1)
  })

  test('tenants have results of their own; invalidateAll in a tenant spares the others', async () => {
    const cache = open()
    const source = counting()
    const [one, two, all] = [cache.tenant('1'), cache.tenant('2'), cache].map((handle) =>
      handle.fn('user_data', source.getUser),
    )
    const ask = async () => [(await one?.(7))?.loads, (await two?.(7))?.loads, (await all?.(7))?.loads]
    expect(await ask()).toEqual([1, 2, 3])
    expect(await one?.key(7)).toBe('shop:v1:user_data:@fn.getUser:org_1:7')
    await one?.invalidateAll()
    expect(await ask()).toEqual([4, 2, 3])
    await all?.invalidateAll()
    expect(await ask()).toEqual([5, 6, 7])
  })
})

describe('options', () => {
  test('key: says what tells calls apart', async () => {
    const { fn } = open()
    let runs = 0
    const price = fn(
      'user_data',
      (_user: { id: number; now: () => number }, currency: string) => `${++runs} ${currency}`,
      {
        name: 'price',
        key: (user, currency) => [user.id, currency],
      },
    )
    expect(await price({ id: 7, now: () => 1 }, 'EUR')).toBe('1 EUR')
    expect(await price({ id: 7, now: () => 2 }, 'EUR')).toBe('1 EUR')
    expect(await price.key({ id: 7, now: Date.now }, 'EUR')).toBe('shop:v1:user_data:@fn.price:7:EUR')
    const bad = fn('user_data', (_: number) => 1, { name: 'bad', key: () => '' })
    await expect(bad(1)).rejects.toMatchObject({ message: expect.stringContaining('what `key:` gave for bad') })
  })

  test('ttl, tags and skip by the result', async () => {
    const cache = open()
    let version = 0
    const product = cache.fn('user_data', async (id: number) => ({ id, sales: id, version: ++version }), {
      name: 'product',
      ttl: ({ sales }) => (sales > 8 ? '5m' : '2h'),
      tags: (row, id) => [`product:${id}`, `sales:${row.sales}`],
      skip: (row) => row.id === 13,
      grace: '0s',
    })
    for (const id of [1, 9, 13]) await product(id)
    expect(await pttl(await product.key(1))).toBeGreaterThan(7_100_000)
    const popular = await pttl(await product.key(9))
    expect(popular).toBeGreaterThan(290_000)
    expect(popular).toBeLessThanOrEqual(300_000)
    expect(await product.get(13)).toBeUndefined()
    await cache.invalidateTag('sales:9')
    expect(await product.get(9)).toBeUndefined()
    expect(await product.get(1)).toMatchObject({ version: 1 })
    await cache.invalidateTag('product:1')
    expect(await product.get(1)).toBeUndefined()
  })

  test('within the function, by cache.context(), which is that of the innermost load', async () => {
    const cache = open()
    const inner = cache.fn('user_data', async function inner(id: number) {
      await Promise.resolve()
      cache.context()?.ttl('1m')
      return id
    })
    const outer = cache.fn(
      'user_data',
      async function outer(id: number) {
        const value = await inner(id)
        cache.context()?.ttl('3m')
        cache.context()?.tags(`user:${id}`)
        if (id === 13) cache.context()?.skip()
        return { value, aborted: cache.context()?.signal.aborted, stale: cache.context()?.stale }
      },
      { grace: '0s' },
    )
    expect(cache.context()).toBeUndefined()
    expect(await outer(7)).toEqual({ value: 7, aborted: false, stale: undefined })
    expect(await pttl(await outer.key(7))).toBeLessThanOrEqual(180_000)
    expect(await pttl(await outer.key(7))).toBeGreaterThan(170_000)
    expect(await pttl(await inner.key(7))).toBeLessThanOrEqual(120_000)
    await cache.invalidateTag('user:7')
    expect(await outer.get(7)).toBeUndefined()
    await outer(13)
    expect(await outer.get(13)).toBeUndefined()
  })

  test('a mistake in what is told by the result is thrown; in production it costs the entry', async () => {
    for (const production of [false, true]) {
      const cache = open({ production })
      const fn = cache.fn('user_data', async (_: number) => ({ sales: null as { n: number } | null }), {
        name: `broken${production}`,
        ttl: (row) => ((row.sales as { n: number }).n > 1 ? '5m' : '2h'),
      })
      if (production) {
        expect(await fn(1)).toEqual({ sales: null })
        expect(cache.errors).toHaveLength(1)
        expect(await fn.get(1)).toBeUndefined()
      } else await expect(fn(1)).rejects.toThrow(TypeError)
    }
  })

  test('null is not cached without negativeTtl, and asks neither ttl', async () => {
    const { fn } = open()
    let loads = 0
    const options: FunctionOptions<[number], { ttlOf: string } | null> = {
      ttl: ({ ttlOf }) => (ttlOf === 'x' ? '1m' : '2m'),
    }
    const load = async (_: number): Promise<{ ttlOf: string } | null> => {
      loads++
      return null
    }
    const plain = fn('user_data', load, { ...options, name: 'plain' })
    const negative = fn('user_data', load, { ...options, name: 'negative', negativeTtl: '30s' })
    expect([await plain(1), await plain(1), loads]).toEqual([null, null, 2])
    expect([await negative(1), await negative(1), loads]).toEqual([null, null, 3])
  })

  test('schema: what comes back and fails it is loaded anew', async () => {
    const cache = open()
    let shape: unknown = { name: 'Ann' }
    const schema = {
      '~standard': {
        version: 1,
        vendor: 'test',
        validate: (value: unknown) =>
          (value as { first?: string }).first ? { value } : { issues: [{ message: 'no first name' }] },
      },
    } as const
    const load = async (_: number) => shape
    const old = cache.fn('user_data', load, { name: 'person' })
    await old(7)
    shape = { first: 'Ann' }
    const person = open().fn('user_data', load, { name: 'person', schema })
    expect(await person.get(7)).toBeUndefined()
    expect(await person(7)).toEqual({ first: 'Ann' })
    expect(await person.get(7)).toEqual({ first: 'Ann' })
  })
})

describe('what is refused at once', () => {
  const load = async (id: number) => id
  test.each<[string, (cache: ReturnType<typeof open>) => unknown, string]>([
    ['no name', ({ fn }) => fn('user_data', async (id: number) => id), 'the function has no name'],
    [
      'a minified name',
      ({ fn }) =>
        fn('user_data', async function a(id: number) {
          return id
        }),
      'a minifier gave',
    ], // prettier-ignore
    ['no function', ({ fn }) => fn('user_data', 7 as never), 'there is no function'],
    ['a namespace that is not declared', ({ fn }) => fn('usr', load, { name: 'one' }), 'no namespace called `usr`'],
    [
      'a duration that is none',
      ({ fn }) => fn('user_data', load, { name: 'one', ttl: '5 parsecs' as never }),
      '5 parsecs',
    ],
    ['tags that are text', ({ fn }) => fn('user_data', load, { name: 'one', tags: 'user:7' as never }), '`tags`'],
    ['a key that is text', ({ fn }) => fn('user_data', load, { name: 'one', key: 'id' as never }), '`key`'],
    ['an empty name', ({ fn }) => fn('user_data', load, { name: '' }), 'has no name'],
  ])('%s', (_, make, message) => {
    const cache = open({ namespaces: { raw: aNamespace('raw', { format: 'raw', keyPattern: 'x:*' }) } })
    expect(() => make(cache)).toThrow(expect.objectContaining({ message: expect.stringContaining(message) }))
    // and leaves the name free
    expect(cache.fn('user_data', load, { name: 'one' })).toBeTypeOf('function')
  })

  test('two functions of one name, also in a tenant’s handle; the same one twice is fine', () => {
    const cache = open({ namespaces: { other: aNamespace('other') } })
    cache.fn('user_data', load, { name: 'getUser' })
    cache.fn('other', load, { name: 'getUser' })
    cache.tenant('1').fn('user_data', load, { name: 'getUser' })
    const message = 'two different functions of this cache are called getUser'
    expect(() => cache.fn('user_data', async function getUser() {})).toThrow(message)
    expect(() => cache.tenant('1').fn('user_data', async function getUser() {})).toThrow(message)
  })
})
