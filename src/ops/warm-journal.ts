// What the journal says of a warm run.
import type { JournalResult } from '../core/journal-entry.ts'
import { printable } from '../core/printable.ts'
import type { OperationContext } from './context.ts'
import { beginJournal, type JournalRun } from './journal.ts'
import type { WarmPlan, WarmReport } from './warm-report.ts'

/** @throws CachectlError where Redis takes no intent: it would take no entries either */
export function beginWarmJournal(context: OperationContext, plan: WarmPlan): Promise<JournalRun> {
  const what = plan.models.map(({ model, strategy, tenant }) => {
    const of = tenant === null ? '' : ` of ${printable(tenant)}`
    return `model:${model.name}${of} (${strategy})`
  })
  return beginJournal(context, { verb: 'warm', what, frees: false })
}

export function warmResult({ ok, complete, exitCode, totals }: Omit<WarmReport, 'journal'>): JournalResult {
  const { selected, loaded, written, skipped, failed, bytes } = totals
  return { ok, complete, exitCode, counts: { selected, loaded, written, ...skipped, failed, bytes } }
}
