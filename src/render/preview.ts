// What a verb will meet, and whom it has reached, for people.
import type { ChalkInstance } from 'chalk'
import Table from 'cli-table3'
import { printable } from '../core/printable.ts'
import { formatBytes, formatCount, formatDuration, formatPercent } from '../core/units.ts'
import type { InvalidateReport } from '../ops/invalidate-report.ts'
import type { Preview } from '../ops/preview.ts'
import { PLAIN_TABLE } from './table.ts'

const MOST_GROUPS = 10

/** Keys by group, size, cost, examples. */
export function previewLines(preview: Preview, paint: ChalkInstance): string[] {
  const { keys, error, bytes, share, method, visited, population, groups, samples, rebuild } = preview
  const about = method === 'sample' ? 'about ' : ''
  const lines: string[] = []
  const weight = bytes === null ? '' : `, ${about}${formatBytes(bytes)}`
  const part = share === null || keys === 0 ? '' : `, ${formatPercent(share)} of the database`
  const spread = error === null || error === 0 ? '' : ` (± ${formatCount(error)})`
  lines.push(paint.bold(`${about}${formatCount(keys)} ${keys === 1 ? 'key' : 'keys'}${spread}${weight}${part}`))
  if (method === 'sample') {
    const whole = population === null ? 'all' : formatCount(population)
    const unknown = error === null ? ', slot by slot: how far off that is, is unknown' : ''
    lines.push(`  estimated from ${formatCount(visited)} of ${whole} keys${unknown}; --exact counts`)
  }
  if (groups.length > 0) lines.push(groupTable(preview))
  if (rebuild !== null && rebuild.totalMs > 0)
    lines.push(`To make them again takes about ${formatDuration(rebuild.totalMs)} of loading, one after the other.`)
  if (preview.protected > 0)
    lines.push(paint.yellow(`${about}${formatCount(preview.protected)} more match and are protected: they stay`))
  if (samples.length > 0) lines.push(`For example:\n${samples.map((key) => `  ${key}`).join('\n')}`)
  return lines
}

function groupTable({ groups, rebuild }: Preview): string {
  const table = new Table({
    ...PLAIN_TABLE,
    head: ['group', 'keys', 'bytes', 'to load again'],
    colAligns: ['left', 'right', 'right', 'right'],
  })
  const costs = new Map((rebuild?.groups ?? []).map(({ group, ms }) => [group, ms]))
  for (const { group, keys, bytes } of groups.slice(0, MOST_GROUPS)) {
    const cost = costs.get(group)
    table.push([
      printable(group),
      formatCount(keys),
      bytes === null ? '-' : formatBytes(bytes),
      cost === undefined ? '-' : formatDuration(cost),
    ])
  }
  const more = groups.length - MOST_GROUPS
  return more > 0 ? `${table.toString()}\n  … and ${formatCount(more)} more groups` : table.toString()
}

/** Whose memory was reached. */
export function acknowledgedLine({
  processes,
  of,
  lapsed,
  durationMs,
}: NonNullable<InvalidateReport['acknowledged']>): string {
  const took = formatDuration(durationMs)
  if (of === 0)
    return lapsed
      ? `No process holds copies in its memory; those that may have are past their time (${took}).`
      : 'No process holds copies in its memory.'
  const confirmed = `Confirmed by ${processes} of ${of} processes in ${took}`
  return processes < of ? `${confirmed}; what the others hold in memory is past its time.` : `${confirmed}.`
}
