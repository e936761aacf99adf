// What this process has invalidated lately: at a primary that was replaced it may be lost, and somebody may have loaded from its successor before.
import type { Change } from './kernel.ts'

/** As long as an old primary may go on beside its successor, before it is told. */
const REMEMBERED_MS = 60_000
/** Beyond them everything is invalidated in their place, which is one change. */
const MOST = 1_000

export interface RecentChanges {
  add(change: Change): void
  /** All that were made within the last minute, oldest first. */
  all(): readonly Change[]
}

export function createRecentChanges(): RecentChanges {
  let recent: { change: Change; atMs: number }[] = []
  const prune = () => {
    const since = performance.now() - REMEMBERED_MS
    const first = recent.findIndex(({ atMs }) => atMs >= since)
    if (first !== 0) recent = first < 0 ? [] : recent.slice(first)
  }
  return {
    add(change) {
      recent.push({ change, atMs: performance.now() })
      if (recent.length <= 2 * MOST) return
      prune()
      if (recent.length > MOST) recent = [{ change: { scopes: [{ kind: 'global' }] }, atMs: performance.now() }]
    },
    all() {
      prune()
      return recent.map(({ change }) => change)
    },
  }
}
