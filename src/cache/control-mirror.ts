// What this process knows of the control data: incarnation, generations, versions of the code. Good as long as the revision is the one that was read
// with it; every read of entries reads the revision too, so a bump is seen by the next read of every process.
import type { ResolvedConfig } from '../config/resolved.ts'
import { codeVersionFields } from '../core/code-version.ts'
import { CHANGE_CONTROL, WHEN_FULL } from '../core/control-script.ts'
import { CachectlError } from '../core/errors.ts'
import {
  CODE_VERSION_FIELD,
  createKeys,
  EPOCH_FIELD,
  generationsKey,
  HISTORY_FIELD,
  INCARNATION_FIELD,
  type Keys,
  LEAVING_VERSION_FIELD,
  readGenerations,
  revisionKey,
} from '../core/key.ts'
import { replyPairs } from '../core/reply.ts'
import type { Reply } from '../ports.ts'
import { inOrder } from './in-order.ts'
import type { Place } from './kernel.ts'
import { type Commands, failedReply } from './link.ts'
import { newToken } from './token.ts'

export type Run = (build: (page: Commands) => void) => Promise<readonly Reply[]>

export interface Mirror {
  readonly incarnation: string
  readonly revision: string
  readonly keys: Keys
  /** the key of a place */
  keyOf(place: Place): string
  /** its keys in all versions of the code that are registered, its own first */
  keysOf(place: Place): string[]
}

export interface ControlMirror {
  /** null: nothing was read yet, or it is known to be outdated */
  readonly current: Mirror | null
  /** Reads it anew; registers the versions of this process, and makes what is missing. */
  sync(run: Run): Promise<Mirror>
  /**
   * Notes under which history of the server the entries are; where it is another one, nothing old is trusted. `ofAll`: the histories of all masters, where
   * there are several. True: another one than this process saw last.
   */
  checkHistory(run: Run, ofAll: () => Promise<string | null>): Promise<boolean>
  outdated(): void
}

/** Beginnings of keys that are remembered until the next bump. */
const HEADS_REMEMBERED = 10_000

/**
 * With L1 the server tells when the revision changes: what is found in memory is not read together with it. `registers` false: for who only invalidates,
 * and writes no entries of the versions of its config.
 */
export function createControlMirror(config: ResolvedConfig, { registers = true } = {}): ControlMirror {
  const hasNear = Object.values(config.namespaces).some(({ l1 }) => l1 !== null)
  const hash = generationsKey(config.prefix)
  const revision = revisionKey(config.prefix)
  const registered = registers ? codeVersionFields(config) : []
  let current: Mirror | null = null
  /** the history that was found last */
  let seen: string | null = null
  /** how often it was said to be outdated */
  let outdatings = 0

  const read = async (run: Run): Promise<Mirror | null> => {
    const all = await inOrder(run, [
      (page) => {
        // Refused where nothing is tracked, or not yet: a new session reads it again.
        if (hasNear) page.add('CLIENT', 'CACHING', 'YES')
        page.add('GET', revision)
      },
      // Behind the revision: what is read then is at least as new.
      (page) => page.add('HGETALL', hash),
    ])
    const replies = hasNear ? all.slice(1) : all
    const failed = failedReply(replies)
    if (failed) throw failed
    const known = replies[0] === null ? null : String(replies[0])
    const fields = replyPairs(replies[1] ?? null)
    const { incarnation, generations } = readGenerations(fields)
    const missing = registered.filter((field) => !fields.has(field))
    if (known !== null && incarnation !== null && missing.length === 0)
      return createMirror(config, { incarnation, revision: known, generations, fields })
    const since = new Date().toISOString()
    const fresh = [
      EPOCH_FIELD,
      newToken(),
      INCARNATION_FIELD,
      newToken(),
      ...missing.flatMap((field) => [field, since]),
    ]
    await changeControl(run, config.prefix, 'HSETNX', fresh)
    return null
  }

  return {
    get current() {
      return current
    },
    async sync(run) {
      for (let attempt = 0; attempt < 10; attempt++) {
        const before = outdatings
        const mirror = await read(run)
        if (mirror === null) continue
        // What was bumped while it was read may be in it or not: this caller's reads are told by the revision, copies in memory are not.
        if (before === outdatings) current = mirror
        return mirror
      }
      throw new CachectlError('REDIS_REPLY', `${hash} does not stay: is it being deleted all the time?`)
    },
    async checkHistory(run, ofAll) {
      let scattered = false
      const [info] = await run((page) => {
        scattered = page.scattered === true
        page.add('INFO', 'replication')
      })
      const text = Buffer.isBuffer(info) ? info.toString() : ''
      if (/^role:slave/m.test(text))
        throw new CachectlError('REDIS_REFUSES_WRITES', 'this Redis is a replica now', {
          hint: 'it is used again when it is the primary',
        })
      // Of one server by the connection that is going to be used: another one may lead elsewhere.
      const history = scattered ? await ofAll() : (/^master_replid:(\w+)/m.exec(text)?.[1] ?? null)
      if (history === null) return false
      await runAlways(run, ENTER_HISTORY, [hash, revision], [history, newToken(), newToken(), newToken()])
      const another = seen !== null && seen !== history
      seen = history
      return another
    },
    outdated() {
      outdatings++
      current = null
    },
  }
}

