// `cachectl version show|bump|prune`: flags to options, the plan, the question, the work, the report.
import { safeJson } from '../../core/printable.ts'
import { versionBump, versionBumpDryRun } from '../../ops/version-bump.ts'
import { planVersionBump } from '../../ops/version-bump-plan.ts'
import { planVersionPrune, versionPrune, versionPruneDryRun } from '../../ops/version-prune.ts'
import { showVersions } from '../../ops/version-show.ts'
import { renderVersionBump, renderVersionBumpPlan, renderVersions } from '../../render/version.ts'
import { renderVersionPrune, renderVersionPrunePlan } from '../../render/version-prune.ts'
import type { Invocation } from '../command.ts'
import { confirm, type DestructiveFlags } from '../destructive.ts'
import { openProgress } from '../progress.ts'
import { quietLine } from '../quiet-line.ts'
import type { Session } from '../session.ts'

/** For processes of older versions: those that read anything answer at once. */
const ANSWER_WITHIN_MS = 10_000

export interface VersionShowFlags {
  full?: boolean
}

export async function versionShowCommand(
  session: Session,
  { args, flags }: Invocation<VersionShowFlags>,
): Promise<void> {
  const context = await session.context(flags)
  const progress = await openProgress(session, flags)
  session.emit = progress.emit
  const report = await showVersions(context, { targets: args, tenant: flags.tenant ?? null, full: flags.full ?? false })
  progress.end()
  if (!report.complete) session.exit(session.stoppedBy())
  if (session.format(flags) !== 'table') return session.out.write(`${safeJson(report)}\n`)
  if (flags.quiet) {
    if (!report.complete) throw session.signal.reason
    return
  }
  const { stdoutIsTty, columns } = session.io
  const widthColumns = stdoutIsTty ? columns : null
  await session.out.write(
    renderVersions(report, { paint: await session.paint(flags), widthColumns, nowMs: Date.now() }),
  )
}

export interface VersionBumpFlags extends DestructiveFlags {
  allTenants?: boolean
}

export async function versionBumpCommand(
  session: Session,
  { args, flags }: Invocation<VersionBumpFlags>,
): Promise<void> {
  const context = await session.context(flags)
  const plan = await planVersionBump(context, {
    target: args[0] ?? null,
    tenant: flags.tenant ?? null,
    allTenants: flags.allTenants ?? false,
  })
  const paint = await session.paint(flags)
  const text = renderVersionBumpPlan(plan, await context.store.identity(), paint)
  if (flags.dryRun) {
    const report = await versionBumpDryRun(context, plan)
    if (session.format(flags) !== 'table') return session.out.write(`${safeJson(report)}\n`)
    if (!flags.quiet) await session.out.write(`${text}\nDry run: nothing was changed.\n`)
    return
  }
  await confirm(session, flags, { text, danger: plan.danger })
  session.signal.throwIfAborted()
  const report = await versionBump(context, plan)
  session.exit(report.exitCode)
  if (session.format(flags) !== 'table') return session.out.write(`${safeJson(report)}\n`)
  if (!flags.quiet) return session.out.write(renderVersionBump(report, paint))
  if (!report.ok)
    await session.err.write(
      quietLine('version bump', report.stopped?.message ?? report.doubt ?? 'not every process has confirmed'),
    )
}

export interface VersionPruneFlags extends DestructiveFlags {
  /** milliseconds */
  wait?: number
}

export async function versionPruneCommand(
  session: Session,
  { args, flags }: Invocation<VersionPruneFlags>,
): Promise<void> {
  const context = await session.context(flags)
  const plan = await planVersionPrune(context, {
    targets: args,
    tenant: flags.tenant ?? null,
    waitMs: flags.wait ?? ANSWER_WITHIN_MS,
  })
  const paint = await session.paint(flags)
  const text = renderVersionPrunePlan(plan, await context.store.identity(), paint)
  if (flags.dryRun) {
    const report = await versionPruneDryRun(context, plan)
    if (session.format(flags) !== 'table') return session.out.write(`${safeJson(report)}\n`)
    if (!flags.quiet) await session.out.write(`${text}\nDry run: nothing was changed.\n`)
    return
  }
  // Cron need not say yes to nothing.
  const yes = flags.yes || (plan.danger.keys === 0 && plan.preview.method === 'full')
  await confirm(session, { ...flags, yes }, { text, danger: plan.danger })
  const progress = await openProgress(session, flags)
  session.emit = progress.emit
  const report = await versionPrune(context, plan, flags.rate ?? 'auto')
  progress.end()
  session.exit(report.exitCode)
  if (session.format(flags) !== 'table') return session.out.write(`${safeJson(report)}\n`)
  if (!flags.quiet) return session.out.write(renderVersionPrune(report, paint))
  if (!report.ok)
    await session.err.write(
      quietLine(
        'version prune',
        report.stopped?.message ?? report.doubt ?? `${report.remaining + report.failed + report.unknown} keys are left`,
      ),
    )
}
