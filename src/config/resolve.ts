// From the config as it is written to the one that the rest of the program reads: every default filled in, frozen. Pure.
import { CachectlError } from '../core/errors.ts'
import { parseDuration } from '../core/units.ts'
import type { Row } from '../ports.ts'
import { STANDARD_NAMESPACES } from './model-rules.ts'
import { Place, type Problem, Problems } from './problems.ts'
import { resolveRedis } from './redis-servers.ts'
import type {
  Budget,
  RedisTarget,
  ResolvedConfig,
  ResolvedList,
  ResolvedModel,
  ResolvedNamespace,
  ResolvedWarm,
} from './resolved.ts'
import { checkRules } from './rules.ts'
import { type ReadConfig, type ReadList, type ReadModel, type ReadNamespace, type ReadWarm, schema } from './schema.ts'

export const DEFAULTS = {
  version: 1,
  ttlMs: 15 * 60_000,
  jitter: 0.1,
  graceMs: 0,
  compressAboveBytes: 4096,
  policy: 'lru',
  listSize: 20,
  listPages: 1,
  listTop: 50,
  beta: 1,
  l1Entries: 10_000,
  l1Bytes: 64 * 1024 * 1024,
  env: 'development',
  heartbeatMs: 5_000,
} as const

export interface ResolveOptions {
  /** what the config came from, as reports name it (`cache.config.ts`) and as a path */
  name: string
  file: string
  /** what flags and environment say, which come before the file */
  redis: RedisTarget | null
  env: ResolvedConfig['env'] | null
}

/** The resolved config, or every problem that there is. */
export type Resolution =
  | { config: ResolvedConfig; problems: readonly [] }
  | { config: null; problems: readonly Problem[] }

export function resolveConfig(written: unknown, options: ResolveOptions): Resolution {
  const problems = new Problems()
  const root = new Place(problems)
  const read = schema(written, root)
  if (read) checkRules(read, root)
  else if (written === undefined) root.report('is empty')
  if (problems.all.length > 0 || !read) return { config: null, problems: problems.all }
  return { config: resolve(read, options), problems: [] }
}

function resolve(read: ReadConfig, { name, file, redis, env }: ResolveOptions): ResolvedConfig {
  const models = mapValues(read.models ?? {}, (model, key) => resolveModel(read, key, model))
  const namespaces = resolveNamespaces(read, Object.values(models))
  const { budget, server } = read
  return Object.freeze({
    file,
    redis: redis ?? resolveRedis(read, name, namespaces),
    prefix: read.prefix ?? '',
    version: String(read.version ?? DEFAULTS.version),
    tenantLabel: read.tenant?.label ?? null,
    env: env ?? read.env ?? DEFAULTS.env,
    namespaces,
    models,
    budget: budget ? Object.freeze({ maxKeys: budget.maxKeys ?? null, maxBytes: budget.maxMemory ?? null }) : null,
    server: server ? resolveServer(server) : null,
    protect: Object.freeze([...(read.protect ?? [])]),
    heartbeatMs: read.heartbeat ?? DEFAULTS.heartbeatMs,
  })
}

function resolveServer(server: NonNullable<ReadConfig['server']>): NonNullable<ResolvedConfig['server']> {
  const { maxmemory = null, policy = null, samples = null, lazyfree = null, persistence = null } = server
  return Object.freeze({ maxMemoryBytes: maxmemory, policy, samples, lazyfree, persistence })
}

/** Those declared, in their order, then the standard ones that a model uses without a declaration. */
function resolveNamespaces(
  read: ReadConfig,
  models: readonly ResolvedModel[],
): Readonly<Record<string, ResolvedNamespace>> {
  const used = new Set(
    models.flatMap((model) => [
      model.namespace,
      ...model.lists.flatMap((list) => [list.namespace, list.countNamespace]),
    ]),
  )
  const declared = { ...read.namespaces }
  for (const name of STANDARD_NAMESPACES)
    if (used.has(name) && declared[name] === undefined) declared[name] = {} as ReadNamespace
  return mapValues(declared, (namespace, name) => resolveNamespace(read, name, namespace))
}

function resolveNamespace({ defaults }: ReadConfig, name: string, namespace: ReadNamespace): ResolvedNamespace {
  const raw = namespace.format === 'raw'
  // what other software writes has the TTL that it gives it, unless the config knows better
  const ttlMs = namespace.ttl === undefined ? (raw ? null : (defaults?.ttl ?? DEFAULTS.ttlMs)) : namespace.ttl
  const compress = namespace.compress ?? defaults?.compress
  const { l1 } = namespace
  return Object.freeze({
    name,
    ttlMs,
    graceMs: ttlMs === null || raw ? 0 : (namespace.grace ?? defaults?.grace ?? DEFAULTS.graceMs),
    jitter: raw ? 0 : (namespace.jitter ?? defaults?.jitter ?? DEFAULTS.jitter),
    compressAboveBytes: raw || compress === false ? null : (compress?.above ?? DEFAULTS.compressAboveBytes),
    budget: namespace.budget ? resolveBudget(namespace.budget) : null,
    format: namespace.format ?? 'envelope',
    keyPattern: namespace.key ?? null,
    versionKey: namespace.versionKey ?? null,
    ...resolveLoading(namespace, defaults),
    l1: l1 === undefined || l1 === false ? null : resolveNear(l1 === true ? {} : l1),
    redis: namespace.redis ?? 'default',
  })
}

