// Pages go on from the last row: nothing is lost or repeated, whatever the ids, ties and nulls.
import fc from 'fast-check'
import type pg from 'pg'
import { afterAll, beforeAll, describe, expect, test } from 'vitest'
import { sql } from '../../../src/adapters/sources/sql.ts'
import type { Selection, Strategy } from '../../../src/ports.ts'
import { type Postgres, startPostgres } from '../../postgres.ts'
import { seed } from '../../seed.ts'
import { collect } from './source-contract.ts'

const RUNS = 20 * Number(process.env.PROOF ?? 1)

let postgres: Postgres
let pool: pg.Pool
beforeAll(async () => {
  postgres = await startPostgres()
  pool = postgres.pool()
})
afterAll(() => postgres.stop())

const sourceOf = (table: string) =>
  sql({ client: () => pool, close: () => {}, table, updatedAt: 'at', popularity: 'score', tenant: 'org' })

const ID_TYPES = {
  integer: fc.integer({ min: -(2 ** 31), max: 2 ** 31 - 1 }).map(String),
  bigint: fc.bigInt({ min: -(2n ** 63n), max: 2n ** 63n - 1n }).map(String),
  uuid: fc.uuid(),
  text: fc.string({ unit: 'binary', maxLength: 6 }).map((text) => text.replace(/[\0\ud800-\udfff]/gu, '~')),
  'text collate "und-x-icu"': fc.string({
    unit: fc.constantFrom('a', 'A', 'á', 'ä', 'z', 'Z', '-', ' ', '1', '10', 'ß'),
    maxLength: 4,
  }),
  'varchar(8)': fc.string({ unit: fc.constantFrom('a', 'B', '"', '\\', '{', ',', "'", '\n'), maxLength: 4 }),
}

interface RandomRow {
  id: string
  org: string
  at: string | null
  score: number | null
}

const rowsOf = (id: fc.Arbitrary<string>) =>
  fc.uniqueArray(
    fc.record<RandomRow>({
      id,
      org: fc.constantFrom('1', '2', '3'),
      at: fc.option(
        fc.constantFrom('2026-01-01T00:00:00.000000Z', '2026-01-01T00:00:00.000001Z', '1999-12-31T23:59:59.999999Z'),
        { freq: 4 },
      ),
      score: fc.option(fc.constantFrom(-1.5, 0, 0.1, 1e300, 3), { freq: 4 }),
    }),
    { selector: (row) => row.id, maxLength: 60 },
  )

const ORDERS: Record<Exclude<Strategy, 'ids'>, string> = {
  all: 'id',
  recent: 'at desc nulls last, id desc',
  popular: 'score desc nulls last, id desc',
}

describe(`pages of random rows (SEED=${seed})`, () => {
  test.each(Object.entries(ID_TYPES))('ids of type %s', async (type, id) => {
    const table = `random_${Object.keys(ID_TYPES).indexOf(type)}`
    await pool.query(
      `create table ${table} (id ${type} primary key, org integer not null, at timestamptz, score double precision)`,
    )
    const source = sourceOf(table)
    const cases = fc.record({
      rows: rowsOf(id),
      pageSize: fc.constantFrom(1, 2, 7, 1000),
      limit: fc.option(fc.nat(70), { nil: undefined }),
      tenant: fc.option(fc.constantFrom('1', '2', '3'), { nil: undefined }),
    })
    const check = async ({
      rows,
      pageSize,
      limit,
      tenant,
    }: {
      rows: RandomRow[]
      pageSize: number
      limit: number | undefined
      tenant: string | undefined
    }) => {
      await pool.query(`truncate ${table}`)
      await pool.query(`insert into ${table} select * from json_populate_recordset(null::${table}, $1::json)`, [
        JSON.stringify(rows),
      ])
      for (const [strategy, order] of Object.entries(ORDERS)) {
        const where = tenant === undefined ? '' : `where org = ${tenant}`
        const expected = await pool.query(
          `select id::text as text from ${table} ${where} order by ${order} limit ${limit ?? 'all'}`,
        )
        const wanted = {
          strategy: strategy as Strategy,
          pageSize,
          ...(limit === undefined ? {} : { limit }),
          ...(tenant === undefined ? {} : { tenant }),
        }
        const got = await collect(source, wanted satisfies Partial<Selection>)
        expect(got.map((row) => String(row.id))).toEqual(expected.rows.map((row) => row.text))
      }
      const found = await collect(source, { strategy: 'ids', ids: rows.map((row) => row.id), pageSize })
      expect(found).toHaveLength(rows.length)
    }
    await fc.assert(fc.asyncProperty(cases, check), { seed, numRuns: RUNS })
  })
})

describe('thousands of rows of the same instant', () => {
  const TIES = 2_000
  beforeAll(async () => {
    await pool.query(`create table tied (id integer primary key, org integer not null, at timestamptz, score integer)`)
    await pool.query(
      `insert into tied select n, n % 3, case when n % 5 = 0 then null else timestamptz '2026-01-01Z' + (n / 1000) * interval '1 microsecond' end, 1
       from generate_series(1, ${TIES}) n`,
    )
    await pool.query('create index on tied (at, id)')
    await pool.query('create index on tied (score, id)')
    await pool.query('analyze tied')
  })

  test.each([1, 7, 1000])('pages of %i lose and repeat nothing', async (pageSize) => {
    for (const strategy of ['recent', 'popular'] as const) {
      const ids = (await collect(sourceOf('tied'), { strategy, pageSize })).map((row) => row.id)
      expect(ids).toHaveLength(TIES)
      expect(new Set(ids).size).toBe(TIES)
    }
  })

  test('paging by the time alone would lose most of them', async () => {
    const ids = new Set<number>()
    let last: string | null = null
    for (;;) {
      const { rows }: pg.QueryResult<{ id: number; at: string }> = await pool.query(
        `select id, at::text as at from tied where at is not null and ($1::timestamptz is null or at < $1) order by at desc limit 1000`,
        [last],
      )
      for (const row of rows) ids.add(row.id)
      if (rows.length === 0) break
      last = rows.at(-1)?.at ?? null
    }
    expect(ids.size).toBeLessThan(TIES * 0.8)
  })
})

describe('ids that are unique only within a tenant', () => {
  test.each([
    ['primary key (org, id)', 'tenant first'],
    ['primary key (id, org)', 'id first'],
  ])('%s: pages go by both', async (key) => {
    const table = `within_${key.includes('(org') ? 'org' : 'id'}`
    await pool.query(
      `create table ${table} (id integer not null, org text not null, at timestamptz, score integer, ${key})`,
    )
    await pool.query(
      `insert into ${table} select n % 50, 'org-' || n / 50, '2026-01-01Z', 1 from generate_series(0, 199) n`,
    )
    for (const strategy of ['all', 'recent', 'popular'] as const) {
      for (const pageSize of [1, 3, 1000]) {
        const rows = await collect(sourceOf(table), { strategy, pageSize })
        expect(new Set(rows.map((row) => `${row.tenant} ${row.id}`)).size).toBe(200)
        expect(rows).toHaveLength(200)
      }
    }
    const loaded = await sourceOf(table).load?.([7], { signal: new AbortController().signal })
    expect(loaded?.map((row) => row.tenant).sort()).toEqual(['org-0', 'org-1', 'org-2', 'org-3'])
  })
})
