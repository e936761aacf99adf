// What is found on the way to the server, and in what else it does: latency, clocks, rights, replicas, clients, slow commands.
import { formatBytes, formatCount, formatDuration } from '../units.ts'
import { listed, type Rule } from './rule.ts'

const SLOW_P50_MS = 10
const SLOW_P99_MS = 100
const SKEW_MS = 2_000
const BUFFER_BYTES = 8 * 1024 ** 2
const SLOW_COMMANDS = 10
const SLOW_COMMAND_MS = 100

/** A replica with more to come, or longer without a word, is behind. */
export const REPLICA_BEHIND = { bytes: 1024 ** 2, seconds: 10 }
/** Replies of one client that wait to be read. */
export const LARGE_BUFFER_BYTES = BUFFER_BYTES

export const SERVER_RULES: readonly Rule[] = [
  ...(
    [
      [
        'unreachable',
        ['REDIS_UNREACHABLE', 'REDIS_BINARY_MISSING'],
        'no connection: refused, unknown name, still loading, too many clients, lost',
      ],
      ['no-answer', ['REDIS_TIMEOUT', 'REDIS_PROTOCOL'], 'a connection, but no answer in time, or none of Redis'],
      ['login-refused', ['REDIS_AUTH', 'REDIS_ACL'], 'user or password refused'],
      ['tls-failed', ['REDIS_TLS'], 'TLS failed: certificate, name, or a port without TLS'],
    ] as const
  ).map(
    ([id, codes, threshold]): Rule => ({
      id,
      severity: 'critical',
      check: 'connection',
      troubles: ['invalidation', 'stale', 'memory', 'misses'],
      threshold,
      advice: 'nothing else could be looked at; the evidence says what was answered and what to do about it',
      next: 'cachectl doctor',
      find: ({ checked: { connection } }) => {
        const failure = connection?.failure
        return failure && (codes as readonly string[]).includes(failure.code)
          ? `${failure.message}; ${failure.hint}`
          : null
      },
    }),
  ),
  {
    id: 'latency',
    severity: 'warning',
    check: 'latency',
    troubles: ['misses'],
    threshold: `half of 100 pings took ${SLOW_P50_MS} ms or more, or one in a hundred ${SLOW_P99_MS} ms or more`,
    advice:
      'readers give up waiting and load themselves: look for slow commands, a busy machine, or a server that is far away',
    next: 'redis-cli --latency',
    find: ({ checked: { latency } }) =>
      latency === undefined || (latency.p50Ms < SLOW_P50_MS && latency.p99Ms < SLOW_P99_MS)
        ? null
        : `${latency.server}: p50 ${formatDuration(latency.p50Ms)}, p99 ${formatDuration(latency.p99Ms)} of ${latency.pings} pings`,
  },
  {
    id: 'clock-skew',
    severity: 'warning',
    check: 'clock',
    troubles: ['stale', 'misses'],
    threshold: `the clocks of the server and of this machine differ by over ${formatDuration(SKEW_MS)}, the way there and back not counted`,
    advice:
      'what is fresh is judged by the clock of who reads: entries of machines with such a clock are stale too early or too late; mend NTP on the one that is wrong',
    next: null,
    find: ({ checked: { clock } }) =>
      clock === undefined || Math.abs(clock.skewMs) <= SKEW_MS
        ? null
        : `the clock of ${clock.server} is ${formatDuration(Math.abs(clock.skewMs))} ${clock.skewMs > 0 ? 'ahead of' : 'behind'} this machine's`,
  },
  {
    id: 'rights-missing',
    severity: 'info',
    check: 'rights',
    troubles: ['invalidation'],
    threshold: 'this user may not run all commands that the verbs of cachectl send',
    advice:
      'verbs that lack a right fail or say less; the lines under Rights (`acl` in JSON) give what each group of verbs needs, and no more',
    next: 'cachectl doctor --json',
    find: ({ checked: { rights } }) =>
      rights === undefined || rights.missing.length === 0
        ? null
        : listed(
            rights.missing.map(({ verb, commands }) => `${verb} (${listed(commands, 3)})`),
            8,
          ),
  },
  {
    id: 'replica',
    severity: 'info',
    check: 'replication',
    troubles: ['invalidation', 'stale'],
    threshold: 'the server is a replica',
    advice:
      'it takes no writes, so nothing can be warmed or invalidated here, and its figures are its own, not those of the primary: use the URL of the primary',
    next: 'redis-cli INFO replication',
    find: (facts) => (facts.replica ? 'these figures are of a replica' : null),
  },
  {
    id: 'replica-cut-off',
    severity: 'critical',
    check: 'replication',
    troubles: ['invalidation', 'stale'],
    threshold: 'the server is a replica, and has lost its primary',
    advice: 'what is read here stands still: what was invalidated since is still there',
    next: 'redis-cli INFO replication',
    find: ({ checked: { replication } }) =>
      replication === undefined || replication.cutOff.length === 0 ? null : listed(replication.cutOff),
  },
  {
    id: 'replica-behind',
    severity: 'warning',
    check: 'replication',
    troubles: ['stale'],
    threshold: `a replica that is not online, was not heard of for ${REPLICA_BEHIND.seconds} s, or has ${formatBytes(REPLICA_BEHIND.bytes)} or more to catch up`,
    advice:
      'who reads from it reads the past, and a failover to it would lose what it has not got: look at its machine and network',
    next: 'redis-cli INFO replication',
    find: ({ checked: { replication } }) =>
      replication === undefined || replication.behind.length === 0 ? null : listed(replication.behind),
  },
  {
    id: 'writes-alone',
    severity: 'info',
    check: 'replication',
    troubles: ['invalidation', 'stale'],
    threshold: 'a primary with replicas, not of a Cluster, without min-replicas-to-write',
    advice:
      'cut off from them, it takes writes that its successor never gets: with two replicas or more set min-replicas-to-write to 1 and min-replicas-max-lag to some seconds; with a single one it would take none while that one is away',
    next: 'redis-cli CONFIG GET min-replicas-*',
    find: ({ checked: { replication } }) =>
      replication === undefined || replication.alone.length === 0 ? null : listed(replication.alone),
  },
  {
    id: 'clients-near-limit',
    severity: 'warning',
    check: 'clients',
    troubles: ['misses'],
    threshold: 'at least 90 % of maxclients connected',
    advice: 'the next ones are refused: look for connections that nobody closes, or raise maxclients',
    next: 'redis-cli CLIENT LIST',
    find: ({ connectedClients: clients, maxClients: limit }) =>
      clients === null || limit === null || limit === 0 || clients < 0.9 * limit
        ? null
        : `${formatCount(clients)} of ${formatCount(limit)} clients`,
  },
  {
    id: 'client-buffers',
    severity: 'warning',
    check: 'clients',
    troubles: ['memory'],
    threshold: `a client with ${formatBytes(BUFFER_BYTES)} or more of replies that it has not read`,
    advice:
      'it asks faster than it reads, or hangs, and its replies fill the memory of the server: look at that process',
    next: 'redis-cli CLIENT LIST',
    find: ({ checked: { clients } }) =>
      clients === undefined || clients.buffers.length === 0
        ? null
        : listed(
            clients.buffers.map(({ client, bytes }) => `${formatBytes(bytes)} for ${client}`),
            3,
          ),
  },
  {
    id: 'slow-commands',
    severity: 'warning',
    check: 'slowlog',
    troubles: ['misses'],
    threshold: `in the slow log, of the last hour and on keys of this prefix: ${SLOW_COMMANDS} commands or more, or one of ${SLOW_COMMAND_MS} ms or more`,
    advice: 'everybody waits while one runs: look for large values, KEYS, and scripts over many keys',
    next: 'redis-cli SLOWLOG GET 20',
    find: ({ checked: { slowlog } }) => {
      const { entries = 0, slowest = null } = slowlog ?? {}
      if (slowest === null || (entries < SLOW_COMMANDS && slowest.ms < SLOW_COMMAND_MS)) return null
      return `${formatCount(entries)} ${entries === 1 ? 'command' : 'commands'}, the slowest took ${formatDuration(slowest.ms)}: ${slowest.command}`
    },
  },
]
