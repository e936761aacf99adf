// Values on their way into and out of a statement, as text that depends on no setting of the session.
import type { Id } from '../../ports.ts'
import { sourceInvalid } from './source-error.ts'
import type { Column } from './sql-table.ts'

/** The parameters of one statement. Each is bound as text and cast in the statement, so that every driver sends it alike. */
export class Parameters {
  readonly values: string[] = []

  /** `$3::text::integer` */
  bind(text: string, type: string): string {
    this.values.push(text)
    return `$${this.values.length}::text::${type}`
  }

  /** `$3::text::integer[]`, from the texts of its elements */
  bindArray(texts: readonly string[], type: string): string {
    const elements = texts.map((text) => `"${text.replace(/["\\]/g, '\\$&')}"`)
    return this.bind(`{${elements.join(',')}}`, `${type}[]`)
  }
}

const fitsInteger = (bits: number) => (text: string) =>
  /^(0|-?[1-9]\d{0,18})$/.test(text) && BigInt.asIntN(bits, BigInt(text)) === BigInt(text)

/** PostgreSQL holds neither NUL nor lone surrogates; sent as U+FFFD they would match another row. */
const isStorable = (text: string) => !/[\0\p{Surrogate}]/u.test(text)

/** The types of ids and tenants: which text can be a value of theirs, in the form in which they print. */
const KEY_TYPES: Readonly<Record<string, (text: string) => boolean>> = {
  int2: fitsInteger(16),
  int4: fitsInteger(32),
  int8: fitsInteger(64),
  numeric: (text) => /^-?\d{1,1000}(\.\d{1,1000})?$/.test(text),
  uuid: (text) => /^[0-9a-f]{8}(-[0-9a-f]{4}){3}-[0-9a-f]{12}$/i.test(text),
  text: isStorable,
  varchar: isStorable,
  bpchar: isStorable,
  citext: isStorable,
}

/** @throws CachectlError SOURCE_INVALID for a column whose values cannot be segments of keys. */
export function assertKeyColumn(column: Column, table: string, role: string): void {
  if (Object.hasOwn(KEY_TYPES, column.base)) return
  const types = Object.keys(KEY_TYPES).join(', ')
  throw sourceInvalid(
    `column "${column.name}" of table "${table}" is of type ${column.type}, which cannot be the ${role}`,
    `possible types: ${types}; a view can cast others`,
  )
}

/** Whether a row may have this value in the column: `abc` is no integer, so no row has it. */
export function canHold(column: Column, text: string): boolean {
  return KEY_TYPES[column.base]?.(text) ?? false
}

/** @throws CachectlError SOURCE_INVALID where the driver gives ids in a form that has lost digits. */
export function idOf(value: unknown, column: Column, table: string): Id {
  if (typeof value === 'string' || typeof value === 'bigint') return value
  if (typeof value === 'number' && (Number.isSafeInteger(value) || !Number.isInteger(value))) return value
  throw sourceInvalid(
    `the driver gives column "${column.name}" of table "${table}" as ${typeof value === 'number' ? 'a number beyond 2^53' : typeof value}`,
    'let the driver give it as text or BigInt',
  )
}

const ISO = 'YYYY-MM-DD"T"HH24:MI:SS.US'

/** `to_char` knows no infinity, and prints years before Christ as those after. */
function timeText(sql: string, local: string, format: string, suffix: string): string {
  return `coalesce(to_char(${local}, '${format}') || case when ${local} < date '0001-01-01' then '${suffix} BC' else '${suffix}' end, ${sql}::text)`
}

/** SQL for a column's value as exact text: the one that casts back to the very same value. Null for types that have none. */
const EXACT_TEXT: Readonly<Record<string, (sql: string) => string>> = {
  timestamptz: (sql) => timeText(sql, `(${sql} at time zone 'UTC')`, ISO, 'Z'),
  timestamp: (sql) => timeText(sql, sql, ISO, ''),
  date: (sql) => timeText(sql, sql, 'YYYY-MM-DD', ''),
  int2: (sql) => `${sql}::text`,
  int4: (sql) => `${sql}::text`,
  int8: (sql) => `${sql}::text`,
  xid: (sql) => `${sql}::text`,
  xid8: (sql) => `${sql}::text`,
}

const RANK_TEXT: typeof EXACT_TEXT = {
  ...EXACT_TEXT,
  numeric: (sql) => `${sql}::text`,
  // Exact unless the session lowers extra_float_digits below its default of 1.
  float4: (sql) => `${sql}::text`,
  float8: (sql) => `${sql}::text`,
}

/**
 * SQL for the source version: fixed width and in UTC for times (`2026-01-01T00:00:00.000001Z`, without Z where the column has no
 * time zone), decimal for row versions. Text order is time order for the years 1 to 9999, `-infinity` and `infinity`.
 */
export function versionText(column: Column, table: string): string {
  const text = EXACT_TEXT[column.base]
  if (text) return text(column.sql)
  throw sourceInvalid(
    `column "${column.name}" of table "${table}" is of type ${column.type}, which cannot be \`updatedAt\``,
    `possible types: ${Object.keys(EXACT_TEXT).join(', ')}`,
  )
}

/** SQL for the text of a column that rows are ordered by, to go on from it with the next page. */
export function rankText(column: Column, table: string): string {
  const text = column.base.startsWith('xid') && column.base !== 'xid8' ? undefined : RANK_TEXT[column.base]
  if (text) return text(column.sql)
  throw sourceInvalid(
    `rows of table "${table}" cannot be ordered by column "${column.name}" of type ${column.type}`,
    'a number or a time is needed',
  )
}

/** SQL for the instant `$n` in the type of the column; a time without time zone is taken as UTC. */
export function instant(column: Column, since: string, parameters: Parameters, table: string): string {
  if (!/^\d{4}-\d\d-\d\dT\d\d:\d\d(:\d\d(\.\d{1,6})?)?Z$/.test(since))
    throw sourceInvalid(`"${since}" is not an instant`, 'write 2026-11-21T03:04:05Z')
  const bound = parameters.bind(since, 'timestamptz')
  if (column.base === 'timestamptz') return bound
  if (column.base === 'timestamp' || column.base === 'date') return `(${bound} at time zone 'UTC')::${column.base}`
  throw sourceInvalid(`column "${column.name}" of table "${table}" holds no time, so that \`since\` says nothing`)
}

/** @throws CachectlError SOURCE_INVALID for what is no plain value. */
export function filterText(value: unknown, column: Column): string {
  if (typeof value === 'string' && isStorable(value)) return value
  if (typeof value === 'number' || typeof value === 'bigint' || typeof value === 'boolean') return String(value)
  if (value instanceof Date && !Number.isNaN(value.getTime())) return value.toISOString()
  throw sourceInvalid(
    `a list cannot be filtered by column "${column.name}" with this value`,
    'use text, a number, a boolean, a Date, null, or an array of these',
  )
}
