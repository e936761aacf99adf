// `invalidate`: what is out of reach at once is told to all processes, then its keys are swept; what is found by a walk only goes key by key.
import type { Acknowledged } from '../cache/announce.ts'
import type { ResolvedConfig } from '../config/resolved.ts'
import { type Account, addAccounts, emptyAccount } from '../core/account.ts'
import { asCachectlError, CachectlError, EXIT, type ExitCode, worstExit } from '../core/errors.ts'
import { escapeGlob } from '../core/pattern.ts'
import { type Changer, openChanger } from './apply-change.ts'
import { decideFor } from './changes.ts'
import type { OpenedContext } from './context.ts'
import { examineDead } from './dead-keys.ts'
import type { InvalidateOptions, InvalidatePlan } from './invalidate-plan.ts'
import { aimedAt, beginJournal, type JournalPlace } from './journal.ts'
import type { Pace } from './pace.ts'
import type { Preview } from './preview.ts'
import { areInStep, countReplicas, type Replicas } from './replicas-in-step.ts'
import { beginReport, type ReportBase } from './report-base.ts'
import { softenAction, spreadAction } from './soften.ts'
import { type SweepAction, type SweepOptions, type Swept, sweep, unlinkAction } from './sweep.ts'
import { untilStopped } from './until-stopped.ts'

export interface InvalidateReport extends Omit<ReportBase, 'dryRun'>, Account {
  command: 'invalidate'
  dryRun: boolean
  exitCode: ExitCode
  targets: readonly string[]
  how: InvalidateOptions['how']['kind']
  /** whatever is read from now on was loaded after this invalidation; false of a dry run, and until a walk has ended */
  applied: boolean
  /** of the keys that were deleted, estimated; null where nobody looked before */
  bytes: number | null
  /** processes with copies in their memory; null where none was asked */
  acknowledged: (Acknowledged & { durationMs: number }) | null
  /** old values may be given until then: ISO 8601; null where none may */
  staleUntil: string | null
  journal: JournalPlace
  preview: Preview | null
  notes: readonly string[]
  problems: readonly { code: string; message: string; keys: number }[]
  /** why it ended before its end */
  stopped: { code: string; message: string; hint: string } | null
  /** why it may be incomplete though nothing failed; null: there is no such reason */
  doubt: string | null
}

/** Processes are told, and heard, for no longer than this by who was stopped. */
const TOLD_WITHIN_MS = 1_000

/** The plan, not executed. */
export async function invalidateDryRun(context: OpenedContext, plan: InvalidatePlan): Promise<InvalidateReport> {
  const { preview } = plan
  const spared = preview?.protected ?? 0
  const account = {
    ...emptyAccount(),
    matched: (preview?.keys ?? 0) + spared,
    protected: spared,
    remaining: preview?.keys ?? 0,
  }
  return report(await beginReport(context), plan, { account, complete: true, dryRun: true, bytes: 0 })
}

/** @throws CachectlError where nothing could be done, or it is not known whether it was; otherwise the report says what was */
export async function invalidate(context: OpenedContext, plan: InvalidatePlan, pace: Pace): Promise<InvalidateReport> {
  const begun = await beginReport(context)
  const { options, targets } = plan
  const journal = await beginJournal(context, {
    verb: 'invalidate',
    what: aimedAt(targets, options.tenant),
    // Keys that end soon free memory, too.
    frees: options.how.kind !== 'stale',
  })
  const changer = context.config === null ? null : await openChanger(context)
  try {
    // Whoever stopped it by now meant that nothing be done.
    context.signal.throwIfAborted()
    const before = await serversOf(context)
    const done: Done =
      options.how.kind === 'delete'
        ? await deleteKeys(context, changer, plan, pace)
        : await soften(context, changer, plan, pace)
    done.doubt = done.complete ? await doubtAbout(context, before) : null
    if (done.doubt !== null) done.complete = done.applied = false
    const { deleted } = done.account
    const found = plan.preview
    const bytes = found?.bytes == null ? null : found.keys === 0 ? 0 : Math.round((found.bytes / found.keys) * deleted)
    const made = report(begun, plan, { ...done, bytes, dryRun: false, journal: journal.place() })
    await journal.end({ ok: made.ok, complete: made.complete, exitCode: made.exitCode, counts: { ...done.account } })
    return { ...made, journal: journal.place() }
  } catch (thrown) {
    await journal.end({ ok: false, complete: false, exitCode: asCachectlError(thrown).exitCode, counts: {} })
    throw thrown
  } finally {
    await changer?.close()
  }
}

