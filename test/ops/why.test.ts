import { Chalk } from 'chalk'
import { afterAll, beforeAll, beforeEach, describe, expect, it } from 'vitest'
import { openStore } from '../../src/adapters/redis/store.ts'
import { encodeEntry } from '../../src/core/entry.ts'
import { BUMP } from '../../src/core/generation-record.ts'
import {
  bumpsKey,
  countersKey,
  createKeys,
  generationsKey,
  leaseKey,
  processesKey,
  revisionKey,
  stampKey,
} from '../../src/core/key.ts'
import { printable } from '../../src/core/printable.ts'
import type { OperationContext } from '../../src/ops/context.ts'
import { getEntry } from '../../src/ops/get.ts'
import { beginJournal } from '../../src/ops/journal.ts'
import { why } from '../../src/ops/why.ts'
import type { Store } from '../../src/ports.ts'
import { renderWhy } from '../../src/render/why.ts'
import { startRedis, type TestRedis } from '../servers.ts'
import { contextOf, hostileKeys, openTestStore, RAW, testConfig } from './fixture.ts'

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
    if (stored !== null) await server.call('SET', PRODUCT, stored, 'PX', 60_000)
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
    expect(read).toMatchObject({ outcome: 'miss', reason: 'outdated-generation', next: 'cachectl warm product' })
    await server.call('SET', key, entry())
    expect((await explain(PRODUCT)).read.next).toBe(`cachectl why '${key}'`)
    expect((await explain(key)).read.outcome).toBe('fresh')
  })

  it.each([
    ['shop:v2:detail:product:1', 'other-version', /of version v2; the config is at v1/],
    ['shop:v1:nowhere:product:1', 'undeclared', /has no nowhere:product/],
    ['shop:v1:nowhere:@fn.a:1', 'undeclared', /has no nowhere:@fn.a/],
    ['shop~generations', 'control-data', /control data/],
    ['legacy:1', 'raw', /Other software writes such keys/],
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
    await server.call('SET', key, entry(), 'PX', 60_000)
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

describe('why, in full', () => {
  const config = () =>
    testConfig(server.url, {
      models: {
        product: { source: SOURCE, namespace: 'detail', tenant: false, version: 2 },
        city: { source: SOURCE, namespace: 'detail', tenant: false, key: (row: { slug: string }) => row.slug },
        order: { source: SOURCE, namespace: 'detail', tenant: true },
      },
    })
  const SOURCE = { kind: 'test', reads: 'page', strategies: [], async *select() {} }
  const explain = (key: string, more: Partial<OperationContext> = {}) =>
    why(contextOf(store, { config: config(), ...more }), key)
  const bump = (field: string, token: string, by: string) =>
    server.call(
      'EVAL',
      BUMP,
      3,
      generationsKey('shop'),
      revisionKey('shop'),
      bumpsKey('shop'),
      `op-${token}`,
      by,
      'r',
      'e',
      field,
      token,
    )
  const CITY = 'shop:v1:detail:city:paris'

  it('which bumps ended its generation, when, and by whom', async () => {
    await server.call('HSET', generationsKey('shop'), 'incarnation', INCARNATION)
    await server.call('SET', CITY, entry(), 'PX', 60_000)
    await bump('namespace:detail', 'n1', 'ops@web-1:7')
    await bump('subject:city', 's1', 'web-2:8')
    await bump('namespace:detail', 'n2', 'ops@web-1:9')
    const report = await explain(CITY)
    expect(report.ended).toEqual([
      {
        scope: 'namespace:detail',
        tenant: null,
        token: null,
        current: 'n2',
        endedAt: expect.any(String),
        by: 'ops@web-1:7',
      },
      { scope: 'model:city', tenant: null, token: null, current: 's1', endedAt: expect.any(String), by: 'web-2:8' },
    ])
    expect(Math.abs(Date.parse(report.ended[0]?.endedAt as string) - Date.now())).toBeLessThan(60_000)
    const current = 'shop:v1:detail~n2:city~s1:paris'
    expect(report.read).toMatchObject({ reason: 'outdated-generation', next: 'cachectl warm city' })
    expect(report.read.sentences[0]).toContain(`A read looks under ${current}, which is not there.`)
    await server.call('SET', current, entry(), 'PX', 60_000)
    expect((await explain(CITY)).read).toMatchObject({ next: `cachectl why '${current}'` })
    expect(report.read.sentences[0]).toMatch(
      /namespace:detail was bumped at .*Z by ops@web-1:7, and model:city was bumped at .* by web-2:8/,
    )
    await server.call('DEL', bumpsKey('shop'))
    expect((await explain('shop:v1:detail~n1:city:paris')).ended[0]).toMatchObject({
      token: 'n1',
      endedAt: null,
      by: null,
    })
    await server.call('SET', bumpsKey('shop'), 'no hash')
    expect((await explain(CITY)).read.sentences[0]).toContain('(when and by whom is not recorded)')
    expect((await explain(current)).ended).toEqual([])
  })

  it('of another version: whether its code is registered, and where a read looks', async () => {
    await server.call('HSET', generationsKey('shop'), 'incarnation', INCARNATION, 'code:1', '2026-11-20T01:02:03.000Z')
    const { read, version } = await explain(PRODUCT)
    expect(version).toEqual({ version: '1', current: '1.2', registeredSince: '2026-11-20T01:02:03.000Z', live: false })
    expect(read).toMatchObject({ reason: 'other-version', next: 'cachectl warm product' })
    expect(read.sentences[0]).toContain('reads only that, under shop:v1.2:detail:product:1, which is not there.')
    await server.call('SET', 'shop:v1.2:detail:product:1', entry(), 'PX', 60_000)
    expect((await explain(PRODUCT)).read.next).toBe('cachectl why shop:v1.2:detail:product:1')
    expect(read.sentences[1]).toContain('has been registered since 2026-11-20T01:02:03Z')
    expect((await explain('shop:v3:detail:product:1')).read.sentences[1]).toBe(
      'No code of v3 is registered: it is left over.',
    )
    const record = { seenAt: Date.now(), heartbeatMs: 5_000, host: 'a', pid: 1, versions: ['1'] }
    await server.call('HSET', processesKey('shop'), 'p1', JSON.stringify(record))
    expect((await explain(PRODUCT)).read.sentences[1]).toBe('Processes of v1 still run, and read it.')
  })

  it('who is loading it, whether it is there or not', async () => {
    await server.call('HSET', generationsKey('shop'), 'incarnation', INCARNATION)
    await server.call('SET', leaseKey('shop', CITY), 'token\x1b', 'PX', 4_000)
    const absent = await explain(CITY)
    expect(absent.lease).toEqual({ token: 'token\\x1B', expiresInMs: expect.any(Number) })
    expect(absent.read.sentences.join(' ')).toMatch(
      /A load of it is under way, whose lease lapses in 4 s unless it is renewed. Other readers wait for it./,
    )
    await server.call('SET', CITY, entry(), 'PX', 60_000)
    expect((await explain(CITY)).read.sentences.join(' ')).toContain('Readers are given what is there meanwhile.')
  })

  it('the chance of an early refresh, by the formula that the library draws by', async () => {
    await server.call('HSET', generationsKey('shop'), 'incarnation', INCARNATION)
    const nowMs = Date.now()
    await server.call('SET', CITY, entry({ freshUntilMs: nowMs + 2_000, deltaMs: 1_000 }), 'PX', 60_000)
    const report = await explain(CITY, { clock: { now: () => nowMs } })
    expect(report.refresh).toEqual({ chance: Math.exp(-2), beta: 1 })
    expect(report.read.sentences).toContain('It took 1 s to make: 13.53 % of reads make it anew now, before its end.')
    expect((await explain(CITY, { clock: { now: () => nowMs + 2_001 } })).refresh).toBeNull()
  })

  it('a TTL that is not as the config says, and what sets it right', async () => {
    await server.call('HSET', generationsKey('shop'), 'incarnation', INCARNATION)
    await server.call('SET', CITY, entry())
    const none = await explain(CITY)
    expect(none.belongsTo?.life).toMatchObject({ kind: 'time', ttlMs: 3_600_000, graceMs: 300_000 })
    expect(none.read).toMatchObject({ outcome: 'fresh', next: `cachectl expire key:${CITY} --from-config` })
    expect(none.read.sentences.at(-1)).toBe('It has no TTL; the config gives it 1h 5m.')
    await server.call('PEXPIRE', CITY, 7_200_000)
    expect((await explain(CITY)).read.sentences.at(-1)).toBe('Its TTL is longer than the config says, 1h 5m.')
    await server.call('PEXPIRE', CITY, 3_900_000)
    expect((await explain(CITY)).read.next).toBeNull()
    await server.call('SET', 'legacy:it', 'x')
    expect((await explain('legacy:it')).read).toMatchObject({
      reason: 'raw',
      next: 'cachectl expire key:legacy:it --from-config',
    })
  })

  it('tags as they were given, and what else it shows', async () => {
    const tags = ['tag:user%3A7', 'tenant:1:tag:logo', 'rows:category', 'lists:city%3AbyCountry'].map((tag) => ({
      tag,
      stamp: 's',
    }))
    await server.call('SET', CITY, entry({ tags }), 'PX', 60_000)
    expect((await explain(CITY)).entry).toMatchObject({
      tags: ['user:7', 'logo of tenant 1'],
      dependsOn: ['rows of category', 'list byCountry of city'],
      createdAt: expect.stringMatching(/Z$/),
    })
  })

  it('the runs that were aimed at it, and none that were not', async () => {
    const context = contextOf(store, { config: config() })
    const run = async (verb: string, ...what: string[]) =>
      (await beginJournal(context, { verb, what, frees: true })).end({
        ok: true,
        complete: true,
        exitCode: 0,
        counts: { deleted: 1 },
      })
    await server.call(
      'SET',
      'shop:v1:detail:order:org_7:1',
      entry({ tags: [{ tag: 'tag:sale', stamp: 's' }] }),
      'PX',
      60_000,
    )
    for (const what of [
      'order:2',
      'product',
      'namespace:list',
      'tag:other',
      'tenant:8',
      'pattern:shop:v1:list:*',
      'nonsense',
      'warm:order',
      'model:order of 8 (all)',
    ])
      await run('invalidate', what)
    await run('version bump', 'model:order', '--tenant 8')
    expect((await explain('shop:v1:detail:order:org_7:1')).journal).toEqual([])
    const aimed = [
      'all',
      'order:1',
      'tag:sale',
      'tenant:7',
      'pattern:shop:v1:detail:*',
      'model:order of 7 (all)',
      'global',
    ]
    for (const [index, what] of aimed.entries()) {
      await run(`verb ${index}`, what)
      const { journal } = await explain('shop:v1:detail:order:org_7:1')
      expect(journal[0], what).toMatchObject({
        verb: `verb ${index}`,
        what: [what],
        state: 'done',
        counts: { deleted: 1 },
      })
    }
    expect((await explain('shop:v1:detail:order:org_7:1')).journal).toHaveLength(5)
    expect((await explain('bull:1')).journal).toEqual([])
  })

  it('what is there in place of a key that is not', async () => {
    await server.call('HSET', generationsKey('shop'), 'incarnation', INCARNATION)
    await server.call('SET', 'shop:v1:list:city:paris', entry(), 'PX', 60_000)
    const absent = await explain(CITY)
    expect(absent.near).toEqual([{ key: 'shop:v1:list:city:paris', how: 'in namespace list', exists: true }])
    expect(absent.read.sentences).toEqual([
      'There is no such key: a read of detail:city is a miss and loads from the source.',
      'Its model names entries by a `key` of their rows, which need not be the id.',
    ])
    const typed = await explain('city:paris')
    expect(typed.read).toMatchObject({ reason: 'not-an-entry', next: `cachectl why ${CITY}` })
    expect(typed.read.sentences[1]).toBe(`Perhaps ${CITY} is meant (of city paris), which is not there either.`)
    const long = `shop:v1:list:city:${'a'.repeat(201)}`
    const digest = (await explain(long)).read.next?.split(' ').at(-1)?.replaceAll("'", '') as string
    expect(digest).toMatch(/^shop:v1:list:city:#.{22}$/)
    await server.call('SET', digest, entry(), 'PX', 60_000)
    expect((await explain(long)).near).toEqual([expect.objectContaining({ key: digest, exists: true })])
    expect(await explain(digest)).toMatchObject({
      belongsTo: { rest: [], digest: digest.split('#')[1] },
      near: [],
      read: { outcome: 'fresh' },
    })
    expect((await explain('bull:1')).near).toEqual([])
  })

  it('a user who may read entries and the control hash alone is told what these say', async () => {
    await server.call('HSET', generationsKey('shop'), 'incarnation', INCARNATION)
    await server.call('SET', CITY, entry(), 'PX', 60_000)
    const rights = ['~shop:*', '~shop~generations', '~shop~lease:*', '+@all', '-time']
    await server.call('ACL', 'SETUSER', 'reader', 'reset', 'on', '>pw', '&*', ...rights)
    const url = server.url.replace('unix:', 'unix://reader:pw@')
    const limited = openStore({ url, from: 'test', tls: null }, { connectTimeoutMs: 2_000, replyTimeoutMs: 5_000 })
    try {
      const report = await why(contextOf(limited, { config: config() }), CITY)
      expect(report).toMatchObject({ read: { outcome: 'fresh' }, reads: null, journal: [], ended: [] })
    } finally {
      await limited.close()
    }
  })

  it('300 hostile names: each is explained, and nothing raw is shown', async () => {
    const plain = new Chalk({ level: 0 })
    for (const [index, key] of hostileKeys().entries()) {
      if (index % 10 !== 0) continue
      const report = await explain(printable(key))
      expect(RAW.exec(renderWhy(report, plain, null))).toBeNull()
      expect(report.exists).toBe(false)
    }
  })
})
