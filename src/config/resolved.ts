// The config past validation: every default filled in, every unit in milliseconds or bytes, frozen. What the rest of the program reads.
import type { EvictionPolicy } from '../core/eviction.ts'
import type { WantedServer } from '../core/server-policy.ts'
import type { Row, Source } from '../ports.ts'

export type { EvictionPolicy } from '../core/eviction.ts'

export interface Budget {
  maxKeys: number | null
  maxBytes: number | null
  policy: EvictionPolicy
}

export interface RedisTarget {
  /** with secrets: for the client only, never for output; nodes of a Cluster and Sentinels are one URL too; `embedded` for a private server, never because of a file */
  url: string
  /** `cache.config.ts`, `--redis`, `CACHECTL_REDIS`, `CACHECTL_EMBEDDED`, `REDIS_URL` */
  from: string
  tls: { ca?: string; cert?: string; key?: string; servername?: string } | null
  /** where there are several servers; `url` is then that of the one called `default` */
  named?: NamedServers
}

/** Which server has which keys: those of a namespace are where the namespace says, all others on `default`. */
export interface NamedServers {
  /** all but `default`; an empty `url` is a variable that is not set */
  others: Readonly<Record<string, RedisTarget>>
  prefix: string
  tenantLabel: string | null
  namespaces: readonly { name: string; keyPattern: string | null; server: string }[]
}

export interface ResolvedNamespace {
  name: string
  /** null: entries without TTL (`'never'`) */
  ttlMs: number | null
  graceMs: number
  /** 0 to 1: a share of the TTL by which it is shortened at random */
  jitter: number
  compressAboveBytes: number | null
  budget: Budget | null
  format: 'envelope' | 'raw'
  /** of raw namespaces: the glob its keys match, or the template `{subject}:v{version}:{rest}` */
  keyPattern: string | null
  versionKey: string | null
  /** null: null and undefined are not cached */
  negativeTtlMs: number | null
  softTimeoutMs: number | null
  hardTimeoutMs: number | null
  /** of probabilistic early refresh; 0: none */
  beta: number
  /** null: entries are not kept in the memory of processes */
  l1: { maxEntries: number; maxBytes: number } | null
  /** the name of the server that holds its entries; `default` */
  redis: string
}

export interface ResolvedList {
  name: string
  /** columns whose values filter the list; empty: the list of all rows */
  by: readonly string[]
  /** fixed filters */
  where: Readonly<Record<string, unknown>>
  /** `-` for descending */
  sort: readonly string[]
  pageSize: number
  /** how many pages are warmed */
  pages: number
  /** of `by`: the most frequent combinations that are warmed, or these */
  top: number
  values: readonly Readonly<Record<string, unknown>>[] | null
  namespace: string
  countNamespace: string | null
}

export interface ResolvedWarm {
  strategy: 'all' | 'recent' | 'popular' | 'ids'
  limit: number | null
  sinceMs: number | null
  ids: readonly (string | number)[] | null
}

export interface ResolvedModel {
  name: string
  subject: string
  source: Source | null
  namespace: string
  /** `1` or, with a version of its own, `1.2` (project.model) */
  version: string
  tenant: boolean
  /** null: all fields */
  fields: readonly string[] | null
  exclude: readonly string[]
  related: readonly string[]
  /** the rows' own TTL; undefined: that of the namespace */
  ttl: ((row: Row) => number | null) | number | null | undefined
  graceMs: number
  jitter: number
  /** the rest of the key of a row's detail entry; null: its id */
  key: ((row: Row) => string | number | bigint) | null
  /** Related rows joined into detail entries: field name -> how to load them for a whole batch. */
  join: readonly ResolvedJoin[]
  /** a hit is compared with the row's version after this time; 0: always, null: never */
  validateMs: number | null
  critical: boolean
  enabled: boolean
  warm: ResolvedWarm | null
  lists: readonly ResolvedList[]
}

export interface ResolvedJoin {
  /** field of the entry that receives the related row (or rows) */
  field: string
  /** model whose source gives the related rows */
  model: string
  /** column of this model that holds the related row's id */
  on: string
}

export interface ResolvedConfig {
  /** file it came from; null without one (`--redis <url>` alone) */
  file: string | null
  /** null: neither the file nor a flag nor the environment names one (the variable that the file reads is not set) */
  redis: RedisTarget | null
  prefix: string
  /** `1`: keys say `v1` */
  version: string
  tenantLabel: string | null
  env: 'production' | 'development'
  namespaces: Readonly<Record<string, ResolvedNamespace>>
  models: Readonly<Record<string, ResolvedModel>>
  budget: { maxKeys: number | null; maxBytes: number | null } | null
  /** null: the config says nothing of it */
  server: WantedServer | null
  protect: readonly string[]
  /** the longest time for which any process trusts what it has in its memory without a word of Redis */
  heartbeatMs: number
}
