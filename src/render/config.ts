// `config show` and `config check` for people.
import type { ChalkInstance } from 'chalk'
import { printable } from '../core/printable.ts'
import { formatBytes, formatDuration } from '../core/units.ts'
import { type ConfigCheckReport, describeProblem } from '../ops/config-check.ts'
import type { ConfigShowReport, Shown } from '../ops/config-show.ts'

/** One line a setting, indented by what it belongs to. */
export function renderConfig({ config }: ConfigShowReport, paint: ChalkInstance): string {
  return `${lines(config, '', paint).join('\n')}\n`
}

function lines(settings: { readonly [key: string]: Shown }, indent: string, paint: ChalkInstance): string[] {
  return Object.entries(settings).flatMap(([key, value]) => {
    const label = `${indent}${paint.bold(printable(labelOf(key)))}:`
    if (isNested(value)) return [label, ...lines(value, `${indent}  `, paint)]
    if (Array.isArray(value) && value.some(isNested))
      return [label, ...value.flatMap((item) => listItem(item, indent, paint))]
    return [`${label} ${shownValue(key, value)}`]
  })
}

/** The name that the option has in the file. */
function labelOf(key: string): string {
  if (key === 'maxBytes') return 'maxMemory'
  return key === 'maxMemoryBytes' ? 'maxmemory' : key.replace(/(?:Ms|Bytes)$/, '')
}

function listItem(item: Shown, indent: string, paint: ChalkInstance): string[] {
  if (!isNested(item)) return [`${indent}  - ${shownValue('', item)}`]
  const [first = '', ...rest] = lines(item, `${indent}    `, paint)
  return [`${indent}  - ${first.trimStart()}`, ...rest]
}

function isNested(value: Shown): value is { readonly [key: string]: Shown } {
  return typeof value === 'object' && value !== null && !Array.isArray(value) && Object.keys(value).length > 0
}

function shownValue(key: string, value: Shown): string {
  if (value === null) return key === 'ttlMs' ? 'never' : key === 'redis' ? '(not set)' : '-'
  if (typeof value === 'number' && key.endsWith('Ms')) return formatDuration(value)
  if (typeof value === 'number' && key.endsWith('Bytes')) return formatBytes(value)
  if (typeof value === 'object')
    return Array.isArray(value) ? value.map((item) => shownValue('', item)).join(', ') || '-' : '-'
  return printable(String(value))
}

export function renderConfigCheck(report: ConfigCheckReport, paint: ChalkInstance): string {
  const { file, problems, notes, models, namespaces, notWarmed } = report
  const out = [
    ...problems.map((problem) => `${paint.red('✗')} ${printable(describeProblem(problem))}`),
    ...notes.map((note) => `${paint.yellow('!')} ${printable(describeProblem(note))}`),
  ]
  if (notWarmed.length > 0)
    out.push(
      `Not warmed by \`warm\`: ${notWarmed.map(({ model, reason }) => `${printable(model)} (${printable(reason)})`).join(', ')}`,
    )
  const verdict = report.ok
    ? `${paint.green('✓')} ${printable(file)}: ${count(models, 'model')}, ${count(namespaces, 'namespace')}`
    : `${printable(file)}: ${count(problems.length, 'problem')}`
  return `${[...out, verdict].join('\n')}\n`
}

function count(n: number, what: string): string {
  return `${n} ${what}${n === 1 ? '' : 's'}`
}
