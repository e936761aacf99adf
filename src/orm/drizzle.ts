// Drizzle on PostgreSQL: a database that tells the cache of every row that is written through it, after the commit.
import { CachectlError } from '../core/errors.ts'
import { type DrizzleMapping, type DrizzleOptions, entityKinds, readTables, tableName } from './drizzle-tables.ts'
import { type DrizzleConfig, type DrizzleKind, drizzleWrites } from './drizzle-writes.ts'
import { invalidateTouched, type OrmCache, runWrite } from './row-changes.ts'

export type { DrizzleOptions, DrizzleTableOptions } from './drizzle-tables.ts'

// biome-ignore lint/suspicious/noExplicitAny: Drizzle's own objects, which differ from driver to driver
type Drizzle = any

const KINDS: readonly DrizzleKind[] = ['insert', 'update', 'delete']

/**
 * `cacheDrizzle(drizzle(pool), cache, { tables: { city: cities } })`: the same database, whose insert, update and delete invalidate the rows they touch, or
 * the whole model where the rows are not known. Within `transaction` that happens after the commit, and not at all after a rollback; a savepoint that
 * is rolled back drops its own. Raw SQL is not seen.
 * @throws CachectlError USAGE for what is no PostgreSQL database of Drizzle, no table, or a field that the table does not have
 */
export function cacheDrizzle<Db extends object>(db: Db, cache: OrmCache, options: DrizzleOptions): Db {
  if (!entityKinds(db).includes('PgDatabase')) {
    throw new CachectlError('USAGE', 'cacheDrizzle was given no PostgreSQL database of Drizzle', {
      hint: 'wrap what `drizzle(pool)` gave (with replicas: the primary, before withReplicas); elsewhere invalidate by hand in cache.transaction',
    })
  }
  const mapping = readTables(cache, options)
  return watchDatabase(db, cache, mapping, (execute, tell) => runWrite(cache, execute, tell))
}

type Run = <T>(execute: () => Promise<T>, tell: (cache: OrmCache, result: T | undefined) => Promise<void>) => Promise<T>

function watchDatabase<Db extends object>(db: Db, cache: OrmCache, mapping: DrizzleMapping, run: Run): Db {
  const writers = (of: Drizzle) =>
    Object.fromEntries(
      KINDS.map((kind) => [kind, (table: object) => watchBuilder(of[kind](table), kind, table, mapping, run)]),
    )
  const methods: Record<PropertyKey, unknown> = {
    ...writers(db),
    with: (...queries: unknown[]) => {
      const statements = (db as Drizzle).with(...queries)
      return { ...statements, ...writers(statements) }
    },
    transaction: (work: (tx: Drizzle) => Promise<unknown>, settings: unknown) =>
      cache.transaction(
        (begin) => (db as Drizzle).transaction(begin, settings),
        (own, tx: Drizzle) => {
          const runWithin: Run = async (execute, tell) => {
            const result = await execute()
            await tell(own, result)
            return result
          }
          return work(watchDatabase(tx, own, mapping, runWithin))
        },
      ),
    batch: () => {
      throw new CachectlError('USAGE', 'db.batch is not seen by the cache', {
        hint: 'call it on the database that was given to cacheDrizzle, and invalidate by hand',
      })
    },
  }
  return new Proxy(db, {
    get: (target, name, receiver) =>
      Object.hasOwn(methods, name) && name in target ? methods[name] : Reflect.get(target, name, receiver),
  })
}

/** Drizzle's builders are objects of one statement each: what executes them is replaced in them. */
function watchBuilder(builder: Drizzle, kind: DrizzleKind, table: object, mapping: DrizzleMapping, run: Run): Drizzle {
  const observe = (statement: Drizzle) => {
    const known = mapping.tables.get(tableName(table))
    const config = statement.config as DrizzleConfig
    const { execute, prepare } = statement
    const watched =
      (call: (...args: unknown[]) => Promise<unknown>, self: unknown) =>
      (...args: unknown[]) =>
        run(
          () => call.apply(self, args),
          async (to, result) => {
            if (known) await invalidateTouched(to, mapping.models, drizzleWrites(known, kind, config, result))
          },
        )
    statement.execute = watched(execute, statement)
    statement.prepare = (...args: unknown[]) => {
      const prepared = prepare.apply(statement, args)
      prepared.execute = watched(prepared.execute, prepared)
      return prepared
    }
    return statement
  }
  if (typeof builder.execute === 'function') return observe(builder)
  for (const name of ['values', 'select', 'set']) {
    const make = builder[name]
    if (typeof make === 'function') builder[name] = (...args: unknown[]) => observe(make.apply(builder, args))
  }
  return builder
}
