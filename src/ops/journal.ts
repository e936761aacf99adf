// Writes the journal: what was done to a cache, when, by whom, with what result; a capped stream in Redis, and a local file where Redis cannot take it.
import { createHash, randomBytes } from 'node:crypto'
import { hostname, userInfo } from 'node:os'
import type { ResolvedConfig } from '../config/resolved.ts'
import { asCachectlError, CachectlError, EXIT } from '../core/errors.ts'
import {
  type JournalHead,
  type JournalRecord,
  type JournalResult,
  recordFields,
  recordLine,
  shortened,
  timeOfId,
} from '../core/journal-entry.ts'
import { journalKey } from '../core/key.ts'
import { printable } from '../core/printable.ts'
import { showConfig } from './config-show.ts'
import type { OperationContext } from './context.ts'
import { appendLine, journalFile } from './journal-file.ts'
import { untilStopped } from './until-stopped.ts'

export type { JournalResult } from '../core/journal-entry.ts'

/** Records that the stream keeps, two a run; Redis trims it by whole nodes, so that there may be some more. */
export const RECORDS_KEPT = 10_000

/** Who stops a run does not wait longer than this for the last line of its journal. */
const LAST_RECORD_MS = 1_000

export type JournalPlace = 'redis' | 'local' | 'none'

export interface Intent {
  /** `invalidate`, `version bump`, `evict`, `policy apply`, `expire`, `warm`, `lock release` … */
  verb: string
  /** targets, or what else says what it is aimed at; escaped */
  what: readonly string[]
  /** frees memory: goes on where Redis cannot take the intent (OOM, MISCONF, read-only), which is then written to a local file */
  frees: boolean
}

export interface JournalRun {
  /** random id of the operation */
  readonly op: string
  /** where the intent stands; `none`: no config, so no prefix to write under */
  place(): JournalPlace
  /** Never rejects: what cannot be written is told as a note. */
  end(result: JournalResult): Promise<void>
}

interface Writing {
  context: OperationContext
  prefix: string
  head: JournalHead
  /** which server it is about, for the file: `127.0.0.1:6379/0` */
  redis: string
}

/**
 * Writes the intent, before anything is done. Where the user may not write to the journal, or what has its name is no stream, it goes to the local file.
 * @throws CachectlError where it can be written nowhere, or Redis is away, or refuses writes and the verb frees nothing
 */
export async function beginJournal(context: OperationContext, intent: Intent): Promise<JournalRun> {
  const { config } = context
  const op = randomBytes(9).toString('base64url')
  if (!config) return { op, place: () => 'none', end: async () => {} }
  const { verb, what, frees } = intent
  const head = { op, verb, what: shortened(what), who: whoAmI(), config: configDigest(config) }
  // Asked now: at the end the server may be gone.
  const { endpoint, database } = await context.store.identity()
  const writing: Writing = { context, prefix: config.prefix, head, redis: `${endpoint}/${database}` }
  const startedMs = performance.now()
  const { began, refusal } = await writeIntent(writing, frees)
  let open = true
  return {
    op,
    place: () => (refusal === null ? 'redis' : 'local'),
    async end(result) {
      if (!open) return
      open = false
      const durationMs = Math.round(performance.now() - startedMs)
      await writeResult(writing, { began, durationMs, ...result }, refusal).catch((thrown: unknown) =>
        note(context, `the journal does not tell how this run ended: ${messageOf(thrown)}`),
      )
    },
  }
}

/** `refusal`: why it stands in the local file; null: it is in Redis. */
async function writeIntent(
  writing: Writing,
  frees: boolean,
): Promise<{ began: string; refusal: CachectlError | null }> {
  const { context, head } = writing
  try {
    const began = await addRecord(writing, { ...head, phase: 'intent', ended: null })
    return { began, refusal: null }
  } catch (thrown) {
    const refusal = asCachectlError(thrown)
    if (!goesToFile(refusal, frees)) throw refusal
    const began = new Date(context.clock.now()).toISOString()
    const path = await keepInFile(writing, { ...head, phase: 'intent', at: began, ended: null }, refusal)
    note(context, `what this run does is written to ${path}, not to the journal in Redis: ${refusal.message}`)
    return { began, refusal }
  }
}

