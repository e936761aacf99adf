// Where rows come from. Types only.

export type Id = string | number | bigint

export type Row = Record<string, unknown>

/** A row with what the cache must know about it. */
export interface SourceRow {
  id: Id
  row: Row
  /** The database's own `updated_at` as text at full precision, or a row version; null where the source has none. Equal means present. */
  version: string | null
  /** The tenant that the row belongs to; null where the model has no tenant. */
  tenant: string | null
}

export type Strategy = 'all' | 'recent' | 'popular' | 'ids'

export interface Selection {
  strategy: Strategy
  /** of strategy `ids` */
  ids?: readonly Id[]
  /** rows of this tenant only */
  tenant?: string
  /** changed at or after this instant: ISO 8601 text, in UTC */
  since?: string
  limit?: number
  /** rows a page */
  pageSize: number
  signal: AbortSignal
  /** Told of each row that cannot be read (`line 17`, why); the others go on. Without it the first such row is thrown as SOURCE_FAILED. */
  onRowError?: (where: string, message: string) => void
}

/** A list or a count: rows where each filter column equals its value. */
export interface ListQuery {
  filters: Readonly<Record<string, unknown>>
  /** `['-population', 'id']`: column names, `-` for descending */
  sort: readonly string[]
  tenant?: string
  /** rows from the first one on */
  limit: number
  signal: AbortSignal
}

/**
 * Where rows come from. `select` yields pages; each page is read when it is asked for and not before (`reads: 'page'`), or the
 * source is one stream whose reading began with the first page (`reads: 'stream'`): a guard is captured before that moment.
 * Errors of the source are thrown as CachectlError SOURCE_FAILED, bad column names and the like as SOURCE_INVALID.
 */
export interface Source {
  readonly kind: string
  readonly reads: 'page' | 'stream'
  /** whether its rows name a tenant; absent: it does not know, and the config must say */
  readonly hasTenants?: boolean
  /** what it was not given and cannot read without, as far as is known before it reads; absent: nothing */
  readonly lacks?: string
  /** which strategies it can do */
  readonly strategies: readonly Strategy[]
  select(selection: Selection): AsyncIterable<readonly SourceRow[]>
  /** Ids only, for runs that look first what is absent. Absent where the source cannot. */
  selectIds?(selection: Selection): AsyncIterable<readonly { id: Id; tenant: string | null }[]>
  /** The rows of these ids that exist, in any order. Absent where the source can only stream. */
  load?(ids: readonly Id[], options: { tenant?: string; signal: AbortSignal }): Promise<readonly SourceRow[]>
  list?(query: ListQuery): Promise<readonly SourceRow[]>
  count?(query: { filters: Readonly<Record<string, unknown>>; tenant?: string; signal: AbortSignal }): Promise<number>
  /** Id and tenant of a row that did not come from here, by its columns. Absent where only rows of its own reading say them. @throws CachectlError SOURCE_INVALID */
  identify?(row: Row): { id: Id; tenant: string | null }
  /** The most frequent combinations of values in these columns, most frequent first. */
  distinct?(query: {
    columns: readonly string[]
    tenant?: string
    limit: number
    signal: AbortSignal
  }): Promise<readonly Row[]>
  /** The tenants that there are. */
  tenants?(options: { signal: AbortSignal }): AsyncIterable<readonly string[]>
  close?(): Promise<void>
}
