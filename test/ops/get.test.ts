import { afterAll, beforeAll, beforeEach, describe, expect, it } from 'vitest'
import { encodeEntry } from '../../src/core/entry.ts'
import { countersKey, createKeys, generationsKey, stampKey } from '../../src/core/key.ts'
import { getEntry } from '../../src/ops/get.ts'
import { MOST_ELEMENTS } from '../../src/ops/read-value.ts'
import { why } from '../../src/ops/why.ts'
import type { Store } from '../../src/ports.ts'
import { startRedis, type TestRedis } from '../servers.ts'
import { contextOf, openTestStore, testConfig } from './fixture.ts'

const INCARNATION = 'abcdefghijklmnop'
const PRODUCT = 'shop:v1:detail:product:1'

let server: TestRedis
let store: Store
beforeAll(async () => {
  server = await startRedis()
  store = openTestStore(server)
})
afterAll(async () => {
  await store.close()
  await server.stop()
})
beforeEach(() => server.call('FLUSHALL'))

const entry = (
  more: Partial<Parameters<typeof encodeEntry>[1]> = {},
  value: unknown = { name: 'Zoë', at: new Date(0) },
): string | Buffer =>
  encodeEntry(value, {
    incarnation: INCARNATION,
    createdAtMs: Date.now() - 60_000,
    freshUntilMs: Date.now() + 60_000,
    graceMs: 300_000,
    deltaMs: 12,
    writer: 'test',
    sourceVersion: '2024-01-01 00:00:00.000001+00',
    tags: [],
    compressAboveBytes: null,
    ...more,
  })

describe('get', () => {
  const get = (key: string) => getEntry(contextOf(store), key)

  it('decodes an entry and says what its envelope does', async () => {
    await server.call('SET', PRODUCT, entry(), 'PX', 100_000)
    const report = await get(PRODUCT)
    expect(report).toMatchObject({
      command: 'get',
      ok: true,
      found: true,
      key: PRODUCT,
      value: { name: 'Zoë', at: new Date(0) },
    })
    expect(report.about).toMatchObject({
      type: 'string',
      format: 'entry',
      notes: [],
      entry: {
        writer: 'test',
        deltaMs: 12,
        graceMs: 300_000,
        sourceVersion: '2024-01-01 00:00:00.000001+00',
        incarnation: INCARNATION,
      },
    })
    expect(report.about?.ttlMs).toBeGreaterThan(90_000)
    expect(report.about?.bytes).toBe(await server.call('MEMORY', 'USAGE', PRODUCT))
    expect(report.about?.entry?.freshForMs).toBeGreaterThan(50_000)
    expect(report.raw?.toString()).toBe(await server.call('GET', PRODUCT))
  })

  it.each<[string, (string | Buffer)[], string, unknown]>([
    ['json', ['SET', 'k', '{"a":[1,2]}'], 'json', { a: [1, 2] }],
    ['text', ['SET', 'k', 'plain {'], 'text', 'plain {'],
    ['a number', ['SET', 'k', '42'], 'text', '42'],
    ['nothing', ['SET', 'k', ''], 'text', ''],
    ['bytes', ['SET', 'k', Buffer.from([0xff, 0x00, 0x41])], 'bytes', '\\xFF\\x00A'],
    ['a hash', ['HSET', 'k', 'a', '1', '__proto__', '2'], 'hash', JSON.parse('{"a":"1","__proto__":"2"}')],
    ['a list', ['RPUSH', 'k', 'b', 'a', Buffer.from([0xfe])], 'list', ['b', 'a', '\\xFE']],
    ['a set', ['SADD', 'k', 'x'], 'set', ['x']],
    [
      'a sorted set',
      ['ZADD', 'k', '2', 'b', '1.5', 'a'],
      'zset',
      [
        { member: 'a', score: 1.5 },
        { member: 'b', score: 2 },
      ],
    ],
    ['a stream', ['XADD', 'k', '1-1', 'f', 'v'], 'stream', [{ id: '1-1', fields: { f: 'v' } }]],
  ])('shows %s', async (_, command, format, value) => {
    await server.call(...(command as [string]))
    const report = await get('k')
    expect(JSON.stringify(report.value)).toBe(JSON.stringify(value))
    expect(report.about).toMatchObject({ format, ttlMs: null, entry: null, notes: [] })
  })

  it('shows the beginning of what is huge, and says so', async () => {
    for (const [add, name] of [
      ['RPUSH', 'list'],
      ['SADD', 'set'],
      ['HSET', 'hash'],
      ['ZADD', 'zset'],
    ] as const) {
      const items = Array.from({ length: 2500 }, (_, i) =>
        add === 'HSET' ? [`f${i}`, i] : add === 'ZADD' ? [i, `m${i}`] : [`m${i}`],
      ).flat()
      await server.call(add, name, ...(items as string[]))
      const report = await get(name)
      const shown = name === 'hash' ? Object.keys(report.value as object).length : (report.value as unknown[]).length
      expect(shown).toBe(MOST_ELEMENTS)
      expect(report.about?.notes).toEqual([`the first ${MOST_ELEMENTS} of 2500 elements`])
    }
  })

  it('says that there is no such key, and that an entry is broken', async () => {
    expect(await get('missing')).toMatchObject({ ok: true, found: false, about: null, value: null })
    await server.call('SET', 'k', `${String(entry()).slice(0, 40)}#`)
    expect((await get('k')).about?.notes[0]).toMatch(/cannot be decoded/)
    await expect(get('a\\qb')).rejects.toMatchObject({ code: 'USAGE' })
  })
})

