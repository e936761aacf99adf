// `evict`: brings namespaces, targets and the whole prefix within their limits, by deleting what their policy lets go first.
import { type Account, addAccounts, emptyAccount } from '../core/account.ts'
import { asCachectlError } from '../core/errors.ts'
import type { Extent, Line } from '../core/ranking.ts'
import type { OperationContext } from './context.ts'
import { measure } from './evict-measure.ts'
import { type EvictPlan, excessOf, lineOf, type Occupied, type PlannedQuota } from './evict-plan.ts'
import type { Quota } from './evict-quotas.ts'
import { type EvictReport, type Outcome, reportOf, rowOf, untouched } from './evict-report.ts'
import { isMet, type Need, victims } from './evict-victims.ts'
import { watchHandover } from './handover.ts'
import { aimedAt, beginJournal } from './journal.ts'
import { type Pace, type SweepAction, sweepNamed, unlinkAction } from './sweep.ts'

/** A measurement that is older does not say any more how much is too much. */
const STALE_MS = 5_000
/** Where many keys are used between the measurement and their turn, others take their place: measured anew as often as this. */
const MOST_ROUNDS = 4

/** Does what the plan says, and no more; when the signal is aborted it reports what it has done. @throws CachectlError before anything was done */
export async function executeEvict(
  context: OperationContext,
  plan: EvictPlan,
  { pace }: { pace: Pace },
): Promise<EvictReport> {
  if (plan.mode !== 'evict' || plan.total.keys === 0) return reportPlan(context, plan)
  const action = await unlinkAction(context)
  const over = plan.quotas.filter(({ line }) => line !== null)
  const handover = await watchHandover(context.store)
  const journal = await beginJournal(context, {
    verb: 'evict',
    what: aimedAt(
      over.map(({ quota }) => quota.target),
      over[0]?.quota.tenant ?? null,
    ),
    frees: true,
  })
  const outcomes: Outcome[] = []
  for (const planned of plan.quotas) {
    if (outcomes.some(({ stopped }) => stopped !== null)) outcomes.push(untouched(planned))
    else outcomes.push(await evictQuota(context, plan, planned, outcomes, { pace, action }))
  }
  const went = outcomes.every(({ stopped }) => stopped === null)
  const report = reportOf(context, plan, outcomes, {
    journal: journal.place(),
    doubt: went ? await handover.doubt() : null,
  })
  const { ok, complete, exitCode, deleted, remaining, failed } = report
  await journal.end({ ok, complete, exitCode, counts: { deleted, remaining, failed, bytes: report.bytes } })
  return { ...report, journal: journal.place() }
}

/** Of a dry run, a check, and where there is nothing to do. */
export function reportPlan(context: OperationContext, plan: EvictPlan): EvictReport {
  return reportOf(context, plan, plan.quotas.map(untouched), { journal: null, doubt: null })
}

async function evictQuota(
  context: OperationContext,
  plan: EvictPlan,
  planned: PlannedQuota,
  earlier: readonly Outcome[],
  how: { pace: Pace; action: SweepAction },
): Promise<Outcome> {
  const { quota } = planned
  // What was evicted before may have been of this quota too.
  const touched = plan.quotas.slice(0, earlier.length).flatMap((before, index) => {
    const { evicted } = (earlier[index] as Outcome).row
    return evicted.keys === 0 ? [] : [{ of: before.quota, evicted }]
  })
  const disjoint = touched.every(({ of }) => of.namespace !== null && quota.namespace !== null)
  const within = quota.place === 'prefix' ? touched.filter(({ of }) => of.place === 'namespace') : []
  const run: Running = {
    need: { left: { ...planned.excess }, given: nothing(), gone: nothing(), spared: 0 },
    after: within.reduce((rest, { evicted }) => without(rest, evicted), planned.before),
    evicted: nothing(),
    outcome: { ...untouched(planned), account: emptyAccount() },
  }
  const { need, outcome } = run
  let line = disjoint && context.clock.now() - plan.measuredAtMs < STALE_MS ? planned.line : undefined
  try {
    for (let round = 0; round < MOST_ROUNDS && !isMet(need); round++) {
      if (line === undefined) {
        const [now] = (await measure(context, [quota], { ...plan, policiesOf: () => [quota.policy] })).quotas
        if (now === undefined) break
        run.after = { keys: now.keys, bytes: now.bytes }
        need.left = least(need.left, excessOf(quota, now))
        line = lineOf(now, need.left)
      }
      if (line === null || !(await evictLine(context, plan, quota, line, run, how))) break
      line = undefined
    }
  } catch (thrown) {
    outcome.stopped = asCachectlError(thrown)
  }
  // What was handed over when it stopped may never have been sent.
  if (outcome.stopped !== null || !isMet(need))
    leave(outcome.account, (planned.line?.keys ?? 0) - outcome.account.matched)
  return { ...outcome, row: rowOf(planned, run.after, run.evicted, need.spared) }
}

interface Running {
  need: Need
  after: Occupied
  evicted: Extent
  outcome: Outcome
}

/** Whether it is worth looking for more. */
async function evictLine(
  context: OperationContext,
  plan: EvictPlan,
  quota: Quota,
  line: Line,
  run: Running,
  how: { pace: Pace; action: SweepAction },
): Promise<boolean> {
  const { need, evicted, outcome } = run
  const before = { given: { ...need.given }, gone: { ...need.gone } }
  const { account, stopped, problems } = await sweepNamed(context, victims(context, quota, line, plan.run, need), {
    ...how,
    task: `evicting from ${quota.target}`,
    expected: line.keys,
  })
  const [given, gone] = [less(need.given, before.given), less(need.gone, before.gone)]
  const bytesOf = (keys: number) => (given.keys === 0 ? 0 : Math.round((given.bytes * keys) / given.keys))
  evicted.keys += account.deleted
  evicted.bytes += bytesOf(account.deleted)
  const left = account.deleted + account.alreadyGone
  run.after = without(without(run.after, gone), { keys: left, bytes: bytesOf(left) })
  const expired = { ...emptyAccount(), matched: gone.keys, alreadyGone: gone.keys }
  outcome.account = addAccounts([outcome.account, account, expired])
  outcome.problems = [...outcome.problems, ...problems]
  outcome.stopped = stopped
  return stopped === null && account.failed === 0 && given.keys + gone.keys > 0
}

const nothing = (): Extent => ({ keys: 0, bytes: 0 })

/** Planned, and not done. */
function leave(account: Account, keys: number): void {
  if (keys <= 0) return
  account.matched += keys
  account.remaining += keys
}

function without({ keys, bytes }: Occupied, gone: Extent): Occupied {
  return { keys: Math.max(0, keys - gone.keys), bytes: bytes === null ? null : Math.max(0, bytes - gone.bytes) }
}

function least(a: Extent, b: Extent): Extent {
  return { keys: Math.min(a.keys, b.keys), bytes: Math.min(a.bytes, b.bytes) }
}

function less(a: Extent, b: Extent): Extent {
  return { keys: a.keys - b.keys, bytes: a.bytes - b.bytes }
}
