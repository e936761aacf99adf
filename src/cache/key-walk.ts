// SCAN over everything that a cache has keys on: one server, or each master of several.
import type { Lane, Reply, Store } from '../ports.ts'
import type { Run } from './control-mirror.ts'
import { failedReply } from './link.ts'

/** What is walked where there are several servers. */
export type Servers = Pick<Store, 'masters' | 'layout'>

const PAGE = 1000

/** Whom SCAN is asked of. Of several, on connections of their own, which are closed behind it: what is asked on one of them is answered by that master. */
export async function* eachServer(run: Run, servers: Servers | null): AsyncGenerator<Run, void> {
  const masters = (await servers?.masters()) ?? []
  if (masters.length < 2) {
    yield run
    return
  }
  for (const master of masters) {
    const lane = await master.lane()
    try {
      yield (build) => runOn(lane, build)
    } finally {
      lane.close()
    }
  }
}

/** Keys that match this glob, on one server. @throws CachectlError where it refuses */
export async function* walkKeys(scan: Run, match: string): AsyncGenerator<readonly Buffer[], void> {
  let cursor = '0'
  do {
    const replies = await scan((page) => page.add('SCAN', cursor, 'MATCH', match, 'COUNT', PAGE))
    const failed = failedReply(replies)
    if (failed) throw failed
    const [next, found] = replies[0] as readonly [Reply, readonly Buffer[]]
    cursor = String(next)
    if (found.length > 0) yield found
  } while (cursor !== '0')
}

async function runOn(lane: Lane, build: Parameters<Run>[0]): Promise<readonly Reply[]> {
  const page = lane.page()
  build(page)
  return lane.run(page)
}
