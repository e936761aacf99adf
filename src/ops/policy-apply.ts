// `policy apply`: CONFIG SET of what is planned on each master, read back, and on request written to the servers' own files.
import { asCachectlError, type CachectlError, EXIT, worstExit } from '../core/errors.ts'
import { printable } from '../core/printable.ts'
import { isErrorReply } from '../core/reply.ts'
import { settingText, shownSetting } from '../core/server-policy.ts'
import type { Lane, Master, Reply } from '../ports.ts'
import type { OperationContext } from './context.ts'
import { beginJournal, type JournalPlace } from './journal.ts'
import { isNothingToDo, isRefused, type MasterPlan, type PolicyPlan } from './policy-plan.ts'
import {
  type AppliedSetting,
  accountOf,
  type Lost,
  type MasterApplied,
  type PolicyApplyReport,
  problemsOf,
} from './policy-report.ts'
import { readMaster, refusalOf, withLane } from './policy-settings.ts'

/**
 * Nothing is rolled back: each setting is by itself what the config says, and the order is such that a half of them does no harm.
 * @throws CachectlError only before anything was set
 */
export async function applyPolicy(
  context: OperationContext,
  plan: PolicyPlan,
  { dryRun }: { dryRun: boolean },
): Promise<PolicyApplyReport> {
  const startedAtMs = context.clock.now()
  const applied = plan.masters.map(notYet)
  const lost = new Map<string, CachectlError>()
  const finish = (journal: JournalPlace) => reportOf(context, plan, applied, { dryRun, journal, startedAtMs, lost })
  if (dryRun || isNothingToDo(plan)) return finish('none')
  if (isRefused(plan)) {
    for (const [index, { refusal }] of plan.masters.entries())
      for (const one of (applied[index] as MasterApplied).settings)
        Object.assign(one, { outcome: 'failed', reason: refusal?.message })
    return finish('none')
  }
  const masters = await context.store.masters()
  const run = await beginJournal(context, { verb: 'policy apply', what: whatOf(plan), frees: true })
  for (const [index, one] of plan.masters.entries()) {
    if (context.signal.aborted) break
    const master = masters.find(({ id }) => id === one.master)
    const error = await applyTo(context, master, one, applied[index] as MasterApplied, plan.persist)
    if (error) lost.set(one.master, error)
  }
  const report = finish(run.place())
  const { matched, deleted, alreadyGone, failed, unknown, remaining } = report
  await run.end({ ...report, counts: { matched, changed: deleted, same: alreadyGone, failed, unknown, remaining } })
  return report
}

function notYet({ master, changes, same }: MasterPlan): MasterApplied {
  const settings = changes.map(({ setting, wanted, actual }): AppliedSetting => {
    return { setting, from: actual, to: wanted, outcome: 'remaining', reason: null }
  })
  return { master, settings, same, persisted: null }
}

function whatOf({ masters, persist }: PolicyPlan): string[] {
  const several = masters.length > 1
  const changed = masters.flatMap(({ master, changes }) =>
    changes.map(({ setting, wanted, actual }) => {
      const where = several ? `${printable(master)}: ` : ''
      return `${where}${setting} ${shownSetting(setting, actual)} -> ${shownSetting(setting, wanted)}`
    }),
  )
  return persist ? [...changed, 'CONFIG REWRITE'] : changed
}

/** What ended it before its end, where that was no refusal. */
async function applyTo(
  context: OperationContext,
  master: Master | undefined,
  plan: MasterPlan,
  applied: MasterApplied,
  persist: boolean,
): Promise<CachectlError | null> {
  const give = (outcome: AppliedSetting['outcome'], reason: string) => {
    for (const one of applied.settings) if (one.outcome === 'remaining') Object.assign(one, { outcome, reason })
    return null
  }
  if (!master) return give('failed', `${plan.master} is no master any more`)
  if (plan.refusal) return give('failed', plan.refusal.message)
  try {
    await withLane(master, async (lane) => {
      await setAll(context.signal, lane, applied.settings)
      await readBack(plan.master, lane, applied.settings)
      if (persist && !context.signal.aborted) applied.persisted = await rewrite(lane, plan)
    })
    return null
  } catch (thrown) {
    // What was answered is known, what was under way is not, and the rest was not sent.
    const error = asCachectlError(thrown)
    for (const one of applied.settings) if (one.outcome === 'unknown') one.reason ??= error.message
    give('remaining', error.message)
    if (persist) applied.persisted ??= { done: false, file: plan.configFile, reason: error.message }
    return error
  }
}

/** One by one: a server older than 7 takes one setting at a time, and each refusal is to be known by itself. */
async function setAll(signal: AbortSignal, lane: Lane, settings: readonly AppliedSetting[]): Promise<void> {
  for (const one of settings) {
    if (signal.aborted) return
    one.outcome = 'unknown'
    const page = lane.page()
    page.add('CONFIG', 'SET', one.setting, settingText(one.to))
    const [reply] = await lane.run(page)
    one.outcome = isErrorReply(reply) ? 'failed' : 'done'
    one.reason = isErrorReply(reply) ? messageOf(reply) : null
  }
}

function messageOf(reply: Reply): string {
  return isErrorReply(reply) ? refusalOf(reply).message : ''
}

/** A server, or a service before it, may say OK and not do it. */
async function readBack(master: string, lane: Lane, settings: readonly AppliedSetting[]): Promise<void> {
  const read = (await readMaster(master, lane)).settings
  for (const one of settings) {
    const now = read.get(one.setting)
    if (one.outcome !== 'done' || now === one.to || now === undefined) continue
    one.outcome = 'failed'
    one.reason = `the server took it, and has ${shownSetting(one.setting, now)}`
  }
}

async function rewrite(lane: Lane, { configFile }: MasterPlan): Promise<MasterApplied['persisted']> {
  const page = lane.page()
  page.add('CONFIG', 'REWRITE')
  const [reply] = await lane.run(page)
  if (!isErrorReply(reply)) return { done: true, file: configFile, reason: null }
  const none = /without a config file/i.test(reply.error)
  return { done: false, file: configFile, reason: none ? NO_FILE : messageOf(reply) }
}

const NO_FILE =
  'it was started without a config file: write the settings where it is started (command line, container, service)'

function reportOf(
  context: OperationContext,
  plan: PolicyPlan,
  masters: MasterApplied[],
  { dryRun, journal, startedAtMs, lost }: { dryRun: boolean; journal: JournalPlace; startedAtMs: number; lost: Lost },
): PolicyApplyReport {
  const problems = dryRun ? [] : problemsOf(context, plan, masters, lost)
  const exitCode = worstExit(problems.map((problem) => problem.exitCode))
  const { redis, persist, neighbours, effects, managed, notes } = plan
  return {
    command: 'policy apply',
    ok: exitCode === EXIT.done,
    complete: exitCode === EXIT.done,
    dryRun,
    startedAt: new Date(startedAtMs).toISOString(),
    durationMs: context.clock.now() - startedAtMs,
    redis,
    ...accountOf(masters),
    persist,
    masters,
    neighbours,
    effects,
    managed,
    notes,
    problems,
    exitCode,
    journal,
  }
}
