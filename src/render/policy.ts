// `policy check` and `policy apply` for people: a table of settings, who else lives there, and what it means for them.
import type { ChalkInstance } from 'chalk'
import { keysText, residentName } from '../core/policy-effects.ts'
import { printable } from '../core/printable.ts'
import { type SettingName, type SettingValue, shownSetting } from '../core/server-policy.ts'
import { formatBytes, formatCount, formatDuration } from '../core/units.ts'
import type { PolicyCheckReport } from '../ops/policy-check.ts'
import type { PolicyPlan } from '../ops/policy-plan.ts'
import type { AppliedSetting, MasterApplied, PolicyApplyReport } from '../ops/policy-report.ts'
import { type Column, layOut } from './columns.ts'
import { serverLine } from './server-line.ts'
import { wrapped } from './wrapped.ts'

export function renderPolicyCheck(report: PolicyCheckReport, paint: ChalkInstance): string {
  const several = report.masters.length > 1
  const rows = report.masters.flatMap(({ master, settings }) => settings.map((one) => ({ master, ...one })))
  const lines = [
    serverLine(report.redis),
    ...layOut(
      rows,
      [
        ...(several
          ? [{ title: 'server', align: 'left', cell: ({ master }) => printable(master) } as Column<Row>]
          : []),
        { title: 'setting', align: 'left', cell: ({ setting }) => setting },
        { title: 'config', align: 'left', cell: ({ setting, wanted }) => wantedText(setting, wanted) },
        { title: 'server has', align: 'left', cell: ({ setting, actual }) => shownSetting(setting, actual) },
        {
          title: '',
          align: 'left',
          cell: ({ state }) => (state === 'same' ? 'ok' : state === 'drift' ? 'differs' : '?'),
        },
      ],
      null,
      paint.bold,
    ).lines.map((line) =>
      line.endsWith('differs') ? paint.red(line) : line.endsWith('?') ? paint.yellow(line) : line,
    ),
  ]
  for (const { master, refusal, source } of report.masters)
    if (source === 'info')
      lines.push(
        ...wrapped(
          `! ${printable(master)} refuses CONFIG GET (${refusal?.message ?? ''}): what INFO does not say is unknown`,
        ).map((line) => paint.yellow(line)),
      )
  return `${[...lines, ...checkVerdict(report, paint)].join('\n')}\n`
}

type Row = PolicyCheckReport['masters'][number]['settings'][number] & { master: string }

function wantedText(setting: SettingName, wanted: SettingValue): string {
  return setting === 'save' && wanted !== '' ? 'snapshots' : shownSetting(setting, wanted)
}

function checkVerdict({ drift, unknown }: PolicyCheckReport, paint: ChalkInstance): string[] {
  if (drift > 0)
    return [
      `${paint.red('✗')} ${settings(drift)} not as the config says${unknown > 0 ? `, ${formatCount(unknown)} unknown` : ''}.`,
      '  next: cachectl policy apply --dry-run',
    ]
  if (unknown > 0) return [`${paint.yellow('!')} What can be seen is as the config says; ${settings(unknown)} unknown.`]
  return [`${paint.green('✓')} The server is set as the config says.`]
}

function settings(n: number): string {
  return n === 1 ? '1 setting is' : `${formatCount(n)} settings are`
}

/** What will be set, who lives there, and what it means. */
export function renderPolicyPlan(plan: PolicyPlan, paint: ChalkInstance): string {
  const lines = [serverLine(plan.redis)]
  const several = plan.masters.length > 1
  for (const { master, changes, same } of plan.masters) {
    if (several) lines.push(paint.bold(printable(master)))
    for (const { setting, actual, wanted } of changes)
      lines.push(`  ${changeText({ setting, from: actual, to: wanted })}`)
    if (same > 0) lines.push(`  ${settings(same)} as the config says already`)
  }
  lines.push(...neighbourLines(plan, paint))
  for (const { severity, text } of plan.effects)
    lines.push(
      ...wrapped(`${severity === 'warning' ? '!' : '-'} ${text}.`).map((line) =>
        severity === 'warning' ? paint.yellow(line) : line,
      ),
    )
  for (const note of plan.notes) lines.push(...wrapped(`! ${printable(note)}.`).map((line) => paint.yellow(line)))
  lines.push(...managedLines(plan))
  if (plan.persist && plan.masters.some(({ configFile }) => configFile !== null))
    lines.push('It is written to the config file of the server as well (CONFIG REWRITE).')
  if (!plan.persist && plan.masters.some(({ changes, refusal }) => changes.length > 0 && refusal === null))
    lines.push('It lasts until the server starts again; --persist writes it to its config file.')
  return lines.join('\n')
}

