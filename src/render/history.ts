// `history` for people: a table within 80 columns, or lines of the same columns that come one by one. Texts of entries are escaped already.
import type { ChalkInstance } from 'chalk'
import { formatCount, formatDuration } from '../core/units.ts'
import type { HistoryReport } from '../ops/history.ts'
import type { HistoryEntry } from '../ops/journal-read.ts'
import { type Column, displayWidth, layOut, noRoomFor } from './columns.ts'
import { runCounts } from './run-counts.ts'

export interface HistoryLook {
  paint: ChalkInstance
  /** null: no terminal, nothing is cut or left out */
  widthColumns: number | null
}

/** Of a digest: enough to tell two configs apart. */
const CONFIG_CHARACTERS = 8
/** On a terminal: of a command's name, and of what it was aimed at where counts are to have room as well. */
const VERB_COLUMNS = 16
const WHAT_SHARE = 0.3
/** Three columns stand before it, of which the time has 20; two spaces between all. */
const TIME_COLUMNS = 20 + 3 * 2

const BEGAN: Column<HistoryEntry> = { title: 'began', align: 'left', cell: (entry) => timeOf(entry.startedAt) }

export function renderHistory(report: HistoryReport, { paint, widthColumns }: HistoryLook): string {
  const { entries, unreadable } = report
  if (entries.length === 0)
    return `Nothing is in the journal of ${report.prefix} that this asks for.\n${foreign(unreadable)}`
  const narrow = widthColumns && whatWidth(widthColumns, entries)
  let { lines, dropped } = layOut(entries, columnsOf(widthColumns, narrow), widthColumns, asIs)
  if (widthColumns !== null && narrow !== null) {
    // What had no room has left some.
    const room = Math.max(0, widthColumns - Math.max(...lines.map(displayWidth)))
    ;({ lines, dropped } = layOut(entries, columnsOf(widthColumns, narrow + room), widthColumns, asIs))
  }
  const coloured = lines.map((line, index) =>
    index === 0 ? paint.bold(line) : paintState(line, entries[index - 1], paint),
  )
  const hidden = noRoomFor(dropped).map((line) => `${paint.dim(line)}\n`)
  return `${coloured.join('\n')}\n${hidden.join('')}${explain(entries)}${foreign(unreadable)}`
}

const asIs = (text: string): string => text

/** Columns go in this order: config, took, counts, who. */
function columnsOf(widthColumns: number | null, whatColumns: number | null): Column<HistoryEntry>[] {
  return [
    BEGAN,
    { title: 'command', align: 'left', cell: (entry) => cut(entry.verb, widthColumns && VERB_COLUMNS) },
    { title: 'result', align: 'left', cell: resultOf },
    { title: 'what', align: 'left', cell: (entry) => cut(entry.what.join(', '), whatColumns) },
    { title: 'counts', align: 'left', cell: countsOf, droppedAs: 2 },
    { title: 'took', align: 'right', cell: tookOf, droppedAs: 3 },
    { title: 'who', align: 'left', cell: (entry) => entry.who, droppedAs: 1 },
    {
      title: 'config',
      align: 'left',
      cell: (entry) => entry.config?.slice(0, CONFIG_CHARACTERS) ?? '-',
      droppedAs: 4,
    },
  ]
}

/** A run that begins, or has ended. */
export function renderHistoryLine(entry: HistoryEntry, { paint, widthColumns }: HistoryLook): string {
  const when = timeOf(entry.endedAt ?? entry.startedAt)
  const counts = countsOf(entry)
  const more = [counts === '-' ? '' : counts, tookOf(entry) === '-' ? '' : `in ${tookOf(entry)}`, entry.who]
  const began = entry.state === 'running' || entry.state === 'interrupted' ? 'began' : resultOf(entry)
  const head = `${when}  ${entry.verb.padEnd(12)}  ${began.padEnd(12)}  ${entry.what.join(', ')}`
  const line = `${head}  ${more.filter((text) => text !== '').join(', ')}`
  return `${paintState(cut(line, widthColumns), entry, paint)}\n`
}

function whatWidth(widthColumns: number, entries: readonly HistoryEntry[]): number {
  const longest = (texts: readonly string[]) => Math.max(...texts.map(displayWidth))
  const verbs = Math.min(VERB_COLUMNS, longest(['command', ...entries.map(({ verb }) => verb)]))
  const left = widthColumns - TIME_COLUMNS - verbs - longest(['result', ...entries.map(resultOf)])
  return Math.max(1, Math.min(left, Math.max(VERB_COLUMNS, Math.floor(widthColumns * WHAT_SHARE))))
}

function cut(text: string, width: number | null): string {
  if (width === null || displayWidth(text) <= width) return text
  let kept = ''
  for (const char of text) {
    if (displayWidth(kept + char) >= width) break
    kept += char
  }
  return `${kept}…`
}

/** `2026-11-21 03:04:05Z` */
function timeOf(iso: string): string {
  return `${iso.slice(0, 19).replace('T', ' ')}Z`
}

function resultOf({ state, exitCode, journal }: HistoryEntry): string {
  const local = journal === 'local' ? ', local' : ''
  if (state === 'done') return `done${local}`
  if (state === 'failed') return `exit ${exitCode}${local}`
  return `${state === 'running' ? 'running' : 'no result: interrupted?'}${local}`
}

function countsOf({ counts }: HistoryEntry): string {
  return runCounts(counts).join(', ') || '-'
}

function tookOf({ durationMs }: HistoryEntry): string {
  return durationMs === null ? '-' : formatDuration(durationMs)
}

function paintState(line: string, entry: HistoryEntry | undefined, paint: ChalkInstance): string {
  if (entry?.state === 'failed') return paint.red(line)
  return entry?.state === 'interrupted' ? paint.yellow(line) : line
}

function explain(entries: readonly HistoryEntry[]): string {
  const lines = []
  if (entries.some(({ state }) => state === 'interrupted'))
    lines.push('No result: it was killed, or runs on another machine. The same command again', 'completes its work.')
  const about = [...new Set(entries.flatMap(({ journal, redis }) => (journal === 'local' && redis ? [redis] : [])))]
  if (about.length > 0)
    lines.push('Local: in the journal of this machine, since Redis could not take it; about', `${about.join(', ')}.`)
  return lines.map((line) => `${line}\n`).join('')
}

function foreign(unreadable: number): string {
  return unreadable === 0 ? '' : `Left out: ${formatCount(unreadable)} in the journal that cachectl did not write.\n`
}
