// Drizzle over node-postgres, a real PostgreSQL and a real Redis: which writes invalidate what, and when.
import type { Socket } from 'node:net'
import { and, eq, gt, inArray, or, sql } from 'drizzle-orm'
import { drizzle } from 'drizzle-orm/node-postgres'
import { bigint, foreignKey, integer, pgTable, primaryKey, text, withReplicas } from 'drizzle-orm/pg-core'
import { afterAll, beforeAll, beforeEach, describe, expect, expectTypeOf, test } from 'vitest'
import { cacheDrizzle } from '../../src/orm/drizzle.ts'
import { randomFromSeed, seed } from '../seed.ts'
import { expectGone, kept, openCache, openWorld, readAll, staleNow, type World } from './world.ts'

const countries = pgTable('countries', { id: integer('id').primaryKey(), name: text('name').notNull() })
const cities = pgTable('cities', {
  id: integer('city_id').primaryKey(), // the column has another name
  name: text('name').notNull(),
  size: integer('size').notNull().default(0),
  countryId: integer('country_id').references(() => countries.id, { onDelete: 'cascade', onUpdate: 'cascade' }),
})
const profiles = pgTable(
  'profiles',
  { id: integer('id').primaryKey(), note: text('note').notNull(), cityId: integer('city_id') },
  (table) => [
    foreignKey({ columns: [table.cityId], foreignColumns: [cities.id] })
      .onDelete('cascade')
      .onUpdate('cascade'),
  ],
)
const orders = pgTable('orders', {
  id: bigint('id', { mode: 'bigint' }).primaryKey(),
  orgId: text('org_id').notNull(),
  total: integer('total').notNull(),
})
const TABLES = { country: countries, city: cities, profile: profiles, order: { table: orders, tenant: 'orgId' } }
const CITIES = ['city:1', 'city:2', 'city:3', 'city:4']
const PROFILES = ['profile:1', 'profile:2']
const ORDERS = ['order:1', 'order:3', 'order:2']

const open = (world: World) => cacheDrizzle(drizzle(world.pool), world.cache, { tables: TABLES })
let world: World
let db: ReturnType<typeof open>

beforeAll(async () => {
  world = await openWorld()
  db = open(world)
})

afterAll(() => world?.stop())

beforeEach(() => world.reset())

const undone = new Error('undo')
const undo = () => {
  throw undone
}
const rename = (of: Pick<typeof db, 'update'>, id: number, name = 'z') =>
  of.update(cities).set({ name }).where(eq(cities.id, id))

