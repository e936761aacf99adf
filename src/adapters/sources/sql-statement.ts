// The statements of a sql source. Values are bound, identifiers come quoted from the catalogue, pages go on from the last row (never OFFSET).

import { sourceInvalid } from './source-error.ts'
import { idFields, rowFields, type SqlModel } from './sql-model.ts'
import { type Column, columnOf, quoted } from './sql-table.ts'
import { canHold, filterText, instant, Parameters, rankText } from './sql-value.ts'

export interface Statement {
  text: string
  values: string[]
}

export interface Scope {
  tenant?: string
  since?: string
}

/** The order of the pages: by the keys alone, or from the highest rank down; rows without rank come last, as a sequence of their own. */
export interface Order {
  rank: Column | null
  unranked: boolean
}

function count(limit: number): string {
  if (!Number.isSafeInteger(limit) || limit < 0) throw sourceInvalid(`${limit} is not a number of rows`)
  return String(limit)
}

function scopeConditions(model: SqlModel, scope: Scope, parameters: Parameters): string[] {
  const conditions: string[] = []
  const { tenant, updatedAt, table } = model
  if (scope.tenant !== undefined) {
    if (!tenant)
      throw sourceInvalid(`the source of table "${table.name}" names no tenant column`, "add `tenant: 'org_id'` to it")
    if (!canHold(tenant, scope.tenant))
      throw sourceInvalid(`tenant "${scope.tenant}" is not a value of column "${tenant.name}" (${tenant.type})`)
    conditions.push(`${tenant.sql} = ${parameters.bind(scope.tenant, tenant.type)}`)
  }
  if (scope.since !== undefined) {
    if (!updatedAt)
      throw sourceInvalid(`the source of table "${table.name}" names no \`updatedAt\` column, which \`since\` needs`)
    conditions.push(`${updatedAt.sql} >= ${instant(updatedAt, scope.since, parameters, table.name)}`)
  }
  return conditions
}

const whereText = (conditions: readonly string[]) =>
  conditions.length === 0 ? '' : ` where ${conditions.join(' and ')}`

/** The columns that a page is ordered by, all in one direction, so that one comparison of rows finds the next page, by an index where there is one. */
function orderColumns(model: SqlModel, order: Order): Column[] {
  return order.rank && !order.unranked ? [order.rank, ...model.keys] : [...model.keys]
}

/** One page, after the row whose values are `cursor`; those of the last row of this one are read with `cursorOf`. */
export function pageStatement(
  model: SqlModel,
  page: { fields: 'rows' | 'ids'; order: Order; scope: Scope; cursor: readonly string[] | null; limit: number },
): Statement {
  const { order, cursor } = page
  const parameters = new Parameters()
  const columns = orderColumns(model, order)
  const conditions = scopeConditions(model, page.scope, parameters)
  if (order.rank) conditions.push(`${order.rank.sql} is ${order.unranked ? '' : 'not '}null`)
  if (model.id.nullable) conditions.push(`${model.id.sql} is not null`)
  const way = order.rank ? ' desc' : ''
  if (cursor) {
    const bound = columns.map((column, index) => parameters.bind(cursor[index] as string, column.type))
    conditions.push(`(${columns.map((column) => column.sql).join(', ')}) ${way ? '<' : '>'} (${bound.join(', ')})`)
  }
  const fields = page.fields === 'rows' ? rowFields(model) : idFields(model)
  for (const key of model.keys) if (!fields.includes(key.sql)) fields.push(key.sql)
  if (order.rank && !order.unranked)
    fields.push(`${rankText(order.rank, model.table.name)} as ${quoted(model.alias.rank)}`)
  const by = columns.map((column) => `${column.sql}${way}`).join(', ')
  const text = `select ${fields.join(', ')} from ${model.table.sql}${whereText(conditions)} order by ${by} limit ${count(page.limit)}`
  return { text, values: parameters.values }
}

/** Where the next page goes on. */
export function cursorOf(model: SqlModel, order: Order, row: Readonly<Record<string, unknown>>): string[] {
  const keys = model.keys.map((key) => String(row[key.name]))
  return order.rank && !order.unranked ? [String(row[model.alias.rank]), ...keys] : keys
}

