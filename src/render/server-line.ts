// Where it happens, in one line.
import { printable } from '../core/printable.ts'
import type { RedisIdentity } from '../ports.ts'

/** `127.0.0.1:6379/0 primary, Redis 7.0.15 (from cache.config.ts)` */
export function serverLine({ endpoint, database, role, mode, version, from }: RedisIdentity): string {
  const place = mode === 'standalone' ? '' : ` (${mode})`
  return printable(
    `${endpoint}/${database}${role === 'unknown' ? '' : ` ${role}`}${place}, ${version ?? 'unknown version'} (from ${from})`,
  )
}
