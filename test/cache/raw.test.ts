// Raw namespaces over a real Redis: what other software wrote is read, what is written here others can read.
import { afterAll, beforeAll, beforeEach, describe, expect, it } from 'vitest'
import { openStore } from '../../src/adapters/redis/store.ts'
import type { CountedEvent } from '../../src/cache/counters.ts'
import { createKernel } from '../../src/cache/create-kernel.ts'
import type { Kernel } from '../../src/cache/kernel.ts'
import { createRaw, type Raw, type RawOptions } from '../../src/cache/raw.ts'
import type { ResolvedNamespace } from '../../src/config/resolved.ts'
import type { Store } from '../../src/ports.ts'
import { aConfig, aNamespace } from '../resolved.ts'
import { startRedis, type TestRedis } from '../servers.ts'

const raw = (name: string, keyPattern: string, more: Partial<ResolvedNamespace> = {}) => ({
  [name]: aNamespace(name, { format: 'raw', keyPattern, ttlMs: 60_000, graceMs: 0, ...more }),
})
const NAMESPACES = {
  ...raw('product', 'product:*'),
  ...raw('forever', 'f:*', { ttlMs: null }),
  ...raw('versioned', '{subject}:v{version}:{rest}', { versionKey: 'cache_version:{subject}' }),
  ...raw('unversioned', 'u/{subject}/{version}/{rest}'),
  ...raw('ofTenant', 't.{tenant}.{subject}.{rest}'),
  detail: aNamespace('detail'),
}

let redis: TestRedis
const opened: { kernel: Kernel; store: Store }[] = []
beforeAll(async () => {
  redis = await startRedis()
})
afterAll(async () => {
  for (const { kernel, store } of opened) {
    await kernel.close()
    await store.close()
  }
  await redis.stop()
})
beforeEach(async () => {
  await redis.call('FLUSHALL')
})

interface Cache {
  raw: Raw
  kernel: Kernel
  counted: CountedEvent[]
  errors: unknown[]
  tenant(id: string): Raw
}

function open({ url = redis.url, production = false } = {}): Cache {
  const counted: CountedEvent[] = []
  const errors: unknown[] = []
  const config = aConfig(url, [], { namespaces: NAMESPACES, tenantLabel: 'org' })
  const store = openStore({ url, from: 'the test', tls: null }, { connectTimeoutMs: 1000, replyTimeoutMs: 1000 })
  const kernel = createKernel({
    config,
    store,
    clock: Date,
    random: Math.random,
    counters: {
      count: (event) => void counted.push(event),
      group: () => ({ count: (event) => void counted.push(event) }),
    },
    near: null,
    deadlineMs: 2000,
    sourceConcurrency: 8,
    production,
    strict: false,
    onError: (error) => void errors.push(error),
  })
  opened.push({ kernel, store })
  const handle = (id: string | null) => createRaw({ kernel, tenant: () => id })
  return { raw: handle(null), kernel, counted, errors, tenant: handle }
}

const text = async (key: string) => {
  const value = await redis.call('GET', key)
  return value === null ? null : String(value)
}
const pttl = async (key: string) => Number(await redis.call('PTTL', key))