/** The rows of these ids; null where no row can have one of them. */
export function idsStatement(
  model: SqlModel,
  fields: 'rows' | 'ids',
  ids: readonly string[],
  scope: Scope,
): Statement | null {
  const possible = ids.filter((id) => canHold(model.id, id))
  if (possible.length === 0) return null
  const parameters = new Parameters()
  const conditions = [
    `${model.id.sql} = any(${parameters.bindArray(possible, model.id.type)})`,
    ...scopeConditions(model, scope, parameters),
  ]
  const selected = fields === 'rows' ? rowFields(model) : idFields(model)
  return {
    text: `select ${selected.join(', ')} from ${model.table.sql}${whereText(conditions)}`,
    values: parameters.values,
  }
}

/** Whether there are rows that have no id. */
export function withoutIdStatement(model: SqlModel, scope: Scope): Statement {
  const parameters = new Parameters()
  const conditions = [`${model.id.sql} is null`, ...scopeConditions(model, scope, parameters)]
  return { text: `select 1 from ${model.table.sql}${whereText(conditions)} limit 1`, values: parameters.values }
}

function filterCondition(model: SqlModel, name: string, value: unknown, parameters: Parameters): string {
  const column = columnOf(model.table, name, 'filter of a list')
  if (value === null) return `${column.sql} is null`
  if (!Array.isArray(value)) return `${column.sql} = ${parameters.bind(filterText(value, column), column.type)}`
  const texts = value.filter((element) => element !== null).map((element) => filterText(element, column))
  const some = `${column.sql} = any(${parameters.bindArray(texts, column.type)})`
  return texts.length === value.length ? some : `(${some} or ${column.sql} is null)`
}

type Filters = Readonly<Record<string, unknown>>

function filtered(model: SqlModel, filters: Filters, tenant: string | undefined, parameters: Parameters): string {
  const conditions = scopeConditions(model, tenant === undefined ? {} : { tenant }, parameters)
  for (const [name, value] of Object.entries(filters)) conditions.push(filterCondition(model, name, value, parameters))
  return `from ${model.table.sql}${whereText(conditions)}`
}

function sortTexts(model: SqlModel, sort: readonly string[]): string[] {
  const sorted = new Set<string>()
  const texts = sort.map((entry) => {
    const descending = entry.startsWith('-')
    const column = columnOf(model.table, descending ? entry.slice(1) : entry, 'order of a list')
    sorted.add(column.name)
    // Without rank is last either way; said only where it is needed, for the sake of an index.
    return `${column.sql}${descending ? ' desc' : ''}${descending && column.nullable ? ' nulls last' : ''}`
  })
  // The same list always comes in the same order.
  return [...texts, ...model.keys.filter((key) => !sorted.has(key.name)).map((key) => key.sql)]
}

export function listStatement(
  model: SqlModel,
  query: { filters: Filters; sort: readonly string[]; tenant?: string; limit: number },
): Statement {
  const parameters = new Parameters()
  const from = filtered(model, query.filters, query.tenant, parameters)
  const by = sortTexts(model, query.sort).join(', ')
  return {
    text: `select ${rowFields(model).join(', ')} ${from} order by ${by} limit ${count(query.limit)}`,
    values: parameters.values,
  }
}

export function countStatement(model: SqlModel, query: { filters: Filters; tenant?: string }): Statement {
  const parameters = new Parameters()
  return {
    text: `select count(*)::text as count ${filtered(model, query.filters, query.tenant, parameters)}`,
    values: parameters.values,
  }
}

export function distinctStatement(
  model: SqlModel,
  query: { columns: readonly string[]; tenant?: string; limit: number },
): Statement {
  const parameters = new Parameters()
  const from = filtered(model, {}, query.tenant, parameters)
  const columns = query.columns.map((name) => columnOf(model.table, name, 'columns of a list').sql).join(', ')
  if (columns === '') throw sourceInvalid('no column is named whose values are to be told apart')
  const text = `select ${columns} ${from} group by ${columns} order by count(*) desc, ${columns} limit ${count(query.limit)}`
  return { text, values: parameters.values }
}

/** One page of the tenants that there are, after `cursor`. */
export function tenantsStatement(model: SqlModel, tenant: Column, cursor: string | null, limit: number): Statement {
  const parameters = new Parameters()
  const after =
    cursor === null ? `${tenant.sql} is not null` : `${tenant.sql} > ${parameters.bind(cursor, tenant.type)}`
  const text = `select ${tenant.sql} from ${model.table.sql} where ${after} group by ${tenant.sql} order by ${tenant.sql} limit ${count(limit)}`
  return { text, values: parameters.values }
}
