import { afterAll, beforeAll, beforeEach, describe, expect, it } from 'vitest'
import { encodeEntry } from '../../src/core/entry.ts'
import { createKeys, generationsKey } from '../../src/core/key.ts'
import { safeJson } from '../../src/core/printable.ts'
import { parseTarget } from '../../src/core/target.ts'
import { DEFAULT_BY, type StatsOptions, type StatsReport, stats } from '../../src/ops/stats.ts'
import type { Store } from '../../src/ports.ts'
import { startRedis, type TestRedis } from '../servers.ts'
import { contextOf, hostileKeys, openTestStore, RAW, testConfig } from './fixture.ts'

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
const seed = Number(process.env.SEED ?? 1)

describe('stats', () => {
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

  const run = (options: Partial<StatsOptions> = {}, more: Parameters<typeof contextOf>[1] = {}): Promise<StatsReport> =>
    stats(contextOf(store, more), { ...defaults, ...options })
  const fill = async (commands: readonly (readonly (string | number | Buffer)[])[]): Promise<void> => {
    const [master] = await store.masters()
    const lane = await (master as NonNullable<typeof master>).lane()
    for (let start = 0; start < commands.length; start += 5000) {
      const page = lane.page()
      for (const command of commands.slice(start, start + 5000)) page.add(...command)
      for (const reply of await lane.run(page))
        if (typeof reply === 'object' && reply !== null && 'error' in reply) throw new Error(reply.error)
    }
    lane.close()
  }
  const counters = async (): Promise<{ hits: number; misses: number }> => {
    const info = String(await server.call('INFO', 'stats'))
    return {
      hits: Number(/keyspace_hits:(\d+)/.exec(info)?.[1]),
      misses: Number(/keyspace_misses:(\d+)/.exec(info)?.[1]),
    }
  }
  const dbsize = async (): Promise<number> => Number(await server.call('DBSIZE'))
  const groups = (report: StatsReport): Record<string, number> =>
    Object.fromEntries(report.groups.map(({ group, keys }) => [group, keys]))

  const keys = createKeys({ prefix: 'shop', tenantLabel: 'org' })
  const address = (namespace: string, subject: string, ...rest: string[]) => ({
    namespace,
    subject,
    version: '1',
    tenant: null,
    rest,
  })
  const entry = (ageMs: number): string | Buffer =>
    encodeEntry(
      { a: 1 },
      {
        incarnation: 'abcdefghijklmnop',
        createdAtMs: Date.now() - ageMs,
        freshUntilMs: null,
        graceMs: 0,
        deltaMs: 1,
        writer: 'test',
        sourceVersion: null,
        tags: [],
        compressAboveBytes: null,
      },
    )

  it('counts keys, bytes and TTLs of any Redis without a config, and tells the truth about each', async () => {
    await fill([
      ...Array.from({ length: 600 }, (_, i) => [
        'SET',
        `session:${(i * 7919 + 0xabc123).toString(16).padStart(8, '0')}`,
        'x'.repeat(100),
        'PX',
        600_000,
      ]),
      ...Array.from({ length: 300 }, (_, i) => ['HSET', `user:${i}:cart`, 'a', i]),
      ...Array.from({ length: 100 }, (_, i) => [
        'SET',
        `user:${i}:profile`,
        'x',
        'PX',
        i < 50 ? 3_600_000 : 86_400_000,
      ]),
    ])
    const report = await run({ largest: 3 })
    expect(groups(report)).toEqual({ 'session:*': 600, 'user:*:cart': 300, 'user:*:profile': 100 })
    const [sessions, carts, profiles] = report.groups as [
      StatsReport['groups'][0],
      StatsReport['groups'][0],
      StatsReport['groups'][0],
    ]
    let bytes = 0
    for (let i = 0; i < 300; i++) bytes += Number(await server.call('MEMORY', 'USAGE', `user:${i}:cart`))
    expect(carts).toMatchObject({
      bytes,
      noTtlKeys: 300,
      share: 0.3,
      declared: false,
      namespace: null,
      age: null,
      hits: null,
      error: null,
      ttl: { p50Ms: null, p95Ms: null },
    })
    expect(sessions.noTtlKeys).toBe(0)
    expect(Math.abs((sessions.ttl.p50Ms as number) - 600_000)).toBeLessThan(600_000 * 0.05)
    expect(profiles.ttl.p95Ms).toBeGreaterThan(86_400_000 * 0.95)
    expect(profiles.ttl.buckets.filter((bucket) => bucket.keys > 0)).toEqual([
      { underMs: 3_600_000, keys: 50 },
      { underMs: 86_400_000, keys: 50 },
    ])
    expect(report).toMatchObject({
      command: 'stats',
      ok: true,
      complete: true,
      dryRun: false,
      method: 'full',
      prefix: null,
      control: { keys: 0 },
    })
    expect(report.redis.version).toMatch(/^(Redis|Valkey) /)
    expect(report.largest.map((key) => key.bytes)).toEqual(
      [...report.largest.map((key) => key.bytes)].sort((a, b) => b - a),
    )
    expect(report.largest).toHaveLength(3)
    expect(report.server.keys).toBe(1000)
  })

  it('groups by the config first; all groups together are DBSIZE less control data', async () => {
    await fill([
      ...Array.from({ length: 50 }, (_, i) => [
        'SET',
        keys.build(address('detail', 'product', String(i))),
        entry(i * 1000),
        'PX',
        3_000_000,
      ]),
      ...Array.from({ length: 10 }, (_, i) => [
        'SET',
        keys.build(address('list', 'product', 'all', `page_${i}`)),
        entry(0),
        ...(i < 4 ? ['PX', 250_000] : i < 7 ? ['PX', 9_000_000] : []),
      ]),
      ...Array.from({ length: 20 }, (_, i) => ['SET', `bull:emails:${i}`, 'x']),
      ['SET', 'legacy:a', 'x', 'PX', 30_000],
      ['HSET', generationsKey('shop'), 'incarnation', 'abcdefghijklmnop'],
      ['SET', 'shop~fence:product', 'x'],
    ])
    const config = testConfig(server.url)
    const report = await run({}, { config })
    expect(groups(report)).toEqual({ 'detail:product:*': 50, 'bull:emails:*': 20, 'list:product:*': 10, 'old:*': 1 })
    expect(report.groups.reduce((sum, group) => sum + group.keys, 0)).toBe((await dbsize()) - report.control.keys)
    expect(report.control).toMatchObject({ keys: 2 })
    expect(
      report.groups.map(({ group, declared, namespace, subject }) => ({ group, declared, namespace, subject })),
    ).toContainEqual({ group: 'list:product:*', declared: true, namespace: 'list', subject: 'product' })
    const finding = (id: string): string | undefined =>
      report.health.findings.find((found) => found.id === id)?.evidence
    expect(report.health.status).toBe('warning')
    expect(finding('no-ttl')).toBe('3 in list:product:* without TTL')
    expect(finding('ttl-too-long')).toBe('3 in list:product:* beyond their TTL')
    expect(finding('undeclared')).toBe('20 of 81 keys, most of them bull:emails:*')
    expect(finding('not-cached')).toBe('city')

    expect(groups(await run({ by: ['namespace'] }, { config }))).toMatchObject({ 'detail:*': 50, 'list:*': 10 })
    expect(groups(await run({ by: ['type'] }, { config }))).toEqual({ string: 81 })
    const product = await run({ targets: [parseTarget('product', config)] }, { config })
    expect(groups(product)).toEqual({ 'detail:product:*': 50, 'list:product:*': 10 })
    expect(product.health.findings.map((found) => found.id)).not.toContain('not-cached')
    expect(groups(await run({ targets: [parseTarget('all', config)] }, { config }))).toEqual({
      'detail:product:*': 50,
      'list:product:*': 10,
    })
  })

  it('reads ages of a sample of declared entries, only where that disturbs nothing or is allowed', async () => {
    await fill(
      Array.from({ length: 1500 }, (_, i) => [
        'SET',
        keys.build(address('detail', 'product', String(i))),
        entry(i * 1000),
        'PX',
        3_000_000,
      ]),
    )
    await fill([
      ['SET', keys.build(address('detail', 'product', 'foreign')), ''],
      ['HSET', keys.build(address('detail', 'product', 'hash')), 'a', 1],
    ])
    const config = testConfig(server.url)
    const before = await counters()
    const report = await run({ age: true }, { config })
    const after = await counters()
    const [group] = report.groups
    expect(report.scan.headersRead).toBeGreaterThanOrEqual(998)
    expect(group?.age?.read).toBe(report.scan.headersRead)
    expect(Math.abs((group?.age?.p50Ms ?? 0) - 750_000)).toBeLessThan(100_000)
    expect({ hits: after.hits - before.hits, misses: after.misses - before.misses }).toEqual({
      hits: report.scan.hitsAdded,
      misses: report.scan.missesAdded,
    })

    const noTouch = await store.supports('client|no-touch')
    const quiet = await run({}, { config })
    expect(quiet.groups[0]?.age === null).toBe(!noTouch)
    expect(quiet.notes.some((note) => note.includes('--age'))).toBe(!noTouch)
  })

  it('adds exactly the hits and misses to INFO that it says, and leaves idle times alone', async () => {
    await fill([
      ...Array.from({ length: 4000 }, (_, i) => ['SET', `k:${i}`, 'x', ...(i % 2 === 0 ? ['PX', 600_000] : [])]),
      ['SET', 'probe', 'x'],
    ])
    await server.call('CONFIG', 'SET', 'maxmemory-policy', 'allkeys-lru')
    const idle = async (): Promise<number> => Number(await server.call('OBJECT', 'IDLETIME', 'probe'))
    while ((await idle()) < 2) await new Promise((resolve) => setTimeout(resolve, 50))
    const idleBefore = await idle()
    for (const by of [['namespace'], ['type']] as const) {
      const before = await counters()
      const report = await run({ by })
      const after = await counters()
      expect(after.hits - before.hits).toBe(report.scan.hitsAdded)
      expect(after.misses - before.misses).toBe(report.scan.missesAdded)
      expect(report.scan.hitsAdded).toBe(by[0] === 'type' ? 8002 : 4001)
    }
    expect(await idle()).toBeGreaterThanOrEqual(idleBefore)
    await server.call('CONFIG', 'SET', 'maxmemory-policy', 'noeviction')
  })

  it('counts what is gone when it is asked about as gone, not as a key without TTL, and its misses as misses', async () => {
    await fill(Array.from({ length: 3000 }, (_, i) => ['SET', `k:${i}`, 'x', 'PX', 3_600_000]))
    // Keys that SCAN names and that are deleted before they are asked about.
    const [master] = await store.masters()
    const deleting: Store = {
      ...store,
      identity: () => store.identity(),
      info: () => store.info(),
      call: (...args) => store.call(...args),
      masters: async () => [
        {
          id: 'deleting',
          lane: async (laneOptions) => {
            const lane = await (master as NonNullable<typeof master>).lane(laneOptions)
            let deleted = false
            return {
              noTouch: lane.noTouch,
              closed: false,
              close: () => lane.close(),
              page: () => lane.page(),
              run: async (page) => {
                const replies = await lane.run(page)
                if (!deleted && page.length === 3) {
                  deleted = true
                  const [, keysFound] = replies[1] as unknown as [Buffer, Buffer[]]
                  await server.call('DEL', ...(keysFound.slice(0, 100) as [Buffer]))
                }
                return replies
              },
            }
          },
        },
      ],
    }
    const before = await counters()
    const report = await stats(contextOf(deleting), defaults)
    const after = await counters()
    expect(report.scan.gone).toBe(100)
    expect(report.total).toMatchObject({ keys: 2900, noTtlKeys: 0 })
    expect({ hits: after.hits - before.hits, misses: after.misses - before.misses }).toEqual({
      hits: 2900,
      misses: 100,
    })
    expect(report.scan).toMatchObject({ hitsAdded: 2900, missesAdded: 100 })
  })

  it('measures the hit rate of others only', async () => {
    await fill([['SET', 'a', 'x'], ...Array.from({ length: 2000 }, (_, i) => ['SET', `k:${i}`, 'x'])])
    const running = run({ intervalMs: 300 })
    const wait = async (): Promise<void> => {
      for (let i = 0; i < 30; i++) await server.call('GET', i % 3 === 0 ? 'missing' : 'a')
    }
    // The lookups must fall into the interval: it begins with the first INFO of the run.
    const begun = await new Promise<boolean>((resolve) => {
      const check = async (): Promise<void> => {
        const stat = String(await server.call('INFO', 'commandstats'))
        if (/cmdstat_scan:/.test(stat)) resolve(true)
        else setImmediate(() => void check())
      }
      void check()
    })
    expect(begun).toBe(true)
    await wait()
    const report = await running
    expect(report.server.hitRateNow).toBeCloseTo(2 / 3, 5)
    expect(report.server.intervalMs).toBeGreaterThanOrEqual(300)
  })

  it('gives nothing raw of 3,000 hostile keys, and loses none', async () => {
    const hostile = hostileKeys()
    await fill(hostile.map((key) => ['SET', key, 'x']))
    const total = await dbsize()
    for (const config of [null, testConfig(server.url)]) {
      for (const by of [DEFAULT_BY, ['pattern'], ['type']] as StatsOptions['by'][]) {
        const report = await run({ by, top: 5000, largest: 100 }, { config })
        expect(report.groups.reduce((sum, group) => sum + group.keys, 0)).toBe(total - report.control.keys)
        expect(safeJson(report)).not.toMatch(RAW)
        for (const { group } of report.groups) expect(group).not.toMatch(RAW)
      }
    }
  })

  it('knows what it may not ask', async () => {
    await fill(Array.from({ length: 100 }, (_, i) => ['SET', `k:${i}`, 'x', 'PX', 60_000]))
    await server.call('ACL', 'SETUSER', 'sizeless', 'on', '>pw', '~*', '+@all', '-memory')
    await server.call('ACL', 'SETUSER', 'half', 'on', '>pw', '~k:1*', '+@all')
    const as = (user: string): Store =>
      openTestStore({ ...server, url: server.url.replace('unix:', `unix://${user}:pw@`) })
    const sizeless = as('sizeless')
    const blind = await stats(contextOf(sizeless), defaults)
    expect(blind.groups[0]).toMatchObject({ keys: 100, bytes: null, noTtlKeys: 0 })
    expect(blind.health.findings.map((found) => found.id)).toContain('bytes-unknown')
    await sizeless.close()
    const half = as('half')
    const before = await counters()
    const partial = await stats(contextOf(half), defaults)
    expect(partial.groups[0]?.keys).toBe(100)
    expect(partial.groups[0]?.bytes).toBe(100 * Number(await server.call('MEMORY', 'USAGE', 'k:11')))
    expect(partial.notes.join()).toContain('refused to tell the size of 89 keys')
    expect((await counters()).hits - before.hits).toBe(partial.scan.hitsAdded)
    await half.close()
  })

  it('tells what it saw until it was stopped', async () => {
    await fill(Array.from({ length: 50_000 }, (_, i) => ['SET', `k:${i}`, 'x']))
    const stop = new AbortController()
    const report = await run(
      {},
      { signal: stop.signal, emit: (event) => event.event === 'progress' && event.done > 5000 && stop.abort() },
    )
    expect(report).toMatchObject({ ok: false, complete: false, method: 'sample' })
    expect(report.scan.visited).toBeLessThan(40_000)
    expect(Math.abs((report.groups[0]?.keys ?? 0) - 50_000)).toBeLessThan(1)
  })

  it('sums what does not fit in one line', async () => {
    await fill(Array.from({ length: 300 }, (_, i) => ['SET', `${'abcdefghijklmnopqrst'[i % 20]}x:${i}`, 'x']))
    const report = await run({ top: 5 })
    expect(report.groups).toHaveLength(6)
    expect(report.groups.at(-1)).toMatchObject({ group: '(15 more groups)', keys: 225, share: 0.75 })
    expect(report.groups.reduce((sum, group) => sum + group.keys, 0)).toBe(300)
  })
})

