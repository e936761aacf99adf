// The plan and the report of `evict` for people.
import type { ChalkInstance } from 'chalk'
import { printable } from '../core/printable.ts'
import { commandLine } from '../core/shell-word.ts'
import { formatBytes, formatCount, formatDuration } from '../core/units.ts'
import type { PolicyPreview } from '../ops/evict-plan.ts'
import type { Limits } from '../ops/evict-quotas.ts'
import type { EvictedQuota, EvictReport } from '../ops/evict-report.ts'
import { type Column, layOut } from './columns.ts'
import { serverLine } from './server-line.ts'

export interface RenderOptions {
  paint: ChalkInstance
  /** of the terminal; null where the output is no terminal: nothing is left out then */
  widthColumns: number | null
}

interface PolicyRow extends PolicyPreview {
  row: EvictedQuota
}

const MOST_SAMPLES = 10
const FEW_SAMPLES = 3

/** What will be done. */
export function renderEvictPlan(plan: EvictReport, options: RenderOptions): string {
  const rows = plan.namespaces.filter(({ planned }) => planned.keys > 0)
  return [
    serverLine(plan.redis),
    ...table(rows, planColumns(), options),
    ...samplesOf(rows, options.paint, rows.length === 1 ? MOST_SAMPLES : FEW_SAMPLES),
    ...plan.notes.map((note) => options.paint.yellow(`! ${note}`)),
    `These ${entries(sumOf(rows, 'planned'))} will be deleted.`,
  ].join('\n')
}

/** What was done, or of a dry run what would be, or of a check what is. `argv`: to go on with. */
export function renderEvict(report: EvictReport, options: RenderOptions, argv: readonly string[]): string {
  const { paint } = options
  const lines = [serverLine(report.redis), ...table(report.namespaces, reportColumns(report), options)]
  if (report.mode === 'compare') lines.push(...comparison(report, options))
  for (const { message, hint } of report.problems.slice(0, 5))
    lines.push(`${paint.red('✗')} ${printable(message)}`, `  next: ${printable(hint)}`)
  lines.push(...report.notes.map((note) => paint.yellow(`! ${note}`)))
  if (report.journal === 'local')
    lines.push(paint.yellow('The journal stands in a local file: Redis could not take it. See `cachectl history`.'))
  lines.push(...verdict(report, paint, argv))
  return `${lines.join('\n')}\n`
}

function table(rows: readonly EvictedQuota[], columns: Column<EvictedQuota>[], options: RenderOptions): string[] {
  return layOut(rows, columns, options.widthColumns, (text) => options.paint.bold(text)).lines
}

const NAMED: Column<EvictedQuota>[] = [
  { title: 'of', align: 'left', cell: nameOf },
  { title: 'policy', align: 'left', cell: ({ policy }) => policy, droppedAs: 2 },
  { title: 'at most', align: 'right', cell: ({ aim }) => limitText(aim) },
]

function planColumns(): Column<EvictedQuota>[] {
  return [
    ...NAMED,
    { title: 'now', align: 'right', cell: ({ before }) => extentText(before) },
    { title: 'goes', align: 'right', cell: ({ planned }) => extentText(planned) },
    { title: 'first', align: 'right', cell: (row) => boundText(ownPolicy(row), 'from'), droppedAs: 4 },
    { title: 'last', align: 'right', cell: (row) => boundText(ownPolicy(row), 'to'), droppedAs: 3 },
  ]
}

function reportColumns({ mode }: EvictReport): Column<EvictedQuota>[] {
  const now: Column<EvictedQuota> = { title: 'now', align: 'right', cell: ({ before }) => extentText(before) }
  if (mode !== 'evict')
    return [...NAMED, now, { title: '', align: 'left', cell: ({ over }) => (over ? 'over' : 'within'), droppedAs: 1 }]
  return [
    ...NAMED,
    { title: 'before', align: 'right', cell: ({ before }) => extentText(before), droppedAs: 3 },
    { title: 'evicted', align: 'right', cell: ({ evicted }) => extentText(evicted) },
    { title: 'after', align: 'right', cell: ({ after }) => extentText(after) },
  ]
}

