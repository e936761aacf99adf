// The Prisma extension with a generated client, a real PostgreSQL and a real Redis: which writes invalidate what, and when.
import { PrismaPg } from '@prisma/adapter-pg'
import { afterAll, beforeAll, beforeEach, describe, expect, test } from 'vitest'
import { cachePrisma } from '../../src/orm/prisma.ts'
import { randomFromSeed, seed } from '../seed.ts'
import { type GeneratedClient, generateClient } from './prisma-client.ts'
import { expectGone, kept, openCache, openWorld, readAll, staleNow, type World } from './world.ts'

const SCHEMA = `
model Country {
  id     Int    @id
  name   String
  cities City[]
  @@map("countries")
}
model City {
  id        Int      @id @map("city_id") // the column has another name
  name      String
  size      Int      @default(0)
  countryId Int?     @map("country_id")
  country   Country? @relation(fields: [countryId], references: [id], onDelete: Cascade)
  profile   Profile?
  @@map("cities")
}
model Profile {
  id     Int    @id
  note   String
  cityId Int?   @unique @map("city_id")
  city   City?  @relation(fields: [cityId], references: [id], onDelete: Cascade)
  @@map("profiles")
}
model Order {
  id    BigInt @id
  orgId String @map("org_id")
  total Int
  @@map("orders")
}
`
const MODELS = { Country: 'country', City: 'city', Profile: 'profile', Order: { model: 'order', tenant: 'orgId' } }
const CITIES = ['city:1', 'city:2', 'city:3', 'city:4']
const COUNTRIES = ['country:1', 'country:2']
const PROFILES = ['profile:1', 'profile:2']

let world: World
let generated: GeneratedClient
// biome-ignore lint/suspicious/noExplicitAny: a client of a schema that exists at run time only
type Client = any
let base: Client
let prisma: Client

beforeAll(async () => {
  ;[world, generated] = await Promise.all([openWorld(), generateClient(SCHEMA)])
  base = new generated.PrismaClient({ adapter: new PrismaPg({ connectionString: world.postgres.url }) })
  prisma = base.$extends(cachePrisma(world.cache, { models: MODELS }))
})

afterAll(async () => {
  await base?.$disconnect()
  await generated?.remove()
  await world?.stop()
})

beforeEach(() => world.reset())

const undone = new Error('undo')
const undo = () => {
  throw undone
}

describe('each write, and which details go', () => {
  const cases: [name: string, work: () => Promise<unknown>, gone: readonly string[]][] = [
    ['update', () => prisma.city.update({ where: { id: 1 }, data: { name: 'z' } }), ['city:1']],
    [
      'update that selects no id',
      () => prisma.city.update({ where: { id: 1 }, data: { name: 'z' }, select: { name: true } }),
      ['city:1'],
    ],
    [
      'update with the same id in its data',
      () => prisma.city.update({ where: { id: 1 }, data: { id: 1, name: 'z' } }),
      ['city:1'],
    ],
    ['update of the id', () => prisma.city.update({ where: { id: 1 }, data: { id: 9 } }), [...CITIES, ...PROFILES]],
    ['delete', () => prisma.city.delete({ where: { id: 4 } }), ['city:4', ...PROFILES]],
    [
      'delete that takes others along',
      () => prisma.country.delete({ where: { id: 1 } }),
      ['country:1', ...CITIES, ...PROFILES],
    ],
    ['create', () => prisma.city.create({ data: { id: 9, name: 'new' } }), []],
    [
      'create that selects no id',
      () => prisma.city.create({ data: { id: 9, name: 'new' }, select: { name: true } }),
      [],
    ],
    [
      'createMany',
      () =>
        prisma.city.createMany({
          data: [
            { id: 8, name: 'x' },
            { id: 9, name: 'y' },
          ],
        }),
      [],
    ],
    ['createManyAndReturn', () => prisma.city.createManyAndReturn({ data: [{ id: 9, name: 'y' }] }), []],
    ['updateMany', () => prisma.city.updateMany({ where: { name: { in: ['a', 'b'] } }, data: { size: 7 } }), CITIES],
    [
      'updateMany by ids',
      () => prisma.city.updateMany({ where: { id: { in: [1, 2] } }, data: { size: 7 } }),
      ['city:1', 'city:2'],
    ],
    [
      'updateManyAndReturn',
      () => prisma.city.updateManyAndReturn({ where: { size: 1, name: 'a' }, data: { size: 7 } }),
      ['city:1'],
    ],
    ['deleteMany', () => prisma.profile.deleteMany({}), PROFILES],
    [
      'upsert that updates',
      () => prisma.city.upsert({ where: { id: 2 }, create: { id: 2, name: 'n' }, update: { name: 'u' } }),
      ['city:2'],
    ],
    [
      'upsert that creates',
      () => prisma.city.upsert({ where: { id: 9 }, create: { id: 9, name: 'n' }, update: { name: 'u' } }),
      [],
    ],
    ['tenant: update', () => prisma.order.update({ where: { id: 1n }, data: { total: 5 } }), ['order:1']],
    [
      'tenant: update that does not tell it',
      () => prisma.order.update({ where: { id: 1n }, data: { total: 5 }, select: { id: true } }),
      ['order:1', 'order:3', 'order:2'],
    ],
    [
      'tenant: updateMany within one',
      () => prisma.order.updateMany({ where: { id: 1n, orgId: 'a' }, data: { total: 5 } }),
      ['order:1'],
    ],
    [
      'tenant: updateMany over all',
      () => prisma.order.updateMany({ data: { total: 5 } }),
      ['order:1', 'order:3', 'order:2'],
    ],
    [
      'tenant: a row moves',
      () => prisma.order.update({ where: { id: 1n }, data: { orgId: 'b' } }),
      ['order:1', 'order:3', 'order:2'],
    ],
    [
      'tenant: in the work of another',
      () =>
        world.cache.runWithTenant(
          'a',
          async () => await prisma.order.updateMany({ where: { total: 20 }, data: { total: 21 } }),
        ),
      ['order:1', 'order:3', 'order:2'],
    ],
  ]
  test.each(cases)('%s', async (_, work, gone) => {
    await expectGone(world, work, gone)
  })
})

