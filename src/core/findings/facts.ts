// What findings are made of. Null, or an absent part of `checked`: unknown, and no finding is made of it.

/** What `stats` and `doctor` know alike. */
export interface Facts {
  usedMemoryBytes: number | null
  maxMemoryBytes: number | null
  systemMemoryBytes: number | null
  policy: string | null
  hits: number | null
  misses: number | null
  hitRateNow: number | null
  /** lookups that `hitRateNow` is made of */
  lookupsNow: number
  uptimeMs: number | null
  evictedKeys: number | null
  expiredKeys: number | null
  expiredStaleRatio: number | null
  fragmentationRatio: number | null
  connectedClients: number | null
  maxClients: number | null
  /** what could not be saved to disk the last time: fields of INFO that say so, with the server where there are several */
  failedSaves: readonly string[]
  replica: boolean
  /** keys that were counted, control data excluded */
  keys: number
  noTtlKeys: number
  bytesKnown: boolean
  largest: { key: string; bytes: number } | null
  /** null: there is no config */
  config: ConfigFacts | null
  /** what only `doctor` looks at */
  checked: CheckedFacts
}

export interface ConfigFacts {
  undeclaredKeys: number
  /** the largest undeclared group */
  undeclaredExample: string | null
  /** groups whose entries should all have a TTL, and keys in them that have none */
  withoutTtl: readonly GroupKeys[]
  /** groups with keys that live longer than the config allows */
  overTtl: readonly GroupKeys[]
  /** models of which nothing is cached */
  emptyModels: readonly string[]
}

export interface GroupKeys {
  group: string
  /** null: of no namespace of the config */
  namespace?: string | null
  keys: number
}

/** Named as the checks; each is there where its check was made. All text is escaped. */
export interface CheckedFacts {
  connection?: { failure: { code: string; message: string; hint: string } | null }
  latency?: { server: string; pings: number; p50Ms: number; p99Ms: number }
  clock?: { server: string; skewMs: number }
  rights?: { missing: readonly { verb: string; commands: readonly string[] }[] }
  /** how the server differs from `server` of the config */
  policy?: { drift: readonly string[] }
  databases?: { others: readonly { database: string; keys: number }[] }
  replication?: {
    /** replicas that are behind, in words */
    behind: readonly string[]
    /** this server is a replica that has lost its primary */
    cutOff: readonly string[]
    /** primaries, outside of Clusters, that take writes also when no replica gets them */
    alone: readonly string[]
  }
  clients?: { buffers: readonly { client: string; bytes: number }[] }
  /** `slowest`: null where there is none */
  slowlog?: { entries: number; slowest: { ms: number; command: string } | null }
  generations?: { entries: number; dead: number; example: string | null }
  leases?: { orphans: number /** key of the entry */; example: string | null; ttlMs: number | null }
  locks?: { held: readonly { name: string; holder: string | null; ageMs: number | null }[] }
  control?: {
    /** entries are there, but no hash of generations with an incarnation */
    missing: boolean
    /** entries under the prefix */
    entries: number
    otherHistory: { known: string; now: string } | null
    /** calls of FLUSHALL and FLUSHDB that the server has counted */
    flushes: number
    /** how long ago the first process came to this control data; null: there is none, or it does not say */
    ageMs: number | null
  }
  processes?: { registered: number; silent: readonly string[] }
  journal?: { unfinished: readonly { verb: string; what: string; at: string; state: 'interrupted' | 'failed' }[] }
  reads?: { reads: number; neverRead: readonly { group: string; target: string; keys: number; share: number }[] }
  entries?: EntryFacts
  tenants?: { rows: number; misplaced: readonly MisplacedRow[] }
  source?: { rows: number; stale: readonly StaleRow[] }
}

export interface EntryFacts {
  headers: number
  undecodable: readonly { key: string; reason: string }[]
  otherIncarnation: number
  /** groups whose values cost less to load than to fetch */
  cheap: readonly { group: string; loadMs: number; fetchMs: number }[]
  /** models with `warm` whose newest sampled entry is past its TTL */
  oldWarms: readonly { model: string; newestAgeMs: number; ttlMs: number; read: number }[]
}

export interface MisplacedRow {
  key: string
  model: string
  /** of the key */
  tenant: string
  /** of the row */
  belongsTo: string
}

export interface StaleRow {
  key: string
  model: string
  /** `product:42` */
  target: string
  tenant: string | null
  /** how the entry differs from its row */
  why: 'changed' | 'gone'
}

/** Of a server of which nothing is known. */
export const NOTHING_KNOWN: Facts = {
  usedMemoryBytes: null,
  maxMemoryBytes: null,
  systemMemoryBytes: null,
  policy: null,
  hits: null,
  misses: null,
  hitRateNow: null,
  lookupsNow: 0,
  uptimeMs: null,
  evictedKeys: null,
  expiredKeys: null,
  expiredStaleRatio: null,
  fragmentationRatio: null,
  connectedClients: null,
  maxClients: null,
  failedSaves: [],
  replica: false,
  keys: 0,
  noTtlKeys: 0,
  bytesKnown: true,
  largest: null,
  config: null,
  checked: {},
}
