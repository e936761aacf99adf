// Deleting what matches a pattern, with every load under way that would bring it back.
import type { KeyScheme } from '../core/key.ts'
import { createKeys } from '../core/key.ts'
import { assertPattern, compileGlob } from '../core/pattern.ts'
import type { Reply } from '../ports.ts'
import type { Run } from './control-mirror.ts'
import type { Change } from './kernel.ts'
import { failedReply } from './link.ts'

const PAGE = 1000

/**
 * Two walks. The first takes the leases of matching keys: a load that began before it cannot write any more when it ends, and what it wrote before is
 * there when the second walk begins, which deletes the entries. One walk would miss an entry that is filled behind its cursor.
 * @returns how many entries were deleted
 */
export async function deleteMatching(
  scheme: KeyScheme,
  { glob, tenant }: NonNullable<Change['pattern']>,
  run: Run,
): Promise<number> {
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
  await walk(run, lease, (key) => isMeant(key.subarray(lease.length, key.length - 1)))
  return walk(run, entry, isMeant)
}

async function walk(run: Run, start: string, isMeant: (key: Buffer) => boolean): Promise<number> {
  const escaped = start.replace(/[*?[\]\\]/g, '\\$&')
  let deleted = 0
  let cursor = '0'
  do {
    const replies = await run((page) => page.add('SCAN', cursor, 'MATCH', `${escaped}*`, 'COUNT', PAGE))
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
