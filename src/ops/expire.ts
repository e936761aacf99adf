// `expire`: gives keys a TTL, by their exact names. Nothing is deleted by it but what Redis deletes when the time has come.
import type { Account } from '../core/account.ts'
import { CachectlError, EXIT, type ExitCode, worstExit } from '../core/errors.ts'
import { expireCommand, expiryOutcome, knowsExpiryFlags } from '../core/expiry.ts'
import type { OperationContext } from './context.ts'
import { type ExpirePlan, rangeText, ttlOfKeys, walkOf } from './expire-plan.ts'
import { watchHandover } from './handover.ts'
import { aimedAt, beginJournal, type JournalPlace } from './journal.ts'
import { beginReport, type ReportBase } from './report-base.ts'
import { type SweepAction, type Swept, sweep } from './sweep.ts'

export interface ExpireReport extends Omit<ReportBase, 'dryRun'>, Omit<Account, 'deleted'> {
  command: 'expire'
  dryRun: boolean
  targets: string[]
  /** TTLs that were given; null: by the config */
  ttl: { fromMs: number; toMs: number } | null
  /** something was changed, or nothing had to be */
  applied: boolean
  /** keys whose TTL is another one now */
  changed: number
  /** of these, entries whose envelope says so too: fresh for longer, or stale for longer */
  lengthened: { fresh: number; stale: number }
  /** an expiry frees nothing by itself */
  bytes: null
  /** Processes with copies are told by the server when a key is changed, and when it is gone. */
  acknowledged: null
  journal: JournalPlace
  problems: { code: string; message: string; keys: number }[]
  /** why it ended before its end; null where it did not */
  stopped: { code: string; message: string; hint: string } | null
  /** why it may be incomplete though nothing failed; null: there is no such reason */
  doubt: string | null
  exitCode: ExitCode
}

/** What would be done, not done. */
export async function dryRunExpire(context: OperationContext, plan: ExpirePlan): Promise<ExpireReport> {
  const report = await beginReport(context)
  const { keys, protected: spared } = plan.preview
  return {
    command: 'expire',
    ...report(),
    ...shared(plan),
    dryRun: true,
    applied: false,
    matched: keys + spared,
    changed: 0,
    outdated: 0,
    alreadyGone: 0,
    protected: spared,
    failed: 0,
    unknown: 0,
    remaining: keys,
    lengthened: { fresh: 0, stale: 0 },
    journal: 'none',
    problems: [],
    stopped: null,
    doubt: null,
    exitCode: EXIT.done,
  }
}

/** Stopped, it says what was done until then; done again, it completes. @throws CachectlError before anything was done */
export async function executeExpire(context: OperationContext, plan: ExpirePlan): Promise<ExpireReport> {
  const { options, preview } = plan
  const report = await beginReport(context)
  const lengthened = { fresh: 0, stale: 0 }
  const action = await actionOf(context, plan, lengthened)
  const handover = await watchHandover(context.store)
  const journal = await beginJournal(context, { verb: 'expire', what: whatOf(plan), frees: true })
  const swept = await sweep(context, {
    ...walkOf(context, options, plan.mode, plan.seed),
    action,
    pace: options.pace,
    task: 'expire',
    expected: preview.method === 'full' ? preview.keys : null,
  })
  const { deleted: changed, ...account } = swept.account
  const doubt = swept.complete ? await handover.doubt() : swept.doubt
  const complete = swept.complete && doubt === null
  const exitCode = exitCodeOf({ ...swept, complete })
  await journal.end({
    ok: exitCode === EXIT.done,
    complete,
    exitCode,
    counts: { ...account, changed, lengthenedFresh: lengthened.fresh, lengthenedStale: lengthened.stale },
  })
  return {
    command: 'expire',
    ...report(complete),
    ok: exitCode === EXIT.done,
    ...shared(plan),
    dryRun: false,
    applied: complete,
    ...account,
    changed,
    lengthened,
    journal: journal.place(),
    problems: [...swept.problems],
    stopped: swept.stopped === null ? null : told(swept.stopped),
    doubt,
    exitCode,
  }
}

function shared({ targets, ttl }: ExpirePlan): Pick<ExpireReport, 'targets' | 'ttl' | 'bytes' | 'acknowledged'> {
  return { targets, ttl, bytes: null, acknowledged: null }
}

async function actionOf(
  { store, clock, config }: OperationContext,
  plan: ExpirePlan,
  lengthened: ExpireReport['lengthened'],
): Promise<SweepAction> {
  const flags = knowsExpiryFlags((await store.identity()).version)
  const ttlOf = ttlOfKeys(plan.options, config, plan.seed)
  const { mode } = plan
  return {
    many: false,
    stays: true,
    add(page, [key]) {
      const ttlMs = ttlOf(key as Buffer)
      if (ttlMs === null)
        throw new CachectlError('UNEXPECTED', 'a key that the config says nothing of was to be given a TTL')
      page.add(...expireCommand(key as Buffer, { ttlMs, mode, nowMs: clock.now(), flags }))
    },
    outcome(reply) {
      const outcome = expiryOutcome(reply)
      if (outcome === 'fresh for longer') lengthened.fresh++
      if (outcome === 'stale for longer') lengthened.stale++
      return outcome === 'as it was' ? 'gone' : 'done'
    },
  }
}

function whatOf({ options, targets, mode, ttl }: ExpirePlan): string[] {
  const which = mode === 'missing' ? ['keys without TTL'] : []
  return [...aimedAt(targets, options.tenant), ...which, ttl === null ? 'TTL of the config' : `TTL ${rangeText(ttl)}`]
}

function exitCodeOf({ complete, stopped, account }: Swept): ExitCode {
  const codes: ExitCode[] = [stopped === null ? EXIT.done : stopped.exitCode]
  if (!complete || account.failed > 0 || account.unknown > 0) codes.push(EXIT.partial)
  return worstExit(codes)
}

function told({ code, message, hint }: CachectlError): { code: string; message: string; hint: string } {
  return { code, message, hint }
}
