// What must not happen to an application while Redis is away, refuses, or was given nonsense: hanging, silence, a cache that never comes back.
import { setTimeout as sleep } from 'node:timers/promises'
import { afterEach, expect, it } from 'vitest'
import { surfaceOf } from '../../src/cache/surface-of.ts'
import { type CacheOptions, createCache } from '../../src/create-cache.ts'
import { freePort, startRedis, type TestRedis } from '../servers.ts'

const opened: (() => Promise<unknown>)[] = []
afterEach(async () => {
  for (const close of opened.splice(0).reverse()) await close()
})

function open(url: string, options: CacheOptions = {}) {
  const errors: Error[] = []
  const cache = createCache(
    { redis: url, prefix: 'shop', namespaces: { stats: { ttl: '1m', grace: '10m' } } },
    { onError: (error) => void errors.push(error as Error), ...options },
  )
  opened.push(() => cache.close())
  return { cache, errors }
}

async function redisServer(options: Parameters<typeof startRedis>[0] = {}): Promise<TestRedis> {
  const redis = await startRedis(options)
  opened.push(() => redis.stop())
  return redis
}

async function until(holds: () => boolean | Promise<boolean>): Promise<void> {
  for (const end = performance.now() + 5_000; !(await holds()); await sleep(10))
    if (performance.now() > end) throw new Error('it did not come to that within 5 s')
}

/** Keeps the process busy behind what was just asked for, and before any answer is read. */
async function stall(ms: number): Promise<void> {
  await new Promise<void>((resolve) => process.nextTick(() => process.nextTick(resolve)))
  for (const end = performance.now() + ms; performance.now() < end; );
}

it('gives loads within loads their turn while Redis is away, however few run at once', async () => {
  const { cache } = open(`redis://127.0.0.1:${await freePort()}`, { sourceConcurrency: 2 })
  let running = 0
  let most = 0
  const leaf = async (id: number) => {
    most = Math.max(most, ++running)
    await sleep(5)
    running--
    return id
  }
  const shared = () => cache.getOrSet('stats', ['shared'], () => leaf(0))
  const nested = (id: number) =>
    cache.getOrSet('stats', ['outer', id], async () => {
      const [one, other] = await Promise.all([cache.getOrSet('stats', ['inner', id], () => leaf(id)), shared()])
      return one + other
    })
  const all = Promise.all([...[1, 2, 3, 4, 5].map(nested), shared()])
  const answers = await Promise.race([all, sleep(5_000, 'a deadlock')])
  expect(answers).toEqual([1, 2, 3, 4, 5, 0])
  expect(most).toBeLessThanOrEqual(2)
})

it('tells once why Redis was never there, and again when the reason is another one', async () => {
  const port = await freePort()
  const { cache, errors } = open(`redis://127.0.0.1:${port}`)
  expect(await cache.getOrSet('stats', ['a'], () => 1)).toBe(1)
  await until(() => errors.length > 0)
  await sleep(300)
  expect(errors.map((error) => (error as { code?: string }).code)).toEqual(['REDIS_UNREACHABLE'])
  await redisServer({ port, args: ['--requirepass', 'secret'] })
  await until(() => errors.length > 1)
  expect(errors[1]?.message).toContain('password')
})

it('tells of a Redis that is there and refuses to be read', async () => {
  const redis = await redisServer({ args: ['--rename-command', 'MGET', ''] })
  const { cache, errors } = open(redis.url)
  expect(await cache.getOrSet('stats', ['a'], () => 1)).toBe(1)
  expect(String(errors[0]?.message)).toContain('MGET')
})

it('takes a process that was busy for no outage of Redis', async () => {
  const redis = await redisServer()
  const { cache, errors } = open(redis.url)
  await until(() => cache.set('stats', ['a'], 1))
  const read = cache.getOrSet('stats', ['a'], () => 2)
  await stall(300)
  expect(await read).toBe(1)
  const deleted = cache.delete('stats', ['a'])
  await stall(300)
  expect(await deleted).toMatchObject({ status: 'applied', deleted: 1 })
  expect(errors).toEqual([])
})

it.each([
  ['a pattern that is no text', { pattern: 5 as unknown as string }],
  ['a pattern that is none', { pattern: '' }],
  ['a subject that is no text', { subject: '\ud800' }],
])('refuses to invalidate %s, and goes on, also where Redis was away then', async (_, target) => {
  const redis = await redisServer()
  const { cache } = open(redis.url)
  await until(() => cache.set('stats', ['a'], 1))
  await expect(cache.invalidate(target)).rejects.toThrow(/pattern|subject/)
  expect(await cache.get('stats', ['a'])).toBe(1)
  await redis.call('CLIENT', 'PAUSE', 400)
  await cache.invalidate(target).catch(() => {})
  await until(async () => (await cache.set('stats', ['b'], 2)) && (await cache.get('stats', ['b'])) === 2)
})

it('goes on after a change that was queued and can never be applied', async () => {
  const port = await freePort()
  const { cache, errors } = open(`redis://127.0.0.1:${port}`)
  const place = { namespace: 'stats', subject: '\ud800', version: '1', tenant: null, rest: [] }
  expect(await surfaceOf(cache).kernel.invalidate({ entries: [place] })).toMatchObject({ status: 'queued' })
  await redisServer({ port })
  await until(async () => (await cache.set('stats', ['b'], 2)) && (await cache.get('stats', ['b'])) === 2)
  expect(errors.map((error) => error.message)).toContain('URI malformed')
})

