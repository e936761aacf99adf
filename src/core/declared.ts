// What a config says of keys: which namespaces and subjects are its own, how long their entries may live, what depends on what.

/** The part of a config that speaks of keys. */
export interface DeclaredCache {
  readonly prefix: string
  readonly tenantLabel: string | null
  readonly namespaces: Readonly<Record<string, DeclaredNamespace>>
  readonly models: Readonly<Record<string, DeclaredModel>>
}

export interface DeclaredNamespace {
  readonly ttlMs: number | null
  readonly graceMs: number
  readonly format: 'envelope' | 'raw'
  readonly keyPattern: string | null
}

export interface DeclaredModel {
  readonly name: string
  readonly subject: string
  readonly namespace: string
  readonly version: string
  readonly tenant: boolean
  readonly ttl: ((row: never) => number | null) | number | null | undefined
  readonly graceMs: number
  readonly related: readonly string[]
  readonly join: readonly { readonly model: string }[]
  readonly lists: readonly { readonly namespace: string; readonly countNamespace: string | null }[]
}

export interface Declaration {
  declared: boolean
  /** true: an entry without TTL is a mistake */
  expectsTtl: boolean
  /** what PTTL may say at most; null: nothing is known */
  longestTtlMs: number | null
}

const UNDECLARED: Declaration = { declared: false, expectsTtl: false, longestTtlMs: null }

/** Clocks and roundings: a TTL counts as too long only beyond this. */
const tolerated = (ttlMs: number): number => ttlMs * 1.01 + 1000

/** What is declared of the entries of one namespace, or of one subject in it. `subject` null: of all its subjects. */
export function declarationOf(cache: DeclaredCache, namespace: string, subject: string | null): Declaration {
  const declared = own(cache.namespaces, namespace)
  if (declared === undefined) return UNDECLARED
  const models = Object.values(cache.models).filter((model) => subject === null || model.subject === subject)
  if (subject !== null && models.length === 0 && declared.format === 'envelope') return UNDECLARED
  // Models say how long their detail entries live; lists and counts live as long as their namespace says.
  const physical = models
    .filter((model) => model.namespace === namespace && model.ttl !== undefined)
    .map(({ ttl, graceMs }) => (typeof ttl === 'number' ? ttl + graceMs : null))
  const onlyModels = subject !== null && physical.length > 0
  if (!onlyModels) physical.push(declared.ttlMs === null ? null : declared.ttlMs + declared.graceMs)
  const known = physical.filter((ttlMs) => ttlMs !== null)
  const complete = known.length === physical.length
  return { declared: true, expectsTtl: complete, longestTtlMs: complete ? tolerated(Math.max(...known)) : null }
}

/** The subjects of these models and of those that are joined from them or related to them, transitively. */
export function dependentSubjects(cache: DeclaredCache, model: DeclaredModel): Set<string> {
  const found = new Set([model.name])
  for (let before = 0; before < found.size; ) {
    before = found.size
    for (const candidate of Object.values(cache.models)) {
      const parents = [...candidate.related, ...candidate.join.map((join) => join.model)]
      if (parents.some((parent) => found.has(parent))) found.add(candidate.name)
    }
  }
  return new Set([...found].map((name) => own(cache.models, name)?.subject ?? name))
}

export function own<T>(record: Readonly<Record<string, T>>, name: string): T | undefined {
  return Object.hasOwn(record, name) ? record[name] : undefined
}
