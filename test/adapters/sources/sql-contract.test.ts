import { PGlite } from '@electric-sql/pglite'
import type pg from 'pg'
import { afterAll, beforeAll } from 'vitest'
import { sql } from '../../../src/adapters/sources/sql.ts'
import { type Postgres, startPostgres } from '../../postgres.ts'
import { sourceContract } from './source-contract.ts'
import { contractTable } from './sql-fixture.ts'

const columns = { id: 'id', tenant: 'org', updatedAt: 'updated_at', popularity: 'score' }

let postgres: Postgres
let admin: pg.Pool
let lite: PGlite
beforeAll(async () => {
  ;[postgres, lite] = await Promise.all([startPostgres(), PGlite.create()])
  admin = postgres.pool()
})
afterAll(async () => {
  await lite.close()
  await postgres.stop()
})

sourceContract('sql, pool of pg', async (rows) => {
  const table = await contractTable((text, values) => admin.query(text, values), rows)
  return { source: sql({ client: () => postgres.pool(), table, ...columns }) }
})

sourceContract('sql, URL', async (rows) => {
  const table = await contractTable((text, values) => admin.query(text, values), rows)
  return { source: sql({ url: postgres.url, table, ...columns }) }
})

sourceContract('sql, query function', async (rows) => {
  const table = await contractTable((text, values) => admin.query(text, values), rows)
  const query = async (text: string, values: unknown[]) => (await admin.query(text, values)).rows
  return { source: sql({ client: () => query, table, ...columns }) }
})

sourceContract('sql, PGlite', async (rows) => {
  const table = await contractTable((text, values) => lite.query(text, values), rows)
  return { source: sql({ client: () => lite, close: () => {}, table, ...columns }) }
})
