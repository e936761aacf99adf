// Rows of a function or a file, one after the other or in arrays, become pages: identified, filtered, cut to the limit. Memory for one page.
import type { Id, Row, Selection, Source, SourceRow } from '../../ports.ts'
import { abortable } from './abortable.ts'
import { sourceFailed, sourceInvalid } from './source-error.ts'

/** Where a row says what the cache must know of it: the name of a field, or a function of the row. */
export interface RowFields {
  /** default `id` */
  id?: string | ((row: never) => unknown)
  /** text, a Date (milliseconds only), or an integer that grows with each change */
  updatedAt?: string | ((row: never) => unknown)
  tenant?: string | ((row: never) => unknown)
}

/** An element of a stream that was to be a row and cannot be read. */
export class UnreadableRow {
  readonly message: string
  constructor(message: string) {
    this.message = message
  }
}

/** An element that counts as a position but is no row: an empty line. */
export const BLANK = Symbol('blank')

export type Elements = AsyncIterable<unknown> | Iterable<unknown>

/** Takes a SourceRow from an element. @throws UnreadableRow */
export type RowTaker = (element: unknown) => SourceRow

function getter(field: string | ((row: never) => unknown) | undefined): ((row: Row) => unknown) | null {
  if (field === undefined) return null
  return typeof field === 'string' ? (row) => row[field] : (field as (row: Row) => unknown)
}

function takeId(value: unknown): Id {
  if (typeof value === 'string' ? value !== '' : typeof value === 'bigint' || Number.isSafeInteger(value))
    return value as Id
  if (value === undefined || value === null || value === '') throw new UnreadableRow('it has no id')
  if (typeof value === 'number')
    throw new UnreadableRow(`its id ${value} is no integer up to 2^53; give longer ones as text`)
  throw new UnreadableRow(`its id is of type ${typeof value}; it must be text, a number or a BigInt`)
}

function takeVersion(value: unknown): string | null {
  if (typeof value === 'string') return value
  if (value === undefined || value === null) return null
  if (value instanceof Date && !Number.isNaN(value.getTime())) return value.toISOString()
  if (typeof value === 'bigint' || Number.isSafeInteger(value)) return String(value)
  throw new UnreadableRow('its `updatedAt` is neither text nor a valid Date nor an integer')
}

function takeTenant(value: unknown): string | null {
  if (typeof value === 'string') return value
  if (value === undefined || value === null) return null
  if (typeof value === 'bigint' || Number.isSafeInteger(value)) return String(value)
  throw new UnreadableRow('its tenant is neither text nor an integer')
}

export function createRowTaker(fields: RowFields): RowTaker {
  const id = getter(fields.id ?? 'id') as (row: Row) => unknown
  const updatedAt = getter(fields.updatedAt)
  const tenant = getter(fields.tenant)
  return (element) => {
    if (element instanceof UnreadableRow) throw element
    if (typeof element !== 'object' || element === null || Array.isArray(element))
      throw new UnreadableRow('it is no object')
    const row = element as Row
    return {
      id: takeId(id(row)),
      row,
      version: updatedAt ? takeVersion(updatedAt(row)) : null,
      tenant: tenant ? takeTenant(tenant(row)) : null,
    }
  }
}

/** `Source.identify` of rows with these fields. @throws CachectlError SOURCE_INVALID */
export function createIdentify(fields: RowFields): NonNullable<Source['identify']> {
  const take = createRowTaker({ id: fields.id, tenant: fields.tenant } as RowFields)
  return (row) => {
    try {
      const { id, tenant } = take(row)
      return { id, tenant }
    } catch (thrown) {
      throw thrown instanceof UnreadableRow
        ? sourceInvalid(`a row cannot be told from others: ${thrown.message}`)
        : thrown
    }
  }
}

/** Times of sources may lack the zone; they are taken as UTC. NaN for what is no time. */
function instantMs(text: string): number {
  return Date.parse(/T[^Z+-]*$/.test(text) ? `${text}Z` : text)
}

/** Which rows of a stream are wanted. */
export interface RowFilter {
  keep(row: SourceRow): boolean
  /** nothing that follows can be wanted */
  readonly exhausted: boolean
}

