// Keys that may have been meant by one that is not there: the same entry in another version, namespace or tenant, or spelled as keys are.
import type { DeclaredCache } from './declared.ts'
import { type EntryAddress, idText, type Keys, type ParsedKey } from './key.ts'
import { percentDecoded } from './key-text.ts'
import { nearest } from './nearest.ts'

export interface NearKey {
  key: string
  /** what is different about it: `in version v2` */
  how: string
}

export interface NearContext {
  cache: DeclaredCache & { readonly version: string }
  /** under the current generations */
  keys: Keys
  /** that the config or processes know */
  versions: readonly string[]
}

/** Each is looked for in Redis. */
const MOST_KEYS = 40
const MOST_SEGMENTS = 1_000

/** The likeliest first, each once, without the key itself. */
export function nearKeys(text: string, parsed: ParsedKey | null, context: NearContext): NearKey[] {
  const found = new Map<string, NearKey>()
  for (const { key, how } of parsed === null ? respelled(text, context) : elsewhere(parsed, context))
    if (key !== text && !found.has(key)) found.set(key, { key, how })
  return [...found.values()].slice(0, MOST_KEYS)
}

function* elsewhere(parsed: ParsedKey, { cache, keys, versions }: NearContext): Generator<NearKey> {
  const near = (change: Partial<EntryAddress>, how: string): NearKey => ({
    key: spell(keys, { ...parsed, ...change }),
    how,
  })
  const { subject, namespace, version, tenant } = parsed
  yield near({}, 'of the current generation')
  yield { key: keys.plain(parsed), how: 'from before the first bump' }
  const models = Object.values(cache.models)
  for (const model of models)
    if (model.name === subject && model.subject !== subject)
      yield near(
        { subject: model.subject, version: model.version },
        `of ${model.name}, whose subject is ${model.subject}`,
      )
  if (!subject.startsWith('@')) yield near({ subject: `@fn.${subject}` }, `of the function ${subject}`)
  if (tenant !== null) yield near({ tenant: null }, 'without tenant')
  for (const other of versions) if (other !== version) yield near({ version: other }, `in version v${other}`)
  for (const [name, { format }] of Object.entries(cache.namespaces))
    if (name !== namespace && format === 'envelope') yield near({ namespace: name }, `in namespace ${name}`)
  const meant = nearest(
    subject,
    models.map((model) => model.subject),
  )
  if (meant !== null && meant !== subject) yield near({ subject: meant }, `of ${meant}`)
}

/** What was typed by hand: without encoding, prefix or version, or with a rest that is too long to stand in a key. */
function* respelled(text: string, { cache, keys }: NearContext): Generator<NearKey> {
  const parts = text.split(':')
  if (parts.length > MOST_SEGMENTS) return
  const segments = parts[0] === cache.prefix ? parts.slice(1) : parts
  const versioned = /^v\d+(\.\d+)?(~|$)/.test(segments[0] ?? '')
  const [first = '', second = '', ...rest] = versioned ? segments.slice(1) : segments
  const model = Object.values(cache.models).find(({ name }) => name === first)
  if (!versioned && model !== undefined && second !== '') {
    const { namespace, subject, version } = model
    const key = spelled(keys, { namespace, subject, version, tenant: null, rest: [second, ...rest] })
    if (key !== null) yield { key, how: `of ${model.name} ${[second, ...rest].join(':')}` }
  }
  const namespace = plain(first)
  if (!Object.hasOwn(cache.namespaces, namespace)) return
  const subject = plain(second)
  const own = Object.values(cache.models).find((candidate) => candidate.subject === subject)?.version ?? cache.version
  const version = versioned ? (segments[0] ?? '').slice(1).replace(/~.*/, '') : own
  const { tenant, left } = tenantOf(rest, cache.tenantLabel)
  const key = spelled(keys, {
    namespace,
    subject,
    version,
    tenant,
    rest: left.map((segment) => percentDecoded(segment) ?? segment),
  })
  if (key === null) return
  yield { key, how: key.includes('#') ? 'with a digest in place of its long rest' : 'as keys are spelled' }
}

function tenantOf(rest: readonly string[], label: string | null): { tenant: string | null; left: readonly string[] } {
  const [first = '', ...left] = rest
  if (label === null || !first.startsWith(`${label}_`) || left.length === 0) return { tenant: null, left: rest }
  return { tenant: plain(first.slice(label.length + 1)), left }
}

/** Without generation token and encoding. */
function plain(segment: string): string {
  const text = segment.replace(/~.*/, '')
  return percentDecoded(text) ?? text
}

/** A digest cannot be spelled again, and stays. */
function spell(keys: Keys, address: EntryAddress & { digest?: string | null }): string {
  return address.digest ? `${keys.head(address)}#${address.digest}` : keys.build(address)
}

/** Null: nothing that can be a key. */
function spelled(keys: Keys, address: EntryAddress): string | null {
  try {
    return keys.build({ ...address, rest: address.rest.filter((segment) => segment !== '').map(idText) })
  } catch {
    return null
  }
}
