// The config as a person writes it: its types, and `defineConfig`, which keeps the names in it. No code but one line: this is loaded by applications.
import type { Source } from '../ports.ts'
import type { EvictionPolicy } from './resolved.ts'

type DurationUnit = 'ms' | 's' | 'm' | 'h' | 'd'
/** `'90s'`, `'15m'`, `'24h'`, `'7d'`, `'250ms'`, `'1h30m'`. */
export type Duration = `${number}${DurationUnit}` | `${number}${DurationUnit}${number}${DurationUnit}`
type SizeUnit = 'b' | 'kb' | 'mb' | 'gb' | 'tb'
/** `'4kb'`, `'64mb'`, `'2gb'`: 1 kb is 1,024 bytes. */
export type Size = `${number}${SizeUnit | Uppercase<SizeUnit>}`

/** A row as a source gives it. Its columns are the database's, which no type here can know. */
// biome-ignore lint/suspicious/noExplicitAny: `unknown` would make every function of a row begin with a cast
export type AnyRow = Record<string, any>
type Scalar = string | number | boolean | null

/** What every project has, declared or not. */
export type StandardNamespace = 'detail' | 'list' | 'count'

export interface TlsOptions {
  /** PEM text of the CA that signed the server's certificate, where it is a private one */
  ca?: string | Uint8Array
  /** PEM text, for servers that ask for a client certificate */
  cert?: string | Uint8Array
  key?: string | Uint8Array
  /** the name in the server's certificate, where it is not the host of the URL */
  servername?: string
}

export interface LifetimeOptions {
  /** how long an entry is fresh (`'15m'`) */
  ttl?: Duration
  /** 0 to 0.5: the share of the TTL by which entries are shortened at random, so that they do not all end at once (0.1) */
  jitter?: number
  /** how long after its TTL an entry may still be served while a new one is made (`'0s'`) */
  grace?: Duration
  /** entries larger than this are compressed (`'4kb'`); `false`: none */
  compress?: { above: Size } | false
  /** how long `null` and `undefined` are cached (`false`: they are not) */
  negativeTtl?: Duration | false
  /** `soft`: after so long a stale value is given, where there is one; `hard`: after so long the loader is given up (none) */
  timeout?: { soft?: Duration; hard?: Duration }
  /** how eagerly entries are made anew before they end: 1 is the optimum of XFetch, 0 is never (1) */
  beta?: number
}

export interface BudgetOptions {
  maxKeys?: number
  maxMemory?: Size
}

export interface NamespaceOptions extends Omit<LifetimeOptions, 'ttl'> {
  /** how long an entry is fresh; `'never'`: without end */
  ttl?: Duration | 'never'
  /** what `evict` holds this namespace to, and which entries go first (`'lru'`) */
  budget?: BudgetOptions & { policy?: EvictionPolicy }
  /** `'raw'`: its keys are written by other software; measured and cleared, never warmed */
  format?: 'raw'
  /** of a raw namespace: a glob (`'sess:*'`), or a template (`'{subject}:v{version}:{rest}'`) */
  key?: string
  /** of a raw namespace: the key that holds its version (`'cache_version:{subject}'`) */
  versionKey?: string
  /** keeps entries in the memory of each process as well: at most so many (10,000) of so many bytes together (`'64mb'`) */
  l1?: boolean | { maxEntries?: number; maxMemory?: Size }
  /** which of several servers of `redis` holds its entries (`'default'`) */
  redis?: string
}

export interface ListOptions<Namespace extends string = string> {
  /** columns by whose values the list is filtered; none: the list of all rows */
  by?: readonly string[]
  /** filters that never change */
  where?: Readonly<Record<string, Scalar>>
  /** `['-population', 'name']`: `-` is descending */
  sort?: readonly string[]
  /** rows a page (20) */
  size?: number
  /** how many pages are warmed (1) */
  pages?: number
  /** of `by`: how many of the most frequent combinations are warmed (50) */
  top?: number
  /** of `by`: these combinations are warmed instead */
  values?: readonly Readonly<Record<string, Scalar>>[]
  /** (`'list'`) */
  namespace?: Namespace
  /** also the number of rows, in namespace `count` or in this one */
  count?: boolean | Namespace
}

export interface WarmOptions {
  /** which rows: all, the last changed, those with the highest popularity, or `ids` */
  strategy: 'all' | 'recent' | 'popular' | 'ids'
  limit?: number
  /** changed within this time */
  since?: Duration
  /** of strategy `ids` */
  ids?: readonly (string | number)[]
}

