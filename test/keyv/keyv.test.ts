// What the published suite does not ask: hostile keys, TTLs, tenants, that only its own is cleared, and that the CLI sees the entries.
import Keyv, { type KeyvStoreAdapter } from 'keyv'
import { afterAll, beforeAll, beforeEach, expect, it } from 'vitest'
import { createCache } from '../../src/create-cache.ts'
import { KeyvCachectl } from '../../src/keyv.ts'
import { getEntry } from '../../src/ops/get.ts'
import { DEFAULT_BY, stats } from '../../src/ops/stats.ts'
import { why } from '../../src/ops/why.ts'
import { contextOf, openTestStore, testConfig } from '../ops/fixture.ts'
import { randomFromSeed, seed } from '../seed.ts'
import { startRedis, type TestRedis } from '../servers.ts'

const open = (url: string) =>
  createCache(
    {
      redis: url,
      prefix: 'shop',
      tenant: { label: 'org' },
      namespaces: {
        sessions: { ttl: '10m', grace: '1h', jitter: 0.5 },
        other: { ttl: '10m' },
        forever: { ttl: 'never' },
        foreign: { format: 'raw', key: 'sess:*' },
      },
    },
    { deadline: '5s' },
  )

let redis: TestRedis
let cache: ReturnType<typeof open>
beforeAll(async () => {
  redis = await startRedis()
  cache = open(redis.url)
})
afterAll(async () => {
  await cache.close()
  await redis.stop()
})
beforeEach(async () => {
  await redis.call('FLUSHALL')
})

const keysOf = async (pattern: string) => ((await redis.call('KEYS', pattern)) as Buffer[]).map(String).sort()
const users = (namespace = 'users', on: Pick<typeof cache, 'key' | 'close'> = cache, useKeyPrefix = true) => {
  const store: KeyvStoreAdapter = new KeyvCachectl({ cache: on, namespace: 'sessions' })
  return new Keyv({ store, namespace, useKeyPrefix })
}
const all = async (keyv: Keyv) => {
  const entries: [string, unknown][] = []
  for await (const entry of keyv.iterator?.(undefined) ?? []) entries.push(entry)
  return entries.sort(([a], [b]) => (a < b ? -1 : 1))
}

it('puts entries under keys of ours, with the TTL that Keyv gives and no longer', async () => {
  const keyv = users()
  await keyv.set('abc', { id: 7 }, 60_000)
  expect(await keysOf('shop:*')).toEqual(['shop:v1:sessions:@keyv.users:abc'])
  const ttl = Number(await redis.call('PTTL', 'shop:v1:sessions:@keyv.users:abc'))
  expect(ttl).toBeGreaterThan(58_000)
  expect(ttl).toBeLessThanOrEqual(60_000)
  await keyv.set('default', 1)
  const ofNamespace = Number(await redis.call('PTTL', 'shop:v1:sessions:@keyv.users:default'))
  expect(ofNamespace).toBeGreaterThan(598_000)
  expect(ofNamespace).toBeLessThanOrEqual(600_000)
})

const HOSTILE = [
  '',
  ' ',
  ':',
  'a:b:c',
  'users:',
  'users:abc',
  'org_7',
  'org_7:x',
  '*',
  '[a-z]?\\',
  '{slot}',
  '%41',
  '#digest',
  'digest:x',
  '__proto__',
  'constructor',
  '\0\x01\xff\x80',
  '\r\nFLUSHALL\r\n',
  '\ud800',
  '\udc00\ud800',
  '☃'.repeat(66),
  '☃'.repeat(67),
  'x'.repeat(200),
  'x'.repeat(201),
  'y'.repeat(100_000),
]

it.each([
  ['users', true],
  ['users', false],
  ['', true],
])('holds keys of any text, each its own: namespace %j, keys with it: %j', async (namespace, prefixed) => {
  const keyv = users(namespace, cache, prefixed)
  // Keyv itself takes `users:abc` for the key `abc` of its namespace
  const keys = HOSTILE.filter((key) => !prefixed || namespace === '' || !key.startsWith(`${namespace}:`))
  for (const [index, key] of keys.entries()) expect(await keyv.set(key, index), JSON.stringify(key)).toBe(true)
  for (const [index, key] of keys.entries()) expect(await keyv.get(key)).toBe(index)
  expect(await keyv.get(keys)).toEqual(keys.map((_, index) => index))
  expect(await keyv.has(keys)).toEqual(keys.map(() => true))
  expect(await keyv.delete(keys)).toBe(true)
  expect(await keysOf('shop:*')).toEqual([])
})

