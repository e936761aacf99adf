// The report of `policy apply`: what became of each setting, and why not all is done.
import { type Account, emptyAccount } from '../core/account.ts'
import { asCachectlError, type CachectlError, EXIT, type ExitCode } from '../core/errors.ts'
import { printable } from '../core/printable.ts'
import type { SettingName, SettingValue } from '../core/server-policy.ts'
import type { OperationContext } from './context.ts'
import type { JournalPlace } from './journal.ts'
import type { PolicyPlan } from './policy-plan.ts'
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

export function accountOf(masters: readonly MasterApplied[]): Account {
  const account = emptyAccount()
  for (const { settings, same } of masters) {
    account.matched += settings.length + same
    account.alreadyGone += same
    for (const { outcome } of settings) account[outcome === 'done' ? 'deleted' : outcome]++
  }
  return account
}

export function problemsOf(
  { signal }: OperationContext,
  { masters: plans }: PolicyPlan,
  masters: readonly MasterApplied[],
  lost: Lost,
): PolicyApplyReport['problems'] {
  const problems: PolicyApplyReport['problems'] = []
  if (signal.aborted) {
    const { code, message, hint, exitCode } = asCachectlError(signal.reason)
    problems.push({ code, message, hint, exitCode })
  }
  for (const [index, { master, settings, persisted }] of masters.entries()) {
    const cut = lost.get(master)
    for (const [reason, names] of byReason(settings)) {
      const denied = plans[index]?.refusal?.code === 'NOPERM' || /^NOPERM/.test(reason)
      const { code, hint, exitCode } = cut ?? (denied ? DENIED : UNSET)
      problems.push({ code, message: `${printable(master)}: ${names.join(', ')} not set: ${reason}`, hint, exitCode })
    }
    if (persisted && !persisted.done)
      problems.push({
        code: 'INCOMPLETE',
        message: `${printable(master)}: set until its next start, not written to a file: ${persisted.reason}`,
        hint: 'write it where the server is configured, then run `cachectl policy check`',
        exitCode: cut?.exitCode ?? (/^NOPERM/.test(persisted.reason ?? '') ? EXIT.denied : EXIT.partial),
      })
  }
  return problems
}

/** Masters whose connection broke, or that could not be asked. */
export type Lost = ReadonlyMap<string, CachectlError>

const DENIED = {
  code: 'REDIS_ACL',
  hint: '`ACL SETUSER <user> +config|get +config|set +config|rewrite +info` gives the rights',
  exitCode: EXIT.denied,
}
const UNSET = { code: 'INCOMPLETE', hint: 'see what is set with `cachectl policy check`', exitCode: EXIT.partial }

function byReason(settings: readonly AppliedSetting[]): Map<string, SettingName[]> {
  const reasons = new Map<string, SettingName[]>()
  for (const { setting, outcome, reason } of settings)
    if (outcome !== 'done' && reason !== null) reasons.set(reason, [...(reasons.get(reason) ?? []), setting])
  return reasons
}
