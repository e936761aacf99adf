// INFO as text, read into what cachectl speaks of. A server may leave out what it likes: what is missing is null.
import { CachectlError } from '../../core/errors.ts'
import { numberField, parseInfo } from '../../core/info-text.ts'
import { printable } from '../../core/printable.ts'
import type { RedisIdentity, ServerInfo } from '../../ports.ts'

export { parseInfo }

/** @param keys DBSIZE, which INFO does not say of one database without text to take apart */
export function serverInfo(fields: ReadonlyMap<string, string>, keys: number | null): ServerInfo {
  const number = (name: string): number | null => numberField(fields, name)
  return {
    fields,
    usedMemoryBytes: number('used_memory'),
    maxMemoryBytes: number('maxmemory'),
    policy: fields.get('maxmemory_policy') ?? null,
    keys,
    hits: number('keyspace_hits'),
    misses: number('keyspace_misses'),
    evictedKeys: number('evicted_keys'),
    expiredKeys: number('expired_keys'),
    fragmentationRatio: number('mem_fragmentation_ratio'),
    connectedClients: number('connected_clients'),
    uptimeSeconds: number('uptime_in_seconds'),
  }
}

/** What several servers say together: counts and sizes are summed; the rest is what all say alike, or the first one's where it is text. */
export function sumInfo(infos: readonly ServerInfo[]): ServerInfo {
  const [first, ...others] = infos
  if (first === undefined || others.length === 0) return first ?? serverInfo(new Map(), null)
  const all = (name: NumberField): number[] | null => {
    const values = infos.map((info) => info[name])
    return values.includes(null) ? null : (values as number[])
  }
  const sum = (name: NumberField): number | null => all(name)?.reduce((total, value) => total + value, 0) ?? null
  const limits = all('maxMemoryBytes')
  const ratios = all('fragmentationRatio')
  const uptimes = all('uptimeSeconds')
  return {
    fields: first.fields,
    usedMemoryBytes: sum('usedMemoryBytes'),
    // One server without a limit leaves the whole without one.
    maxMemoryBytes: limits?.includes(0) ? 0 : sum('maxMemoryBytes'),
    policy: infos.every(({ policy }) => policy === first.policy) ? first.policy : null,
    keys: sum('keys'),
    hits: sum('hits'),
    misses: sum('misses'),
    evictedKeys: sum('evictedKeys'),
    expiredKeys: sum('expiredKeys'),
    fragmentationRatio: ratios && Math.max(...ratios),
    connectedClients: sum('connectedClients'),
    uptimeSeconds: uptimes && Math.min(...uptimes),
  }
}

type NumberField = Exclude<keyof ServerInfo, 'fields' | 'policy'>

export type InfoIdentity = Pick<RedisIdentity, 'role' | 'version' | 'runId' | 'replicationId'>

export function infoIdentity(fields: ReadonlyMap<string, string>): InfoIdentity {
  const role = fields.get('role')
  return {
    role: role === 'master' ? 'primary' : role === 'slave' ? 'replica' : 'unknown',
    version: version(fields),
    runId: fields.get('run_id') || null,
    replicationId: fields.get('master_replid') || null,
  }
}

/** Others that speak its protocol also say a redis_version, which tells nothing of what they can do. */
const NOT_REDIS = ['valkey_version', 'kvrocks_version', 'dragonfly_version', 'garnet_version']

/** Redis 6.0 is the oldest with users, tracking and tests. @throws CachectlError REDIS_TOO_OLD */
export function assertNotTooOld(fields: ReadonlyMap<string, string>, endpoint: string): void {
  const redis = fields.get('redis_version')
  if (redis === undefined || !(Number.parseInt(redis, 10) < 6) || NOT_REDIS.some((name) => fields.has(name))) return
  throw new CachectlError(
    'REDIS_TOO_OLD',
    `${endpoint} is Redis ${printable(redis)}: cachectl needs Redis 6.0 or later, or Valkey`,
  )
}

/** Of several servers: ids are those of all, sorted, so that they change when one does; the rest is what all say alike. */
export function joinIdentities(identities: readonly InfoIdentity[]): InfoIdentity {
  const [first] = identities
  const all = (name: 'runId' | 'replicationId'): string | null => {
    const ids = identities.map((identity) => identity[name])
    if (ids.includes(null) || ids.length === 0) return null
    return [...new Set(ids.flatMap((id) => id?.split(' ') ?? []))].sort().join(' ')
  }
  const versions = [...new Set(identities.map((identity) => identity.version))]
  return {
    role: first && identities.every(({ role }) => role === first.role) ? first.role : 'unknown',
    version: versions.includes(null) ? null : versions.sort().join(', '),
    runId: all('runId'),
    replicationId: all('replicationId'),
  }
}

function version(fields: ReadonlyMap<string, string>): string | null {
  // Valkey also says a redis_version: the one that it is compatible with.
  const valkey = fields.get('valkey_version')
  if (valkey) return `Valkey ${valkey}`
  const redis = fields.get('redis_version')
  return redis ? `Redis ${redis}` : null
}
