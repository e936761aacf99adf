// Versions of raw namespaces, which are numbers under keys of other software (`versionKey`): which there are, what is written under which, and their bump.
import type { ResolvedConfig } from '../config/resolved.ts'
import { CachectlError } from '../core/errors.ts'
import { printable } from '../core/printable.ts'
import { compileRawKey, type RawKey, rawKeyParts, spellVersionKey } from '../core/raw-key.ts'
import { isErrorReply } from '../core/reply.ts'
import type { Reply, Store } from '../ports.ts'
import { addKey, type CountedKeys, type KeyCount, type Measure, newCount, type Teller } from './version-count.ts'

/** One version, of a namespace, or of one subject or tenant in it. */
export interface RawVersion {
  namespace: string
  subject: string | null
  tenant: string | null
  /** the key that holds it */
  versionKey: string
  /** null: there is none, so the other software reads its first version */
  value: string | null
  /** why it is no version that can be counted up; null: it is */
  problem: string | null
  /** keys by the version that they are of */
  counts: Map<string, KeyCount>
}

export interface RawVersions {
  /** an entry of a raw namespace with a `versionKey`, or such a key itself */
  knows(key: Buffer): boolean
  count(key: Buffer, measure: Measure): void
  /** Reads what the version keys hold that were met. @throws CachectlError */
  readVersions(store: Store): Promise<void>
  readonly found: readonly RawVersion[]
  /** there are more than are told apart */
  readonly overflowed: boolean
}

/** Version keys that are told apart. */
const MOST_VERSIONS = 10_000
const PAGE = 500

interface Reader {
  namespace: string
  versionKey: string
  entry(key: Buffer): RawKey | null
  version(key: Buffer): RawKey | null
}

export function rawVersions(config: ResolvedConfig): RawVersions {
  const readers = readersOf(config)
  const found = new Map<string, RawVersion>()
  let overflowed = false
  const at = (namespace: string, { subject, tenant }: RawKey, versionKey: string): RawVersion | null => {
    const known = found.get(versionKey)
    if (known !== undefined) return known
    if (found.size >= MOST_VERSIONS) {
      overflowed = true
      return null
    }
    const made = { namespace, subject, tenant, versionKey, value: null, problem: null, counts: new Map() }
    found.set(versionKey, made)
    return made
  }
  return {
    knows: (key) => readers.some(({ entry, version }) => entry(key) !== null || version(key) !== null),
    count(key, measure) {
      for (const reader of readers) {
        const parts = reader.version(key)
        if (parts !== null) at(reader.namespace, parts, key.toString('utf8'))
        const entry = parts === null ? reader.entry(key) : null
        if (entry === null) continue
        // Of the subject's version, not of what else stands in the key.
        const named = rawKeyParts(reader.versionKey)
        const owner = {
          ...entry,
          subject: named.has('subject') ? entry.subject : null,
          tenant: named.has('tenant') ? entry.tenant : null,
        }
        const version = at(reader.namespace, owner, spellVersionKey(reader.versionKey, entry))
        if (version === null) return
        const name = entry.version ?? ''
        const counted = version.counts.get(name) ?? newCount()
        version.counts.set(name, counted)
        return addKey(counted, measure)
      }
    },
    async readVersions(store) {
      const all = [...found.values()]
      const replies = await getAll(
        store,
        all.map(({ versionKey }) => versionKey),
      )
      for (const [index, version] of all.entries()) Object.assign(version, readVersion(replies[index] ?? null))
    },
    get found() {
      return [...found.values()]
    },
    get overflowed() {
      return overflowed
    },
  }
}

function readersOf({ namespaces }: ResolvedConfig): Reader[] {
  return Object.values(namespaces).flatMap(({ name, format, keyPattern, versionKey }) => {
    if (format !== 'raw' || keyPattern === null || versionKey === null) return []
    if (!rawKeyParts(keyPattern).has('version')) return []
    const literal = Buffer.from(versionKey)
    const nothing: RawKey = { subject: null, version: null, tenant: null, rest: null }
    const version =
      rawKeyParts(versionKey).size > 0
        ? compileRawKey(versionKey)
        : (key: Buffer) => (literal.equals(key) ? nothing : null)
    return [{ namespace: name, versionKey, entry: compileRawKey(keyPattern), version }]
  })
}

async function getAll(store: Store, keys: readonly string[]): Promise<Reply[]> {
  const replies: Reply[] = []
  if (keys.length === 0) return replies
  const lane = await store.lane({ noTouch: true })
  try {
    for (let start = 0; start < keys.length; start += PAGE) {
      const page = lane.page()
      for (const key of keys.slice(start, start + PAGE)) page.add('GET', key)
      replies.push(...(await lane.run(page)))
    }
  } finally {
    lane.close()
  }
  return replies
}

function readVersion(reply: Reply): Pick<RawVersion, 'value' | 'problem'> {
  if (isErrorReply(reply)) return { value: null, problem: printable(reply.error) }
  if (reply === null) return { value: null, problem: null }
  const value = String(reply)
  return { value, problem: isCount(value) ? null : `\`${printable(value)}\` is no whole number` }
}

function isCount(text: string): boolean {
  return /^(?:0|-?[1-9]\d{0,15})$/.test(text)
}

/** Keys of smaller numbers: versions only go up, so nothing is written under them that anybody reads. */
export function deadVersions({ value, counts }: RawVersion): [version: string, count: KeyCount][] {
  if (value === null || !isCount(value)) return []
  return [...counts].filter(([version]) => isCount(version) && Number(version) < Number(value))
}

export interface RawScope {
  scope: string
  subject: string | null
  tenant: string | null
  versionKey: string
  token: string | null
  problem: string | null
  previous: { token: string; counted: CountedKeys }[]
  current: CountedKeys
}

export function rawScopeOf(version: RawVersion, told: Teller): RawScope {
  const { namespace, subject, tenant, versionKey, value, problem, counts } = version
  return {
    scope: `namespace:${printable(namespace)}`,
    subject: subject === null ? null : printable(subject),
    tenant: tenant === null ? null : printable(tenant),
    versionKey: printable(versionKey),
    token: value === null ? null : printable(value),
    problem,
    previous: deadVersions(version).map(([token, count]) => ({ token: printable(token), counted: told(count) })),
    current: told(value === null ? undefined : counts.get(value)),
  }
}

/**
 * One more, as INCR does, TTL kept. Absent: ARGV[1], which is none that its keys are of. With a second argument, what was there before a try whose answer
 * was lost: something else is there by now, so it is done. KEYS: version key. Returns what was there, '' for nothing, and what is.
 */
export const BUMP_RAW = `
local before = redis.call('GET', KEYS[1]) or ''
if #ARGV > 1 and before ~= ARGV[2] then return {ARGV[2], before} end
if before == '' then redis.call('SET', KEYS[1], ARGV[1]) else redis.call('INCR', KEYS[1]) end
return {before, redis.call('GET', KEYS[1])}`

/**
 * What stands for the first version where none is written: other software takes 0 or 1 for it, so it is 2, or more than any key is of.
 */
export function firstBumped({ counts }: RawVersion): string {
  return String(Math.max(1, ...[...counts.keys()].filter(isCount).map(Number)) + 1)
}

/** @throws CachectlError REFUSED for what cannot be counted up */
export function assertCountable({ versionKey, problem }: RawVersion): void {
  if (problem === null) return
  throw new CachectlError('REFUSED', `${printable(versionKey)} holds no version that can be bumped: ${problem}`, {
    hint: `look at it with: cachectl get '${printable(versionKey)}'`,
  })
}
