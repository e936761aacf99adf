// Direct use of the cache over a real Redis: what each call gives, and what it refuses.
import { afterAll, afterEach, beforeAll, beforeEach, describe, expect, test } from 'vitest'
import { fn } from '../../src/adapters/sources/fn.ts'
import { createCache } from '../../src/create-cache.ts'
import { startRedis, type TestRedis } from '../servers.ts'

let redis: TestRedis
let cache: ReturnType<typeof open>
const errors: unknown[] = []

function open(options: { production?: boolean; url?: string } = {}) {
  return createCache(
    {
      redis: options.url ?? redis.url,
      prefix: 'shop',
      tenant: { label: 'org' },
      namespaces: {
        stats: { ttl: '1m', grace: '10m' },
        absent: { ttl: '1m', negativeTtl: '10s' },
        other: { ttl: '1m' },
      },
      models: { city: { source: fn({ rows: () => [] }), tenant: false } },
    },
    { deadline: '5s', production: options.production ?? false, onError: (error) => void errors.push(error) },
  )
}

beforeAll(async () => {
  redis = await startRedis()
})
beforeEach(async () => {
  await redis.call('FLUSHALL')
  cache = open()
  errors.length = 0
})
afterEach(() => cache.close())
afterAll(() => redis.stop())

test('what is set is got, in its own shape, until it is deleted', async () => {
  const value = { at: new Date(5), ids: new Set([1n]), name: 'Zürich', none: undefined }
  expect(await cache.set('stats', ['dashboard', 7], value)).toBe(true)
  expect(await cache.get('stats', ['dashboard', 7])).toEqual(value)
  expect(await cache.get('stats', ['dashboard', '7'])).toEqual(value)
  expect(await cache.has('stats', ['dashboard', 7])).toBe(true)
  expect(await cache.delete('stats', ['dashboard', 7])).toMatchObject({ status: 'applied', deleted: 1 })
  expect(await cache.get('stats', ['dashboard', 7])).toBeUndefined()
  expect(await cache.has('stats', ['dashboard', 7])).toBe(false)
  expect(await cache.delete('stats', ['dashboard', 7])).toMatchObject({ deleted: 0 })
})

test('many are read and written in one round trip each, in the order in which they were asked for', async () => {
  await cache.setMany(
    'stats',
    [1, 2, 3].map((id) => [['row', id], { id }] as const),
  )
  await cache.get('stats', ['row', 1])
  const before = await commands()
  expect(
    await cache.getMany('stats', [
      ['row', 3],
      ['row', 9],
      ['row', 1],
      ['row', 3],
    ]),
  ).toEqual([{ id: 3 }, undefined, { id: 1 }, { id: 3 }])
  // The two are this command and the one that counts commands.
  expect((await commands()) - before).toBe(2)
})

async function commands(): Promise<number> {
  return Number(/total_commands_processed:(\d+)/.exec(String(await redis.call('INFO', 'stats')))?.[1])
}

test('getOrSet loads once for all who ask, and says where a value came from', async () => {
  let loads = 0
  const load = async () => ({ loads: ++loads })
  const all = await Promise.all(Array.from({ length: 50 }, () => cache.getOrSet('stats', ['dashboard'], load)))
  expect(new Set(all.map((value) => JSON.stringify(value)))).toEqual(new Set(['{"loads":1}']))
  // each caller's own
  expect(new Set(all).size).toBe(50)
  expect(await cache.getOrSet('stats', ['dashboard'], load, { as: 'hit' })).toEqual({
    hit: 'fresh',
    value: { loads: 1 },
    tier: 'l2',
  })
  expect(await cache.getOrSet('stats', ['other'], load, { as: 'hit' })).toEqual({
    hit: 'miss',
    value: { loads: 2 },
    tier: 'source',
  })
  expect(await cache.get('stats', ['none'], { as: 'hit' })).toEqual({ hit: 'miss', value: undefined, tier: null })
})

test('what is stale is given at once while it is made anew, also where its loader fails', async () => {
  let loads = 0
  const load = async () => ++loads
  expect(await cache.getOrSet('stats', ['report'], load, { ttl: '20ms', beta: 0 })).toBe(1)
  await expect.poll(() => cache.get('stats', ['report'], { as: 'hit' })).toMatchObject({ hit: 'stale', value: 1 })
  const broken = () => Promise.reject(new Error('the source is down'))
  expect(await cache.getOrSet('stats', ['report'], broken)).toBe(1)
  await expect.poll(() => errors.map(String)).toContain('Error: the source is down')
  expect(await cache.getOrSet('stats', ['report'], load)).toBe(1)
  await expect.poll(() => cache.get('stats', ['report'])).toBe(2)
})

