// 135,000 real rows from a real PostgreSQL, by the program itself: what it reports, what is there, and how exact its versions are.
import { afterAll, beforeAll, describe, expect, it } from 'vitest'
import { decodeHeader } from '../../src/core/entry.ts'
import { type CitiesApp, startCities } from './app.ts'
import { until } from './spawned.ts'

const SAMPLE = 500
const VERSION = `to_char(updated_at at time zone 'UTC', 'YYYY-MM-DD"T"HH24:MI:SS.US"Z"')`

let app: CitiesApp
// biome-ignore lint/suspicious/noExplicitAny: reports are looked into as other programs would
let report: any

beforeAll(async () => {
  app = await startCities()
  // Neither the database's time zone nor the program's may matter.
  await app.postgres.pool().query(`alter database postgres set timezone to 'Asia/Kolkata'`)
  const { exitCode, stdout, stderr } = await app.run(['warm', '--json'], { env: { TZ: 'Europe/Berlin' } })
  // a busy machine takes so long that the run says how far it is
  expect({ exitCode, stderr }).toEqual({
    exitCode: 0,
    stderr: expect.stringMatching(/^(detail:city {2}.* rows .*\n)*$/),
  })
  report = JSON.parse(stdout)
})
afterAll(() => app?.stop())

const COUNTS = {
  selected: expect.any(Number),
  loaded: expect.any(Number),
  written: expect.any(Number),
  failed: expect.any(Number),
  bytes: expect.any(Number),
  durationMs: expect.any(Number),
  skipped: { present: expect.any(Number), newer: expect.any(Number), invalidated: expect.any(Number) },
}

describe('warm, of all cities', () => {
  it('reports every field, in its type', () => {
    expect(app.rows).toBeGreaterThan(135_000)
    expect(report).toMatchObject({
      command: 'warm',
      ok: true,
      complete: true,
      dryRun: false,
      startedAt: expect.stringMatching(/^\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d\.\d{3}Z$/),
      durationMs: expect.any(Number),
      redis: {
        endpoint: `127.0.0.1:${app.redis.port}`,
        database: 0,
        role: 'primary',
        mode: 'standalone',
        version: expect.stringMatching(/^(Redis|Valkey) \d/),
        runId: expect.stringMatching(/^[0-9a-f]{40}$/),
        from: 'cache.config.ts',
      },
      models: [{ model: 'city', namespace: 'detail', tenant: null, strategy: 'all', ...COUNTS }],
      totals: COUNTS,
    })
  })

  it('balances, and tells what is there', async () => {
    const { selected, loaded, written, failed, skipped, bytes } = report.totals
    expect({ selected, loaded, written, failed }).toEqual({
      selected: app.rows,
      loaded: app.rows,
      written: app.rows,
      failed: 0,
    })
    expect(written + failed + skipped.present + skipped.newer + skipped.invalidated).toBe(selected)
    expect(await app.entries()).toBe(app.rows)
    expect(bytes).toBeGreaterThan(app.rows * 100)
    const { durationMs: _total, ...totals } = report.totals
    expect(report.models[0]).toMatchObject(totals)
  })

  it('writes keys as the contract spells them, and no lock is left', async () => {
    const { rows } = await app.postgres.pool().query('select id from city order by random() limit $1', [SAMPLE])
    const keys = rows.map(({ id }) => `world:v1:detail:city:${id}`)
    expect(await app.redis.call('EXISTS', ...keys)).toBe(SAMPLE)
    expect(await app.locks()).toEqual([])
  })

  it('knows the version of each row to the microsecond', async () => {
    const { rows } = await app.postgres
      .pool()
      .query(`select id, ${VERSION} as version from city order by random() limit $1`, [SAMPLE])
    for (const { id, version } of rows) {
      const head = await app.redis.call('GETRANGE', `world:v1:detail:city:${id}`, 0, 511)
      const decoded = decodeHeader(Buffer.from(String(head)))
      expect(decoded.ok && decoded.header.sourceVersion).toBe(version)
    }
    const told = await Promise.all(
      rows.slice(0, 4).map(async ({ id }) => {
        const argv = ['get', `world:v1:detail:city:${id}`, '--json']
        return JSON.parse((await app.run(argv, { env: { TZ: 'UTC' } })).stdout).about.entry.sourceVersion
      }),
    )
    expect(told).toEqual(rows.slice(0, 4).map(({ version }) => version))
  })

  it('finds the rows that changed by a microsecond, under another time zone, and writes those only', async () => {
    const { rows } = await app.postgres
      .pool()
      .query(`update city set updated_at = updated_at + interval '1 us' where id % 1000 = 7 returning id`)
    expect(rows.length).toBeGreaterThan(50)
    const { exitCode, stdout } = await app.run(['warm', '--json'], { env: { TZ: 'America/St_Johns' } })
    expect(exitCode).toBe(0)
    expect(JSON.parse(stdout).totals).toMatchObject({
      selected: app.rows,
      written: rows.length,
      skipped: { present: app.rows - rows.length, newer: 0, invalidated: 0 },
    })
  })

  it('is measured by `stats` as what it is', async () => {
    const { stdout } = await app.run(['stats', '--full', '--json'])
    const { groups, total, method } = JSON.parse(stdout)
    expect({ method, keys: total.keys }).toEqual({ method: 'full', keys: app.rows })
    expect(groups).toHaveLength(1)
    expect(groups[0]).toMatchObject({ namespace: 'detail', subject: 'city', keys: app.rows, noTtlKeys: 0 })
  })
})

describe.each([
  ['SIGINT', 130],
  ['SIGTERM', 143],
] as const)('%s at full speed', (name, code) => {
  it(`ends with ${code}, and the report is true`, async () => {
    await app.redis.call('FLUSHALL')
    const run = app.start(['warm', '--json'])
    await until(async () => (await app.entries()) > 10_000)
    run.child.kill(name)
    const { exitCode, stdout } = await run.ended
    expect(exitCode).toBe(code)
    const there = await app.entries()
    expect(there).toBeLessThan(app.rows)
    expect(JSON.parse(stdout).totals).toMatchObject({ written: there, failed: 0 })
    expect(await app.locks()).toEqual([])
  })
})
