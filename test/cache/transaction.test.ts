// Transactions of a real PostgreSQL with a cache on a real Redis: what is applied, when, and what never is.
import type pg from 'pg'
import { afterAll, beforeAll, beforeEach, describe, expect, test } from 'vitest'
import { openStore } from '../../src/adapters/redis/store.ts'
import { createKernel } from '../../src/cache/create-kernel.ts'
import { createDirect, type Direct } from '../../src/cache/direct.ts'
import type { Kernel } from '../../src/cache/kernel.ts'
import { stampsOf } from '../../src/cache/policy.ts'
import { carryTransactions, runTransaction, type Transactional } from '../../src/cache/transaction.ts'
import { type Postgres, startPostgres } from '../postgres.ts'
import { aConfig, aNamespace } from '../resolved.ts'
import { randomFromSeed, seed } from '../seed.ts'
import { startRedis, type TestRedis } from '../servers.ts'

type Tx = Pick<pg.PoolClient, 'query'>

interface Handle extends Direct<string> {
  kernel: Kernel
  invalidateTag(tag: string): Promise<unknown>
  transaction<T, R>(db: Transactional<T>, work: (c: Handle, tx: T) => R | Promise<R>): Promise<R>
}

function handleOf(kernel: Kernel): Handle {
  return {
    ...createDirect({ kernel, tenant: () => null }),
    kernel,
    invalidateTag: (tag) => kernel.invalidate({ stamps: stampsOf([tag], null) }),
    transaction: (db, work) => runTransaction(kernel, db, handleOf, work),
  }
}

const closing: (() => Promise<void>)[] = []
const errors: unknown[] = []

function openCache(url: string): Handle {
  const config = aConfig(url, [], {
    namespaces: {
      detail: aNamespace('detail', { beta: 0, graceMs: 0 }),
      plain: aNamespace('plain', { format: 'raw', keyPattern: 'other:{subject}:{rest}' }),
    },
  })
  const store = openStore({ url, from: 'the test', tls: null }, { connectTimeoutMs: 1_000, replyTimeoutMs: 1_000 })
  const kernel = createKernel({
    config,
    store,
    clock: Date,
    random: Math.random,
    counters: { count: () => {}, group: () => ({ count: () => {} }) } as never,
    near: null,
    deadlineMs: 2_000,
    sourceConcurrency: 8,
    production: false,
    strict: false,
    onError: (error) => void errors.push(error),
  })
  closing.push(async () => {
    await kernel.close()
    await store.close()
  })
  return handleOf(carryTransactions(kernel))
}

let redis: TestRedis
let postgres: Postgres
let pool: pg.Pool
let cache: Handle

beforeAll(async () => {
  ;[redis, postgres] = await Promise.all([startRedis(), startPostgres()])
  pool = postgres.pool({ max: 16 })
  await pool.query('create table item (id int primary key, value text not null, twin int)')
  await pool.query(
    'alter table item add constraint late foreign key (twin) references item deferrable initially deferred',
  )
  cache = openCache(redis.socketUrl)
})

afterAll(async () => {
  for (const close of closing.splice(0)) await close()
  await Promise.all([redis?.stop(), postgres?.stop()])
})

beforeEach(async () => {
  await redis.call('FLUSHALL')
  await pool.query('truncate item')
  await pool.query("insert into item select id, 'old' from generate_series(1, 5) id")
})

/** What an application's helper around `pg` looks like. */
async function inTransaction<T>(work: (tx: Tx) => Promise<T>): Promise<T> {
  const client = await pool.connect()
  try {
    await client.query('begin')
    const result = await work(client)
    await client.query('commit')
    return result
  } catch (error) {
    await client.query('rollback')
    throw error
  } finally {
    client.release()
  }
}

const savepoint =
  (tx: Tx, name: string) =>
  async <T>(work: (tx: Tx) => Promise<T>): Promise<T> => {
    await tx.query(`savepoint ${name}`)
    try {
      return await work(tx)
    } catch (error) {
      await tx.query(`rollback to savepoint ${name}`)
      throw error
    }
  }

let loads = 0
const load =
  (id: number, db: Tx = pool) =>
  async () => {
    loads += 1
    return (await db.query('select value from item where id = $1', [id])).rows[0]?.value as string
  }
const read = (id: number, c: Handle = cache, db: Tx = pool) => c.getOrSet('detail', ['item', id], load(id, db))
const write = (tx: Tx, id: number, value: string) => tx.query('update item set value = $2 where id = $1', [id, value])
const invalidate = (c: Handle, id: number) => c.delete('detail', ['item', id])