export interface ModelOptions<Namespace extends string = string, Model extends string = string> {
  /** where its rows come from: `sql(…)`, `fn(…)`, `file(…)`; `null`: the application fills it alone */
  source: Source | null
  /** the segment of its keys (the model's name) */
  subject?: string
  /** of its detail entries (`'detail'`) */
  namespace?: Namespace
  /** raised when what is cached of a row changes its shape */
  version?: number
  /** whether its rows belong to tenants (what its source says; where that says nothing and there is a label, it must be written) */
  tenant?: boolean
  /** columns that are cached (all) */
  fields?: readonly string[]
  /** columns that are not */
  exclude?: readonly string[]
  /** models whose rows show in its entries: their invalidation is also this one's */
  related?: readonly Model[]
  /** rows of other models, put into its detail entries: `category: { model: 'category', on: 'category_id' }` */
  join?: Readonly<Record<string, { model: Model; on: string }>>
  /** instead of the namespace's; a function decides row by row, and leaves it at that by returning nothing */
  ttl?: Duration | 'never' | ((row: AnyRow) => Duration | 'never' | null | undefined)
  grace?: Duration
  jitter?: number
  /** what the key of a detail entry ends with (its id) */
  key?: (row: AnyRow) => string | number | bigint
  /** whether a hit is compared with the row's version: on each read, after this time, or not (false); needs a source that loads by id */
  validate?: 'always' | Duration | false
  /** `warm --critical` takes these (false) */
  critical?: boolean
  /** (true) */
  enabled?: boolean
  /** what a bare `warm` takes; without it, nothing */
  warm?: WarmOptions
  lists?: Readonly<Record<string, ListOptions<Namespace>>>
}

export type MaxmemoryPolicy =
  | 'noeviction'
  | `allkeys-${'lru' | 'lfu' | 'lrm' | 'random'}`
  | `volatile-${'lru' | 'lfu' | 'lrm' | 'random' | 'ttl'}`

/** How a Redis is named: a URL, or what it is made of. */
export type RedisServer = string | undefined | RedisServerOptions | RedisClusterOptions | RedisSentinelOptions

export interface RedisServerOptions {
  /** `redis[s]://…`, a unix socket, or a node of a Cluster, which names the others */
  url: string | undefined
  tls?: TlsOptions
}

export interface RedisClusterOptions {
  /** nodes that are asked for the others: `['redis://a:7000', 'redis://b:7000']` */
  cluster: readonly (string | undefined)[]
  tls?: TlsOptions
}

export interface RedisSentinelOptions {
  /** `'host:port'`, or its parts; 26379 where there is no port */
  sentinels: readonly (string | { host: string; port?: number })[]
  /** what they call the primary: the name of `sentinel monitor` */
  name: string
  /** of the primary and its replicas */
  username?: string
  password?: string
  database?: number
  /** what the Sentinels themselves ask for */
  sentinelUsername?: string
  sentinelPassword?: string
  tls?: TlsOptions
}

export interface ServerOptions {
  /** of each server; `'0b'`: no limit */
  maxmemory?: Size
  /** what goes when it is full: allkeys-lru for a cache alone, volatile-lru where others share the server */
  policy?: MaxmemoryPolicy
  /** keys that are looked at for each one that is evicted (maxmemory-samples); Redis has 5, 10 is close to the exact order */
  samples?: number
  /** whether memory is freed in the background (the five lazyfree-lazy-… together) */
  lazyfree?: boolean
  /** what it keeps on disk: snapshots (`'rdb'`), a log of writes (`'aof'`); a cache alone needs `'none'` */
  persistence?: 'none' | 'rdb' | 'aof' | 'rdb+aof'
}

/** A config, and the names in it. */
export interface Config<
  Models extends string = string,
  Namespaces extends string = string,
  Label extends string = string,
> {
  /** `redis[s]://…`, `redis+sentinel://…/name`, a unix socket, or several servers by name; what is undefined or empty is reported when Redis is needed */
  redis?: RedisServer | { default: RedisServer; [name: string]: RedisServer }
  /** first segment of all keys */
  prefix: string
  /** raised when the shape of everything that is cached changes (1) */
  version?: number
  /** with `label: 'org'`, keys of tenant 7 say `org_7` */
  tenant?: { label: Label }
  defaults?: LifetimeOptions
  namespaces?: Readonly<Record<Namespaces, NamespaceOptions>>
  models?: Readonly<Record<Models, ModelOptions<NoInfer<Namespaces> | StandardNamespace, NoInfer<Models>>>>
  /** of all keys under the prefix together */
  budget?: BudgetOptions
  /** what the server is meant to be set to: `policy check` compares, `policy apply` sets */
  server?: ServerOptions
  /** globs of keys that nothing here ever deletes */
  protect?: readonly string[]
  /** how long entries in the memory of a process are trusted without a word of Redis, and an invalidation waits where it cannot know who has some; at most `'60s'` (`'5s'`) */
  heartbeat?: Duration
  /** `'production'`: destructive commands ask for the typed prefix always (`'development'`) */
  env?: 'production' | 'development'
}

/** Keeps the names of models, namespaces and tenant label in the type, so that the cache made of it knows them. */
export function defineConfig<
  const Models extends string = never,
  const Namespaces extends string = never,
  const Label extends string = never,
>(config: Config<Models, Namespaces, Label>): Config<Models, Namespaces, Label> {
  return config
}
