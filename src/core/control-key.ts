// Names of control data: keys `{prefix}~…`, outside everything that a pattern, budget or sweep of entries can reach.
import { startsWith } from './bytes.ts'
import { decodeText, encodeText } from './key-text.ts'

/** Run-time tokens by scope; empty maps where nothing was bumped. */
export interface Generations {
  global: string | null
  namespaces: ReadonlyMap<string, string>
  subjects: ReadonlyMap<string, string>
  tenants: ReadonlyMap<string, string>
  /** by `tenantSubjectScope(tenant, subject)` */
  tenantSubjects: ReadonlyMap<string, string>
}

/** What a bump makes unreachable. */
export type Scope =
  | { kind: 'global' }
  | { kind: 'namespace'; namespace: string }
  | { kind: 'subject'; subject: string }
  | { kind: 'tenant'; tenant: string }
  | { kind: 'tenant-subject'; tenant: string; subject: string }

/** Field of the generations hash that holds the random id of this control data's history. */
export const INCARNATION_FIELD = 'incarnation'

/** Field that a wide invalidation and every bump set to a new random text: what captured another one is refused. */
export const EPOCH_FIELD = 'epoch'

const TOKEN = /^[A-Za-z0-9_-]{1,64}$/

/** Whether the text can stand as a generation token in a key. */
export function isToken(text: string): boolean {
  return TOKEN.test(text)
}

/** Key of the one hash of all generations. */
export function generationsKey(prefix: string): string {
  return `${prefix}~generations`
}

/** Field of the generations hash: `global`, `namespace:list`, `subject:product`, `tenant:7`, `tenant-subject:7:product`. */
export function scopeField(scope: Scope): string {
  switch (scope.kind) {
    case 'global':
      return 'global'
    case 'namespace':
      return `namespace:${encodeText(scope.namespace, 'the namespace')}`
    case 'subject':
      return `subject:${encodeText(scope.subject, 'the subject')}`
    case 'tenant':
      return `tenant:${encodeText(scope.tenant, 'the tenant')}`
    case 'tenant-subject':
      return `tenant-subject:${encodeText(scope.tenant, 'the tenant')}:${encodeText(scope.subject, 'the subject')}`
  }
}

/** The scope whose token such a field holds; null: it is none of these. */
export function decodeScope(field: string): Scope | null {
  if (field === 'global') return { kind: 'global' }
  const [kind = '', ...names] = field.split(':')
  const [first, second] = names.map(decodeText)
  if (typeof first !== 'string') return null
  if (names.length === 1 && kind === 'namespace') return { kind, namespace: first }
  if (names.length === 1 && kind === 'subject') return { kind, subject: first }
  if (names.length === 1 && kind === 'tenant') return { kind, tenant: first }
  if (names.length === 2 && kind === 'tenant-subject' && typeof second === 'string')
    return { kind, tenant: first, subject: second }
  return null
}

/** Key of `Generations.tenantSubjects`. */
export function tenantSubjectScope(tenant: string, subject: string): string {
  return `${encodeText(tenant, 'the tenant')}\n${encodeText(subject, 'the subject')}`
}

/**
 * The generations hash as read from Redis. Fields that this version does not know are left out; the incarnation is null when the hash has none,
 * which means that all entries are misses.
 */
export function readGenerations(fields: Iterable<readonly [field: string, value: string]>): {
  incarnation: string | null
  generations: Generations
} {
  let incarnation: string | null = null
  let global: string | null = null
  const maps = {
    namespace: new Map<string, string>(),
    subject: new Map<string, string>(),
    tenant: new Map<string, string>(),
  }
  const tenantSubjects = new Map<string, string>()
  for (const [field, value] of fields) {
    if (field === INCARNATION_FIELD) incarnation = value
    const scope = decodeScope(field)
    if (scope?.kind === 'global') global = value
    else if (scope?.kind === 'namespace') maps.namespace.set(scope.namespace, value)
    else if (scope?.kind === 'subject') maps.subject.set(scope.subject, value)
    else if (scope?.kind === 'tenant') maps.tenant.set(scope.tenant, value)
    else if (scope?.kind === 'tenant-subject')
      tenantSubjects.set(tenantSubjectScope(scope.tenant, scope.subject), value)
  }
  const { namespace: namespaces, subject: subjects, tenant: tenants } = maps
  return { incarnation, generations: { global, namespaces, subjects, tenants, tenantSubjects } }
}