/**
 * Another history: what was invalidated under the old one may be back, so a new incarnation. Of control data that no library has used yet none is known.
 * One among several is enough; a master that left took nothing along that was invalidated.
 * KEYS: hash, revision. ARGV: histories with a space between them, incarnation, epoch, revision.
 */
const ENTER_HISTORY = `
local known = redis.call('HGET', KEYS[1], '${HISTORY_FIELD}')
if known == ARGV[1] then return 0 end
redis.call('HSET', KEYS[1], '${HISTORY_FIELD}', ARGV[1])
if not known and redis.call('HEXISTS', KEYS[1], '${INCARNATION_FIELD}') == 1 then return 0 end
local another = not known
for id in string.gmatch(ARGV[1], '%S+') do
  if known and not string.find(' ' .. known .. ' ', ' ' .. id .. ' ', 1, true) then another = true end
end
if not another then return 0 end
redis.call('HSET', KEYS[1], '${INCARNATION_FIELD}', ARGV[2], '${EPOCH_FIELD}', ARGV[3])
redis.call('SET', KEYS[2], ARGV[4])
return 1`

/** Changes control data, also where the server is over its memory limit; whoever reads the new revision reads the new hash. @throws CachectlError */
export async function changeControl(
  run: Run,
  prefix: string,
  how: 'HSET' | 'HSETNX',
  fields: readonly string[],
): Promise<void> {
  const keys = [generationsKey(prefix), revisionKey(prefix)]
  await runAlways(run, CHANGE_CONTROL, keys, [how, newToken(), ...fields])
}

/** The answer of a script that a full server lets through, one way or the other. @throws CachectlError */
export async function runAlways(
  run: Run,
  script: string,
  keys: readonly string[],
  args: readonly string[],
): Promise<Reply> {
  let failed: CachectlError | null = null
  for (const start of WHEN_FULL) {
    const replies = await run((page) => page.add('EVAL', start + script, keys.length, ...keys, ...args))
    failed = failedReply(replies)
    if (failed === null) return replies[0] ?? null
  }
  throw failed
}

function createMirror(
  config: ResolvedConfig,
  read: Pick<Mirror, 'incarnation' | 'revision'> & {
    generations: Parameters<typeof createKeys>[1]
    fields: ReadonlyMap<string, string>
  },
): Mirror {
  const { incarnation, revision, generations, fields } = read
  const keys = createKeys({ prefix: config.prefix, tenantLabel: config.tenantLabel }, generations)
  const codes = [...fields.keys()]
    .filter((field) => field.startsWith(CODE_VERSION_FIELD) || field.startsWith(LEAVING_VERSION_FIELD))
    .map((field) => field.slice(field.indexOf(':') + 1).split(':'))
  const heads = new Map<string, string>()
  let last: (Omit<Place, 'rest'> & { head: string }) | null = null
  const headOf = ({ namespace, subject, version, tenant }: Place): string => {
    // Calls come in runs of one kind, and comparing names is cheaper than looking them up.
    if (
      last !== null &&
      last.subject === subject &&
      last.tenant === tenant &&
      last.namespace === namespace &&
      last.version === version
    )
      return last.head
    const id = placeId({ namespace, subject, version, tenant, rest: [] })
    const head = heads.get(id) ?? keys.head({ namespace, subject, version, tenant })
    if (heads.size >= HEADS_REMEMBERED) heads.clear()
    heads.set(id, head)
    last = { namespace, subject, version, tenant, head }
    return head
  }
  return {
    incarnation,
    revision,
    keys,
    keyOf: (place) => headOf(place) + keys.rest(place.tenant, place.rest),
    keysOf(place) {
      const subject = encodeURIComponent(place.subject)
      const versions = new Set([place.version])
      for (const [version = '', of] of codes) if (of === undefined || of === subject) versions.add(version)
      return [...versions].map((version) => keys.build({ ...place, version }))
    },
  }
}

/** A text for a place, the same for the same place only. */
export function placeId({ namespace, subject, version, tenant, rest }: Place): string {
  let id = `${namespace}\n${version}\n${tenant === null ? '' : `${tenant.length}:${tenant}`}\n${subject.length}:${subject}`
  for (const segment of rest) id += `\n${segment.length}:${segment}`
  return id
}
