// A lane to the primary of a Sentinel set: closed when that server turns out to be a replica, since the next one is opened to its successor.
import { isErrorReply } from '../../core/reply.ts'
import type { Lane, Page, Reply } from '../../ports.ts'

export function closeWhenReadonly(lane: Lane): Lane {
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
      const replies = lane.run(page).then((all) => {
        if (all.some((reply) => isErrorReply(reply) && reply.code === 'READONLY')) lane.close()
        return all
      })
      // As in the lane itself: of several pages under way a caller may look at the first failure only.
      replies.catch(() => {})
      return replies
    },
  }
}