function changeText({ setting, from, to }: Pick<AppliedSetting, 'setting' | 'from' | 'to'>): string {
  return `${setting.padEnd(24)}  ${shownSetting(setting, from)} -> ${shownSetting(setting, to)}`
}

function neighbourLines({ neighbours }: PolicyPlan, paint: ChalkInstance): string[] {
  const { method, visited, population, residents, otherDatabases } = neighbours
  if (residents.length === 0 && otherDatabases.length === 0) return ['No key is there.']
  const about = method === 'sample' ? 'about ' : ''
  const { lines } = layOut(
    residents,
    [
      { title: 'who lives there', align: 'left', cell: (one) => printable(residentName(one)) },
      { title: 'keys', align: 'right', cell: ({ keys }) => `${about}${formatCount(keys)}` },
      { title: 'without TTL', align: 'right', cell: ({ withoutTtl }) => `${about}${formatCount(withoutTtl)}` },
      { title: 'memory', align: 'right', cell: ({ bytes }) => (bytes === null ? '-' : formatBytes(bytes)) },
    ],
    null,
    paint.bold,
  )
  const sampled =
    method === 'sample'
      ? [
          `Estimated from ${formatCount(visited)} of ${population === null ? 'an unknown number of' : formatCount(population)} keys.`,
        ]
      : []
  const others = otherDatabases.map(
    ({ database, keys, withoutTtl }) =>
      `Database ${database}: ${keysText(keys)}, ${formatCount(withoutTtl)} of them without TTL; whose they are was not looked into.`,
  )
  return ['', ...lines, ...sampled, ...others, '']
}

function managedLines({ masters, managed }: PolicyPlan): string[] {
  const refused = masters.find(({ refusal, changes }) => refusal !== null && changes.length > 0)
  if (!refused && !managed) return []
  if (managed) return [`This is ${managed.name}. There:`, ...managed.instructions.map((line) => `  ${line}`)]
  return wrapped(
    `This server refuses CONFIG (${refused?.refusal?.message ?? ''}). If it is a managed one, set it in the parameter group, the console or the command line of the service; if not, the user lacks the right: +config|get +config|set.`,
  )
}

/** What was done. */
export function renderPolicyApply(report: PolicyApplyReport, paint: ChalkInstance): string {
  const several = report.masters.length > 1
  const lines: string[] = []
  if (!report.dryRun)
    for (const master of report.masters) {
      if (several) lines.push(paint.bold(printable(master.master)))
      lines.push(
        ...master.settings.map((one) => `${mark(one, paint)} ${changeText(one)}`),
        ...persistLine(master, paint),
      )
    }
  for (const { message, hint } of report.problems)
    lines.push(...wrapped(`${paint.red('✗')} ${printable(message)}`), `  next: ${printable(hint)}`)
  if (report.journal === 'local')
    lines.push(paint.yellow('The journal stands in a local file: Redis could not take it. See `cachectl history`.'))
  return `${[...lines, applyVerdict(report, paint)].join('\n')}\n`
}

function mark({ outcome }: AppliedSetting, paint: ChalkInstance): string {
  if (outcome === 'done') return paint.green('✓')
  return outcome === 'failed' ? paint.red('✗') : paint.yellow('?')
}

function persistLine({ persisted }: MasterApplied, paint: ChalkInstance): string[] {
  return persisted?.done ? [`${paint.green('✓')} written to ${printable(persisted.file ?? 'its config file')}`] : []
}

function applyVerdict(report: PolicyApplyReport, paint: ChalkInstance): string {
  const { matched, deleted, alreadyGone, failed, unknown, remaining, dryRun, ok } = report
  if (dryRun)
    return remaining === 0
      ? 'Dry run: nothing is to be set.'
      : `Dry run: ${settings(remaining)} to be set; nothing was changed.`
  if (matched === alreadyGone && ok)
    return `${paint.green('✓')} ${report.persist ? 'Nothing was to be set' : 'Nothing to do'}: the server is set as the config says.`
  const asked = matched - alreadyGone
  const done =
    asked === 0
      ? 'the server is set as the config says'
      : `${formatCount(deleted)} of ${formatCount(asked)} settings changed in ${formatDuration(report.durationMs)}, and read back`
  if (ok) return `${paint.green('✓')} ${done}.`
  const rest = Object.entries({ failed, unknown, 'not reached': remaining }).filter(([, count]) => count > 0)
  return `${paint.yellow('!')} Not complete: ${done}${rest.map(([name, count]) => `, ${count} ${name}`).join('')}.`
}