/** Every byte of values in Redis. */
async function allValues(): Promise<string> {
  const keys = (await redis.call('KEYS', '*')) as string[]
  const dumps = await Promise.all(
    keys.map(async (key) => ((await redis.call('TYPE', key)) === 'string' ? redis.call('GET', key) : '')),
  )
  return dumps.join('\n')
}

class Undo extends Error {}
const undo = () => {
  throw new Undo()
}

describe('what is applied, and when', () => {
  test('an invalidation is applied after the commit, and not before', async () => {
    await read(1)
    const result = await cache.transaction(inTransaction, async (c, tx) => {
      await write(tx, 1, 'new')
      const { status } = await invalidate(c, 1)
      expect(status).toBe('queued')
      expect(await cache.get('detail', ['item', 1])).toBe('old')
      return 'done'
    })
    expect(result).toBe('done')
    expect(await cache.get('detail', ['item', 1])).toBeUndefined()
    expect(await read(1)).toBe('new')
  })

  test('a rollback drops it: the entry is still there', async () => {
    await read(1)
    const work = cache.transaction(inTransaction, async (c, tx) => {
      await write(tx, 1, 'new')
      await invalidate(c, 1)
      await c.invalidateTag('x')
      undo()
    })
    await expect(work).rejects.toBeInstanceOf(Undo)
    expect(await cache.get('detail', ['item', 1])).toBe('old')
  })

  test('tags, entries and raw keys of one transaction all go', async () => {
    await cache.set('detail', ['item', 1], 'a')
    await cache.set('detail', ['item', 2], 'b', { tags: ['x'] })
    await redis.call('SET', 'other:item:3', '"c"')
    await cache.transaction(inTransaction, async (c) => {
      await invalidate(c, 1)
      await c.invalidateTag('x')
      await c.delete('plain', ['item', '3'])
      expect(await c.get('plain', ['item', '3'])).toBeUndefined()
      expect(await cache.get('plain', ['item', '3'])).toBe('c')
      expect(await cache.get('detail', ['item', 2], { tags: ['x'] })).toBe('b')
    })
    expect(await redis.call('EXISTS', 'other:item:3')).toBe(0)
    expect(
      await cache.getMany(
        'detail',
        [
          ['item', 1],
          ['item', 2],
        ],
        { tags: ['x'] },
      ),
    ).toEqual([undefined, undefined])
  })

  test('where the work was done and the commit fails, it is applied: nobody knows what the database did', async () => {
    await read(1)
    const work = cache.transaction(inTransaction, async (c, tx) => {
      await tx.query('update item set twin = 999 where id = 1') // refused when it commits
      await invalidate(c, 1)
    })
    await expect(work).rejects.toThrow(/late/)
    expect(await cache.get('detail', ['item', 1])).toBeUndefined()
  })

  test('an invalidation that the work did not await is applied, late', async () => {
    await read(1)
    let late: Promise<unknown> = Promise.resolve()
    let go = () => {}
    const gate = new Promise<void>((resolve) => {
      go = resolve
    })
    await cache.transaction(inTransaction, async (c) => {
      late = gate.then(() => invalidate(c, 1))
    })
    expect(await cache.get('detail', ['item', 1])).toBe('old')
    go()
    await late
    expect(await cache.get('detail', ['item', 1])).toBeUndefined()
  })

  test('Redis gone: the transaction commits and says so; nothing rejects', async () => {
    const own = await startRedis()
    const other = openCache(own.socketUrl)
    await read(1, other)
    await own.stop()
    const before = errors.length
    const result = await other.transaction(inTransaction, async (c, tx) => {
      await write(tx, 1, 'new')
      await invalidate(c, 1)
      return read(1, c, tx)
    })
    expect(result).toBe('new')
    expect(errors.length).toBeGreaterThan(before)
    expect((await pool.query('select value from item where id = 1')).rows[0].value).toBe('new')
  })
})

