// What the parts of one warm run share: its lanes, its pace, its control state, its counts. One of these a model.
import { parentsOf } from '../core/model-stamps.ts'
import type { BulkLane, Capture, Control, ControlState, Id, Source } from '../ports.ts'
import type { OperationContext } from './context.ts'
import { createEntryMaker, type EntryMaker } from './warm-entry.ts'
import type { ModelPlan, WarmModelReport } from './warm-report.ts'
import type { WarmMode, WriteCounts } from './warm-write.ts'

export interface WarmSettings {
  mode: WarmMode
  concurrency: number
  batch: number
  /** rows a second; null: as fast as it goes */
  rate: number | null
}

export interface ModelRun {
  context: OperationContext
  config: NonNullable<OperationContext['config']>
  plan: ModelPlan
  source: Source
  settings: WarmSettings
  writer: string
  /** the model's own, then those of the models whose rows show in its entries: an invalidation of either refuses what was loaded before it */
  subjects: readonly string[]
  /** aborted by the user, a deadline, a lost lock, or the failure of another worker */
  signal: AbortSignal
  /** The maker for the control state that this capture saw; reads the state anew when it has changed. */
  makerFor(capture: Capture): Promise<EntryMaker>
  /** The maker for the control state of this moment. */
  freshMaker(): Promise<EntryMaker>
  pace(rows: number): Promise<void>
  openLane(): Promise<BulkLane>
}

export interface ModelRunOptions {
  context: OperationContext
  config: ModelRun['config']
  control: Control
  plan: ModelPlan
  source: Source
  settings: WarmSettings
  writer: string
  signal: AbortSignal
  initial: ControlState
  /** told once the control state is not what it was at the start */
  onChanged: () => void
}

export function createModelRun(options: ModelRunOptions): ModelRun {
  const { context, config, control, plan, settings, writer, signal } = options
  let state = options.initial
  const makerOf = (control: ControlState) =>
    createEntryMaker({
      config,
      model: plan.model,
      control,
      writer,
      random: context.random,
    })
  let maker = makerOf(state)
  const renew = async () => {
    const current = await control.read()
    if (current.epoch !== state.epoch || current.incarnation !== state.incarnation) {
      options.onChanged()
      state = current
      maker = makerOf(state)
    }
    return maker
  }
  const subjects = new Set([plan.model.subject, ...parentsOf(config, plan.model).map(({ model }) => model.subject)])
  return {
    ...options,
    subjects: [...subjects],
    async makerFor(capture) {
      return capture.epoch === state.epoch && capture.incarnation === state.incarnation ? maker : renew()
    },
    freshMaker: renew,
    pace: createPace(settings.rate, () => context.clock.now(), signal),
    openLane: () => control.bulk(),
  }
}

/** Spreads rows over time: `rate` a second, without a burst after a pause. */
export function createPace(
  rate: number | null,
  now: () => number,
  signal: AbortSignal,
): (rows: number) => Promise<void> {
  if (rate === null) return async () => undefined
  let freeAtMs = now()
  return async (rows) => {
    const startMs = Math.max(now(), freeAtMs)
    freeAtMs = startMs + (rows / rate) * 1000
    const waitMs = startMs - now()
    if (waitMs > 0) await delay(waitMs, signal)
  }
}

/** Resolves after this time, or at once when the signal is aborted. */
export function delay(ms: number, signal: AbortSignal): Promise<void> {
  return new Promise((resolve) => {
    if (signal.aborted) return resolve()
    const done = () => {
      clearTimeout(timer)
      signal.removeEventListener('abort', done)
      resolve()
    }
    const timer = setTimeout(done, ms)
    signal.addEventListener('abort', done)
  })
}

export function addCounts(report: WarmModelReport, counts: WriteCounts): void {
  report.written += counts.written
  report.bytes += counts.bytes
  report.skipped.present += counts.present
  report.skipped.newer += counts.newer
  report.skipped.invalidated += counts.invalidated
  report.failed += counts.failed
}

/** Row errors kept in the report; the rest are counted. */
export const ERRORS_KEPT = 10

/** A row that cannot be cached: sampled, and the run goes on. Whoever calls counts it. */
export function tellRowError(run: ModelRun, report: WarmModelReport, id: Id | string, thrown: unknown): void {
  const message = thrown instanceof Error ? thrown.message : String(thrown)
  if (report.errors.length < ERRORS_KEPT) report.errors.push({ id: String(id), message })
  run.context.emit({ event: 'row-error', task: taskOf(report), id: String(id), message })
}

export function rowFailed(run: ModelRun, report: WarmModelReport, id: Id | string, thrown: unknown): void {
  report.failed++
  tellRowError(run, report, id, thrown)
}

export function taskOf(report: Pick<WarmModelReport, 'model' | 'namespace'>): string {
  return `${report.namespace}:${report.model}`
}