test('one call of the loader for all that is missing', async () => {
  await cache.set('stats', ['row', 2], 'kept')
  const asked: unknown[] = []
  const load = (missing: readonly (readonly unknown[])[]) => {
    asked.push(missing)
    return missing.map((path) => `loaded ${path[1]}`)
  }
  const paths = [
    ['row', 1],
    ['row', 2],
    ['row', 3],
    ['row', 1],
  ] as const
  const values = ['loaded 1', 'kept', 'loaded 3', 'loaded 1']
  expect(await cache.getOrSetMany('stats', paths, load)).toEqual(values)
  expect(await cache.getOrSetMany('stats', paths, load)).toEqual(values)
  expect(asked).toEqual([
    [
      ['row', 1],
      ['row', 3],
    ],
  ])
  await expect(cache.getOrSetMany('stats', [['row', 8]], () => [])).rejects.toThrow('asked for 1 values and gave 0')
})

test('null and undefined are cached where a negative TTL says so, and are no miss then', async () => {
  let loads = 0
  const load = () => {
    loads++
    return null
  }
  await cache.getOrSet('stats', ['nobody'], load)
  await cache.getOrSet('stats', ['nobody'], load)
  expect(loads).toBe(2)
  expect(await cache.getOrSet('absent', ['nobody'], load)).toBeNull()
  expect(await cache.getOrSet('absent', ['nobody'], load, { as: 'hit' })).toMatchObject({ hit: 'fresh', value: null })
  expect(loads).toBe(3)
  expect(await cache.getOrSet('absent', ['nothing'], () => undefined, { as: 'hit' })).toMatchObject({ hit: 'miss' })
  expect(await cache.get('absent', ['nothing'], { as: 'hit' })).toEqual({ hit: 'fresh', value: undefined, tier: 'l2' })
})

test('what is not cached leaves nothing old in its place', async () => {
  await cache.set('stats', ['row'], 'old')
  expect(await cache.set('stats', ['row'], null)).toBe(false)
  expect(await cache.has('stats', ['row'])).toBe(false)

  const production = open({ production: true })
  try {
    await production.set('stats', ['row'], 'old')
    expect(await production.set('stats', ['row'], () => 1)).toBe(false)
    expect(await production.has('stats', ['row'])).toBe(false)
    expect(await production.getOrSet('stats', ['row'], () => Symbol.iterator)).toBe(Symbol.iterator)
  } finally {
    await production.close()
  }
})

test('a value that would not come back equal throws outside production, with its place', async () => {
  await expect(cache.set('stats', ['row'], { a: [1, () => 1] })).rejects.toThrow('value.a[1]')
  await expect(cache.getOrSet('stats', ['row'], () => ({ at: new URL('http://localhost') }))).rejects.toThrow(
    'value.at',
  )
  expect(await cache.has('stats', ['row'])).toBe(false)
})

test('touch gives what is there a new time', async () => {
  expect(await cache.touch('stats', ['row'])).toBe(false)
  await cache.set('stats', ['row'], 'kept', { ttl: '30ms', grace: '1h' })
  await expect.poll(() => cache.get('stats', ['row'], { as: 'hit' })).toMatchObject({ hit: 'stale' })
  expect(await cache.touch('stats', ['row'], { ttl: '1h' })).toBe(true)
  expect(await cache.get('stats', ['row'], { as: 'hit' })).toEqual({ hit: 'fresh', value: 'kept', tier: 'l2' })
  expect(Number(await redis.call('PTTL', await cache.key('stats', ['row'])))).toBeGreaterThan(3_600_000)
})