describe('nested writes', () => {
  const update = (model: string, id: number, data: unknown) => () => prisma[model].update({ where: { id }, data })
  const cases: [name: string, work: () => Promise<unknown>, gone: readonly string[]][] = [
    ['create of many', update('country', 1, { cities: { create: [{ id: 9, name: 'n' }] } }), ['country:1', ...CITIES]],
    [
      'createMany',
      update('country', 1, { cities: { createMany: { data: [{ id: 9, name: 'n' }] } } }),
      ['country:1', ...CITIES],
    ],
    ['connect names the row', update('country', 1, { cities: { connect: { id: 3 } } }), ['country:1', 'city:3']],
    [
      'connect several',
      update('country', 1, { cities: { connect: [{ id: 3 }, { id: 4 }] } }),
      ['country:1', 'city:3', 'city:4'],
    ],
    ['disconnect', update('country', 1, { cities: { disconnect: [{ id: 1 }] } }), ['country:1', 'city:1']],
    ['set', update('country', 1, { cities: { set: [{ id: 3 }] } }), ['country:1', ...CITIES]],
    [
      'update of one',
      update('country', 1, { cities: { update: { where: { id: 1 }, data: { name: 'z' } } } }),
      ['country:1', 'city:1'],
    ],
    [
      'updateMany',
      update('country', 1, { cities: { updateMany: { where: {}, data: { size: 9 } } } }),
      ['country:1', ...CITIES],
    ],
    [
      'upsert',
      update('country', 1, {
        cities: { upsert: { where: { id: 1 }, create: { id: 1, name: 'n' }, update: { name: 'u' } } },
      }),
      ['country:1', ...CITIES],
    ],
    [
      'connectOrCreate',
      update('country', 1, { cities: { connectOrCreate: { where: { id: 9 }, create: { id: 9, name: 'n' } } } }),
      ['country:1', ...CITIES],
    ],
    [
      'delete takes others along',
      update('country', 1, { cities: { delete: { id: 1 } } }),
      ['country:1', 'city:1', ...PROFILES],
    ],
    ['deleteMany', update('country', 1, { cities: { deleteMany: {} } }), ['country:1', ...CITIES, ...PROFILES]],
    ['connect by the own key', update('city', 1, { country: { connect: { id: 2 } } }), ['city:1']],
    ['disconnect by the own key', update('city', 1, { country: { disconnect: true } }), ['city:1']],
    [
      'create behind the own key',
      update('city', 1, { country: { create: { id: 9, name: 'n' } } }),
      [...COUNTRIES, 'city:1'],
    ],
    ['update behind the own key', update('city', 1, { country: { update: { name: 'n' } } }), [...COUNTRIES, 'city:1']],
    [
      'one to one, the key on the other side',
      update('city', 1, { profile: { connect: { id: 2 } } }),
      ['city:1', ...PROFILES],
    ],
    ['one to one, the key on this side', update('profile', 1, { city: { connect: { id: 2 } } }), PROFILES],
    ['one to one, deleted', update('city', 1, { profile: { delete: true } }), ['city:1', ...PROFILES]],
    [
      'three deep',
      update('country', 1, { cities: { update: { where: { id: 1 }, data: { profile: { update: { note: 'x' } } } } } }),
      ['country:1', 'city:1', ...PROFILES],
    ],
    [
      'in a create',
      () => prisma.country.create({ data: { id: 9, name: 'n', cities: { connect: [{ id: 1 }] } } }),
      ['city:1'],
    ],
  ]
  test.each(cases)('%s', async (_, work, gone) => {
    await expectGone(world, work, gone)
  })
})

