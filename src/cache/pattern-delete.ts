// Deleting what matches a pattern, with every load under way that would bring it back.
import type { KeyScheme, Scope } from '../core/key.ts'
import { createKeys } from '../core/key.ts'
import { decodeText } from '../core/key-text.ts'
import { assertPattern, compileGlob, escapeGlob } from '../core/pattern.ts'
import type { Run } from './control-mirror.ts'
import type { Change } from './kernel.ts'
import { eachServer, type Servers, walkKeys } from './key-walk.ts'
import { failedReply } from './link.ts'

type Pattern = NonNullable<Change['pattern']>

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
  const walkAll = async (start: string, isWanted: (key: Buffer) => boolean): Promise<number> => {
    let deleted = 0
    for await (const scan of eachServer(run, servers)) deleted += await walk(scan, run, start, isWanted)
    return deleted
  }
  let deleted = 0
  for (let walks = 0; walks < MOST_WALKS; walks++) {
    const before = await servers?.layout()
    await walkAll(lease, (key) => isMeant(key.subarray(lease.length, key.length - 1)))
    deleted += await walkAll(entry, isMeant)
    if ((await servers?.layout()) === before) return { deleted, complete: true }
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

async function walk(scan: Run, run: Run, start: string, isMeant: (key: Buffer) => boolean): Promise<number> {
  let deleted = 0
  for await (const found of walkKeys(scan, `${escapeGlob(start)}*`)) {
    const meant = found.filter(isMeant)
    if (meant.length === 0) continue
    const unlinked = await run((page) => page.add('UNLINK', ...meant))
    const refused = failedReply(unlinked)
    if (refused) throw refused
    deleted += Number(unlinked[0])
  }
  return deleted
}
