// `policy apply`: CONFIG SET of what is planned on each master, read back, and on request written to the servers' own files.
import { type Account, emptyAccount } from '../core/account.ts'
import { asCachectlError, EXIT, type ExitCode, worstExit } from '../core/errors.ts'
import { printable } from '../core/printable.ts'
import { isErrorReply } from '../core/reply.ts'
import {
  type ComparedSetting,
  type SettingName,
  type SettingValue,
  settingText,
  shownSetting,
} from '../core/server-policy.ts'
import type { Lane, Master, Reply } from '../ports.ts'
import type { OperationContext } from './context.ts'
import { beginJournal, type JournalPlace } from './journal.ts'
import { isNothingToDo, isRefused, type MasterPlan, type PolicyPlan } from './policy-plan.ts'
import { readMaster, refusalOf, withLane } from './policy-settings.ts'
import type { ReportBase } from './report-base.ts'

export interface AppliedSetting {
  setting: SettingName
  from: SettingValue | null
  to: SettingValue
  /** `done`: read back as it should be; `unknown`: sent, and not answered; `remaining`: a dry run, or stopped before its turn */
  outcome: 'done' | 'failed' | 'unknown' | 'remaining'
  /** why it failed, or is unknown */
  reason: string | null
}

export interface MasterApplied {
  master: string
  settings: AppliedSetting[]
  same: number
  /** CONFIG REWRITE; null: not asked for, or not reached */
  persisted: { done: boolean; file: string | null; reason: string | null } | null
}

/** The account counts settings, over all masters. */
export interface PolicyApplyReport extends Omit<ReportBase, 'dryRun'>, Account {
  command: 'policy apply'
  dryRun: boolean
  persist: boolean
  masters: MasterApplied[]
  neighbours: PolicyPlan['neighbours']
  effects: PolicyPlan['effects']
  managed: PolicyPlan['managed']
  notes: string[]
  /** why not all is done, most important first */
  problems: { code: string; message: string; hint: string; exitCode: ExitCode }[]
  exitCode: ExitCode
  journal: JournalPlace
}

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
  const finish = (journal: JournalPlace) => reportOf(context, plan, applied, { dryRun, journal, startedAtMs })
  if (dryRun || isNothingToDo(plan)) return finish('none')
  if (isRefused(plan)) {
    for (const [index, { refusal }] of plan.masters.entries())
      for (const one of (applied[index] as MasterApplied).settings)
        Object.assign(one, { outcome: 'failed', reason: refusal?.message })
    return finish('none')
  }
  const run = await beginJournal(context, { verb: 'policy apply', what: whatOf(plan), frees: true })
  const masters = await context.store.masters().catch(() => [])
  for (const [index, one] of plan.masters.entries()) {
    if (context.signal.aborted) break
    const master = masters.find(({ id }) => id === one.master)
    await applyTo(context, master, one, applied[index] as MasterApplied, plan.persist)
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

async function applyTo(
  context: OperationContext,
  master: Master | undefined,
  plan: MasterPlan,
  applied: MasterApplied,
  persist: boolean,
): Promise<void> {
  const give = (outcome: AppliedSetting['outcome'], reason: string) => {
    for (const one of applied.settings) if (one.outcome === 'remaining') Object.assign(one, { outcome, reason })
  }
  if (!master) return give('failed', `${plan.master} is no master any more`)
  if (plan.refusal) return give('failed', plan.refusal.message)
  try {
    await withLane(master, async (lane) => {
      await setAll(context.signal, lane, applied.settings)
      await readBack(plan.master, lane, applied.settings)
      if (persist && !context.signal.aborted) applied.persisted = await rewrite(lane, plan)
    })
  } catch (thrown) {
    // What was answered is known, what was under way is not, and the rest was not sent.
    const { message } = asCachectlError(thrown)
    for (const one of applied.settings) if (one.outcome === 'unknown') one.reason ??= message
    give('remaining', message)
    if (applied.settings.length === 0) applied.persisted = { done: false, file: plan.configFile, reason: message }
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
  { dryRun, journal, startedAtMs }: { dryRun: boolean; journal: JournalPlace; startedAtMs: number },
): PolicyApplyReport {
  const problems = dryRun ? [] : problemsOf(context, plan, masters)
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

function accountOf(masters: readonly MasterApplied[]): Account {
  const account = emptyAccount()
  for (const { settings, same } of masters) {
    account.matched += settings.length + same
    account.alreadyGone += same
    for (const { outcome } of settings) account[outcome === 'done' ? 'deleted' : outcome]++
  }
  return account
}

function problemsOf(
  { signal }: OperationContext,
  { masters: plans }: PolicyPlan,
  masters: readonly MasterApplied[],
): PolicyApplyReport['problems'] {
  const problems: PolicyApplyReport['problems'] = []
  if (signal.aborted) {
    const { code, message, hint, exitCode } = asCachectlError(signal.reason)
    problems.push({ code, message, hint, exitCode })
  }
  for (const [index, { master, settings, persisted }] of masters.entries()) {
    for (const [reason, names] of byReason(settings)) {
      const denied = plans[index]?.refusal?.code === 'NOPERM' || /^NOPERM/.test(reason)
      problems.push({
        code: denied ? 'REDIS_ACL' : 'INCOMPLETE',
        message: `${printable(master)}: ${names.join(', ')} not set: ${reason}`,
        hint: denied ? ACL_HINT : 'see what is set with `cachectl policy check`',
        exitCode: denied ? EXIT.denied : EXIT.partial,
      })
    }
    if (persisted && !persisted.done)
      problems.push({
        code: 'INCOMPLETE',
        message: `${printable(master)}: set until its next start, not written to a file: ${persisted.reason}`,
        hint: 'write it where the server is configured, then run `cachectl policy check`',
        exitCode: /^NOPERM/.test(persisted.reason ?? '') ? EXIT.denied : EXIT.partial,
      })
  }
  return problems
}

const ACL_HINT = '`ACL SETUSER <user> +config|get +config|set +config|rewrite +info` gives the rights'

function byReason(settings: readonly AppliedSetting[]): Map<string, ComparedSetting['setting'][]> {
  const reasons = new Map<string, SettingName[]>()
  for (const { setting, outcome, reason } of settings)
    if (outcome !== 'done' && reason !== null) reasons.set(reason, [...(reasons.get(reason) ?? []), setting])
  return reasons
}