describe('transactions', () => {
  test('interactive: after the commit, and not before', async () => {
    await readAll(world.cache)
    await prisma.$transaction(async (tx: Client) => {
      await tx.city.update({ where: { id: 1 }, data: { name: 'z' } })
      expect(await kept(world)).toContain('city:1')
    })
    expect(await kept(world)).not.toContain('city:1')
    expect(await staleNow(world)).toEqual([])
  })

  test('interactive: a rollback invalidates nothing, and leaves nothing of its own', async () => {
    await readAll(world.cache)
    const before = await kept(world)
    const work = prisma.$transaction(async (tx: Client) => {
      await tx.city.update({ where: { id: 1 }, data: { name: 'z', country: { update: { name: 'z' } } } })
      await tx.order.deleteMany()
      undo()
    })
    await expect(work).rejects.toBe(undone)
    expect(await kept(world)).toEqual(before)
    expect(await staleNow(world)).toEqual([])
  })

  test('a reader between write and commit: the old row that it cached is gone', async () => {
    await prisma.$transaction(async (tx: Client) => {
      await tx.city.update({ where: { id: 1 }, data: { name: 'z' } })
      expect((await world.cache.model('city').get(1))?.name).toBe('a')
    })
    expect((await world.cache.model('city').get(1))?.name).toBe('z')
  })

  test('mutant: an extension that invalidates when the query ends leaves it', async () => {
    const naive = base.$extends({
      query: {
        city: {
          async update({ args, query }: Client) {
            const result = await query(args)
            await world.cache.model('city').invalidate(args.where.id)
            return result
          },
        },
      },
    })
    await naive.$transaction(async (tx: Client) => {
      await tx.city.update({ where: { id: 1 }, data: { name: 'z' } })
      await world.cache.model('city').get(1)
    })
    expect((await world.cache.model('city').get(1))?.name).toBe('a')
  })

  test('a nested one that rolls back drops its own', async () => {
    await readAll(world.cache)
    await prisma.$transaction(async (tx: Client) => {
      await tx.city.update({ where: { id: 1 }, data: { name: 'z' } })
      const inner = tx.$transaction(async (nested: Client) => {
        await nested.city.update({ where: { id: 2 }, data: { name: 'z' } })
        undo()
      })
      await expect(inner).rejects.toBe(undone)
      await tx.$transaction(async (nested: Client) => nested.city.update({ where: { id: 3 }, data: { name: 'z' } }))
      expect(await kept(world)).toEqual(expect.arrayContaining(CITIES))
    })
    const after = await kept(world)
    expect(CITIES.filter((name) => !after.includes(name))).toEqual(['city:1', 'city:3'])
    expect(await staleNow(world)).toEqual([])
  })

  test('an array: after all of it', async () => {
    await expectGone(
      world,
      () =>
        prisma.$transaction([
          prisma.city.update({ where: { id: 1 }, data: { name: 'z' } }),
          prisma.city.findMany(),
          prisma.profile.delete({ where: { id: 2 } }),
        ]),
      ['city:1', 'profile:2'],
    )
  })

  test('an array that fails leaves nothing stale', async () => {
    await readAll(world.cache)
    const work = prisma.$transaction([
      prisma.city.update({ where: { id: 1 }, data: { name: 'z' } }),
      prisma.city.create({ data: { id: 2, name: 'is there' } }),
    ])
    await expect(work).rejects.toMatchObject({ code: 'P2002' })
    expect(await staleNow(world)).toEqual([])
  })

  test('a write of its own within another transaction is not dropped with that', async () => {
    await readAll(world.cache)
    const work = prisma.$transaction(async (tx: Client) => {
      await tx.city.update({ where: { id: 1 }, data: { name: 'z' } })
      await prisma.city.update({ where: { id: 2 }, data: { name: 'z' } })
      undo()
    })
    await expect(work).rejects.toBe(undone)
    const after = await kept(world)
    expect(CITIES.filter((name) => !after.includes(name))).toEqual(['city:2'])
    expect(await staleNow(world)).toEqual([])
  })

  test('cache.transaction with this client: one transaction, whose writes and `c` know of each other', async () => {
    await readAll(world.cache)
    await world.cache.transaction(
      prisma as { $transaction(work: (tx: Client) => Promise<unknown>): Promise<unknown> },
      async (c, tx) => {
        await tx.city.update({ where: { id: 1 }, data: { name: 'z' } })
        await tx.$executeRaw`update cities set name = 'raw' where city_id = 2`
        await c.model('city').invalidate(2)
        // its source is another connection, which does not see the transaction: the row as it is committed, but not from the cache
        expect((await c.model('city').get(1))?.name).toBe('a')
        expect(
          await c.getOrSet('detail', ['name', 1], async () => (await tx.city.findUnique({ where: { id: 1 } })).name),
        ).toBe('z')
        expect(await kept(world)).toEqual(expect.arrayContaining(CITIES))
      },
    )
    expect(await staleNow(world)).toEqual([])
  })

  test('cache.transaction that rolls back', async () => {
    await readAll(world.cache)
    const work = world.cache.transaction(prisma as never, async (c, tx: Client) => {
      await tx.city.update({ where: { id: 1 }, data: { name: 'z' } })
      await c.model('city').invalidate(2)
      undo()
    })
    await expect(work).rejects.toBe(undone)
    expect(await kept(world)).toEqual(expect.arrayContaining(CITIES))
  })
})

