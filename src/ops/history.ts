// `history`: what was done to the cache, when, by whom, with what result; and what is done from now on.
import { setTimeout as sleep } from 'node:timers/promises'
import { asCachectlError, CachectlError, EXIT } from '../core/errors.ts'
import type { JournalEntry, JournalRecord } from '../core/journal-entry.ts'
import { journalKey } from '../core/key.ts'
import { isErrorReply } from '../core/reply.ts'
import type { Lane, Reply } from '../ports.ts'
import type { OperationContext } from './context.ts'
import { type HistoryEntry, historyEntry, readJournal, type StreamRecord, streamRecords } from './journal-read.ts'
import { beginReport, type ReportBase } from './report-base.ts'

export interface HistoryOptions {
  limit: number
  /** ISO 8601, UTC */
  since: string | null
  /** `invalidate`; `version` is every verb of it, `bump` that one */
  verb: string | null
  /** part of a target */
  target: string | null
}

export interface HistoryReport extends ReportBase {
  command: 'history'
  prefix: string
  /** last begun first */
  entries: HistoryEntry[]
  /** records in the journal that cachectl did not write */
  unreadable: number
  /** of the newest record in Redis: where to go on from */
  lastId: string
  /** why something is missing */
  notes: string[]
}

/** @throws CachectlError CONFIG_NOT_FOUND */
export async function history(context: OperationContext, options: HistoryOptions): Promise<HistoryReport> {
  const { prefix } = configOf(context)
  const report = await beginReport(context)
  const { limit, since } = options
  const reading = await readJournal(context, { limit, since, match: matcher(options) })
  return { command: 'history', ...report(reading.notes.length === 0), prefix, ...reading }
}

function configOf({ config }: OperationContext): { prefix: string } {
  if (config) return config
  throw new CachectlError(
    'CONFIG_NOT_FOUND',
    'there is no cache.config.* here or above: the journal stands under its prefix',
  )
}

function matcher({ verb, target }: Pick<HistoryOptions, 'verb' | 'target'>): (entry: JournalEntry) => boolean {
  return (entry) =>
    (verb === null || ` ${entry.verb} `.includes(` ${verb === 'clear' ? 'invalidate' : verb} `)) &&
    (target === null || entry.what.some((what) => what.includes(target)))
}

/** Redis holds the answer back for so long while there is nothing new: less than any deadline of a reply. */
const BLOCK_MS = 2_000
const FIRST_RETRY_MS = 100
const LONGEST_RETRY_MS = 2_000

/**
 * What is written to the journal in Redis after `lastId`, as it comes: each run twice, at its beginning and its end. Ends when the signal is aborted;
 * a connection that is lost is made again. @throws CachectlError where that has no prospect: permissions, no stream
 */
export async function* follow(
  context: OperationContext,
  options: Pick<HistoryOptions, 'verb' | 'target'> & { lastId: string },
): AsyncGenerator<HistoryEntry> {
  const { signal } = context
  const { prefix } = configOf(context)
  const wanted = matcher(options)
  const intents = new Map<string, JournalRecord>()
  for await (const { record } of recordsAfter(context, journalKey(prefix), options.lastId)) {
    if (signal.aborted) return
    if (record === null) continue
    const intent = record.phase === 'intent' ? record : (intents.get(record.op) ?? null)
    if (record.phase === 'intent') intents.set(record.op, record)
    else intents.delete(record.op)
    const entry = historyEntry(intent, record.phase === 'result' ? record : null, 'redis', null)
    if (wanted(entry)) yield entry
  }
}

async function* recordsAfter(context: OperationContext, key: string, lastId: string): AsyncGenerator<StreamRecord> {
  const { signal, emit } = context
  let from = lastId
  let lost = false
  let retryMs = FIRST_RETRY_MS
  while (!signal.aborted) {
    let lane: Lane | null = null
    // A read that is held back ends with its connection.
    const onAbort = () => lane?.close()
    signal.addEventListener('abort', onAbort)
    try {
      lane = await context.store.lane()
      if (lost) emit({ event: 'note', level: 'info', message: 'connected again' })
      lost = false
      while (!signal.aborted) {
        const records = await readAfter(context, lane, key, from)
        retryMs = FIRST_RETRY_MS
        from = records.at(-1)?.id ?? from
        yield* records
      }
    } catch (thrown) {
      const error = asCachectlError(thrown)
      if (signal.aborted) return
      if (error.exitCode !== EXIT.unreachable) throw error
      if (!lost) emit({ event: 'note', level: 'warn', message: 'Redis is away: trying to connect again until Ctrl-C' })
      lost = true
      await sleep(retryMs, undefined, { signal }).catch(() => {})
      retryMs = Math.min(LONGEST_RETRY_MS, retryMs * 2)
    } finally {
      signal.removeEventListener('abort', onAbort)
      lane?.close()
    }
  }
}

async function readAfter(context: OperationContext, lane: Lane, key: string, from: string): Promise<StreamRecord[]> {
  const page = lane.page()
  page.add('XREAD', 'COUNT', 100, 'BLOCK', BLOCK_MS, 'STREAMS', key, from)
  const [reply] = await lane.run(page)
  // The shared connection says in full what an error reply means, by being asked the same.
  if (isErrorReply(reply)) await context.store.call('XREAD', 'COUNT', 1, 'STREAMS', key, from)
  const [stream] = Array.isArray(reply) ? (reply as readonly Reply[]) : []
  return Array.isArray(stream) ? streamRecords((stream as readonly Reply[])[1]) : []
}
