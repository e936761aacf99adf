// Source versions: exact to the microsecond, whatever the time zone of the process or the settings of the session.
import { execFileSync } from 'node:child_process'
import { fileURLToPath } from 'node:url'
import type pg from 'pg'
import { afterAll, beforeAll, describe, expect, test } from 'vitest'
import { sql } from '../../../src/adapters/sources/sql.ts'
import { type Postgres, startPostgres } from '../../postgres.ts'
import { collect } from './source-contract.ts'

let postgres: Postgres
let pool: pg.Pool
beforeAll(async () => {
  postgres = await startPostgres()
  pool = postgres.pool()
  await pool.query(
    `create table event (id integer primary key, at timestamptz, local timestamp, day date, revision bigint)`,
  )
  await pool.query(`insert into event values
    (1, '2026-03-29 01:59:59.999999+01', '2026-03-29 02:30:00.000001', '2026-03-29', 9223372036854775807),
    (2, '0001-01-01 00:00:00+00', '0044-03-15 12:00:00', '0044-03-15', 0),
    (3, '9999-12-31 23:59:59.999999+00', '9999-12-31 23:59:59.999999', '9999-12-31', -1),
    (4, 'infinity', 'infinity', 'infinity', 7), (5, '-infinity', '-infinity', '-infinity', 8),
    (6, '0044-03-15 00:00:00.000001+00 BC', '0044-03-15 00:00:00 BC', '0044-03-15 BC', 9), (7, null, null, null, null)`)
})
afterAll(() => postgres.stop())

const EXPECTED: Record<string, (string | null)[]> = {
  at: [
    '2026-03-29T00:59:59.999999Z',
    '0001-01-01T00:00:00.000000Z',
    '9999-12-31T23:59:59.999999Z',
    'infinity',
    '-infinity',
    '0044-03-15T00:00:00.000001Z BC',
    null,
  ],
  local: [
    '2026-03-29T02:30:00.000001',
    '0044-03-15T12:00:00.000000',
    '9999-12-31T23:59:59.999999',
    'infinity',
    '-infinity',
    '0044-03-15T00:00:00.000000 BC',
    null,
  ],
  day: ['2026-03-29', '0044-03-15', '9999-12-31', 'infinity', '-infinity', '0044-03-15 BC', null],
  revision: ['9223372036854775807', '0', '-1', '7', '8', '9', null],
}

async function versionsOf(client: pg.Pool, updatedAt: string): Promise<(string | null)[]> {
  const source = sql({ client: () => client, close: () => {}, table: 'event', updatedAt })
  return (await collect(source)).map((row) => row.version)
}

const SESSIONS = [
  '-c TimeZone=UTC',
  '-c TimeZone=America/St_Johns -c DateStyle=German',
  '-c TimeZone=Pacific/Kiritimati -c DateStyle=SQL,DMY -c IntervalStyle=iso_8601 -c extra_float_digits=0',
]

describe.each(SESSIONS)('in a session with %s', (options) => {
  test.each(Object.entries(EXPECTED))('%s', async (column, expected) => {
    const client = postgres.pool({ options })
    expect(await versionsOf(client, column)).toEqual(expected)
  })

  test.each(Object.keys(EXPECTED))(
    'pages by %s go on from every value, the infinities and years before Christ included',
    async (column) => {
      const client = postgres.pool({ options })
      const source = sql({ client: () => client, close: () => {}, table: 'event', updatedAt: column })
      const { rows } = await client.query(`select id from event order by ${column} desc nulls last, id desc`)
      for (const pageSize of [1, 2, 100]) {
        expect((await collect(source, { strategy: 'recent', pageSize })).map((row) => row.id)).toEqual(
          rows.map((row) => row.id),
        )
      }
    },
  )
})

test('a process in Berlin reads the very text that one in UTC reads', () => {
  const program = fileURLToPath(new URL('./read-versions.ts', import.meta.url))
  const readIn = (TZ: string) =>
    execFileSync(process.execPath, ['--import', 'tsx', program], {
      env: { ...process.env, TZ, DATABASE_URL: postgres.url },
      encoding: 'utf8',
    })
  const utc = readIn('UTC')
  expect(JSON.parse(utc)).toEqual(EXPECTED)
  expect(readIn('Europe/Berlin')).toBe(utc)
})

test('updates a microsecond apart are told apart; by way of a Date they are not', async () => {
  await pool.query(`create table tick (id integer primary key, at timestamptz not null)`)
  await pool.query(`insert into tick values (1, '2026-01-01 00:00:00.000001+00')`)
  const source = sql({ client: () => pool, close: () => {}, table: 'tick', updatedAt: 'at' })
  const [before] = await collect(source)
  await pool.query(`update tick set at = at + interval '1 microsecond'`)
  const [after] = await collect(source)
  expect([before?.version, after?.version]).toEqual(['2026-01-01T00:00:00.000001Z', '2026-01-01T00:00:00.000002Z'])
  const naive = [before, after].map((row) => new Date(row?.row.at as Date).toISOString())
  expect(naive[0]).toBe(naive[1])
})

test('without a time of change, xmin tells that a row changed', async () => {
  await pool.query(`create table plain (id integer primary key, name text)`)
  await pool.query(`insert into plain values (1, 'a'), (2, 'b')`)
  const source = sql({ client: () => pool, close: () => {}, table: 'plain', updatedAt: 'xmin' })
  const before = await collect(source)
  await pool.query(`update plain set name = 'c' where id = 2`)
  const after = await collect(source)
  expect(after[0]?.version).toBe(before[0]?.version)
  expect(after[1]?.version).not.toBe(before[1]?.version)
  expect(after[1]?.version).toMatch(/^\d+$/)
  await expect(collect(source, { strategy: 'recent' })).rejects.toMatchObject({ code: 'SOURCE_INVALID' })
})

test('columns of ours never hide or rename those of the table', async () => {
  await pool.query(
    `create table odd (id integer primary key, "cachectl_version" text, "cachectl_rank" text, "A ""b""" text, at timestamptz, score integer)`,
  )
  await pool.query(`insert into odd values (1, 'theirs', 'also theirs', 'quoted', '2026-01-01Z', 5)`)
  const source = sql({ client: () => pool, close: () => {}, table: 'odd', updatedAt: 'at', popularity: 'score' })
  for (const strategy of ['all', 'recent', 'popular'] as const) {
    const [row] = await collect(source, { strategy })
    expect(Object.keys(row?.row ?? {})).toEqual(['id', 'cachectl_version', 'cachectl_rank', 'A "b"', 'at', 'score'])
    expect(row).toMatchObject({
      version: '2026-01-01T00:00:00.000000Z',
      row: { cachectl_version: 'theirs', cachectl_rank: 'also theirs' },
    })
  }
  const narrow = sql({ client: () => pool, close: () => {}, table: 'odd', updatedAt: 'at', columns: ['A "b"'] })
  expect(await collect(narrow)).toEqual([
    { id: 1, row: { 'A "b"': 'quoted' }, version: '2026-01-01T00:00:00.000000Z', tenant: null },
  ])
})
