// List pages and counts of one model: one query a list, cut into its pages, through the same guards as rows.
import type { ResolvedList } from '../config/resolved.ts'
import type { TagStamp } from '../core/entry.ts'
import { CachectlError } from '../core/errors.ts'
import { countRest, listRest } from '../core/key.ts'
import { listStamps } from '../core/model-stamps.ts'
import { createProjection } from '../core/projection.ts'
import { asSourceError } from '../core/source-failure.ts'
import type { BulkLane, Row } from '../ports.ts'
import { type EntryMaker, namespaceOf, type Prepared } from './warm-entry.ts'
import { arePresent } from './warm-existing.ts'
import type { WarmModelReport } from './warm-report.ts'
import { addCounts, type ModelRun, taskOf, tellRowError } from './warm-run.ts'
import { captureStamps, createTags, type Holder } from './warm-stamps.ts'
import { counted, type GuardedPage, noCounts, type Reloaded, writeGuarded } from './warm-write.ts'

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

type ListRun = Pick<ModelRun, 'plan' | 'source' | 'signal'>

/** For a dry run: how many pages, at most, and counts each list comes to. */
export async function* plannedLists(run: ListRun): AsyncIterable<[pages: number, counts: number]> {
  for await (const { list, filters, tenant } of targetsOf(run)) {
    const query = { filters, signal: run.signal, ...(tenant === null ? {} : { tenant }) }
    const rows = run.source.count ? await run.source.count(query).catch(failedSource(run)) : list.pages * list.pageSize
    const counted = list.countNamespace && run.source.count ? 1 : 0
    yield [Math.max(1, Math.min(list.pages, Math.ceil(rows / list.pageSize))), counted]
  }
}

/** Every combination of tenant and filter values that the config asks for. */
async function* targetsOf(run: ListRun): AsyncIterable<ListTarget> {
  for await (const tenant of tenantsOf(run)) {
    for (const list of run.plan.model.lists) {
      for (const values of await valuesOf(run, list, tenant))
        yield { list, tenant, filters: { ...list.where, ...values } }
    }
  }
}

async function* tenantsOf(run: ListRun): AsyncIterable<string | null> {
  if (!run.plan.model.tenant) yield null
  else if (run.plan.tenant !== null) yield run.plan.tenant
  else if (run.source.tenants) for await (const page of run.source.tenants({ signal: run.signal })) yield* page
  else
    throw new CachectlError(
      'SOURCE_FAILED',
      `the source of ${run.plan.model.name} does not tell its tenants, so its lists cannot be warmed`,
      { hint: 'give the source `tenants`, or warm one tenant with --tenant' },
    )
}

const failedSource =
  (run: ListRun) =>
  (thrown: unknown): never => {
    throw asSourceError(run.plan.model.name, thrown)
  }

async function valuesOf(run: ListRun, list: ResolvedList, tenant: string | null): Promise<readonly Row[]> {
  if (list.by.length === 0) return [{}]
  if (list.values) return list.values
  if (!run.source.distinct) return []
  const query = { columns: list.by, limit: list.top, signal: run.signal, ...(tenant === null ? {} : { tenant }) }
  return run.source.distinct(query).catch(failedSource(run))
}

/** What one query gives: the keys it fills, and how to fill them. */
interface Group {
  holder: Holder
  keys(maker: EntryMaker): string[]
  /** null for a page that cannot be an entry, which is told */
  load(maker: EntryMaker, tags: readonly TagStamp[], tell: (thrown: unknown) => void): Promise<(Prepared | null)[]>
}

