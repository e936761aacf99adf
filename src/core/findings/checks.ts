// What is looked at, and the troubles that people come with.

/** In the order in which reports have them. */
export const CHECKS = {
  connection: 'connection',
  latency: 'latency',
  clock: 'clocks',
  rights: 'rights',
  memory: 'memory and evictions',
  policy: 'settings of the server',
  databases: 'other databases',
  persistence: 'saves to disk',
  replication: 'replicas',
  clients: 'clients',
  slowlog: 'slow log',
  hits: 'hits and misses',
  keys: 'keys and TTLs',
  generations: 'generations and versions',
  leases: 'leases',
  locks: 'locks',
  control: 'incarnation and history',
  processes: 'processes with copies',
  journal: 'journal',
  reads: 'counted reads',
  entries: 'sampled entries',
  tenants: 'rows of tenants',
  source: 'rows of sources',
} as const satisfies Record<string, string>

export type CheckId = keyof typeof CHECKS

/** The order in which reports have them; what is asked is what people say when they come. */
export const TROUBLES = {
  invalidation: 'Is something not invalidated?',
  stale: 'Is data stale?',
  memory: 'Is memory too full?',
  misses: 'Are there too many misses?',
} as const satisfies Record<string, string>

export type Trouble = keyof typeof TROUBLES
