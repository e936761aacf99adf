// A table or view as PostgreSQL's catalogue knows it. Identifiers reach a statement only from here, quoted.
import { nearest } from '../../core/nearest.ts'
import { sourceInvalid } from './source-error.ts'
import type { Database } from './sql-client.ts'

export interface Column {
  name: string
  /** quoted, for a statement */
  sql: string
  /** for a cast: `character varying`, `shop.size` */
  type: string
  /** the type's own name, of a domain that of its base: `int4`, `timestamptz` */
  base: string
  nullable: boolean
}

export interface Table {
  /** as the config names it, for messages */
  name: string
  /** qualified and quoted, for a statement */
  sql: string
  /** what `select *` gives, in its order */
  columns: ReadonlyMap<string, Column>
  /** the system column that changes with each row */
  xmin: Column | null
  /** the columns of each unique index */
  uniques: readonly (readonly string[])[]
}

export function quoted(identifier: string): string {
  return `"${identifier.replaceAll('"', '""')}"`
}

/** `shop."Order"` -> the name with unquoted parts in lower case, as SQL reads it, and the name exactly as written, as ORMs mean it. */
function namesMeant(name: string): string[] {
  const parts = name.match(/"(?:[^"]|"")+"|[^".]+/g) ?? []
  if (parts.length === 0 || parts.length > 2 || parts.join('.') !== name || name.includes('\0')) {
    throw sourceInvalid(
      `"${name}" is not the name of a table`,
      'write `table`, `schema.table`, or quote a part: `shop."Order"`',
    )
  }
  const exact = parts.map((part) => (part.startsWith('"') ? part : quoted(part)))
  // Only ASCII: how other letters fold depends on the server's encoding.
  const folded = parts.map((part, index) =>
    part.startsWith('"') ? part : (exact[index] as string).replace(/[A-Z]/g, (letter) => letter.toLowerCase()),
  )
  return [folded.join('.'), exact.join('.')]
}

const COLUMNS = `
  with found as (select coalesce(to_regclass($1::text), to_regclass($2::text))::oid as oid)
  select quote_ident(n.nspname) || '.' || quote_ident(c.relname) as relation, c.relkind::text as kind,
    a.attname::text as name, a.attnum < 0 as system, not a.attnotnull as nullable, format_type(b.oid, -1) as type, b.typname::text as base
  from found f
  join pg_class c on c.oid = f.oid
  join pg_namespace n on n.oid = c.relnamespace
  join pg_attribute a on a.attrelid = c.oid and not a.attisdropped and (a.attnum > 0 or a.attname = 'xmin')
  join pg_type t on t.oid = a.atttypid
  join pg_type b on b.oid = case when t.typtype = 'd' then t.typbasetype else t.oid end
  order by a.attnum`

const UNIQUES = `
  with found as (select coalesce(to_regclass($1::text), to_regclass($2::text))::oid as oid)
  select i.indexrelid::text as index, a.attname::text as name
  from found f
  join pg_index i on i.indrelid = f.oid and i.indisunique and i.indisvalid and i.indpred is null and i.indexprs is null
  join generate_series(0, 31) k on k < i.indnkeyatts
  join pg_attribute a on a.attrelid = i.indrelid and a.attnum = i.indkey[k]
  order by i.indexrelid, k`

const TABLES = `
  select case when pg_table_is_visible(c.oid) then '' else n.nspname || '.' end || c.relname as name
  from pg_class c join pg_namespace n on n.oid = c.relnamespace
  where c.relkind in ('r', 'v', 'm', 'f', 'p') and n.nspname <> 'information_schema' and n.nspname !~ '^pg_'
  order by 1 limit 5000`

interface ColumnRow {
  relation: string
  kind: string
  name: string
  system: boolean
  nullable: boolean
  type: string
  base: string
}

/** The nearest name, or where none is near the first ones that there are. */
function suggestion(name: string, known: readonly string[]): string {
  const near = nearest(name, known)
  if (near !== null) return `; did you mean "${near}"?`
  const some = known.slice(0, 10).join(', ')
  return some === '' ? '; there is none' : `; there are: ${some}${known.length > 10 ? ', …' : ''}`
}

/** @throws CachectlError SOURCE_INVALID where there is no such table. */
export async function readTable(database: Database, name: string, signal: AbortSignal): Promise<Table> {
  const names = namesMeant(name)
  const rows = (await database.query(COLUMNS, names, signal)) as unknown as ColumnRow[]
  const first = rows[0]
  if (!first) {
    const tables = await database.query(TABLES, [], signal)
    const known = tables.map((row) => String(row.name))
    throw sourceInvalid(`there is no table "${name}"${suggestion(name, known)}`)
  }
  if (!'rvmfp'.includes(first.kind)) throw sourceInvalid(`"${name}" is not a table or a view`)
  const columnOf = ({ name, type, base, nullable }: ColumnRow): Column => ({
    name,
    sql: quoted(name),
    type,
    base,
    nullable,
  })
  const xmin = rows.find((row) => row.system)
  const uniques = new Map<string, string[]>()
  for (const row of await database.query(UNIQUES, names, signal)) {
    const index = String(row.index)
    uniques.set(index, [...(uniques.get(index) ?? []), String(row.name)])
  }
  return {
    name,
    sql: first.relation,
    columns: new Map(rows.filter((row) => !row.system).map((row) => [row.name, columnOf(row)])),
    xmin: xmin ? columnOf(xmin) : null,
    uniques: [...uniques.values()],
  }
}

/** @throws CachectlError SOURCE_INVALID where the table has no such column. `role` says what it was named for. */
export function columnOf(table: Table, name: string, role: string): Column {
  const column = table.columns.get(name)
  if (column) return column
  throw sourceInvalid(
    `table "${table.name}" has no column "${name}" (${role})${suggestion(name, [...table.columns.keys()])}`,
  )
}