describe('each write, and which details go', () => {
  const first = eq(sql`city_id`, 1)
  const cases: [name: string, work: () => PromiseLike<unknown>, gone: readonly string[]][] = [
    ['update by id', () => rename(db, 1), ['city:1']],
    [
      'update by ids',
      () =>
        db
          .update(cities)
          .set({ size: 5 })
          .where(inArray(cities.id, [1, 3])),
      ['city:1', 'city:3'],
    ],
    [
      'update by id and more',
      () =>
        db
          .update(cities)
          .set({ size: 5 })
          .where(and(gt(cities.size, 0), eq(cities.id, 2))),
      ['city:2'],
    ],
    ['update by another column', () => db.update(cities).set({ size: 5 }).where(eq(cities.name, 'a')), CITIES],
    [
      'update by another column, returning',
      () => db.update(cities).set({ size: 5 }).where(eq(cities.name, 'a')).returning(),
      ['city:1'],
    ],
    [
      'update returning a part under another name',
      () => db.update(cities).set({ size: 5 }).where(eq(cities.name, 'a')).returning({ key: cities.id }),
      ['city:1'],
    ],
    [
      'update returning no id',
      () => db.update(cities).set({ size: 5 }).where(eq(cities.name, 'a')).returning({ n: cities.name }),
      CITIES,
    ],
    ['update by an expression', () => db.update(cities).set({ size: 5 }).where(first), CITIES],
    [
      'update by id or true',
      () => db.update(cities).set({ size: 5 }).where(eq(cities.id, 1).append(sql` or true`)),
      CITIES,
    ],
    [
      'update by either',
      () =>
        db
          .update(cities)
          .set({ size: 5 })
          .where(or(eq(cities.id, 1), eq(cities.name, 'b'))),
      CITIES,
    ],
    ['update of all', () => db.update(cities).set({ size: 5 }), CITIES],
    [
      'update of the id',
      () => db.update(cities).set({ id: 9 }).where(eq(cities.id, 1)).returning(),
      [...CITIES, ...PROFILES],
    ],
    ['update that matches nothing', () => rename(db, 99).returning(), []],
    ['delete by id', () => db.delete(profiles).where(eq(profiles.id, 1)), ['profile:1']],
    ['delete of all', () => db.delete(profiles), PROFILES],
    ['delete that takes others along', () => db.delete(cities).where(eq(cities.id, 4)), ['city:4', ...PROFILES]],
    [
      'delete two tables deep',
      () => db.delete(countries).where(eq(countries.id, 1)),
      ['country:1', ...CITIES, ...PROFILES],
    ],
    ['insert', () => db.insert(cities).values({ id: 9, name: 'n' }), []],
    [
      'insert returning',
      () =>
        db
          .insert(cities)
          .values([
            { id: 8, name: 'n' },
            { id: 9, name: 'n' },
          ])
          .returning(),
      [],
    ],
    ['insert of an expression', () => db.insert(cities).values({ id: sql`9`, name: 'n' }), CITIES],
    [
      'insert from a select',
      () =>
        db.insert(profiles).select(
          db
            .select({ id: sql<number>`9`.as('id'), note: cities.name, cityId: cities.id })
            .from(cities)
            .where(eq(cities.id, 4)),
        ),
      PROFILES,
    ],
    ['insert, do nothing', () => db.insert(cities).values({ id: 1, name: 'n' }).onConflictDoNothing(), ['city:1']],
    [
      'upsert',
      () =>
        db
          .insert(cities)
          .values({ id: 1, name: 'n' })
          .onConflictDoUpdate({ target: cities.id, set: { name: 'u' } }),
      CITIES,
    ],
    [
      'upsert returning',
      () =>
        db
          .insert(cities)
          .values({ id: 1, name: 'n' })
          .onConflictDoUpdate({ target: cities.id, set: { name: 'u' } })
          .returning(),
      ['city:1'],
    ],
    [
      'with a CTE',
      () => {
        const one = db.$with('one').as(db.select().from(cities).where(eq(cities.id, 1)))
        return db
          .with(one)
          .update(cities)
          .set({ size: 5 })
          .where(inArray(cities.id, sql`(select city_id from one)`))
          .returning()
      },
      ['city:1'],
    ],
    ['execute()', () => rename(db, 1).execute(), ['city:1']],
    [
      'prepared',
      () =>
        db
          .update(cities)
          .set({ size: 5 })
          .where(eq(cities.id, sql.placeholder('id')))
          .returning()
          .prepare('by_id')
          .execute({ id: 2 }),
      ['city:2'],
    ],
    ['dynamic', () => db.update(cities).set({ size: 5 }).$dynamic().where(eq(cities.id, 1)), ['city:1']],
    ['tenant: update by id', () => db.update(orders).set({ total: 5 }).where(eq(orders.id, 1n)), ORDERS],
    [
      'tenant: update by id and tenant',
      () =>
        db
          .update(orders)
          .set({ total: 5 })
          .where(and(eq(orders.id, 1n), eq(orders.orgId, 'a'))),
      ['order:1'],
    ],
    [
      'tenant: update returning',
      () => db.update(orders).set({ total: 5 }).where(eq(orders.id, 1n)).returning(),
      ['order:1'],
    ],
    ['tenant: a row moves', () => db.update(orders).set({ orgId: 'b' }).where(eq(orders.id, 1n)).returning(), ORDERS],
    [
      'tenant: an upsert moves a row',
      () =>
        db
          .insert(orders)
          .values({ id: 1n, orgId: 'b', total: 1 })
          .onConflictDoUpdate({ target: orders.id, set: { orgId: 'b' } })
          .returning(),
      ORDERS,
    ],
    [
      'tenant: in the work of another',
      () =>
        world.cache.runWithTenant('a', () =>
          db
            .update(orders)
            .set({ total: 5 })
            .where(eq(orders.total, 20))
            .then((done) => done),
        ),
      ORDERS,
    ],
  ]
  test.each(cases)('%s', async (_, work, gone) => {
    await expectGone(world, async () => work(), gone)
  })

  test('a table without a model, whose rows take others along', async () => {
    const some = cacheDrizzle(drizzle(world.pool), world.cache, { tables: { city: cities } })
    await readAll(world.cache)
    await some.delete(countries).where(eq(countries.id, 2))
    expect(await kept(world)).toEqual(['country:1', 'country:2', ...PROFILES, ...ORDERS])
  })
})

