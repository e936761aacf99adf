// Options as JavaScript gives them: names that are none, and values of the wrong kind, are refused by name before anything is read or written.
import { afterAll, beforeAll, expect, test } from 'vitest'
import { fn } from '../../src/adapters/sources/fn.ts'
import { type Cache, createCache } from '../../src/create-cache.ts'
import { startRedis, type TestRedis } from '../servers.ts'

let redis: TestRedis
// biome-ignore lint/suspicious/noExplicitAny: what JavaScript writes, which no type has checked
let cache: any
const config = () => ({
  redis: redis.url,
  prefix: 'shop',
  namespaces: { stats: { ttl: '1m' as const }, sess: { format: 'raw' as const, key: 'sess:*', ttl: '1m' as const } },
  models: {
    city: {
      source: fn({ rows: () => [{ id: 1 }], list: async () => [], count: async () => 0 }),
      tenant: false,
    },
  },
})

beforeAll(async () => {
  redis = await startRedis()
  cache = createCache(config(), { deadline: '5s' }) as Cache
})
afterAll(async () => {
  await cache.close()
  await redis.stop()
})

const load = () => 1
class Users {
  async byId(id: number) {
    return id
  }
}

test.each<[string, () => unknown, string, string]>([
  ['getOrSet', () => cache.getOrSet('stats', ['a'], load, { tll: '1m' }), '`tll` is no option of getOrSet', '`ttl`'],
  ['get', () => cache.get('stats', ['a'], { ass: 'hit' }), '`ass` is no option of get', '`as`'],
  ['has', () => cache.has('stats', ['a'], { as: 'hit' }), '`as` is no option of has', 'ttl'],
  ['set', () => cache.set('stats', ['a'], 1, { tag: ['x'] }), '`tag` is no option of set', '`tags`'],
  ['setMany', () => cache.setMany('stats', [[['a'], 1]], { TTL: '1m' }), '`TTL` is no option of setMany', '`ttl`'],
  ['getMany', () => cache.getMany('stats', [['a']], { schem: 1 }), '`schem` is no option of getMany', '`schema`'],
  ['refresh', () => cache.refresh('stats', ['a'], load, { as: 'hit' }), '`as` is no option of refresh', 'ttl'],
  ['touch', () => cache.touch('stats', ['a'], { jitter: 0 }), '`jitter` is no option of touch', 'it knows ttl, grace'],
  ['a fragment', () => cache.fragment('a', [], () => '', { namespac: 'stats' }), 'of a fragment', '`namespace`'],
  ['fn', () => cache.fn('stats', load, { named: 'load' }), '`named` is no option of cache.fn', '`name`'],
  ['method', () => cache.method('stats', new Users(), 'byId', { clas: 'x' }), 'of cache.method', '`class`'],
  ['a decorator', () => cache.cached('stats', { Key: 1 }), '`Key` is no option of @cached', '`key`'],
  ['a list', () => cache.model('city').list({ wher: {} }), '`wher` is no option of list', '`where`'],
  ['a count', () => cache.model('city').count({ page: 1 }), '`page` is no option of count', 'it knows list, where'],
  ['invalidate', () => cache.model('city').invalidate(1, { change: [] }), '`change` is no', '`changed`'],
  ['a row', () => cache.model('city').set({ id: 1 }, { versoin: '1' }), '`versoin` is no option of set', '`version`'],
  ['a response', () => cache.http.express({ namespace: 'stats', tll: '1m' }), '`tll` is no option', '`ttl`'],
  ['createCache', () => createCache(config(), { heartbeet: '1s' } as never), 'of createCache', '`heartbeat`'],
  ['raw', () => cache.get('sess', ['sess:1'], { tll: '1m' }), '`tll` has no meaning in sess', 'raw namespaces know'],
])('%s refuses a name that is none', async (_, call, message, hint) => {
  const error = await refusal(call)
  expect(error.message).toContain(message)
  expect(error.hint).toContain(hint)
})

const set = (options: unknown) => () => cache.set('stats', ['a'], 1, options)

