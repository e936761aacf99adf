// A PostgreSQL table or view as a source: pages that go on from the last row, with memory for one page.
import type { Id, ListQuery, Row, Selection, Source, SourceRow, Strategy } from '../../ports.ts'
import { sourceFailed, sourceInvalid } from './source-error.ts'
import { type Database, NO_DATABASE, openDatabase, type SqlConnectOptions } from './sql-client.ts'
import { createRowReader, readId, resolveModel, type SqlModel, type SqlModelOptions, tenantOf } from './sql-model.ts'
import * as statements from './sql-statement.ts'
import { readTable } from './sql-table.ts'

export interface SqlOptions extends SqlConnectOptions, SqlModelOptions {}

const TENANTS_A_PAGE = 1_000

/** Values of a list that do not fit their column, or cannot be compared with it: the config is wrong, not the database. */
const MISFIT = /\((22P02|22003|22007|22008|42883)\)$/

interface Opened {
  database: Database
  model: SqlModel
}

function assertOptions(options: SqlOptions): void {
  if (typeof options.table !== 'string') throw sourceInvalid('a sql source needs `table`, the name of a table or view')
  if (options.id !== undefined && typeof options.id !== 'string') {
    throw sourceInvalid(
      `\`id\` of the source of table "${options.table}" must be the name of one column`,
      "a key of several columns is not supported; read a view that joins them into one: `a || ':' || b as id`",
    )
  }
}

/** Opens database and table at the first call; a failure is not remembered. */
function createOpener(options: SqlOptions) {
  let database: Promise<Database> | null = null
  let model: Promise<SqlModel> | null = null
  const open = async (signal: AbortSignal): Promise<Opened> => {
    database ??= openDatabase(options, options.table, signal)
    const opened = await database.catch((error) => {
      database = null
      throw error
    })
    model ??= readTable(opened, options.table, signal).then((table) => resolveModel(table, options))
    const resolved = await model.catch((error) => {
      model = null
      throw error
    })
    return { database: opened, model: resolved }
  }
  const close = async () => {
    const opened = database
    database = null
    model = null
    await (await opened?.catch(() => null))?.close()
  }
  return { open, close }
}

/**
 * Rows of a PostgreSQL table or view.
 *
 * `client` gives a pool or client of `pg`, a PGlite, or a query function `(text, values) => rows`; `url` opens a pool of its own
 * with the project's `pg`. Nothing is opened before the first read. `close()` ends what was opened, the pool that `client` gave
 * included, because a pool that stays open keeps a command from ending; whoever owns the pool (a server) does not call it.
 *
 * Strategies: `all` by id, `recent` by `updatedAt` and `popular` by `popularity`, highest first, rows without it last, and `ids`.
 * A row whose rank changes while `recent` or `popular` reads may be seen twice or not at all; `all` sees each.
 * Ids that cannot be values of the id column (`abc` of an integer) are absent, as unknown ones are.
 */
export function sql(options: SqlOptions): Source {
  assertOptions(options)
  const strategies: Strategy[] = ['all', 'ids']
  if (options.updatedAt !== undefined) strategies.push('recent')
  if (options.popularity !== undefined) strategies.push('popular')

  const { open, close } = createOpener(options)
  return {
    kind: 'sql',
    hasTenants: options.tenant !== undefined,
    reads: 'page',
    ...(options.client === undefined && !options.url ? { lacks: NO_DATABASE } : {}),
    strategies,
    async *select(selection) {
      const opened = await open(selection.signal)
      const read = createRowReader(opened.model)
      for await (const rows of selectPages(opened, selection, 'rows')) yield rows.map(read)
    },
    async *selectIds(selection) {
      const opened = await open(selection.signal)
      const read = (row: Row) => ({ id: readId(opened.model, row), tenant: tenantOf(opened.model, row) })
      for await (const rows of selectPages(opened, selection, 'ids')) yield rows.map(read)
    },
    async load(ids, { tenant, signal }) {
      const opened = await open(signal)
      const rows = await runIds(opened, 'rows', uniqueTexts(ids), tenant === undefined ? {} : { tenant }, signal)
      return rows.map(createRowReader(opened.model))
    },
    identify(row) {
      const id = row[options.id ?? 'id']
      const tenant = options.tenant === undefined ? null : row[options.tenant]
      if (typeof id !== 'string' && typeof id !== 'number' && typeof id !== 'bigint')
        throw sourceInvalid(`a row of table "${options.table}" has no "${options.id ?? 'id'}"`, 'give it with its id')
      return { id, tenant: tenant === null || tenant === undefined ? null : String(tenant) }
    },
    list: (query) => open(query.signal).then((opened) => listRows(opened, query)),
    async count(query) {
      const opened = await open(query.signal)
      const rows = await runChecked(opened, statements.countStatement(opened.model, query), query.signal)
      return Number(rows[0]?.count)
    },
    async distinct(query) {
      const opened = await open(query.signal)
      return runChecked(opened, statements.distinctStatement(opened.model, query), query.signal)
    },
    async *tenants({ signal }) {
      yield* tenantPages(await open(signal), signal)
    },
    close,
  }
}

