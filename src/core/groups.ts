// Which group a key is counted in: first what the config declares, then what looks alike. Bounded memory, well under a microsecond a key.
import { type Declaration, type DeclaredCache, declarationOf, own } from './declared.ts'
import { createKeys, isControlKey, type Keys } from './key.ts'
import { printable } from './printable.ts'
import { compileRawKey } from './raw-key.ts'
import { hashBytes } from './shape.ts'
import { createShapeTable } from './shape-table.ts'
import { createTally, mergeTally, type Tally } from './tally.ts'

export const GROUP_BY = ['namespace', 'model', 'tenant', 'version', 'pattern', 'type'] as const
export type GroupBy = (typeof GROUP_BY)[number]

export interface GroupIdentity {
  /** for people and scripts: a glob of what is in the group, without prefix and version (`list:city:*`) */
  group: string
  namespace: string | null
  subject: string | null
  tenant: string | null
  version: string | null
  declaration: Declaration
}

export interface Group {
  identity: GroupIdentity
  tally: Tally
}

export interface GroupTable {
  /** The group of a key; ask again for each key. `type`: what TYPE said, where groups are by type. */
  at(key: Buffer, type: string | null): { tally: Tally; longestTtlMs: number | null }
  /** Largest first; control data apart, because it belongs to no group. */
  finish(): { groups: Group[]; control: Tally }
}

/** Groups by tenant can be very many: beyond this the smallest are counted together. */
const MOST_GROUPS = 10_000
/** Distinct beginnings of keys that are remembered, so that a key is parsed only when its beginning is new. */
const MOST_HEADS = 16_384
const COLON = 58
const TILDE = 126
export const REST_GROUP = '(other)'

interface Head {
  bytes: Uint8Array
  group: Group
  next: Head | null
}

interface Place {
  namespace: string
  subject: string | null
  tenant: string | null
  version: string | null
}

const NOWHERE: Declaration = { declared: false, expectsTtl: false, longestTtlMs: null }
const REST_IDENTITY: GroupIdentity = {
  group: REST_GROUP,
  namespace: null,
  subject: null,
  tenant: null,
  version: null,
  declaration: NOWHERE,
}

/** `sampleSize`: how many keys of each declared group are kept for reading their headers; 0 for none. */
export function createGroupTable(cache: DeclaredCache | null, by: readonly GroupBy[], sampleSize: number): GroupTable {
  const shapes = createShapeTable<Tally>({
    create: () => createTally(),
    merge: mergeTally,
    weight: (tally) => tally.keys,
  })
  const control = { tally: createTally(), longestTtlMs: null }
  const places = createPlaces(cache, by, sampleSize)
  const readers =
    cache === null || by.includes('pattern') ? [] : [schemeReader(cache, by, places), ...rawReaders(cache, places)]
  const byType = by.includes('type')
  const prefixBytes = Buffer.byteLength(cache?.prefix ?? '')

  return {
    at(key, type) {
      if (cache !== null && key[prefixBytes] === TILDE && isControlKey(cache.prefix, key)) return control
      if (byType) return placed(places.named(type ?? 'unknown'))
      for (const read of readers) {
        const group = read(key)
        if (group !== null) return placed(group)
      }
      return { tally: shapes.at(key), longestTtlMs: null }
    },
    finish() {
      const inferred = shapes
        .finish()
        .map(({ pattern, value }) => ({ identity: { ...REST_IDENTITY, group: labelOf(pattern) }, tally: value }))
      const groups = [...places.all(), ...inferred].filter((group) => group.tally.keys > 0)
      return {
        groups: groups.sort((a, b) => b.tally.keys - a.tally.keys || (a.identity.group < b.identity.group ? -1 : 1)),
        control: control.tally,
      }
    },
  }
}

function placed(group: Group): { tally: Tally; longestTtlMs: number | null } {
  return { tally: group.tally, longestTtlMs: group.identity.declaration.longestTtlMs }
}

function labelOf(pattern: string | null): string {
  return pattern === null ? REST_GROUP : pattern === '' ? '(empty key)' : pattern
}

interface Places {
  at(place: Place): Group
  named(name: string): Group
  all(): Group[]
}

