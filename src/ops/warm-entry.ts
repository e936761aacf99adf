// From a row to what is written: the fields that the model lets through, its key, its TTL, its envelope.
import type { ResolvedConfig, ResolvedModel, ResolvedNamespace } from '../config/resolved.ts'
import { createEntryEncoder, type TagStamp } from '../core/entry.ts'
import { CachectlError } from '../core/errors.ts'
import { createKeys, idText, type Keys } from '../core/key.ts'
import { rowTtlMs, shorten } from '../core/lifetime.ts'
import type { BulkWrite, ControlState, Id, Random, Row, SourceRow } from '../ports.ts'

/** Tenants whose key heads are kept; beyond that they are built anew, so that memory stays flat. */
const HEADS_KEPT = 10_000

export interface EntryLife {
  /** null: no expiry */
  ttlMs: number | null
  graceMs: number
  jitter: number
}

/** An entry about to be written, with what its guard must know. */
export interface Prepared extends BulkWrite {
  id: Id | null
  tenant: string | null
  sourceVersion: string | null
}

/** When the values of a page were made, and how long one of them took. */
export interface Made {
  atMs: number
  deltaMs: number
}

export interface EntryMaker {
  /** @throws CachectlError when the row cannot be cached: no tenant, a bad id, a value that cannot round-trip */
  detail(source: SourceRow, value: Row, made: Made, tags: readonly TagStamp[]): Prepared
  key(id: Id, tenant: string | null): string
  pageKey(namespace: string, rest: readonly string[], tenant: string | null): string
  page(target: PageTarget, value: unknown, made: Made, tags: readonly TagStamp[]): Prepared
  /** Before jitter, with its grace: how long the entry of this row is there at most; null: without end. */
  longestMs(row: Row): number | null
}

/** A page of a list, or a count. */
export interface PageTarget {
  namespace: string
  rest: readonly string[]
  tenant: string | null
}

export interface MakerContext {
  config: ResolvedConfig
  model: ResolvedModel
  control: ControlState
  /** 8 characters that name the run in the entries that it wrote */
  writer: string
  random: Random
}

export function createEntryMaker(context: MakerContext): EntryMaker {
  const { config, model, control, writer, random } = context
  const keys = createKeys({ prefix: config.prefix, tenantLabel: config.tenantLabel }, control.generations)
  const headOf = createHeads(keys, model)
  const keyTenant = (tenant: string | null) => (model.tenant ? tenant : null)
  const encoderOf = ({ compressAboveBytes }: ResolvedNamespace, graceMs: number, tags: readonly TagStamp[]) =>
    createEntryEncoder({ incarnation: control.incarnation, graceMs, writer, tags, compressAboveBytes })

  const detailNamespace = namespaceOf(config, model.namespace)
  const untagged = encoderOf(detailNamespace, model.graceMs, [])
  // Rows with the same stamps mostly come together.
  let last: { tags: readonly TagStamp[]; encode: typeof untagged } = { tags: [], encode: untagged }
  const encoderOfDetail = (tags: readonly TagStamp[]): typeof untagged => {
    if (tags.length === 0) return untagged
    if (last.tags !== tags) last = { tags, encode: encoderOf(detailNamespace, model.graceMs, tags) }
    return last.encode
  }
  const make = (life: EntryLife, encode: typeof untagged, made: Made, value: unknown, entry: Addressed): Prepared => {
    const ttlMs = life.ttlMs === null ? null : shorten(life.ttlMs, life.jitter, random)
    const { key, id, tenant, sourceVersion } = entry
    const freshUntilMs = ttlMs === null ? null : made.atMs + ttlMs
    const { bytes, sizeBytes } = encode(value, {
      createdAtMs: made.atMs,
      freshUntilMs,
      sourceVersion,
      deltaMs: made.deltaMs,
    })
    const physicalMs = ttlMs === null ? null : ttlMs + life.graceMs
    return { key, value: bytes, sizeBytes, ttlMs: physicalMs, replace: false, id, tenant, sourceVersion }
  }

  const key = (id: Id, tenant: string | null) =>
    headOf(model.namespace, tenant) + keys.rest(keyTenant(tenant), [idText(id)])
  const pageKey = (namespace: string, rest: readonly string[], tenant: string | null) =>
    headOf(namespace, tenant) + keys.rest(keyTenant(tenant), rest)
  const { graceMs, jitter } = model
  return {
    key,
    pageKey,
    longestMs(row) {
      const ttlMs = rowTtlMs(model, detailNamespace, row)
      return ttlMs === null ? null : ttlMs + graceMs
    },
    detail({ id, row, tenant, version }, value, made, tags) {
      const entry = { key: key(model.key ? model.key(row) : id, tenant), id, tenant, sourceVersion: version }
      const life = { ttlMs: rowTtlMs(model, detailNamespace, row), graceMs, jitter }
      return make(life, encoderOfDetail(tags), made, value, entry)
    },
    page({ namespace: name, rest, tenant }, value, made, tags) {
      const namespace = namespaceOf(config, name)
      const entry = { key: pageKey(name, rest, tenant), id: null, tenant: null, sourceVersion: null }
      return make(namespace, encoderOf(namespace, namespace.graceMs, tags), made, value, entry)
    },
  }
}

type Addressed = Pick<Prepared, 'key' | 'id' | 'tenant' | 'sourceVersion'>

function createHeads(keys: Keys, model: ResolvedModel): (namespace: string, tenant: string | null) => string {
  const heads = new Map<string, string>()
  let last: { namespace: string; tenant: string | null; head: string } | null = null
  const headOf = (namespace: string, tenant: string | null): string => {
    const scope = `${namespace}\n${tenant ?? ''}`
    const known = heads.get(scope)
    if (known !== undefined) return known
    if (heads.size >= HEADS_KEPT) heads.clear()
    const { subject, version } = model
    const head = keys.head({ namespace, subject, version, tenant: model.tenant ? tenant : null })
    heads.set(scope, head)
    return head
  }
  return (namespace, tenant) => {
    if (model.tenant && tenant === null) {
      throw new CachectlError(
        'KEY_INVALID',
        `a row of ${model.name} has no tenant, and the model declares that every row has one`,
      )
    }
    // Rows of one tenant mostly come together.
    if (last?.namespace !== namespace || last.tenant !== tenant)
      last = { namespace, tenant, head: headOf(namespace, tenant) }
    return last.head
  }
}

export function namespaceOf(config: ResolvedConfig, name: string): ResolvedNamespace {
  const namespace = config.namespaces[name]
  if (!namespace) throw new CachectlError('CONFIG_INVALID', `namespace ${name} is not declared`)
  return namespace
}
