// From rows that an ORM wrote to what the cache is told: which model of the config, which of its rows, of which tenant.
import { createModels } from '../cache/models.ts'
import { surfaceOf } from '../cache/surface-of.ts'
import { own } from '../core/declared.ts'
import { CachectlError } from '../core/errors.ts'
import { printable } from '../core/printable.ts'
import type { Id, Row } from '../ports.ts'

/** How a model of the ORM relates to a model of the config. */
export interface OrmModel {
  /** its name in the config */
  model: string
  /** field that holds the id by which the config's source knows its rows (the primary key, where that is one field) */
  id?: string
  /** field that holds the tenant; needed for models whose rows belong to tenants */
  tenant?: string
}

/** What `createCache` gives, as far as it is needed. */
export interface OrmCache {
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

/** A model of the ORM, with the name of its id's field; undefined where it has none. */
export interface MappedModel {
  model: string
  id: string | undefined
  tenant: string | undefined
}

/** @throws CachectlError USAGE for a model that the config has not, or whose tenant nobody could tell */
export function checkMapped(
  cache: OrmCache,
  { model, tenant }: Pick<MappedModel, 'model'> & { tenant?: string | undefined },
): void {
  const { config } = surfaceOf(cache).kernel
  const known = own(config.models, model)
  if (known === undefined) {
    throw new CachectlError('USAGE', `the config has no model called \`${printable(model)}\``, {
      hint: `there are: ${Object.keys(config.models).join(', ') || 'none'}`,
    })
  }
  if (known.tenant && tenant === undefined) {
    throw new CachectlError(
      'USAGE',
      `the rows of \`${model}\` belong to tenants, and nothing says which field tells the tenant`,
      {
        hint: `map it as { …, tenant: '${config.tenantLabel}Id' }`,
      },
    )
  }
}

/** Tells the cache of what was touched. Null: nobody knows, so all models that are mapped. */
export async function invalidateTouched(
  cache: OrmCache,
  models: ReadonlyMap<string, MappedModel>,
  touched: readonly Touched[] | null,
): Promise<void> {
  const { kernel } = surfaceOf(cache)
  const all = touched ?? [...models.keys()].map((name) => ({ name, rows: null, fields: [] }))
  const made = all.flatMap(({ name, rows, fields }) => {
    const mapped = models.get(name)
    if (mapped === undefined) return []
    // Never the tenant of the work under way: a statement may touch rows of others.
    const modelOf = (tenant: string | null) => createModels({ kernel, tenant: () => tenant }).model(mapped.model)
    const targets = targetsOf(mapped, rows, fields)
    if (targets === null) return [modelOf(null).invalidateAll()]
    return [...targets].map(([tenant, ids]) => modelOf(tenant).invalidate([...ids]))
  })
  await Promise.all(made)
}

/** Ids by tenant; null: any row. */
function targetsOf(
  { id, tenant }: MappedModel,
  rows: readonly Row[] | null,
  fields: readonly string[],
): Map<string | null, Set<Id>> | null {
  if (rows === null || id === undefined || rows.length > MOST_ROWS) return null
  const named = tenant === undefined ? [id] : [id, tenant]
  // What was set may have been anything before: a row that has another id or tenant now.
  if (named.some((field) => fields.includes(field) || rows.some((row) => !isId(row[field])))) return null
  const targets = new Map<string | null, Set<Id>>()
  for (const row of rows) {
    const of = tenant === undefined ? null : String(row[tenant])
    targets.set(of, (targets.get(of) ?? new Set()).add(row[id] as Id))
  }
  return targets
}

function isId(value: unknown): boolean {
  return typeof value === 'string' ? value !== '' : typeof value === 'number' || typeof value === 'bigint'
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
