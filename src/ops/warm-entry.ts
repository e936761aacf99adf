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
  sizeBytes: number
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

export interface EntryMaker {
  /** @throws CachectlError when the row cannot be cached: no tenant, a bad id, a value that cannot round-trip */
  detail(source: SourceRow, value: Row, deltaMs: number): Prepared
  key(id: Id, tenant: string | null): string
  pageKey(namespace: string, rest: readonly string[], tenant: string | null): string
  page(namespace: string, rest: readonly string[], tenant: string | null, value: unknown, deltaMs: number): Prepared
}

export interface MakerContext {
  config: ResolvedConfig
  model: ResolvedModel
  control: ControlState
  /** 8 characters that name the run in the entries that it wrote */
  writer: string
  now: () => number
  random: Random
}

export function createEntryMaker(context: MakerContext): EntryMaker {
  const { config, model, control, writer, random, now } = context
  const keys = createKeys({ prefix: config.prefix, tenantLabel: config.tenantLabel }, control.generations)
  const encoders = new Map<string, ReturnType<typeof createEntryEncoder>>()
  const headOf = createHeads(keys, model)
  const keyTenant = (tenant: string | null) => (model.tenant ? tenant : null)

  const encoderOf = ({ name, compressAboveBytes }: ResolvedNamespace, graceMs: number) => {
    const scope = `${name}:${graceMs}`
    const known = encoders.get(scope)
    if (known) return known
    const { incarnation } = control
    const encode = createEntryEncoder({ incarnation, graceMs, writer, tags: [], compressAboveBytes })
    encoders.set(scope, encode)
    return encode
  }

  const make = (key: string, namespace: ResolvedNamespace, life: EntryLife, value: unknown, extra: Extra): Prepared => {
    const createdAtMs = now()
    const ttlMs = life.ttlMs === null ? null : shorten(life.ttlMs, life.jitter, random)
    const freshUntilMs = ttlMs === null ? null : createdAtMs + ttlMs
    const text = encoderOf(namespace, life.graceMs)(value, { createdAtMs, freshUntilMs, ...extra })
    const physicalMs = ttlMs === null ? null : ttlMs + life.graceMs
    return {
      key,
      value: text,
      ttlMs: physicalMs,
      replace: false,
      id: null,
      tenant: null,
      sourceVersion: extra.sourceVersion,
      sizeBytes: typeof text === 'string' ? Buffer.byteLength(text) : text.length,
    }
  }

  const details = namespaceOf(config, model.namespace)
  const detailKey = (rest: Id, tenant: string | null) =>
    headOf(model.namespace, tenant) + keys.rest(keyTenant(tenant), [idText(rest)])
  const pageKey = (namespace: string, rest: readonly string[], tenant: string | null) =>
    headOf(namespace, tenant) + keys.rest(keyTenant(tenant), rest)
  return {
    key: detailKey,
    detail(source, value, deltaMs) {
      const key = detailKey(model.key ? model.key(source.row) : source.id, source.tenant)
      const life = { ttlMs: rowTtl(model, details, source.row), graceMs: model.graceMs, jitter: model.jitter }
      const prepared = make(key, details, life, value, { sourceVersion: source.version, deltaMs })
      prepared.id = source.id
      prepared.tenant = source.tenant
      return prepared
    },
    pageKey,
    page(namespaceName, rest, tenant, value, deltaMs) {
      const namespace = namespaceOf(config, namespaceName)
      return make(pageKey(namespaceName, rest, tenant), namespace, namespace, value, { sourceVersion: null, deltaMs })
    },
  }
}

interface Extra {
  sourceVersion: string | null
  deltaMs: number
}

function createHeads(keys: Keys, model: ResolvedModel): (namespace: string, tenant: string | null) => string {
  const heads = new Map<string, string>()
  return (namespace, tenant) => {
    if (model.tenant && tenant === null) {
      throw new CachectlError(
        'KEY_INVALID',
        `a row of ${model.name} has no tenant, and the model declares that every row has one`,
      )
    }
    const scope = `${namespace}\n${tenant ?? ''}`
    const known = heads.get(scope)
    if (known !== undefined) return known
    if (heads.size >= HEADS_KEPT) heads.clear()
    const head = keys.head({
      namespace,
      subject: model.subject,
      version: model.version,
      tenant: model.tenant ? tenant : null,
    })
    heads.set(scope, head)
    return head
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
