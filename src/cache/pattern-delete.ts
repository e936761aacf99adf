// Deleting what matches a pattern, with every load under way that would bring it back.
import type { KeyScheme, Scope } from '../core/key.ts'
import { createKeys } from '../core/key.ts'
import { decodeText } from '../core/key-text.ts'
import { assertPattern, compileGlob } from '../core/pattern.ts'
import type { Lane, Reply, Store } from '../ports.ts'
import type { Run } from './control-mirror.ts'
import type { Change } from './kernel.ts'
import { failedReply } from './link.ts'

/** What is walked where there are several servers. */
export type Servers = Pick<Store, 'masters' | 'layout'>

type Pattern = NonNullable<Change['pattern']>

const PAGE = 1000
/** While slots move all the time no walk is known to have met everything. */
const MOST_WALKS = 5

/**
 * Two walks. The first takes the leases of matching keys: a load that began before it cannot write any more when it ends, and what it wrote before is
 * there when the second walk begins, which deletes the entries. One walk would miss an entry that is filled behind its cursor.
 * Over several masters both are made again when slots moved meanwhile: a key that goes from one that is still to be walked to one that was is missed.
 * @returns how many entries were deleted, and whether it is certain that none is left
 */
export async function deleteMatching(
  scheme: KeyScheme,
  { glob, tenant }: Pattern,
  run: Run,
  servers: Servers | null,
): Promise<{ deleted: number; complete: boolean }> {
  assertPattern(glob)
  const keys = createKeys(scheme)
  const matches = compileGlob(glob)
  const isMeant = (key: Buffer): boolean => {
    const parsed = keys.parse(key)
    if (tenant !== null && parsed?.tenant !== tenant) return false
    return matches(parsed === null ? key : keys.plain(parsed))
  }
  const lease = `${scheme.prefix}~lease:{`
  const entry = `${scheme.prefix}:`
  const twoWalks = async (scans: readonly Run[]): Promise<number> => {
    await walkAll(scans, run, lease, (key) => isMeant(key.subarray(lease.length, key.length - 1)))
    return walkAll(scans, run, entry, isMeant)
  }
  let deleted = 0
  for (let walks = 0; walks < MOST_WALKS; walks++) {
    const before = (await servers?.layout()) ?? null
    if (servers === null || before === null) return { deleted: deleted + (await twoWalks([run])), complete: true }
    deleted += await onMasters(servers, twoWalks)
    if ((await servers.layout()) === before) return { deleted, complete: true }
  }
  return { deleted, complete: false }
}

/** The narrowest scope that all matching keys are in: as far as the pattern begins with names. */
export function scopeAround({ glob, tenant }: Pattern): Scope {
  const [, , namespace, subject] = glob.split(':').map(decodeText)
  const named = (index: number) => !/[*?[\]\\]/.test(glob.split(':').slice(0, index).join(':'))
  if (typeof subject === 'string' && named(4) && glob.split(':').length > 4) {
    return tenant === null ? { kind: 'subject', subject } : { kind: 'tenant-subject', tenant, subject }
  }
  if (tenant !== null) return { kind: 'tenant', tenant }
  if (typeof namespace === 'string' && named(3) && glob.split(':').length > 3) return { kind: 'namespace', namespace }
  return { kind: 'global' }
}

/** On connections of its own: what is asked on one of them is answered by that master. */
async function onMasters<T>(servers: Servers, walk: (scans: readonly Run[]) => Promise<T>): Promise<T> {
  const lanes: Lane[] = []
  try {
    for (const master of await servers.masters()) lanes.push(await master.lane())
    return await walk(lanes.map((lane) => (build) => runOn(lane, build)))
  } finally {
    for (const lane of lanes) lane.close()
  }
}

async function runOn(lane: Lane, build: Parameters<Run>[0]): Promise<readonly Reply[]> {
  const page = lane.page()
  build(page)
  return lane.run(page)
}

async function walkAll(
  scans: readonly Run[],
  run: Run,
  start: string,
  isMeant: (key: Buffer) => boolean,
): Promise<number> {
  let deleted = 0
  for (const scan of scans) deleted += await walk(scan, run, start, isMeant)
  return deleted
}

async function walk(scan: Run, run: Run, start: string, isMeant: (key: Buffer) => boolean): Promise<number> {
  const escaped = start.replace(/[*?[\]\\]/g, '\\$&')
  let deleted = 0
  let cursor = '0'
  do {
    const replies = await scan((page) => page.add('SCAN', cursor, 'MATCH', `${escaped}*`, 'COUNT', PAGE))
    const failed = failedReply(replies)
    if (failed) throw failed
    const [next, found] = replies[0] as readonly [Reply, readonly Buffer[]]
    cursor = String(next)
    const meant = found.filter(isMeant)
    if (meant.length === 0) continue
    const unlinked = await run((page) => page.add('UNLINK', ...meant))
    const refused = failedReply(unlinked)
    if (refused) throw refused
    deleted += Number(unlinked[0])
  } while (cursor !== '0')
  return deleted
}
