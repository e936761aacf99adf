import { mkdtemp, rm, writeFile } from 'node:fs/promises'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { setTimeout as sleep } from 'node:timers/promises'
import type pg from 'pg'
import { afterAll, beforeAll, beforeEach, describe, expect, it } from 'vitest'
import { openControl } from '../../src/adapters/redis/control.ts'
import { openStore } from '../../src/adapters/redis/store.ts'
import { file } from '../../src/adapters/sources/file.ts'
import { fn } from '../../src/adapters/sources/fn.ts'
import { sql } from '../../src/adapters/sources/sql.ts'
import type { ResolvedConfig, ResolvedModel } from '../../src/config/resolved.ts'
import { codeVersionFields } from '../../src/core/code-version.ts'
import { decodeEntry } from '../../src/core/entry.ts'
import { CachectlError } from '../../src/core/errors.ts'
import { openChanger } from '../../src/ops/apply-change.ts'
import { openContext } from '../../src/ops/context.ts'
import { warm } from '../../src/ops/warm.ts'
import { planWarm, type WarmOptions } from '../../src/ops/warm-plan.ts'
import type { WarmReport } from '../../src/ops/warm-report.ts'
import type { Control, ProgressEvent, Source, Store } from '../../src/ports.ts'
import { type Postgres, seedCities, startPostgres } from '../postgres.ts'
import { aConfig, aModel } from '../resolved.ts'
import { startRedis, type TestRedis } from '../servers.ts'

const CITIES = 2_000
/** generations, revision, the fence of the model, the journal */
const CONTROL_KEYS = 4

let redis: TestRedis
let store: Store
let postgres: Postgres
let pool: pg.Pool
let city: Source
let country: Source

beforeAll(async () => {
  ;[redis, postgres] = await Promise.all([startRedis(), startPostgres()])
  store = openStore(
    { url: redis.url, from: 'the test', tls: null },
    { connectTimeoutMs: 5_000, replyTimeoutMs: 10_000 },
  )
  pool = postgres.pool()
  await seedCities((text, values) => pool.query(text, values as unknown[]), { limit: CITIES })
  city = sql({ client: () => pool, table: 'city', id: 'id', updatedAt: 'updated_at', popularity: 'population' })
  country = sql({ client: () => pool, table: 'country', id: 'code', updatedAt: 'updated_at' })
})
afterAll(async () => {
  await store.close()
  await Promise.all([redis.stop(), postgres.stop()])
})
beforeEach(() => redis.call('FLUSHALL'))

const run = async (
  models: ResolvedModel[],
  given: Partial<WarmOptions> = {},
  more: { signal?: AbortSignal; config?: Partial<ResolvedConfig>; events?: ProgressEvent[]; now?: () => number } = {},
): Promise<WarmReport> => {
  const config = aConfig(redis.url, models, more.config)
  const options: WarmOptions = { targets: [], concurrency: 3, batch: 200, ifLocked: 'fail', dryRun: false, ...given }
  const context = {
    config,
    store,
    clock: { now: more.now ?? Date.now },
    random: Math.random,
    emit: (event: ProgressEvent) => void more.events?.push(event),
    signal: more.signal ?? new AbortController().signal,
    stateDir: null,
  }
  return warm(context, openControl(store, config.prefix), planWarm(config, options, Date.now()), options)
}

async function entry(key: string) {
  const bytes = await store.call('GET', key)
  if (!Buffer.isBuffer(bytes)) return null
  const decoded = decodeEntry(bytes)
  if (!decoded.ok) throw new Error(`${key} cannot be decoded: ${decoded.reason}`)
  return decoded
}

/** Sixteen megabytes, more than fit into the memory that `within` leaves. */
const large = fn({ rows: () => Array.from({ length: 8_000 }, (_, id) => ({ id, text: 'x'.repeat(2_000) })), id: 'id' })

async function within<T>(policy: string, run: () => Promise<T>): Promise<T> {
  const used = Number(/used_memory:(\d+)/.exec(String(await redis.call('INFO', 'memory')))?.[1])
  await redis.call('CONFIG', 'SET', 'maxmemory-policy', policy)
  await redis.call('CONFIG', 'SET', 'maxmemory', String(used + 2_500_000))
  return run().finally(() => redis.call('CONFIG', 'SET', 'maxmemory', '0'))
}

