// Functions on the cache that an application has: in the memory of the process, in tenants, in transactions, without Redis.
import { afterAll, afterEach, beforeAll, beforeEach, expect, test, vi } from 'vitest'
import { defineConfig } from '../../src/config/define-config.ts'
import { createCache } from '../../src/create-cache.ts'
import { startRedis, type TestRedis } from '../servers.ts'

let redis: TestRedis
beforeAll(async () => {
  redis = await startRedis()
})
afterAll(async () => {
  await redis.stop()
})
beforeEach(async () => {
  await redis.call('FLUSHALL')
})
const opened: { close(): Promise<void> }[] = []
afterEach(async () => {
  for (const cache of opened.splice(0)) await cache.close()
})

const errors: unknown[] = []
function open(url = redis.url) {
  const config = defineConfig({
    redis: url,
    prefix: 'shop',
    tenant: { label: 'org' },
    heartbeat: '300ms',
    namespaces: { user_data: { ttl: '1h', l1: true }, fragment: { l1: true } },
  })
  const cache = createCache(config, { deadline: '5s', onError: (error) => void errors.push(error) })
  opened.push(cache)
  return cache
}

/** Until copies in the memory of the process are trusted. */
async function near(cache: ReturnType<typeof open>) {
  await vi.waitFor(async () => {
    expect((await cache.getOrSet('user_data', ['probe'], () => 1, { as: 'hit' })).tier).toBe('l1')
  })
}

test('results from the memory of the process go in every process', async () => {
  let runs = 0
  const load = async function getUser(id: number) {
    return { id, runs: ++runs }
  }
  const [one, other] = [open(), open()]
  const [getUser, getOther] = [one.fn('user_data', load), other.fn('user_data', load)]
  await getUser(7)
  for (let i = 0; i < 5; i++)
    expect([await getUser(7), await getOther(7)]).toEqual([
      { id: 7, runs: 1 },
      { id: 7, runs: 1 },
    ]) // prettier-ignore
  await getOther.invalidate(7)
  expect([await getUser(7), await getOther(7)]).toEqual([
    { id: 7, runs: 2 },
    { id: 7, runs: 2 },
  ]) // prettier-ignore
  await getUser.invalidateAll()
  expect([await getOther(7), await getUser(7)]).toEqual([
    { id: 7, runs: 3 },
    { id: 7, runs: 3 },
  ]) // prettier-ignore
})

test('bytes from the memory of the process are each caller’s own', async () => {
  const one = open()
  await near(one)
  const image = () => one.fragment('image', [], () => Buffer.from([1, 2, 3]))
  await image()
  for (let i = 0; i < 3; i++) {
    const bytes = await image()
    expect([...bytes]).toEqual([1, 2, 3])
    bytes[0] = 9
  }
})

test('what is in the memory of the process is held to the version of its source', async () => {
  const cache = open()
  await near(cache)
  const state = { version: 1, value: 'a' }
  const read = async function read(_: number) {
    return state.value
  }
  const validated = cache.fn('user_data', read, { validateWith: () => state.version })
  const plain = cache.fn('user_data', read)
  expect([await validated(7), await plain(7), await plain(7)]).toEqual(['a', 'a', 'a'])
  Object.assign(state, { version: 2, value: 'b' })
  expect([await plain(7), await validated(7), await validated.get(7)]).toEqual(['a', 'b', 'b'])
})

test('and to its schema', async () => {
  const cache = open()
  await near(cache)
  let runs = 0
  const read = async function read(_: number) {
    return ++runs
  }
  const validate = (value: unknown) => ((value as number) > 1 ? { value } : { issues: [{ message: 'too small' }] })
  const plain = cache.fn('user_data', read)
  const checked = cache.fn('user_data', read, { schema: { '~standard': { version: 1, vendor: 'test', validate } } })
  expect([await plain(7), await plain(7), await plain(7)]).toEqual([1, 1, 1])
  expect([await checked(7), await checked(7), await plain(7)]).toEqual([2, 2, 2])
})