type Loading = 'negativeTtlMs' | 'softTimeoutMs' | 'hardTimeoutMs' | 'beta'

function resolveLoading(namespace: ReadNamespace, defaults: ReadConfig['defaults']): Pick<ResolvedNamespace, Loading> {
  return {
    negativeTtlMs: (namespace.negativeTtl ?? defaults?.negativeTtl) || null,
    softTimeoutMs: namespace.timeout?.soft ?? defaults?.timeout?.soft ?? null,
    hardTimeoutMs: namespace.timeout?.hard ?? defaults?.timeout?.hard ?? null,
    beta: namespace.beta ?? defaults?.beta ?? DEFAULTS.beta,
  }
}

function resolveNear(l1: { maxEntries?: number | undefined; maxMemory?: number | undefined }): ResolvedNamespace['l1'] {
  return Object.freeze({ maxEntries: l1.maxEntries ?? DEFAULTS.l1Entries, maxBytes: l1.maxMemory ?? DEFAULTS.l1Bytes })
}

function resolveBudget(budget: NonNullable<ReadNamespace['budget']>): Budget {
  return Object.freeze({
    maxKeys: budget.maxKeys ?? null,
    maxBytes: budget.maxMemory ?? null,
    policy: budget.policy ?? DEFAULTS.policy,
  })
}

function resolveModel(read: ReadConfig, name: string, model: ReadModel): ResolvedModel {
  const namespace = model.namespace ?? 'detail'
  const { ttlMs, graceMs, jitter } = resolveNamespace(
    read,
    namespace,
    read.namespaces?.[namespace] ?? ({} as ReadNamespace),
  )
  const project = read.version ?? DEFAULTS.version
  return Object.freeze({
    name,
    subject: model.subject ?? name,
    source: model.source ?? null,
    namespace,
    version: model.version === undefined ? String(project) : `${project}.${model.version}`,
    tenant: model.tenant ?? model.source?.hasTenants ?? false,
    fields: model.fields ? Object.freeze([...model.fields]) : null,
    exclude: Object.freeze([...(model.exclude ?? [])]),
    related: Object.freeze([...(model.related ?? [])]),
    ttl: typeof model.ttl === 'function' ? rowTtl(name, model.ttl, ttlMs) : model.ttl,
    graceMs: model.ttl === null ? 0 : (model.grace ?? graceMs),
    jitter: model.jitter ?? jitter,
    key: model.key ?? null,
    join: Object.freeze(
      Object.entries(model.join ?? {}).map(([field, join]) =>
        Object.freeze({ field, model: join.model ?? '', on: join.on ?? '' }),
      ),
    ),
    validateMs: model.validate === 'always' ? 0 : model.validate || null,
    critical: model.critical ?? false,
    enabled: model.enabled ?? true,
    warm: model.warm ? resolveWarm(model.warm) : null,
    lists: Object.freeze(Object.entries(model.lists ?? {}).map(([list, options]) => resolveList(list, options))),
  })
}

/** A row's own TTL in milliseconds. The few different answers of such a function are parsed once each. */
function rowTtl(
  model: string,
  ttlOf: (row: Row) => unknown,
  namespaceTtlMs: number | null,
): (row: Row) => number | null {
  const parsed = new Map<string, number | null>()
  return (row) => {
    const answer = ttlOf(row)
    if (answer === undefined || answer === null) return namespaceTtlMs
    if (typeof answer !== 'string') throw badTtl(model, `gave a ${typeof answer}`)
    const known = parsed.get(answer)
    if (known !== undefined) return known
    const ttlMs = answer === 'never' ? null : parseRowTtl(model, answer)
    if (parsed.size < 1000) parsed.set(answer, ttlMs)
    return ttlMs
  }
}

function parseRowTtl(model: string, answer: string): number {
  const ttlMs = parseDuration(answer)
  if (ttlMs > 0) return ttlMs
  throw badTtl(model, 'gave no time at all')
}

function badTtl(model: string, what: string): CachectlError {
  return new CachectlError('CONFIG_INVALID', `the \`ttl\` of model ${model} ${what}`, {
    hint: "let it give a duration like '5m', 'never', or nothing for the namespace's",
  })
}

function resolveWarm(warm: ReadWarm): ResolvedWarm {
  return Object.freeze({
    strategy: warm.strategy ?? 'all',
    limit: warm.limit ?? null,
    sinceMs: warm.since ?? null,
    ids: warm.ids ? Object.freeze([...warm.ids]) : null,
  })
}

function resolveList(name: string, list: ReadList): ResolvedList {
  const { count } = list
  return Object.freeze({
    name,
    by: Object.freeze([...(list.by ?? [])]),
    where: Object.freeze({ ...list.where }),
    sort: Object.freeze([...(list.sort ?? [])]),
    pageSize: list.size ?? DEFAULTS.listSize,
    pages: list.pages ?? DEFAULTS.listPages,
    top: list.top ?? DEFAULTS.listTop,
    values: list.values ? Object.freeze(list.values.map((one) => Object.freeze({ ...one }))) : null,
    namespace: list.namespace ?? 'list',
    countNamespace: typeof count === 'string' ? count : count === true ? 'count' : null,
  })
}

/** Without a prototype, for a name may be `constructor`. */
function mapValues<T, U>(record: Record<string, T>, map: (value: T, key: string) => U): Readonly<Record<string, U>> {
  const out: Record<string, U> = Object.create(null)
  for (const [key, value] of Object.entries(record)) out[key] = map(value, key)
  return Object.freeze(out)
}