describe('a raw namespace', () => {
  it('reads what other software wrote, and writes what it can read', async () => {
    const { raw } = open()
    await redis.call('SET', 'product:42', '{ "name": "Teapot", "tags": [1, null] }')
    expect(await raw.get('product', 'product:42')).toEqual({ name: 'Teapot', tags: [1, null] })
    expect(await raw.has('product', 'product:42')).toBe(true)
    expect(await raw.set('product', 'product:43', { name: 'Cup', price: 1.5 })).toBe(true)
    expect(await text('product:43')).toBe('{"name":"Cup","price":1.5}')
    expect(await raw.delete('product', 'product:43')).toBe(true)
    expect(await raw.delete('product', 'product:43')).toBe(false)
    expect(await raw.get('product', 'product:43')).toBeUndefined()
    expect(await raw.has('product', 'product:43')).toBe(false)
  })

  it('gives entries the TTL of the namespace, of the call, or none', async () => {
    const { raw } = open()
    await raw.set('product', 'product:1', 1)
    expect(await pttl('product:1')).toBeGreaterThan(58_000)
    expect(await pttl('product:1')).toBeLessThanOrEqual(60_000)
    await raw.set('product', 'product:1', 1, { ttl: '5s' })
    expect(await pttl('product:1')).toBeLessThanOrEqual(5000)
    await raw.set('forever', 'f:1', 1)
    expect(await pttl('f:1')).toBe(-1)
    await raw.getOrSet('product', 'product:2', ({ ttl }) => {
      ttl('3s')
      return 2
    })
    expect(await pttl('product:2')).toBeLessThanOrEqual(3000)
  })

  it('tells null from nothing, and caches it only where negativeTtl says so', async () => {
    const { raw } = open()
    await redis.call('SET', 'product:null', 'null')
    expect(await raw.get('product', 'product:null')).toBeNull()
    expect(await raw.getOrSet('product', 'product:none', () => null)).toBeNull()
    expect(await text('product:none')).toBeNull()
    expect(await raw.getOrSet('product', 'product:none', () => null, { negativeTtl: '2s' })).toBeNull()
    expect(await text('product:none')).toBe('null')
    expect(await pttl('product:none')).toBeLessThanOrEqual(2000)
    expect(await raw.getOrSet('product', 'product:undefined', () => undefined, { negativeTtl: '2s' })).toBeUndefined()
    expect(await raw.set('product', 'product:undefined', undefined)).toBe(false)
    expect(await text('product:undefined')).toBeNull()
  })

  it('takes what is no JSON for a miss, counts it, and replaces it', async () => {
    const { raw, counted, errors } = open()
    await redis.call('SET', 'product:p', Buffer.from('80049503000000', 'hex'))
    expect(await raw.get('product', 'product:p')).toBeUndefined()
    expect(counted).toEqual(['error', 'miss'])
    expect(String(errors[0])).toContain('the value of product:p is no JSON')
    expect(await raw.getOrSet('product', 'product:p', () => 'new')).toBe('new')
    expect(await text('product:p')).toBe('"new"')
  })

  it('never overwrites a key that is no string', async () => {
    const { raw, errors } = open()
    await redis.call('HSET', 'product:h', 'field', 'value')
    expect(await raw.getOrSet('product', 'product:h', () => 'loaded')).toBe('loaded')
    expect(await redis.call('TYPE', 'product:h')).toBe('hash')
    expect(String(errors[0])).toContain('WRONGTYPE')
  })

  it('refuses what plain JSON cannot hold: throws in development, reports in production', async () => {
    const development = open()
    await expect(development.raw.set('product', 'product:d', { at: new Date() })).rejects.toThrow('"at" is an instance')
    await expect(development.raw.getOrSet('product', 'product:d', () => 1n)).rejects.toThrow('it is a bigint')
    const production = open({ production: true })
    expect(await production.raw.set('product', 'product:d', { at: new Date() })).toBe(false)
    expect(await production.raw.getOrSet('product', 'product:d', () => 1n)).toBe(1n)
    expect(production.counted.filter((event) => event === 'uncacheable')).toHaveLength(2)
    expect(production.errors).toHaveLength(2)
    expect(await text('product:d')).toBeNull()
  })

  it('looks at what comes back by a schema', async () => {
    const { raw } = open()
    const validate = (value: unknown) => (typeof value === 'number' ? { value: value + 1 } : { issues: ['no number'] })
    const schema = { '~standard': { version: 1, vendor: 'test', validate } } as const
    await redis.call('SET', 'product:s', '"text"')
    expect(await raw.get('product', 'product:s', { schema })).toBeUndefined()
    await redis.call('SET', 'product:s', '1')
    expect(await raw.get('product', 'product:s', { schema })).toBe(2)
    const dates = { ...schema['~standard'], validate: (value: unknown) => ({ value: new Date(Number(value)) }) }
    expect(await raw.getOrSet('product', 'product:s', () => 0, { schema: { '~standard': dates } })).toEqual(new Date(1))
  })

  it('says where a value came from, if it is asked', async () => {
    const { raw } = open()
    const as = 'hit'
    expect(await raw.get('product', 'product:1', { as })).toEqual({ hit: 'miss', value: undefined, tier: null })
    const miss = await raw.getOrSet('product', 'product:1', () => 1, { as })
    expect(miss).toEqual({ hit: 'miss', value: 1, tier: 'source' })
    expect(await raw.get('product', 'product:1', { as })).toEqual({ hit: 'fresh', value: 1, tier: 'l2' })
    const hit = await raw.getOrSet('product', 'product:1', () => 2, { as })
    expect(hit).toEqual({ hit: 'fresh', value: 1, tier: 'l2' })
  })

  it('holds hostile values and keys', async () => {
    const { raw } = open()
    const big = { text: 'x'.repeat(5_000_000) }
    expect(await raw.set('product', 'product:big', big)).toBe(true)
    expect(await raw.get('product', 'product:big')).toEqual(big)
    const polluted = JSON.parse('{"__proto__":{"admin":true}}')
    await raw.set('product', 'product:\r\nSET x 1\0 ☃', polluted)
    const back = (await raw.get('product', 'product:\r\nSET x 1\0 ☃')) as Record<string, unknown>
    expect(Object.keys(back)).toEqual(['__proto__'])
    expect(({} as Record<string, unknown>).admin).toBeUndefined()
    expect(await redis.call('EXISTS', 'x')).toBe(0)
  })

  it.each<[string, string | (string | number)[], RawOptions, string]>([
    ['nothing', 'x', {}, 'no namespace called `nothing`'],
    ['detail', 'x', {}, 'the namespace detail is not raw'],
    ['product', 'other:1', {}, 'is not like product:*'],
    ['product', ['product:1', 2], {}, 'is one text'],
    ['product', '', {}, 'empty'],
    ['product', 'product:1', { tags: ['x'] } as RawOptions, '`tags` has no meaning in product'],
    ['product', 'product:1', { grace: '1m' } as RawOptions, '`grace` has no meaning in product'],
    ['versioned', 'user', {}, 'needs a rest'],
    ['versioned', ['user', 'a:b', 'c'], {}, 'holds the colon'],
    ['versioned', ['a:b', 'c'], {}, 'is not like cache_version:{subject}'],
    ['unversioned', ['a', 'b'], {}, 'nothing says which'],
    ['ofTenant', ['a', 'b'], {}, 'there is none here'],
  ])('refuses %s %j %j', async (namespace, key, options, message) => {
    const { raw } = open()
    await expect(raw.get(namespace, key, options)).rejects.toThrow(message)
    await expect(raw.getOrSet(namespace, key, () => 1, options)).rejects.toThrow(message)
  })

  it('keeps tenants apart, and refuses them where its keys do not name them', async () => {
    const { tenant } = open()
    await tenant('1').set('ofTenant', ['user', 7], 'one')
    await tenant('2').set('ofTenant', ['user', 7], 'two')
    expect(await tenant('1').get('ofTenant', ['user', 7])).toBe('one')
    expect(await text('t.2.user.7')).toBe('"two"')
    await redis.call('SET', 'cache_version:user', 1)
    await expect(tenant('1').get('versioned', ['user', 7])).rejects.toThrow('tenants would share its entries')
    // whole keys are the caller's own
    expect(await tenant('1').set('product', 'product:1', 1)).toBe(true)
  })
})

