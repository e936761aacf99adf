// From loaded rows to entries about to be written: joined, projected, with their stamps.
import { createJoiner } from '../core/join-rows.ts'
import type { BulkLane, Row, SourceRow } from '../ports.ts'
import type { EntryMaker, Prepared } from './warm-entry.ts'
import type { WarmModelReport } from './warm-report.ts'
import { type ModelRun, tellRowError } from './warm-run.ts'
import { type Captured, captureStamps, createDetailNames, createTags, type Holder } from './warm-stamps.ts'
import type { Reloaded } from './warm-write.ts'

export type Prepare = (
  maker: EntryMaker,
  lane: BulkLane,
  loaded: { rows: readonly SourceRow[]; deltaMs: number },
  captured?: Captured,
) => Promise<Reloaded>

/**
 * Makes entries of rows. Their stamps are captured after the load where they are not known before it (whose rows there are): under the lane's capture,
 * whose fences have moved wherever one of them was deleted meanwhile.
 */
export function createPrepare(run: ModelRun, report: WarmModelReport): Prepare {
  const { model, tenant } = run.plan
  const join = createJoiner(run.config.models, model)
  const namesOf = createDetailNames(run.config, model)
  const none: readonly string[] = []
  return async (maker, lane, { rows, deltaMs }, known) => {
    const made = { atMs: run.context.clock.now(), deltaMs }
    const values = await join(rows, { tenant, signal: run.signal })
    const holders: (Holder | null)[] = rows.map(({ id, row, tenant: of }) => {
      if (namesOf === null) return { names: none, longestMs: null }
      try {
        return { names: namesOf(id, of), longestMs: maker.longestMs(row) }
      } catch (thrown) {
        tellRowError(run, report, id, thrown)
        return null
      }
    })
    const holding = holders.filter((holder) => holder !== null)
    const tagsOf = createTags(known ?? (namesOf === null ? new Map() : await captureStamps(lane, holding)))
    const entries: Prepared[] = []
    let failed = 0
    rows.forEach((row, index) => {
      const holder = holders[index]
      const tags = holder ? tagsOf(holder.names) : null
      // Rows that have become others since their stamps were captured are changed while the run goes on.
      if (tags === null) {
        if (!holder) failed++
        return
      }
      try {
        entries.push(maker.detail(row, values[index] as Row, made, tags))
      } catch (thrown) {
        failed++
        tellRowError(run, report, row.id, thrown)
      }
    })
    return { entries, failed }
  }
}