describe('the database is the one that was given', () => {
  test('results, types and everything else', async () => {
    const updated = await rename(db, 1).returning()
    expectTypeOf(updated).toEqualTypeOf<(typeof cities.$inferSelect)[]>()
    expect(updated).toEqual([{ id: 1, name: 'z', size: 1, countryId: 1 }])
    expect((await rename(db, 2)).rowCount).toBe(1)
    expect(await db.select({ name: cities.name }).from(cities).where(eq(cities.id, 1))).toEqual([{ name: 'z' }])
    expect(await db.$count(cities)).toBe(4)
    expect((await db.execute(sql`select 1 as one`)).rows).toEqual([{ one: 1 }])
    expect(db.update(cities).set({ size: 1 }).toSQL().sql).toBe('update "cities" set "size" = $1')
    expect(await db.transaction(async (tx) => (await tx.select().from(cities)).length)).toBe(4)
    await expect(db.insert(cities).values({ id: 1, name: 'n' })).rejects.toThrow(/Failed query/)
    expect(
      await db
        .insert(cities)
        .values({ id: 1, name: 'n' })
        .catch(() => 'caught'),
    ).toBe('caught')
  })
})

describe('transactions', () => {
  test('after the commit, and not before', async () => {
    await readAll(world.cache)
    await db.transaction(async (tx) => {
      await rename(tx, 1)
      expect(await kept(world)).toContain('city:1')
    })
    expect(await kept(world)).not.toContain('city:1')
    expect(await staleNow(world)).toEqual([])
  })

  test('a rollback invalidates nothing', async () => {
    await readAll(world.cache)
    const before = await kept(world)
    for (const end of [undo, (tx: { rollback(): never }) => tx.rollback()]) {
      const work = db.transaction(async (tx) => {
        await rename(tx, 1)
        await tx.delete(orders)
        end(tx)
      })
      await expect(work).rejects.toThrow()
    }
    expect(await kept(world)).toEqual(before)
    expect(await staleNow(world)).toEqual([])
  })

  test('a reader between write and commit: the old row that it cached is gone', async () => {
    await db.transaction(async (tx) => {
      await rename(tx, 1)
      expect((await world.cache.model('city').get(1))?.name).toBe('a')
    })
    expect((await world.cache.model('city').get(1))?.name).toBe('z')
  })

  test('mutant: invalidating when the statement ends leaves it', async () => {
    // what a wrapper that knows nothing of transactions does
    const other = openCache(world.redis.socketUrl, world.pool)
    await drizzle(world.pool).transaction(async (tx) => {
      await rename(tx, 1)
      await other.model('city').invalidate(1)
      await world.cache.model('city').get(1)
    })
    expect((await world.cache.model('city').get(1))?.name).toBe('a')
    await other.close()
  })

  test('a savepoint that rolls back drops its own', async () => {
    await readAll(world.cache)
    await db.transaction(async (tx) => {
      await rename(tx, 1)
      const inner = tx.transaction(async (nested) => {
        await rename(nested, 2)
        undo()
      })
      await expect(inner).rejects.toBe(undone)
      await tx.transaction(async (nested) => {
        await rename(nested, 3)
      })
      expect(await kept(world)).toEqual(expect.arrayContaining(CITIES))
    })
    const after = await kept(world)
    expect(CITIES.filter((name) => !after.includes(name))).toEqual(['city:1', 'city:3'])
    expect(await staleNow(world)).toEqual([])
  })

  test('a write of its own within another transaction is not dropped with that', async () => {
    await readAll(world.cache)
    const work = db.transaction(async (tx) => {
      await rename(tx, 1)
      await rename(db, 2)
      undo()
    })
    await expect(work).rejects.toBe(undone)
    const after = await kept(world)
    expect(CITIES.filter((name) => !after.includes(name))).toEqual(['city:2'])
    expect(await staleNow(world)).toEqual([])
  })

  test('cache.transaction with this database: one transaction, whose writes and `c` know of each other', async () => {
    await readAll(world.cache)
    await world.cache.transaction(db, async (c, tx) => {
      await rename(tx, 1)
      await tx.execute(sql`update cities set name = 'raw' where city_id = 2`)
      await c.model('city').invalidate(2)
      const name = async () => (await tx.select().from(cities).where(eq(cities.id, 1)))[0]?.name
      expect(await c.getOrSet('detail', ['name', 1], name)).toBe('z')
      expect(await kept(world)).toEqual(expect.arrayContaining(CITIES))
    })
    expect(await staleNow(world)).toEqual([])
    await readAll(world.cache)
    const work = world.cache.transaction(db, async (c, tx) => {
      await rename(tx, 1, 'y')
      await c.model('city').invalidate(2)
      undo()
    })
    await expect(work).rejects.toBe(undone)
    expect(await kept(world)).toEqual(expect.arrayContaining(CITIES))
  })
})