describe('failures, and what cannot be seen', () => {
  test('a write that the database refuses invalidates nothing', async () => {
    await expectGone(world, () => prisma.city.create({ data: { id: 1, name: 'is there' } }).catch(() => {}), [])
    await expectGone(world, () => prisma.city.update({ where: { id: 1 }, data: { nope: 1 } }).catch(() => {}), [])
    await expectGone(world, () => prisma.city.delete({ where: { id: 99 } }).catch(() => {}), [])
  })

  test('Redis gone: writes go on', async () => {
    const errors: unknown[] = []
    const cache = openCache('redis://127.0.0.1:1', world.pool, {
      deadline: '100ms',
      onError: (error) => void errors.push(error),
    })
    const client = base.$extends(cachePrisma(cache, { models: MODELS }))
    expect((await client.city.update({ where: { id: 1 }, data: { name: 'z' } })).name).toBe('z')
    expect(await client.$transaction(async (tx: Client) => (await tx.city.findUnique({ where: { id: 1 } })).name)).toBe(
      'z',
    )
    expect(errors.length).toBeGreaterThan(0)
    await cache.close()
  })

  test('raw SQL is not seen', async () => {
    await readAll(world.cache)
    await prisma.$executeRaw`update cities set name = 'z' where city_id = 1`
    expect((await world.cache.model('city').get(1))?.name).toBe('a')
  })

  test('other extensions behind this one see their queries within transactions', async () => {
    const seen: string[] = []
    const both = prisma.$extends({
      query: {
        city: {
          update({ args, query }: Client) {
            seen.push('update')
            return query(args)
          },
        },
      },
    })
    await expectGone(
      world,
      () => both.$transaction(async (tx: Client) => tx.city.update({ where: { id: 1 }, data: { name: 'z' } })),
      ['city:1'],
    )
    expect(seen).toEqual(['update'])
  })

  const wrong: [name: string, models: Record<string, unknown>, message: RegExp][] = [
    ['a model that the schema has not', { Town: 'city' }, /no model `Town`/],
    ['a model that the config has not', { City: 'town' }, /no model called `town`/],
    ['a field that the model has not', { City: { model: 'city', id: 'cityId' } }, /no field `cityId`/],
    ['a tenant that nobody could tell', { Order: 'order' }, /which field tells the tenant/],
  ]
  test.each(wrong)('%s is an error at once', (_, models, message) => {
    expect(() => base.$extends(cachePrisma(world.cache, { models: models as never }))).toThrow(message)
  })

  test('what is no cache is an error at once', () => {
    expect(() => base.$extends(cachePrisma({} as never, { models: MODELS }))).toThrow(/no cache of cachectl/)
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
      const step = async (db: Client, text: string) => {
        const id = pick(4)
        const roll = random()
        if (roll < 0.4) await db.city.update({ where: { id }, data: { name: text } })
        else if (roll < 0.6) await db.city.updateMany({ where: { size: pick(2) }, data: { size: pick(2) } })
        else if (roll < 0.8)
          await db.country.update({ where: { id: pick(2) }, data: { cities: { connect: { id } }, name: text } })
        else await db.order.update({ where: { id: BigInt(pick(3)) }, data: { total: pick(99) } })
      }
      const writer = async (name: string) => {
        for (let turn = 0; turn < 6; turn++) {
          const text = `${name}${turn}`
          if (random() < 0.3) await step(prisma, text)
          else
            await prisma
              .$transaction(async (tx: Client) => {
                await step(tx, text)
                await step(tx, `${text}+`)
                if (random() < 0.4) undo()
              })
              // deadlocks and conflicts are rolled back by the database
              .catch((error: unknown) => error)
        }
      }
      const readers = [reader(), reader()]
      await Promise.all(['x', 'y', 'z'].map((name) => writer(name).catch(() => {})))
      writing = false
      await Promise.all(readers)
      expect(await staleNow(world)).toEqual([])
    }
  })
})
