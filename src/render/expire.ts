// The plan and the report of `expire` for people, within 80 columns.
import type { ChalkInstance } from 'chalk'
import { printable } from '../core/printable.ts'
import { commandLine } from '../core/shell-word.ts'
import { formatCount, formatDuration } from '../core/units.ts'
import type { ExpireReport } from '../ops/expire.ts'
import { type ExpirePlan, rangeText } from '../ops/expire-plan.ts'
import type { RedisIdentity } from '../ports.ts'
import { previewLines } from './preview.ts'
import { serverLine } from './server-line.ts'

export function renderExpirePlan(plan: ExpirePlan, redis: RedisIdentity, paint: ChalkInstance): string {
  const { preview, targets, asTheyAre, nearest, notes } = plan
  const lines = [serverLine(redis)]
  const names = targets.join(' ')
  if (preview.keys > 0 || preview.protected > 0) lines.push(...previewLines(preview, paint), ...willBe(plan))
  else if (asTheyAre > 0) lines.push(paint.green(nothingToDo(plan, names)))
  else {
    lines.push(paint.yellow(`Nothing matches ${names}.`))
    if (nearest.length > 0)
      lines.push(
        `  here are: ${nearest.map(({ group, keys }) => `${printable(group)} (${formatCount(keys)})`).join(', ')}`,
      )
  }
  lines.push(...notes.map((note) => paint.yellow(`! ${note}`)))
  return lines.join('\n')
}

function nothingToDo({ mode, ttl, asTheyAre }: ExpirePlan, names: string): string {
  const all = `${names}: all of about ${formatCount(asTheyAre)} keys`
  if (mode === 'missing') return `${all} have a TTL already.`
  return ttl === null ? `${all} end no later than the config says.` : `${all} end sooner already.`
}

function willBe({ mode, ttl, byConfig }: ExpirePlan): string[] {
  if (ttl === null) {
    const { gets, keeps } = byConfig ?? { gets: [], keeps: [] }
    const which = mode === 'missing' ? 'They have no TTL' : 'They have no TTL, or a longer one'
    return [
      `${which}, and get what the config says:`,
      ...gets.map((line) => `  ${line}`),
      ...(keeps.length === 0 ? [] : [`As they are: ${keeps.join(', ')}, and what the config does not have.`]),
    ]
  }
  const range = rangeText(ttl)
  const given = ttl.fromMs === ttl.toMs ? `end in ${range}` : `end at random ${ttl.fromMs <= 1 ? '' : 'in '}${range}`
  if (mode === 'missing') return [`They have no TTL, and will ${given}.`]
  if (mode === 'shorten') return [`They will ${given}; none lives longer than it would.`]
  return [
    `They will ${given}, whatever TTL they have.`,
    'Entries that would be over before are good until then: fresh ones stay fresh, stale ones stale.',
  ]
}

/** What was done. `argv`: to go on with. */
export function renderExpire(report: ExpireReport, paint: ChalkInstance, argv: readonly string[]): string {
  const counts: [string, number][] = [
    ['changed', report.changed],
    ['gone, or as they were to be', report.alreadyGone],
    ['protected', report.protected],
    ['refused by the server', report.failed],
    ['unknown: sent, and not answered', report.unknown],
    ['left', report.remaining],
  ]
  const told = counts
    .filter(([, count], index) => count > 0 || index === 0)
    .map(([what, count]) => `${formatCount(count)} ${what}`)
  const lines = [`${formatCount(report.matched)} keys matched: ${told.join(', ')}`]
  const { fresh, stale } = report.lengthened
  if (fresh + stale > 0)
    lines.push(
      `Of these, ${formatCount(fresh)} entries are fresh for longer, and ${formatCount(stale)} stale for longer.`,
    )
  for (const { message, keys } of report.problems.slice(0, 5))
    lines.push(paint.red(`✗ ${formatCount(keys)} keys: ${printable(message)}`))
  if (report.journal === 'local')
    lines.push(paint.yellow('The journal stands in a local file: Redis could not take it. See `cachectl history`.'))
  const took = formatDuration(report.durationMs)
  if (report.ok) lines.push(paint.green(`✓ ${endText(report)} (took ${took})`))
  else {
    const why = report.stopped?.message ?? report.doubt ?? 'some keys are left'
    const resume = report.stopped === null || report.stopped.code === 'INTERRUPTED'
    lines.push(
      `${paint.red('✗')} stopped after ${took}: ${printable(why).replace(/\.$/, '')}. What was changed stays changed.`,
      `  next: ${resume ? `run it again: ${commandLine(argv)}` : printable(report.stopped?.hint ?? '')}`,
    )
  }
  return `${lines.join('\n')}\n`
}

function endText({ targets, ttl, changed }: ExpireReport): string {
  const names = targets.join(' ')
  if (changed === 0) return `${names}: nothing had to be changed`
  return ttl === null
    ? `${names}: TTLs are as the config says`
    : `${names}: they end ${ttl.fromMs <= 1 ? '' : 'in '}${rangeText(ttl)}`
}
