// Which rows a statement of Drizzle touched: by what it returned, by the values it inserted, or by the ids that its `where` cannot go beyond.
import type { Row } from '../ports.ts'
import type { Touched } from './row-changes.ts'

export interface DrizzleTable {
  /** the name of its model in the config */
  name: string
  /** field to column object */
  columns: Readonly<Record<string, DrizzleColumn>>
  /** field of the id */
  id: string | undefined
  /** fields of the primary key, and those to which keys of other tables point */
  keys: ReadonlySet<string>
  /** models whose rows the database deletes or changes along */
  onDelete: ReadonlySet<string>
  onUpdate: ReadonlySet<string>
}

/** A column of Drizzle, as far as it is looked at. */
export interface DrizzleColumn {
  name: string
  primary: boolean
}

export type DrizzleKind = 'insert' | 'update' | 'delete'

/** `config` of Drizzle's builders, as far as it is looked at. */
export interface DrizzleConfig {
  /** one an inserted row, by field; SQL for `insert … select` */
  values?: readonly Row[] | Chunk
  set?: Row
  where?: Chunk
  onConflict?: Chunk
  /** name in the result to column, or to an expression */
  returningFields?: Row
}

/** A part of Drizzle's SQL: text, parameter, name, or SQL again. */
interface Chunk {
  queryChunks?: readonly Chunk[]
  value?: unknown
}

/** What the statement may have changed, with what the database changes along. `result` is undefined where the statement failed. */
export function drizzleWrites(
  table: DrizzleTable,
  kind: DrizzleKind,
  config: DrizzleConfig,
  result: unknown,
): Touched[] {
  const fields = kind === 'update' ? Object.keys(config.set ?? {}) : upsertedFields(table, config.onConflict)
  const bounds = boundBy(table, config.where)
  const returned = returnedRows(table, config, result)?.map((row) => ({ ...singles(bounds), ...row }))
  const named = kind !== 'insert' ? rowsWithin(table, bounds) : upserts(config.onConflict) ? null : insertedRows(config)
  const rows = [returned, named].find((some) => some?.every((row) => table.id !== undefined && isScalar(row[table.id])))
  const setsKey = kind === 'update' && fields.some((field) => table.keys.has(field))
  const along = kind === 'delete' ? table.onDelete : setsKey ? table.onUpdate : []
  return [
    { name: table.name, rows: rows ?? null, fields },
    ...[...along].map((name) => ({ name, rows: null, fields: [] })),
  ]
}

/** What `returning` gave, by the fields of the table. */
function returnedRows(table: DrizzleTable, { returningFields }: DrizzleConfig, result: unknown): Row[] | null {
  if (returningFields === undefined || !Array.isArray(result)) return null
  const names = Object.entries(table.columns).flatMap(([field, column]) => {
    const name = Object.keys(returningFields).find((key) => returningFields[key] === column)
    return name === undefined ? [] : [[field, name] as const]
  })
  return result.map((row: Row) => Object.fromEntries(names.map(([field, name]) => [field, row[name]])))
}

function insertedRows({ values }: DrizzleConfig): Row[] | null {
  if (!Array.isArray(values)) return null
  return values.map((row: Row) =>
    Object.fromEntries(Object.entries(row).map(([field, given]) => [field, parameter(given)])),
  )
}

/** `on conflict … do update`: the row that it wrote need not be the one that was given. */
function upserts(onConflict: Chunk | undefined): boolean {
  return onConflict !== undefined && !textsOf(onConflict).some((text) => text.endsWith('do nothing'))
}

/** The fields that `do update` sets. */
function upsertedFields(table: DrizzleTable, onConflict: Chunk | undefined): string[] {
  const names = new Set(textsOf(onConflict))
  return Object.keys(table.columns).filter((field) => names.has((table.columns[field] as DrizzleColumn).name))
}

function textsOf(chunk: Chunk | undefined): string[] {
  const own = Array.isArray(chunk?.value)
    ? chunk.value.map(String)
    : typeof chunk?.value === 'string'
      ? [chunk.value]
      : []
  return [...own, ...(chunk?.queryChunks ?? []).flatMap(textsOf)]
}

/**
 * The values that fields must have where the condition holds: of `eq(column, value)`, `inArray(column, values)` and `and(…)` of them. Anything else
 * bounds nothing.
 */
function boundBy(table: DrizzleTable, condition: Chunk | undefined): Map<string, unknown[]> {
  const chunks = (condition?.queryChunks ?? []).filter((chunk) => textOf(chunk) !== '')
  const [first, second, third] = chunks
  if (chunks.length === 1) return boundBy(table, first)
  if (chunks.length === 3 && textOf(first) === '(' && textOf(third) === ')') return boundByAll(table, second)
  const field = Object.keys(table.columns).find((name) => table.columns[name] === first)
  if (chunks.length !== 3 || field === undefined) return new Map()
  const operator = textOf(second)
  const values = operator === ' = ' ? [third] : operator === ' in ' && Array.isArray(third) ? third : []
  const plain = values.map(parameter)
  return plain.length > 0 && plain.every(isScalar) ? new Map([[field, plain]]) : new Map()
}

/** Of conditions that are joined by `and`, each bounds them all. */
function boundByAll(table: DrizzleTable, joined: Chunk | undefined): Map<string, unknown[]> {
  const chunks = joined?.queryChunks ?? []
  if (!chunks.every((chunk, index) => (index % 2 === 1 ? textOf(chunk) === ' and ' : chunk.queryChunks)))
    return new Map()
  return new Map(chunks.flatMap((chunk) => [...boundBy(table, chunk)]))
}

/** The rows that a condition with these bounds cannot go beyond; null where it does not bound the id. */
function rowsWithin({ id }: DrizzleTable, bounds: ReadonlyMap<string, unknown[]>): Row[] | null {
  const ids = id === undefined ? undefined : bounds.get(id)
  return ids?.map((value) => ({ ...singles(bounds), [id as string]: value })) ?? null
}

function singles(bounds: ReadonlyMap<string, unknown[]>): Row {
  return Object.fromEntries([...bounds].flatMap(([field, values]) => (values.length === 1 ? [[field, values[0]]] : [])))
}

/** The text of a chunk that is nothing but text. */
function textOf(chunk: Chunk | undefined): string | null {
  const value = chunk?.value
  return Array.isArray(value) && value.every((part) => typeof part === 'string') ? value.join('') : null
}

/** The value of a parameter; undefined for an expression. */
function parameter(given: unknown): unknown {
  return typeof given === 'object' && given !== null && 'encoder' in given ? (given as Chunk).value : undefined
}

function isScalar(value: unknown): boolean {
  return value instanceof Date || ['string', 'number', 'bigint', 'boolean'].includes(typeof value)
}
