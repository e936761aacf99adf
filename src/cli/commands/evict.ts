// `cachectl evict`: flags to options, the plan, the question, the work, the report.
import { CachectlError } from '../../core/errors.ts'
import type { EvictionPolicy } from '../../core/eviction.ts'
import { safeJson } from '../../core/printable.ts'
import { executeEvict, reportPlan } from '../../ops/evict.ts'
import { dangerOf, type EvictOptions, planEvict } from '../../ops/evict-plan.ts'
import type { EvictReport } from '../../ops/evict-report.ts'
import { renderEvict, renderEvictPlan } from '../../render/evict.ts'
import type { Invocation } from '../command.ts'
import { confirm, type DestructiveFlags } from '../destructive.ts'
import { openProgress } from '../progress.ts'
import { quietLine } from '../quiet-line.ts'
import type { Session } from '../session.ts'
import { parseTargets } from '../targets.ts'

export interface EvictFlags extends DestructiveFlags {
  check?: boolean
  policy?: EvictionPolicy
  maxMemory?: number
  to?: number
  foreign?: boolean
  allTenants?: boolean
}

export async function evictCommand(session: Session, { args, flags }: Invocation<EvictFlags>): Promise<void> {
  const { maxKeys: _, ...asked } = flags
  const aim = await parseTargets(session, flags, args)
  const context = await session.context(flags)
  const progress = await openProgress(session, flags)
  session.emit = progress.emit
  const plan = await planEvict(context, { ...aim, ...optionsOf(flags) })
  progress.end()
  const render = { paint: await session.paint(flags), widthColumns: session.io.stdoutIsTty ? session.io.columns : null }
  if (plan.mode === 'evict' && plan.total.keys > 0) {
    const danger = dangerOf(context, plan)
    const text = renderEvictPlan(reportPlan(context, plan), { ...render, widthColumns: session.io.columns })
    await confirm(session, asked, { text, danger })
  }
  const report = await executeEvict(context, plan, { pace: flags.rate ?? 'auto' })
  progress.end()
  session.exit(report.exitCode)
  if (session.format(flags) !== 'table') return session.out.write(`${safeJson(report)}\n`)
  if (!flags.quiet) return session.out.write(renderEvict(report, render, session.argv))
  if (!report.ok) await session.err.write(quietLine('evict', failureOf(report)))
}

function optionsOf(flags: EvictFlags): Omit<EvictOptions, 'targets' | 'tenant'> {
  const { check = false, dryRun = false, policy = null, maxKeys, maxMemory, to = 1 } = flags
  if (check && dryRun) throw new CachectlError('USAGE', '--check and --dry-run exclude each other')
  const limited = maxKeys !== undefined || maxMemory !== undefined
  return {
    foreign: flags.foreign ?? false,
    allTenants: flags.allTenants ?? false,
    policy,
    limits: limited ? { maxKeys: maxKeys ?? null, maxBytes: maxMemory ?? null } : null,
    share: to,
    mode: check ? 'check' : dryRun ? 'compare' : 'evict',
  }
}

function failureOf({ problems, namespaces, doubt, notes }: EvictReport): string {
  const over = namespaces.filter((row) => row.over).map(({ target }) => target)
  const left = over.length === 0 ? notes.at(-1) : `over the limit: ${over.join(', ')}`
  return problems[0]?.message ?? doubt ?? left ?? 'it is not complete'
}
