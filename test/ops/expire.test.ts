import { afterAll, beforeAll, beforeEach, describe, expect, it } from 'vitest'
import type { ResolvedConfig } from '../../src/config/resolved.ts'
import { encodeEntry } from '../../src/core/entry.ts'
import type { Expiry } from '../../src/core/expiry.ts'
import { parseTarget } from '../../src/core/target.ts'
import type { OperationContext } from '../../src/ops/context.ts'
import { dryRunExpire, type ExpireReport, executeExpire } from '../../src/ops/expire.ts'
import { type ExpireOptions, type ExpirePlan, planExpire } from '../../src/ops/expire-plan.ts'
import type { Store } from '../../src/ports.ts'
import { startRedis, type TestRedis } from '../servers.ts'
import { contextOf, hostileKeys, openTestStore, testConfig } from './fixture.ts'

const HOUR = 3_600_000

let server: TestRedis
let store: Store
let config: ResolvedConfig
beforeAll(async () => {
  server = await startRedis()
  store = openTestStore(server)
  config = testConfig(server.url, {
    protect: ['shop:v1:detail:city:7'],
    defaults: { jitter: 0 },
    namespaces: {
      list: { ttl: '5m' },
      detail: { ttl: '1h', grace: '5m', jitter: 0.2 },
      kept: { ttl: 'never' },
      old: { ttl: '1m', format: 'raw', key: 'legacy:*' },
    },
    models: {
      product: { source: SOURCE, namespace: 'detail', tenant: false },
      city: { source: SOURCE, namespace: 'detail', tenant: false, ttl: () => '1h' },
    },
  })
})
afterAll(async () => {
  await store.close()
  await server.stop()
})
beforeEach(async () => {
  await server.call('FLUSHALL')
  await server.call('CONFIG', 'SET', 'maxmemory', '0')
})

const SOURCE = { kind: 'test', reads: 'page', strategies: [], async *select() {} }
const fixed = (ttlMs: number): Expiry => ({ ttlMs, jitter: 0, overMs: 0 })

function optionsOf(
  target: string,
  more: Partial<ExpireOptions> = {},
  of: ResolvedConfig | null = config,
): ExpireOptions {
  return {
    targets: [parseTarget(target, of)],
    tenant: null,
    foreign: false,
    expiry: fixed(HOUR),
    shortenOnly: false,
    missingOnly: false,
    exact: false,
    pace: 'max',
    allTenants: false,
    ...more,
  }
}

async function expire(
  target: string,
  more: Partial<ExpireOptions> = {},
  context: Partial<OperationContext> = {},
): Promise<{ plan: ExpirePlan; report: ExpireReport }> {
  const of = contextOf(store, { config, ...context })
  const plan = await planExpire(of, optionsOf(target, more, of.config))
  const report = await executeExpire(of, plan)
  expectBalanced(report)
  return { plan, report }
}

function expectBalanced(report: ExpireReport): void {
  const { changed, outdated, alreadyGone, protected: spared, failed, unknown, remaining } = report
  expect(report.matched).toBe(changed + outdated + alreadyGone + spared + failed + unknown + remaining)
}

const pttl = async (key: string): Promise<number> => Number(await server.call('PTTL', key))

async function fill(names: readonly string[], ttlMs: number | null = null): Promise<void> {
  for (const name of names) await server.call('SET', name, 'x', ...(ttlMs === null ? [] : ['PX', ttlMs]))
}

