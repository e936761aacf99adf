// Records of the journal, as they stand in the stream and in the local file, and what two of them say together. Laid down in docs/contract.md.
import type { ExitCode } from './errors.ts'
import { printable, unprintable } from './printable.ts'

/** How a verb ended. */
export interface JournalResult {
  ok: boolean
  complete: boolean
  exitCode: ExitCode
  /** as in the report: `matched`, `deleted`, `written` … */
  counts: Readonly<Record<string, number>>
}

/** What both records of a run say. All text is escaped. */
export interface JournalHead {
  /** random id of the run */
  op: string
  verb: string
  what: readonly string[]
  /** `user@host:pid` */
  who: string
  /** of the config: what it resolved to, see `configDigest`; null where it was not said */
  config: string | null
}

export interface JournalRecord extends JournalHead {
  phase: 'intent' | 'result'
  /** ISO 8601, UTC: by the clock of Redis, or of the machine whose file it is */
  at: string
  /** null of an intent */
  ended: (Omit<JournalResult, 'exitCode'> & { began: string; durationMs: number; exitCode: number }) | null
}

/** One run: what was to be done, and what came of it where that is known. */
export interface JournalEntry extends JournalHead {
  startedAt: string
  /** this, and the next five: null where there is no result */
  endedAt: string | null
  durationMs: number | null
  ok: boolean | null
  complete: boolean | null
  exitCode: number | null
  counts: Readonly<Record<string, number>> | null
}

const WHAT_AT_MOST = 50
const TEXT_AT_MOST = 300
const COUNTS_AT_MOST = 50

/** Long lists and texts are cut, and say so: the journal tells what was done, and is no copy of it. */
export function shortened(what: readonly string[]): string[] {
  const cut = what.slice(0, WHAT_AT_MOST).map(shortText)
  return what.length > WHAT_AT_MOST ? [...cut, `… and ${what.length - WHAT_AT_MOST} more`] : cut
}

function shortText(text: string): string {
  // One more, for the mark of what is cut by now.
  return text.length > TEXT_AT_MOST + 1 ? `${text.slice(0, TEXT_AT_MOST).replace(/[\uD800-\uDBFF]$/, '')}…` : text
}

/** Names and values for XADD. `at` is the id that the server gives. */
export function recordFields(record: Omit<JournalRecord, 'at'>): string[] {
  return Object.entries(plainRecord(record)).flatMap(([name, value]) => [
    name,
    typeof value === 'string' ? value : JSON.stringify(value),
  ])
}

/** One line of the file, without its end. `redis`: which server it was about, `127.0.0.1:6379/0`. */
export function recordLine(record: JournalRecord, redis: string): string {
  return JSON.stringify({ at: record.at, redis, ...plainRecord(record) })
}

function plainRecord({ op, phase, verb, what, who, config, ended }: Omit<JournalRecord, 'at'>): object {
  const head = { op, phase, verb, what, who, ...(config === null ? {} : { config }) }
  if (ended === null) return head
  const { began, durationMs, ok, complete, exitCode, counts } = ended
  return { ...head, began, ms: durationMs, ok, complete, exit: exitCode, counts }
}

/** A record of the stream; null where it cannot be read: anybody may write there. */
export function readFields(id: string, fields: readonly string[]): JournalRecord | null {
  const given: Record<string, unknown> = Object.create(null)
  for (let i = 0; i + 1 < fields.length; i += 2) given[fields[i] as string] = fields[i + 1]
  for (const name of ['what', 'ms', 'ok', 'complete', 'exit', 'counts']) given[name] = parsed(given[name])
  return readRecord(timeOfId(id), given)
}

/** A line of the file, and the server that it was about; null where it cannot be read, as one that was cut off by a full disk. */
export function readLine(line: string): { record: JournalRecord; redis: string } | null {
  const given = parsed(line)
  if (!isObject(given)) return null
  const record = readRecord(textOf(given.at), given)
  return record && { record, redis: textOf(given.redis) ?? '' }
}

/** When the server took it; null where the id is none that a clock would give. */
export function timeOfId(id: string): string | null {
  const ms = Number(/^(\d+)-\d+$/.exec(id)?.[1] ?? Number.NaN)
  return Math.abs(ms) <= 8.64e15 ? new Date(ms).toISOString() : null
}

function readRecord(at: string | null, given: Record<string, unknown>): JournalRecord | null {
  const { phase } = given
  const [op, verb, who] = [textOf(given.op), textOf(given.verb), textOf(given.who)]
  if (at === null || Number.isNaN(Date.parse(at)) || !op || !verb || !who) return null
  if (phase !== 'intent' && phase !== 'result') return null
  const what = (Array.isArray(given.what) ? given.what : [given.what]).flatMap((one) => textOf(one) ?? [])
  const head = { op, phase, at, verb, what: shortened(what), who, config: textOf(given.config) } as const
  if (phase === 'intent') return { ...head, ended: null }
  const began = textOf(given.began)
  const ended = {
    began: began === null || Number.isNaN(Date.parse(began)) ? at : new Date(began).toISOString(),
    durationMs: Math.max(0, numberOf(given.ms)),
    ok: given.ok === true,
    complete: given.complete === true,
    exitCode: numberOf(given.exit),
    counts: countsOf(given.counts),
  }
  return { ...head, ended }
}

function parsed(value: unknown): unknown {
  if (typeof value !== 'string') return value
  try {
    return JSON.parse(value) as unknown
  } catch {
    return value
  }
}

function isObject(value: unknown): value is Record<string, unknown> {
  return typeof value === 'object' && value !== null && !Array.isArray(value)
}

function textOf(value: unknown): string | null {
  if (typeof value === 'number') return String(value)
  return typeof value === 'string' ? shown(shortText(value)) : null
}

function numberOf(value: unknown): number {
  return typeof value === 'number' && Number.isFinite(value) ? value : 0
}

function countsOf(value: unknown): Record<string, number> {
  const entries = Object.entries(isObject(value) ? value : {}).slice(0, COUNTS_AT_MOST)
  return Object.fromEntries(entries.map(([name, count]) => [shown(shortText(name)), numberOf(count)]))
}

/** Escaped, once: what cachectl wrote is escaped already. */
function shown(text: string): string {
  try {
    return printable(unprintable(text)) === text ? text : printable(text)
  } catch {
    return printable(text)
  }
}

/** What the records of one run say: both, or the one that there is. The result says all that the intent said. */
export function entryOf(intent: JournalRecord | null, result: JournalRecord | null): JournalEntry {
  const record = (result ?? intent) as JournalRecord
  const { op, verb, what, who, config } = record
  const startedAt = intent?.at ?? record.ended?.began ?? record.at
  const head = { op, verb, what, who, config, startedAt }
  if (result === null || result.ended === null)
    return { ...head, endedAt: null, durationMs: null, ok: null, complete: null, exitCode: null, counts: null }
  const { durationMs, ok, complete, exitCode, counts } = result.ended
  return { ...head, endedAt: result.at, durationMs, ok, complete, exitCode, counts }
}