describe('what is read within', () => {
  test('hits until something is invalidated, the source from then on', async () => {
    await read(1)
    await read(2)
    loads = 0
    await cache.transaction(inTransaction, async (c, tx) => {
      expect(await read(2, c, tx)).toBe('old')
      expect(loads).toBe(0)
      await write(tx, 1, 'new')
      await invalidate(c, 1)
      expect(await read(1, c, tx)).toBe('new')
      expect(await read(2, c, tx)).toBe('old')
      expect(loads).toBe(2)
      expect(await c.get('detail', ['item', 2])).toBeUndefined()
      expect(
        await c.getOrSetMany(
          'detail',
          [
            ['item', 1],
            ['item', 2],
          ],
          async (missing) => missing.map(([, id]) => id),
        ),
      ).toEqual([1, 2])
    })
  })

  test('nothing that is loaded or set within it is ever written, whether it rolls back or commits', async () => {
    for (const end of [undo, () => {}]) {
      const work = cache.transaction(inTransaction, async (c, tx) => {
        await write(tx, 1, 'canary-uncommitted')
        expect(await read(1, c, tx)).toBe('canary-uncommitted') // not even before it has said what it wrote
        await c.set('detail', ['item', 2], 'canary-set')
        await c.setMany('detail', [[['item', 3], 'canary-set']])
        await c.getOrSetMany('detail', [['item', 4]], async () => ['canary-many'])
        await c.set('plain', ['item', '9'], 'canary-raw')
        await c.getOrSet('plain', ['item', '8'], async () => 'canary-raw')
        end()
      })
      await work.catch((error) => expect(error).toBeInstanceOf(Undo))
      expect(await allValues()).not.toContain('canary')
    }
  })

  test('a set within it drops what was there, after the commit', async () => {
    await cache.set('detail', ['item', 1], 'before')
    await cache.transaction(inTransaction, async (c) => {
      expect(await c.set('detail', ['item', 1], 'after')).toBe(false)
      expect(await cache.get('detail', ['item', 1])).toBe('before')
    })
    expect(await cache.get('detail', ['item', 1])).toBeUndefined()
  })

  test('an old snapshot is not cached as if it were new', async () => {
    await cache.transaction(inTransaction, async (c, tx) => {
      await tx.query('set transaction isolation level repeatable read')
      await tx.query('select 1 from item')
      await write(pool, 1, 'new')
      await invalidate(cache, 1)
      expect(await read(1, c, tx)).toBe('old')
    })
    expect(await read(1)).toBe('new')
  })
})

describe('the reader between write and commit', () => {
  /** Someone reads after the row was written and before that is committed: the old row goes into the cache. */
  const readerWithin = async (invalidateWithin: (c: Handle) => Promise<unknown>) => {
    await read(1)
    await cache.transaction(inTransaction, async (c, tx) => {
      await write(tx, 1, 'new')
      await invalidateWithin(c)
      expect(await read(1)).toBe('old')
    })
    return cache.get('detail', ['item', 1])
  }

  test('what it cached is gone after the commit', async () => {
    expect(await readerWithin((c) => invalidate(c, 1))).toBeUndefined()
  })

  test('mutant: an invalidation made within the transaction leaves the old row', async () => {
    // Another cache on the same Redis: it knows nothing of the transaction, as caches without transactions do.
    const other = openCache(redis.socketUrl)
    expect(await readerWithin(() => invalidate(other, 1))).toBe('old')
  })

  test('on a handle from outside it is made at once and again at the end, also after a rollback', async () => {
    expect(await readerWithin(() => invalidate(cache, 1))).toBeUndefined()
    await read(2)
    const work = cache.transaction(inTransaction, async () => {
      await invalidate(cache, 2)
      await cache.set('detail', ['item', 2], 'put back')
      undo()
    })
    await expect(work).rejects.toBeInstanceOf(Undo)
    expect(await cache.get('detail', ['item', 2])).toBeUndefined()
  })
})

describe('savepoints', () => {
  test('one that is released keeps its invalidations until the whole commits', async () => {
    await read(1)
    await cache.transaction(inTransaction, async (c, tx) => {
      await c.transaction(savepoint(tx, 'a'), async (inner) => {
        await write(tx, 1, 'new')
        await invalidate(inner, 1)
        expect(await read(1, c, tx)).toBe('new') // on the handle around it, too
      })
      expect(await cache.get('detail', ['item', 1])).toBe('old')
      expect(await read(1, c, tx)).toBe('new')
    })
    expect(await cache.get('detail', ['item', 1])).toBeUndefined()
  })

  test('one that is rolled back drops its own, and not those around it', async () => {
    await read(1)
    await read(2)
    await cache.transaction(inTransaction, async (c, tx) => {
      await invalidate(c, 1)
      const inner = c.transaction(savepoint(tx, 'a'), async (own) => {
        await invalidate(own, 2)
        undo()
      })
      await expect(inner).rejects.toBeInstanceOf(Undo)
    })
    expect(
      await cache.getMany('detail', [
        ['item', 1],
        ['item', 2],
      ]),
    ).toEqual([undefined, 'old'])
  })

  test('all of them go when the whole rolls back', async () => {
    await read(1)
    const work = cache.transaction(inTransaction, async (c, tx) => {
      await c.transaction(savepoint(tx, 'a'), (own) => invalidate(own, 1))
      undo()
    })
    await expect(work).rejects.toBeInstanceOf(Undo)
    expect(await cache.get('detail', ['item', 1])).toBe('old')
  })
})

