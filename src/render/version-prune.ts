// The plan and the report of `version prune` for people, within 80 columns.
import type { ChalkInstance } from 'chalk'
import { printable } from '../core/printable.ts'
import { formatBytes, formatCount, formatDuration } from '../core/units.ts'
import type { OldVersion } from '../ops/version-leaving.ts'
import type { VersionPrunePlan, VersionPruneReport } from '../ops/version-prune.ts'
import type { RedisIdentity } from '../ports.ts'
import { previewLines } from './preview.ts'
import { serverLine } from './server-line.ts'

/** What will be done. */
export function renderVersionPrunePlan(plan: VersionPrunePlan, redis: RedisIdentity, paint: ChalkInstance): string {
  const lines = [serverLine(redis), ...previewLines(plan.preview, paint)]
  const asked = namesOf(plan.old, 'registered')
  if (plan.preview.keys === 0) lines.push('Nothing is left of former generations and versions.')
  else if (asked === '') lines.push('Nobody can read these keys any more; they are deleted one by one.')
  else
    lines.push(
      `Nobody can read these keys any more, but perhaps those of ${asked}: before they are touched, its processes are asked for,`,
      'and where one of them reads anything meanwhile they stay. The others are deleted one by one.',
    )
  const live = namesOf(plan.old, 'live')
  if (live !== '') lines.push(`${live} stays: a process of it lives.`)
  return lines.join('\n')
}

/** What was done. */
export function renderVersionPrune(report: VersionPruneReport, paint: ChalkInstance): string {
  const counts: [string, number][] = [
    ['deleted', report.deleted],
    ['gone already', report.alreadyGone],
    ['protected', report.protected],
    ['refused by the server', report.failed],
    ['unknown: sent, and not answered', report.unknown],
    ['left', report.remaining],
  ]
  const told = counts.filter(([, count], index) => count > 0 || index === 0)
  const freed = report.bytes === null || report.deleted === 0 ? '' : `, about ${formatBytes(report.bytes)}`
  const lines = [
    `${formatCount(report.matched)} dead keys: ${told.map(([what, count]) => `${formatCount(count)} ${what}`).join(', ')}${freed}`,
    ...versionLines(report.versions),
    ...report.notes.map((note) => paint.yellow(`! ${note}`)),
    ...report.problems
      .slice(0, 5)
      .map(({ message, keys }) => paint.red(`✗ ${formatCount(keys)} keys: ${printable(message)}`)),
  ]
  if (report.journal === 'local')
    lines.push(paint.yellow('The journal stands in a local file: Redis could not take it. See `cachectl history`.'))
  const took = formatDuration(report.durationMs)
  if (report.ok) lines.push(paint.green(`✓ pruned in ${took}`))
  else {
    const why = report.stopped?.message ?? report.doubt ?? 'some keys are left'
    lines.push(`${paint.red('✗')} stopped after ${took}: ${printable(why)}`)
    lines.push(`  next: ${printable(report.stopped?.hint ?? 'run the same command again; what is done is kept')}`)
  }
  return `${lines.join('\n')}\n`
}

const OUTCOMES: Readonly<Record<OldVersion['state'], string>> = {
  live: 'stays: a process of it lives',
  registered: 'stays: its processes were not asked',
  answered: 'stays: a process of it has answered',
  silent: 'no process of it has answered; a later run takes it off the list of versions',
  forgotten: 'no process of it is left, nor any key: it is off the list of versions',
}

function versionLines(versions: readonly OldVersion[]): string[] {
  return versions.map((one) => `${nameOf(one)}: ${OUTCOMES[one.state]}`)
}

function namesOf(versions: readonly OldVersion[], state: OldVersion['state']): string {
  return versions
    .filter((one) => one.state === state)
    .map(nameOf)
    .join(', ')
}

function nameOf({ version, subject }: OldVersion): string {
  return subject === null ? `v${printable(version)}` : `v${printable(version)} of ${printable(subject)}`
}
