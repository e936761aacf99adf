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
  const [history, replicas] = [await store.history(), await countReplicas(store)]
  const isAnother = async (): Promise<boolean> => {
    if (history === null) return false
    const known = new Set(history.split(' '))
    const now = await store.history().catch(() => null)
    return now === null || now.split(' ').some((id) => !known.has(id))
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
