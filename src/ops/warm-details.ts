// Detail entries of one model: pages of rows from its source, through the guards, by several lanes at once.
import { asSourceError } from '../core/source-failure.ts'
import type { BulkLane, Capture, Id, Selection, SourceRow } from '../ports.ts'
import type { Prepared } from './warm-entry.ts'
import { arePresent } from './warm-existing.ts'
import { createPrepare } from './warm-prepare.ts'
import type { WarmModelReport } from './warm-report.ts'
import { addCounts, type ModelRun, rowFailed, taskOf } from './warm-run.ts'
import { captureStamps, createDetailNames } from './warm-stamps.ts'
import { counted, idsOf, noCounts, writeGuarded } from './warm-write.ts'

interface Loaded {
  rows: readonly SourceRow[]
  /** ids that were asked for by `--missing`, with those already there left out */
  selected: number
  present: number
  /** ids whose row was gone when it was to be loaded */
  absent: number
  deltaMs: number
}

export async function warmDetails(run: ModelRun, report: WarmModelReport): Promise<void> {
  const failure = new AbortController()
  const signal = AbortSignal.any([run.signal, failure.signal])
  const lanes: BulkLane[] = []
  try {
    for (let lane = 0; lane < run.settings.concurrency; lane++) lanes.push(await run.openLane())
    const first = lanes[0] as BulkLane
    // A stream began to be read with its first page: what guards all of it is what was there before that.
    const baseline = run.source.reads === 'stream' ? await first.capture(run.subjects) : null
    const next = createLoader(run, signal, (where, message) => {
      report.selected++
      rowFailed(run, report, where, message)
    })
    const work = createPageWork(run, report, baseline)
    // The first failure stops the other lanes, and is what the run failed of: theirs only follow from it.
    const stop = (thrown: unknown) => failure.abort(thrown)
    await Promise.all(lanes.map((lane) => runLane(lane, run, signal, next, work).catch(stop)))
    await next.close()
    failure.signal.throwIfAborted()
  } finally {
    for (const lane of lanes) lane.close()
  }
  if (run.plan.ids && !run.signal.aborted) {
    const { written, failed, skipped } = report
    const settled = written + failed + skipped.present + skipped.newer + skipped.invalidated
    report.skipped.absent = Math.max(0, run.plan.ids.length - settled)
    report.selected = settled + report.skipped.absent
  }
}

async function runLane(
  lane: BulkLane,
  run: ModelRun,
  signal: AbortSignal,
  next: Loader,
  work: PageWork,
): Promise<void> {
  while (!signal.aborted) {
    const capture = await lane.capture(run.subjects)
    const loaded = await next(lane, capture)
    if (!loaded || signal.aborted) return
    await run.pace(loaded.rows.length)
    await work(lane, capture, loaded)
  }
}

type PageWork = (lane: BulkLane, capture: Capture, loaded: Loaded) => Promise<void>

function createPageWork(run: ModelRun, report: WarmModelReport, baseline: Capture | null): PageWork {
  const prepare = createPrepare(run, report)
  const namesOf = createDetailNames(run.config, run.plan.model)
  const token = `${run.writer}.${run.context.random()}`
  const reloadOn = (lane: BulkLane) => async (rows: readonly Prepared[]) => {
    const maker = await run.freshMaker()
    // Which rows there are is known here, so their stamps are captured before they are loaded again: their own fence is not looked at.
    const holders =
      namesOf === null
        ? []
        : rows.map(({ id, tenant, ttlMs }) => ({ names: namesOf(id as Id, tenant), longestMs: ttlMs }))
    const captured = await captureStamps(lane, holders)
    return prepare(maker, lane, { rows: await load(run, idsOf(rows), run.plan.tenant), deltaMs: 1 }, captured)
  }
  return async (lane, capture, loaded) => {
    report.selected += loaded.selected
    report.loaded += loaded.rows.length
    report.skipped.present += loaded.present
    report.skipped.absent += loaded.absent
    const counts = noCounts()
    try {
      const { entries, failed } = await prepare(await run.makerFor(capture), lane, loaded)
      counts.failed += failed
      const page = {
        lane,
        subjects: run.subjects,
        capture,
        loadedSince: baseline ?? capture,
        entries,
        mode: run.settings.mode,
        now: () => run.context.clock.now(),
        reload: run.source.load ? reloadOn(lane) : null,
        token,
      }
      await writeGuarded(page, counts)
    } finally {
      // Of a page that failed in the middle nobody knows what became of the rest: not written, as far as can be said.
      counts.failed += Math.max(0, loaded.rows.length - counted(counts))
      addCounts(report, counts)
    }
    run.context.emit({ event: 'progress', task: taskOf(report), done: report.selected, total: null })
  }
}

