// Where an entry of a raw namespace is: its key as the other software spells it, under the version that is written in Redis now.
import { LRUCache } from 'lru-cache'
import type { ResolvedNamespace } from '../config/resolved.ts'
import { CachectlError } from '../core/errors.ts'
import { idText } from '../core/key.ts'
import { plainJson } from '../core/plain-json.ts'
import { type RawKey, rawKeyParts, spellRawKey, spellVersionKey } from '../core/raw-key.ts'
import { isErrorReply } from '../core/reply.ts'
import type { Id, Reply } from '../ports.ts'
import type { CountedPlace } from './counters.ts'
import type { Kernel } from './kernel.ts'

/** Of a glob: the whole key. Of a template: the subject and the segments of the rest, as far as the template has them. */
export type RawKeyInput = Id | readonly Id[]

export interface RawPlace {
  counted: CountedPlace
  /** the same for the same entry, whatever its version */
  id: string
  /** null: the key does not depend on a version */
  versionKey: string | null
  /** `version`: null where there is no version key. @throws CachectlError KEY_INVALID */
  key(version: string | null): string
}

/** @throws CachectlError USAGE, KEY_INVALID where the namespace cannot spell such a key */
export function rawPlace(namespace: ResolvedNamespace, input: RawKeyInput, tenant: string | null): RawPlace {
  const { keyPattern, name } = namespace
  if (namespace.format !== 'raw' || keyPattern === null) throw usage(`the namespace ${name} is not raw`, RAW_HINT)
  const named = rawKeyParts(keyPattern)
  const parts = partsOf(input, named, name, tenant)
  const versionKey = named.has('version') ? versionKeyOf(namespace, parts) : null
  const key = (version: string | null) => spellRawKey(keyPattern, { ...parts, version })
  // refuses at once what cannot be spelled under any version
  key(versionKey === null ? null : '1')
  const { subject, rest } = parts
  return {
    counted: { namespace: name, subject: subject ?? '*', tenant: parts.tenant },
    id: plainJson([name, subject, parts.tenant, rest]),
    versionKey,
    key,
  }
}

const RAW_HINT = "declare it with `format: 'raw'` and `key`"

function partsOf(input: RawKeyInput, named: ReadonlySet<keyof RawKey>, name: string, tenant: string | null): RawKey {
  const segments = (Array.isArray(input) ? input : [input]).map((segment) => idText(segment))
  if (named.size === 0) {
    if (segments.length !== 1)
      throw usage(
        `a key of the namespace ${name} is one text`,
        'its `key` is a glob: give the whole key, which must match it',
      )
    return { subject: null, version: null, tenant: null, rest: segments[0] as string }
  }
  if (named.has('tenant') !== (tenant !== null)) throw tenantMismatch(name, tenant)
  const subject = named.has('subject') ? (segments.shift() ?? null) : null
  if (segments.length > 0 && !named.has('rest'))
    throw usage(`a key of the namespace ${name} has no more than a subject`, 'see its `key` in the config')
  // ['a:b', 'c'] and ['a', 'b:c'] would be one key
  if (segments.length > 1 && segments.some((segment) => segment.includes(':')))
    throw usage(`a segment of a key of ${name} holds the colon that separates them`, 'give the rest as one segment')
  return { subject, version: null, tenant, rest: segments.length === 0 ? null : segments.join(':') }
}

function tenantMismatch(name: string, tenant: string | null): CachectlError {
  return tenant === null
    ? usage(
        `the keys of ${name} name a tenant, and there is none here`,
        'use `cache.tenant(id)` or `cache.runWithTenant`',
      )
    : usage(
        `the keys of ${name} do not name the tenant, so tenants would share its entries`,
        'write {tenant} into its `key`, or declare it with a glob and give whole keys',
      )
}

function versionKeyOf({ name, versionKey }: ResolvedNamespace, parts: RawKey): string {
  if (versionKey === null)
    throw usage(
      `the keys of ${name} hold a version, and nothing says which`,
      'name the key that holds it with `versionKey`, or write the version itself into `key`',
    )
  return spellVersionKey(versionKey, parts)
}

function usage(message: string, hint: string): CachectlError {
  return new CachectlError('USAGE', message, { hint })
}

/** What Redis said of an entry. `key` null: there is no version, so nothing can be read or written. */
export interface RawReply {
  key: string | null
  bytes: Reply
}

const MOST_VERSIONS = 10_000

export interface RawReader {
  /** Version and entry in one round trip, where the version is the last that was seen. @throws CachectlError */
  read(place: RawPlace): Promise<RawReply>
  /** The key under the version that is now. @throws CachectlError */
  key(place: RawPlace): Promise<string | null>
}

export function createRawReader(kernel: Pick<Kernel, 'command'>): RawReader {
  const seen = new LRUCache<string, string>({ max: MOST_VERSIONS })
  const get = async (key: string) => {
    const reply = await kernel.command('GET', key)
    if (isErrorReply(reply)) throw new CachectlError('REDIS_REPLY', `Redis answered: ${reply.error}`)
    return reply
  }

  const versionOf = async (versionKey: string): Promise<string | null> => {
    const reply = await get(versionKey)
    if (reply === null) seen.delete(versionKey)
    else seen.set(versionKey, String(reply))
    return reply === null ? null : String(reply)
  }

  return {
    async read(place) {
      const { versionKey } = place
      if (versionKey === null) {
        const key = place.key(null)
        return { key, bytes: await get(key) }
      }
      const guess = seen.get(versionKey)
      // both commands go out in one write
      const [version, guessed] = await Promise.all([
        versionOf(versionKey),
        guess === undefined ? null : get(place.key(guess)),
      ])
      if (version === null) return { key: null, bytes: null }
      const key = place.key(version)
      return { key, bytes: version === guess ? guessed : await get(key) }
    },
    async key(place) {
      const { versionKey } = place
      if (versionKey === null) return place.key(null)
      const version = await versionOf(versionKey)
      return version === null ? null : place.key(version)
    },
  }
}
