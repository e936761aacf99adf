// A model's table with the columns that its config names, checked; and what a row of it becomes.
import type { Id, Row, SourceRow } from '../../ports.ts'
import { sourceInvalid } from './source-error.ts'
import { type Column, columnOf, quoted, type Table } from './sql-table.ts'
import { assertKeyColumn, idOf, versionText } from './sql-value.ts'

export interface SqlModelOptions {
  /** `city`, `shop.city`, `shop."Order"`; a view as well */
  table: string
  /** default `id`: an integer, uuid or text column whose values differ */
  id?: string
  /** a time, or a row version that grows with each change; `xmin` where there is none */
  updatedAt?: string
  /** rows belong to the tenant that this column names */
  tenant?: string
  /** a number: strategy `popular` begins with the highest */
  popularity?: string
  /** columns that are read; default: all */
  columns?: readonly string[]
}

export interface SqlModel {
  table: Table
  id: Column
  tenant: Column | null
  updatedAt: Column | null
  popularity: Column | null
  /** what a row is to have */
  columns: readonly string[]
  /** the columns by which each row can be told from any other, as far as the catalogue says */
  keys: readonly Column[]
  /** quoted names of columns of ours, which no column of the table has */
  alias: { version: string; rank: string }
}

function freeName(table: Table, wanted: string): string {
  return table.columns.has(wanted) ? freeName(table, `${wanted}_`) : wanted
}

/** With ids that are unique only within a tenant, pages go by both, in the order of the index that there is. */
function keysOf(table: Table, id: Column, tenant: Column | null): Column[] {
  const isUnique = (...names: string[]) => table.uniques.some((index) => index.join('\n') === names.join('\n'))
  if (!tenant || tenant === id || isUnique(id.name)) return [id]
  return isUnique(tenant.name, id.name) && !tenant.nullable ? [tenant, id] : [id, tenant]
}

/** @throws CachectlError SOURCE_INVALID for columns that are not there or of the wrong type. */
export function resolveModel(table: Table, options: SqlModelOptions): SqlModel {
  const id = columnOf(table, options.id ?? 'id', '`id`')
  assertKeyColumn(id, table.name, 'id')
  const tenant = options.tenant === undefined ? null : columnOf(table, options.tenant, '`tenant`')
  if (tenant) assertKeyColumn(tenant, table.name, 'tenant')
  const isXmin = options.updatedAt === 'xmin' && !table.columns.has('xmin')
  if (isXmin && !table.xmin)
    throw sourceInvalid(`"${table.name}" is a view and has no xmin`, 'let the view give a column for `updatedAt`')
  const updatedAt =
    options.updatedAt === undefined ? null : isXmin ? table.xmin : columnOf(table, options.updatedAt, '`updatedAt`')
  if (updatedAt) versionText(updatedAt, table.name)
  const popularity = options.popularity === undefined ? null : columnOf(table, options.popularity, '`popularity`')
  const columns = options.columns?.map((name) => columnOf(table, name, '`columns`').name) ?? [...table.columns.keys()]
  const alias = { version: freeName(table, 'cachectl_version'), rank: freeName(table, 'cachectl_rank') }
  return { table, id, tenant, updatedAt, popularity, columns, keys: keysOf(table, id, tenant), alias }
}

/** What a statement selects for whole rows. */
export function rowFields(model: SqlModel): string[] {
  const names = new Set([...model.columns, model.id.name, ...(model.tenant ? [model.tenant.name] : [])])
  const version = model.updatedAt
    ? [`${versionText(model.updatedAt, model.table.name)} as ${quoted(model.alias.version)}`]
    : []
  return [...[...names].map(quoted), ...version]
}

export function idFields(model: SqlModel): string[] {
  return [model.id.sql, ...(model.tenant ? [model.tenant.sql] : [])]
}

export function tenantOf(model: SqlModel, row: Row): string | null {
  const value = model.tenant ? row[model.tenant.name] : null
  return value === null || value === undefined ? null : String(value)
}

export function readId(model: SqlModel, row: Row): Id {
  return idOf(row[model.id.name], model.id, model.table.name)
}

/** Rows as the driver gave them become rows of the source: without what was selected only for our own use. */
export function createRowReader(model: SqlModel): (row: Row) => SourceRow {
  const { columns, updatedAt } = model
  const version = model.alias.version
  return (row) => {
    const clean: Row = {}
    for (const name of columns) clean[name] = row[name]
    return {
      id: readId(model, row),
      row: clean,
      version: updatedAt ? ((row[version] as string | null) ?? null) : null,
      tenant: tenantOf(model, row),
    }
  }
}