it('never says of an invalidation that it is queued when nobody will apply it', async () => {
  const redis = await redisServer()
  const { cache } = open(redis.url)
  await until(() => cache.set('stats', ['a'], 1))
  await cache.close()
  await expect(cache.delete('stats', ['a'])).rejects.toThrow('the cache has been closed')
  expect(await cache.getOrSet('stats', ['a'], () => 3)).toBe(3)
})

it('takes a schema that throws for one that the entry fails', async () => {
  const redis = await redisServer()
  const { cache, errors } = open(redis.url)
  await until(() => cache.set('stats', ['a'], 1))
  const validate = () => {
    throw new Error('no schema')
  }
  const schema = { '~standard': { version: 1, vendor: 'none', validate } } as const
  expect(await cache.getOrSet('stats', ['a'], () => 2, { schema })).toBe(2)
  expect(await cache.get('stats', ['a'], { schema })).toBeUndefined()
  expect(errors.map((error) => error.message)).toContain('no schema')
})

it('reads control data once for all calls of a turn that find it outdated', async () => {
  const redis = await redisServer()
  const { cache, errors } = open(redis.url, { deadline: '5s' })
  const other = open(redis.url, { deadline: '5s' }).cache
  const paths = Array.from({ length: 2_000 }, (_, id) => ['row', id] as const)
  expect(
    await cache.setMany(
      'stats',
      paths.map((path) => [path, path[1]] as const),
    ),
  ).toBe(true)
  expect(await other.invalidate({ subject: 'another' })).toMatchObject({ status: 'applied' })
  await redis.call('CONFIG', 'RESETSTAT')
  let loads = 0
  const values = await Promise.all(paths.map((path) => cache.getOrSet('stats', path, () => ++loads)))
  const stats = String(await redis.call('INFO', 'commandstats'))
  const reads = Number(/^cmdstat_hgetall:calls=(\d+)/m.exec(stats)?.[1] ?? 0)
  expect({ loads, errors }).toEqual({ loads: 0, errors: [] })
  expect(values).toEqual(paths.map(([, id]) => id))
  // at least one: the bump was seen
  expect(reads).toBeGreaterThan(0)
  expect(reads).toBeLessThan(10)
})

// biome-ignore lint/suspicious/noExplicitAny: what JavaScript gives
const nonsense: [string, (cache: any) => unknown, RegExp][] = [
  [
    'a number for a TTL',
    (cache) => cache.getOrSet('stats', ['x'], () => 1, { ttl: 60 }),
    /60 is not a duration.*"60s"/,
  ],
  ['null for a grace', (cache) => cache.set('stats', ['x'], 1, { grace: null }), /null is not a duration/],
  ['one text for tags', (cache) => cache.set('stats', ['x'], 1, { tags: 'org:7' }), /tags are no list/],
  ['numbers for tags', (cache) => cache.set('stats', ['x'], 1, { tags: [7] }), /tags are no list/],
  ['a jitter that lengthens', (cache) => cache.set('stats', ['x'], 1, { jitter: -1 }), /`jitter` is -1/],
  ['a jitter that is none', (cache) => cache.set('stats', ['x'], 1, { jitter: Number.NaN }), /`jitter` is NaN/],
  ['a beta that is none', (cache) => cache.set('stats', ['x'], 1, { beta: 'x' }), /`beta` is x/],
  ['a number for timeouts', (cache) => cache.set('stats', ['x'], 1, { timeout: 5 }), /`timeout` is no object/],
  ['text for options', (cache) => cache.set('stats', ['x'], 1, '5m'), /no object/],
  ['no schema', (cache) => cache.get('stats', ['x'], { schema: {} }), /no Standard Schema/],
  ['no function to validate with', (cache) => cache.get('stats', ['x'], { validateWith: 5 }), /`validateWith` is no/],
  ['validateWith for many', (cache) => cache.getMany('stats', [['x']], { validateWith: () => 1 }), /of several/],
  ['no list of paths', (cache) => cache.getMany('stats', 'ab'), /paths are no list/],
  ['no tag to invalidate', (cache) => cache.invalidate({ tag: undefined }), /tags are no list/],
  ['an id with a namespace', (cache) => cache.invalidate({ namespace: 'stats', id: 5 }), /no target/],
  ['a key that is no text', (cache) => cache.invalidate({ key: 5 }), /key to invalidate is no text/],
  ['half a character for a subject', (cache) => cache.delete('stats', ['\ud800']), /half a surrogate pair/],
  ['no user', (cache) => cache.user(undefined).invalidate(), /of type undefined/],
  [
    'a path that nobody asked for',
    // biome-ignore lint/suspicious/noExplicitAny: what JavaScript gives
    (cache) => cache.getOrSetMany('stats', [['y']], (_: any, of: any) => [of(['z']).ttl('1m')]),
    /not one of the missing/,
  ],
]
it.each(nonsense)('says what is wrong with %s', async (_, call, message) => {
  const redis = await redisServer()
  const { cache } = open(redis.url)
  const error = await Promise.resolve()
    .then(() => call(cache))
    .then(
      () => null,
      (thrown: Error) => thrown,
    )
  expect(error).toMatchObject({
    code: expect.stringMatching(/USAGE|KEY_INVALID/),
    message: expect.stringMatching(message),
  })
})