it('writes entries that the CLI reads', async () => {
  await users().set('abc', { id: 7 })
  await users().set('x'.repeat(300), 1)
  const store = openTestStore(redis)
  const context = contextOf(store, { config: testConfig(redis.url, { namespaces: { sessions: {} } }) })
  try {
    const key = 'shop:v1:sessions:@keyv.users:abc'
    expect(await getEntry(context, key)).toMatchObject({ found: true, value: { key: 'users:abc' } })
    const { belongsTo, entry } = await why(context, key)
    expect(belongsTo).toMatchObject({ namespace: 'sessions', subject: '@keyv.users', rest: ['abc'] })
    expect(entry?.tags).toEqual(['@keyv.users:sessions'])
    const options = { targets: [], tenant: null, mode: { kind: 'full' as const }, top: 20, largest: 0, age: false }
    const report = await stats(context, { ...options, by: DEFAULT_BY, intervalMs: null })
    const group = report.groups.find(({ subject }) => subject === '@keyv.users')
    expect(group).toMatchObject({ namespace: 'sessions', keys: 2, noTtlKeys: 0 })
  } finally {
    await store.close()
  }
})

it('iterates over the keys as they were set, also those that Redis holds as a digest', async () => {
  const keyv = users()
  const keys = HOSTILE.filter((key) => !key.startsWith('users:')).sort()
  for (const key of keys) await keyv.set(key, key.length)
  expect(await all(keyv)).toEqual(keys.map((key) => [key, key.length]))
})

it(`never takes one key for another (seed ${seed})`, async () => {
  const random = randomFromSeed(seed)
  const store = new KeyvCachectl({ cache, namespace: 'sessions' })
  const parts = ['a', ':', 'users', 'digest', '#', '%3A', '\ud800', '_', 'x'.repeat(199)]
  const held = new Map<string, number>()
  for (let index = 0; index < 400; index++) {
    let key = random() < 0.5 ? 'users:' : ''
    while (random() < 0.7) key += parts[Math.floor(random() * parts.length)]
    store.namespace = 'users'
    held.set(key, index)
    await store.set(key, index)
  }
  const keys = [...held.keys()]
  expect(await store.getMany(keys)).toEqual(keys.map((key) => held.get(key)))
})

it('clears its own and nothing else', async () => {
  const [one, two] = [users('one'), users('two')]
  const elsewhere = new Keyv({ store: new KeyvCachectl({ cache, namespace: 'other' }), namespace: 'one' })
  const tenant = users('one', cache.tenant('7'))
  for (const keyv of [one, two, elsewhere, tenant]) await keyv.set('x', 'kept')
  await one.clear()
  expect(await one.get('x')).toBeUndefined()
  expect(await one.has('x')).toBe(false)
  expect(await one.delete('x')).toBe(false)
  expect(await all(one)).toEqual([])
  for (const keyv of [two, elsewhere, tenant]) expect(await keyv.get('x')).toBe('kept')
  await tenant.clear()
  expect(await tenant.get('x')).toBeUndefined()
  await one.set('x', 'new')
  expect(await one.get('x')).toBe('new')
})

it('leaves nothing in memory for ever when it clears where entries have no TTL', async () => {
  const keyv = new Keyv({ store: new KeyvCachectl({ cache, namespace: 'forever' }), namespace: 'users' })
  const tenant = new Keyv({
    store: new KeyvCachectl({ cache: cache.tenant('7'), namespace: 'forever' }),
    namespace: 'users',
  })
  await Promise.all(Array.from({ length: 2500 }, (_, index) => keyv.set(`k${index}`, index)))
  await tenant.set('x', 'kept')
  expect(Number(await redis.call('PTTL', 'shop:v1:forever:@keyv.users:k0'))).toBe(-1)
  await keyv.clear()
  expect(await keysOf('shop:*')).toEqual(['shop:v1:forever:@keyv.users:org_7:x'])
  expect(await tenant.get('x')).toBe('kept')
})

