// From a row to what is written: the fields that the model lets through, its key, its TTL, its envelope.
import type { ResolvedConfig, ResolvedModel, ResolvedNamespace } from '../config/resolved.ts'
import { createEntryEncoder } from '../core/entry.ts'
import { CachectlError } from '../core/errors.ts'
import { createKeys, idText, type Keys } from '../core/key.ts'
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

/** The fields of a row that may reach Redis. */
export function createProjection(model: ResolvedModel): (row: Row) => Row {
  const excluded = new Set(model.exclude)
  const fields = model.fields?.filter((field) => !excluded.has(field)) ?? null
  if (fields)
    return (row) => {
      const projected: Row = {}
      for (const field of fields) if (field in row) projected[field] = row[field]
      return projected
    }
  if (excluded.size === 0) return (row) => row
  return (row) => {
    const projected: Row = {}
    for (const field in row) if (!excluded.has(field)) projected[field] = row[field]
    return projected
  }
}

/** When the values of a page were made, and how long one of them took. */
export interface Made {
  atMs: number
  deltaMs: number
}

export interface EntryMaker {
  /** @throws CachectlError when the row cannot be cached: no tenant, a bad id, a value that cannot round-trip */
  detail(source: SourceRow, value: Row, made: Made): Prepared
  key(id: Id, tenant: string | null): string
  pageKey(namespace: string, rest: readonly string[], tenant: string | null): string
  page(namespace: string, rest: readonly string[], tenant: string | null, value: unknown, made: Made): Prepared
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
  const encoderOf = ({ compressAboveBytes }: ResolvedNamespace, graceMs: number) =>
    createEntryEncoder({ incarnation: control.incarnation, graceMs, writer, tags: [], compressAboveBytes })

  const detailNamespace = namespaceOf(config, model.namespace)
  const encodeDetail = encoderOf(detailNamespace, model.graceMs)
  const make = (
    life: EntryLife,
    encode: typeof encodeDetail,
    made: Made,
    value: unknown,
    entry: Addressed,
  ): Prepared => {
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
    detail({ id, row, tenant, version }, value, made) {
      const entry = { key: key(model.key ? model.key(row) : id, tenant), id, tenant, sourceVersion: version }
      return make({ ttlMs: rowTtl(model, detailNamespace, row), graceMs, jitter }, encodeDetail, made, value, entry)
    },
    page(namespaceName, rest, tenant, value, made) {
      const namespace = namespaceOf(config, namespaceName)
      const entry = { key: pageKey(namespaceName, rest, tenant), id: null, tenant: null, sourceVersion: null }
      return make(namespace, encoderOf(namespace, namespace.graceMs), made, value, entry)
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

function namespaceOf(config: ResolvedConfig, name: string): ResolvedNamespace {
  const namespace = config.namespaces[name]
  if (!namespace) throw new CachectlError('CONFIG_INVALID', `namespace ${name} is not declared`)
  return namespace
}

function rowTtl(model: ResolvedModel, namespace: ResolvedNamespace, row: Row): number | null {
  const ttl = typeof model.ttl === 'function' ? model.ttl(row) : model.ttl
  return ttl === undefined ? namespace.ttlMs : ttl
}

/** Jitter only shortens: an entry never lives longer than the config says. */
export function shorten(ttlMs: number, jitter: number, random: Random): number {
  return Math.max(1, Math.round(ttlMs * (1 - jitter * random())))
}
