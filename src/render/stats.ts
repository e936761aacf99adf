// The report of `stats` for people.
import type { ChalkInstance } from 'chalk'
import { TTL_CLASSES_MS } from '../core/histogram.ts'
import { printable } from '../core/printable.ts'
import type { StatsGroup } from '../core/stats.ts'
import { formatBytes, formatCount, formatDuration, formatPercent } from '../core/units.ts'
import type { StatsReport } from '../ops/stats.ts'
import { type Column, layOut, noRoomFor } from './columns.ts'
import { findingLines } from './finding.ts'
import { readFromText } from './read-from.ts'
import { serverLine } from './server-line.ts'
import { wrapped } from './wrapped.ts'

export interface RenderOptions {
  /** a chalk instance; level 0 paints nothing */
  paint: ChalkInstance
  /** of the terminal; null where the output is no terminal: nothing is left out then */
  widthColumns: number | null
}

const UNKNOWN = '…'

/** The whole report as text, with a line break at its end. */
export function renderStats(report: StatsReport, { paint, widthColumns }: RenderOptions): string {
  const { lines, dropped } = layOut(report.groups, columnsOf(report), widthColumns, (text) => paint.bold(text))
  return `${[
    heading(report, paint),
    serverLine(report.redis),
    ...(report.readFrom ?? []).map(readFromText),
    figures(report, paint),
    ...rateNow(report),
    '',
    ...(report.groups.length === 0 ? ['no keys'] : lines),
    ...noRoomFor(dropped).map((line) => paint.dim(line)),
    ...(report.control.keys === 0
      ? []
      : [
          paint.dim(
            `${formatCount(report.control.keys)} more keys are cachectl's own control data (${size(report.control.bytes)})`,
          ),
        ]),
    ...ttlLine(report),
    ...readsLine(report),
    ...largestLines(report),
    ...cost(report, paint),
    ...report.notes.flatMap((note) => wrapped(`note: ${note}`)).map((line) => paint.yellow(line)),
    '',
    ...health(report, paint),
  ].join('\n')}\n`
}

function heading(report: StatsReport, paint: ChalkInstance): string {
  const method =
    report.method === 'full'
      ? 'exact'
      : `sample of ${formatCount(report.scan.visited)} of ${formatCount(report.scan.population ?? 0)} keys`
  const parts = [
    ...(report.prefix === null ? [] : [`prefix ${printable(report.prefix)}`]),
    ...report.targets.map(printable),
    report.complete ? method : `stopped early: ${method}`,
    report.startedAt.replace(/\.\d+Z$/, 'Z'),
  ]
  return `${paint.bold('=== Redis Cache Statistics ===')}   ${parts.join(' · ')}`
}

function figures({ server, total, method }: StatsReport, paint: ChalkInstance): string {
  const { usedMemoryBytes: used, maxMemoryBytes: max, policy, hitRate, uptimeMs } = server
  const limit = max === null ? '' : max === 0 ? ', no limit' : ` of ${formatBytes(max)}`
  const memory = used === null ? UNKNOWN : `${formatBytes(used)}${limit} (${printable(policy ?? 'policy unknown')})`
  const over = uptimeMs === null ? '' : ` over ${formatDuration(uptimeMs)}`
  const rate = hitRate === null ? 'none asked' : `${formatPercent(hitRate)}${over}`
  const keys = `${method === 'sample' ? '~' : ''}${formatCount(total.keys)}`
  return [
    `${paint.bold('Memory')}  ${memory}`,
    `${paint.bold('Hit rate')} ${rate}`,
    `${paint.bold('Keys')} ${keys}`,
  ].join('  ')
}

function rateNow({ server }: StatsReport): string[] {
  const { hitRateNow, intervalMs, evictedKeys, expiredKeys, fragmentationRatio, connectedClients } = server
  const now =
    intervalMs === null
      ? []
      : [
          `hit rate of the last ${formatDuration(intervalMs)}: ${hitRateNow === null ? 'no lookups' : formatPercent(hitRateNow)}`,
        ]
  const parts = [
    ...now,
    ...(evictedKeys === null ? [] : [`${formatCount(evictedKeys)} evicted`]),
    ...(expiredKeys === null ? [] : [`${formatCount(expiredKeys)} expired`]),
    ...(fragmentationRatio === null ? [] : [`fragmentation ${fragmentationRatio.toFixed(2)}`]),
    ...(connectedClients === null
      ? []
      : [`${formatCount(connectedClients)} ${connectedClients === 1 ? 'client' : 'clients'}`]),
  ]
  return parts.length === 0 ? [] : [parts.join(' · ')]
}

/** The order in which columns go: age, TTL p95, load, hit rate, TTL p50, no TTL, share. */
function columnsOf(report: StatsReport): Column<StatsGroup>[] {
  const sampled = report.method === 'sample'
  const aged = report.groups.some((group) => group.age !== null)
  const loaded = report.groups.some((group) => group.loadMs !== null)
  return [
    { title: 'group', align: 'left', cell: (row) => row.group },
    { title: 'keys', align: 'right', cell: (row) => formatCount(row.keys) },
    ...(sampled
      ? [
          {
            title: '±',
            align: 'right',
            cell: (row) => (row.error === null ? '?' : formatCount(row.error.keys)),
            droppedAs: 4,
          } satisfies Column<StatsGroup>,
        ]
      : []),
    { title: 'share', align: 'right', cell: (row) => wholePercent(row.share), droppedAs: 1 },
    { title: 'memory', align: 'right', cell: (row) => size(row.bytes) },
    ...(sampled
      ? [
          {
            title: '± memory',
            align: 'right',
            cell: (row) => size(row.error?.bytes ?? null),
            droppedAs: 8,
          } satisfies Column<StatsGroup>,
        ]
      : []),
    { title: 'no TTL', align: 'right', cell: (row) => formatCount(row.noTtlKeys), droppedAs: 2 },
    { title: 'TTL p50', align: 'right', cell: (row) => time(row.ttl.p50Ms), droppedAs: 3 },
    { title: 'TTL p95', align: 'right', cell: (row) => time(row.ttl.p95Ms), droppedAs: 7 },
    ...(aged
      ? [
          {
            title: 'age p50',
            align: 'right',
            cell: (row) => time(row.age?.p50Ms ?? null),
            droppedAs: 9,
          } satisfies Column<StatsGroup>,
        ]
      : []),
    {
      title: 'hit rate',
      align: 'right',
      cell: (row) => (row.hitRate === null ? UNKNOWN : formatPercent(row.hitRate)),
      droppedAs: 5,
    },
    ...(loaded
      ? [
          {
            title: 'load',
            align: 'right',
            cell: (row) => loadTime(row),
            droppedAs: 6,
          } satisfies Column<StatsGroup>,
        ]
      : []),
  ]
}

function wholePercent(share: number): string {
  return share > 0 && share < 0.005 ? '<1 %' : `${Math.round(share * 100)} %`
}

function size(bytes: number | null): string {
  return bytes === null ? UNKNOWN : formatBytes(bytes)
}

function time(ms: number | null): string {
  return ms === null ? UNKNOWN : formatDuration(ms)
}

/** The mean; `formatDuration` would make most loads `0 ms`. */
function loadTime({ loadMs }: StatsGroup): string {
  if (loadMs === null) return UNKNOWN
  return loadMs.mean < 9.95 ? `${Number(loadMs.mean.toFixed(1))} ms` : formatDuration(loadMs.mean)
}

/** What the columns `hit rate` and `load` are of. */
function readsLine({ total }: StatsReport): string[] {
  const { hits, misses, hitRate, loads } = total
  if (hits === null || misses === null || loads === null) return []
  const reads = `${formatCount(hits + misses)} reads`
  const hit = hitRate === null ? '' : `, ${formatPercent(hitRate)} hits`
  const load = total.loadMs === null ? '' : ` · ${formatCount(loads)} loads of ${loadTime(total)}`
  return [`last hour  ${reads}${hit}${load}`]
}

function ttlLine({ total }: StatsReport): string[] {
  if (total.keys === 0) return []
  const classes = total.ttl.buckets
    .map(({ underMs, keys }) => ({
      label: underMs === null ? `≥${formatDuration(TTL_CLASSES_MS.at(-1) ?? 0)}` : `<${formatDuration(underMs)}`,
      keys,
    }))
    .filter(({ keys }) => keys > 0)
  const parts = [{ label: 'none', keys: total.noTtlKeys }, ...classes].map(
    ({ label, keys }) => `${label} ${wholePercent(keys / total.keys)}`,
  )
  return [`TTL  ${parts.join(' · ')}`]
}

function largestLines({ largest }: StatsReport): string[] {
  if (largest.length === 0) return []
  return [
    '',
    'largest keys',
    ...largest.map(
      ({ key, bytes, ttlMs }) =>
        `  ${formatBytes(bytes)}  ${key}${ttlMs === null ? '' : `  (TTL ${formatDuration(ttlMs)})`}`,
    ),
  ]
}

function cost({ scan, method }: StatsReport, paint: ChalkInstance): string[] {
  const headers = scan.headersRead === 0 ? '' : `, ${formatCount(scan.headersRead)} headers`
  const lookups = `adds ${formatCount(scan.hitsAdded)} hits and ${formatCount(scan.missesAdded)} misses to INFO`
  const lines = [
    `looked at ${formatCount(scan.visited)} keys${headers} in ${formatDuration(scan.durationMs)} (${lookups})`,
  ]
  if (method === 'sample') lines.push('± holds for all groups at once in at least 95 of 100 samples')
  return lines.map((line) => paint.dim(line))
}

function health({ health: { status, findings } }: StatsReport, paint: ChalkInstance): string[] {
  const verdict = {
    healthy: paint.green('✓ Cache is healthy'),
    warning: paint.yellow('! Cache needs attention'),
    critical: paint.red('✗ Cache is in trouble'),
  }
  return [verdict[status], ...findings.flatMap((finding) => findingLines(finding, paint))]
}
