// `warm`: loads what the models declare into Redis, and says truly what came of it.
import type { ResolvedConfig } from '../config/resolved.ts'
import { asCachectlError, CachectlError, EXIT, type ExitCode, worstExit } from '../core/errors.ts'
import type { Control, ControlState, Lock, RedisIdentity, Source } from '../ports.ts'
import type { OperationContext } from './context.ts'
import type { JournalRun } from './journal.ts'
import { warmDetails } from './warm-details.ts'
import { beginWarmJournal, warmResult } from './warm-journal.ts'
import { warmLists } from './warm-lists.ts'
import { takeModelLock } from './warm-lock.ts'
import type { WarmOptions } from './warm-plan.ts'
import {
  emptyCounts,
  type ModelPlan,
  sumCounts,
  type WarmModelReport,
  type WarmPlan,
  type WarmProblem,
  type WarmReport,
} from './warm-report.ts'
import { createModelRun, delay, type WarmSettings } from './warm-run.ts'
import { countListPages, countSelected, totalOf } from './warm-select.ts'
import { compareWitnesses, problemOfReplicas, type Witness, witness } from './warm-witness.ts'

interface Run {
  context: OperationContext
  config: ResolvedConfig
  control: Control
  options: WarmOptions
  state: ControlState
  problems: WarmProblem[]
  reports: WarmModelReport[]
  writer: string
  changed: boolean
  notWarmed: { model: string; reason: string }[]
  /** null: a dry run, or nothing to do */
  journal: JournalRun | null
}

export async function warm(
  context: OperationContext,
  control: Control,
  plan: WarmPlan,
  options: WarmOptions,
): Promise<WarmReport> {
  const config = context.config
  if (!config) throw new CachectlError('CONFIG_NOT_FOUND', 'warm needs a config: it says what to load')
  const startedAtMs = context.clock.now()
  const before = await witness(context.store)
  const run: Run = {
    context,
    config,
    control,
    options,
    state: options.dryRun ? NO_STATE : await control.read(),
    problems: [],
    reports: [],
    writer: `w${Math.floor(context.random() * 36 ** 7)
      .toString(36)
      .padStart(7, '0')}`,
    changed: false,
    notWarmed: [...plan.notWarmed],
    journal: options.dryRun || plan.models.length === 0 ? null : await beginWarmJournal(context, plan),
  }
  let stopped = false
  for (const model of plan.models) {
    if (stopped || context.signal.aborted) run.notWarmed.push({ model: model.model.name, reason: 'not reached' })
    else stopped = await warmModel(run, model)
  }
  // Somebody who stops the run does not wait for what it could still find out.
  if (!options.dryRun && !context.signal.aborted) run.problems.push(...(await verify(run, before)))
  const report = makeReport(run, before.identity, startedAtMs)
  await run.journal?.end(warmResult(report))
  return report
}

const NEVER = new AbortController().signal

const NO_STATE: ControlState = {
  incarnation: '',
  epoch: '',
  generations: {
    global: null,
    namespaces: new Map(),
    subjects: new Map(),
    tenants: new Map(),
    tenantSubjects: new Map(),
  },
}

/** @returns whether the whole run must stop: Redis failed, not only this model */
async function warmModel(run: Run, plan: ModelPlan): Promise<boolean> {
  const details = newReport(plan, plan.model.namespace)
  const source = plan.model.source as Source
  const startedMs = performance.now()
  run.reports.push(details)
  let lock: Lock | null = null
  try {
    if (run.options.dryRun) {
      await countSelected(source, plan, run.context.signal, details)
      if (plan.lists) await countListPages(source, plan, run.context.signal, listReports(run, plan))
      return false
    }
    const skipped = (reason: string) => void run.notWarmed.push({ model: plan.model.name, reason })
    lock = await takeModelLock(run.context, run.control, plan, run.options.ifLocked, skipped)
    if (lock) await load(run, source, plan, lock, details)
    return false
  } catch (thrown) {
    const error = asCachectlError(thrown)
    run.problems.push(problemOf(plan.model.name, error))
    return error.exitCode !== EXIT.source && error.exitCode !== EXIT.locked && error.exitCode !== EXIT.usage
  } finally {
    if (details.durationMs === 0) details.durationMs = Math.round(performance.now() - startedMs)
    const released = lock?.release().catch(() => undefined)
    await (run.context.signal.aborted ? Promise.race([released, delay(250, NEVER)]) : released)
  }
}

