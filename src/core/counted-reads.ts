// Reads and loads that live processes counted, brought into the groups that a report has of keys.
import { type CountedGroup, type CounterField, readCounterField } from './counter-fields.ts'
import { type DeclaredCache, declarationOf, own } from './declared.ts'
import { type Group, type GroupBy, type GroupIdentity, placeLabel } from './groups.ts'
import { rawKeyParts } from './raw-key.ts'
import { createTally } from './tally.ts'
import type { Target } from './target.ts'

export interface ReadCounts {
  /** fresh from L1 and L2, and stale */
  hits: number
  misses: number
  loads: number
  loadUs: number
}

export interface CountedReads {
  /** What was counted of each of these groups, and groups that were read but of which no key is there: most read first. */
  attach(groups: readonly Group[]): { reads: Map<Group, ReadCounts>; keyless: Group[] }
  /** of all that the targets mean; null: nothing was counted, or they mean less than whole groups */
  readonly total: ReadCounts | null
  /** reads that no group has, because a process had too many groups to tell them apart */
  readonly unplaced: number
}

export interface ReadTable extends CountedReads {
  /** One field of a hash of counters; what is none is passed over. */
  add(field: string, by: number): void
}

export interface ReadTableOptions {
  cache: DeclaredCache
  by: readonly GroupBy[]
  targets: readonly Target[]
  tenant: string | null
}

/** As many as there are groups of keys at most; what is beyond is in the total alone. */
const MOST_GROUPS = 10_000

interface Row {
  place: { namespace: string | null; subject: string | null; tenant: string | null }
  /** one of those that were counted in it */
  namespace: string
  counts: ReadCounts
}

export function createReadTable(options: ReadTableOptions): ReadTable {
  const { cache, by, targets, tenant } = options
  const rows = new Map<string, Row>()
  const subjects = new Set<string>()
  const meant = meantBy(targets, tenant)
  // Of versions, patterns and types counters know nothing.
  const placed = by.every((one) => one === 'namespace' || one === 'model' || one === 'tenant')
  let total: ReadCounts | null = null
  let unplaced = 0

  return {
    add(field, amount) {
      const read = readCounterField(field)
      if (read === null || !Number.isSafeInteger(amount) || amount < 0) return
      const { group, counted } = read
      if (group.subject !== null && own(cache.namespaces, group.namespace)) {
        subjects.add(subjectId(group.namespace, group.subject))
        subjects.add(subjectId(null, group.subject))
      }
      if (meant === null || !meant(group)) return
      total ??= { hits: 0, misses: 0, loads: 0, loadUs: 0 }
      count(total, counted, amount)
      if (!placed) return
      const row = rowOf(rows, group, options)
      if (row !== null) count(row.counts, counted, amount)
      else if (fieldOf(counted) === 'hits' || fieldOf(counted) === 'misses') unplaced += amount
    },
    attach(groups) {
      const left = new Map(rows)
      const reads = new Map<Group, ReadCounts>()
      for (const group of groups) {
        const { namespace, subject } = group.identity
        if (subject !== null && subjects.has(subjectId(namespace, subject))) register(group.identity)
        const id = rowId(group.identity, group.identity.group)
        const row = left.get(id)
        if (row === undefined) continue
        left.delete(id)
        reads.set(group, row.counts)
      }
      const keyless = [...left.values()]
        .filter(({ counts }) => counts.hits + counts.misses + counts.loads > 0)
        .sort((a, b) => b.counts.hits + b.counts.misses - a.counts.hits - a.counts.misses)
        .map(({ place, namespace, counts }) => {
          const { declared } = declarationOf(cache, namespace, place.subject)
          const declaration = { declared, expectsTtl: false, longestTtlMs: null }
          const identity = { ...place, group: placeLabel({ ...place, version: null }, by), version: null, declaration }
          if (place.subject !== null && subjects.has(subjectId(place.namespace, place.subject))) register(identity)
          const group: Group = { identity, tally: createTally() }
          reads.set(group, counts)
          return group
        })
      return { reads, keyless }
    },
    get total() {
      return total
    },
    get unplaced() {
      return unplaced
    },
  }
}

/** A function, route or fragment that live code has. How long its entries live is known to that code alone. */
function register(identity: GroupIdentity): void {
  if (!identity.declaration.declared) identity.declaration = { declared: true, expectsTtl: false, longestTtlMs: null }
}

/** Null: it is of several groups, or there are too many. */
function rowOf(rows: Map<string, Row>, group: CountedGroup, { by, cache }: ReadTableOptions): Row | null {
  const byModel = by.includes('model')
  const byTenant = by.includes('tenant')
  if ((byModel && group.subject === null) || (byTenant && group.severalTenants)) return null
  const namespace = own(cache.namespaces, group.namespace)
  // Keys of other software are grouped by what can be read of them.
  const parts = namespace?.format === 'raw' && namespace.keyPattern !== null ? rawKeyParts(namespace.keyPattern) : null
  const place = {
    namespace: by.includes('namespace') ? group.namespace : null,
    subject: byModel && parts?.has('subject') !== false ? group.subject : null,
    tenant: byTenant && parts?.has('tenant') !== false ? group.tenant : null,
  }
  const id = rowId(place, placeLabel({ ...place, version: null }, by))
  const known = rows.get(id)
  if (known !== undefined || rows.size >= MOST_GROUPS) return known ?? null
  const row = { place, namespace: group.namespace, counts: { hits: 0, misses: 0, loads: 0, loadUs: 0 } }
  rows.set(id, row)
  return row
}

/** With its label, which tells it from a group of strangers that has no names at all. */
function rowId({ namespace, subject, tenant }: Row['place'], label: string): string {
  return JSON.stringify([label, namespace, subject, tenant])
}

/** `namespace` null: in any. */
function subjectId(namespace: string | null, subject: string): string {
  return JSON.stringify([namespace, subject])
}

/** Null: a target means single entries, of which nothing is counted. */
function meantBy(targets: readonly Target[], tenant: string | null): ((group: CountedGroup) => boolean) | null {
  const tests: ((group: CountedGroup) => boolean)[] = []
  for (const target of targets) {
    if (target.kind === 'all') tests.push(() => true)
    else if (target.kind === 'namespace') tests.push((group) => group.namespace === target.namespace)
    else if (target.kind === 'tenant') tests.push((group) => group.tenant === target.tenant)
    else if (target.kind === 'subject' && target.rest === null)
      tests.push((group) => group.subject !== null && target.subjects.includes(group.subject))
    else if (target.kind === 'model' && target.id === null)
      tests.push((group) => group.subject !== null && target.dependants.has(group.subject))
    else return null
  }
  return (group) =>
    (tenant === null || group.tenant === tenant) && (tests.length === 0 || tests.some((test) => test(group)))
}

function fieldOf(counted: CounterField): keyof ReadCounts | null {
  switch (counted) {
    case 'l1':
    case 'l2':
    case 'stale':
      return 'hits'
    case 'miss':
      return 'misses'
    case 'load':
      return 'loads'
    case 'us':
      return 'loadUs'
    default:
      return null
  }
}

function count(counts: ReadCounts, counted: CounterField, amount: number): void {
  const field = fieldOf(counted)
  if (field !== null) counts[field] += amount
}