const cityKey = (id: unknown) => `shop:v1:detail:city:${id}`
const firstCity = async () => (await pool.query('select * from city order by id limit 1')).rows[0]

describe('warm', () => {
  it('writes every row once, as the application will read it', async () => {
    const report = await run([aModel('city', city, { exclude: ['alt_name'] })])
    expect(report).toMatchObject({
      ok: true,
      complete: true,
      exitCode: 0,
      totals: { selected: CITIES, loaded: CITIES, written: CITIES, failed: 0 },
    })
    expect(await redis.call('DBSIZE')).toBe(CITIES + CONTROL_KEYS)
    const row = await firstCity()
    const { alt_name: _, ...visible } = row
    const found = await entry(cityKey(row.id))
    expect(found?.value).toEqual(visible)
    expect(found?.header.sourceVersion).toMatch(/^\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d\.\d{6}Z$/)
    const bytes = (await redis.call('GET', cityKey(row.id))) as string
    expect(bytes).not.toContain('alt_name')
    const ttl = Number(await redis.call('PTTL', cityKey(row.id)))
    expect(ttl).toBeGreaterThan(600_000)
    expect(ttl).toBeLessThanOrEqual(660_000)
  })

  it('registers its versions, so that a row that older code invalidates is gone from what was warmed for newer code', async () => {
    const models = [aModel('city', city, { version: '2' })]
    const newer = aConfig(redis.url, models, { version: '2' })
    const key = `shop:v2:detail:city:${(await firstCity()).id}`
    const place = {
      namespace: 'detail',
      subject: 'city',
      version: '1',
      tenant: null,
      rest: [key.split(':')[4] as string],
    }
    const older = await openContext({
      loaded: { config: aConfig(redis.url, [aModel('city', large)]), redis: newer.redis, file: null },
      emit: () => {},
      signal: new AbortController().signal,
    })
    const options: WarmOptions = { targets: [], concurrency: 3, batch: 200, ifLocked: 'fail', dryRun: false }
    const staysWith = async (control: Control): Promise<boolean> => {
      await warm({ ...older, config: newer }, control, planWarm(newer, options, Date.now()), options)
      expect(await redis.call('EXISTS', key)).toBe(1)
      const changer = await openChanger(older)
      await changer.apply({ entries: [place], fences: ['city'] })
      await changer.close()
      return (await redis.call('EXISTS', key)) === 1
    }
    try {
      expect(await staysWith(openControl(store, 'shop', codeVersionFields(newer)))).toBe(false)
      await redis.call('FLUSHALL')
      expect(await staysWith(openControl(store, 'shop'))).toBe(true) // without registration: what this test must catch
    } finally {
      // Its sources are those of the other tests, too.
      await older.store.close()
    }
  })

  it('leaves what is present, replaces what is older than its row, never what is newer', async () => {
    await run([aModel('city', city)])
    const again = await run([aModel('city', city)])
    expect(again.totals).toMatchObject({ written: 0, skipped: { present: CITIES, newer: 0, invalidated: 0 } })
    const row = await firstCity()
    await pool.query(
      `update city set name = 'Renamed', updated_at = updated_at + interval '1 microsecond' where id = $1`,
      [row.id],
    )
    const third = await run([aModel('city', city)])
    expect(third.totals).toMatchObject({ written: 1, skipped: { present: CITIES - 1 } })
    expect((await entry(cityKey(row.id)))?.value).toMatchObject({ name: 'Renamed' })
    await pool.query(`update city set name = $2, updated_at = updated_at - interval '2 microseconds' where id = $1`, [
      row.id,
      row.name,
    ])
    const fourth = await run([aModel('city', city)], { refresh: true })
    expect(fourth.totals).toMatchObject({ written: CITIES - 1, skipped: { newer: 1 } })
    expect((await entry(cityKey(row.id)))?.value).toMatchObject({ name: 'Renamed' })
  })

  it('--missing asks the source for absent rows alone', async () => {
    await run([aModel('city', city)], { limit: 1_500 })
    let loaded = 0
    const counting: Source = {
      ...city,
      load(ids, options) {
        loaded += ids.length
        return (city.load as NonNullable<Source['load']>)(ids, options)
      },
    }
    const report = await run([aModel('city', counting)], { missing: true })
    expect(loaded).toBe(500)
    expect(report.totals).toMatchObject({ selected: CITIES, loaded: 500, written: 500, skipped: { present: 1_500 } })
  })

  it('takes entries of a lost incarnation, or past their freshness, as absent', async () => {
    await run([aModel('city', city)])
    await redis.call('DEL', 'shop~generations')
    expect((await run([aModel('city', city)])).totals).toMatchObject({ written: CITIES, skipped: { present: 0 } })
    const later = () => Date.now() + 601_000
    expect((await run([aModel('city', city)], {}, { now: later })).totals).toMatchObject({ written: CITIES })
  })

  it('warms by popularity, by recency, since a time, and by ids', async () => {
    const popular = await run([aModel('city', city)], { strategy: 'popular', limit: 10 })
    expect(popular.totals.written).toBe(10)
    const { rows } = await pool.query('select id from city order by population desc, id desc limit 10')
    for (const { id } of rows) expect(await redis.call('EXISTS', cityKey(id))).toBe(1)
    const recent = await pool.query('select id, updated_at from city order by updated_at desc, id desc limit 7')
    const since = recent.rows[6].updated_at.toISOString()
    await redis.call('FLUSHALL')
    expect((await run([aModel('city', city)], { strategy: 'recent', since })).totals.written).toBe(7)
    const ids = await run([aModel('city', city)], { ids: [String(recent.rows[0].id), '999999999', String(rows[0].id)] })
    expect(ids).toMatchObject({ exitCode: 0, totals: { selected: 3, skipped: { absent: 1 } } })
  })

  it('joins related rows, one query a page', async () => {
    let queries = 0
    const counted: Source = {
      ...country,
      load(ids, options) {
        queries++
        return (country.load as NonNullable<Source['load']>)(ids, options)
      },
    }
    const models = [
      aModel('city', city, { join: [{ field: 'country', model: 'country', on: 'country' }] }),
      aModel('country', counted, { warm: null, exclude: ['population'] }),
    ]
    const report = await run(models)
    expect(report.notWarmed).toEqual([{ model: 'country', reason: 'no warm block' }])
    expect(queries).toBe(CITIES / 200)
    const row = await firstCity()
    const value = (await entry(cityKey(row.id)))?.value as { country: Record<string, unknown> }
    expect(value.country).toMatchObject({ code: row.country })
    expect(value.country).not.toHaveProperty('population')
  })

  it('warms list pages and counts, each combination under its own key', async () => {
    const lists = [
      {
        name: 'byCountry',
        by: ['country'],
        where: {},
        sort: ['-population'],
        pageSize: 5,
        pages: 2,
        top: 3,
        values: null,
        namespace: 'list',
        countNamespace: 'count',
      },
    ]
    const report = await run([aModel('city', city, { lists })], { limit: 1 })
    const { rows } = await pool.query(
      'select country, count(*)::int as n from city group by 1 order by 2 desc, 1 limit 3',
    )
    const { country: first, n } = rows[0]
    const page = (await entry(`shop:v1:list:city:byCountry:country_${first}:page_2:size_5`))?.value as { id: number }[]
    const truth = await pool.query(
      'select id from city where country = $1 order by population desc, id desc limit 5 offset 5',
      [first],
    )
    expect(new Set(page.map(({ id }) => id))).toEqual(new Set(truth.rows.map(({ id }) => id)))
    expect((await entry(`shop:v1:count:city:byCountry:country_${first}`))?.value).toBe(n)
    expect(report.models.map(({ strategy, written }) => [strategy, written])).toEqual([
      ['all', 1],
      ['lists', 6],
      ['counts', 3],
    ])
    expect((await run([aModel('city', city, { lists })], { limit: 1, missing: true })).totals).toMatchObject({
      loaded: 0,
      written: 0,
    })
  })

  it('puts each row of a tenant model under its own tenant, and fails rows without one', async () => {
    const rows = [
      { id: 1, org: 'a', name: 'x' },
      { id: 2, org: 'b:*', name: 'y' },
      { id: 3, org: null, name: 'z' },
    ]
    const model = aModel('note', fn({ rows: () => rows, id: 'id', tenant: 'org' }), { tenant: true })
    const report = await run([model])
    expect(report).toMatchObject({ exitCode: 3, ok: false, totals: { written: 2, failed: 1 } })
    expect(report.models[0]?.errors[0]).toMatchObject({ id: '3' })
    expect(await redis.call('EXISTS', 'shop:v1:detail:note:org_a:1')).toBe(1)
    expect(await redis.call('EXISTS', 'shop:v1:detail:note:org_b%3A%2A:2')).toBe(1)
  })

  it('uses the TTL of the row, shortens it by jitter only, and keeps rows that never expire', async () => {
    const rows = Array.from({ length: 300 }, (_, id) => ({ id }))
    const ttl = (row: Record<string, unknown>) => (Number(row.id) === 0 ? null : 100_000)
    await run([aModel('note', fn({ rows: () => rows, id: 'id' }), { ttl, jitter: 0.5, graceMs: 1_000 })])
    expect(await redis.call('PTTL', 'shop:v1:detail:note:0')).toBe(-1)
    const ttls = await Promise.all(
      rows.slice(1).map(async ({ id }) => Number(await redis.call('PTTL', `shop:v1:detail:note:${id}`))),
    )
    expect(Math.max(...ttls)).toBeLessThanOrEqual(101_000)
    expect(Math.min(...ttls)).toBeGreaterThan(40_000)
    expect(Math.max(...ttls) - Math.min(...ttls)).toBeGreaterThan(20_000)
  })

  it('counts rows that cannot be cached, goes on, and exits 3', async () => {
    const events: ProgressEvent[] = []
    const rows = Array.from({ length: 50 }, (_, id) => ({ id, value: id % 2 ? () => id : id }))
    const report = await run([aModel('note', fn({ rows: () => rows, id: 'id' }))], {}, { events })
    expect(report).toMatchObject({ exitCode: 3, ok: false, totals: { selected: 50, written: 25, failed: 25 } })
    expect(report.models[0]?.errors).toHaveLength(10)
    expect(events.filter((event) => event.event === 'row-error')).toHaveLength(25)
  })

  it('counts lines of a file that are no rows, and says where they are', async () => {
    const folder = await mkdtemp(join(tmpdir(), 'cachectl-warm-'))
    await writeFile(join(folder, 'notes.ndjson'), '{"id":1}\n{oops\n{"id":3}\n')
    const notes = aModel('note', file({ path: join(folder, 'notes.ndjson'), id: 'id' }))
    const report = await run([notes])
    expect(report).toMatchObject({ exitCode: 3, totals: { selected: 3, written: 2, failed: 1 } })
    expect(report.models[0]?.errors[0]?.id).toMatch(/line 2/)
    expect(await run([notes], { dryRun: true })).toMatchObject({ totals: { selected: 3, failed: 1 } })
    await rm(folder, { recursive: true })
  })

  it('goes on with the next model when a source fails whole, and exits 12', async () => {
    const broken = fn(async function* () {
      yield { id: 1 }
      throw new Error('the upstream is down')
    })
    const report = await run([aModel('broken', broken), aModel('city', city)], { limit: 20 })
    expect(report).toMatchObject({ ok: false, exitCode: 12 })
    expect(report.problems[0]).toMatchObject({ model: 'broken', code: 'SOURCE_FAILED' })
    expect(report.problems[0]?.message).toContain('the upstream is down')
    expect(report.models.find(({ model }) => model === 'city')).toMatchObject({ written: 20 })
  })

  it('locks each model: fails and says who, skips, or waits', async () => {
    const control = openControl(store, 'shop')
    const lock = await control.lock('warm:city', 'elsewhere:42', 30_000)
    const failed = await run([aModel('city', city)])
    expect(failed).toMatchObject({ exitCode: 5, totals: { written: 0 } })
    expect(failed.problems[0]?.message).toMatch(/being warmed by elsewhere:42 since \d{4}-/)
    expect(await run([aModel('city', city)], { ifLocked: 'skip' })).toMatchObject({
      exitCode: 0,
      totals: { written: 0 },
    })
    const waiting = run([aModel('city', city)], { ifLocked: 'wait', limit: 5 })
    await sleep(50)
    if (lock.held) await lock.release()
    expect(await waiting).toMatchObject({ exitCode: 0, totals: { written: 5 } })
    expect(await redis.call('EXISTS', 'shop~lock:warm:city')).toBe(0)
  })

  it('exits 3 when the control data is lost, a wide invalidation comes, or keys are evicted meanwhile', async () => {
    const meanwhile = (act: () => Promise<unknown>): Source => ({
      ...city,
      async *select(selection) {
        let pages = 0
        for await (const page of city.select(selection)) {
          if (++pages === 3) await act()
          yield page
        }
      },
    })
    const flushed = await run([
      aModel(
        'city',
        meanwhile(() => redis.call('FLUSHALL')),
      ),
    ])
    expect(flushed).toMatchObject({ exitCode: 3, ok: false })
    expect(flushed.problems[0]?.message).toContain('control data was lost')
    const bumped = await run([
      aModel(
        'city',
        meanwhile(() => redis.call('HSET', 'shop~generations', 'subject:city', 'tok', 'epoch', 'new')),
      ),
    ])
    expect(bumped).toMatchObject({ exitCode: 3 })
    expect(
      await redis.call(
        'EXISTS',
        `shop:v1:detail:city~tok:${(await pool.query('select max(id) as id from city')).rows[0].id}`,
      ),
    ).toBe(1)
    await redis.call('FLUSHALL')
    const evicted = await within('allkeys-random', () => run([aModel('large', large)]))
    expect(evicted.exitCode).toBe(3)
    expect(evicted.problems.map(({ message }) => message).join()).toMatch(/evicted [1-9]/)
  })

  it('stops with exit 13 where the server refuses writes, and says what it wrote', async () => {
    const report = await within('noeviction', () => run([aModel('large', large)]))
    expect(report).toMatchObject({ exitCode: 13, ok: false })
    expect(report.totals.written).toBe(Number(await redis.call('DBSIZE')) - CONTROL_KEYS)
  })

  it('stops where it is when it is interrupted, and reports what was written', async () => {
    const aborter = new AbortController()
    const slow: Source = {
      ...city,
      async *select(selection) {
        let pages = 0
        for await (const page of city.select(selection)) {
          if (++pages === 4) aborter.abort(new CachectlError('INTERRUPTED', 'interrupted'))
          yield page
        }
      },
    }
    const report = await run([aModel('city', slow), aModel('country', country)], {}, { signal: aborter.signal })
    expect(report.exitCode).toBe(130)
    expect(report.totals.written).toBeLessThan(CITIES)
    expect(report.totals.written).toBe(
      Number(await redis.call('KEYS', 'shop:*').then((keys) => (keys as string[]).length)),
    )
    expect(await redis.call('EXISTS', 'shop~lock:warm:city')).toBe(0)
  })

  it('dry run: the same plan, nothing written', async () => {
    const report = await run([aModel('city', city)], { dryRun: true, limit: 123 })
    expect(report).toMatchObject({ dryRun: true, exitCode: 0, totals: { selected: 123, loaded: 0, written: 0 } })
    expect(await redis.call('DBSIZE')).toBe(0)
  })

  it('holds its rate', async () => {
    const startedMs = Date.now()
    await run([aModel('city', city)], { limit: 1_000, rate: 2_000, batch: 100 })
    expect(Date.now() - startedMs).toBeGreaterThan(400)
  })

  it('refuses contradictions before anything is opened', () => {
    const config = aConfig(redis.url, [
      aModel('city', city),
      aModel('country', country),
      aModel('off', country, { enabled: false }),
    ])
    const base: WarmOptions = { targets: [], concurrency: 1, batch: 1, ifLocked: 'fail', dryRun: false }
    const plan = (given: Partial<WarmOptions>) => () => planWarm(config, { ...base, ...given }, 0)
    expect(plan({ missing: true, refresh: true })).toThrow('exclude each other')
    expect(plan({ ids: ['1'] })).toThrow('exactly one model')
    expect(plan({ strategy: 'ids' })).toThrow('needs --ids')
    expect(plan({ targets: ['citty'] })).toThrow(/citty/)
    expect(plan({ targets: ['pattern:shop:*'] })).toThrow('warm takes models')
    expect(plan({ targets: ['country'], strategy: 'popular' })).toThrow('cannot do strategy popular')
    expect(plan({ tenant: '7' })).toThrow('no tenants')
    expect(plan({})()).toMatchObject({ notWarmed: [{ model: 'off', reason: 'enabled: false' }] })
    expect(plan({ targets: ['city:1', 'city:2'] })().models).toMatchObject([
      { strategy: 'ids', ids: ['1', '2'], lists: false },
    ])
  })
})
