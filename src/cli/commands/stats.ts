// `cachectl stats`: flags to options, one count, its report.
import { CachectlError } from '../../core/errors.ts'
import type { GroupBy } from '../../core/groups.ts'
import { safeJson } from '../../core/printable.ts'
import { DEFAULT_BY, type StatsMode, stats } from '../../ops/stats.ts'
import { renderStats } from '../../render/stats.ts'
import type { Invocation } from '../command.ts'
import { openProgress } from '../progress.ts'
import type { Session } from '../session.ts'
import { parseTargets } from '../targets.ts'

export interface StatsFlags {
  by?: GroupBy
  full?: boolean
  sample?: number
  top: number
  largest?: number
  age?: boolean
  interval?: number
  replica?: boolean
}

export async function statsCommand(session: Session, { args, flags }: Invocation<StatsFlags>): Promise<void> {
  if (flags.full && flags.sample !== undefined)
    throw new CachectlError('USAGE', '--full and --sample exclude each other')
  const targets = await parseTargets(session, flags, args)
  const context = await session.context(flags)
  const progress = await openProgress(session, flags)
  session.emit = progress.emit
  const report = await stats(context, {
    ...targets,
    by: flags.by ? [flags.by] : DEFAULT_BY,
    mode: modeOf(flags),
    top: flags.top,
    largest: flags.largest ?? 0,
    age: flags.age ?? false,
    intervalMs: flags.interval ?? null,
    replica: flags.replica ?? false,
  })
  progress.end()
  if (!report.complete) session.exit(session.stoppedBy())
  if (session.format(flags) !== 'table') return session.out.write(`${safeJson(report)}\n`)
  if (flags.quiet) {
    if (!report.complete) throw session.signal.reason
    return
  }
  const { stdoutIsTty, columns } = session.io
  await session.out.write(
    renderStats(report, { paint: await session.paint(flags), widthColumns: stdoutIsTty ? columns : null }),
  )
}

function modeOf({ full, sample }: StatsFlags): StatsMode {
  if (full) return { kind: 'full' }
  return sample === undefined ? { kind: 'auto' } : { kind: 'sample', keys: sample }
}