function createPlaces(cache: DeclaredCache | null, by: readonly GroupBy[], sampleSize: number): Places {
  let groups = new Map<string, Group>()
  let rest: Group | null = null

  const fold = (): void => {
    const bySize = [...groups].sort(([, a], [, b]) => b.tally.keys - a.tally.keys)
    rest ??= { identity: REST_IDENTITY, tally: createTally() }
    for (const [, group] of bySize.slice(MOST_GROUPS / 2)) {
      mergeTally(rest.tally, group.tally)
      group.tally = rest.tally // remembered heads lead to it
    }
    groups = new Map(bySize.slice(0, MOST_GROUPS / 2))
  }
  const add = (id: string, identity: GroupIdentity, sampled: boolean): Group => {
    if (groups.size >= MOST_GROUPS) fold()
    const group = { identity, tally: createTally(sampled ? sampleSize : 0) }
    groups.set(id, group)
    return group
  }

  return {
    at(place) {
      const namespace = by.includes('namespace') ? place.namespace : null
      const subject = by.includes('model') ? place.subject : null
      const tenant = by.includes('tenant') ? place.tenant : null
      const version = by.includes('version') ? place.version : null
      const id = JSON.stringify([namespace, subject, tenant, version])
      const found = cache === null ? NOWHERE : declarationOf(cache, place.namespace, subject)
      const present = groups.get(id)
      if (present !== undefined) {
        // A group is declared when all that is in it is.
        if (!found.declared) present.identity.declaration = NOWHERE
        return present
      }
      const declaration = namespace === null ? { ...NOWHERE, declared: found.declared } : found
      const envelopes = cache !== null && own(cache.namespaces, place.namespace)?.format === 'envelope'
      return add(
        id,
        {
          group: placeLabel({ namespace, subject, tenant, version }, by),
          namespace,
          subject,
          tenant,
          version,
          declaration,
        },
        envelopes,
      )
    },
    named(name) {
      return groups.get(name) ?? add(name, { ...REST_IDENTITY, group: name }, false)
    },
    all: () => [...groups.values(), ...(rest === null ? [] : [rest])],
  }
}

/** `list:*`, `list:city:*`, `v1:*`, `*:city:*`. */
export function placeLabel(
  place: Omit<Place, 'namespace'> & { namespace: string | null },
  by: readonly GroupBy[],
): string {
  const version = by.includes('version') ? [place.version === null ? '*' : `v${place.version}`] : []
  const tenant = by.includes('tenant') ? (place.tenant ?? '(no tenant)') : '*'
  const segments = [...version, place.namespace ?? '*', place.subject ?? '*', tenant, '*']
  return printable(segments.join(':')).replace(/\*(:\*)+/g, '*')
}

type Reader = (key: Buffer) => Group | null

/** Keys of the config's own scheme, by their beginning: it says all that groups are made of. */
function schemeReader(cache: DeclaredCache, by: readonly GroupBy[], places: Places): Reader {
  const keys: Keys = createKeys({ prefix: cache.prefix, tenantLabel: cache.tenantLabel })
  const start = Buffer.from(`${cache.prefix}:`)
  const tenantStart = by.includes('tenant') ? tenantSegmentStart(keys, cache.tenantLabel) : null
  let heads = new Map<number, Head>()
  let remembered = 0

  return (key) => {
    const end = startsWith(key, start, 0) ? headEnd(key, start.length, tenantStart) : -1
    if (end < 0) return null
    const hash = hashBytes(key, start.length, end)
    for (let head = heads.get(hash) ?? null; head !== null; head = head.next)
      if (sameStart(head.bytes, key, end)) return head.group
    // With a rest of our own: what a group is made of must not depend on which of its keys came first.
    const parsed = keys.parse(`${key.toString('utf8', 0, end)}${key[end - 1] === COLON ? 'x' : ':x'}`)
    if (parsed === null) return null
    const group = places.at(parsed)
    if (remembered++ >= MOST_HEADS) {
      heads = new Map()
      remembered = 1
    }
    heads.set(hash, { bytes: Uint8Array.from(key.subarray(0, end)), group, next: heads.get(hash) ?? null })
    return group
  }
}

/** `org_`, as the scheme spells it. */
function tenantSegmentStart(keys: Keys, label: string | null): Buffer | null {
  if (label === null) return null
  const segment = keys.head({ namespace: 'n', subject: 's', version: '1', tenant: 'x' }).split(':').at(-2) ?? ''
  return Buffer.from(segment.slice(0, -1))
}

function rawReaders(cache: DeclaredCache, places: Places): Reader[] {
  const prefix = Buffer.from(`${cache.prefix}:`)
  return Object.entries(cache.namespaces)
    .filter(([, namespace]) => namespace.format === 'raw' && namespace.keyPattern !== null)
    .map(([name, namespace]) => {
      const read = compileRawKey(namespace.keyPattern ?? '')
      return (key) => {
        const parts = startsWith(key, prefix, 0) ? null : read(key)
        return parts === null
          ? null
          : places.at({ namespace: name, subject: parts.subject, tenant: parts.tenant, version: parts.version })
      }
    })
}

/** Where version, namespace, subject and, if asked for, tenant end; -1 where the key is too short to have them. */
function headEnd(key: Buffer, from: number, tenantStart: Buffer | null): number {
  let left = 3
  let end = from
  for (; end < key.length && left > 0; end++) if (key[end] === COLON) left--
  if (left > 0) return -1
  if (tenantStart === null || !startsWith(key, tenantStart, end)) return end
  while (end < key.length && key[end] !== COLON) end++
  return end
}

function startsWith(key: Buffer, start: Buffer, at: number): boolean {
  if (key.length < at + start.length) return false
  for (let i = 0; i < start.length; i++) if (key[at + i] !== start[i]) return false
  return true
}

function sameStart(bytes: Uint8Array, key: Buffer, length: number): boolean {
  if (bytes.length !== length) return false
  for (let i = 0; i < length; i++) if (bytes[i] !== key[i]) return false
  return true
}
