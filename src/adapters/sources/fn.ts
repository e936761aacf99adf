// The user's own functions as a source: an async generator, a function that answers rows, a loader by ids.
import type { Id, ListQuery, Row, Selection, Source, SourceRow, Strategy } from '../../ports.ts'
import { abortable } from './abortable.ts'
import {
  createIdentify,
  createRowFilter,
  createRowTaker,
  type RowFields,
  type RowTaker,
  streamPages,
  UnreadableRow,
} from './row-stream.ts'
import { sourceFailed, sourceInvalid } from './source-error.ts'

/** Rows one by one, or arrays of rows: arrays are faster by far where rows come from an async iterable. */
export type FnRows<R> =
  | AsyncIterable<R | readonly R[]>
  | Iterable<R | readonly R[]>
  | Promise<AsyncIterable<R | readonly R[]> | Iterable<R | readonly R[]>>

type Field<R> = (keyof R & string) | ((row: R) => unknown)

export interface FnOptions<R extends object = Row> {
  /** All rows, or those of the selection: its limit, tenant, ids and since are applied afterwards in any case. */
  rows?: (selection: Selection) => FnRows<R>
  /** default `id` */
  id?: Field<R>
  /** text at full precision, a Date (milliseconds only), or an integer that grows with each change */
  updatedAt?: Field<R>
  tenant?: Field<R>
  /** what `rows` can do besides `all`, by reading `selection.strategy`: `recent`, `popular` */
  strategies?: readonly Strategy[]
  /** The rows of these ids, in any order; null or nothing for those that are not there. */
  load?: (
    ids: readonly Id[],
    options: { tenant?: string; signal: AbortSignal },
  ) => Promise<readonly (R | null | undefined)[]>
  list?: (query: ListQuery) => Promise<readonly R[]>
  count?: (query: {
    filters: Readonly<Record<string, unknown>>
    tenant?: string
    signal: AbortSignal
  }) => Promise<number>
  distinct?: NonNullable<Source['distinct']>
  tenants?: (options: { signal: AbortSignal }) => readonly string[] | Promise<readonly string[]>
  close?: () => Promise<void>
}

interface Part {
  fields: RowFields
  take: RowTaker
}

/** Calls a function of the user: what it throws is a failure of the source, and it is not waited for after an abort. */
async function call<T>(what: string, signal: AbortSignal, run: () => T | PromiseLike<T>): Promise<T> {
  signal.throwIfAborted()
  try {
    return await abortable(Promise.resolve(run()), signal)
  } catch (thrown) {
    throw signal.aborted ? signal.reason : sourceFailed(what, thrown)
  }
}

function takeAll({ fields, take }: Part, rows: unknown, what: string, tenant: string | undefined): SourceRow[] {
  if (!Array.isArray(rows)) throw sourceFailed(what, new Error('it must answer an array of rows'))
  const filter = createRowFilter(tenant === undefined ? {} : { tenant }, fields, null)
  const taken: SourceRow[] = []
  rows.forEach((element: unknown, index) => {
    if (element === null || element === undefined) return
    try {
      const row = take(element)
      if (filter.keep(row)) taken.push(row)
    } catch (thrown) {
      throw sourceFailed(
        `row ${index + 1} of ${what}`,
        thrown instanceof UnreadableRow ? new Error(thrown.message) : thrown,
      )
    }
  })
  return taken
}

function elementsOf(answer: unknown, what: string): AsyncIterable<unknown> | Iterable<unknown> {
  if (typeof answer === 'object' && answer !== null && (Symbol.asyncIterator in answer || Symbol.iterator in answer)) {
    return answer as AsyncIterable<unknown>
  }
  throw sourceFailed(what, new Error('it must answer rows: an array, an iterable or an async iterable'))
}

function rowCount(counted: unknown, what: string): number {
  if (Number.isSafeInteger(counted) && (counted as number) >= 0) return counted as number
  throw sourceFailed(what, new Error('it must answer a number of rows'))
}

function strategiesOf<R extends object>(options: FnOptions<R>): Strategy[] {
  if (!options.rows) return ['ids']
  return [...new Set<Strategy>(['all', 'ids', ...(options.strategies ?? [])])]
}

async function* loadPages(load: NonNullable<Source['load']>, selection: Selection, keep: (row: SourceRow) => boolean) {
  const ids = [...new Map((selection.ids ?? []).map((id) => [String(id), id])).values()]
  let left = selection.limit ?? Number.POSITIVE_INFINITY
  for (let start = 0; start < ids.length && left > 0; start += selection.pageSize) {
    const slice = ids.slice(start, start + selection.pageSize)
    const loaded = await load(slice, {
      signal: selection.signal,
      ...(selection.tenant === undefined ? {} : { tenant: selection.tenant }),
    })
    const page = loaded.filter(keep).slice(0, left)
    left -= page.length
    if (page.length > 0) yield page
  }
}

/**
 * Rows of the user's own functions: `fn(async function* () { … yield row })`, or with options.
 *
 * `rows` may give an async iterable, an iterable, or a promise of one, of rows or of arrays of rows; it is read once per run, as one
 * stream, with memory for one page. With `load` alone the source knows strategy `ids` only. A row without id is an error that names
 * its position. What a function throws is SOURCE_FAILED with its message.
 */
export function fn<R extends object = Row>(given: FnOptions<R> | ((selection: Selection) => FnRows<R>)): Source {
  const options: FnOptions<R> = typeof given === 'function' ? { rows: given } : given
  const { rows, load, list, count, distinct, tenants, close } = options
  if (!rows && !load)
    throw sourceInvalid('a function source needs `rows` or `load`', 'for example `fn(async function* () { yield* … })`')
  const fields = options as unknown as RowFields
  const part: Part = { fields, take: createRowTaker(fields) }
  const named = (name: string) => `the source function \`${name}\``
  const what = named(rows?.name || 'rows')

  const source: Source = {
    kind: 'fn',
    hasTenants: fields.tenant !== undefined,
    reads: rows ? 'stream' : 'page',
    strategies: strategiesOf(options),
    identify: createIdentify(fields),
    async *select(selection) {
      const byIds = selection.strategy === 'ids'
      const filter = createRowFilter(selection, fields, byIds && !load ? (selection.ids ?? []) : null)
      if (byIds && source.load) return yield* loadPages(source.load, selection, (row) => filter.keep(row))
      if (!rows) throw sourceInvalid(`strategy "${selection.strategy}" needs \`rows\` in the function source`)
      const open = async () => elementsOf(await rows(selection), what)
      yield* streamPages(open, selection, { what, unit: 'row', take: part.take, filter })
    },
  }
  if (load) {
    source.load = async (ids, { tenant, signal }) => {
      const found = await call(named('load'), signal, () =>
        load(ids, { signal, ...(tenant === undefined ? {} : { tenant }) }),
      )
      return takeAll(part, found, named('load'), tenant)
    }
  }
  if (list) {
    source.list = async (query) =>
      takeAll(part, await call(named('list'), query.signal, () => list(query)), named('list'), query.tenant)
  }
  if (count) {
    source.count = async (query) =>
      rowCount(await call(named('count'), query.signal, () => count(query)), named('count'))
  }
  if (distinct) source.distinct = (query) => call(named('distinct'), query.signal, () => distinct(query))
  if (tenants) {
    source.tenants = async function* (query) {
      const found = await call(named('tenants'), query.signal, () => tenants(query))
      if (found.length > 0) yield found
    }
  }
  if (close) source.close = close
  return source
}
