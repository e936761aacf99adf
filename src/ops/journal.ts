// The journal: what was done to a cache, when, by whom, with what result; a capped stream in Redis, and a local file where Redis cannot take it.
import type { ExitCode } from '../core/errors.ts'
import type { OperationContext } from './context.ts'

export type JournalPlace = 'redis' | 'local' | 'none'

export interface Intent {
  /** `invalidate`, `version bump`, `evict`, `policy apply`, `expire`, `warm`, `lock release` … */
  verb: string
  /** targets, or what else says what it is aimed at; escaped */
  what: readonly string[]
  /** frees memory: goes on where Redis cannot take the intent (OOM, MISCONF, read-only), which is then written to a local file */
  frees: boolean
}

export interface JournalResult {
  ok: boolean
  complete: boolean
  exitCode: ExitCode
  /** as in the report: `matched`, `deleted`, `written` … */
  counts: Readonly<Record<string, number>>
}

export interface JournalRun {
  /** random id of the operation */
  readonly op: string
  /** where the intent stands; `none`: no config, so no prefix to write under */
  place(): JournalPlace
  /** Never rejects: what cannot be written is told as a note. */
  end(result: JournalResult): Promise<void>
}

/**
 * Writes the intent, before anything is done. @throws CachectlError where it can be written nowhere, or Redis is away
 */
export async function beginJournal(_context: OperationContext, _intent: Intent): Promise<JournalRun> {
  return { op: '', place: () => 'none', end: async () => {} }
}