describe('expire', () => {
  it('gives a TTL to keys that have none, and leaves the others and everything else alone', async () => {
    await fill(['shop:v1:list:product:1', 'shop:v1:list:product:2'])
    await fill(['shop:v1:list:product:3'], 20_000)
    await fill(['shop:v1:detail:product:1', 'shop~lock:x', 'sess:1', 'legacy:1'])
    const { plan, report } = await expire('namespace:list', { missingOnly: true })
    expect(plan).toMatchObject({
      mode: 'missing',
      preview: { method: 'full', keys: 2 },
      ttl: { fromMs: HOUR, toMs: HOUR },
    })
    expect(report).toMatchObject({
      ok: true,
      complete: true,
      applied: true,
      matched: 2,
      changed: 2,
      exitCode: 0,
      problems: [],
    })
    expect(await pttl('shop:v1:list:product:1')).toBeGreaterThan(HOUR - 5_000)
    expect(await pttl('shop:v1:list:product:3')).toBeLessThanOrEqual(20_000)
    for (const other of ['shop:v1:detail:product:1', 'shop~lock:x', 'sess:1', 'legacy:1'])
      expect(await pttl(other)).toBe(-1)
    const { plan: none, report: again } = await expire('namespace:list', { missingOnly: true })
    expect(none).toMatchObject({ preview: { keys: 0 }, asTheyAre: 3, nearest: [] })
    const { plan: nowhere } = await expire('pattern:shop:v1:typo:*', { missingOnly: true })
    expect(nowhere).toMatchObject({ asTheyAre: 0, nearest: [{ group: 'list:product:*', keys: 3 }, {}, {}] })
    expect(again).toMatchObject({ ok: true, matched: 0, changed: 0 })
  })

  it('shortens and lengthens, spares what is protected, and says what it did', async () => {
    await fill(['shop:v1:detail:product:1'], 5 * HOUR)
    await fill(['shop:v1:detail:product:2'], 60_000)
    await fill(['shop:v1:detail:city:7', 'shop:v1:detail:city:8'])
    const { report } = await expire('namespace:detail')
    expect(report).toMatchObject({ matched: 4, changed: 3, protected: 1, exitCode: 0 })
    for (const key of ['product:1', 'product:2', 'city:8']) {
      const left = await pttl(`shop:v1:detail:${key}`)
      expect(left).toBeGreaterThan(HOUR - 5_000)
      expect(left).toBeLessThanOrEqual(HOUR)
    }
    expect(await pttl('shop:v1:detail:city:7')).toBe(-1)
  })

  it('entries that are given longer say so, and how many of them were stale', async () => {
    const entry = (freshUntilMs: number): string | Buffer =>
      encodeEntry('v', {
        incarnation: 'abcdefghijklmnop',
        createdAtMs: Date.now() - 60_000,
        freshUntilMs,
        graceMs: 300_000,
        deltaMs: 1,
        writer: 'test',
        sourceVersion: null,
        tags: [],
        compressAboveBytes: null,
      })
    await server.call('SET', 'shop:v1:detail:product:1', entry(Date.now() + 60_000), 'PX', 360_000)
    await server.call('SET', 'shop:v1:detail:product:2', entry(Date.now() - 1), 'PX', 300_000)
    const { report } = await expire('product')
    expect(report).toMatchObject({ changed: 2, lengthened: { fresh: 1, stale: 1 } })
  })

  it('spreads ends over a time, and lets nothing live longer than it would', async () => {
    const keys = Array.from({ length: 1_000 }, (_, i) => `shop:v1:list:product:${i}`)
    await fill(keys)
    await fill(['shop:v1:list:product:soon'], 1_000)
    const { plan, report } = await expire('namespace:list', {
      expiry: { ttlMs: 0, jitter: 0, overMs: HOUR },
      shortenOnly: true,
    })
    expect(plan).toMatchObject({ mode: 'shorten', ttl: { fromMs: 1, toMs: HOUR } })
    expect(plan.danger.share).not.toBeNull()
    // Keys that are given milliseconds may be gone by the time they are looked at.
    expect(report.changed + report.alreadyGone).toBe(report.matched)
    const left = (await Promise.all(keys.map(pttl))).filter((ms) => ms >= 0)
    const halves = [left.filter((ms) => ms < HOUR / 2).length, left.filter((ms) => ms >= HOUR / 2).length]
    expect(Math.min(...halves)).toBeGreaterThan(400)
    expect(await pttl('shop:v1:list:product:soon')).toBeLessThanOrEqual(1_000)
  })

  it('by the config: what it says, shortened at random, never longer than before; the rest keeps what it has', async () => {
    const [list, detail, never, row, raw] = [
      'shop:v1:list:product:1',
      'shop:v1:detail:product:1',
      'shop:v1:kept:@fn.a:1',
      'shop:v1:detail:city:1',
      'legacy:1',
    ]
    await fill([list, detail, never, row, raw, 'shop:v1:nowhere:x:1', 'shop:odd'])
    await fill(['shop:v1:list:product:2'], 10_000)
    const { plan, report } = await expire('all', { expiry: null })
    expect(report).toMatchObject({ ttl: null, changed: 2, matched: 2 })
    expect(plan.byConfig).toEqual({
      gets: ['namespace:list 5 m', 'namespace:detail 53 m to 1h 5m', 'namespace:old 1 m'],
      keeps: ["namespace:kept (the config says 'never')", 'city (the config computes its TTL from the row)'],
    })
    expect(await pttl(list)).toBeLessThanOrEqual(300_000)
    expect(await pttl(detail)).toBeGreaterThan(53 * 60_000 - 5_000)
    expect(await pttl(detail)).toBeLessThanOrEqual(65 * 60_000)
    for (const key of [never, row, 'shop:v1:nowhere:x:1', 'shop:odd', raw]) expect(await pttl(key)).toBe(-1)
    expect(await pttl('shop:v1:list:product:2')).toBeLessThanOrEqual(10_000)
    expect((await expire('namespace:old', { expiry: null })).report.changed).toBe(1)
    expect(await pttl(raw)).toBeLessThanOrEqual(60_000)
    await expect(expire('pattern:*', { expiry: null, foreign: true }, { config: null })).rejects.toMatchObject({
      code: 'CONFIG_NOT_FOUND',
    })
  })

  it('a dry run tells the same and does nothing', async () => {
    await fill(['shop:v1:detail:city:7', 'shop:v1:detail:city:8'])
    const context = contextOf(store, { config })
    const plan = await planExpire(context, optionsOf('all'))
    const report = await dryRunExpire(context, plan)
    expectBalanced(report)
    expect(report).toMatchObject({ dryRun: true, applied: false, matched: 2, remaining: 1, protected: 1, changed: 0 })
    expect(await pttl('shop:v1:detail:city:8')).toBe(-1)
    expect(await server.call('KEYS', 'shop~*')).toEqual([])
  })

  it('tells what would be as good as deleting all from what is not', async () => {
    await fill(['shop:v1:list:product:1'])
    const dangerOf = async (target: string, more: Partial<ExpireOptions>) =>
      (await planExpire(contextOf(store, { config }), optionsOf(target, more))).danger
    expect(await dangerOf('all', { expiry: fixed(59_000) })).toMatchObject({
      everything: true,
      share: 1,
      typed: 'shop',
    })
    expect(await dangerOf('pattern:*', { expiry: fixed(59_000) })).toMatchObject({ everything: true })
    expect(await dangerOf('namespace:list', { expiry: fixed(59_000) })).toMatchObject({ everything: false, share: 1 })
    expect(await dangerOf('all', { expiry: fixed(HOUR) })).toMatchObject({ everything: false, share: null, keys: 1 })
    expect(await dangerOf('all', { expiry: { ttlMs: 60_000, jitter: 0.1, overMs: 0 } })).toMatchObject({
      everything: true,
    })
  })

  it('refuses tags, which keys do not tell', async () => {
    await expect(expire('tag:a')).rejects.toMatchObject({ code: 'USAGE' })
  })

  it('hostile names: each is changed by its exact bytes', async () => {
    const keys = hostileKeys()
    for (const key of keys) await server.call('SET', key, 'x')
    const under = [...new Set(keys.map((key) => key.toString('latin1')))].filter((key) => key.startsWith('shop:'))
    const { report } = await expire('all')
    expect(report).toMatchObject({ changed: under.length, failed: 0, exitCode: 0 })
    let changed = 0
    for (const key of keys) if (Number(await server.call('PTTL', key)) > 0) changed++
    expect(changed).toBe(keys.filter((key) => key.subarray(0, 5).toString() === 'shop:').length)
  })
})

