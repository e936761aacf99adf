// The report of `invalidate`: what was done, what was not, and what nobody knows.
import type { Acknowledged } from '../cache/announce.ts'
import type { Account } from '../core/account.ts'
import { type CachectlError, EXIT, type ExitCode, worstExit } from '../core/errors.ts'
import type { InvalidateOptions, InvalidatePlan } from './invalidate-plan.ts'
import type { JournalPlace } from './journal.ts'
import type { Preview } from './preview.ts'
import type { ReportBase } from './report-base.ts'
import type { Swept } from './sweep.ts'

export interface InvalidateReport extends Omit<ReportBase, 'dryRun'>, Account {
  command: 'invalidate'
  dryRun: boolean
  exitCode: ExitCode
  targets: readonly string[]
  how: InvalidateOptions['how']['kind']
  /** whatever is read from now on was loaded after this invalidation; false of a dry run, and until a walk has ended */
  applied: boolean
  /** of the keys that were deleted, estimated; null where nobody looked before */
  bytes: number | null
  /** processes with copies in their memory; null where none was asked */
  acknowledged: (Acknowledged & { durationMs: number }) | null
  /** old values may be given until then: ISO 8601; null where none may */
  staleUntil: string | null
  journal: JournalPlace
  preview: Preview | null
  notes: readonly string[]
  problems: readonly { code: string; message: string; keys: number }[]
  /** why it ended before its end */
  stopped: { code: string; message: string; hint: string } | null
  /** why it may be incomplete though nothing failed; null: there is no such reason */
  doubt: string | null
}

/** What an execution came to. */
export interface Done {
  account: Account
  complete: boolean
  applied?: boolean
  acknowledged?: InvalidateReport['acknowledged']
  staleUntil?: string
  swept?: readonly Swept[]
  /** what nobody knows though nothing failed */
  doubt?: string | null
  /** processes could not be told */
  failure?: CachectlError | null
}

export function invalidateReport(
  begun: (complete?: boolean) => ReportBase,
  { options, targets, course, preview }: InvalidatePlan,
  done: Done & { dryRun: boolean; bytes: number | null; journal?: JournalPlace },
): InvalidateReport {
  const swept = done.swept ?? []
  const stopped = swept.find((one) => one.stopped !== null)?.stopped ?? done.failure ?? null
  const complete = done.complete && stopped === null
  const exitCode = worstExit([stopped?.exitCode ?? EXIT.done, complete ? EXIT.done : EXIT.partial])
  return {
    command: 'invalidate',
    ...begun(complete),
    dryRun: done.dryRun,
    exitCode,
    targets,
    how: options.how.kind,
    applied: done.applied ?? false,
    ...done.account,
    bytes: done.bytes,
    acknowledged: done.acknowledged ?? null,
    staleUntil: done.staleUntil ?? null,
    journal: done.journal ?? 'none',
    preview,
    notes: course.notes,
    problems: swept.flatMap(({ problems }) => problems),
    stopped: stopped === null ? null : told(stopped),
    doubt: swept.find(({ doubt }) => doubt !== null)?.doubt ?? done.doubt ?? null,
  }
}

function told({ code, message, hint }: CachectlError): NonNullable<InvalidateReport['stopped']> {
  return { code, message, hint }
}
