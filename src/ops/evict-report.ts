// The report of `evict`: what each quota was, what went, what is left.
import { type Account, addAccounts, emptyAccount } from '../core/account.ts'
import { type CachectlError, EXIT, type ExitCode } from '../core/errors.ts'
import type { EvictionPolicy } from '../core/eviction.ts'
import type { Extent } from '../core/ranking.ts'
import { formatCount, formatPercent } from '../core/units.ts'
import type { OperationContext } from './context.ts'
import { type EvictPlan, excessOf, isOver, type Occupied, type PlannedQuota, type PolicyPreview } from './evict-plan.ts'
import type { Limits } from './evict-quotas.ts'
import type { JournalPlace } from './journal.ts'
import type { ReportBase } from './report-base.ts'

export interface EvictReport extends Omit<ReportBase, 'dryRun'>, Account {
  command: 'evict'
  mode: EvictPlan['mode']
  dryRun: boolean
  exitCode: ExitCode
  prefix: string | null
  namespaces: EvictedQuota[]
  /** by MEMORY USAGE, of what was evicted */
  bytes: number
  /** null: there was nothing to do, or nothing was done */
  journal: JournalPlace | null
  problems: { code: string; message: string; hint: string }[]
  /** why it may be incomplete though nothing failed; null: there is no such reason */
  doubt: string | null
  notes: string[]
}

export interface EvictedQuota {
  /** `namespace:detail`, `all`, or the target as it was given */
  target: string
  /** whose entries alone; null: of all */
  tenant: string | null
  /** null where it is none */
  namespace: string | null
  policy: EvictionPolicy
  budget: Limits
  /** the budget, times `--to` */
  aim: Limits
  before: Occupied
  /** what was counted before, less what is known to have gone since */
  after: Occupied
  /** what the plan said */
  planned: Extent
  evicted: Extent
  protected: number
  /** met in their turn, and not evicted: they had been used meanwhile */
  spared: number
  /** share of its keys that may go in the place of others; 0: exact */
  error: number
  /** above its aim at the end */
  over: boolean
  /** of a dry run: what each policy would evict */
  policies: PolicyPreview[]
}

export interface Outcome {
  row: EvictedQuota
  account: Account
  stopped: CachectlError | null
  problems: readonly { code: string; message: string }[]
}

/** Its turn did not come, or there is none. */
export function untouched(planned: PlannedQuota): Outcome {
  const account = emptyAccount()
  account.matched = account.remaining = planned.line?.keys ?? 0
  const row = rowOf(planned, planned.before, { keys: 0, bytes: 0 }, 0)
  return { row, account, stopped: null, problems: [] }
}

export function rowOf(planned: PlannedQuota, after: Occupied, evicted: Extent, spared: number): EvictedQuota {
  const { quota, before, line, previews } = planned
  const { target, tenant, namespace, policy, budget, aim } = quota
  return {
    target,
    tenant,
    namespace,
    policy,
    budget,
    aim,
    before,
    after,
    planned: { keys: line?.keys ?? 0, bytes: line?.bytes ?? 0 },
    evicted,
    protected: planned.protected,
    spared,
    error: line?.error ?? 0,
    over: isOver(excessOf(quota, after)),
    policies: previews,
  }
}

export function reportOf(
  { config }: OperationContext,
  plan: EvictPlan,
  outcomes: readonly Outcome[],
  { journal, doubt }: Pick<EvictReport, 'journal' | 'doubt'>,
): EvictReport {
  const account = addAccounts(outcomes.map((outcome) => outcome.account))
  account.matched += plan.protected
  account.protected += plan.protected
  const rows = outcomes.map(({ row }) => row)
  const stopped = outcomes.find((outcome) => outcome.stopped !== null)?.stopped ?? null
  const over = rows.some((row) => row.over)
  const unfinished =
    plan.moved || doubt !== null || account.failed + account.unknown > 0 || (over && plan.mode === 'evict')
  const head = plan.head(stopped === null && (!unfinished || plan.mode !== 'evict'))
  const exitCode = exitOf(plan, stopped, over, unfinished)
  return {
    command: 'evict',
    ...head,
    ok: exitCode === EXIT.done,
    mode: plan.mode,
    dryRun: plan.mode === 'compare',
    exitCode,
    prefix: config?.prefix ?? null,
    namespaces: rows,
    ...account,
    bytes: rows.reduce((sum, { evicted }) => sum + evicted.bytes, 0),
    journal,
    problems: problemsOf(outcomes, stopped),
    doubt,
    notes: notesOf(plan, rows),
  }
}

function exitOf(plan: EvictPlan, stopped: CachectlError | null, over: boolean, unfinished: boolean): ExitCode {
  if (stopped !== null) return stopped.exitCode
  // What was missed or counted twice may be why something is over.
  if (plan.mode === 'check') return plan.moved ? EXIT.partial : over ? EXIT.problems : EXIT.done
  return plan.mode === 'evict' && unfinished ? EXIT.partial : EXIT.done
}

function problemsOf(outcomes: readonly Outcome[], stopped: CachectlError | null): EvictReport['problems'] {
  if (stopped !== null) return [{ code: stopped.code, message: stopped.message, hint: stopped.hint }]
  const refused = outcomes.flatMap(({ problems }) => problems)
  return refused.map(({ code, message }) => ({ code, message, hint: 'mend the server, then run it again' }))
}

function notesOf(plan: EvictPlan, rows: readonly EvictedQuota[]): string[] {
  const notes = rows.flatMap((row, index) => {
    const { target, over, spared, error } = row
    const told: string[] = []
    // An empty namespace with a budget is nothing to speak of; a target that somebody typed is.
    if (row.before.keys === 0 && plan.quotas[index]?.quota.declared === false)
      told.push(`nothing matches ${target}; see what is there with: cachectl stats`)
    if (over && row.protected > 0)
      told.push(`${formatCount(row.protected)} keys of ${target} are protected: they count, and never go`)
    if (spared > 0) told.push(`${formatCount(spared)} keys of ${target} were used meanwhile, and spared`)
    if (error > 0)
      told.push(
        `too many keys of ${target} go to hold all their names: ${formatPercent(error)} of its keys may go in the place of others`,
      )
    return told
  })
  if (plan.closed > 0) notes.push(`this user may not touch ${formatCount(plan.closed)} keys: they are not counted`)
  if (plan.moved)
    notes.push('slots of the Cluster moved meanwhile, so keys may have been missed or counted twice: run it again')
  return notes
}
