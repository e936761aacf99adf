import { afterAll, beforeAll, expect, test } from 'vitest'
import { type Postgres, seedCities, startPostgres } from './postgres.ts'

let postgres: Postgres
beforeAll(async () => {
  postgres = await startPostgres()
})
afterAll(() => postgres.stop())

test('a real PostgreSQL holds the real cities', async () => {
  const pool = postgres.pool()
  const seeded = await seedCities((text, values) => pool.query(text, values))
  expect(seeded.cities).toBeGreaterThan(130_000)
  const { rows } = await pool.query(
    'select count(*)::int as cities, count(distinct updated_at)::int as times from city',
  )
  expect(rows).toEqual([{ cities: seeded.cities, times: seeded.cities }])
  const tokyo = await pool.query(
    `select c.name, k.name as country from city c join country k on k.code = c.country order by c.population desc limit 1`,
  )
  expect(tokyo.rows).toEqual([{ name: 'Shanghai', country: 'China' }])
})
