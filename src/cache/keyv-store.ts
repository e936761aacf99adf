// What a Keyv storage adapter does, over a kernel: where its keys are, and how one Keyv is cleared without touching another.
import { createHash } from 'node:crypto'
import type { ResolvedNamespace } from '../config/resolved.ts'
import { CachectlError } from '../core/errors.ts'
import { isWellFormed } from '../core/invisible.ts'
import { createKeys, stampName } from '../core/key.ts'
import { escapeGlob } from '../core/pattern.ts'
import type { Place, Policy } from './kernel.ts'
import { policyOf } from './policy.ts'
import type { Surface } from './surface.ts'

/** Keys as Keyv gives them: with its own namespace before the colon, if it has one. */
export interface KeyvStore {
  /** undefined: not there */
  get(keyvNamespace: string | undefined, keys: readonly string[]): Promise<unknown[]>
  has(keyvNamespace: string | undefined, keys: readonly string[]): Promise<boolean[]>
  /** False: not written. `ttlMs` undefined: the TTL of the namespace. @throws CachectlError USAGE, KEY_INVALID */
  set(keyvNamespace: string | undefined, key: string, value: unknown, ttlMs: number | undefined): Promise<boolean>
  /** Whether any of them was there. */
  delete(keyvNamespace: string | undefined, keys: readonly string[]): Promise<boolean>
  /** All of this Keyv namespace, and of the tenant, if there is one. */
  clear(keyvNamespace: string | undefined): Promise<void>
  /** Reads Redis key by key space, so an entry that is written meanwhile may be seen or not. @throws CachectlError where Redis is away */
  entries(keyvNamespace: string | undefined): AsyncGenerator<[key: string, value: unknown], void>
}

/** What an entry holds: a digest in the key says nothing of the text that it stands for. */
interface Stored {
  key: string
  value: unknown
}

/** First of two segments; the rest of a key that is there as itself is a single one. */
const DIGEST = 'digest'

export function createKeyvStore(surface: Surface, namespace: ResolvedNamespace): KeyvStore {
  const { kernel } = surface
  const { config } = kernel
  const keys = createKeys({ prefix: config.prefix, tenantLabel: config.tenantLabel })

  const placeOf = (keyvNamespace: string | undefined, key: string): Place => {
    const own = keyvNamespace ? `${keyvNamespace}:` : ''
    const text = key.startsWith(own) ? key.slice(own.length) : ''
    // what cannot stand as itself: too long, empty, ill-formed, or without the namespace that all others have
    const plain = text !== '' && isWellFormed(text) && !keys.rest(null, [text]).startsWith('#')
    const rest = plain ? [text] : [DIGEST, digestOf(key)]
    return { ...base(keyvNamespace), rest }
  }
  const base = (keyvNamespace: string | undefined): Place => ({
    namespace: namespace.name,
    subject: keyvNamespace ? `@keyv.${keyvNamespace}` : '@keyv',
    version: config.version,
    tenant: surface.tenant(),
    rest: [],
  })
  const policy = (keyvNamespace: string | undefined): Policy => ({
    ...policyOf(namespace),
    // Keyv says when an entry ends, and says `null` and `undefined` for itself
    graceMs: 0,
    jitter: 0,
    beta: 0,
    negativeTtlMs: null,
    clone: true,
    stamps: [stampOf(keyvNamespace)],
  })
  const stampOf = (keyvNamespace: string | undefined) => {
    const { subject, tenant } = base(keyvNamespace)
    return stampName('tag', `${subject}:${encodeURIComponent(namespace.name)}`, tenant)
  }

  const read = async (keyvNamespace: string | undefined, places: readonly Place[]): Promise<(Stored | undefined)[]> => {
    if (places.length === 0) return []
    const found = await kernel.read(places, policy(keyvNamespace))
    return found.map(({ hit, value }) => (hit === 'fresh' ? (value as Stored) : undefined))
  }

  /** What is there of this Keyv, a page at a time: keys in Redis, and where they are. */
  async function* scan(keyvNamespace: string | undefined): AsyncGenerator<{ key: Buffer; place: Place }[], void> {
    const place = base(keyvNamespace)
    const pattern = `${escapeGlob(await kernel.key(place))}*`
    for await (const page of kernel.scan(pattern)) {
      const found: { key: Buffer; place: Place }[] = []
      for (const key of page) {
        const parsed = keys.parse(key)
        // keys of tenants begin as those of none do
        if (parsed !== null && parsed.tenant === place.tenant)
          found.push({ key, place: { ...place, rest: parsed.rest } })
      }
      if (found.length > 0) yield found
    }
  }

  return {
    async get(keyvNamespace, texts) {
      const places = texts.map((key) => placeOf(keyvNamespace, key))
      return (await read(keyvNamespace, places)).map((stored) => stored?.value)
    },
    async has(keyvNamespace, texts) {
      const places = texts.map((key) => placeOf(keyvNamespace, key))
      return (await read(keyvNamespace, places)).map((stored) => stored !== undefined)
    },
    async set(keyvNamespace, key, value, ttlMs) {
      const place = placeOf(keyvNamespace, key)
      const given = policy(keyvNamespace)
      if (ttlMs !== undefined) {
        if (typeof ttlMs !== 'number' || Number.isNaN(ttlMs)) throw notMilliseconds(ttlMs)
        if (ttlMs <= 0) {
          await kernel.invalidate({ entries: [place] })
          return true
        }
        given.ttlMs = ttlMs === Number.POSITIVE_INFINITY ? null : Math.ceil(ttlMs)
      }
      return kernel.write([{ place, policy: given, value: { key, value } satisfies Stored }])
    },
    async delete(keyvNamespace, texts) {
      const places = texts.map((key) => placeOf(keyvNamespace, key))
      if (places.length === 0) return false
      const there = await read(keyvNamespace, places)
      await kernel.invalidate({ entries: places })
      return there.some((stored) => stored !== undefined)
    },
    async clear(keyvNamespace) {
      const { status } = await kernel.invalidate({ stamps: [stampOf(keyvNamespace)] })
      // what is unreachable now goes with its TTL; where there is none, nothing else would ever take it away
      if (namespace.ttlMs !== null || status === 'off') return
      for await (const page of scan(keyvNamespace)) await kernel.command('UNLINK', ...page.map(({ key }) => key))
    },
    async *entries(keyvNamespace) {
      for await (const page of scan(keyvNamespace)) {
        const stored = await read(
          keyvNamespace,
          page.map(({ place }) => place),
        )
        for (const one of stored) if (one !== undefined) yield [one.key, one.value]
      }
    },
  }
}

/** Of the UTF-16 units, so that ill-formed keys differ too. */
function digestOf(key: string): string {
  return createHash('sha256').update(Buffer.from(key, 'utf16le')).digest('base64url')
}

function notMilliseconds(ttlMs: unknown): CachectlError {
  return new CachectlError('USAGE', `a TTL of ${String(ttlMs)} is no time`, { hint: 'give milliseconds, as Keyv does' })
}