async function serversOf({ store }: OpenedContext): Promise<{ history: string | null; replicas: Replicas }> {
  return { history: await store.history(), replicas: await countReplicas(store) }
}

/** What was not passed on to a server that takes over is lost. Null: none has. */
async function doubtAbout(
  { store }: OpenedContext,
  before: Awaited<ReturnType<typeof serversOf>>,
): Promise<string | null> {
  const inStep = await areInStep(store, before.replicas).catch(() => false)
  if (!inStep) return 'a replica left meanwhile without having all of it, and may be the next primary'
  const now = await store.history().catch(() => 'unknown')
  const known = new Set(before.history?.split(' '))
  if (before.history === null || (now ?? 'unknown').split(' ').every((id) => known.has(id))) return null
  return 'another server took over meanwhile (a failover or a restart), and may lack what was done before'
}

interface Done {
  account: Account
  complete: boolean
  applied?: boolean
  acknowledged?: InvalidateReport['acknowledged']
  staleUntil?: string
  swept?: readonly Swept[]
  /** what nobody knows though nothing failed */
  doubt?: string | null
  /** processes could not be told */
  failure?: CachectlError | null
}

async function deleteKeys(
  context: OpenedContext,
  changer: Changer | null,
  plan: InvalidatePlan,
  pace: Pace,
): Promise<Done> {
  const { course, options } = plan
  const action = await unlinkAction(context)
  let named = 0
  let told: Promise<Acknowledged & { durationMs: number }> | null = null
  if (changer !== null && course.change !== null) {
    const { deleted, announcement } = await nothingDone(changer.apply(course.change))
    named = deleted ?? 0
    // Processes acknowledge while the keys are swept. A failure is told when it is awaited.
    told = changer.announce(announcement)
    told.catch(() => {})
  }
  const account = { ...emptyAccount(), matched: named, deleted: named }
  const swept: Swept[] = []
  const { config } = context
  if (changer !== null && config !== null && course.walked.length > 0) {
    await (named > 0 ? changer.advance() : nothingDone(changer.advance()))
    swept.push(await sweepLeases(context, config, plan, action, pace))
  }
  const blocked = swept.some(({ stopped }) => stopped !== null)
  if (!blocked) {
    const examine =
      changer === null || config === null || course.swept.length === 0 ? null : examineSwept(changer, config, plan)
    const entries = await sweep(context, {
      decide: plan.decide,
      ...(examine === null ? {} : { examine }),
      action,
      pace,
      task: 'deleting',
      expected: plan.preview?.keys ?? null,
      outdated: course.walked.length === 0,
    })
    swept.push(entries)
  }
  const entries = blocked ? emptyAccount() : (swept.at(-1) as Swept).account
  const complete = swept.every((one) => one.complete)
  let failure: CachectlError | null = null
  const heard = async (announced: Promise<Acknowledged & { durationMs: number }> | null) =>
    announced === null
      ? null
      : untilStopped(announced, context.signal, TOLD_WITHIN_MS).catch((thrown: unknown) => {
          failure ??= asCachectlError(thrown)
          return null
        })
  let acknowledged = await heard(told)
  if (changer !== null && course.walked.length > 0) {
    // What matches went after the first announcement. What was gone before the walk may still be in the memory of a process that has not heard of it.
    const again = await heard(changer.announce({ keys: [], stamps: [], bumped: false, pattern: patternOf(options) }))
    acknowledged = acknowledged === null || again === null ? again : merge(acknowledged, again)
  }
  return {
    account: addAccounts([account, entries]),
    complete,
    applied:
      failure === null &&
      (course.walked.length === 0 || complete) &&
      (acknowledged === null || acknowledged.lapsed || acknowledged.processes === acknowledged.of),
    acknowledged,
    swept,
    failure,
  }
}

/** A server that refuses the first write of all has done nothing. */
async function nothingDone<T>(first: Promise<T>): Promise<T> {
  try {
    return await first
  } catch (thrown) {
    const { code, message, hint, exitCode } = asCachectlError(thrown)
    if (exitCode !== EXIT.refusesWrites) throw thrown
    throw new CachectlError(code, `nothing was deleted: ${message}`, { hint })
  }
}