/** @throws CachectlError SOURCE_INVALID where the selection asks for what the rows do not say. */
export function createRowFilter(
  selection: Pick<Selection, 'tenant' | 'since'>,
  fields: RowFields,
  ids: readonly Id[] | null,
): RowFilter {
  const { tenant, since } = selection
  if (tenant !== undefined && fields.tenant === undefined)
    throw sourceInvalid('the source does not say which tenant a row belongs to', 'add `tenant` to it')
  if (since !== undefined && fields.updatedAt === undefined)
    throw sourceInvalid('the source does not say when a row changed, which `since` needs', 'add `updatedAt` to it')
  const sinceMs = since === undefined ? null : instantMs(since)
  const wanted = ids ? new Set(ids.map(String)) : null
  return {
    keep(row) {
      if (tenant !== undefined && row.tenant !== tenant) return false
      if (sinceMs !== null && !(row.version !== null && instantMs(row.version) >= sinceMs)) return false
      return wanted ? wanted.delete(String(row.id)) : true
    },
    get exhausted() {
      return wanted?.size === 0
    },
  }
}

interface StreamOptions {
  /** for messages: `the source function "cities"` */
  what: string
  /** what a position counts: `row`, `line` */
  unit: string
  take: RowTaker
  filter: RowFilter
}

/** Reads on where it stopped: `fill` gives the rows of about a page of elements, none when nothing of them is wanted, null at the end. */
class StreamReader {
  readonly #options: StreamOptions
  readonly #selection: Selection
  readonly #iterator: AsyncIterator<unknown> | Iterator<unknown>
  #batch: readonly unknown[] = []
  #next = 0
  #position = 0
  #left: number
  ended = false

  constructor(elements: Elements, selection: Selection, options: StreamOptions) {
    this.#options = options
    this.#selection = selection
    this.#left = selection.limit ?? Number.POSITIVE_INFINITY
    this.#iterator = Symbol.asyncIterator in elements ? elements[Symbol.asyncIterator]() : elements[Symbol.iterator]()
  }

  async fill(): Promise<SourceRow[] | null> {
    const page: SourceRow[] = []
    const pageSize = Math.min(this.#selection.pageSize, this.#left)
    const until = this.#position + Math.max(this.#selection.pageSize, 1_000)
    while (page.length < pageSize && this.#position < until && !this.#options.filter.exhausted) {
      if (this.#next < this.#batch.length) {
        this.#add(this.#batch[this.#next++], page)
        continue
      }
      const answer = this.#iterator.next()
      const step = answer instanceof Promise ? await answer : (answer as IteratorResult<unknown>)
      if (step.done) {
        this.ended = true
        break
      }
      if (Array.isArray(step.value)) {
        this.#batch = step.value
        this.#next = 0
      } else this.#add(step.value, page)
    }
    this.#left -= page.length
    const over = this.ended || this.#left <= 0 || this.#options.filter.exhausted
    return page.length === 0 && over ? null : page
  }

  #add(element: unknown, page: SourceRow[]): void {
    this.#position += 1
    if (element === BLANK) return
    try {
      const row = this.#options.take(element)
      if (this.#options.filter.keep(row)) page.push(row)
    } catch (thrown) {
      const where = `${this.#options.unit} ${this.#position}`
      const message = thrown instanceof Error || thrown instanceof UnreadableRow ? thrown.message : String(thrown)
      if (!this.#selection.onRowError) throw sourceFailed(`${where} of ${this.#options.what}`, new Error(message))
      this.#selection.onRowError(where, message)
    }
  }

  /** Lets a generator run its `finally`; one that hangs is not waited for after an abort. */
  async stop(): Promise<void> {
    if (this.ended) return
    const stopped = Promise.resolve(this.#iterator.return?.())
    if (this.#selection.signal.aborted) stopped.catch(() => {})
    else await abortable(stopped, this.#selection.signal)
  }
}

/** The pages of what `open` gives; opened with the first page. */
export async function* streamPages(
  open: () => Elements | PromiseLike<Elements>,
  selection: Selection,
  options: StreamOptions,
): AsyncGenerator<readonly SourceRow[]> {
  const { signal } = selection
  let reader: StreamReader | null = null
  try {
    signal.throwIfAborted()
    reader = new StreamReader(await abortable(Promise.resolve(open()), signal), selection, options)
    for (;;) {
      signal.throwIfAborted()
      const page = await abortable(reader.fill(), signal)
      if (page === null) return
      // Nothing wanted for long: give timers and sockets their turn.
      if (page.length === 0) await new Promise(setImmediate)
      else yield page
    }
  } catch (thrown) {
    throw signal.aborted ? signal.reason : sourceFailed(options.what, thrown)
  } finally {
    await reader?.stop()
  }
}