async function load(run: Run, source: Source, plan: ModelPlan, lock: Lock, details: WarmModelReport): Promise<void> {
  const { context, config, control, options } = run
  const settings: WarmSettings = {
    mode: options.missing ? 'missing' : options.refresh ? 'refresh' : 'default',
    concurrency: options.concurrency,
    batch: options.batch,
    rate: options.rate ?? null,
  }
  const signal = AbortSignal.any([context.signal, lock.signal])
  const onChanged = () => {
    run.changed = true
  }
  const base = { context, config, control, plan, source, settings, signal, initial: run.state, onChanged }
  const modelRun = createModelRun({ ...base, writer: run.writer })
  context.emit({
    event: 'start',
    task: `${details.namespace}:${details.model}`,
    unit: 'rows',
    total: await totalOf(plan, source, context.signal),
  })
  const startedMs = performance.now()
  await warmDetails(modelRun, details)
  details.durationMs = Math.round(performance.now() - startedMs)
  if (settings.mode === 'refresh' && !source.load && details.skipped.present > 0) {
    const message = `${details.skipped.present} entries of ${details.model} were left as they are: without versions nobody knows which is newer`
    const hint = 'give the source `updatedAt`, or `load`, so that rows can be loaded after their entries were seen'
    run.problems.push({ model: details.model, code: 'INCOMPLETE', message, hint, exitCode: EXIT.partial })
  }
  if (source.reads === 'stream' && !source.load && details.skipped.invalidated > 0) {
    const message = `${details.skipped.invalidated} rows of ${details.model} were invalidated while its stream was read, and are not warmed`
    const hint = 'run it again, or give the source `load`, so that such rows can be loaded again'
    run.problems.push({ model: details.model, code: 'INCOMPLETE', message, hint, exitCode: EXIT.partial })
  }
  context.emit({
    event: 'end',
    task: `${details.namespace}:${details.model}`,
    done: details.selected,
    durationMs: details.durationMs,
  })
  if (plan.lists && !signal.aborted) await lists(run, modelRun, plan)
  lock.signal.throwIfAborted()
}

/** The lines of the report for list pages and for counts. */
function listReports(run: Run, plan: ModelPlan): { pages: WarmModelReport; counts: WarmModelReport } {
  const namespaces = new Set(plan.model.lists.map((list) => list.namespace))
  const counted = new Set(plan.model.lists.flatMap((list) => (list.countNamespace ? [list.countNamespace] : [])))
  const pages = newReport(plan, [...namespaces].join(','), 'lists')
  const counts = newReport(plan, [...counted].join(','), 'counts')
  run.reports.push(pages)
  if (counted.size > 0) run.reports.push(counts)
  return { pages, counts }
}

async function lists(run: Run, modelRun: Parameters<typeof warmLists>[0], plan: ModelPlan): Promise<void> {
  const { pages, counts } = listReports(run, plan)
  const startedMs = performance.now()
  try {
    await warmLists(modelRun, pages, counts)
  } finally {
    // Pages and counts of a list are loaded together.
    pages.durationMs = counts.durationMs = Math.round(performance.now() - startedMs)
  }
}

async function verify(run: Run, before: Witness): Promise<WarmProblem[]> {
  try {
    const { store } = run.context
    const ofReplicas = await problemOfReplicas(store, before)
    const after = { ...(await witness(store)), state: await run.control.read() }
    const others = compareWitnesses({ ...before, state: run.state }, after, run.changed)
    return ofReplicas === null ? others : [...others, ofReplicas]
  } catch (thrown) {
    return [problemOf(null, asCachectlError(thrown))]
  }
}

function newReport(plan: ModelPlan, namespace: string, strategy: string = plan.strategy): WarmModelReport {
  return { model: plan.model.name, namespace, tenant: plan.tenant, strategy, ...emptyCounts(), errors: [] }
}

function problemOf(model: string | null, { code, message, hint, exitCode }: CachectlError): WarmProblem {
  return { model, code, message, hint, exitCode }
}

function makeReport(run: Run, redis: RedisIdentity, startedAtMs: number): WarmReport {
  const { context, problems, reports } = run
  if (context.signal.aborted) {
    const stopped = problemOf(null, asCachectlError(context.signal.reason))
    if (!problems.some(({ code }) => code === stopped.code)) problems.unshift(stopped)
  }
  const durationMs = context.clock.now() - startedAtMs
  const totals = sumCounts(reports, durationMs)
  const codes: ExitCode[] = problems.map((problem) => problem.exitCode)
  if (totals.failed > 0) codes.push(EXIT.partial)
  const exitCode = worstExit(codes)
  return {
    command: 'warm',
    ok: exitCode === EXIT.done,
    complete: exitCode === EXIT.done,
    dryRun: run.options.dryRun,
    startedAt: new Date(startedAtMs).toISOString(),
    durationMs,
    redis,
    models: reports,
    totals,
    notWarmed: run.notWarmed,
    problems,
    exitCode,
    journal: run.journal?.place() ?? 'none',
  }
}