describe('a version in Redis', () => {
  it('decides under which key an entry is, at once', async () => {
    const { raw } = open()
    await redis.call('SET', 'cache_version:user', 3)
    expect(await raw.set('versioned', ['user', 'list', 1], ['a'])).toBe(true)
    expect(await text('user:v3:list:1')).toBe('["a"]')
    expect(await raw.get('versioned', ['user', 'list:1'])).toEqual(['a'])
    await redis.call('INCR', 'cache_version:user')
    expect(await raw.get('versioned', ['user', 'list', 1])).toBeUndefined()
    await redis.call('SET', 'user:v4:list:1', '"b"')
    expect(await raw.get('versioned', ['user', 'list', 1])).toBe('b')
    expect(await raw.delete('versioned', ['user', 'list', 1])).toBe(true)
    expect(await text('user:v3:list:1')).toBe('["a"]')
  })

  it('is needed: without one nothing is read or written', async () => {
    const { raw, counted } = open()
    expect(await raw.set('versioned', ['user', 1], 'x')).toBe(false)
    expect(counted).toEqual(['refused'])
    expect(await raw.getOrSet('versioned', ['user', 1], () => 'loaded')).toBe('loaded')
    expect(await raw.delete('versioned', ['user', 1])).toBe(false)
    const keys = (await redis.call('KEYS', '*')) as string[]
    expect(keys.filter((key) => !key.startsWith('shop~'))).toEqual([])
    await redis.call('SET', 'cache_version:user', 'a:b')
    expect(await raw.get('versioned', ['user', 1])).toBeUndefined()
    expect(counted.at(-1)).toBe('miss')
  })

  it('that is raised while a load is under way leaves its value where nobody looks; taking the version after the load does not', async () => {
    const { raw, kernel } = open()
    const naive = async (load: () => Promise<string>) => {
      const value = await load()
      await kernel.command('SET', `user:v${await kernel.command('GET', 'cache_version:user')}:1`, JSON.stringify(value))
    }
    const staleAfter = async (fill: (load: () => Promise<string>) => Promise<unknown>) => {
      await redis.call('SET', 'cache_version:user', 1)
      await fill(async () => {
        await redis.call('INCR', 'cache_version:user')
        return 'old'
      })
      return raw.get('versioned', ['user', 1])
    }
    expect(await staleAfter((load) => raw.getOrSet('versioned', ['user', 1], load))).toBeUndefined()
    await redis.call('FLUSHALL')
    expect(await staleAfter(naive)).toBe('old')
  })
})

