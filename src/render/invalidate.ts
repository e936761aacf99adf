// The plan and the report of `invalidate` for people, within 80 columns.
import type { ChalkInstance } from 'chalk'
import { printable } from '../core/printable.ts'
import { commandLine } from '../core/shell-word.ts'
import { formatCount, formatDuration } from '../core/units.ts'
import type { InvalidatePlan } from '../ops/invalidate-plan.ts'
import type { InvalidateReport } from '../ops/invalidate-report.ts'
import type { RedisIdentity } from '../ports.ts'
import { acknowledgedLine, previewLines } from './preview.ts'
import { serverLine } from './server-line.ts'

/** What will be done; nothing where it acts at once, without a look. */
export function renderInvalidatePlan(plan: InvalidatePlan, redis: RedisIdentity, paint: ChalkInstance): string {
  const { preview, course, nearest } = plan
  const lines = [serverLine(redis)]
  if (preview !== null) lines.push(...previewLines(preview, paint))
  // Of some keys nobody can say that nothing matches.
  if (preview?.keys === 0 && preview.protected === 0 && preview.method === 'full') {
    lines.push(paint.yellow(`Nothing matches ${plan.targets.join(' ')}.`))
    if (nearest.length > 0)
      lines.push(
        `  here are: ${nearest.map(({ group, keys }) => `${printable(group)} (${formatCount(keys)})`).join(', ')}`,
      )
  }
  lines.push(...course.notes.map((note) => paint.yellow(`! ${note}`)))
  lines.push(methodLine(plan))
  return lines.join('\n')
}

function methodLine({ course, options }: InvalidatePlan): string {
  const { how } = options
  if (how.kind === 'stale') return 'They become stale: within their grace they are given while they are made anew.'
  if (how.kind === 'spread')
    return `They end at random within ${formatDuration(how.overMs)}; until then old values are given.`
  const names = (targets: readonly { text: string }[]): string => targets.map(({ text }) => printable(text)).join(' ')
  const parts: string[] = []
  const whose = options.tenant === null ? '' : ` of ${printable(options.tenant)}`
  if (course.swept.length > 0) parts.push(`${names(course.swept)}${whose}: out of reach at once, then deleted.`)
  if ((course.change?.stamps?.length ?? 0) > 0)
    parts.push(
      'What depends on it stands in the entries, not in their names: to delete',
      'them, each one under the prefix is looked into.',
    )
  if (course.walked.length > 0) parts.push(`${names(course.walked)}${whose}: deleted key by key.`)
  return parts.join('\n')
}

/** What was done. `argv`: to resume with. */
export function renderInvalidate(report: InvalidateReport, paint: ChalkInstance, argv: readonly string[]): string {
  const lines: string[] = []
  const took = formatDuration(report.durationMs)
  const done = report.how === 'delete' ? 'deleted' : report.how === 'stale' ? 'made stale' : 'given an end'
  const counts: [string, number][] = [
    [done, report.deleted],
    ['out of reach, not deleted yet', report.outdated],
    ['gone already', report.alreadyGone],
    ['protected', report.protected],
    ['refused by the server', report.failed],
    ['unknown: sent, and not answered', report.unknown],
    ['left', report.remaining],
  ]
  const told = counts
    .filter(([, count], index) => count > 0 || index === 0)
    .map(([what, count]) => `${formatCount(count)} ${what}`)
  const cut = report.stopped !== null && !report.complete ? ' so far' : ''
  lines.push(
    `${formatCount(report.matched)} ${report.matched === 1 ? 'key' : 'keys'} matched${cut}: ${told.join(', ')}`,
  )
  if (report.acknowledged !== null) lines.push(acknowledgedLine(report.acknowledged))
  if (report.staleUntil !== null) lines.push(`Old values may be given until ${report.staleUntil}.`)
  for (const { message, keys } of report.problems.slice(0, 5))
    lines.push(paint.red(`✗ ${formatCount(keys)} keys: ${printable(message)}`))
  if (report.journal === 'local')
    lines.push(paint.yellow('The journal stands in a local file: Redis could not take it. See `cachectl history`.'))
  const spared = report.deleted === 0 && report.protected > 0 && report.protected === report.matched
  if (report.ok && spared) lines.push(paint.yellow('! nothing was deleted: all that matches is protected'))
  else if (report.ok && report.matched === 0 && report.preview?.keys === 0)
    lines.push(paint.green(`✓ ${report.targets.join(' ')}: there was nothing to delete (${took})`))
  else if (report.ok) lines.push(paint.green(`✓ ${report.targets.join(' ')} invalidated in ${took}`))
  else {
    const why = report.stopped?.message ?? report.doubt ?? 'some keys are left'
    const reach = report.applied ? ' Nothing old is given any more.' : ''
    lines.push(`${paint.red('✗')} stopped after ${took}: ${printable(why).replace(/\.$/, '')}.${reach}`)
    lines.push(
      `  next: ${report.stopped && report.stopped.code !== 'INTERRUPTED' ? printable(report.stopped.hint) : `run it again: ${commandLine(argv)}`}`,
    )
  }
  return `${lines.join('\n')}\n`
}
