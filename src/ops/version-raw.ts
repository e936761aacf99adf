// Versions of raw namespaces, which are numbers under keys of other software (`versionKey`): which there are, what is written under which, and their bump.
import type { ResolvedConfig } from '../config/resolved.ts'
import { asCachectlError, CachectlError } from '../core/errors.ts'
import { printable } from '../core/printable.ts'
import { compileRawKey, type RawKey, rawKeyParts, spellVersionKey } from '../core/raw-key.ts'
import type { Store } from '../ports.ts'
import { addKey, type CountedKeys, type KeyCount, type Measure, newCount, type Teller } from './version-tally.ts'

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
  /** Whose version an entry is of, and which; null: it is no such entry. */
  placeOf(key: Buffer): { versionKey: string; version: string } | null
  /** Reads what the version keys hold that were met. @throws CachectlError */
  readVersions(store: Store): Promise<void>
  readonly found: readonly RawVersion[]
  /** there are more than are told apart */
  readonly overflowed: boolean
}

/** Version keys that are told apart. */
const MOST_VERSIONS = 10_000
/** Versions of one of them under which keys are counted. */
const MOST_COUNTED = 1_000
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
  const placeOf = (key: Buffer) => {
    for (const { namespace, versionKey, entry } of readers) {
      const parts = isText(key) ? entry(key) : null
      if (parts === null || !spells(versionKey, parts)) continue
      // Of the subject's version, not of what else stands in the key.
      const named = rawKeyParts(versionKey)
      const [subject, tenant] = [named.has('subject') ? parts.subject : null, named.has('tenant') ? parts.tenant : null]
      const owner = { ...parts, subject, tenant }
      return { namespace, owner, versionKey: spellVersionKey(versionKey, parts), version: parts.version ?? '' }
    }
    return null
  }
  return {
    knows: (key) => readers.some(({ entry, version }) => entry(key) !== null || version(key) !== null),
    count(key, measure) {
      for (const reader of readers) {
        const parts = reader.version(key)
        if (parts !== null && isText(key)) at(reader.namespace, parts, key.toString('utf8'))
      }
      const place = placeOf(key)
      const version = place === null ? null : at(place.namespace, place.owner, place.versionKey)
      if (place === null || version === null) return
      if (version.counts.size >= MOST_COUNTED && !version.counts.has(place.version)) return
      const counted = version.counts.get(place.version) ?? newCount()
      version.counts.set(place.version, counted)
      addKey(counted, measure)
    },
    placeOf,
    readVersions: (store) => readAll(store, [...found.values()]),
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

/** Keys of other software may be any bytes; what is no text cannot be named by its parts. */
function isText(key: Buffer): boolean {
  return Buffer.from(key.toString('utf8')).equals(key)
}

function spells(versionKey: string, parts: RawKey): boolean {
  try {
    return spellVersionKey(versionKey, parts) !== ''
  } catch {
    return false
  }
}

async function readAll(store: Store, versions: readonly RawVersion[]): Promise<void> {
  for (let start = 0; start < versions.length; start += PAGE)
    await Promise.all(
      versions.slice(start, start + PAGE).map(async (version) => {
        Object.assign(version, await readVersion(store, version.versionKey))
      }),
    )
}

async function readVersion(store: Store, key: string): Promise<Pick<RawVersion, 'value' | 'problem'>> {
  try {
    const reply = await store.call('GET', key)
    if (reply === null) return { value: null, problem: null }
    const value = String(reply)
    return { value, problem: isCount(value) ? null : `\`${printable(value)}\` is no whole number` }
  } catch (thrown) {
    const error = asCachectlError(thrown)
    if (!error.message.includes('WRONGTYPE')) throw error
    return { value: null, problem: 'it is no string, but another type of Redis' }
  }
}

function isCount(text: string): boolean {
  return /^(?:0|-?[1-9]\d{0,15})$/.test(text)
}

/** Keys of smaller numbers: versions only go up, so nothing is written under them that anybody reads. */
export function isDeadVersion(version: string, value: string | null): boolean {
  return value !== null && isCount(value) && isCount(version) && Number(version) < Number(value)
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
    previous: [...counts]
      .filter(([token]) => isDeadVersion(token, value))
      .map(([token, count]) => ({ token: printable(token), counted: told(count) })),
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
