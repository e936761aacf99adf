// Reads the journal: the stream in Redis from its end backwards, merged with the local file, the records of a run as one entry.
import { hostname } from 'node:os'
import { asCachectlError } from '../core/errors.ts'
import { entryOf, type JournalEntry, type JournalRecord, readFields, readLine } from '../core/journal-entry.ts'
import { journalKey } from '../core/key.ts'
import type { Reply } from '../ports.ts'
import type { OperationContext } from './context.ts'
import { journalFile, readLines } from './journal-file.ts'

const RECORDS_A_CALL = 500

export interface HistoryEntry extends JournalEntry {
  /** `running`: no result, and its process is there on this machine; `interrupted`: no result, and as far as can be told nobody who will write it */
  state: 'done' | 'failed' | 'running' | 'interrupted'
  /** where it stands: `local` is the file of this machine */
  journal: 'redis' | 'local'
  /** of the local file: the server it was about, `127.0.0.1:6379/0` */
  redis: string | null
}

export interface JournalReading {
  /** last begun first */
  entries: HistoryEntry[]
  /** records that cannot be read: nothing of cachectl's */
  unreadable: number
  /** id of the newest record in Redis; `0-0` where there is none */
  lastId: string
  /** why something is missing */
  notes: string[]
}

export interface JournalQuery {
  /** at most so many entries; null: all */
  limit: number | null
  /** ISO 8601, UTC: what had not ended before */
  since: string | null
  match(entry: JournalEntry): boolean
}

/** The entries that match, e.g. those that touched a key; none without a config. What cannot be read is left out. @throws CachectlError */
export async function journalOf(
  context: OperationContext,
  match: (entry: JournalEntry) => boolean,
  limit = 10,
): Promise<HistoryEntry[]> {
  return (await readJournal(context, { limit, since: null, match })).entries
}

/** @throws CachectlError where Redis cannot be asked; a journal that may not be read, or is none, is a note */
export async function readJournal(context: OperationContext, query: JournalQuery): Promise<JournalReading> {
  const reading: JournalReading = { entries: [], unreadable: 0, lastId: '0-0', notes: [] }
  const prefix = context.config?.prefix
  if (prefix === undefined) return reading
  const file = await readFile(context, prefix, reading)
  /** of runs whose intent was not met yet */
  const results = new Map<string, JournalRecord>()
  let found = 0
  let oldest: string | null = null
  const take = (entry: HistoryEntry) => {
    if (!isWanted(entry, query)) return
    reading.entries.push(entry)
    found++
  }
  for await (const record of backwards(context, prefix, reading)) {
    // Each later record of the stream began before: what is wanted has been met.
    if (found >= (query.limit ?? Number.POSITIVE_INFINITY)) break
    if (query.since !== null && record.at < query.since && results.size === 0) break
    oldest = record.at
    if (record.phase === 'result') results.set(record.op, record)
    else {
      const result = results.get(record.op) ?? file.results.get(record.op)?.record ?? null
      results.delete(record.op)
      take(historyEntry(record, result, 'redis', null))
    }
  }
  for (const { record, redis } of file.intents) {
    const result = results.get(record.op) ?? file.results.get(record.op)?.record ?? null
    results.delete(record.op)
    take(historyEntry(record, result, 'local', redis))
  }
  // Their intents have left the stream, or stand in the file of another machine.
  for (const result of results.values())
    if (found < (query.limit ?? Number.POSITIVE_INFINITY) || (result.ended?.began ?? '') >= (oldest ?? ''))
      take(historyEntry(null, result, 'redis', null))
  reading.entries.sort((a, b) => (a.startedAt < b.startedAt ? 1 : a.startedAt > b.startedAt ? -1 : 0))
  if (query.limit !== null) reading.entries.splice(query.limit)
  return reading
}

