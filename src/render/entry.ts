// The reports of `get` and `why` for people.
import type { ChalkInstance } from 'chalk'
import { printable, safeJson } from '../core/printable.ts'
import { formatBytes, formatCount, formatDuration, formatPercent } from '../core/units.ts'
import type { AboutEntry, GetReport } from '../ops/get.ts'
import type { WhyReport } from '../ops/why.ts'

/** The value for stdout: JSON, with a line break at its end. Text that is no JSON is a JSON string. */
export function renderValue({ value }: GetReport): string {
  return `${safeJson(value, 2)}\n`
}

/** What is known about it, for stderr. */
export function renderAbout({ key, about }: GetReport, paint: ChalkInstance): string {
  if (about === null) return `${key}: there is no such key\n`
  const { type, format, ttlMs, bytes, entry, notes } = about
  const facts = [
    type === format ? type : `${printable(type)}, ${format}`,
    ttlText(ttlMs),
    ...(bytes === null ? [] : [formatBytes(bytes)]),
  ]
  return `${[`${paint.bold(key)}  ${facts.join(' · ')}`, ...(entry === null ? [] : [envelope(entry)]), ...notes.map((note) => paint.yellow(`note: ${note}`))].join('\n')}\n`
}

export function renderWhy(report: WhyReport, paint: ChalkInstance): string {
  const { key, exists, type, ttlMs, bytes, entry, belongsTo, read, reads } = report
  const lines = [paint.bold(key)]
  if (exists)
    lines.push(
      `in Redis    ${[printable(type ?? ''), ttlText(ttlMs), ...(bytes === null ? [] : [formatBytes(bytes)])].join(' · ')}`,
    )
  else lines.push('in Redis    no')
  if (entry !== null) lines.push(`envelope    ${envelope(entry)}`)
  if (belongsTo !== null) lines.push(`belongs to  ${belongsText(belongsTo)}`)
  if (reads !== null) lines.push(`last hour   ${readsText(reads)}`)
  const mark =
    read.outcome === 'fresh'
      ? paint.green('hit')
      : read.outcome === 'stale'
        ? paint.yellow('stale hit')
        : read.outcome === 'miss'
          ? paint.red('miss')
          : 'not read'
  lines.push(`a read now  ${mark}`, ...read.sentences)
  if (read.next !== null) lines.push(paint.dim(`next: ${read.next}`))
  return `${lines.join('\n')}\n`
}

function belongsText({
  namespace,
  subject,
  model,
  version,
  tenant,
  rest,
}: NonNullable<WhyReport['belongsTo']>): string {
  const parts = [
    `namespace ${namespace}`,
    ...(model === null ? (subject === null ? [] : [`subject ${subject}`]) : [`model ${model}`]),
  ]
  if (version !== null) parts.push(`version v${version}`)
  if (tenant !== null) parts.push(`tenant ${tenant}`)
  if (rest.length > 0) parts.push(rest.join(':'))
  return printable(parts.join(' · '))
}

function readsText({ hits, hitRate, loads, loadMs, misses }: NonNullable<WhyReport['reads']>): string {
  return [
    `${formatCount((hits ?? 0) + (misses ?? 0))} reads of its group`,
    ...(hitRate === null ? [] : [`${formatPercent(hitRate)} hits`]),
    ...(loadMs === null ? [] : [`${formatCount(loads ?? 0)} loads of ${formatDuration(loadMs.mean)}`]),
  ].join(' · ')
}

function ttlText(ttlMs: number | null): string {
  return ttlMs === null ? 'no TTL' : `TTL ${formatDuration(ttlMs)}`
}

function envelope({
  codec,
  ageMs,
  freshForMs,
  graceMs,
  deltaMs,
  sourceVersion,
  tags,
  payloadBytes,
  writer,
}: AboutEntry): string {
  const fresh =
    freshForMs === null
      ? 'never stale'
      : freshForMs > 0
        ? `fresh for ${formatDuration(freshForMs)}`
        : `stale since ${formatDuration(-freshForMs)}`
  const parts = [
    `${codec}, ${formatBytes(payloadBytes)}`,
    `written ${formatDuration(ageMs)} ago by ${writer}`,
    fresh,
    `grace ${formatDuration(graceMs)}`,
  ]
  if (deltaMs > 0) parts.push(`took ${formatDuration(deltaMs)} to load`)
  if (sourceVersion !== null) parts.push(`source version ${sourceVersion}`)
  if (tags.length > 0) parts.push(`tags ${tags.join(', ')}`)
  return printable(parts.join(' · '))
}
