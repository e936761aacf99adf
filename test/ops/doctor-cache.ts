// A small healthy cache on a real server, for tests of `doctor` to spoil in one way each.
import type { ResolvedConfig } from '../../src/config/resolved.ts'
import { encodeEntry } from '../../src/core/entry.ts'
import {
  countersKey,
  createKeys,
  generationsKey,
  HISTORY_FIELD,
  INCARNATION_FIELD,
  revisionKey,
} from '../../src/core/key.ts'
import type { Source } from '../../src/ports.ts'
import { aConfig, aModel, aNamespace } from '../resolved.ts'
import type { TestRedis } from '../servers.ts'

export const INCARNATION = 'abcdefghijklmnop'
const MINUTE_MS = 60_000

/** Rows whose version is `1`, or as `versions` says; null: there is no such row. */
export function rowsSource(
  versions: Record<string, string | null> = {},
  loading: () => Promise<void> = async () => {},
): Source {
  return {
    kind: 'test',
    reads: 'page',
    strategies: ['all'],
    async *select() {},
    async load(ids) {
      await loading()
      return ids.flatMap((id) => {
        const version = versions[String(id)] === undefined ? '1' : versions[String(id)]
        return version === null ? [] : [{ id, row: { id }, version: version as string, tenant: null }]
      })
    },
    identify: (row) => ({ id: row.id as number, tenant: row.org_id === undefined ? null : String(row.org_id) }),
  }
}

export function doctorConfig(url: string, more: Partial<ResolvedConfig> = {}, source = rowsSource()): ResolvedConfig {
  const warm = { strategy: 'all', limit: null, sinceMs: null, ids: null } as const
  return aConfig(url, [aModel('product', source, { warm }), aModel('order', source, { tenant: true })], {
    namespaces: { detail: aNamespace('detail'), list: aNamespace('list'), count: aNamespace('count') },
    server: {
      policy: 'volatile-lru',
      maxMemoryBytes: 500 * 1024 ** 2,
      samples: null,
      lazyfree: null,
      persistence: null,
    },
    ...more,
  })
}

const keys = createKeys({ prefix: 'shop', tenantLabel: 'org' })

export function keyOf(
  subject: string,
  id: string | number,
  tenant: string | null = null,
  namespace = 'detail',
): string {
  return keys.build({ namespace, subject, version: '1', tenant, rest: [String(id)] })
}

export interface EntryOptions {
  ageMs?: number
  incarnation?: string
  deltaMs?: number
  /** null: none */
  ttlMs?: number | null
}

export function entryOf(value: unknown, { ageMs = 1_000, incarnation = INCARNATION, deltaMs = 50 }: EntryOptions = {}) {
  const createdAtMs = Date.now() - ageMs
  return encodeEntry(value, {
    incarnation,
    createdAtMs,
    freshUntilMs: createdAtMs + 10 * MINUTE_MS,
    graceMs: MINUTE_MS,
    deltaMs,
    writer: 'test',
    sourceVersion: '1',
    tags: [],
    compressAboveBytes: null,
  })
}

export async function putEntry(
  redis: TestRedis,
  key: string,
  value: unknown,
  options: EntryOptions = {},
): Promise<void> {
  const { ttlMs = 11 * MINUTE_MS } = options
  await redis.call('SET', key, entryOf(value, options), ...(ttlMs === null ? [] : ['PX', ttlMs]))
}

/** Everything as it should be: settings, control data, three products, three orders of tenant 7, a list, counted reads. */
export async function healthyCache(redis: TestRedis): Promise<void> {
  await redis.call('FLUSHALL')
  await redis.call('CONFIG', 'RESETSTAT')
  await redis.call('SLOWLOG', 'RESET')
  const settings = [
    'maxmemory',
    '500mb',
    'maxmemory-policy',
    'volatile-lru',
    'slowlog-log-slower-than',
    '1000000',
    'maxclients',
    '10000',
  ]
  await redis.call('CONFIG', 'SET', ...settings)
  const history = /master_replid:(\w+)/.exec(String(await redis.call('INFO', 'replication')))?.[1] as string
  await redis.call('HSET', generationsKey('shop'), INCARNATION_FIELD, INCARNATION, 'epoch', 'e', HISTORY_FIELD, history)
  await redis.call('SET', revisionKey('shop'), 'r')
  for (const id of [1, 2, 3]) {
    await putEntry(redis, keyOf('product', id), { id, name: `p${id}` })
    await putEntry(redis, keyOf('order', id + 20, '7'), { id: id + 20, org_id: 7 })
  }
  await putEntry(redis, keyOf('order', 'page_1', '7', 'list'), [{ id: 21, org_id: 7 }])
  await countReads(redis, { 'detail:product::l2': 90, 'detail:product::miss': 10, 'detail:order:7:l2': 50 })
}

/** In the minute that has begun. */
export async function countReads(redis: TestRedis, counts: Readonly<Record<string, number>>): Promise<void> {
  const key = countersKey('shop', Math.floor(Date.now() / MINUTE_MS))
  for (const [field, count] of Object.entries(counts)) await redis.call('HINCRBY', key, field, count)
  await redis.call('EXPIRE', key, 7200)
}