test('runWithTenant is the tenant of every function; its tags and invalidations are its own', async () => {
  const cache = open()
  let runs = 0
  const count = cache.fn(
    'user_data',
    async function count() {
      cache.context()?.tags('all')
      return ++runs
    },
    { tags: ['static'] },
  )
  const ask = () => Promise.all(['1', '2'].map((id) => cache.runWithTenant(id, () => count())))
  expect(await ask()).toEqual([1, 2])
  expect(await count()).toBe(3)
  expect(await cache.runWithTenant('1', () => count.key())).toBe('shop:v1:user_data:@fn.count:org_1:')
  await cache.tenant('1').invalidate({ tag: 'static' })
  expect(await ask()).toEqual([4, 2])
  await cache.tenant('2').invalidate({ tag: 'all' })
  expect(await ask()).toEqual([4, 5])
  await cache.runWithTenant('1', () => count.invalidateAll())
  expect(await ask()).toEqual([6, 5])
  expect(await count()).toBe(3)
})

test('two tenants at the same time, with the same arguments: no result crosses', async () => {
  const cache = open()
  let tenantNow = ''
  const whose = cache.fn(
    'user_data',
    async function whose(id: number, tenant: string) {
      tenantNow = tenant
      await new Promise((resolve) => setImmediate(resolve))
      return `${tenant} ${id}`
    },
    { key: (id) => id },
  ) // prettier-ignore
  const wrong: string[] = []
  await Promise.all(
    Array.from({ length: 2_000 }, async (_, i) => {
      const tenant = `t${i % 7}`
      const value = await cache.runWithTenant(tenant, () => whose(i % 11, tenant))
      if (value !== `${tenant} ${i % 11}`) wrong.push(value)
      if (i % 50 === 0) await cache.runWithTenant(tenant, () => whose.invalidate(i % 11, tenant))
    }),
  )
  expect(tenantNow).not.toBe('')
  expect(wrong).toEqual([])
})

test('in a transaction, the cache of the work invalidates after the commit', async () => {
  const cache = open()
  const row = { name: 'old' }
  const read = async function nameOf(_: number) {
    return row.name
  }
  const nameOf = cache.fn('user_data', read)
  const elsewhere = open().fn('user_data', read)
  expect(await nameOf(7)).toBe('old')
  const seen: unknown[] = []
  const db = async (work: (tx: null) => Promise<unknown>) => {
    await work(null)
    seen.push(await elsewhere.get(7))
    row.name = 'new'
  }
  await cache.transaction(db, async (c) => {
    await c.fn('user_data', read).invalidate(7)
  })
  expect(seen).toEqual(['old'])
  expect([await nameOf(7), await elsewhere(7)]).toEqual(['new', 'new'])
  row.name = 'newer'
  const work = async (c: typeof cache) => {
    await c.fn('user_data', read).invalidate(7)
    throw new Error('rolled back')
  }
  await expect(cache.transaction(async (run: (tx: null) => Promise<unknown>) => run(null), work)).rejects.toThrow(
    'rolled back',
  )
  expect(await nameOf(7)).toBe('new')
})

test('the context of a getOrSet within a function is not the function’s', async () => {
  const cache = open()
  const outer = cache.fn('user_data', async function outer(_: number) {
    return cache.getOrSet('user_data', ['inner', 1], async () => {
      // meant for the entry of getOrSet, by code that knows neither
      cache.context()?.skip()
      return 'value'
    })
  })
  await outer(7)
  await vi.waitFor(async () => expect(await outer.get(7)).toBe('value'))
  expect(await cache.get('user_data', ['inner', 1])).toBeUndefined()
})

test('without Redis functions run, are shared in the process, and give no key', async () => {
  const cache = open('redis://127.0.0.1:1')
  let runs = 0
  const slow = cache.fn(
    'user_data',
    async function slow(id: number) {
      runs++
      await new Promise((resolve) => setTimeout(resolve, 50))
      return id
    },
    { validateWith: () => 1 },
  ) // prettier-ignore
  expect(await Promise.all([slow(7), slow(7), slow(8)])).toEqual([7, 7, 8])
  expect(runs).toBeLessThanOrEqual(4)
  expect(await slow.get(7)).toBeUndefined()
  expect(await slow.refresh(7)).toBe(7)
  expect(await slow.invalidate(7)).toMatchObject({ status: 'queued' })
  await expect(slow.key(7)).rejects.toMatchObject({ code: 'REDIS_UNREACHABLE' })
})

test('what refresh gave is what the next call gives, also from the memory of the process', async () => {
  const cache = open()
  await near(cache)
  let runs = 0
  const read = cache.fn('user_data', async function read(_: number) {
    return ++runs
  })
  for (let i = 0; i < 20; i++) {
    const value = await read.refresh(7)
    expect([await read(7), await read(7), await read(7)]).toEqual([value, value, value])
  }
})
