// Keys of software that often lives beside a cache and does not survive the loss of a key: queues, sessions, locks, limits.
import { compileGlob, literalPrefix } from './pattern.ts'

export type NeighbourKind = 'queue' | 'session' | 'lock' | 'limit'

export interface KnownShape {
  /** the software, as people know it; several patterns may have the same */
  readonly name: string
  readonly kind: NeighbourKind
  /** a glob of Redis */
  readonly pattern: string
}

function shapes(kind: NeighbourKind, name: string, ...patterns: readonly string[]): KnownShape[] {
  return patterns.map((pattern) => ({ name, kind, pattern }))
}

/** Defaults of the packages, as their sources have them. Of a key that several match, the first one says whose it is. */
export const KNOWN_SHAPES: readonly KnownShape[] = [
  ...shapes('queue', 'BullMQ', 'bull:*', '{bull}:*'),
  ...shapes('queue', 'Bee-Queue', 'bq:*'),
  ...shapes('queue', 'RSMQ', 'rsmq:*'),
  ...shapes('queue', 'Sidekiq', 'queue:*', 'queues', 'schedule', 'retry', 'dead', 'processes', 'stat:*'),
  ...shapes('queue', 'Sidekiq', 'cron_job:*', 'cron_jobs', 'cron_jobs:*', 'batches'),
  ...shapes('queue', 'Resque', 'resque:*'),
  ...shapes('queue', 'RQ', 'rq:*'),
  ...shapes('queue', 'Celery', 'celery', 'celery-task-meta-*', 'celery-taskset-meta-*', 'unacked', 'unacked_*'),
  ...shapes('queue', 'Celery', '_kombu.*', 'redbeat:*', 'redbeat::*'),
  ...shapes('queue', 'Dramatiq', 'dramatiq:*'),
  ...shapes('queue', 'Huey', 'huey.*'),
  ...shapes('queue', 'arq', 'arq:*'),
  ...shapes('queue', 'Asynq', 'asynq:*'),
  ...shapes('queue', 'Hangfire', 'hangfire:*', '{hangfire}:*'),
  ...shapes('queue', 'Laravel queues', 'queues:*', '*_database_queues:*', '*horizon:*'),
  ...shapes('session', 'connect-redis', 'sess:*'),
  ...shapes('session', 'Spring Session', 'spring:session:*'),
  ...shapes('session', 'PHP sessions', 'PHPREDIS_SESSION:*'),
  ...shapes('session', 'Rack sessions', 'rack:session:*', '_session_id:*'),
  ...shapes('session', 'Django sessions', '*django.contrib.sessions.*'),
  ...shapes('session', 'Laravel sessions', 'laravel_session:*', '*_database_session:*'),
  ...shapes('session', 'sessions', 'session:*', 'sessions:*'),
  ...shapes('lock', 'locks', 'lock:*', 'locks:*', 'redlock:*', 'redisson_lock:*', 'redisson_lock__channel:*'),
  ...shapes('limit', 'rate limits', 'rl:*', 'rlflx:*', 'ratelimit:*', 'rate-limit:*', 'rate_limit:*'),
]

type Compiled = KnownShape & { readonly matches: (key: Uint8Array | string) => boolean }

/** By first byte, because this is asked of every key of a walk; -1 holds those that begin with a wildcard. */
const BY_FIRST_BYTE: ReadonlyMap<number, readonly Compiled[]> = compile()

function compile(): Map<number, Compiled[]> {
  const table = new Map<number, Compiled[]>()
  for (const shape of KNOWN_SHAPES) {
    const first = Buffer.from(literalPrefix(shape.pattern))[0] ?? -1
    table.set(first, [...(table.get(first) ?? []), { ...shape, matches: compileGlob(shape.pattern) }])
  }
  return table
}

/** Whose key it looks like; null: of nobody that is known. */
export function knownShapeOf(key: Uint8Array): KnownShape | null {
  for (const first of [key[0] ?? -1, -1])
    for (const shape of BY_FIRST_BYTE.get(first) ?? []) if (shape.matches(key)) return shape
  return null
}
