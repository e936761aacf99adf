// Whether what a verb did is still there: a server that takes over lacks what was not passed on to it. Looked at before the first change, and behind the last.
import type { Store } from '../ports.ts'
import { areInStep, countReplicas } from './replicas-in-step.ts'

export interface Handover {
  /**
   * Why what was done since may be lost; null: it is not. `isThere`: whether the servers of now have all of it, where that can be looked up: then it does not
   * matter that another one took over.
   */
  doubt(isThere?: () => Promise<boolean>): Promise<string | null>
}

/** @throws CachectlError */
export async function watchHandover(store: Store): Promise<Handover> {
  const settled = store.settling()
  const [history, replicas, { runId }] = [await store.history(), await countReplicas(store), await store.identity()]
  const isAnother = async (): Promise<boolean> => {
    if (history === null) return false
    const known = new Set(history.split(' '))
    const now = await store.history().catch(() => null)
    if (now === null) return true
    return now.split(' ').some((id) => !known.has(id)) && !(await beganAnew(store, runId).catch(() => false))
  }
  return {
    async doubt(isThere = async () => false) {
      const how = await settled()
      if (how === 'unknown') return 'no Sentinel answers any more: who is the primary now nobody can say'
      if (!(await areInStep(store, replicas).catch(() => false)))
        return 'a replica left meanwhile without having all of it, and may be the next primary'
      const another = how === 'moved' || (await isAnother())
      if (!another || (await isThere().catch(() => false))) return null
      return 'another server took over meanwhile (a failover or a restart), and may lack what was done before'
    },
  }
}

/** The servers are the ones they were, and none of them was a replica meanwhile: one that gets its first replica begins another history, with all it has. */
async function beganAnew(store: Store, runId: string | null): Promise<boolean> {
  if (runId === null || (await store.identity()).runId !== runId) return false
  const infos = await store.callEach('INFO', 'replication')
  return infos.every(({ reply }) => NO_EARLIER_HISTORY.test(String(reply)))
}

/** A replica that takes over keeps the id of the history that it had. */
const NO_EARLIER_HISTORY = /^master_replid2:0+\r?$/m
