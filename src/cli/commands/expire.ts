// `cachectl expire`: flags to options, the plan, the question, the work, the report.
import { CachectlError } from '../../core/errors.ts'
import { safeJson } from '../../core/printable.ts'
import { dryRunExpire, executeExpire } from '../../ops/expire.ts'
import { type ExpireOptions, planExpire } from '../../ops/expire-plan.ts'
import { renderExpire, renderExpirePlan } from '../../render/expire.ts'
import type { Invocation } from '../command.ts'
import { confirm, type DestructiveFlags } from '../destructive.ts'
import { openProgress } from '../progress.ts'
import { quietLine } from '../quiet-line.ts'
import type { Session } from '../session.ts'
import { parseTargets } from '../targets.ts'

export interface ExpireFlags extends DestructiveFlags {
  /** milliseconds */
  ttl?: number
  /** a share */
  jitter?: number
  /** milliseconds */
  over?: number
  fromConfig?: boolean
  missingOnly?: boolean
  exact?: boolean
  foreign?: boolean
  allTenants?: boolean
}

export async function expireCommand(session: Session, { args, flags }: Invocation<ExpireFlags>): Promise<void> {
  const how = expiryOf(flags)
  const aim = await parseTargets(session, flags, args)
  const context = await session.context(flags)
  const plan = await planExpire(context, {
    ...aim,
    ...how,
    missingOnly: flags.missingOnly ?? false,
    exact: flags.exact ?? false,
    foreign: flags.foreign ?? false,
    allTenants: flags.allTenants ?? false,
    pace: flags.rate ?? 'auto',
  })
  // Stopped while it looked: what it saw is no plan.
  if (context.signal.aborted) throw context.signal.reason
  const paint = await session.paint(flags)
  const text = renderExpirePlan(plan, await context.store.identity(), paint)
  const table = session.format(flags) === 'table'
  if (flags.dryRun) {
    const report = await dryRunExpire(context, plan)
    if (!table) return session.out.write(`${safeJson(report)}\n`)
    if (!flags.quiet) await session.out.write(`${text}\nDry run: nothing was changed.\n`)
    return
  }
  await confirm(session, flags, { text, danger: plan.danger })
  const progress = await openProgress(session, flags)
  session.emit = progress.emit
  const report = await executeExpire(context, plan)
  progress.end()
  session.exit(report.exitCode)
  if (!table) return session.out.write(`${safeJson(report)}\n`)
  if (!flags.quiet) return session.out.write(renderExpire(report, paint, session.argv))
  if (!report.ok)
    await session.err.write(
      quietLine(
        'expire',
        report.stopped?.message ?? report.doubt ?? `${report.remaining + report.failed + report.unknown} keys are left`,
      ),
    )
}

/** @throws CachectlError USAGE */
function expiryOf({ ttl, jitter, over, fromConfig }: ExpireFlags): Pick<ExpireOptions, 'expiry' | 'shortenOnly'> {
  const others = [ttl, jitter, over].some((flag) => flag !== undefined)
  if (fromConfig) {
    if (others)
      throw usage('--from-config takes TTL and jitter from the config', 'leave out --ttl, --jitter and --over')
    return { expiry: null, shortenOnly: true }
  }
  if (jitter !== undefined && over !== undefined)
    throw usage('--jitter and --over exclude each other: --over spreads already', 'leave one of them out')
  if (ttl === undefined && over === undefined)
    throw usage('how long are the keys to live?', 'say --ttl 1h, or --over 30m to spread their ends, or --from-config')
  return {
    expiry: { ttlMs: ttl ?? 0, jitter: jitter ?? 0, overMs: over ?? 0 },
    shortenOnly: ttl === undefined,
  }
}

function usage(message: string, hint: string): CachectlError {
  return new CachectlError('USAGE', message, { hint })
}