/** Of what is over: what each policy would let go. */
function comparison(report: EvictReport, options: RenderOptions): string[] {
  const over = report.namespaces.filter(({ planned }) => planned.keys > 0)
  const rows: PolicyRow[] = over.flatMap((row) => row.policies.map((policy) => ({ ...policy, row })))
  if (rows.length === 0) return []
  const columns: Column<PolicyRow>[] = [
    { title: 'would go of', align: 'left', cell: ({ row }) => nameOf(row) },
    { title: 'by', align: 'left', cell: ({ policy, row }) => `${policy}${policy === row.policy ? ' *' : ''}` },
    { title: 'keys', align: 'right', cell: (row) => (row.refused === null ? formatCount(row.keys) : '-') },
    { title: 'memory', align: 'right', cell: (row) => (row.refused === null ? formatBytes(row.bytes) : '-') },
    { title: 'first', align: 'right', cell: (row) => boundText(row, 'from'), droppedAs: 2 },
    { title: 'last', align: 'right', cell: (row) => boundText(row, 'to'), droppedAs: 1 },
  ]
  const { lines } = layOut(rows, columns, options.widthColumns, (text) => options.paint.bold(text))
  const refused = rows.flatMap((row) => (row.refused === null ? [] : [row.refused]))
  return [
    '',
    ...lines,
    options.paint.dim('* the policy of the budget'),
    ...[...new Set(refused)].map((why) => options.paint.yellow(`! ${printable(why)}`)),
    ...samplesOf(over, options.paint, MOST_SAMPLES),
  ]
}

function samplesOf(rows: readonly EvictedQuota[], paint: ChalkInstance, most: number): string[] {
  return rows.flatMap((row) => {
    const samples = (ownPolicy(row)?.samples ?? []).slice(0, most)
    return samples.length === 0
      ? []
      : [paint.dim(`first to go of ${nameOf(row)}:`), ...samples.map((key) => `  ${key}`)]
  })
}

function verdict(report: EvictReport, paint: ChalkInstance, argv: readonly string[]): string[] {
  const { mode, namespaces, ok, durationMs } = report
  const over = namespaces.filter((row) => row.over)
  if (mode !== 'evict' && over.length === 0) return [paint.green('✓ every limit is kept')]
  if (mode === 'check') {
    const look = argv.map((word) => (word === '--check' ? '--dry-run' : word))
    return [`${paint.red('✗')} over the limit: ${namesOf(over)}`, `  next: ${commandLine(look)}`]
  }
  if (mode === 'compare') return [`Dry run: nothing was changed. ${entries(sumOf(namespaces, 'planned'))} would go.`]
  const gone = sumOf(namespaces, 'evicted')
  const done = gone.keys === 0 ? 'nothing was evicted' : `${entries(gone)} evicted in ${formatDuration(durationMs)}`
  if (ok)
    return [paint.green(gone.keys === 0 ? '✓ every limit is kept: nothing to evict' : `✓ ${done}; every limit is kept`)]
  const left = over.length === 0 ? '' : `; still over the limit: ${namesOf(over)}`
  const why = report.doubt === null ? '' : `; ${printable(report.doubt)}`
  const inVain = over.length > 0 && over.every((row) => row.protected > 0)
  const next = inVain ? 'raise the limit, or take keys out of `protect`' : `run it again: ${commandLine(argv)}`
  return [`${paint.red('✗')} ${done}${left}${why}`, ...(report.problems.length === 0 ? [`  next: ${next}`] : [])]
}

function namesOf(rows: readonly EvictedQuota[]): string {
  return rows.map(nameOf).join(', ')
}

/** `order of 7` */
function nameOf({ target, tenant }: EvictedQuota): string {
  return tenant === null ? target : `${target} of ${printable(tenant)}`
}

function ownPolicy(row: EvictedQuota): PolicyPreview | null {
  return row.policies.find(({ policy }) => policy === row.policy) ?? null
}

function sumOf(rows: readonly EvictedQuota[], of: 'planned' | 'evicted'): { keys: number; bytes: number } {
  return {
    keys: rows.reduce((sum, row) => sum + row[of].keys, 0),
    bytes: rows.reduce((sum, row) => sum + row[of].bytes, 0),
  }
}

function entries({ keys, bytes }: { keys: number; bytes: number }): string {
  return `${formatCount(keys)} ${keys === 1 ? 'key' : 'keys'}${bytes > 0 ? ` (${formatBytes(bytes)})` : ''}`
}

function extentText({ keys, bytes }: { keys: number; bytes: number | null }): string {
  return bytes === null ? formatCount(keys) : `${formatCount(keys)}, ${formatBytes(bytes)}`
}

function limitText({ maxKeys, maxBytes }: Limits): string {
  const parts = [
    ...(maxKeys === null ? [] : [formatCount(maxKeys)]),
    ...(maxBytes === null ? [] : [formatBytes(maxBytes)]),
  ]
  return parts.join(', ')
}

/** What the policy goes by, of the first or the last that goes. */
function boundText(preview: PolicyPreview | null, end: 'from' | 'to'): string {
  if (preview === null || preview.refused !== null || preview.keys === 0) return ''
  const value = preview[end]
  switch (preview.policy) {
    case 'lru':
      return value === null ? '' : `idle ${formatDuration(value)}`
    case 'lfu':
      return value === null ? '' : `frequency ${value}`
    case 'ttl':
      return value === null ? 'no TTL' : `${formatDuration(value)} left`
    case 'random':
      return ''
  }
}
