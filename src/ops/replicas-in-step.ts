// Whether replicas have what was done: during a failover a primary takes writes for a while that its successor, a replica until then, never gets.
import { numberField, parseInfo } from '../core/info-text.ts'
import { isErrorReply } from '../core/reply.ts'
import type { Store } from '../ports.ts'

/** Replicas of each master; null where one does not say. */
export type Replicas = ReadonlyMap<string, number> | null

interface Replication {
  offset: number
  /** how far each connected replica has said to be */
  replicas: readonly number[]
}

/** Replicas that are there are behind by milliseconds. */
const WITHIN_MS = 1_500
/** More than there are: WAIT then asks all of them at once how far they are, who otherwise tell it once a second. */
const ALL_REPLICAS = 1_000
const ASK_FOR_MS = 50

export async function countReplicas(store: Store): Promise<Replicas> {
  const found = await replicationOf(store)
  return found && new Map([...found].map(([master, { replicas }]) => [master, replicas.length]))
}

/** False: of a master that is still there, fewer replicas than before have all that was written until now. */
export async function areInStep(store: Store, before: Replicas): Promise<boolean> {
  if (before === null || [...before.values()].every((count) => count === 0)) return true
  const deadline = performance.now() + WITHIN_MS
  let goals: ReadonlyMap<string, number> | null = null
  do {
    await store.callEach('WAIT', ALL_REPLICAS, ASK_FOR_MS)
    const now = await replicationOf(store)
    if (now === null) return true
    goals ??= new Map([...now].map(([master, { offset }]) => [master, offset]))
    const known = goals
    const behind = [...now].filter(([master, { replicas }]) => {
      const goal = known.get(master) ?? 0
      return replicas.filter((offset) => offset >= goal).length < (before.get(master) ?? 0)
    })
    if (behind.length === 0) return true
  } while (performance.now() < deadline)
  return false
}

async function replicationOf(store: Store): Promise<ReadonlyMap<string, Replication> | null> {
  const found = new Map<string, Replication>()
  for (const { master, reply } of await store.callEach('INFO', 'replication')) {
    if (isErrorReply(reply)) return null
    const fields = parseInfo(String(reply))
    const offset = numberField(fields, 'master_repl_offset')
    if (offset === null) return null
    const replicas = [...fields]
      .filter(([name, text]) => /^slave\d+$/.test(name) && text.includes('state=online'))
      .map(([, text]) => Number(/(?:^|,)offset=(\d+)/.exec(text)?.[1] ?? 0))
    found.set(master, { offset, replicas })
  }
  return found
}
