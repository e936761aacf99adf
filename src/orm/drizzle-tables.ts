// What Drizzle's table objects say: columns, ids, and which rows the database deletes or changes along with others.
import { CachectlError } from '../core/errors.ts'
import type { DrizzleColumn, DrizzleTable } from './drizzle-writes.ts'
import { checkMapped, type MappedModel, type OrmCache, type OrmModel } from './row-changes.ts'

export interface DrizzleOptions {
  /** model of the config to table: `{ city: cities, order: { table: orders, tenant: 'orgId' } }` */
  tables: Readonly<Record<string, object | DrizzleTableOptions>>
}

export interface DrizzleTableOptions extends Omit<OrmModel, 'model'> {
  table: object
}

export interface DrizzleMapping {
  models: ReadonlyMap<string, MappedModel>
  /** by `tableName`; also tables without a model, whose rows take others along */
  tables: ReadonlyMap<string, DrizzleTable>
}

// biome-ignore lint/suspicious/noExplicitAny: Drizzle's own objects, which differ from version to version
type Drizzle = any

interface ForeignKey {
  /** model whose rows hold the key */
  model: string
  /** table that the key points to, by `tableName` */
  target: string
  /** fields of it that the key points to */
  fields: string[]
  onDelete: unknown
  onUpdate: unknown
}

interface Given extends MappedModel {
  table: object
  columns: Readonly<Record<string, DrizzleColumn>>
}

const INERT: readonly unknown[] = [undefined, 'no action', 'restrict']
const symbol = (name: string) => Symbol.for(`drizzle:${name}`)

/** @throws CachectlError USAGE for what is no table, or has no such field */
export function readTables(cache: OrmCache, { tables }: DrizzleOptions): DrizzleMapping {
  const given = Object.entries(tables).map(([model, table]) => readTable(model, table))
  for (const mapped of given) checkMapped(cache, mapped)
  const keys = given.flatMap(({ model, table }) => foreignKeys(model, table))
  const models = given.map((own): [string, MappedModel] => [own.model, own])
  const nameOf = new Map(given.map(({ model, table }) => [model, tableName(table)]))
  const tableOf = (
    table: string,
    { model, columns, id }: Pick<Given, 'model' | 'columns' | 'id'>,
  ): [string, DrizzleTable] => [
    table,
    {
      name: model,
      columns,
      id,
      keys: new Set([
        ...Object.keys(columns).filter((field) => columns[field]?.primary),
        ...keys.flatMap(({ target, fields }) => (target === table ? fields : [])),
      ]),
      onDelete: affected(table, 'onDelete', keys, nameOf),
      onUpdate: affected(table, 'onUpdate', keys, nameOf),
    },
  ]
  const outer = keys.map(({ target }) => tableOf(target, { model: '', columns: {}, id: undefined }))
  const known = given.map((own) => tableOf(tableName(own.table), own))
  return { models: new Map(models), tables: new Map([...outer, ...known]) }
}

/** `public.cities` */
export function tableName(table: Drizzle): string {
  return `${table?.[symbol('Schema')] ?? 'public'}.${table?.[symbol('OriginalName')]}`
}

/** Of an object of Drizzle: the names of its class and of those above it. */
export function entityKinds(object: object): string[] {
  const kinds: string[] = []
  for (let proto = Object.getPrototypeOf(object); proto !== null; proto = Object.getPrototypeOf(proto)) {
    const kind = proto.constructor?.[symbol('entityKind')]
    if (typeof kind === 'string') kinds.push(kind)
  }
  return kinds
}

function readTable(model: string, given: object | DrizzleTableOptions): Given {
  const own: DrizzleTableOptions = isTable(given) ? { table: given } : { ...(given as DrizzleTableOptions) }
  if (!isTable(own.table)) {
    throw new CachectlError('USAGE', `cacheDrizzle: what is given for \`${model}\` is no table of Drizzle`, {
      hint: 'give what pgTable(…) gave, or { table, id, tenant }',
    })
  }
  const columns = (own.table as Drizzle)[symbol('Columns')] as Record<string, DrizzleColumn>
  const wrong = [own.id, own.tenant].find((field) => field !== undefined && !Object.hasOwn(columns, field))
  if (wrong !== undefined) {
    throw new CachectlError('USAGE', `cacheDrizzle: the table of \`${model}\` has no field \`${wrong}\``, {
      hint: `it has: ${Object.keys(columns).join(', ')}`,
    })
  }
  const primary = Object.keys(columns).filter((field) => columns[field]?.primary)
  const id = own.id ?? (primary.length === 1 ? primary[0] : undefined)
  return { model, table: own.table, columns, id, tenant: own.tenant }
}

function isTable(value: unknown): boolean {
  return typeof value === 'object' && value !== null && symbol('IsDrizzleTable') in value
}

/** Written at the column (`references`) and beside the columns (`foreignKey`). */
function foreignKeys(model: string, table: Drizzle): ForeignKey[] {
  const extra = table[symbol('ExtraConfigBuilder')]?.(table[symbol('ExtraConfigColumns')]) ?? []
  const builders = (Array.isArray(extra) ? extra.flat() : Object.values(extra)) as Drizzle[]
  const built = builders
    .filter((builder) => builder?.constructor?.[symbol('entityKind')] === 'PgForeignKeyBuilder')
    .map((builder) => builder.build(table))
  return [...(table[symbol('PgInlineForeignKeys')] ?? []), ...built].map((key: Drizzle) => {
    const { foreignTable, foreignColumns } = key.reference()
    const columns = Object.entries(foreignTable[symbol('Columns')])
    const fields = columns.flatMap(([field, column]) => (foreignColumns.includes(column) ? [field] : []))
    return { model, target: tableName(foreignTable), fields, onDelete: key.onDelete, onUpdate: key.onUpdate }
  })
}

/** Models whose rows the database deletes or changes along with those of the table, transitively. */
function affected(
  table: string,
  event: 'onDelete' | 'onUpdate',
  keys: readonly ForeignKey[],
  nameOf: ReadonlyMap<string, string>,
): ReadonlySet<string> {
  const found = new Set<string>()
  const pending = [table]
  for (let name = pending.pop(); name !== undefined; name = pending.pop()) {
    for (const { model, target, ...key } of keys) {
      if (target !== name || INERT.includes(key[event]) || found.has(model)) continue
      found.add(model)
      pending.push(nameOf.get(model) as string)
    }
  }
  return found
}