describe('invalidate', () => {
  const put = async () => {
    await cache.getOrSet('stats', ['a', 1], () => 'a1', { tags: ['org:7'] })
    await cache.getOrSet('stats', ['a', 2], (context) => {
      context.tags('late')
      return 'a2'
    })
    await cache.set('other', ['b', 1], 'b1')
    await cache.tenant('5').set('stats', ['a', 1], 'of 5', { tags: ['org:7'] })
    await cache.tenant('*').set('stats', ['a', 1], 'of *')
  }
  const left = async () => {
    const found: string[] = []
    for (const value of [
      ...(await cache.getMany<string>('stats', [
        ['a', 1],
        ['a', 2],
      ])),
      await cache.get<string>('other', ['b', 1]),
      await cache.tenant('5').get<string>('stats', ['a', 1]),
      await cache.tenant('*').get<string>('stats', ['a', 1]),
    ])
      if (value !== undefined) found.push(value)
    return found
  }

  test.each<[string, () => Promise<unknown>, string[]]>([
    ['a tag', () => cache.invalidate({ tag: 'org:7' }), ['a2', 'b1', 'of 5', 'of *']],
    ['a tag of a tenant', () => cache.tenant('5').invalidate({ tag: 'org:7' }), ['a1', 'a2', 'b1', 'of *']],
    ['a tag that the loader named', () => cache.invalidate({ tag: ['late'] }), ['a1', 'b1', 'of 5', 'of *']],
    ['a namespace', () => cache.invalidate({ namespace: 'stats' }), ['b1']],
    ['a subject', () => cache.invalidate({ subject: 'a' }), ['b1']],
    ['a subject of a tenant', () => cache.tenant('5').invalidate({ subject: 'a' }), ['a1', 'a2', 'b1', 'of *']],
    ['a tenant', () => cache.invalidate({ tenant: '*' }), ['a1', 'a2', 'b1', 'of 5']],
    ['a key', async () => cache.invalidate({ key: await cache.key('stats', ['a', 2]) }), ['a1', 'b1', 'of 5', 'of *']],
    ['a pattern', () => cache.invalidate({ pattern: 'shop:v1:stats:a:?' }), ['b1', 'of 5', 'of *']],
    ['a pattern of a tenant', () => cache.tenant('5').invalidate({ pattern: '*' }), ['a1', 'a2', 'b1', 'of *']],
  ])('%s', async (_, invalidate, expected) => {
    await put()
    expect(await left()).toEqual(['a1', 'a2', 'b1', 'of 5', 'of *'])
    expect(await invalidate()).toMatchObject({ status: 'applied' })
    expect(await left()).toEqual(expected)
    // what is written afterwards is good, also under generations
    await put()
    expect(await left()).toEqual(['a1', 'a2', 'b1', 'of 5', 'of *'])
  })

  test('the key of a long path, which only its digest names', async () => {
    const path = ['long', 'x'.repeat(500)] as const
    await cache.set('stats', path, 1)
    await cache.set('stats', ['long', 'y'.repeat(500)], 2)
    await cache.invalidate({ key: await cache.key('stats', path) })
    expect(await cache.getMany('stats', [path, ['long', 'y'.repeat(500)]])).toEqual([undefined, 2])
  })

  test.each<[unknown, string]>([
    [{}, 'no target'],
    [{ tag: 'a', key: 'b' }, 'no target'],
    [null, 'no target'],
    [{ namespace: 'statistics' }, 'no namespace called'],
    [{ model: 'town' }, 'no model called'],
    [{ key: 'foreign:1' }, 'is no key of this cache'],
  ])('refuses %j', async (target, message) => {
    await expect(cache.invalidate(target as never)).rejects.toThrow(message)
  })

  test('a handle of a tenant reaches nobody else', async () => {
    const five = cache.tenant('5')
    await expect(five.invalidate({ tenant: '6' })).rejects.toThrow('not the one of this handle')
    await expect(five.invalidate({ key: await cache.tenant('6').key('stats', ['a']) })).rejects.toThrow(
      'not of tenant 5',
    )
    await expect(five.invalidate({ namespace: 'stats' })).rejects.toThrow('for one tenant')
  })
})

test('runWithTenant holds over awaits, and a handle of its own comes before it', async () => {
  await cache.runWithTenant('5', async () => {
    await new Promise((resolve) => setImmediate(resolve))
    await cache.set('stats', ['a'], 'five')
    await cache.tenant('6').set('stats', ['a'], 'six')
  })
  expect(await cache.get('stats', ['a'])).toBeUndefined()
  expect(await cache.tenant('5').get('stats', ['a'])).toBe('five')
  expect(await cache.tenant('6').get('stats', ['a'])).toBe('six')
})

test.each<[string, () => unknown, string]>([
  ['a namespace that is not declared', () => cache.get('nowhere' as 'stats', ['a']), 'no namespace called'],
  ['the subject of a model', () => cache.get('stats', ['city', 1]), 'is the subject of model city'],
  ['a subject of functions', () => cache.get('stats', ['@fn.x']), 'begins with @'],
  ['a path that is none', () => cache.get('stats', 'a' as never), 'no list that begins with text'],
  ['an empty id', () => cache.get('stats', ['a', '']), 'empty'],
  ['a loader that is none', () => cache.getOrSet('stats', ['a'], 5 as never), 'no function'],
  ['a TTL without unit', () => cache.set('stats', ['a'], 1, { ttl: '5' as never }), 'has no unit'],
  ['an empty tenant', () => cache.tenant(''), 'tenant'],
])('refuses %s', async (_, call, message) => {
  await expect((async () => call())()).rejects.toThrow(message)
})

test('a loader that asks for its own entry is told so, and does not wait for itself', async () => {
  const load = (): Promise<number> => cache.getOrSet('stats', ['loop'], load)
  await expect(cache.getOrSet('stats', ['loop'], load)).rejects.toThrow('asks for the very entry that it loads')
  const a = (): Promise<number> => cache.getOrSet('stats', ['a'], b)
  const b = (): Promise<number> => cache.getOrSet('stats', ['b'], a)
  await expect(a()).rejects.toThrow('asks for the very entry that it loads')
  // another entry within a loader is another load
  expect(await cache.getOrSet('stats', ['outer'], () => cache.getOrSet('stats', ['inner'], () => 1))).toBe(1)
})

test('a schema that changes values changes those that were just loaded as well', async () => {
  const trimmed = {
    '~standard': {
      version: 1 as const,
      vendor: 'test',
      validate: (value: unknown) => ({ value: String(value).trim() }),
    },
  }
  const read = () => cache.getOrSet('stats', ['text'], () => ' a ', { schema: trimmed })
  expect([await read(), await read()]).toEqual(['a', 'a'])
  expect(await cache.get('stats', ['text'])).toBe(' a ')
})

test('thousands of reads of one turn', async () => {
  const paths = Array.from({ length: 5_000 }, (_, id) => ['row', id] as const)
  await cache.setMany(
    'stats',
    paths.map((path) => [path, path[1]] as const),
  )
  expect(await cache.getMany('stats', paths)).toEqual(paths.map((path) => path[1]))
})