describe('why', () => {
  const explain = (key: string, config = testConfig(server.url)) => why(contextOf(store, { config }), key)
  const vouch = () => server.call('HSET', generationsKey('shop'), 'incarnation', INCARNATION)

  it.each<[string, () => string | Buffer | null, string, RegExp]>([
    ['fresh', () => entry(), 'fresh', /is a hit: written 1 m ago, fresh for another/],
    ['never stale', () => entry({ freshUntilMs: null }), 'fresh', /never stale/],
    ['stale within grace', () => entry({ freshUntilMs: Date.now() - 10_000 }), 'stale', /gives it as stale/],
    ['expired', () => entry({ freshUntilMs: Date.now() - 310_000 }), 'miss', /grace are over/],
    ['absent', () => null, 'miss', /no such key: a read of detail:product is a miss/],
    ['foreign', () => 'text', 'miss', /other software wrote it/],
    ['broken', () => String(entry()).slice(0, 30), 'miss', /header cannot be read \(truncated\)/],
    ['of a lost history', () => entry({ incarnation: 'ponmlkjihgfedcba' }), 'miss', /before the control data was lost/],
  ])('an entry that is %s', async (_, value, outcome, sentence) => {
    await vouch()
    const stored = value()
    if (stored !== null) await server.call('SET', PRODUCT, stored)
    const { read, belongsTo, exists } = await explain(PRODUCT)
    expect(read.outcome).toBe(outcome)
    expect(read.sentences.join(' ')).toMatch(sentence)
    expect(read.next).toBe(outcome === 'fresh' ? null : 'cachectl warm product')
    expect(exists).toBe(stored !== null)
    expect(belongsTo).toMatchObject({
      namespace: 'detail',
      subject: 'product',
      model: 'product',
      version: '1',
      tenant: null,
      rest: ['1'],
      declared: true,
    })
  })

  it('an entry whose control data is gone, or whose scope was bumped', async () => {
    await server.call('SET', PRODUCT, entry())
    expect((await explain(PRODUCT)).read.reason).toBe('no-control-data')
    await vouch()
    await server.call('HSET', generationsKey('shop'), 'namespace:detail', 'n1')
    const current = createKeys(
      { prefix: 'shop', tenantLabel: 'org' },
      {
        global: null,
        namespaces: new Map([['detail', 'n1']]),
        subjects: new Map(),
        tenants: new Map(),
        tenantSubjects: new Map(),
      },
    )
    const key = current.build({ namespace: 'detail', subject: 'product', version: '1', tenant: null, rest: ['1'] })
    const { read } = await explain(PRODUCT)
    expect(read).toMatchObject({ outcome: 'miss', reason: 'outdated-generation', next: `cachectl why '${key}'` })
    await server.call('SET', key, entry())
    expect((await explain(key)).read.outcome).toBe('fresh')
  })

  it.each([
    ['shop:v2:detail:product:1', 'other-version', /of version v2; the config is at v1/],
    ['shop:v1:nowhere:product:1', 'undeclared', /has no nowhere:product/],
    ['shop:v1:nowhere:@fn.a:1', 'undeclared', /has no nowhere:@fn.a/],
    ['shop~generations', 'control-data', /control data/],
    ['legacy:1', 'raw', /Other software writes it/],
    ['bull:1', 'not-an-entry', /no entry of this config/],
  ])('%s is %s', async (key, reason, sentence) => {
    const { read } = await explain(key)
    expect(read.reason).toBe(reason)
    expect(read.sentences.join(' ')).toMatch(sentence)
  })

  it('a key of another type', async () => {
    await vouch()
    await server.call('RPUSH', PRODUCT, 'x')
    expect((await explain(PRODUCT)).read).toMatchObject({ outcome: 'miss', reason: 'wrong-type' })
  })

  it('reads the header alone, also behind long tags', async () => {
    await vouch()
    const tags = Array.from({ length: 60 }, (_, i) => ({ tag: `tag-number-${i}`, stamp: `s${i}` }))
    for (const { tag, stamp } of tags) await server.call('SET', stampKey('shop', tag), stamp)
    await server.call('SET', PRODUCT, entry({ tags }))
    const report = await explain(PRODUCT)
    expect(report.entry?.tags).toHaveLength(60)
    expect(report.read.outcome).toBe('fresh')
  })

  it('an entry of which a tag was invalidated', async () => {
    await vouch()
    const tags = ['tag:a', 'tag:b', 'tag:c\u001b'].map((tag) => ({ tag, stamp: 's1' }))
    await server.call('SET', PRODUCT, entry({ tags }))
    await server.call('MSET', stampKey('shop', 'tag:a'), 's1', stampKey('shop', 'tag:b'), 's2')
    const { read } = await explain(PRODUCT)
    expect(read).toMatchObject({ outcome: 'miss', reason: 'invalidated', next: 'cachectl warm product' })
    expect(read.sentences[0]).toContain(
      'the tag b was invalidated, and the tag c\\x1B was invalidated: a read is a miss',
    )
    const { about } = await getEntry(contextOf(store, { config: testConfig(server.url) }), PRODUCT)
    expect(about?.notes).toContain('no read gives it: since it was loaded the tag b was invalidated')
  })

  it('entries of functions and direct calls, which only code knows', async () => {
    await vouch()
    const key = 'shop:v1:detail:@fn.getUser:7'
    expect(await explain(key)).toMatchObject({
      belongsTo: { declared: false, model: null },
      reads: null,
      read: { outcome: 'miss', reason: 'absent', next: null },
    })
    await server.call('SET', key, entry())
    const minute = Math.floor(Date.now() / 60_000)
    await server.call('HSET', countersKey('shop', minute), 'detail:@fn.getUser:7:l1', 3, 'detail:@fn.getUser::miss', 1)
    const report = await explain(key)
    expect(report).toMatchObject({
      belongsTo: { declared: true },
      reads: { hits: 3, misses: 1, hitRate: 0.75, loads: 0, loadMs: null },
      read: { outcome: 'fresh', next: null },
    })
    expect(report.read.sentences.at(-1)).toBe(
      "detail:@fn.getUser is no model of the config: what reads it is in the application's code.",
    )
    expect((await explain('shop:v2:detail:@fn.getUser:7')).read.reason).toBe('other-version')
  })

  it('works on any Redis without a config', async () => {
    await server.call('SET', 'k', 'x', 'PX', 60_000)
    expect(await why(contextOf(store), 'k')).toMatchObject({
      exists: true,
      type: 'string',
      belongsTo: null,
      read: { outcome: 'foreign', reason: 'no-config', next: 'cachectl init' },
    })
    await server.call('SET', 'e', entry())
    expect((await why(contextOf(store), 'e')).read.sentences.join(' ')).toMatch(/envelope is that of an entry/)
  })
})
