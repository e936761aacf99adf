// The options of a config: what each may be. The types of the same options, with what they mean, are in define-config.ts.
import { MAX_HEARTBEAT_MS } from '../core/lifetime.ts'
import { PERSISTENCE } from '../core/server-policy.ts'
import type { Row, Source } from '../ports.ts'
import type { Place } from './problems.ts'
import {
  array,
  checkName,
  duration,
  flag,
  fn,
  integer,
  isObject,
  jitter,
  name,
  object,
  oneOf,
  type Reader,
  record,
  size,
  text,
  ttl,
  wrong,
} from './readers.ts'
import { redis } from './redis-servers.ts'

const LARGE = Number.MAX_SAFE_INTEGER

const compress: Reader<{ above: number | undefined } | false> = (value, place) => {
  return value === false ? false : object({ above: size })(value, place)
}

const limits = { maxKeys: integer(1, LARGE), maxMemory: size }
export const evictionPolicy = oneOf('lru', 'lfu', 'random', 'ttl')

const namespaceLimits = object({ ...limits, policy: evictionPolicy })
const budget: typeof namespaceLimits = Object.assign(
  (value: unknown, place: Place) => {
    const limited = !isObject(value) || value.maxKeys !== undefined || value.maxMemory !== undefined
    if (!limited) place.report('has no limit', 'write `maxKeys` or `maxMemory`')
    return namespaceLimits(value, place)
  },
  { fields: namespaceLimits.fields },
)

/** `false` is an answer here: not at all. */
const durationOrFalse: Reader<number | false> = (value, place) => (value === false ? false : duration(1)(value, place))

const beta: Reader<number> = (value, place) => {
  if (value === undefined || (typeof value === 'number' && value >= 0 && value <= 10)) return value
  return wrong(place, value, 'a number from 0 to 10')
}

const behaviour = {
  grace: duration(0),
  jitter,
  compress,
  negativeTtl: durationOrFalse,
  timeout: object({ soft: duration(1), hard: duration(1) }),
  beta,
}

const nearLimits = object({ maxEntries: integer(1, LARGE), maxMemory: size })
const l1: Reader<boolean | NonNullable<ReturnType<typeof nearLimits>>> = (value, place) =>
  typeof value === 'boolean' ? value : nearLimits(value, place)

const validate: Reader<'always' | number | false> = (value, place) =>
  value === 'always' ? 'always' : durationOrFalse(value, place)

const namespace = object({
  ttl,
  ...behaviour,
  budget,
  format: oneOf('raw'),
  key: text,
  versionKey: text,
  l1,
  redis: text,
})

type Scalar = string | number | boolean | null

/** Values of columns, as they stand in keys. */
const columns: Reader<Record<string, Scalar>> = record(
  () => undefined,
  // `null` is a value here, and readers give undefined for none
  (value, place): Scalar | undefined => {
    const known =
      value === null ||
      typeof value === 'string' ||
      typeof value === 'boolean' ||
      (typeof value === 'number' && Number.isFinite(value))
    return known || value === undefined
      ? (value as Scalar | undefined)
      : wrong(place, value, 'text, a number, a boolean or null')
  },
)

const count: Reader<boolean | string> = (value, place) => (typeof value === 'boolean' ? value : name(value, place))

const list = object({
  by: array(text),
  where: columns,
  sort: array(text),
  size: integer(1, 10_000),
  pages: integer(1, 100_000),
  top: integer(1, 1_000_000),
  values: array(columns),
  namespace: name,
  count,
})

const id: Reader<string | number> = (value, place) =>
  typeof value === 'number' ? integer(-LARGE, LARGE)(value, place) : text(value, place)

export const strategy = oneOf('all', 'recent', 'popular', 'ids')

const warm = object({ strategy, limit: integer(1, LARGE), since: duration(1), ids: array(id) })

/** Null is an answer here: no source. */
const source: Reader<Source | null> = (value, place) => {
  if (value === undefined || value === null) return value as null | undefined
  if (typeof value === 'function') return wrong(place, value, 'a source; write `fn(…)` around it')
  if (typeof value === 'string' || !isObject(value)) return wrong(place, value, 'a source: sql(…), fn(…) or file(…)')
  const candidate = value as Partial<Source>
  if (
    typeof candidate.select === 'function' &&
    typeof candidate.kind === 'string' &&
    Array.isArray(candidate.strategies)
  )
    return value as unknown as Source
  place.report('is an object, but no source', 'make one with sql(…), fn(…) or file(…)')
  return undefined
}

type RowTtl = (row: Row) => unknown
const modelTtl: Reader<number | null | RowTtl> = (value, place) =>
  typeof value === 'function' ? (value as RowTtl) : ttl(value, place)

const model = object({
  source,
  subject: name,
  namespace: name,
  version: integer(1, LARGE),
  tenant: flag,
  fields: array(text),
  exclude: array(text),
  related: array(name),
  join: record(() => undefined, object({ model: name, on: text })),
  ttl: modelTtl,
  grace: duration(0),
  jitter,
  key: fn<(row: Row) => string | number | bigint>('a function of the row'),
  validate,
  critical: flag,
  enabled: flag,
  warm,
  lists: record(checkName, list),
})

/** Letters, digits and `-`: the label ends at the `_` before the tenant's id. */
const label: Reader<string> = (value, place) => {
  const read = name(value, place)
  if (read?.includes('_'))
    place.report('holds `_`, which ends the label in keys', `write '${read.replaceAll('_', '-')}'`)
  return read
}

const heartbeat: Reader<number> = (value, place) => {
  const ms = duration(1)(value, place)
  if (ms === undefined || ms <= MAX_HEARTBEAT_MS) return ms
  return place.report(
    `'${value}' is too long: invalidations may have to wait for it`,
    "write '60s' or less",
  ) as undefined
}

export const schema = object({
  redis,
  prefix: name,
  version: integer(1, LARGE),
  tenant: object({ label }),
  defaults: object({ ttl: duration(1), ...behaviour }),
  namespaces: record(checkName, namespace),
  models: record(checkName, model),
  budget: object(limits),
  server: object({
    maxmemory: size,
    policy: oneOf(
      'noeviction',
      'allkeys-lru',
      'allkeys-lfu',
      'allkeys-lrm',
      'allkeys-random',
      'volatile-lru',
      'volatile-lfu',
      'volatile-lrm',
      'volatile-random',
      'volatile-ttl',
    ),
    samples: integer(1, 64),
    lazyfree: flag,
    persistence: oneOf(...PERSISTENCE),
  }),
  protect: array(text),
  heartbeat,
  env: oneOf('production', 'development'),
})

type ReadOf<R> = R extends Reader<infer T> ? T : never
export type ReadConfig = ReadOf<typeof schema>
export type ReadNamespace = ReadOf<typeof namespace>
export type ReadModel = ReadOf<typeof model>
export type ReadList = ReadOf<typeof list>
export type ReadWarm = ReadOf<typeof warm>

/** Every option by its path, `models.*.lists.*.size`: the reference in the docs is held to it. */
export function optionPaths(reader: unknown = schema, path = ''): string[] {
  const { fields, item } = reader as { fields?: Record<string, unknown>; item?: unknown }
  if (item !== undefined) return optionPaths(item, `${path}.*`)
  if (fields === undefined) return [path]
  return Object.keys(fields).flatMap((key) => optionPaths(fields[key], path === '' ? key : `${path}.${key}`))
}