describe('getOrSet', () => {
  it('loads once for all callers of the process, and gives each a value of its own', async () => {
    const { raw, counted } = open()
    let loads = 0
    const load = async () => {
      loads++
      await redis.call('PING')
      return { list: [1] }
    }
    const values = (await Promise.all(
      Array.from({ length: 50 }, () => raw.getOrSet('product', 'product:1', load)),
    )) as { list: number[] }[]
    expect(loads).toBe(1)
    values[0]?.list.push(2)
    expect(values.slice(1).every(({ list }) => list.length === 1)).toBe(true)
    expect(await raw.getOrSet('product', 'product:1', load)).toEqual({ list: [1] })
    expect(loads).toBe(1)
    expect(counted).toEqual(['miss', 'load', 'set', 'l2'])
  })

  it('rejects for all with what the loader throws, and loads again', async () => {
    const { raw } = open()
    const failing = () => Promise.reject(new Error('the source is away'))
    const calls = await Promise.allSettled([1, 2].map(() => raw.getOrSet('product', 'product:1', failing)))
    expect(calls.map(({ status }) => status)).toEqual(['rejected', 'rejected'])
    expect(await raw.getOrSet('product', 'product:1', () => 'there')).toBe('there')
  })

  it('keeps the hard timeout, and what the loader skips', async () => {
    const { raw } = open()
    const hangs = () => new Promise(() => {})
    await expect(raw.getOrSet('product', 'product:1', hangs, { timeout: { hard: '20ms' } })).rejects.toThrow('20 ms')
    const skips = ({ skip }: { skip(): void }) => {
      skip()
      return 'not kept'
    }
    expect(await raw.getOrSet('product', 'product:1', skips)).toBe('not kept')
    expect(await text('product:1')).toBeNull()
    await expect(raw.getOrSet('product', 'product:1', ({ tags }) => tags('x'))).rejects.toThrow('no tags and no grace')
  })

  it.each(['delete', 'set'] as const)(
    'leaves nothing old behind a %s of this process; writing whatever was loaded does',
    async (verb) => {
      const { raw, kernel } = open()
      const naive = async (load: () => Promise<string>) => {
        await kernel.command('SET', 'product:1', JSON.stringify(await load()))
      }
      const readBehind = async (fill: (load: () => Promise<string>) => Promise<unknown>) => {
        await fill(async () => {
          await (verb === 'delete' ? raw.delete('product', 'product:1') : raw.set('product', 'product:1', 'new'))
          return 'old'
        })
        return raw.get('product', 'product:1')
      }
      expect(await readBehind((load) => raw.getOrSet('product', 'product:1', load))).toBe(
        verb === 'set' ? 'new' : undefined,
      )
      await redis.call('FLUSHALL')
      expect(await readBehind(naive)).toBe('old')
    },
  )
})

it('goes on without Redis; only a delete rejects, because nobody would repeat it', async () => {
  const own = await startRedis()
  const { raw, errors, counted } = open({ url: own.url })
  await raw.set('product', 'product:1', 1)
  await own.stop()
  expect(await raw.get('product', 'product:1')).toBeUndefined()
  expect(await raw.getOrSet('product', 'product:1', () => 'source')).toBe('source')
  expect(await raw.set('product', 'product:1', 2)).toBe(false)
  await expect(raw.delete('product', 'product:1')).rejects.toThrow()
  expect(errors.length).toBeGreaterThan(0)
  expect(counted).toContain('error')
})