function isWanted(entry: HistoryEntry, { since, match }: JournalQuery): boolean {
  return (since === null || (entry.endedAt ?? entry.startedAt) >= since) && match(entry)
}

export function historyEntry(
  intent: JournalRecord | null,
  result: JournalRecord | null,
  journal: 'redis' | 'local',
  redis: string | null,
): HistoryEntry {
  const entry = entryOf(intent, result)
  const state =
    entry.ok === null ? (isRunningHere(entry.who) ? 'running' : 'interrupted') : entry.ok ? 'done' : 'failed'
  return { ...entry, state, journal, redis }
}

/** Of other machines nobody knows. */
function isRunningHere(who: string): boolean {
  const [, host, pid] = /@([^@]*):(\d{1,10})$/.exec(who) ?? []
  if (host !== hostname() || pid === undefined) return false
  try {
    return process.kill(Number(pid), 0)
  } catch (thrown) {
    return (thrown as NodeJS.ErrnoException).code === 'EPERM'
  }
}

/** Records of the stream, newest first. */
async function* backwards(
  { store, signal }: OperationContext,
  prefix: string,
  reading: JournalReading,
): AsyncGenerator<JournalRecord> {
  let from = '+'
  for (;;) {
    const page = await readPage(store, prefix, from, reading)
    const fresh = from === '+' ? page : page.slice(1)
    for (const { id, record } of fresh) {
      if (reading.lastId === '0-0') reading.lastId = id
      if (record) yield record
      else reading.unreadable++
    }
    const last = page.at(-1)
    if (last === undefined || page.length < RECORDS_A_CALL || signal.aborted) return
    from = last.id
  }
}

async function readPage(
  store: OperationContext['store'],
  prefix: string,
  from: string,
  reading: JournalReading,
): Promise<StreamRecord[]> {
  const key = journalKey(prefix)
  try {
    return streamRecords(await store.call('XREVRANGE', key, from, '-', 'COUNT', RECORDS_A_CALL))
  } catch (thrown) {
    const error = asCachectlError(thrown)
    if (error.code !== 'REDIS_ACL' && error.code !== 'REDIS_REPLY') throw error
    const why = error.message.includes('WRONGTYPE') ? `${key} is no stream: something else wrote there` : error.message
    reading.notes.push(`the journal in Redis cannot be read: ${why}`)
    return []
  }
}

export interface StreamRecord {
  id: string
  /** null: not readable */
  record: JournalRecord | null
}

/** The reply to XREVRANGE, or the part of one stream in the reply to XREAD. */
export function streamRecords(reply: Reply | undefined): StreamRecord[] {
  return (Array.isArray(reply) ? (reply as readonly Reply[]) : []).map((item) => {
    const [id, fields] = item as readonly Reply[]
    const texts = (Array.isArray(fields) ? (fields as readonly Reply[]) : []).map(String)
    return { id: String(id), record: readFields(String(id), texts) }
  })
}

interface FileRecords {
  intents: { record: JournalRecord; redis: string }[]
  results: Map<string, { record: JournalRecord; redis: string }>
}

async function readFile(context: OperationContext, prefix: string, reading: JournalReading): Promise<FileRecords> {
  const records: FileRecords = { intents: [], results: new Map() }
  const { stateDir } = context
  if (stateDir === null) return records
  const path = journalFile(stateDir, prefix)
  const lines = await readLines(path).catch((thrown: Error) => {
    reading.notes.push(`the local journal cannot be read: ${thrown.message}`)
    return []
  })
  const { endpoint, database, mode } = await context.store.identity()
  for (const read of lines.map(readLine)) {
    if (read === null) reading.unreadable++
    // The file is that of a prefix, which may be one of several servers; the primary of a Sentinel set is now this, now that.
    else if (mode !== 'sentinel' && read.redis !== `${endpoint}/${database}`) continue
    else if (read.record.phase === 'intent') records.intents.push(read)
    else records.results.set(read.record.op, read)
  }
  return records
}