describe('where it cannot do all of it', () => {
  it('stopped: what was done until then is told, and a second run completes', async () => {
    const keys = Array.from({ length: 5_000 }, (_, i) => `shop:v1:list:product:${i}`)
    for (let start = 0; start < keys.length; start += 1_000)
      await server.call('MSET', ...keys.slice(start, start + 1_000).flatMap((key) => [key, 'x']))
    const stop = new AbortController()
    const emit: OperationContext['emit'] = (event) => {
      if (event.event === 'progress' && event.done >= 1_000) stop.abort(new Error('stop'))
    }
    const plan = await planExpire(contextOf(store, { config }), optionsOf('all'))
    const report = await executeExpire(contextOf(store, { config, emit, signal: stop.signal }), plan)
    expectBalanced(report)
    const changed = (await Promise.all(keys.map(pttl))).filter((ms) => ms > 0).length
    expect(report).toMatchObject({ complete: false, ok: false, applied: false, changed })
    expect(report.exitCode).not.toBe(0)
    expect(changed).toBeGreaterThanOrEqual(1_000)
    expect(changed).toBeLessThan(5_000)
    expect((await expire('all', { missingOnly: true })).report).toMatchObject({
      changed: 5_000 - changed,
      complete: true,
    })
  })

  it('a user who may not: nothing is changed, exit 11, with what the server said', async () => {
    await fill(['shop:v1:list:product:1'])
    await server.call('ACL', 'SETUSER', 'reader', 'on', '>pw', '~*', '&*', '+@all', '-pexpire', '-eval')
    const { openStore } = await import('../../src/adapters/redis/store.ts')
    const url = server.url.replace('unix:', 'unix://reader:pw@')
    const limited = openStore({ url, from: 'test', tls: null }, { connectTimeoutMs: 2_000, replyTimeoutMs: 5_000 })
    try {
      for (const missingOnly of [true, false]) {
        const context = contextOf(limited, { config })
        const plan = await planExpire(context, optionsOf('all', { missingOnly }))
        const report = await executeExpire(context, plan)
        expectBalanced(report)
        expect(report).toMatchObject({ ok: false, exitCode: 11, changed: 0, failed: 1 })
        expect(report.problems[0]?.message).toMatch(/NOPERM/)
      }
      expect(await pttl('shop:v1:list:product:1')).toBe(-1)
    } finally {
      await limited.close()
    }
  })

  it('a full server: ends come nearer all the same', async () => {
    await fill(['shop:v1:list:product:1', 'shop:v1:list:product:2'])
    await server.call('CONFIG', 'SET', 'maxmemory', '1')
    const { report } = await expire('all', { expiry: fixed(120_000) }, { stateDir: server.dir })
    await server.call('CONFIG', 'SET', 'maxmemory', '0')
    expect(report).toMatchObject({ ok: true, changed: 2 })
    expect(report.journal).toBe('local')
    expect(await pttl('shop:v1:list:product:1')).toBeLessThanOrEqual(120_000)
  })

  it('a full server: an entry cannot be made good for longer, and that is said', async () => {
    const entry = encodeEntry('v', {
      incarnation: 'abcdefghijklmnop',
      createdAtMs: Date.now(),
      freshUntilMs: Date.now() + 60_000,
      graceMs: 0,
      deltaMs: 1,
      writer: 'test',
      sourceVersion: null,
      tags: [],
      compressAboveBytes: null,
    })
    await server.call('SET', 'shop:v1:detail:product:1', entry, 'PX', 60_000)
    await server.call('CONFIG', 'SET', 'maxmemory', '1')
    const { report } = await expire('all', { expiry: fixed(HOUR) }, { stateDir: server.dir })
    await server.call('CONFIG', 'SET', 'maxmemory', '0')
    expect(report).toMatchObject({ ok: false, changed: 0, failed: 1, exitCode: 13, journal: 'local' })
    expect(await pttl('shop:v1:detail:product:1')).toBeLessThanOrEqual(60_000)
  })

  it('a lost connection: it goes on, and what it has done is counted once', async () => {
    const keys = Array.from({ length: 4_000 }, (_, i) => `shop:v1:list:product:${i}`)
    await server.call('MSET', ...keys.flatMap((key) => [key, 'x']))
    let killed = 0
    const emit: OperationContext['emit'] = (event) => {
      if (event.event === 'progress' && event.done >= 1_000 && killed++ === 0)
        void server.call('CLIENT', 'KILL', 'TYPE', 'normal')
    }
    const { report } = await expire('all', {}, { emit })
    expect(killed).toBeGreaterThan(0)
    const given = (await Promise.all(keys.map(pttl))).filter((ms) => ms > 0).length
    expect(given).toBe(4_000)
    expect(report).toMatchObject({ ok: true, complete: true, matched: 4_000 })
  })
})