describe('failures, and what cannot be seen', () => {
  test('Redis gone: writes go on', async () => {
    const errors: unknown[] = []
    const cache = openCache('redis://127.0.0.1:1', world.pool, {
      deadline: '100ms',
      onError: (error) => void errors.push(error),
    })
    const lonely = cacheDrizzle(drizzle(world.pool), cache, { tables: TABLES })
    expect((await rename(lonely, 1)).rowCount).toBe(1)
    await lonely.transaction(async (tx) => {
      await rename(tx, 2)
    })
    expect(errors.length).toBeGreaterThan(0)
    await cache.close()
  })

  test('a statement that the database refuses invalidates nothing; one whose answer was lost does', async () => {
    await expectGone(
      world,
      async () =>
        db
          .insert(cities)
          .values({ id: 1, name: 'n' })
          .catch(() => {}),
      [],
    )
    await expectGone(world, async () => rename(db, 1, null as never).catch(() => {}), [])
    await readAll(world.cache)
    const lost = db.update(cities).set({ name: sql`(select 'z' from pg_sleep(30))` }).where(eq(cities.id, 1)).execute()
    const died = lost.catch((error: unknown) => error)
    const pids = async () =>
      (
        await world.pool.query(
          "select pid from pg_stat_activity where query like 'update%pg_sleep%' and state = 'active'",
        )
      ).rows
    await expect.poll(async () => (await pids()).length, { timeout: 10_000 }).toBe(1)
    const [{ pid }] = await pids()
    // its answer is lost: nobody knows whether the row was changed
    const { _clients: clients } = world.pool as unknown as {
      _clients: { processID: number; connection: { stream: Socket } }[]
    }
    clients.find((client) => client.processID === pid)?.connection.stream.destroy()
    expect(await died).toBeInstanceOf(Error)
    expect(await kept(world)).not.toContain('city:1')
    await world.pool.query('select pg_terminate_backend($1)', [pid])
  })

  test('raw SQL is not seen', async () => {
    await readAll(world.cache)
    await db.execute(sql`update cities set name = 'z' where city_id = 1`)
    expect((await world.cache.model('city').get(1))?.name).toBe('a')
  })

  test('replicas behind a wrapped primary', async () => {
    const both = withReplicas(db, [drizzle(world.pool)])
    await expectGone(world, async () => both.update(cities).set({ size: 5 }).where(eq(cities.id, 1)), ['city:1'])
  })

  test('batch, which HTTP drivers have, is refused', () => {
    const http = Object.assign(drizzle(world.pool), { batch: async () => [] })
    const wrapped = cacheDrizzle(http, world.cache, { tables: TABLES })
    expect(() => wrapped.batch()).toThrow(/not seen/)
  })

  const wrong: [name: string, tables: Record<string, unknown>, message: RegExp][] = [
    ['what is no table', { city: {} }, /no table of Drizzle/],
    ['null', { city: null }, /no table of Drizzle/],
    ['a model that the config has not', { town: cities }, /no model called `town`/],
    ['a field that the table has not', { city: { table: cities, id: 'city_id' } }, /no field `city_id`/],
    ['a tenant that nobody could tell', { order: orders }, /which field tells the tenant/],
  ]
  test.each(wrong)('%s is an error at once', (_, tables, message) => {
    expect(() => cacheDrizzle(drizzle(world.pool), world.cache, { tables: tables as never })).toThrow(message)
  })

  test('what is no database is an error at once', () => {
    expect(() => cacheDrizzle({}, world.cache, { tables: TABLES })).toThrow(/no PostgreSQL database of Drizzle/)
  })

  test('a primary key of two columns: the whole model', async () => {
    const keyed = pgTable('cities', { id: integer('city_id'), name: text('name') }, (table) => [
      primaryKey({ columns: [table.id, table.name] }),
    ])
    const other = cacheDrizzle(drizzle(world.pool), world.cache, { tables: { city: keyed } })
    await expectGone(
      world,
      async () => other.update(keyed).set({ name: 'z' }).where(eq(keyed.id, 1)).returning(),
      CITIES,
    )
    const named = cacheDrizzle(drizzle(world.pool), world.cache, { tables: { city: { table: keyed, id: 'id' } } })
    await expectGone(world, async () => named.update(keyed).set({ name: 'y' }).where(eq(keyed.id, 1)).returning(), [
      'city:1',
    ])
  })
})