/** Loads under way, which would write behind the walk: their leases go first, in a walk of their own. */
function sweepLeases(
  context: OpenedContext,
  config: ResolvedConfig,
  { course, options }: InvalidatePlan,
  action: SweepAction,
  pace: Pace,
): Promise<Swept> {
  const isMeant = decideFor({ ...options, targets: course.walked }, config)
  const lease = Buffer.from(`${config.prefix}~lease:{`)
  return sweep(context, {
    match: `${escapeGlob(lease.toString())}*`,
    decide: (key) =>
      lease.equals(key.subarray(0, lease.length)) && isMeant(key.subarray(lease.length, key.length - 1)) === 'act'
        ? 'act'
        : 'pass',
    action,
    pace,
    task: 'ending loads',
    expected: null,
  })
}

/** Keys of targets that are out of reach are swept where they are; those of walked targets in any case. */
function examineSwept(
  changer: Changer,
  config: ResolvedConfig,
  { course, options }: InvalidatePlan,
): NonNullable<SweepOptions['examine']> {
  const dead = examineDead(changer, config, course.change?.stamps ?? [])
  if (course.walked.length === 0) return dead
  const isWalked = decideFor({ ...options, targets: course.walked }, config)
  return {
    ...dead,
    async keep(keys, replies) {
      const kept = await dead.keep(keys, replies)
      return keys.map((key, index) => isWalked(key) === 'act' || (kept[index] ?? false))
    },
  }
}

async function soften(
  context: OpenedContext,
  changer: Changer | null,
  plan: InvalidatePlan,
  pace: Pace,
): Promise<Done> {
  const { how } = plan.options
  const action = how.kind === 'spread' ? await spreadAction(context, how.overMs) : softenAction(context)
  const swept = await sweep(context, {
    decide: plan.decide,
    action,
    pace,
    task: how.kind === 'spread' ? 'spreading' : 'softening',
    expected: plan.preview?.keys ?? null,
  })
  const pattern = { keys: [], stamps: [], bumped: false, pattern: patternOf(plan.options) }
  const acknowledged = changer === null || swept.account.deleted === 0 ? null : await changer.announce(pattern)
  const longestMs =
    how.kind === 'spread'
      ? how.overMs
      : Math.max(0, ...Object.values(context.config?.namespaces ?? {}).map(({ graceMs }) => graceMs))
  return {
    account: swept.account,
    complete: swept.complete,
    applied: false,
    acknowledged,
    staleUntil: new Date(context.clock.now() + longestMs).toISOString(),
    swept: [swept],
  }
}

/** What copies in memory are dropped by: the pattern where there is just one, all of them otherwise. */
function patternOf({ targets }: InvalidateOptions): string {
  const [target] = targets
  return targets.length === 1 && target?.kind === 'pattern' ? target.pattern : '*'
}

function merge(
  first: Acknowledged & { durationMs: number },
  second: Acknowledged & { durationMs: number },
): Acknowledged & { durationMs: number } {
  const worse = first.of - first.processes > second.of - second.processes ? first : second
  return { ...worse, lapsed: first.lapsed || second.lapsed, durationMs: Math.max(first.durationMs, second.durationMs) }
}

function report(
  begun: (complete?: boolean) => ReportBase,
  { options, targets, course, preview }: InvalidatePlan,
  done: Done & { dryRun: boolean; bytes: number | null; journal?: JournalPlace },
): InvalidateReport {
  const swept = done.swept ?? []
  const stopped = swept.find((one) => one.stopped !== null)?.stopped ?? done.failure ?? null
  const complete = done.complete && stopped === null
  const exitCode = worstExit([stopped?.exitCode ?? EXIT.done, complete ? EXIT.done : EXIT.partial])
  return {
    command: 'invalidate',
    ...begun(complete),
    dryRun: done.dryRun,
    exitCode,
    targets,
    how: options.how.kind,
    applied: done.applied ?? false,
    ...done.account,
    bytes: done.bytes,
    acknowledged: done.acknowledged ?? null,
    staleUntil: done.staleUntil ?? null,
    journal: done.journal ?? 'none',
    preview,
    notes: course.notes,
    problems: swept.flatMap(({ problems }) => problems),
    stopped: stopped === null ? null : told(stopped),
    doubt: swept.find(({ doubt }) => doubt !== null)?.doubt ?? done.doubt ?? null,
  }
}

function told({ code, message, hint }: CachectlError): NonNullable<InvalidateReport['stopped']> {
  return { code, message, hint }
}
