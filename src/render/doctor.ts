// The report of `doctor` for people: the troubles that they come with, then all that was found, then what was not looked at.
import type { ChalkInstance } from 'chalk'
import type { Finding } from '../core/diagnose.ts'
import { CHECKS } from '../core/findings/checks.ts'
import { printable } from '../core/printable.ts'
import { formatCount, formatDuration } from '../core/units.ts'
import type { DoctorReport, TroubleReport } from '../ops/doctor.ts'
import { findingLines } from './finding.ts'
import { serverLine } from './server-line.ts'
import { wrapped } from './wrapped.ts'

/** The whole report as text, with a line break at its end. */
export function renderDoctor(report: DoctorReport, paint: ChalkInstance): string {
  return `${[
    ...heading(report, paint),
    '',
    ...report.troubles.flatMap((trouble) => troubleLines(trouble, report, paint)),
    '',
    ...allFindings(report, paint),
    ...notLookedAt(report, paint),
    ...rights(report, paint),
    ...cost(report, paint),
    verdict(report, paint),
  ].join('\n')}\n`
}

function heading({ redis, prefix, startedAt, complete }: DoctorReport, paint: ChalkInstance): string[] {
  const facts = [
    ...(prefix === null ? [] : [`prefix ${printable(prefix)}`]),
    ...(complete ? [] : ['stopped early']),
    startedAt.replace(/\.\d+Z$/, 'Z'),
  ]
  return [`${paint.bold('=== Redis Cache Doctor ===')}   ${facts.join(' · ')}`, serverLine(redis)]
}

function troubleLines(
  { question, findings, lookedAt, notLookedAt }: TroubleReport,
  report: DoctorReport,
  paint: ChalkInstance,
): string[] {
  const found = report.findings.filter(({ id }) => findings.includes(id))
  const bad = found.filter(({ severity }) => severity !== 'info')
  const remarks = found.filter(({ severity }) => severity === 'info').map(({ id }) => id)
  const saw = lookedAt.map((id) => CHECKS[id]).join(', ')
  if (bad.length === 0) {
    const looked = lookedAt.length === 0 ? 'nothing could be looked at' : `nothing found, looked at: ${saw}`
    const mark = lookedAt.length === 0 ? paint.yellow('?') : paint.green('✓')
    const more = [
      ...(remarks.length === 0 ? [] : [`remarks: ${remarks.join(', ')}`]),
      ...(notLookedAt.length === 0 ? [] : [`${notLookedAt.length} not checked`]),
    ]
    const text = more.length === 0 ? looked : `${looked} (${more.join('; ')})`
    return [`${mark} ${paint.bold(question)}`, ...indented(text).map((line) => paint.dim(line))]
  }
  const worst = bad.some(({ severity }) => severity === 'critical') ? paint.red('✗') : paint.yellow('!')
  return [`${worst} ${paint.bold(question)}`, ...indented(`see ${[...bad.map(({ id }) => id), ...remarks].join(', ')}`)]
}

function allFindings({ findings }: DoctorReport, paint: ChalkInstance): string[] {
  if (findings.length === 0) return []
  return [paint.bold('Findings'), ...findings.flatMap((finding) => findingLines(finding, paint)), '']
}

function indented(text: string, by = '  '): string[] {
  return wrapped(`${by}${text}`, { indent: by.length })
}

function notLookedAt({ checks }: DoctorReport, paint: ChalkInstance): string[] {
  const reasons = new Map<string, string[]>()
  const skipped = checks.filter(({ made }) => !made)
  if (skipped.length === checks.length - 1) return [`Nothing else was checked: ${skipped[0]?.saw ?? ''}`, '']
  for (const { made, saw, what } of checks) if (!made) reasons.set(saw, [...(reasons.get(saw) ?? []), what])
  if (reasons.size === 0) return []
  return [
    paint.bold('Not checked'),
    ...[...reasons].flatMap(([why, whats]) => indented(`${whats.join(', ')}: ${why}`)),
    '',
  ]
}

/** The lines are long, and not broken either. */
function rights({ acl }: DoctorReport, paint: ChalkInstance): string[] {
  if (acl === null || acl.verbs.every(({ missing }) => missing.length === 0)) return []
  return [paint.bold('Rights'), ...acl.lines.flatMap(({ what, line }) => [`  ${what}:`, `    ${line}`]), '']
}

function cost({ scan, durationMs }: DoctorReport, paint: ChalkInstance): string[] {
  if (scan === null) return []
  const { method, visited, population, headersRead, hitsAdded, missesAdded } = scan
  const of = method === 'full' || population === null ? '' : ` of ${formatCount(population)}`
  const headers = headersRead === 0 ? '' : `, ${formatCount(headersRead)} headers`
  const lookups = `adds ${formatCount(hitsAdded)} hits and ${formatCount(missesAdded)} misses to INFO`
  return [
    paint.dim(`looked at ${formatCount(visited)}${of} keys${headers} in ${formatDuration(durationMs)} (${lookups})`),
    ...(method === 'full' ? [] : [paint.dim('counts are estimates from these keys; --full looks at all')]),
  ]
}

function verdict({ findings, health, checks, complete }: DoctorReport, paint: ChalkInstance): string {
  const made = checks.filter((check) => check.made).length
  const count = (severity: Finding['severity'], word: string) => {
    const found = findings.filter((finding) => finding.severity === severity).length
    return found === 0 ? [] : [`${found} ${word}`]
  }
  const counts = [...count('critical', 'critical'), ...count('warning', 'to look at'), ...count('info', 'to know')]
  const words = {
    healthy: paint.green('✓ Healthy'),
    warning: paint.yellow('! Needs attention'),
    critical: paint.red('✗ In trouble'),
  }
  const word = complete ? words[health.status] : paint.yellow('? Stopped before the end')
  return `${word}: ${[`${made} of ${checks.length} checks made`, ...counts].join(', ')}`
}
