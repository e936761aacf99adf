// `cachectl policy check` and `policy apply`: the plan, the question, the work, the report.
import { safeJson } from '../../core/printable.ts'
import { applyPolicy } from '../../ops/policy-apply.ts'
import { checkPolicy } from '../../ops/policy-check.ts'
import { dangerOf, isNothingToDo, isRefused, planPolicy } from '../../ops/policy-plan.ts'
import { renderPolicyApply, renderPolicyCheck, renderPolicyPlan } from '../../render/policy.ts'
import type { Invocation } from '../command.ts'
import { confirm, type DestructiveFlags } from '../destructive.ts'
import { openProgress } from '../progress.ts'
import { quietLine } from '../quiet-line.ts'
import type { Session } from '../session.ts'

export interface PolicyApplyFlags extends DestructiveFlags {
  persist?: boolean
}

export async function policyCheckCommand(session: Session, { flags }: Invocation<object>): Promise<void> {
  const report = await checkPolicy(await session.context(flags))
  session.exit(report.exitCode)
  if (session.format(flags) !== 'table') return session.out.write(`${safeJson(report)}\n`)
  if (!flags.quiet) return session.out.write(renderPolicyCheck(report, await session.paint(flags)))
  const { drift, unknown } = report
  if (!report.ok)
    await session.err.write(
      `policy check: ${drift > 0 ? `${drift} settings differ` : `${unknown} settings are unknown`}\n`,
    )
}

export async function policyApplyCommand(session: Session, { flags }: Invocation<PolicyApplyFlags>): Promise<void> {
  const context = await session.context(flags)
  const progress = await openProgress(session, flags)
  session.emit = progress.emit
  const dryRun = flags.dryRun ?? false
  const plan = await planPolicy(context, { persist: flags.persist ?? false })
  const paint = await session.paint(flags)
  if (!dryRun && !isNothingToDo(plan) && !isRefused(plan))
    await confirm(session, flags, { text: renderPolicyPlan(plan, paint), danger: dangerOf(context, plan) })
  const report = await applyPolicy(context, plan, { dryRun })
  progress.end()
  session.exit(report.exitCode)
  if (session.format(flags) !== 'table') return session.out.write(`${safeJson(report)}\n`)
  const shown = dryRun || isRefused(plan) ? `${renderPolicyPlan(plan, paint)}\n` : ''
  if (!flags.quiet) return session.out.write(`${shown}${renderPolicyApply(report, paint)}`)
  const [first] = report.problems
  if (first) await session.err.write(quietLine('policy apply', first.message))
}