test.each<[string, () => unknown, string]>([
  ['a TTL of seconds', set({ ttl: 60 }), '`ttl`: 60 is not a duration: write text with a unit, as "60s"'],
  ['a TTL without unit', set({ ttl: '60' }), '`ttl`: "60" has no unit'],
  ['no TTL', set({ ttl: null }), '`ttl`: null is not a duration'],
  ['a grace of seconds', set({ grace: 60 }), '`grace`: 60'],
  ['a negative TTL that is true', set({ negativeTtl: true }), '`negativeTtl`: a value of type boolean'],
  ['a soft timeout of milliseconds', set({ timeout: { soft: 50 } }), '`timeout.soft`: 50'],
  ['another timeout', set({ timeout: { sfot: '50ms' } }), '`timeout` knows no sfot'],
  ['a timeout that is none', set({ timeout: '50ms' }), '`timeout` is no object'],
  ['jitter as text', set({ jitter: '0.1' }), '`jitter` is 0.1'],
  ['beta as text', set({ beta: '1' }), '`beta` is 1'],
  ['compression that is true', set({ compress: true }), '`compress` is true'],
  ['compression above a number', set({ compress: { above: 4096 } }), '`compress.above`: 4096 is not a size'],
  ['clone as text', set({ clone: 'yes' }), '`clone` is yes'],
  ['one tag', set({ tags: 'org:7' }), 'tags are no list of texts'],
  ['a schema that is none', set({ schema: {} }), '`schema` is no Standard Schema'],
  ['options that are null', set(null), 'the options of set are no object'],
  ['options that are null, raw', () => cache.get('sess', ['sess:1'], null), 'the options of an entry of sess are no'],
  ['options that are text', set('1m'), 'the options of set are no object'],
  ['another `as`', () => cache.get('stats', ['a'], { as: 'value' }), '`as` is value'],
  ['another `as`, raw', () => cache.get('sess', ['sess:1'], { as: 'value' }), '`as` is value'],
  ['one changed column', () => cache.model('city').invalidate(1, { changed: 'name' }), '`changed` is no list'],
  ['a row that is none', () => cache.model('city').invalidate(1, { before: 5 }), '`before` is no row'],
  ['filters that are text', () => cache.model('city').list({ where: 'DE' }), '`where` of city is no object'],
  ['a version that is a number', () => cache.model('city').set({ id: 1 }, { version: 5 }), '`version` is no text'],
  ['a method of nothing', () => cache.method('stats', null, 'x'), 'cache.method was given no object'],
  ['a loader that says seconds', () => cache.getOrSet('stats', ['b'], sayTtl), '`ttl`: 60 is not a duration'],
  ['a deadline of milliseconds', () => createCache(config(), { deadline: 150 } as never), '`deadline`: 150'],
  ['no place', () => createCache(config(), { sourceConcurrency: 0 }), '`sourceConcurrency` is 0'],
  ['strict as text', () => createCache(config(), { strict: 'no' } as never), '`strict` is no'],
  ['onError that is none', () => createCache(config(), { onError: 'x' } as never), '`onError` is no function'],
])('%s is refused', async (_, call, message) => {
  expect((await refusal(call)).message).toContain(message)
  expect(await cache.has('stats', ['a'])).toBe(false)
})

const sayTtl = ({ ttl }: { ttl(text: unknown): void }) => ttl(60)

test('options that are inherited, in a proxy or undefined are options', async () => {
  const inherited = Object.create({ ttl: '10m' })
  await cache.set('stats', ['i'], 1, inherited)
  expect(Number(await redis.call('PTTL', await cache.key('stats', ['i'])))).toBeGreaterThan(400_000)
  await cache.set('stats', ['i'], 1, new Proxy({ ttl: '1m', grace: undefined }, {}))
  expect(Number(await redis.call('PTTL', await cache.key('stats', ['i'])))).toBeLessThanOrEqual(60_000)
  expect(() => createCache(config(), Object.create({ strictt: true }))).toThrow('`strictt` is no option of createCache')
  await cache.set('stats', ['i'], 1, Object.create(null))
})

async function refusal(call: () => unknown): Promise<{ code: string; message: string; hint: string }> {
  try {
    await call()
  } catch (error) {
    expect(error).toMatchObject({ name: 'CachectlError', code: 'USAGE' })
    return error as never
  }
  throw new Error('it was not refused')
}
