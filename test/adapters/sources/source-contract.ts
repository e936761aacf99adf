// What every source owes its callers, run on each of them with the same rows.
import { describe, expect, test } from 'vitest'
import type { Id, Selection, Source, SourceRow } from '../../../src/ports.ts'

export interface ContractRow {
  id: number
  name: string
  org: string
  score: number | null
  /** as PostgreSQL's timestamptz reads it: microseconds, in UTC */
  updated_at: string | null
}

export interface Opened {
  source: Source
  /** ends what the source does not own */
  dispose?: () => Promise<void>
}

/** A source over exactly these rows: id `id`, tenant `org`, updatedAt `updated_at`, and popularity `score` where it can. */
export type OpenSource = (rows: readonly ContractRow[]) => Promise<Opened>

/** Four tenants, many ties, nulls, and times that differ in the last microsecond. */
export function contractRows(count: number): ContractRow[] {
  return Array.from({ length: count }, (_, index) => ({
    id: index * 3 + 1,
    name: `row ${index} “ü” \\ "q" \n`,
    org: `org-${index % 4}`,
    score: index % 5 === 0 ? null : (index * 7919) % 11,
    updated_at: index % 7 === 3 ? null : `2026-03-0${1 + (index % 3)}T00:00:00.00000${index % 2}Z`,
  }))
}

export function selection(given: Partial<Selection> = {}): Selection {
  return { strategy: 'all', pageSize: 7, signal: new AbortController().signal, ...given }
}

/** All rows of a selection; fails on a page that is empty or longer than asked for. */
export async function collect(source: Source, given: Partial<Selection> = {}): Promise<SourceRow[]> {
  const wanted = selection(given)
  const rows: SourceRow[] = []
  for await (const page of source.select(wanted)) {
    expect(page.length).toBeGreaterThan(0)
    expect(page.length).toBeLessThanOrEqual(wanted.pageSize)
    rows.push(...page)
    expect(rows.length, 'pages without end').toBeLessThan(10_000)
  }
  return rows
}

/** The ids that were read, and what was told of the rows that could not be. */
export async function readAll(source: Source) {
  const errors: string[] = []
  const rows = await collect(source, {
    pageSize: 3,
    onRowError: (where, message) => errors.push(`${where}: ${message}`),
  })
  return { ids: rows.map((row) => row.id), errors }
}

/** A bounded wait: what hangs fails its test with this text, not the whole run. */
export function within<T>(promise: Promise<T>, ms: number, what: string): Promise<T> {
  let timer: NodeJS.Timeout
  const lapse = new Promise<never>((_, reject) => {
    timer = setTimeout(() => reject(new Error(`${what} took over ${ms} ms`)), ms)
  })
  return Promise.race([promise, lapse]).finally(() => clearTimeout(timer))
}

const idsOf = (rows: readonly { id: Id }[]) => rows.map((row) => Number(row.id))
const ascending = (ids: readonly number[]) => [...ids].sort((a, b) => a - b)

type Run = (rows: readonly ContractRow[], check: (source: Source) => Promise<void>) => () => Promise<void>

export function sourceContract(name: string, open: OpenSource): void {
  const rows = contractRows(100)
  const all = rows.map((row) => row.id)
  const on: Run = (given, check) => async () => {
    const { source, dispose } = await open(given)
    try {
      await check(source)
    } finally {
      await source.close?.()
      await dispose?.()
    }
  }

  describe(`source contract: ${name}`, () => {
    selectContract(rows, all, on)
    tenantAndVersionContract(rows, on)
    lifeContract(rows, on)
    optionalContract(rows, on)
  })
}

function selectContract(rows: readonly ContractRow[], all: readonly number[], on: Run): void {
  for (const pageSize of [1, 7, 100, 1000]) {
    test(
      `every row once, in pages of ${pageSize}`,
      on(rows, async (source) => {
        expect(ascending(idsOf(await collect(source, { pageSize })))).toEqual(all)
      }),
    )
  }
  test(
    'a row that came from elsewhere says its id and tenant by its columns',
    on([], async (source) => {
      if (!source.identify) return
      expect(source.identify({ id: 7, org: 'org-1', name: 'x' })).toEqual({ id: 7, tenant: 'org-1' })
      expect(source.identify({ id: '7' })).toEqual({ id: '7', tenant: null })
      for (const id of [undefined, null, {}, true])
        expect(() => source.identify?.({ id, org: 'org-1' })).toThrow(
          expect.objectContaining({ code: 'SOURCE_INVALID' }),
        )
    }),
  )
  test(
    'the limit is exact',
    on(rows, async (source) => {
      for (const limit of [0, 1, 7, 8, 99, 100, 101]) {
        const got = idsOf(await collect(source, { limit }))
        expect(got).toHaveLength(Math.min(limit, 100))
        expect(new Set(got).size).toBe(got.length)
      }
    }),
  )
  test(
    'strategy ids: each that exists once, unknown ones absent',
    on(rows, async (source) => {
      const ids: Id[] = [4, 7, '10', 4, 999_999, 'abc', '', 'a"b\\', -1, 2n ** 70n, '\0', '\ud800', 31]
      expect(ascending(idsOf(await collect(source, { strategy: 'ids', ids, pageSize: 3 })))).toEqual([4, 7, 10, 31])
      expect(await collect(source, { strategy: 'ids', ids: [] })).toEqual([])
      expect(await collect(source, { strategy: 'ids', ids, limit: 2 })).toHaveLength(2)
    }),
  )
  test(
    'no rows, no pages',
    on([], async (source) => {
      expect(await collect(source)).toEqual([])
      expect(await collect(source, { strategy: 'ids', ids: [1] })).toEqual([])
      if (source.count) expect(await source.count({ filters: {}, signal: selection().signal })).toBe(0)
    }),
  )
}

