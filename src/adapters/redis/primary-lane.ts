// Lanes to the primary of a Sentinel set: closed when that server turns out to be a replica, since the next one is opened to its successor; and those whose
// answers must be the primary's, held until it is known to be that.
import { isErrorReply } from '../../core/reply.ts'
import type { Lane, Page, Reply } from '../../ports.ts'
import type { PrimaryWatch } from './primary-watch.ts'

type Run = (page: Page) => Promise<readonly Reply[]>

export function closeWhenReadonly(lane: Lane): Lane {
  return running(lane, async (page) => {
    const replies = await lane.run(page)
    if (replies.some((reply) => isErrorReply(reply) && reply.code === 'READONLY')) lane.close()
    return replies
  })
}

/** Costs a look at the clock a page, but for a moment in which the Sentinels were not heard. */
export function onlyWhileTrusted(lane: Lane, watch: PrimaryWatch): Lane {
  let confirming: Promise<void> | null = null
  const confirmed = (): Promise<void> => {
    if (confirming !== null) return confirming
    confirming = watch.confirm()
    // Before the pages that wait for it: what is run behind them goes out behind them.
    void confirming.then(() => {
      confirming = null
    })
    return confirming
  }
  const trusting = running(lane, (page) =>
    confirming === null && watch.trusted ? lane.run(page) : confirmed().then(() => lane.run(page)),
  )
  watch.keepAsking(trusting)
  return trusting
}

function running(lane: Lane, run: Run): Lane {
  return {
    get noTouch() {
      return lane.noTouch
    },
    get closed() {
      return lane.closed
    },
    ...(lane.replica === undefined ? {} : { replica: lane.replica }),
    page: () => lane.page(),
    close: () => lane.close(),
    run(page: Page): Promise<readonly Reply[]> {
      const replies = run(page)
      // As in the lane itself: of several pages under way a caller may look at the first failure only.
      replies.catch(() => {})
      return replies
    },
  }
}
