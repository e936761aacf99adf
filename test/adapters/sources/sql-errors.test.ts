// What goes wrong between a config and its database: the right code, a message that names the cause, and never the password.
import { inspect } from 'node:util'
import type pg from 'pg'
import { afterAll, beforeAll, describe, expect, test } from 'vitest'
import { type SqlOptions, sql } from '../../../src/adapters/sources/sql.ts'
import { CachectlError } from '../../../src/core/errors.ts'
import { POSTGRES_PASSWORD, type Postgres, startPostgres } from '../../postgres.ts'
import { collect, within } from './source-contract.ts'

let postgres: Postgres
let pool: pg.Pool
beforeAll(async () => {
  postgres = await startPostgres()
  pool = postgres.pool()
  await pool.query(
    `create table city (id integer primary key, name text, country text not null, tags text[], at timestamptz, score integer)`,
  )
  await pool.query(
    `insert into city values (1, 'a', 'DE', '{}', '2026-01-01Z', 1), (2, 'b', 'FR', null, null, null), (3, null, 'DE', null, null, 5)`,
  )
  await pool.query(`create schema "Shop"`)
  await pool.query(`create table "Shop"."Order" (id uuid primary key)`)
  await pool.query(`create view nameless as select nullif(id, 2) as id, name from city`)
  await pool.query(`create view slow as select id, pg_sleep(30)::text as name from city`)
  await pool.query(`create role reader login password '${POSTGRES_PASSWORD}'`)
})
afterAll(() => postgres.stop())

const on = (options: Partial<SqlOptions>) => sql({ client: () => pool, close: () => {}, table: 'city', ...options })

async function errorOf(promise: Promise<unknown> | (() => unknown)): Promise<CachectlError> {
  const thrown = await (async () => (typeof promise === 'function' ? promise() : promise))().then(
    () => null,
    (error: unknown) => error,
  )
  expect(thrown).toBeInstanceOf(CachectlError)
  return thrown as CachectlError
}

describe('a config that does not fit the database', () => {
  test.each<[string, Partial<SqlOptions>, RegExp]>([
    ['a mistyped table', { table: 'citty' }, /no table "citty"; did you mean "city"\?/],
    [
      'a mistyped column',
      { updatedAt: 'att' },
      /table "city" has no column "att" \(`updatedAt`\); did you mean "at"\?/,
    ],
    ['a mistyped tenant', { tenant: 'contry' }, /no column "contry" \(`tenant`\); did you mean "country"\?/],
    ['a column of nothing near', { popularity: 'zzzzzz' }, /there are: id, name, country/],
    ['a statement for a name', { table: 'city; drop table city' }, /no table "city; drop table city"/],
    ['a name with two dots', { table: 'a.b.c' }, /is not the name of a table/],
    ['an index', { table: 'city_pkey' }, /is not a table or a view/],
    ['ids of arrays', { id: 'tags' }, /type text\[\], which cannot be the id/],
    ['versions of text', { updatedAt: 'name' }, /type text, which cannot be `updatedAt`/],
  ])('%s is SOURCE_INVALID', async (_, options, message) => {
    const error = await errorOf(collect(on(options)))
    expect(error.code).toBe('SOURCE_INVALID')
    expect(error.message).toMatch(message)
  })

  test('a key of several columns, and a selection that the source cannot do', async () => {
    expect((await errorOf(() => on({ id: ['a', 'b'] as never }))).hint).toMatch(/view that joins them/)
    for (const wanted of [
      { strategy: 'recent' },
      { strategy: 'popular' },
      { tenant: 'DE' },
      { since: '2026-01-01T00:00:00Z' },
    ] as const) {
      expect((await errorOf(collect(on({}), wanted))).code).toBe('SOURCE_INVALID')
    }
    expect((await errorOf(collect(on({ tenant: 'score' }), { tenant: 'abc' }))).message).toMatch(
      /tenant "abc" is not a value of column "score"/,
    )
    expect((await errorOf(collect(on({ updatedAt: 'at' }), { since: 'yesterday' }))).message).toMatch(
      /"yesterday" is not an instant/,
    )
  })

  test('names as SQL reads them, and as ORMs write them', async () => {
    for (const table of ['CITY', 'public.City', '"city"']) expect(await collect(on({ table }))).toHaveLength(3)
    for (const table of ['"Shop"."Order"', 'Shop.Order', 'Shop."Order"'])
      expect(await collect(on({ table }))).toEqual([])
  })

  test('rows of a view that have no id are told of', async () => {
    expect((await errorOf(collect(on({ table: 'nameless' })))).message).toMatch(/"id" is null in some rows/)
    const told: string[] = []
    const rows = await collect(on({ table: 'nameless' }), {
      onRowError: (where, message) => told.push(`${where}: ${message}`),
    })
    expect(rows.map((row) => row.id)).toEqual([1, 3])
    expect(told).toEqual(['table "nameless": column "id" is null in some rows, which were left out'])
  })

  test('a driver that gives long ids as numbers', async () => {
    await pool.query('create table long (id bigint primary key)')
    await pool.query('insert into long values (9007199254740993)')
    const lossy = async (text: string, values: unknown[]) =>
      (await pool.query(text, values)).rows.map((row) =>
        text.startsWith('select "id"') ? { id: Number(row.id) } : row,
      )
    const error = await errorOf(collect(on({ client: () => lossy, table: 'long' })))
    expect(error.message).toMatch(/beyond 2\^53/)
  })
})

