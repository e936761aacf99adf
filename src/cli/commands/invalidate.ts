// `cachectl invalidate`: flags to options, the plan, the question, the work, the report.

import { CachectlError } from '../../core/errors.ts'
import { safeJson } from '../../core/printable.ts'
import { invalidate, invalidateDryRun } from '../../ops/invalidate.ts'
import { planInvalidate } from '../../ops/invalidate-plan.ts'
import { renderInvalidate, renderInvalidatePlan } from '../../render/invalidate.ts'
import type { Invocation } from '../command.ts'
import { confirm, type DestructiveFlags } from '../destructive.ts'
import { openProgress } from '../progress.ts'
import { quietLine } from '../quiet-line.ts'
import type { Session } from '../session.ts'
import { parseTargets } from '../targets.ts'

export interface InvalidateFlags extends DestructiveFlags {
  soft?: boolean
  over?: number
  exact?: boolean
  foreign?: boolean
  allTenants?: boolean
}

export async function invalidateCommand(session: Session, { args, flags }: Invocation<InvalidateFlags>): Promise<void> {
  if (flags.soft && flags.over !== undefined) throw new CachectlError('USAGE', '--soft and --over exclude each other')
  const { dryRun = false, exact = false, yes = false } = flags
  const aim = await parseTargets(session, flags, args)
  const context = await session.context(flags)
  const limited = flags.maxKeys !== undefined || flags.maxPercent !== undefined
  const plan = await planInvalidate(context, {
    ...aim,
    foreign: flags.foreign ?? false,
    allTenants: flags.allTenants ?? false,
    how: flags.soft
      ? { kind: 'stale' }
      : flags.over === undefined
        ? { kind: 'delete' }
        : { kind: 'spread', overMs: flags.over },
    // A limit in keys is held against a count, not against an estimate.
    exact: exact || flags.maxKeys !== undefined,
    look: dryRun || exact || limited || !yes,
  })
  const paint = await session.paint(flags)
  const text = renderInvalidatePlan(plan, await context.store.identity(), paint)
  if (dryRun) {
    const report = await invalidateDryRun(context, plan)
    if (session.format(flags) !== 'table') return session.out.write(`${safeJson(report)}\n`)
    if (!flags.quiet) await session.out.write(`${text}\nDry run: nothing was changed.\n`)
    return
  }
  await confirm(session, flags, { text, danger: plan.danger })
  const progress = await openProgress(session, flags)
  session.emit = progress.emit
  const report = await invalidate(context, plan, flags.rate ?? 'auto')
  progress.end()
  session.exit(report.exitCode)
  if (session.format(flags) !== 'table') return session.out.write(`${safeJson(report)}\n`)
  if (!flags.quiet) return session.out.write(renderInvalidate(report, paint, session.argv))
  if (!report.ok)
    await session.err.write(
      quietLine(
        'invalidate',
        report.stopped?.message ??
          report.doubt ??
          `${report.remaining + report.outdated + report.failed + report.unknown} keys are left`,
      ),
    )
}
