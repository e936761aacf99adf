// How much there is to warm, asked of a source without writing anything: for a dry run, and for the progress bar.
import { asSourceError } from '../core/source-failure.ts'
import type { Source } from '../ports.ts'
import { plannedLists } from './warm-lists.ts'
import type { ModelPlan, WarmModelReport } from './warm-report.ts'
import { ERRORS_KEPT } from './warm-run.ts'

/** Asks for ids, where the source gives them alone. @throws CachectlError of the source */
export async function countSelected(
  source: Source,
  plan: ModelPlan,
  signal: AbortSignal,
  report: WarmModelReport,
): Promise<void> {
  if (plan.ids) {
    report.selected = plan.ids.length
    return
  }
  const selection = {
    strategy: plan.strategy,
    pageSize: 1000,
    signal,
    onRowError: (where: string, message: string) => {
      report.selected++
      report.failed++
      if (report.errors.length < ERRORS_KEPT) report.errors.push({ id: where, message })
    },
    ...(plan.limit === null ? {} : { limit: plan.limit }),
    ...(plan.since === null ? {} : { since: plan.since }),
    ...(plan.tenant === null ? {} : { tenant: plan.tenant }),
  }
  try {
    for await (const page of source.selectIds ? source.selectIds(selection) : source.select(selection))
      report.selected += page.length
  } catch (thrown) {
    throw asSourceError(plan.model.name, thrown)
  }
}

export async function countListPages(
  source: Source,
  plan: ModelPlan,
  signal: AbortSignal,
  { pages, counts }: { pages: WarmModelReport; counts: WarmModelReport },
): Promise<void> {
  for await (const [pagesOfList, countsOfList] of plannedLists({ plan, source, signal })) {
    pages.selected += pagesOfList
    counts.selected += countsOfList
  }
}

/** For the progress bar only: a source that cannot count, or not soon, has none. */
export async function totalOf(plan: ModelPlan, source: Source, signal: AbortSignal): Promise<number | null> {
  if (plan.ids) return plan.ids.length
  if (plan.since !== null || !source.count) return plan.limit
  const query = {
    filters: {},
    signal: AbortSignal.any([signal, AbortSignal.timeout(2_000)]),
    ...(plan.tenant === null ? {} : { tenant: plan.tenant }),
  }
  const rows = await source.count(query).catch(() => null)
  return rows === null ? plan.limit : Math.min(rows, plan.limit ?? rows)
}
