// What callers do that nobody meant: odd arguments, values that resist, too much at once, a cache that is closed under its users.
import { afterAll, afterEach, beforeAll, beforeEach, expect, test } from 'vitest'
import { fn } from '../../src/adapters/sources/fn.ts'
import { createCache } from '../../src/create-cache.ts'
import { startRedis, type TestRedis } from '../servers.ts'

let redis: TestRedis
// biome-ignore lint/suspicious/noExplicitAny: what JavaScript writes, which no type has checked
let cache: any
const errors: unknown[] = []

function open(options: object = {}) {
  const config = {
    redis: redis.url,
    prefix: 'shop',
    tenant: { label: 'org' },
    namespaces: { stats: { ttl: '1m' as const } },
    models: { city: { source: fn({ load: async (ids) => ids.map((id) => ({ id })) }), tenant: false } },
  }
  return createCache(config, { deadline: '5s', onError: (error) => void errors.push(error), ...options })
}

beforeAll(async () => {
  redis = await startRedis()
})
beforeEach(async () => {
  await redis.call('FLUSHALL')
  errors.length = 0
  cache = open()
})
afterEach(() => cache.close())
afterAll(() => redis.stop())

const many = (count: number) => Array.from({ length: count }, (_, index) => `tag${index}`)

test.each<[string, () => unknown, string, string]>([
  ['more tags than an entry holds', () => cache.set('stats', ['a'], 1, { tags: many(129) }), 'USAGE', '129 tags'],
  [
    'a tag as long as a text',
    () => cache.set('stats', ['a'], 1, { tags: ['t'.repeat(513)] }),
    'USAGE',
    '513 characters',
  ],
  ['tags that the loader names one by one', () => cache.getOrSet('stats', ['a'], nameMany), 'USAGE', '129 tags'],
  ['a namespace that is a symbol', () => cache.get(Symbol('x'), ['a']), 'USAGE', 'called `Symbol(x)`'],
  [
    'a namespace that only looks like text',
    () => cache.get({ toString: () => 'stats' }, ['a']),
    'USAGE',
    'no namespace',
  ],
  ['entries that are none', () => cache.setMany('stats', 5), 'USAGE', 'no list of pairs'],
  ['an entry that is none', () => cache.setMany('stats', [1]), 'USAGE', 'no list of pairs'],
  ['entries that are text', () => cache.setMany('stats', 'text'), 'USAGE', 'no list of pairs'],
  ['ids that are text', () => cache.model('city').getMany('123'), 'USAGE', 'the ids are no list'],
  ['ids that are nothing', () => cache.model('city').getMany(), 'USAGE', 'the ids are no list'],
  ['a tenant without end', () => cache.tenant(Number.POSITIVE_INFINITY), 'KEY_INVALID', 'Infinity'],
  ['a tenant that is an object', () => cache.tenant({}), 'KEY_INVALID', 'no text and no number'],
  ['a tenant of half a character', () => cache.tenant('\ud800'), 'KEY_INVALID', 'surrogate'],
  ['a tenant without work', () => cache.runWithTenant('7'), 'USAGE', 'given no work'],
  [
    'a transaction without work',
    () => cache.transaction(async (work: () => unknown) => work()),
    'USAGE',
    'given no work',
  ],
])('%s: refused', async (_, call, code, message) => {
  const refused = (async () => call())()
  await expect(refused).rejects.toMatchObject({ code, message: expect.stringContaining(message) })
  expect(errors).toEqual([])
})

function nameMany({ tags }: { tags(...names: string[]): void }) {
  for (const tag of many(129)) tags(tag)
}

test('as many tags as an entry holds, and an invalidation of more', async () => {
  await cache.set('stats', ['a'], 1, { tags: [...many(128), ...many(128)] })
  expect(await cache.get('stats', ['a'])).toBe(1)
  expect(await cache.invalidate({ tag: many(5_000) })).toMatchObject({ status: 'applied' })
  expect(await cache.get('stats', ['a'])).toBeUndefined()
})

test('what resists being read is the error of whoever asks, and nothing is written', async () => {
  const throws = {
    get name() {
      throw new Error('the getter')
    },
  }
  await expect(cache.set('stats', ['a'], throws)).rejects.toThrow('the getter')
  await expect(cache.getOrSet('stats', ['a'], () => throws)).rejects.toThrow('the getter')
  const { proxy, revoke } = Proxy.revocable({}, {})
  revoke()
  await expect(cache.getOrSet('stats', ['a'], () => proxy)).rejects.toThrow(TypeError)
  expect(await cache.has('stats', ['a'])).toBe(false)
  expect(await cache.getOrSet('stats', ['a'], () => new Proxy({ a: 1 }, {}))).toEqual({ a: 1 })
})

test.each([[undefined], [null], ['text'], [Object.freeze({ code: 'REDIS_UNREACHABLE' })]])(
  'a loader that throws %j throws just that, and the next one loads',
  async (thrown) => {
    const failing = () => {
      throw thrown
    }
    const given = await cache.getOrSet('stats', ['a'], failing).then(
      () => 'a value',
      (error: unknown) => error,
    )
    expect(given).toBe(thrown)
    expect(await cache.getOrSet('stats', ['a'], () => 1)).toBe(1)
  },
)

test('many thousands of entries are written within the deadline of a call each turn, under one link that stays', async () => {
  const entries = Array.from({ length: 12_000 }, (_, id) => [['row', id], { id }])
  await cache.set('stats', ['before'], 1)
  const ping = (async () => {
    for (let count = 0; count < 20; count++) expect(await cache.get('stats', ['before'])).toBe(1)
  })()
  expect(await cache.setMany('stats', entries, { tags: ['rows'] })).toBe(true)
  await ping
  expect(await cache.get('stats', ['row', 11_999])).toEqual({ id: 11_999 })
  expect(errors).toEqual([])
})

test('closed twice, at once and again, and used after that', async () => {
  await cache.set('stats', ['a'], 1)
  await Promise.all([cache.close(), cache.close()])
  await cache.close()
  expect(await cache.get('stats', ['a'])).toBeUndefined()
  expect(await cache.getOrSet('stats', ['a'], () => 'of the source')).toBe('of the source')
  expect(await cache.refresh('stats', ['a'], () => 'of the source')).toBe('of the source')
  expect(await cache.touch('stats', ['a'])).toBe(false)
  expect(await cache.model('city').get(1)).toEqual({ id: '1' })
  await expect(cache.set('stats', ['a'], 2)).rejects.toThrow('the cache has been closed')
  await expect(cache.invalidate({ tag: 'a' })).rejects.toThrow('the cache has been closed')
  expect(await cache.key('stats', ['a'])).toBe('shop:v1:stats:a:')
})

test('a config that is changed afterwards changes nothing', async () => {
  const namespaces: Record<string, { ttl: '1m' | '5h' }> = { stats: { ttl: '1m' } }
  const config = { redis: redis.url, prefix: 'mine', namespaces }
  const own = createCache(config)
  config.prefix = 'other'
  config.redis = 'redis://nowhere:1'
  namespaces.stats = { ttl: '5h' }
  await own.set('stats' as never, ['a'], 1)
  expect(await own.key('stats' as never, ['a'])).toBe('mine:v1:stats:a:')
  expect(Number(await redis.call('PTTL', 'mine:v1:stats:a:'))).toBeLessThanOrEqual(60_000)
  await own.close()
})
