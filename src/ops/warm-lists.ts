// List pages and counts of one model: one query a list, cut into its pages, through the same guards as rows.
import type { ResolvedList } from '../config/resolved.ts'
import { countRest, listRest } from '../core/key.ts'
import type { BulkLane, Row } from '../ports.ts'
import { createProjection, type EntryMaker, type Prepared } from './warm-entry.ts'
import type { WarmModelReport } from './warm-report.ts'
import { addCounts, asSourceError, type ModelRun, taskOf } from './warm-run.ts'
import { type GuardedPage, isPresent, writeGuarded } from './warm-write.ts'

/** Loads of one list that an invalidation may spoil before it is given up for this run. */
const TRIES = 3

interface ListTarget {
  list: ResolvedList
  filters: Readonly<Record<string, unknown>>
  tenant: string | null
}

/** The lists and the counts, each with its own line in the report. */
export async function warmLists(run: ModelRun, lists: WarmModelReport, counts: WarmModelReport): Promise<void> {
  const lane = await run.openLane()
  try {
    for await (const target of targetsOf(run)) {
      if (run.signal.aborted) return
      await run.pace(target.list.pages)
      await warmGroup(run, lane, lists, pagesOf(run, target))
      if (target.list.countNamespace && run.source.count) await warmGroup(run, lane, counts, countOf(run, target))
    }
  } finally {
    lane.close()
  }
}

/** Every combination of tenant and filter values that the config asks for. */
async function* targetsOf(run: ModelRun): AsyncIterable<ListTarget> {
  for await (const tenant of tenantsOf(run)) {
    for (const list of run.plan.model.lists) {
      for (const values of await valuesOf(run, list, tenant))
        yield { list, tenant, filters: { ...list.where, ...values } }
    }
  }
}

async function* tenantsOf(run: ModelRun): AsyncIterable<string | null> {
  if (!run.plan.model.tenant) yield null
  else if (run.plan.tenant !== null) yield run.plan.tenant
  else if (run.source.tenants) for await (const page of run.source.tenants({ signal: run.signal })) yield* page
}

async function valuesOf(run: ModelRun, list: ResolvedList, tenant: string | null): Promise<readonly Row[]> {
  if (list.by.length === 0) return [{}]
  if (list.values) return list.values
  if (!run.source.distinct) return []
  const query = { columns: list.by, limit: list.top, signal: run.signal, ...(tenant === null ? {} : { tenant }) }
  return run.source.distinct(query).catch((thrown: unknown) => {
    throw asSourceError(run.plan.model.name, thrown)
  })
}

/** What one query gives: the keys it fills, and how to fill them. */
interface Group {
  keys(maker: EntryMaker): string[]
  load(maker: EntryMaker): Promise<Prepared[]>
}

async function warmGroup(run: ModelRun, lane: BulkLane, report: WarmModelReport, group: Group): Promise<void> {
  for (let attempt = 1; ; attempt++) {
    const capture = await lane.capture(run.subjects)
    const maker = await run.makerFor(capture)
    if (run.settings.mode === 'missing' && (await allPresent(run, lane, group.keys(maker), capture.incarnation))) {
      report.selected += group.keys(maker).length
      report.skipped.present += group.keys(maker).length
      return
    }
    const entries = await group.load(maker).catch((thrown: unknown) => {
      throw asSourceError(run.plan.model.name, thrown)
    })
    const page: GuardedPage = {
      lane,
      subjects: run.subjects,
      capture,
      loadedSince: capture,
      entries,
      mode: run.settings.mode,
      now: () => run.context.clock.now(),
      reload: null,
      token: run.writer,
    }
    const counts = await writeGuarded(page)
    if (counts.invalidated > 0 && attempt < TRIES && !run.signal.aborted) continue
    report.selected += entries.length
    report.loaded += entries.length
    addCounts(report, counts)
    run.context.emit({ event: 'progress', task: taskOf(report), done: report.selected, total: null })
    return
  }
}

async function allPresent(
  run: ModelRun,
  lane: BulkLane,
  keys: readonly string[],
  incarnation: string | null,
): Promise<boolean> {
  const headers = await lane.headers(keys)
  return headers.every((header) => isPresent(header, incarnation, run.context.clock.now()))
}

function pagesOf(run: ModelRun, { list, filters, tenant }: ListTarget): Group {
  const project = createProjection(run.plan.model)
  const restOf = (page: number) => listRest(list.name, filters, page, list.pageSize)
  const ofTenant = tenant === null ? {} : { tenant }
  return {
    keys: (maker) =>
      Array.from({ length: list.pages }, (_, index) => maker.pageKey(list.namespace, restOf(index + 1), tenant)),
    async load(maker) {
      if (!run.source.list) return []
      const startedMs = performance.now()
      const limit = list.pages * list.pageSize
      const rows = await run.source.list({ filters, sort: list.sort, limit, signal: run.signal, ...ofTenant })
      const made = { atMs: run.context.clock.now(), deltaMs: performance.now() - startedMs }
      const pages: Prepared[] = []
      // The first page of an empty list is an answer too; pages behind the end are not asked for.
      for (let page = 1; page === 1 || (page - 1) * list.pageSize < rows.length; page++) {
        const some = rows.slice((page - 1) * list.pageSize, page * list.pageSize)
        const value = some.map((row) => project(row.row))
        pages.push(maker.page(list.namespace, restOf(page), tenant, value, made))
      }
      return pages
    },
  }
}

function countOf(run: ModelRun, { list, filters, tenant }: ListTarget): Group {
  const namespace = list.countNamespace ?? list.namespace
  const rest = countRest(list.name, filters)
  return {
    keys: (maker) => [maker.pageKey(namespace, rest, tenant)],
    async load(maker) {
      if (!run.source.count) return []
      const startedMs = performance.now()
      const query = { filters, signal: run.signal, ...(tenant === null ? {} : { tenant }) }
      const total = await run.source.count(query)
      const made = { atMs: run.context.clock.now(), deltaMs: performance.now() - startedMs }
      return [maker.page(namespace, rest, tenant, total, made)]
    },
  }
}
