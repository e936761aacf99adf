// What this process knows of the control data: incarnation, generations, versions of the code. Good as long as the revision is the one that was read
// with it; every read of entries reads the revision too, so a bump is seen by the next read of every process.
import type { ResolvedConfig } from '../config/resolved.ts'
import { CachectlError } from '../core/errors.ts'
import {
  CODE_VERSION_FIELD,
  createKeys,
  EPOCH_FIELD,
  generationsKey,
  HISTORY_FIELD,
  INCARNATION_FIELD,
  type Keys,
  readGenerations,
  revisionKey,
} from '../core/key.ts'
import type { Reply } from '../ports.ts'
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
  /** Notes under which history of the server the entries are; where it is another one, nothing old is trusted. */
  checkHistory(run: Run): Promise<void>
  outdated(): void
}

/** Beginnings of keys that are remembered until the next bump. */
const HEADS_REMEMBERED = 10_000

export function createControlMirror(config: ResolvedConfig): ControlMirror {
  const hash = generationsKey(config.prefix)
  const revision = revisionKey(config.prefix)
  const registered = codeVersions(config)
  let current: Mirror | null = null

  const read = async (run: Run): Promise<Mirror | null> => {
    const replies = await run((page) => {
      // The revision first: what is read behind it is at least as new.
      page.add('GET', revision)
      page.add('HGETALL', hash)
    })
    const failed = failedReply(replies)
    if (failed) throw failed
    const known = replies[0] === null ? null : String(replies[0])
    const fields = pairs(replies[1] ?? null)
    const { incarnation, generations } = readGenerations(fields)
    const missing = registered.filter((field) => !fields.has(field))
    if (known !== null && incarnation !== null && missing.length === 0)
      return createMirror(config, { incarnation, revision: known, generations, fields })
    await writeAlways(run, [
      ['HSETNX', hash, EPOCH_FIELD, newToken()],
      ['HSETNX', hash, INCARNATION_FIELD, newToken()],
      ...missing.map((field) => ['HSETNX', hash, field, new Date().toISOString()]),
      ['SET', revision, newToken()],
    ])
    return null
  }

  return {
    get current() {
      return current
    },
    async sync(run) {
      for (let attempt = 0; attempt < 10; attempt++) {
        const mirror = await read(run)
        if (mirror !== null) {
          current = mirror
          return mirror
        }
      }
      throw new CachectlError('REDIS_REPLY', `${hash} does not stay: is it being deleted all the time?`)
    },
    async checkHistory(run) {
      const [info] = await run((page) => page.add('INFO', 'replication'))
      const text = Buffer.isBuffer(info) ? info.toString() : ''
      if (/^role:slave/m.test(text))
        throw new CachectlError('REDIS_REFUSES_WRITES', 'this Redis is a replica now', {
          hint: 'it is used again when it is the primary',
        })
      const history = /^master_replid:(\w+)/m.exec(text)?.[1]
      if (history === undefined) return
      const replies = await run((page) => page.add('EVAL', ENTER_HISTORY, 1, hash, history, newToken(), newToken()))
      const failed = failedReply(replies)
      if (failed) throw failed
      if (replies[0] === 1) await writeAlways(run, [['SET', revision, newToken()]])
    },
    outdated() {
      current = null
    },
  }
}

/** One command as a script that a full server lets through (Redis 7 and later). KEYS: key. ARGV: command, arguments behind the key. */
const ALWAYS = `#!lua flags=allow-oom
return redis.call(ARGV[1], KEYS[1], unpack(ARGV, 2))`

/** Writes control data, also where the server is over its memory limit. @throws CachectlError */
export async function writeAlways(run: Run, commands: readonly (readonly string[])[]): Promise<void> {
  const replies = await run((page) => {
    for (const [name = '', key = '', ...args] of commands) page.add('EVAL', ALWAYS, 1, key, name, ...args)
  })
  const failed = failedReply(replies)
  if (failed === null) return
  // An older server knows no flags; another one may allow the commands and no scripts.
  const plain = await run((page) => {
    for (const command of commands) page.add(...command)
  })
  const refused = failedReply(plain)
  if (refused) throw refused
}

/** Another history: what was invalidated under the old one may be back, so a new incarnation. KEYS: hash. ARGV: history, incarnation, epoch. */
const ENTER_HISTORY = `
local known = redis.call('HGET', KEYS[1], '${HISTORY_FIELD}')
if known == ARGV[1] then return 0 end
redis.call('HSET', KEYS[1], '${HISTORY_FIELD}', ARGV[1], '${INCARNATION_FIELD}', ARGV[2], '${EPOCH_FIELD}', ARGV[3])
return 1`

/** Fields of the versions that this code reads and writes: `code:1`, and `code:1.2:product` of a model with a version of its own. */
function codeVersions(config: ResolvedConfig): string[] {
  const own = Object.values(config.models)
    .filter((model) => model.version !== config.version)
    .map((model) => `${CODE_VERSION_FIELD}${model.version}:${encodeURIComponent(model.subject)}`)
  return [`${CODE_VERSION_FIELD}${config.version}`, ...own]
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
    .filter((field) => field.startsWith(CODE_VERSION_FIELD))
    .map((field) => field.slice(CODE_VERSION_FIELD.length).split(':'))
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

function pairs(reply: Reply): Map<string, string> {
  const fields = new Map<string, string>()
  if (!Array.isArray(reply)) return fields
  for (let index = 0; index + 1 < reply.length; index += 2) fields.set(String(reply[index]), String(reply[index + 1]))
  return fields
}
