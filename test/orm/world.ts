// What the tests of the ORMs share: countries, their cities with a profile each, orders of tenants; on real servers, with a cache over them.
import type pg from 'pg'
import { expect } from 'vitest'
import { sql } from '../../src/adapters/sources/sql.ts'
import { type CacheOptions, createCache } from '../../src/create-cache.ts'
import { type Postgres, startPostgres } from '../postgres.ts'
import { startRedis, type TestRedis } from '../servers.ts'

const TABLES = `
  create table countries (id int primary key, name text not null);
  create table cities (
    city_id int primary key, name text not null, size int not null default 0,
    country_id int references countries on delete cascade on update cascade
  );
  create table profiles (id int primary key, note text not null, city_id int unique references cities on delete cascade on update cascade);
  create table orders (id bigint primary key, org_id text not null, total int not null);
`

export interface World {
  redis: TestRedis
  postgres: Postgres
  pool: pg.Pool
  cache: ReturnType<typeof openCache>
  /** Empties Redis, and makes all rows anew: countries 1 and 2, cities 1 to 4 (two a country), profiles 1 and 2 of cities 1 and 2, orders 1 of a, 2 of b. */
  reset(): Promise<void>
  stop(): Promise<void>
}

export function openCache(url: string, pool: pg.Pool, options: CacheOptions = {}) {
  const client = () => pool
  const lists = { byName: { sort: ['name'] } }
  return createCache(
    {
      redis: url,
      prefix: 'shop',
      tenant: { label: 'org' },
      defaults: { grace: '0s' },
      models: {
        country: { source: sql({ client, table: 'countries', id: 'id' }), tenant: false, lists },
        city: { source: sql({ client, table: 'cities', id: 'city_id' }), tenant: false, lists },
        profile: { source: sql({ client, table: 'profiles', id: 'id' }), tenant: false },
        order: { source: sql({ client, table: 'orders', id: 'id', tenant: 'org_id' }), tenant: true },
      },
    },
    { deadline: '2s', ...options },
  )
}

export async function openWorld(): Promise<World> {
  const [redis, postgres] = await Promise.all([startRedis(), startPostgres()])
  const pool = postgres.pool({ max: 12 })
  await pool.query(TABLES)
  const cache = openCache(redis.socketUrl, pool)
  return {
    redis,
    postgres,
    pool,
    cache,
    async reset() {
      await pool.query('truncate countries, cities, profiles, orders cascade')
      await pool.query(`
        insert into countries values (1, 'one'), (2, 'two');
        insert into cities values (1, 'a', 1, 1), (2, 'b', 1, 1), (3, 'c', 1, 2), (4, 'd', 1, 2);
        insert into profiles values (1, 'first', 1), (2, 'second', 2);
        insert into orders values (1, 'a', 10), (2, 'b', 20), (3, 'a', 30);
      `)
      await redis.call('FLUSHALL')
    },
    async stop() {
      await cache.close()
      await Promise.all([redis.stop(), postgres.stop()])
    },
  }
}

/** What is in the cache now, by name; absent where nothing is. Reads nothing from the database. */
export type Cached = Record<string, unknown>

type Cache = World['cache']

const IDS = { country: [1, 2, 9], city: [1, 2, 3, 4, 9], profile: [1, 2, 9] } as const
const ORDERS = { a: [1, 3], b: [2] } as const

/** Reads every row and list, so that all of it is cached. */
export async function readAll(cache: Cache): Promise<Cached> {
  const values: Cached = {}
  for (const [model, ids] of Object.entries(IDS) as ['country' | 'city' | 'profile', readonly number[]][]) {
    const rows = await cache.model(model).getMany(ids)
    for (const id of ids) values[`${model}:${id}`] = rows.get(id)
  }
  for (const model of ['country', 'city'] as const)
    values[`${model}s`] = await cache.model(model).list({ list: 'byName' })
  for (const [org, ids] of Object.entries(ORDERS)) {
    const rows = await cache.tenant(org).model('order').getMany(ids)
    for (const id of ids) values[`order:${id}`] = rows.get(id)
  }
  return values
}

/** Names of what is read as before although the database now has it otherwise. */
export async function staleNow({ cache, redis }: World): Promise<string[]> {
  const cached = await readAll(cache)
  await redis.call('FLUSHALL')
  const truth = await readAll(cache)
  return Object.keys(truth).filter((name) => JSON.stringify(cached[name]) !== JSON.stringify(truth[name]))
}

/** Details that are still in Redis, under the names that `readAll` gives them. */
export async function kept({ redis, cache }: World): Promise<string[]> {
  const names: string[] = []
  for (const [model, ids] of Object.entries(IDS) as ['country' | 'city' | 'profile', readonly number[]][]) {
    for (const id of ids) {
      if (await redis.call('EXISTS', await cache.model(model).key(id))) names.push(`${model}:${id}`)
    }
  }
  for (const [org, ids] of Object.entries(ORDERS)) {
    for (const id of ids) {
      if (await redis.call('EXISTS', await cache.tenant(org).model('order').key(id))) names.push(`order:${id}`)
    }
  }
  return names
}

/** Caches everything, does it, and holds it to this: nothing stale is read, and details beyond `gone` are still there. */
export async function expectGone(world: World, work: () => Promise<unknown>, gone: readonly string[]): Promise<void> {
  await readAll(world.cache)
  const before = await kept(world)
  await work()
  const after = await kept(world)
  expect(before.filter((name) => !after.includes(name))).toEqual(gone)
  expect(await staleNow(world)).toEqual([])
}