function run(
  { database }: Opened,
  { text, values }: statements.Statement,
  signal: AbortSignal,
): Promise<readonly Row[]> {
  return database.query(text, values, signal)
}

function runChecked(opened: Opened, statement: statements.Statement, signal: AbortSignal): Promise<readonly Row[]> {
  return run(opened, statement, signal).catch((error) => {
    throw error instanceof Error && MISFIT.test(error.message)
      ? sourceInvalid(error.message, 'mend the filters or the sort of the list')
      : error
  })
}

function uniqueTexts(ids: readonly Id[]): string[] {
  return [...new Set(ids.map(String))]
}

async function runIds(
  opened: Opened,
  fields: 'rows' | 'ids',
  ids: readonly string[],
  scope: statements.Scope,
  signal: AbortSignal,
) {
  const statement = statements.idsStatement(opened.model, fields, ids, scope)
  return statement ? run(opened, statement, signal) : []
}

async function listRows(opened: Opened, query: ListQuery): Promise<readonly SourceRow[]> {
  const rows = await runChecked(opened, statements.listStatement(opened.model, query), query.signal)
  return rows.map(createRowReader(opened.model))
}

async function* selectPages(
  opened: Opened,
  selection: Selection,
  fields: 'rows' | 'ids',
): AsyncGenerator<readonly Row[]> {
  let left = selection.limit ?? Number.POSITIVE_INFINITY
  const pages =
    selection.strategy === 'ids'
      ? idPages(opened, selection, fields)
      : orderedPages(opened, selection, fields, () => left)
  for await (const page of pages) {
    const rows = page.length > left ? page.slice(0, left) : page
    if (rows.length > 0) yield rows
    left -= rows.length
    if (left <= 0) return
  }
}

async function* idPages(opened: Opened, selection: Selection, fields: 'rows' | 'ids'): AsyncGenerator<readonly Row[]> {
  const ids = uniqueTexts(selection.ids ?? [])
  for (let start = 0; start < ids.length; start += selection.pageSize) {
    yield await runIds(opened, fields, ids.slice(start, start + selection.pageSize), selection, selection.signal)
  }
}

function ordersOf({ model }: Opened, strategy: Strategy): statements.Order[] {
  if (strategy === 'all') return [{ rank: null, unranked: false }]
  const rank = strategy === 'recent' ? model.updatedAt : model.popularity
  const option = strategy === 'recent' ? 'updatedAt' : 'popularity'
  if (!rank)
    throw sourceInvalid(`strategy "${strategy}" needs \`${option}\` in the source of table "${model.table.name}"`)
  const ranked = { rank, unranked: false }
  return rank.nullable ? [ranked, { rank, unranked: true }] : [ranked]
}

async function* orderedPages(
  opened: Opened,
  selection: Selection,
  fields: 'rows' | 'ids',
  left: () => number,
): AsyncGenerator<readonly Row[]> {
  const { signal, pageSize, strategy } = selection
  for (const order of ordersOf(opened, strategy)) {
    let cursor: string[] | null = null
    for (;;) {
      const limit = Math.min(pageSize, left())
      if (limit <= 0) return
      const page = { fields, order, scope: selection, cursor, limit }
      const rows: readonly Row[] = await run(opened, statements.pageStatement(opened.model, page), signal)
      const last = rows.at(-1)
      if (last) cursor = cursorOf(opened.model, order, last)
      yield rows
      if (rows.length < limit) break
    }
  }
  if (opened.model.id.nullable) await reportRowsWithoutId(opened, selection)
}

function cursorOf(model: SqlModel, order: statements.Order, row: Row): string[] {
  readId(model, row) // an id that has lost digits must not become the place to go on from
  return statements.cursorOf(model, order, row)
}

async function reportRowsWithoutId(opened: Opened, selection: Selection): Promise<void> {
  const rows = await run(opened, statements.withoutIdStatement(opened.model, selection), selection.signal)
  if (rows.length === 0) return
  const { table, id } = opened.model
  const message = `column "${id.name}" is null in some rows, which were left out`
  if (!selection.onRowError) throw sourceFailed(`reading table "${table.name}"`, new Error(message))
  selection.onRowError(`table "${table.name}"`, message)
}

async function* tenantPages(opened: Opened, signal: AbortSignal): AsyncGenerator<readonly string[]> {
  const { model } = opened
  if (!model.tenant)
    throw sourceInvalid(
      `the source of table "${model.table.name}" names no tenant column`,
      "add `tenant: 'org_id'` to it",
    )
  let cursor: string | null = null
  for (;;) {
    const rows = await run(opened, statements.tenantsStatement(model, model.tenant, cursor, TENANTS_A_PAGE), signal)
    const tenants = rows.map((row) => tenantOf(model, row) as string)
    if (tenants.length > 0) yield tenants
    if (tenants.length < TENANTS_A_PAGE) return
    cursor = tenants.at(-1) as string
  }
}