interface Loader {
  (lane: BulkLane, capture: Capture): Promise<Loaded | null>
  close(): Promise<void>
}

/** The next page, one reader at a time: the source's cursor is one, however many lanes write. */
function createLoader(run: ModelRun, signal: AbortSignal, onRowError: NonNullable<Selection['onRowError']>): Loader {
  const { plan, source, settings } = run
  const selection: Selection = {
    strategy: plan.strategy,
    pageSize: settings.batch,
    signal,
    onRowError,
    ...(plan.ids ? { ids: plan.ids } : {}),
    ...(plan.limit === null ? {} : { limit: plan.limit }),
    ...(plan.since === null ? {} : { since: plan.since }),
    ...(plan.tenant === null ? {} : { tenant: plan.tenant }),
  }
  const onlyMissing = settings.mode === 'missing' && source.selectIds && source.load && !plan.model.key
  const pages = onlyMissing ? null : source.select(selection)[Symbol.asyncIterator]()
  const idPages = onlyMissing && source.selectIds ? source.selectIds(selection)[Symbol.asyncIterator]() : null
  const inTurn = createTurns()

  const timed = async <T>(read: () => Promise<T>): Promise<{ value: T; tookMs: number }> => {
    const startedMs = performance.now()
    try {
      return { value: await read(), tookMs: performance.now() - startedMs }
    } catch (thrown) {
      throw asSourceError(plan.model.name, thrown)
    }
  }

  const next = async (lane: BulkLane, capture: Capture): Promise<Loaded | null> => {
    if (pages) {
      const { value: page, tookMs } = await inTurn(() => timed(() => pages.next()))
      if (page.done) return null
      return {
        rows: page.value,
        selected: page.value.length,
        present: 0,
        absent: 0,
        deltaMs: tookMs / Math.max(1, page.value.length),
      }
    }
    const { value: page } = await inTurn(() => timed(() => (idPages as NonNullable<typeof idPages>).next()))
    if (page.done) return null
    const maker = await run.makerFor(capture)
    const keyed = page.value.flatMap(({ id, tenant }) => {
      try {
        return [{ id, key: maker.key(id, tenant) }]
      } catch (thrown) {
        onRowError(String(id), thrown instanceof Error ? thrown.message : String(thrown))
        return []
      }
    })
    const headers = await lane.headers(keyed.map(({ key }) => key))
    const nowMs = run.context.clock.now()
    const present = await arePresent(lane, headers, capture.incarnation, nowMs)
    const missing = keyed.filter((_, index) => !present[index])
    const ids = missing.map(({ id }) => id)
    const { value: rows, tookMs } = await timed(() => load(run, ids, plan.tenant))
    return {
      rows,
      selected: keyed.length,
      present: keyed.length - missing.length,
      absent: Math.max(0, missing.length - rows.length),
      deltaMs: tookMs / Math.max(1, rows.length),
    }
  }
  const close = async () => {
    await pages?.return?.()
    await idPages?.return?.()
  }
  return Object.assign(next, { close })
}

async function load(run: ModelRun, ids: readonly Id[], tenant: string | null): Promise<readonly SourceRow[]> {
  if (ids.length === 0 || !run.source.load) return []
  try {
    return await run.source.load(ids, { signal: run.signal, ...(tenant === null ? {} : { tenant }) })
  } catch (thrown) {
    throw asSourceError(run.plan.model.name, thrown)
  }
}

/** Calls one after the other, in the order they came. */
function createTurns(): <T>(call: () => Promise<T>) => Promise<T> {
  let last: Promise<unknown> = Promise.resolve()
  return (call) => {
    const mine = last.then(call)
    last = mine.catch(() => undefined)
    return mine
  }
}