describe('a database that fails', () => {
  const withUrl = (change: (url: URL) => void) => {
    const url = new URL(postgres.url)
    change(url)
    return sql({ url: url.href, table: 'city' })
  }
  test.each<[string, () => ReturnType<typeof sql>, string, RegExp, RegExp]>([
    [
      'wrong password',
      () => withUrl((url) => Object.assign(url, { password: 'canary-wr0ng' })),
      'SOURCE_FAILED',
      /password authentication failed/,
      /user and password/,
    ],
    [
      'unknown database',
      () => withUrl((url) => Object.assign(url, { pathname: '/nowhere' })),
      'SOURCE_FAILED',
      /"nowhere" does not exist/,
      /name of the database/,
    ],
    [
      'dead socket',
      () => withUrl((url) => url.searchParams.set('host', '/tmp/no-such-folder')),
      'SOURCE_FAILED',
      /ENOENT/,
      /./,
    ],
    [
      'dead port',
      () => sql({ url: 'postgresql://u:canary-s3cret%2Fpg@127.0.0.1:1/x', table: 'city' }),
      'SOURCE_FAILED',
      /ECONNREFUSED/,
      /is the database running/,
    ],
    [
      'no permission',
      () => withUrl((url) => Object.assign(url, { username: 'reader' })),
      'SOURCE_FAILED',
      /permission denied for table city \(42501\)/,
      /grant select/,
    ],
    [
      'another scheme',
      () => sql({ url: 'mysql://u:canary-s3cret@localhost/x', table: 'city' }),
      'SOURCE_INVALID',
      /must begin with postgresql/,
      /./,
    ],
    [
      'a URL that is none',
      () => sql({ url: 'postgresql://u:canary-s3cret@[', table: 'city' }),
      'SOURCE_FAILED',
      /./,
      /./,
    ],
    ['no URL', () => sql({ url: undefined, table: 'city' }), 'SOURCE_INVALID', /has no database/, /cron does not read/],
  ])('%s', async (_, open, code, message, hint) => {
    const source = open()
    const error = await errorOf(within(collect(source), 8_000, 'the failure'))
    expect(error.code).toBe(code)
    expect(error.message).toMatch(message)
    expect(error.hint).toMatch(hint)
    await source.close?.()
    const everything = `${inspect(error, { depth: 20, showHidden: true })} ${error.stack} ${JSON.stringify(error)}`
    expect(everything).not.toMatch(/canary/)
  })

  test('a query function that throws its connection string is quoted without it', async () => {
    const query = async () => {
      throw Object.assign(new Error(`cannot reach ${postgres.url}`), {
        connectionString: postgres.url,
        password: POSTGRES_PASSWORD,
      })
    }
    const error = await errorOf(collect(on({ client: () => query })))
    expect(error.message).toMatch(/postgresql:\/\/postgres:\*\*\*@localhost/)
    expect(inspect(error, { depth: 20 })).not.toMatch(/canary/)
  })

  test('a statement timeout says so', async () => {
    const hurried = postgres.pool({ options: '-c statement_timeout=50' })
    const error = await errorOf(collect(on({ client: () => hurried, table: 'slow' })))
    expect(error).toMatchObject({
      code: 'SOURCE_FAILED',
      message: expect.stringMatching(/statement timeout/),
      hint: expect.stringMatching(/index/),
    })
  })

  test('an abort ends the waiting at once, and of a URL the query itself', async () => {
    const running = async () =>
      (
        await pool.query(
          `select pid, application_name as by from pg_stat_activity where query like '%from public.slow%' and state = 'active' and pid <> pg_backend_pid()`,
        )
      ).rows
    for (const [source, by] of [
      [on({ table: 'slow' }), ''],
      [sql({ url: postgres.url, table: 'slow' }), 'cachectl'],
    ] as const) {
      const controller = new AbortController()
      const reading = collect(source, { signal: controller.signal })
      await expect.poll(running, { timeout: 10_000 }).toMatchObject([{ by }])
      controller.abort(new Error('enough'))
      await expect(within(reading, 1_000, 'the abort')).rejects.toThrow('enough')
      await within(Promise.resolve(source.close?.()), 3_000, 'close')
      // A pool of the user keeps its query, which takes 90 seconds; the test ends it.
      if (by === '') for (const { pid } of await running()) await pool.query('select pg_cancel_backend($1)', [pid])
      await expect.poll(running, { timeout: 5_000 }).toEqual([])
    }
  })

  test('it recovers: a failure is not remembered', async () => {
    let up = false
    const source = on({
      client: () => {
        if (!up) throw new Error('not yet')
        return pool
      },
    })
    expect((await errorOf(collect(source))).message).toMatch(/reading table "city" failed: not yet/)
    up = true
    expect(await collect(source)).toHaveLength(3)
  })
})

describe('what is opened and closed', () => {
  test('nothing is opened before the first read, nor by close', async () => {
    let opened = 0
    const client = () => {
      opened += 1
      return pool
    }
    const source = on({ client })
    await source.close?.()
    expect(opened).toBe(0)
    await collect(source)
    await collect(source)
    expect(opened).toBe(1)
  })

  test('a pool that several models share is ended once', async () => {
    const shared = postgres.pool()
    const sources = [
      sql({ client: () => shared, table: 'city' }),
      sql({ client: () => shared, table: 'city', id: 'id' }),
    ]
    for (const source of sources) await collect(source)
    await Promise.all(sources.map((source) => source.close?.()))
    expect(shared.ended).toBe(true)
  })
})
