// The warm report for people, within 80 columns.
import type { ChalkInstance } from 'chalk'
import Table from 'cli-table3'
import { printable } from '../core/printable.ts'
import { formatBytes, formatCount, formatDuration } from '../core/units.ts'
import type { WarmCounts, WarmReport } from '../ops/warm-report.ts'
import { serverLine } from './server-line.ts'
import { PLAIN_TABLE } from './table.ts'

export function renderWarm(report: WarmReport, paint: ChalkInstance): string {
  const { redis } = report
  const lines = [serverLine(redis)]
  if (report.models.length > 0) lines.push(modelTable(report, paint))
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

function modelTable(report: WarmReport, paint: ChalkInstance): string {
  const head = ['model', 'entries', 'selected', 'written', 'present', 'newer', 'invalid.', 'failed', 'bytes']
  const table = new Table({
    ...PLAIN_TABLE,
    head: head.map((name) => paint.bold(name)),
    colAligns: ['left', 'left', ...head.slice(2).map(() => 'right' as const)],
  })
  for (const model of report.models) {
    const tenant = model.tenant === null ? '' : ` of ${printable(model.tenant)}`
    table.push([`${model.model}${tenant}`, `${model.namespace}, ${model.strategy}`, ...cells(model)])
  }
  if (report.models.length > 1) table.push(['total', '', ...cells(report.totals)].map((cell) => paint.bold(cell)))
  return table.toString()
}

function cells({ selected, written, skipped, failed, bytes }: WarmCounts): string[] {
  return [selected, written, skipped.present, skipped.newer, skipped.invalidated, failed]
    .map(formatCount)
    .concat(formatBytes(bytes))
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