function tenantAndVersionContract(rows: readonly ContractRow[], on: Run): void {
  test(
    'a tenant: its rows and no other',
    on(rows, async (source) => {
      const got = await collect(source, { tenant: 'org-2' })
      expect(new Set(got.map((row) => row.tenant))).toEqual(new Set(['org-2']))
      expect(ascending(idsOf(got))).toEqual(rows.filter((row) => row.org === 'org-2').map((row) => row.id))
      expect(await collect(source, { tenant: 'org-9' })).toEqual([])
      expect(await collect(source, { strategy: 'ids', ids: [1, 4, 7], tenant: 'org-1' })).toMatchObject([{ id: 4 }])
    }),
  )
  test(
    'the version is the time of change to the microsecond, or null; rows keep their fields and get no others',
    on(rows, async (source) => {
      const got = new Map((await collect(source)).map((row) => [Number(row.id), row]))
      for (const row of rows) {
        expect(got.get(row.id)?.version).toBe(row.updated_at)
        expect(Object.keys(got.get(row.id)?.row ?? {})).toEqual(['id', 'name', 'org', 'score', 'updated_at'])
        expect(got.get(row.id)?.row).toMatchObject({ id: row.id, name: row.name, score: row.score })
      }
    }),
  )
  test(
    'since: rows changed at or after it',
    on(rows, async (source) => {
      const since = '2026-03-02T00:00:00.000Z'
      const expected = rows
        .filter((row) => row.updated_at !== null && row.updated_at >= '2026-03-02')
        .map((row) => row.id)
      expect(ascending(idsOf(await collect(source, { since })))).toEqual(expected)
    }),
  )
}

function lifeContract(rows: readonly ContractRow[], on: Run): void {
  test(
    'an abort ends the reading with its reason, between pages and before the first',
    on(rows, async (source) => {
      const controller = new AbortController()
      const reason = new Error('the deadline has passed')
      const pages = source.select(selection({ signal: controller.signal, pageSize: 5 }))[Symbol.asyncIterator]()
      expect((await pages.next()).value).toHaveLength(5)
      controller.abort(reason)
      await expect(within(pages.next(), 1_000, 'the page after the abort')).rejects.toBe(reason)
      await expect(collect(source, { signal: controller.signal })).rejects.toBe(reason)
    }),
  )
  test(
    'a reader that leaves early harms no later one',
    on(rows, async (source) => {
      for await (const page of source.select(selection())) {
        expect(page).toHaveLength(7)
        break
      }
      expect(await collect(source)).toHaveLength(100)
    }),
  )
  test(
    'close may be called before, twice, and after',
    on(rows, async (source) => {
      await source.close?.()
      await source.close?.()
    }),
  )
}

function optionalContract(rows: readonly ContractRow[], on: Run): void {
  const { signal } = selection()
  test(
    'load gives the same rows as select',
    on(rows, async (source) => {
      if (!source.load) return expect(source.reads).toBe('stream')
      const byId = new Map((await collect(source)).map((row) => [String(row.id), row]))
      const loaded = await source.load([1, 4, '7', 100, 8, 'abc', 1], { signal })
      expect(ascending(idsOf(loaded))).toEqual([1, 4, 7, 100])
      for (const row of loaded) expect(row).toEqual(byId.get(String(row.id)))
      expect(idsOf(await source.load([1, 4, 7], { tenant: 'org-1', signal }))).toEqual([4])
      expect(await source.load([], { signal })).toEqual([])
    }),
  )
  test(
    'ids alone: those of select, in its order, with their tenants',
    on(rows, async (source) => {
      if (!source.selectIds) return expect(source.reads).toBe('stream')
      for (const strategy of source.strategies) {
        const wanted = selection({ strategy, limit: 50, ids: [1, 4, 7] })
        const ids: { id: Id; tenant: string | null }[] = []
        for await (const page of source.selectIds(wanted)) ids.push(...page)
        const selected = await collect(source, wanted)
        expect(ids).toEqual(selected.map((row) => ({ id: row.id, tenant: row.tenant })))
      }
    }),
  )
  for (const [strategy, rankOf] of [
    ['recent', (row: ContractRow) => row.updated_at ?? ''],
    ['popular', (row: ContractRow) => row.score ?? -1],
  ] as const) {
    test(
      `${strategy}: highest first, rows without rank last`,
      on(rows, async (source) => {
        if (!source.strategies.includes(strategy)) return expect(source.kind).not.toBe('sql')
        const ranks = new Map(rows.map((row) => [row.id, rankOf(row)]))
        const expected = [...ranks.values()].sort((a, b) => (a < b ? 1 : a > b ? -1 : 0))
        for (const pageSize of [1, 7, 1000]) {
          const got = idsOf(await collect(source, { strategy, pageSize }))
          expect(got.map((id) => ranks.get(id))).toEqual(expected)
          expect(new Set(got).size).toBe(rows.length)
          expect(idsOf(await collect(source, { strategy, pageSize, limit: 33 }))).toEqual(got.slice(0, 33))
        }
      }),
    )
  }
}