/** The file of an intent gets its result, too, so that it tells the whole; and Redis, if it can by now: others look there. */
async function writeResult(
  writing: Writing,
  ended: JournalRecord['ended'],
  refusal: CachectlError | null,
): Promise<void> {
  const { context, head } = writing
  const { signal } = context
  const toFile = (because: CachectlError) => {
    const at = new Date(context.clock.now()).toISOString()
    return keepInFile(writing, { ...head, phase: 'result', at, ended }, because)
  }
  if (refusal !== null) await toFile(refusal)
  if (refusal?.code === 'REDIS_ACL') return
  try {
    await untilStopped(addRecord(writing, { ...head, phase: 'result', ended }), signal, LAST_RECORD_MS)
  } catch (thrown) {
    if (refusal !== null) return
    const error = thrown === signal.reason ? new CachectlError('REDIS_TIMEOUT', SILENT) : asCachectlError(thrown)
    note(context, `how this run ended is written to ${await toFile(error)}: ${error.message}`)
  }
}

const SILENT = 'Redis did not answer, and the run was to stop'

/** When the server took it. */
async function addRecord({ context, prefix }: Writing, record: Omit<JournalRecord, 'at'>): Promise<string> {
  const { clock, store } = context
  const fields = recordFields(record)
  const id = String(await store.call('XADD', journalKey(prefix), 'MAXLEN', '~', RECORDS_KEPT, '*', ...fields))
  return timeOfId(id) ?? new Date(clock.now()).toISOString()
}

function goesToFile({ exitCode, code }: CachectlError, frees: boolean): boolean {
  if (exitCode === EXIT.refusesWrites) return frees
  return exitCode !== EXIT.unreachable && (exitCode !== EXIT.denied || code === 'REDIS_ACL')
}

/** @throws CachectlError of the same code as `because`, which is why it does not stand in Redis */
async function keepInFile(
  { context, prefix, redis }: Writing,
  record: JournalRecord,
  because: CachectlError,
): Promise<string> {
  const { stateDir } = context
  const hint = 'set XDG_STATE_HOME to a folder that this user may write to, or see to it that Redis takes the journal'
  if (stateDir === null) throw new CachectlError(because.code, `${because.message}; ${NO_FOLDER}`, { hint })
  const path = journalFile(stateDir, prefix)
  try {
    await appendLine(path, recordLine(record, redis))
  } catch (thrown) {
    throw new CachectlError(because.code, `${because.message}; nor can ${path} be written: ${messageOf(thrown)}`, {
      hint,
    })
  }
  return path
}

const NO_FOLDER = 'nor is there a folder for a local journal: neither XDG_STATE_HOME nor HOME is set'

function note({ emit }: OperationContext, message: string): void {
  emit({ event: 'note', level: 'warn', message })
}

function messageOf(thrown: unknown): string {
  return thrown instanceof Error ? thrown.message : String(thrown)
}

/** What a run is aimed at; of one tenant it says so, and `why` reads it. */
export function aimedAt(targets: readonly string[], tenant: string | null): string[] {
  return tenant === null ? [...targets] : [...targets, `--tenant ${printable(tenant)}`]
}

/** `ops@web-1:4711`. A container's user may have no name. */
export function whoAmI(): string {
  let user: string
  try {
    user = userInfo().username
  } catch {
    user = `uid-${process.getuid?.() ?? 'unknown'}`
  }
  return `${user}@${hostname()}:${process.pid}`
}

/**
 * 16 characters of the SHA-256 of what the config resolved to, without what differs from machine to machine (where the file is, which Redis) and what
 * has no text (sources are their kind, functions are there or not).
 */
export function configDigest(config: ResolvedConfig): string {
  const { file: _file, redis: _redis, ...shown } = showConfig({ ...config, redis: null }, () => '').config
  return createHash('sha256').update(JSON.stringify(shown)).digest('hex').slice(0, 16)
}