/**
 * Random text, new after every change of the generations hash: a read that finds the one which it knows need not read the hash. It is set after the
 * hash, so whoever finds the new text finds the new hash. In the Cluster slot of the hash, so that one script changes both.
 */
export function revisionKey(prefix: string): string {
  return `${prefix}~revision:{${generationsKey(prefix)}}`
}

/** Hash of the last bumps of each scope, in the Cluster slot of the generations hash. */
export function bumpsKey(prefix: string): string {
  return `${prefix}~bumps:{${generationsKey(prefix)}}`
}

/** Prefix of the fields of the generations hash that name the versions of the code whose entries an invalidation must cover. */
export const CODE_VERSION_FIELD = 'code:'

/** The same for versions whose processes were asked whether there are any left: covered until it is certain that nothing of theirs is. */
export const LEAVING_VERSION_FIELD = 'leaving:'

/** Field of the generations hash: the replication id of the server under which its entries were written. */
export const HISTORY_FIELD = 'history'

/**
 * Names of stamps, as entries hold them: a tag, all lists and counts of a model, all rows of a model that is related to another. Those of a
 * tenant are other stamps than those of all.
 */
export function stampName(kind: 'tag' | 'lists' | 'rows', name: string, tenant: string | null): string {
  const own = `${kind}:${encodeText(name, `the name of a ${kind} stamp`)}`
  return tenant === null ? own : `tenant:${encodeText(tenant, 'the tenant')}:${own}`
}

/** Key of a stamp: random text while entries with the tag are good; an invalidation deletes it. */
export function stampKey(prefix: string, name: string): string {
  return `${prefix}~stamp:${name}`
}

/** The last invalidations of stamps, newest first, as text: `token name\n…`. For stamps that are named while a load is under way. */
export function stampLogKey(prefix: string): string {
  return `${prefix}~stamp-log`
}

/** Hash of the processes that hold entries in their own memory, and of when the hash was made. */
export function processesKey(prefix: string): string {
  return `${prefix}~processes`
}

/** Pub/sub channel of invalidations. */
export function busChannel(prefix: string): string {
  return `${prefix}~bus`
}

/** Pub/sub channel on which those who wait for a load of this entry are woken. */
export function filledChannel(prefix: string, key: string): string {
  return `${prefix}~filled:{${key}}`
}

/** Hash of what was read and loaded in one minute: `minute` is whole minutes since 1970. */
export function countersKey(prefix: string, minute: number): string {
  return `${prefix}~counters:${minute}`
}

/** Fence of a subject: what a bulk write watches, and what an invalidation changes. */
export function fenceKey(prefix: string, subject: string): string {
  return `${prefix}~fence:${encodeText(subject, 'the subject')}`
}

/** Lease on an entry's key: shares its Cluster slot, because an entry key holds no braces of its own. */
export function leaseKey(prefix: string, key: string): string {
  return `${prefix}~lease:{${key}}`
}

/** Lock of a run; colons of the name stay. */
export function lockKey(prefix: string, name: string): string {
  return `${prefix}~lock:${name
    .split(':')
    .map((part) => encodeText(part, 'a part of the lock name'))
    .join(':')}`
}

/** Stream of what was done to the cache: by whom, when, with what result. */
export function journalKey(prefix: string): string {
  return `${prefix}~journal`
}

let lastStart: { prefix: string; bytes: Uint8Array } | null = null

/** Whether the key is control data of this prefix. Asked of every key of a walk. */
export function isControlKey(prefix: string, key: string | Uint8Array): boolean {
  if (typeof key === 'string') return key.startsWith(`${prefix}~`)
  if (lastStart?.prefix !== prefix) lastStart = { prefix, bytes: Buffer.from(`${prefix}~`) }
  return startsWith(key, lastStart.bytes)
}
