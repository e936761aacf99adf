// The 135,000 real cities: each read once by every strategy, each page by an index, memory for a page only.
import type pg from 'pg'
import { afterAll, beforeAll, describe, expect, test } from 'vitest'
import { sql } from '../../../src/adapters/sources/sql.ts'
import type { Selection } from '../../../src/ports.ts'
import { type Postgres, seedCities, startPostgres } from '../../postgres.ts'
import { selection } from './source-contract.ts'

let postgres: Postgres
let pool: pg.Pool
let cities: number
const statements: { text: string; values: unknown[] }[] = []
beforeAll(async () => {
  postgres = await startPostgres()
  pool = postgres.pool({ max: 1 })
  cities = (await seedCities((text, values) => pool.query(text, values))).cities
})
afterAll(() => postgres.stop())

/** Reads over a query function that keeps the statements of pages. */
const source = sql({
  client: () => async (text: string, values: unknown[]) => {
    if (text.includes('from public.city')) statements.push({ text, values })
    return (await pool.query(text, values)).rows
  },
  table: 'city',
  updatedAt: 'updated_at',
  popularity: 'population',
  tenant: 'country',
})

async function plan({ text, values }: { text: string; values: unknown[] }): Promise<string> {
  const { rows } = await pool.query(`explain ${text}`, values)
  return rows.map((row) => row['QUERY PLAN']).join('\n')
}

describe.each<[string, Partial<Selection>]>([
  ['all', { strategy: 'all' }],
  ['recent', { strategy: 'recent' }],
  ['popular', { strategy: 'popular' }],
])('strategy %s', (_, wanted) => {
  test('gives each city once, and each page costs an index scan from where the last one ended', async () => {
    statements.length = 0
    const seen = new Set<unknown>()
    let rows = 0
    for await (const page of source.select(selection({ ...wanted, pageSize: 1_000 }))) {
      rows += page.length
      for (const row of page) seen.add(row.id)
    }
    expect([rows, seen.size]).toEqual([cities, cities])
    const middle = await plan(statements[Math.floor(statements.length / 2)] as { text: string; values: unknown[] })
    expect(middle).toMatch(/Index Scan/)
    expect(middle).not.toMatch(/Seq Scan|Sort/)
  })
})

test('ids alone are read from the index, a batch of ids by it', async () => {
  statements.length = 0
  for await (const page of source.selectIds?.(selection({ pageSize: 1_000, limit: 3_000 })) ?? [])
    expect(page).toHaveLength(1_000)
  expect(await plan(statements.at(-1) as { text: string; values: unknown[] })).toMatch(/Index (Only )?Scan/)
  const loaded = await source.load?.([1850147, 2950159, 7], { signal: selection().signal })
  expect(loaded?.map((row) => row.row.name).sort()).toEqual(['Berlin', 'Tokyo'])
  expect(await plan(statements.at(-1) as { text: string; values: unknown[] })).toMatch(/Index Scan/)
})

test('lists and counts agree with the data', async () => {
  const { signal } = selection()
  const largest = await source.list?.({ filters: { country: 'JP' }, sort: ['-population'], limit: 3, signal })
  expect(largest?.map((row) => row.row.name)).toEqual(['Tokyo', 'Yokohama', 'Osaka'])
  const { rows } = await pool.query('select count(*)::int as n from city where country = $1', ['JP'])
  expect(await source.count?.({ filters: { country: 'JP' }, signal })).toBe(rows[0].n)
  const [first] = (await source.distinct?.({ columns: ['country'], limit: 1, signal })) ?? []
  expect(first).toEqual({ country: 'US' })
})
