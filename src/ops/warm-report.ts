// The plan and the report of `warm`, as other programs read them.
import type { ResolvedModel } from '../config/resolved.ts'
import type { ExitCode } from '../core/errors.ts'
import type { Id, RedisIdentity, Strategy } from '../ports.ts'
import type { JournalPlace } from './journal.ts'

export interface ModelPlan {
  model: ResolvedModel
  strategy: Strategy
  ids: readonly Id[] | null
  limit: number | null
  /** ISO 8601, UTC */
  since: string | null
  tenant: string | null
  /** false where single ids are warmed: a list is not one row */
  lists: boolean
}

export interface WarmPlan {
  models: readonly ModelPlan[]
  notWarmed: readonly { model: string; reason: string }[]
}

export interface WarmCounts {
  selected: number
  loaded: number
  written: number
  skipped: { present: number; newer: number; invalidated: number; absent: number }
  failed: number
  /** of the values written */
  bytes: number
  durationMs: number
}

export interface WarmModelReport extends WarmCounts {
  model: string
  namespace: string
  tenant: string | null
  strategy: string
  /** the first few rows that failed */
  errors: { id: string; message: string }[]
}

export interface WarmProblem {
  model: string | null
  code: string
  message: string
  hint: string
  exitCode: ExitCode
}

export interface WarmReport {
  command: 'warm'
  ok: boolean
  complete: boolean
  dryRun: boolean
  startedAt: string
  durationMs: number
  redis: RedisIdentity
  models: WarmModelReport[]
  totals: WarmCounts
  notWarmed: readonly { model: string; reason: string }[]
  /** why the run is not complete, most important first */
  problems: WarmProblem[]
  exitCode: ExitCode
  /** where the journal has it */
  journal: JournalPlace
}

export function emptyCounts(): WarmCounts {
  return {
    selected: 0,
    loaded: 0,
    written: 0,
    skipped: { present: 0, newer: 0, invalidated: 0, absent: 0 },
    failed: 0,
    bytes: 0,
    durationMs: 0,
  }
}

export function sumCounts(reports: readonly WarmCounts[], durationMs: number): WarmCounts {
  const totals = { ...emptyCounts(), durationMs }
  for (const report of reports) {
    totals.selected += report.selected
    totals.loaded += report.loaded
    totals.written += report.written
    totals.failed += report.failed
    totals.bytes += report.bytes
    totals.skipped.present += report.skipped.present
    totals.skipped.newer += report.skipped.newer
    totals.skipped.invalidated += report.skipped.invalidated
    totals.skipped.absent += report.skipped.absent
  }
  return totals
}
