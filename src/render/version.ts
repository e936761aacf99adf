// The reports of `version` for people, within 80 columns.
import type { ChalkInstance } from 'chalk'
import { printable } from '../core/printable.ts'
import { formatBytes, formatCount, formatDuration } from '../core/units.ts'
import type { VersionBumpReport } from '../ops/version-bump.ts'
import type { VersionBumpPlan } from '../ops/version-bump-plan.ts'
import type { PreviousGeneration, ShownScope, ShownVersion, VersionShowReport } from '../ops/version-show.ts'
import type { CountedKeys } from '../ops/version-tally.ts'
import type { RedisIdentity } from '../ports.ts'
import { type Column, layOut } from './columns.ts'
import { acknowledgedLine, previewLines } from './preview.ts'
import { serverLine } from './server-line.ts'

export interface VersionView {
  paint: ChalkInstance
  /** of the terminal; null where there is none */
  widthColumns: number | null
  nowMs: number
}

/** Scopes in the table, those with most left first; JSON has all. */
const MOST_SCOPES = 40
/** Former generations of a scope that are told one by one. */
const MOST_PREVIOUS = 5

export function renderVersions(report: VersionShowReport, view: VersionView): string {
  const { paint } = view
  const scopes = [...report.scopes].sort(byLeftovers)
  const shown = scopes.slice(0, MOST_SCOPES)
  const about = report.method === 'sample' ? `, estimated from ${formatCount(report.visited)} keys; --full counts` : ''
  const lines = [serverLine(report.redis), `prefix ${printable(report.prefix)}${about}`, '']
  lines.push(...drawn(shown, scopeColumns(view), view, 0))
  if (scopes.length > shown.length)
    lines.push(`  … and ${formatCount(scopes.length - shown.length)} more: --json has all`)
  const left = shown.flatMap((scope) => leftovers(scope))
  if (left.length > 0)
    lines.push('', paint.bold('Left of former generations, out of reach:'), ...drawn(left, leftColumns(view), view, 2))
  if (report.versions.length > 0) {
    const title = paint.bold('Other versions of the code than this config:')
    lines.push('', title, ...drawn(report.versions, versionColumns(view), view, 2))
  }
  for (const { versionKey, problem } of shown)
    if (problem !== null) lines.push(paint.yellow(`! ${versionKey} holds no version that can be bumped: ${problem}`))
  lines.push(...report.notes.map((note) => paint.yellow(`! ${printable(note)}`)))
  const prunable = left.length > 0 || report.versions.some(({ state }) => state === 'older')
  if (prunable) lines.push(paint.dim('next: cachectl version prune --dry-run'))
  return `${lines.join('\n')}\n`
}

/** Lines of a table, and which columns had no room. */
function drawn<Row>(
  rows: readonly Row[],
  columns: Column<Row>[],
  { paint, widthColumns }: VersionView,
  indent: number,
): string[] {
  const { lines, dropped } = layOut(rows, columns, widthColumns === null ? null : widthColumns - indent, paint.bold)
  const left = dropped.length === 0 ? [] : [paint.dim(`no room for: ${dropped.join(', ')}; --json has them`)]
  return [...lines, ...left].map((line) => ' '.repeat(indent) + line)
}

function byLeftovers(a: ShownScope, b: ShownScope): number {
  if (a.scope === 'global' || b.scope === 'global') return a.scope === 'global' ? -1 : 1
  const sum = ({ previous }: ShownScope) => previous.reduce((total, { keys }) => total + keys, 0)
  return sum(b) - sum(a) || b.keys - a.keys || (a.scope < b.scope ? -1 : 1)
}

function scopeColumns({ nowMs }: VersionView): Column<ShownScope>[] {
  return [
    { title: 'scope', align: 'left', cell: nameOf },
    { title: 'version', align: 'left', cell: ({ version }) => (version === null ? '' : `v${version}`), droppedAs: 1 },
    { title: 'gen.', align: 'right', cell: ({ generation }) => (generation === null ? '?' : String(generation)) },
    {
      title: 'token',
      align: 'left',
      cell: ({ token, generation }) => token ?? (generation === null ? 'none' : '-'),
      droppedAs: 3,
    },
    { title: 'since', align: 'left', cell: ({ since }) => (since === null ? '' : ageOf(since, nowMs)) },
    { title: 'by', align: 'left', cell: ({ by }) => by ?? '', droppedAs: 2 },
    { title: 'keys', align: 'right', cell: ({ keys }) => formatCount(keys) },
    { title: 'memory', align: 'right', cell: ({ bytes }) => sizeOf(bytes) },
  ]
}

function nameOf({ scope, subject, tenant }: Pick<ShownScope, 'scope' | 'subject' | 'tenant'>): string {
  const name = subject === null ? scope : `${scope}:${subject}`
  return tenant === null || scope === `tenant:${tenant}` ? name : `${name} of ${tenant}`
}

interface Leftover extends PreviousGeneration {
  name: string
}