it('keeps tenants apart', async () => {
  const [none, seven, eight] = [users(), users('users', cache.tenant('7')), users('users', cache.tenant('8'))]
  await seven.set('abc', 'seven')
  await eight.set('abc', 'eight')
  expect(await none.get('abc')).toBeUndefined()
  expect(await seven.get('abc')).toBe('seven')
  expect(await all(none)).toEqual([])
  expect(await all(eight)).toEqual([['abc', 'eight']])
  const within = await cache.runWithTenant('7', () => none.get('abc'))
  expect(within).toBe('seven')
})

it('keeps values as they are where Keyv does not serialize them', async () => {
  const keyv = new Keyv({
    store: new KeyvCachectl({ cache, namespace: 'sessions' }),
    serialize: undefined,
    deserialize: undefined,
  } as object)
  const value = { at: new Date(5), ids: new Set([1n]), bytes: Buffer.from([0, 255]), none: undefined }
  await keyv.set('x', value)
  const back = await keyv.get<typeof value>('x')
  expect(back).toEqual(value)
  back?.ids.clear()
  expect(await keyv.get('x')).toEqual(value)
})

it('deletes for a TTL that has passed, and refuses what is no time', async () => {
  const store = new KeyvCachectl({ cache, namespace: 'sessions' })
  await store.set('x', 'old')
  expect(await store.set('x', 'new', -1)).toBe(true)
  expect(await store.get('x')).toBeUndefined()
  await expect(store.set('x', 1, Number.NaN)).rejects.toThrow('a TTL of NaN is no time')
  await store.set('x', 1, 0.4)
  await store.set('y', 1, Number.POSITIVE_INFINITY)
  expect(await redis.call('PTTL', 'shop:v1:sessions:@keyv:y')).toBe(-1)
})

it.each([
  [{}, 'needs a cache or a URL'],
  [{ cache: {}, namespace: 'x' }, 'this is no cache of cachectl'],
  [() => ({ cache, namespace: 'nothing' }), 'no namespace called `nothing`'],
  [() => ({ cache, namespace: 'foreign' }), 'is raw'],
  [() => ({ cache, url: 'redis://x', namespace: 'x' }), 'needs a cache or a URL'],
])('refuses options %o', (options, message) => {
  expect(() => new KeyvCachectl((typeof options === 'function' ? options() : options) as never)).toThrow(message)
})

it('opens a connection of its own for a URL, and closes it', async () => {
  const store = new KeyvCachectl({ url: redis.url })
  const keyv = new Keyv({ store, namespace: 'users' })
  await keyv.set('abc', 1)
  expect(await keyv.get('abc')).toBe(1)
  expect(await keysOf('keyv:*')).toEqual(['keyv:v1:keyv:@keyv.users:abc'])
  await keyv.disconnect()
  expect(await keyv.set('abc', 2)).toBe(false)
  // the application's cache is not closed with a Keyv on it
  await users().disconnect()
  expect(await users().set('abc', 1)).toBe(true)
})

it('goes on without Redis, and keeps a delete until it is back', async () => {
  const own = await startRedis({ port: 0 })
  const errors: unknown[] = []
  const store = new KeyvCachectl({ url: own.url })
  store.on('error', (error) => errors.push(error))
  await store.set('a', 1)
  process.kill(own.pid, 'SIGSTOP')
  try {
    const began = performance.now()
    expect(await store.get('a')).toBeUndefined()
    expect(await store.set('b', 2)).toBe(false)
    expect(await store.delete('a')).toBe(false)
    expect(performance.now() - began).toBeLessThan(3000)
    await expect(store.iterator().next()).rejects.toThrow()
    expect(errors.length).toBeGreaterThan(0)
  } finally {
    process.kill(own.pid, 'SIGCONT')
  }
  await expect.poll(() => store.set('back', 1), { timeout: 10_000 }).toBe(true)
  expect(await store.get('a')).toBeUndefined()
  expect(await store.get('back')).toBe(1)
  await store.disconnect()
  await own.stop()
})