describe('sampled stats', () => {
  it('are in their stated intervals, of all groups, in at least 95 of 100 seeds', async () => {
    const server = await startRedis()
    const store = openTestStore(server)
    const total = 6_000
    let covered = 0
    const failures: string[] = []
    for (let round = 0; round < 100; round++) {
      // Another set of keys each time: which of them SCAN meets first is then drawn anew.
      await server.call('FLUSHALL')
      const script = `
        math.randomseed(ARGV[1])
        local n, names, ends = tonumber(ARGV[2]), {'big','middle','small','rare','tiny'}, {0.6, 0.85, 0.95, 0.99, 1}
        for i = 0, n - 1 do
          local g = 1
          while (i + 0.5) / n > ends[g] do g = g + 1 end
          redis.call('SET', names[g] .. ':' .. ARGV[1] .. ':' .. i, string.rep('x', math.floor(math.exp(4 + math.random() * 3))))
        end`
      await server.call('EVAL', script, 0, seed * 1000 + round, total)
      const options = { ...defaults, mode: { kind: 'sample', keys: 750 } as const }
      const sample = await stats(contextOf(store), options)
      const truth = await stats(contextOf(store), { ...options, mode: { kind: 'full' } })
      if (sample.method !== 'sample') expect.fail('it was no sample')
      const wrong = truth.groups.filter((real) => {
        const estimate = sample.groups.find((group) => group.group === real.group)
        if (estimate === undefined) return real.keys > total * 0.01
        const keysOff = Math.abs(estimate.keys - real.keys) > (estimate.error?.keys ?? 0)
        const bytesError = estimate.error?.bytes ?? Number.POSITIVE_INFINITY
        return keysOff || Math.abs((estimate.bytes ?? 0) - (real.bytes ?? 0)) > bytesError
      })
      if (wrong.length === 0) covered++
      else failures.push(`${round}: ${wrong.map((group) => group.group)}`)
    }
    expect(covered, `seed ${seed}: ${failures.join('; ')}`).toBeGreaterThanOrEqual(95)
    await store.close()
    await server.stop()
  })
})