async function warmGroup(run: ModelRun, lane: BulkLane, report: WarmModelReport, group: Group): Promise<void> {
  const { mode } = run.settings
  const first = await run.freshMaker()
  const keys = group.keys(first)
  // What is to be replaced is looked at, and watched, before its successor is loaded.
  const capture = await lane.capture(run.subjects, mode === 'refresh' ? keys : [])
  if (mode === 'missing' && (await allPresent(run, lane, keys, capture.incarnation))) {
    report.selected += keys.length
    report.skipped.present += keys.length
    return
  }
  const observed = new Map(keys.map((key, index) => [key, capture.headers[index] ?? null]))
  const load = async (maker: EntryMaker): Promise<Reloaded> => {
    // Before the load: what was invalidated since is not written under a stamp of now.
    const tags = createTags(await captureStamps(lane, [group.holder]))(group.holder.names) ?? []
    const entries = await group.load(maker, tags, (thrown) => tellRowError(run, report, taskOf(report), thrown))
    return {
      entries: entries.filter((entry) => entry !== null),
      failed: entries.filter((entry) => entry === null).length,
    }
  }
  const { entries, failed } = await load(await run.makerFor(capture))
  const counts = { ...noCounts(), failed }
  report.selected += entries.length + failed
  report.loaded += entries.length
  const page: GuardedPage = {
    lane,
    subjects: run.subjects,
    capture,
    loadedSince: capture,
    entries: entries.map((entry) => ({ ...entry, replace: (observed.get(entry.key) ?? null) !== null })),
    mode,
    now: () => run.context.clock.now(),
    reload: async () => load(await run.freshMaker()),
    token: run.writer,
  }
  try {
    await writeGuarded(page, counts)
  } finally {
    counts.failed += Math.max(0, entries.length + failed - counted(counts))
    addCounts(report, counts)
  }
  run.context.emit({ event: 'progress', task: taskOf(report), done: report.selected, total: null })
}

async function allPresent(
  run: ModelRun,
  lane: BulkLane,
  keys: readonly string[],
  incarnation: string | null,
): Promise<boolean> {
  const headers = await lane.headers(keys)
  return (await arePresent(lane, headers, incarnation, run.context.clock.now())).every(Boolean)
}

function pagesOf(run: ModelRun, { list, filters, tenant }: ListTarget): Group {
  const project = createProjection(run.plan.model)
  const restOf = (page: number) => listRest(list.name, filters, page, list.pageSize)
  const ofTenant = tenant === null ? {} : { tenant }
  return {
    holder: holderOf(run, list, list.namespace, tenant),
    keys: (maker) =>
      Array.from({ length: list.pages }, (_, index) => maker.pageKey(list.namespace, restOf(index + 1), tenant)),
    async load(maker, tags, tell) {
      if (!run.source.list) return []
      const startedMs = performance.now()
      const limit = list.pages * list.pageSize
      const query = { filters, sort: list.sort, limit, signal: run.signal, ...ofTenant }
      const rows = await run.source.list(query).catch(failedSource(run))
      const made = { atMs: run.context.clock.now(), deltaMs: performance.now() - startedMs }
      const pages: (Prepared | null)[] = []
      // The first page of an empty list is an answer too; pages behind the end are not asked for.
      for (let page = 1; page === 1 || (page - 1) * list.pageSize < rows.length; page++) {
        const some = rows.slice((page - 1) * list.pageSize, page * list.pageSize)
        const value = some.map((row) => project(row.row))
        try {
          pages.push(maker.page({ namespace: list.namespace, rest: restOf(page), tenant }, value, made, tags))
        } catch (thrown) {
          tell(thrown)
          pages.push(null)
        }
      }
      return pages
    },
  }
}

function countOf(run: ModelRun, { list, filters, tenant }: ListTarget): Group {
  const namespace = list.countNamespace ?? list.namespace
  const rest = countRest(list.name, filters)
  return {
    holder: holderOf(run, list, namespace, tenant),
    keys: (maker) => [maker.pageKey(namespace, rest, tenant)],
    async load(maker, tags) {
      if (!run.source.count) return []
      const startedMs = performance.now()
      const query = { filters, signal: run.signal, ...(tenant === null ? {} : { tenant }) }
      const total = await run.source.count(query).catch(failedSource(run))
      const made = { atMs: run.context.clock.now(), deltaMs: performance.now() - startedMs }
      return [maker.page({ namespace, rest, tenant }, total, made, tags)]
    },
  }
}

function holderOf({ config, plan }: ModelRun, list: ResolvedList, namespace: string, tenant: string | null): Holder {
  const { ttlMs, graceMs } = namespaceOf(config, namespace)
  return {
    names: listStamps(config, plan.model, list.name, tenant),
    longestMs: ttlMs === null ? null : ttlMs + graceMs,
  }
}
