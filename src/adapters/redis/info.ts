// INFO as text, read into what cachectl speaks of. A server may leave out what it likes: what is missing is null.
import type { RedisIdentity, ServerInfo } from '../../ports.ts'

/** `name:value` lines; section titles and blank lines are skipped. */
export function parseInfo(text: string): ReadonlyMap<string, string> {
  const fields = new Map<string, string>()
  for (const line of text.split(/\r?\n/)) {
    const colon = line.indexOf(':')
    if (colon > 0 && !line.startsWith('#')) fields.set(line.slice(0, colon), line.slice(colon + 1))
  }
  return fields
}

/** @param keys DBSIZE, which INFO does not say of one database without text to take apart */
export function serverInfo(fields: ReadonlyMap<string, string>, keys: number | null): ServerInfo {
  const number = (name: string): number | null => finite(fields.get(name))
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

export type InfoIdentity = Pick<RedisIdentity, 'role' | 'version' | 'runId' | 'replicationId'> & { cluster: boolean }

export function infoIdentity(fields: ReadonlyMap<string, string>): InfoIdentity {
  const role = fields.get('role')
  return {
    role: role === 'master' ? 'primary' : role === 'slave' ? 'replica' : 'unknown',
    version: version(fields),
    runId: fields.get('run_id') || null,
    replicationId: fields.get('master_replid') || null,
    cluster: fields.get('redis_mode') === 'cluster' || fields.get('cluster_enabled') === '1',
  }
}

function version(fields: ReadonlyMap<string, string>): string | null {
  // Valkey also says a redis_version: the one that it is compatible with.
  const valkey = fields.get('valkey_version')
  if (valkey) return `Valkey ${valkey}`
  const redis = fields.get('redis_version')
  return redis ? `Redis ${redis}` : null
}

function finite(text: string | undefined): number | null {
  if (text === undefined || text === '') return null
  const value = Number(text)
  return Number.isFinite(value) ? value : null
}
