// The report of `why` for people.
import type { ChalkInstance } from 'chalk'
import { printable } from '../core/printable.ts'
import { formatBytes, formatCount, formatDuration, formatPercent } from '../core/units.ts'
import type { AboutEntry } from '../ops/get.ts'
import type { WhyReport } from '../ops/why.ts'
import { lifeParts, ttlText } from './entry.ts'
import { runCounts } from './run-counts.ts'
import { wrapped } from './wrapped.ts'

/** `widthColumns` of the terminal; null: no terminal, a line for each thing. */
export function renderWhy(report: WhyReport, paint: ChalkInstance, widthColumns: number | null): string {
  const { key, entry, belongsTo, read, reads, near } = report
  const lines: [title: string, text: string][] = [['in Redis', inRedis(report)]]
  if (entry !== null) lines.push(['written', writtenText(entry)], ['envelope', printable(lifeParts(entry).join(' · '))])
  if (entry !== null && entry.tags.length > 0) lines.push(['tags', printable(entry.tags.join(', '))])
  if (entry !== null && entry.dependsOn.length > 0) lines.push(['shows', printable(entry.dependsOn.join(', '))])
  if (belongsTo !== null) lines.push(['belongs to', belongsText(belongsTo)])
  const life = belongsTo === null ? null : lifeText(belongsTo.life)
  if (life !== null) lines.push(['by config', life])
  for (const ended of report.ended) lines.push(['bumped', endedText(ended)])
  if (report.lease !== null) lines.push(['loading', leaseText(report.lease)])
  if (reads !== null) lines.push(['last hour', readsText(reads)])
  for (const [index, run] of report.journal.entries()) lines.push([index === 0 ? 'journal' : '', journalText(run)])
  for (const [index, { key: other, how, exists }] of near.entries())
    lines.push([index === 0 ? 'see also' : '', `${other} (${how}${exists ? '' : '; not there'})`])
  const marks = {
    fresh: paint.green('hit'),
    stale: paint.yellow('stale hit'),
    miss: paint.red('miss'),
    foreign: 'not read',
  }
  lines.push(['a read now', marks[read.outcome]])
  const folded = (text: string, indent: number) =>
    widthColumns === null ? [text] : wrapped(text, { width: widthColumns, indent })
  const table = lines.flatMap(([title, text]) => folded(`${title.padEnd(10)}  ${text}`, 12))
  const next = read.next === null ? [] : [paint.dim(`next: ${read.next}`)]
  return `${[paint.bold(key), ...table, ...read.sentences.flatMap((text) => folded(text, 2)), ...next].join('\n')}\n`
}

function inRedis({ exists, type, ttlMs, bytes }: WhyReport): string {
  if (!exists) return 'no'
  return [printable(type ?? ''), ttlText(ttlMs), ...(bytes === null ? [] : [formatBytes(bytes)])].join(' · ')
}

function writtenText({ createdAt, ageMs, writer, deltaMs, sourceVersion }: AboutEntry): string {
  const parts = [`${shortTime(createdAt)} (${formatDuration(ageMs)} ago) by ${writer}`]
  if (deltaMs > 0) parts.push(`took ${formatDuration(deltaMs)} to load`)
  if (sourceVersion !== null) parts.push(`source version ${sourceVersion}`)
  return printable(parts.join(' · '))
}

function lifeText(life: NonNullable<WhyReport['belongsTo']>['life']): string | null {
  switch (life.kind) {
    case 'time': {
      const jitter = life.jitter === 0 ? '' : `, up to ${formatPercent(life.jitter)} less at random`
      return `fresh for ${formatDuration(life.ttlMs)}${jitter}${life.graceMs === 0 ? '' : `, grace ${formatDuration(life.graceMs)}`}`
    }
    case 'never':
      return 'never stale, no TTL'
    case 'row':
      return 'its TTL is computed from the row'
    default:
      return null
  }
}

function endedText({ scope, tenant, token, current, endedAt, by }: WhyReport['ended'][number]): string {
  const of = tenant === null || scope === `tenant:${tenant}` ? '' : ` of tenant ${tenant}`
  const when = endedAt === null ? 'when and by whom is not recorded' : `${shortTime(endedAt)} by ${by}`
  return `${scope}${of}: ${when} (${token ?? 'no token'} before, ${current ?? 'no token'} now)`
}

function leaseText({ token, expiresInMs }: NonNullable<WhyReport['lease']>): string {
  return `lease ${token}, ${expiresInMs === null ? 'without end' : `lapses in ${formatDuration(expiresInMs)} unless it is renewed`}`
}

function journalText({ startedAt, verb, what, who, state, counts }: WhyReport['journal'][number]): string {
  return [`${shortTime(startedAt)} ${verb} ${what.join(' ')}`, state, ...runCounts(counts).slice(0, 3), who].join(' · ')
}

function belongsText({
  namespace,
  subject,
  model,
  version,
  tenant,
  rest,
  digest,
}: NonNullable<WhyReport['belongsTo']>): string {
  const parts = [
    `namespace ${namespace}`,
    ...(model === null ? (subject === null ? [] : [`subject ${subject}`]) : [`model ${model}`]),
  ]
  if (version !== null) parts.push(`version v${version}`)
  if (tenant !== null) parts.push(`tenant ${tenant}`)
  if (rest.length > 0) parts.push(rest.join(':'))
  if (digest !== null) parts.push(`a rest of over 200 bytes, of which only a digest stands in the key`)
  return printable(parts.join(' · '))
}

function readsText({ hits, hitRate, loads, loadMs, misses }: NonNullable<WhyReport['reads']>): string {
  return [
    `${counted((hits ?? 0) + (misses ?? 0), 'read')} of its group`,
    ...(hitRate === null ? [] : [`${formatPercent(hitRate)} hits`]),
    ...(loadMs === null ? [] : [`${counted(loads ?? 0, 'load')} of ${formatDuration(loadMs.mean)}`]),
  ].join(' · ')
}

function counted(count: number, what: string): string {
  return `${formatCount(count)} ${what}${count === 1 ? '' : 's'}`
}

function shortTime(iso: string): string {
  return iso.replace(/\.\d+Z$/, 'Z')
}
