// `cachectl lock show` and `lock release`.
import { EXIT } from '../../core/errors.ts'
import { safeJson } from '../../core/printable.ts'
import { planRelease, releaseLock, showLocks } from '../../ops/lock.ts'
import { renderLocks, renderRelease, renderReleasePlan } from '../../render/lock.ts'
import type { Invocation } from '../command.ts'
import { confirm, type DestructiveFlags } from '../destructive.ts'
import type { Session } from '../session.ts'

export async function lockShowCommand(session: Session, { args, flags }: Invocation<object>): Promise<void> {
  const report = await showLocks(await session.context(flags), args[0] ?? null)
  if (!report.complete) session.exit(session.stoppedBy())
  if (report.name !== null && report.locks.length === 0) session.exit(EXIT.partial)
  if (session.format(flags) !== 'table') return session.out.write(`${safeJson(report)}\n`)
  if (!flags.quiet) await session.out.write(renderLocks(report))
}

export async function lockReleaseCommand(
  session: Session,
  { args, flags }: Invocation<Pick<DestructiveFlags, 'dryRun' | 'yes' | 'confirm'>>,
): Promise<void> {
  const context = await session.context(flags)
  const plan = await planRelease(context, args[0] ?? '')
  const table = session.format(flags) === 'table'
  if (plan.lock !== null && !flags.dryRun)
    await confirm(session, flags, {
      text: renderReleasePlan(plan, await context.store.identity()),
      danger: {
        typed: context.config?.prefix ?? '',
        everything: false,
        production: context.config?.env === 'production',
        keys: null,
        share: null,
      },
    })
  const report = await releaseLock(context, plan, flags.dryRun ?? false)
  session.exit(report.exitCode)
  if (!table) return session.out.write(`${safeJson(report)}\n`)
  const text = renderRelease(report, await session.paint(flags))
  if (!flags.quiet) return session.out.write(text)
  if (!report.ok) await session.err.write(text)
}