describe('what can be given as a database', () => {
  const work = async (c: Handle, tx: Tx) => {
    await write(tx, 1, 'new')
    await invalidate(c, 1)
    return 7
  }
  const knexLike = Object.assign(() => undo(), { transaction: inTransaction })

  test.each([
    ['a function', inTransaction],
    ['$transaction', { $transaction: inTransaction }],
    ['transaction', { transaction: inTransaction }],
    ['a function that has transaction', knexLike as never],
    [
      'a function that gives nothing back',
      async (run: (tx: Tx) => Promise<unknown>) => void (await inTransaction(run)),
    ],
  ])('%s', async (_, db) => {
    await read(1)
    expect(await cache.transaction(db as Transactional<Tx>, work)).toBe(7)
    expect(await cache.get('detail', ['item', 1])).toBeUndefined()
  })

  test.each([[undefined], [null], [{}], ['db'], [{ transaction: true }]])('not %s', async (db) => {
    await expect(cache.transaction(db as never, work)).rejects.toMatchObject({ code: 'USAGE' })
  })

  test('a function that does not run the work', async () => {
    await expect(cache.transaction(async () => {}, work)).rejects.toThrow(/without its work/)
  })

  test('a function that tries again after a conflict', async () => {
    await read(1)
    let attempts = 0
    const retrying: Transactional<Tx> = async (run) => {
      await inTransaction(run).catch(() => inTransaction(run))
    }
    await cache.transaction(retrying, async (c, tx) => {
      await work(c, tx)
      attempts += 1
      if (attempts === 1) undo()
    })
    expect(attempts).toBe(2)
    expect(await read(1)).toBe('new')
  })
})

describe(`random transactions against readers, seed ${seed}`, () => {
  const trials = Number(process.env.PROOF ?? 1) * 12

  /** Rows whose entry is not the row, after everything has ended. */
  const trial = async (from: number, invalidateIn: (c: Handle, id: number) => Promise<unknown>): Promise<number> => {
    const random = randomFromSeed(from)
    const pick = (most: number) => 1 + Math.floor(random() * most)
    let writing = true
    const transaction = (attempt: string) =>
      cache
        .transaction(inTransaction, async (c, tx) => {
          for (const id of [pick(3), 3 + pick(2)]) {
            await write(tx, id, `${attempt}:${id}`)
            await invalidateIn(c, id)
            if (random() < 0.5) await read(id, c, tx)
            if (random() < 0.3)
              await c
                .transaction(savepoint(tx, 's'), async (own) => {
                  await write(tx, id, `${attempt}:inner`)
                  await invalidateIn(own, id)
                  if (random() < 0.5) undo()
                })
                .catch(() => {})
          }
          if (random() < 0.4) undo()
        })
        .catch((error) => expect(error).toBeInstanceOf(Undo))
    const writer = async (name: number) => {
      for (let at = 0; at < 5; at++) await transaction(`${from}:${name}:${at}`)
    }
    const reader = async () => {
      while (writing) await read(pick(5))
    }
    const readers = [reader(), reader(), reader()]
    await Promise.all([1, 2, 3].map(writer))
    writing = false
    await Promise.all(readers)
    const { rows } = await pool.query('select id, value from item')
    const cached = await cache.getMany(
      'detail',
      rows.map(({ id }) => ['item', id] as const),
    )
    return rows.filter(({ value }, index) => cached[index] !== undefined && cached[index] !== value).length
  }

  test('the cache equals the database afterwards', async () => {
    let wrong = 0
    for (let at = 0; at < trials; at++) wrong += await trial(seed + at, invalidate)
    expect(wrong).toBe(0)
  })

  test('mutant: invalidating within the transaction is caught', async () => {
    const other = openCache(redis.socketUrl)
    let wrong = 0
    for (let at = 0; at < 40 && wrong === 0; at++) wrong += await trial(seed + at, (_, id) => invalidate(other, id))
    expect(wrong).toBeGreaterThan(0)
  })
})
