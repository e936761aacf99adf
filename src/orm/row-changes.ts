// From rows that an ORM wrote to what the cache is told: which model of the config, which of its rows, of which tenant.
import type { Row } from '../ports.ts'

/** How a model of the ORM relates to a model of the config. */
export interface OrmModel {
  /** its name in the config */
  model: string
  /** field that holds the id by which the config's source knows its rows (the primary key, where that is one field) */
  id?: string
  /** field that holds the tenant; needed for models whose rows belong to tenants */
  tenant?: string
}

/** What cachectl needs of a cache; `createCache` gives it. */
export interface OrmCache {
  model(name: string): { invalidate(row: Row): Promise<unknown>; invalidateAll(): Promise<unknown> }
  tenant(id: string): OrmCache
  transaction<Tx, R>(
    db: (work: (tx: Tx) => Promise<R>) => Promise<R>,
    work: (cache: OrmCache, tx: Tx) => Promise<R>,
  ): Promise<R>
}

/** Rows of one model of the ORM that a statement may have changed. */
export interface Touched {
  name: string
  /** what is known of each, by field; null: any row of it */
  rows: readonly Row[] | null
  /** fields that were set */
  fields: readonly string[]
}

/** More rows than this and the whole model is invalidated: it costs one command, however many rows there are. */
const MOST_ROWS = 100

/** Tells the cache of what was touched. Null: nobody knows, so all models that are mapped. */
export async function invalidateTouched(
  cache: OrmCache,
  models: ReadonlyMap<string, MappedModel>,
  touched: readonly Touched[] | null,
): Promise<void> {
  const all = touched ?? [...models.keys()].map((name) => ({ name, rows: null, fields: [] }))
  await Promise.all(
    all.map(async ({ name, rows, fields }) => {
      const mapped = models.get(name)
      if (mapped === undefined) return
      const targets = targetsOf(mapped, rows, fields)
      if (targets === null) await cache.model(mapped.model).invalidateAll()
      else
        await Promise.all(
          targets.map(({ tenant, row }) =>
            (tenant === null ? cache : cache.tenant(tenant)).model(mapped.model).invalidate(row),
          ),
        )
    }),
  )
}

/** A model of the ORM, with what the ORM says of it. */
export interface MappedModel extends OrmModel {
  /** field name to column name */
  columns: ReadonlyMap<string, string>
}

function targetsOf(
  { id, tenant, columns }: MappedModel,
  rows: readonly Row[] | null,
  fields: readonly string[],
): { tenant: string | null; row: Row }[] | null {
  if (rows === null || rows.length > MOST_ROWS) return null
  if (id === undefined || rows.some((row) => row[id] === undefined)) return null
  // The tenant of a row that has moved may have been any.
  if (tenant !== undefined && (fields.includes(tenant) || rows.some((row) => row[tenant] === undefined))) return null
  return rows.map((row) => ({
    tenant: tenant === undefined ? null : String(row[tenant]),
    row: { ...row, ...Object.fromEntries([...columns].map(([field, column]) => [column, row[field]])) },
  }))
}

/**
 * Runs a statement that commits by itself, and tells the cache what it touched: as one invalidation, after it. `tell` is called without a result where the
 * statement failed and may have been carried out all the same.
 */
export function runWrite<T>(
  cache: OrmCache,
  execute: () => Promise<T>,
  tell: (cache: OrmCache, result: T | undefined) => Promise<void>,
): Promise<T> {
  return cache.transaction(
    (work) => work(null),
    async (own) => {
      try {
        const result = await execute()
        await tell(own, result)
        return result
      } catch (error) {
        if (mayHaveHappened(error)) await tell(cache, undefined)
        throw error
      }
    },
  )
}

/** Refusals of the database (SQLSTATE, but for those of the connection) and of Prisma (P2…; P1… are of the connection). */
const REFUSED = /^(?!P1|08|E)[0-9A-Z]{5}$/

/** Whether a statement that failed may have been carried out all the same: its answer was lost, or something after it failed. */
function mayHaveHappened(error: unknown): boolean {
  for (let cause = error; typeof cause === 'object' && cause !== null; cause = (cause as { cause?: unknown }).cause) {
    const { name, code } = cause as { name?: unknown; code?: unknown }
    if (name === 'PrismaClientValidationError' || (typeof code === 'string' && REFUSED.test(code))) return false
  }
  return true
}
