// `invalidate`: what is out of reach at once is told to all processes, then its keys are swept; what is found by a walk only goes key by key.
import type { Acknowledged } from '../cache/announce.ts'
import type { ResolvedConfig } from '../config/resolved.ts'
import { addAccounts, emptyAccount } from '../core/account.ts'
import { asCachectlError, CachectlError, EXIT } from '../core/errors.ts'
import { leaseKey } from '../core/key.ts'
import { escapeGlob } from '../core/pattern.ts'
import { type Changer, openChanger, TOLD_WITHIN_MS } from './apply-change.ts'
import { decideFor } from './changes.ts'
import type { OpenedContext } from './context.ts'
import { examineDead } from './dead-keys.ts'
import { watchHandover } from './handover.ts'
import { type InvalidatePlan, patternOf } from './invalidate-plan.ts'
import { type Done, type InvalidateReport, invalidateReport } from './invalidate-report.ts'
import { aimedAt, beginJournal } from './journal.ts'
import type { Pace } from './pace.ts'
import { beginReport } from './report-base.ts'
import { soften } from './soften.ts'
import { type SweepAction, type SweepOptions, type Swept, sweep, sweepNamed, unlinkAction } from './sweep.ts'
import { untilStopped } from './until-stopped.ts'

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
  return invalidateReport(await beginReport(context), plan, { account, complete: true, dryRun: true, bytes: 0 })
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
    const handover = await watchHandover(context.store)
    const done: Done =
      options.how.kind === 'delete'
        ? await deleteKeys(context, changer, plan, pace)
        : await soften(context, changer, plan, pace)
    // What was applied before a sweep that failed may be lost with the server that it failed on.
    const asks = done.complete || (done.applied === true && !context.signal.aborted)
    done.doubt = asks ? await handover.doubt() : null
    if (done.doubt !== null) done.complete = done.applied = false
    const { deleted } = done.account
    const found = plan.preview
    const bytes =
      found?.bytes == null || options.how.kind !== 'delete'
        ? null
        : found.keys === 0
          ? 0
          : Math.round((found.bytes / found.keys) * deleted)
    const made = invalidateReport(begun, plan, { ...done, bytes, dryRun: false, journal: journal.place() })
    await journal.end({ ok: made.ok, complete: made.complete, exitCode: made.exitCode, counts: { ...done.account } })
    return { ...made, journal: journal.place() }
  } catch (thrown) {
    await journal.end({ ok: false, complete: false, exitCode: asCachectlError(thrown).exitCode, counts: {} })
    throw thrown
  } finally {
    await changer?.close()
  }
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
  const walk = { action, pace, task: 'deleting', expected: plan.preview?.keys ?? null }
  if (!blocked && plan.named !== null) {
    const there = await existing(context, plan.named, plan.decide)
    swept.push(await sweepNamed(context, [there.keys], walk))
    account.matched += there.spared
    account.protected += there.spared
  } else if (!blocked) {
    const examine =
      changer === null || config === null || course.swept.length === 0 ? null : examineSwept(changer, config, plan)
    const entries = await sweep(context, {
      decide: plan.decide,
      ...(examine === null ? {} : { examine }),
      ...walk,
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

/** Of keys that are named one by one: those that are there, and how many of these are spared. */
async function existing(
  { store }: OpenedContext,
  named: readonly Buffer[],
  decide: InvalidatePlan['decide'],
): Promise<{ keys: Buffer[]; spared: number }> {
  const found: Buffer[] = []
  for (const key of named) if ((await store.call('EXISTS', key)) === 1) found.push(key)
  return {
    keys: found.filter((key) => decide(key) === 'act'),
    spared: found.filter((key) => decide(key) === 'protect').length,
  }
}

/** Loads under way, which would write behind the walk: their leases go first, in a walk of their own. */
function sweepLeases(
  context: OpenedContext,
  config: ResolvedConfig,
  { course, options, named }: InvalidatePlan,
  action: SweepAction,
  pace: Pace,
): Promise<Swept> {
  if (named !== null) {
    const leases = named.map((key) => Buffer.from(leaseKey(config.prefix, key.toString('utf8'))))
    return sweepNamed(context, [leases], { action, pace, task: 'ending loads', expected: null })
  }
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

function merge(
  first: Acknowledged & { durationMs: number },
  second: Acknowledged & { durationMs: number },
): Acknowledged & { durationMs: number } {
  const worse = first.of - first.processes > second.of - second.processes ? first : second
  return { ...worse, lapsed: first.lapsed || second.lapsed, durationMs: Math.max(first.durationMs, second.durationMs) }
}
