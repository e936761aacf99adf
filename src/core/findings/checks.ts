// What is looked at, and the troubles that people come with.

/** In the order in which reports have them. */
export const CHECKS = {
  connection: 'the connection',
  latency: 'latency of pings',
  clock: 'clocks of server and this machine',
  rights: 'rights of this user',
  memory: 'memory and evictions',
  policy: 'eviction policy and maxmemory against the config',
  databases: 'other databases of the server',
  persistence: 'saves to disk',
  replication: 'replicas',
  clients: 'clients and their buffers',
  slowlog: 'slow log of the last hour',
  hits: 'hits and misses of the server',
  keys: 'keys, TTLs and sizes',
  generations: 'generations and versions of keys',
  leases: 'leases of loads',
  locks: 'locks of runs',
  control: 'incarnation and history',
  processes: 'processes with copies in memory',
  journal: 'journal of the last day',
  reads: 'reads that processes counted in the last hour',
  entries: 'a sample of entries',
  tenants: 'rows of tenants',
  source: 'rows of the sources',
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