describe(`random transactions against readers, seed ${seed}`, () => {
  test('the cache equals the database afterwards', async () => {
    const trials = Number(process.env.PROOF ?? 1) * 4
    for (let at = 0; at < trials; at++) {
      await world.reset()
      const random = randomFromSeed(seed + at)
      const pick = (most: number) => 1 + Math.floor(random() * most)
      let writing = true
      const reader = async () => {
        while (writing) await readAll(world.cache)
      }
      const step = async (to: Pick<typeof db, 'update' | 'insert'>, name: string) => {
        const roll = random()
        if (roll < 0.5) await rename(to, pick(4), name)
        else if (roll < 0.7)
          await to
            .update(cities)
            .set({ size: pick(2) })
            .where(eq(cities.size, pick(2)))
        else if (roll < 0.9)
          await to
            .update(orders)
            .set({ total: pick(99) })
            .where(eq(orders.id, BigInt(pick(3))))
            .returning()
        else
          await to
            .insert(cities)
            .values({ id: 9, name })
            .onConflictDoUpdate({ target: cities.id, set: { name } })
            .returning()
      }
      const writer = async (name: string) => {
        for (let turn = 0; turn < 6; turn++) {
          if (random() < 0.3) await step(db, `${name}${turn}`).catch(() => {})
          else
            await db
              .transaction(async (tx) => {
                await step(tx, `${name}${turn}`)
                await tx
                  .transaction(async (nested) => {
                    await step(nested, `${name}${turn}+`)
                    if (random() < 0.4) undo()
                  })
                  .catch((error) => {
                    if (error !== undone) throw error
                  })
                if (random() < 0.4) undo()
              })
              .catch(() => {}) // undone, or a deadlock, which the database rolls back
        }
      }
      const readers = [reader(), reader()]
      await Promise.all(['x', 'y', 'z'].map(writer))
      writing = false
      await Promise.all(readers)
      expect(await staleNow(world)).toEqual([])
    }
  })
})
