import { afterAll, beforeAll, beforeEach, describe, expect, it } from 'vitest'
import { MOST_GROUPS } from '../../src/cache/counted-groups.ts'
import { counterCommands, createCounters, type FlushedCounters } from '../../src/cache/counters.ts'
import { policyOf } from '../../src/cache/policy.ts'
import { countersKey, createKeys } from '../../src/core/key.ts'
import { parseTarget } from '../../src/core/target.ts'
import { openKernel } from '../../src/open-kernel.ts'
import { DEFAULT_BY, type StatsOptions, type StatsReport, stats } from '../../src/ops/stats.ts'
import type { Lane, Store } from '../../src/ports.ts'
import { randomFromSeed, seed } from '../seed.ts'
import { startRedis, type TestRedis } from '../servers.ts'
import { contextOf, openTestStore, testConfig } from './fixture.ts'

const MINUTE_MS = 60_000
const keys = createKeys({ prefix: 'shop', tenantLabel: 'org' })
const defaults: StatsOptions = {
  targets: [],
  tenant: null,
  by: DEFAULT_BY,
  mode: { kind: 'auto' },
  top: 20,
  largest: 0,
  age: false,
  intervalMs: null,
}

describe('hit rates', () => {
  let server: TestRedis
  let store: Store
  let lane: Lane
  let config: ReturnType<typeof testConfig>
  /** of the processes that count, and of the run that reads */
  const clock = { ms: 0, now: () => clock.ms }
  let counters: FlushedCounters

  beforeAll(async () => {
    server = await startRedis()
    store = openTestStore(server)
    const [master] = await store.masters()
    lane = await (master as NonNullable<typeof master>).lane()
    config = testConfig(server.url)
  })
  afterAll(async () => {
    await store.close()
    await server.stop()
  })
  beforeEach(async () => {
    await server.call('FLUSHALL')
    clock.ms = Date.now()
    counters = createCounters({
      clock,
      onError: (error) => expect.fail(String(error)),
      intervalMs: 2 ** 30,
      flush: async (minute, deltas) => {
        const page = lane.page()
        for (const command of counterCommands('shop', minute, deltas)) page.add(...command)
        await lane.run(page)
        return true
      },
    })
  })

  const run = (options: Partial<StatsOptions> = {}): Promise<StatsReport> =>
    stats(contextOf(store, { config, clock }), { ...defaults, ...options })
  const entry = (namespace: string, subject: string, tenant: string | null, ...rest: string[]) =>
    server.call('SET', keys.build({ namespace, subject, version: '1', tenant, rest }), 'x', 'PX', 600_000)
  const reads = (report: StatsReport) =>
    Object.fromEntries(report.groups.map(({ group, keys: n, hits, misses }) => [group, [n, hits, misses]]))
  const place = (namespace: string, subject: string, tenant: string | null = null) => ({ namespace, subject, tenant })

  it('are those of the reads and loads that the library counted, null where it counted nothing', async () => {
    await entry('detail', 'product', null, '1')
    await entry('detail', 'city', null, '1')
    await entry('list', 'product', null, 'all', 'page_1', 'size_20')
    await server.call('SET', 'foreign', 'x')
    counters.count('l1', place('detail', 'product'), 5)
    counters.count('l2', place('detail', 'product'), 2)
    counters.count('stale', place('detail', 'product'))
    counters.count('miss', place('detail', 'product'), 2)
    counters.count('load', place('detail', 'product'), 1, 30)
    counters.count('load', place('detail', 'product'), 1, 10.5)
    counters.count('set', place('list', 'product'), 3)
    await counters.flush()
    const report = await run()
    const of = (group: string) => report.groups.find((one) => one.group === group)
    expect(of('detail:product:*')).toMatchObject({
      hits: 8,
      misses: 2,
      hitRate: 0.8,
      loads: 2,
      loadMs: { mean: 20.25 },
    })
    expect(of('list:product:*')).toMatchObject({ hits: 0, misses: 0, hitRate: null, loads: 0, loadMs: null })
    for (const group of ['detail:city:*', 'foreign'])
      expect(of(group)).toMatchObject({ keys: 1, hits: null, misses: null, hitRate: null, loads: null, loadMs: null })
    expect(report.total).toMatchObject({ hits: 8, misses: 2, hitRate: 0.8, loads: 2, loadMs: { mean: 20.25 } })
    const empty = await stats(contextOf(store), defaults)
    expect(empty.total).toMatchObject({ hits: null, hitRate: null, loads: null })
  })

  it('are those of an application that uses the library', async () => {
    const kernel = openKernel(config, { deadlineMs: 5_000 })
    const detail = policyOf(config.namespaces.detail as NonNullable<typeof config.namespaces.detail>)
    const user = { namespace: 'detail', subject: '@fn.getUser', version: '1', tenant: '7', rest: ['1'] }
    for (let i = 0; i < 10; i++)
      await kernel.load(user, detail, () => new Promise((done) => setTimeout(done, 20, { id: 1 })))
    await expect(
      kernel.load({ ...user, rest: ['2'] }, detail, () => Promise.reject(new Error('away'))),
    ).rejects.toThrow('away')
    await kernel.close()
    const report = await run()
    expect(report.groups).toMatchObject([
      { group: 'detail:@fn.getUser:*', declared: true, keys: 1, hits: 9, misses: 2, hitRate: 9 / 11 },
    ])
    expect(report.groups[0]?.loadMs?.mean).toBeGreaterThan(5)
    const tenants = await run({ by: ['tenant'] })
    expect(tenants.groups).toMatchObject([{ tenant: '7', keys: 1, hits: 9, misses: 2 }])
  })

  it('are of the last sixty minutes', async () => {
    for (const minutesAgo of [0, 1, 30, 59, 60, 61, 90]) {
      clock.ms = Date.now() - minutesAgo * MINUTE_MS
      counters.count('l2', place('detail', 'city'), 10 ** [0, 1, 30, 59, 60, 61, 90].indexOf(minutesAgo))
      await counters.flush()
    }
    clock.ms = Date.now()
    expect((await run()).total.hits).toBe(1111)
  })

  it('list what is read and has no key, last; a model so read still counts as not cached', async () => {
    await entry('detail', 'product', null, '1')
    counters.count('miss', place('detail', 'city'), 3)
    counters.count('l1', place('count', '@fn.total'), 4)
    counters.count('error', place('count', 'city'), 4)
    counters.count('l1', place('gone', 'old'), 4)
    await counters.flush()
    const report = await run()
    expect(report.groups.map(({ group, keys: n, declared }) => [group, n, declared])).toEqual([
      ['detail:product:*', 1, true],
      ['count:@fn.total:*', 0, true],
      ['gone:old:*', 0, false],
      ['detail:city:*', 0, true],
    ])
    expect(report.total).toMatchObject({ keys: 1, hits: 8, misses: 3 })
    expect(report.health.findings.find(({ id }) => id === 'not-cached')?.evidence).toBe('city')
    expect((await run({ top: 1 })).groups.at(-1)).toMatchObject({
      group: '(3 more groups)',
      keys: 0,
      hits: 8,
      misses: 3,
    })
  })

  it('make a subject declared that live code reads, and only in a namespace of the config', async () => {
    for (const name of ['@fn.getUser', '@fn.gone']) await entry('list', name, null, '7')
    await entry('wrong', '@fn.getUser', null, '7')
    const declared = async () =>
      Object.fromEntries((await run()).groups.map(({ group, declared }) => [group, declared]))
    expect(await declared()).toEqual({
      'list:@fn.getUser:*': false,
      'list:@fn.gone:*': false,
      'wrong:@fn.getUser:*': false,
    })
    counters.count('l1', place('list', '@fn.getUser', '9'))
    counters.count('l1', place('wrong', '@fn.getUser'))
    await counters.flush()
    expect(await declared()).toEqual({
      'list:@fn.getUser:*': true,
      'list:@fn.gone:*': false,
      'wrong:@fn.getUser:*': false,
    })
    const byModel = await run({ by: ['model'] })
    expect(byModel.groups.find(({ subject }) => subject === '@fn.getUser')).toMatchObject({
      keys: 2,
      declared: true,
      hits: 2,
    })
    // Its entries may live as long as its code says: neither too long nor without TTL by mistake.
    await server.call('SET', keys.build({ ...place('list', '@fn.getUser'), version: '1', rest: ['8'] }), 'x')
    expect((await run()).health.findings.map(({ id }) => id)).not.toContain('no-ttl')
  })

  it(`sum to the same in whatever groups (seed ${seed})`, async () => {
    const random = randomFromSeed(seed)
    const pick = <T>(from: readonly T[]): T => from[Math.floor(random() * from.length)] as T
    let hits = 0
    let misses = 0
    for (let i = 0; i < 5000; i++) {
      const at = place(
        pick(['detail', 'list', 'count']),
        pick(['product', 'city', '@fn.a:b*']),
        pick(['1', '2', 'a b', null]),
      )
      const event = pick(['l1', 'l2', 'stale', 'miss'] as const)
      if (event === 'miss') misses++
      else hits++
      counters.count(event, at)
      if (random() < 0.01) await entry(at.namespace, at.subject, at.tenant, String(i))
      if (random() < 0.002) await counters.flush()
    }
    await counters.close()
    const by = [['namespace'], ['model'], ['tenant'], ['namespace', 'model'], ['namespace', 'model', 'tenant']] as const
    for (const groups of by) {
      const report = await run({ by: groups, top: 7 })
      const sum = (of: (group: StatsReport['groups'][0]) => number | null) =>
        report.groups.reduce((all, group) => all + (of(group) ?? 0), 0)
      expect([sum((group) => group.hits), sum((group) => group.misses)], groups.join()).toEqual([hits, misses])
      expect(report.total).toMatchObject({ hits, misses })
      expect(report.notes.join()).not.toContain('in no group')
    }
    for (const unknown of ['version', 'pattern', 'type'] as const) {
      const report = await run({ by: [unknown] })
      expect(report.groups.every((group) => group.hits === null && group.keys > 0)).toBe(true)
      expect(report.total).toMatchObject({ hits, misses })
    }
  })

  it('are of what the targets mean, unknown where those are single entries', async () => {
    for (const tenant of ['1', '2', null]) {
      counters.count('l1', place('detail', 'product', tenant), 1)
      counters.count('l1', place('list', 'product', tenant), 10)
      counters.count('l1', place('detail', 'city', tenant), 100)
    }
    await counters.flush()
    await entry('detail', 'product', '1', '42')
    const hits = async (target: string | null, tenant: string | null = null) =>
      (await run({ targets: target === null ? [] : [parseTarget(target, config)], tenant })).total.hits
    expect(await hits('product')).toBe(33)
    expect(await hits('namespace:detail')).toBe(303)
    expect(await hits('subject:city')).toBe(300)
    expect(await hits('tenant:1')).toBe(111)
    expect(await hits('all')).toBe(333)
    expect(await hits(null, '2')).toBe(111)
    expect(await hits('product', '2')).toBe(11)
    for (const single of ['product:42', 'subject:city:1', 'pattern:shop:*', 'key:shop:v1:detail:product:42']) {
      const report = await run({ targets: [parseTarget(single, config)] })
      expect(report.total.hits, single).toBeNull()
      expect(
        report.groups.filter((group) => group.keys === 0),
        single,
      ).toEqual([])
    }
  })

  it('say how many reads no group has', async () => {
    for (let i = 0; i < MOST_GROUPS + 50; i++) counters.count('l1', place('detail', 'city', `t${i}`))
    await counters.flush()
    const byModel = await run()
    expect(byModel.groups).toMatchObject([{ group: 'detail:city:*', hits: MOST_GROUPS + 50 }])
    expect(byModel.notes).toEqual([])
    const byTenant = await run({ by: ['tenant'], top: 5000 })
    expect(byTenant.groups).toHaveLength(MOST_GROUPS)
    expect(byTenant.total.hits).toBe(MOST_GROUPS + 50)
    expect(byTenant.notes.join()).toMatch(/^50 reads of the last hour are in no group/)
  })

  it('group what is counted of raw namespaces as its keys are', async () => {
    await server.call('SET', 'legacy:a', 'x', 'PX', 30_000)
    counters.count('l2', place('old', 'anything'), 3)
    counters.count('l2', place('old', 'else'), 4)
    await counters.flush()
    expect(reads(await run())).toEqual({ 'old:*': [1, 7, 0] })
  })

  it('add to INFO exactly the lookups that the run says, whatever is in the hashes', async () => {
    counters.count('l1', place('detail', 'city'))
    await counters.flush()
    const minute = Math.floor(clock.ms / MINUTE_MS)
    await server.call('SET', countersKey('shop', minute - 1), 'no hash')
    await server.call(
      'HSET',
      countersKey('shop', minute - 2),
      'detail:city::l1',
      'NaN',
      'x',
      '1',
      'detail:city::l2',
      '-5',
    )
    await server.call('HSET', countersKey('shop', minute - 3), '\u001b[31m:a:b:l1', '1', 'detail:city::l1', '2')
    const counted = async (): Promise<number[]> => {
      const info = String(await server.call('INFO', 'stats'))
      return [/keyspace_hits:(\d+)/, /keyspace_misses:(\d+)/].map((field) => Number(field.exec(info)?.[1]))
    }
    const [hits = 0, misses = 0] = await counted()
    const report = await run()
    const [hitsAfter = 0, missesAfter = 0] = await counted()
    expect(report.total.hits).toBe(3)
    expect(report.control.keys).toBe(4)
    expect([hitsAfter - hits, missesAfter - misses]).toEqual([report.scan.hitsAdded, report.scan.missesAdded])
    expect([report.scan.hitsAdded, report.scan.missesAdded]).toEqual([4 + 4, 56])
  })

  it('are unknown, and said to be, where the user may not read them', async () => {
    await entry('detail', 'city', null, '1')
    counters.count('l1', place('detail', 'city'))
    await counters.flush()
    await server.call('ACL', 'SETUSER', 'blind', 'on', '>pw', '~*', '+@all', '-hgetall')
    const blind = openTestStore({ ...server, url: server.url.replace('unix:', 'unix://blind:pw@') })
    const report = await stats(contextOf(blind, { config, clock }), defaults)
    expect(report.groups).toMatchObject([{ group: 'detail:city:*', keys: 1, hits: null, hitRate: null }])
    expect(report.notes.join()).toContain('hit rates of groups are unknown')
    expect(report.notes.join()).toContain('HGETALL')
    await blind.close()
  })
})
