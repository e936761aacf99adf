// The warm report for people, within 80 columns.
import type { ChalkInstance } from 'chalk'
import { printable } from '../core/printable.ts'
import { formatBytes, formatCount, formatDuration } from '../core/units.ts'
import type { WarmCounts, WarmReport } from '../ops/warm-report.ts'
import { type Column, layOut, noRoomFor } from './columns.ts'
import { serverLine } from './server-line.ts'

export interface WarmLook {
  paint: ChalkInstance
  /** of the terminal; null: no terminal, nothing is left out */
  widthColumns: number | null
}

export function renderWarm(report: WarmReport, look: WarmLook): string {
  const { paint } = look
  const { redis } = report
  const lines = [serverLine(redis)]
  if (report.models.length > 0) lines.push(...modelTable(report, look))
  for (const model of report.models) {
    for (const { id, message } of model.errors)
      lines.push(paint.yellow(`  ${model.model} ${printable(id)}: ${printable(message)}`))
    if (model.failed > model.errors.length && model.errors.length > 0) {
      lines.push(
        paint.yellow(`  … and ${formatCount(model.failed - model.errors.length)} more rows of ${model.model} failed`),
      )
    }
  }
  for (const problem of report.problems) {
    lines.push(
      `${paint.red('✗')} ${problem.message.split('\n').map(printable).join('\n  ')}`,
      `  next: ${printable(problem.hint)}`,
    )
  }
  if (report.notWarmed.length > 0) {
    lines.push(`Not warmed: ${report.notWarmed.map(({ model, reason }) => `${model} (${reason})`).join(', ')}`)
  }
  lines.push(verdict(report, paint))
  return `${lines.join('\n')}\n`
}

/** One model in one namespace, or all of them. */
type Row = WarmCounts & Pick<WarmReport['models'][number], 'model' | 'namespace' | 'strategy' | 'tenant'>

const COUNTS: readonly [title: string, count: (row: WarmCounts) => number][] = [
  ['selected', ({ selected }) => selected],
  ['written', ({ written }) => written],
  ['present', ({ skipped }) => skipped.present],
  ['newer', ({ skipped }) => skipped.newer],
  ['invalid.', ({ skipped }) => skipped.invalidated],
  ['failed', ({ failed }) => failed],
]

/** Where there is no room, columns of noughts go first, the last of them before the others, and bytes at the end. */
function modelTable({ models, totals }: WarmReport, { paint, widthColumns }: WarmLook): string[] {
  const total: Row = { ...totals, model: 'total', namespace: '', strategy: '', tenant: null }
  const rows: Row[] = models.length > 1 ? [...models, total] : [...models]
  const columns: Column<Row>[] = [
    { title: 'model', align: 'left', cell: nameOf },
    { title: 'entries', align: 'left', cell: (row) => (row === total ? '' : `${row.namespace}, ${row.strategy}`) },
    ...COUNTS.map(
      ([title, count], index): Column<Row> => ({
        title,
        align: 'right',
        cell: (row) => formatCount(count(row)),
        ...(rows.every((row) => count(row) === 0) ? { droppedAs: index + 1 } : {}),
      }),
    ),
    { title: 'bytes', align: 'right', cell: ({ bytes }) => formatBytes(bytes), droppedAs: 0 },
  ]
  const { lines, dropped } = layOut(rows, columns, widthColumns, (text) => paint.bold(text))
  const shown = rows.includes(total) ? [...lines.slice(0, -1), paint.bold(lines.at(-1) ?? '')] : lines
  return [...shown, ...noRoomFor(dropped).map((line) => paint.dim(line))]
}

function nameOf({ model, tenant }: Row): string {
  return `${model}${tenant === null ? '' : ` of ${printable(tenant)}`}`
}

function verdict({ totals, ok, dryRun, durationMs, models, problems }: WarmReport, paint: ChalkInstance): string {
  const took = formatDuration(durationMs)
  if (dryRun) return `Dry run: ${formatCount(totals.selected)} rows selected in ${took}; nothing was written.`
  if (models.length === 0) return 'Nothing to warm: no model has a warm block. Name one: cachectl warm <model>'
  const absent = totals.skipped.absent > 0 ? ` ${formatCount(totals.skipped.absent)} ids have no row.` : ''
  const done = `${formatCount(totals.written)} of ${formatCount(totals.selected)} entries written in ${took}${restText(totals)}.${absent}`
  if (ok) return `${paint.green('✓')} ${done}`
  const failed = totals.failed > 0 ? ` ${formatCount(totals.failed)} rows failed.` : ''
  return `${paint.yellow('!')} Not complete: ${done}${failed}${problems.length === 0 ? ' See the rows above.' : ''}`
}

/** `; the others were there already`: nothing written is no failure. Empty where some were left out for another reason, which has a column. */
function restText({ selected, written, skipped }: WarmCounts): string {
  const there = skipped.present + skipped.newer
  if (there === 0 || written + there !== selected) return ''
  return written === 0 ? '; all were there already' : '; the others were there already'
}