function leftovers(scope: ShownScope): Leftover[] {
  const found = scope.previous.filter(({ keys }) => keys > 0).map((one) => ({ ...one, name: nameOf(scope) }))
  const [shown, rest] = [found.slice(0, MOST_PREVIOUS), found.slice(MOST_PREVIOUS)]
  const [first] = rest
  if (first === undefined) return shown
  const bytes = rest.some((one) => one.bytes === null) ? null : rest.reduce((sum, one) => sum + (one.bytes ?? 0), 0)
  const longest = Math.max(...rest.map(({ longestTtlMs }) => longestTtlMs ?? 0))
  const drains = rest.map(({ drainedAt }) => drainedAt)
  const joined: Leftover = {
    ...first,
    name: `${nameOf(scope)}, ${rest.length} more`,
    generation: null,
    token: null,
    since: null,
    by: null,
    keys: rest.reduce((sum, { keys }) => sum + keys, 0),
    bytes,
    noTtlKeys: rest.reduce((sum, { noTtlKeys }) => sum + noTtlKeys, 0),
    longestTtlMs: longest === 0 ? null : longest,
    drainedAt: drains.includes(null) ? null : (drains.toSorted().at(-1) ?? null),
  }
  return [...shown, joined]
}

function leftColumns(view: VersionView): Column<Leftover>[] {
  return [
    { title: 'scope', align: 'left', cell: ({ name }) => name },
    { title: 'gen.', align: 'right', cell: ({ generation }) => (generation === null ? '' : String(generation)) },
    { title: 'token', align: 'left', cell: ({ token }) => token ?? '', droppedAs: 2 },
    {
      title: 'since',
      align: 'left',
      cell: ({ since }) => (since === null ? '' : ageOf(since, view.nowMs)),
      droppedAs: 1,
    },
    ...countColumns<Leftover>(),
  ]
}

function versionColumns({ nowMs }: VersionView): Column<ShownVersion>[] {
  return [
    { title: 'version', align: 'left', cell: ({ version }) => `v${version}` },
    { title: '', align: 'left', cell: ({ state }) => state },
    {
      title: 'processes',
      align: 'left',
      cell: ({ processes, since }) =>
        processes === 'registered'
          ? `registered${since === null ? '' : `, ${ageOf(printable(since), nowMs)}`}`
          : processes === 'asked'
            ? 'none answered'
            : 'none known',
      droppedAs: 1,
    },
    ...countColumns<ShownVersion>(),
  ]
}

function countColumns<Row extends CountedKeys>(): Column<Row>[] {
  return [
    {
      title: 'keys',
      align: 'right',
      cell: ({ keys, error }) => `${formatCount(keys)}${error ? ` ± ${formatCount(error.keys)}` : ''}`,
    },
    { title: 'memory', align: 'right', cell: ({ bytes }) => sizeOf(bytes) },
    { title: 'drained', align: 'left', cell: drainText },
  ]
}

/** When TTL will have taken them all. */
function drainText({ noTtlKeys, longestTtlMs, error }: CountedKeys): string {
  if (noTtlKeys > 0) return `never: ${formatCount(noTtlKeys)} have no TTL`
  return longestTtlMs === null ? '' : `in ${error === null ? '' : 'at least '}${formatDuration(longestTtlMs)}`
}

function ageOf(since: string, nowMs: number): string {
  const ms = nowMs - Date.parse(since)
  return Number.isNaN(ms) ? since : `${formatDuration(Math.max(0, ms))} ago`
}

function sizeOf(bytes: number | null): string {
  return bytes === null ? '-' : formatBytes(bytes)
}

/** What will be done. */
export function renderVersionBumpPlan(plan: VersionBumpPlan, redis: RedisIdentity, paint: ChalkInstance): string {
  const lines = [serverLine(redis), ...previewLines(plan.preview, paint)]
  const names = plan.scopes.map((scope) => nameOf({ ...scope, subject: null }))
  if (names.length > 0) lines.push(`${names.join(', ')}: a new generation, all of this out of reach at once.`)
  for (const { versionKey, value } of plan.raw.slice(0, MOST_SCOPES))
    lines.push(
      `${printable(versionKey)}: ${value === null ? 'not there, will be made' : `${printable(value)}, will be one more`}.`,
    )
  if (plan.raw.length > MOST_SCOPES) lines.push(`  … and ${formatCount(plan.raw.length - MOST_SCOPES)} more versions.`)
  if (names.length === 0 && plan.raw.length === 0)
    lines.push(paint.yellow('There is no version of it yet: nothing to bump.'))
  return lines.join('\n')
}

/** What was done. */
export function renderVersionBump(report: VersionBumpReport, paint: ChalkInstance): string {
  const lines = report.scopes.slice(0, MOST_SCOPES).map((scope) => {
    const place = scope.versionKey === null ? '' : ` (${scope.versionKey})`
    return `${nameOf({ ...scope, subject: null })}${place}: ${scope.before ?? 'none'} → ${paint.bold(scope.token ?? '?')}`
  })
  const more = report.scopes.length - lines.length
  if (more > 0) lines.push(`  … and ${formatCount(more)} more`)
  const about = report.method === 'sample' ? 'about ' : ''
  lines.push(
    `${about}${formatCount(report.outdated)} keys are out of reach; they end with their TTL, or by cachectl version prune`,
  )
  if (report.acknowledged !== null) lines.push(acknowledgedLine(report.acknowledged))
  if (report.journal === 'local')
    lines.push(paint.yellow('The journal stands in a local file: Redis could not take it. See `cachectl history`.'))
  if (report.ok) lines.push(paint.green(`✓ ${report.targets.join(' ')} bumped in ${formatDuration(report.durationMs)}`))
  else {
    const why = report.stopped?.message ?? report.doubt ?? 'not every process has confirmed'
    lines.push(
      `${paint.red('✗')} bumped, and then: ${printable(why)}`,
      `  next: ${printable(report.stopped?.hint ?? 'bump it again')}`,
    )
  }
  return `${lines.join('\n')}\n`
}
