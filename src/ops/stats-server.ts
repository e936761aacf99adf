// What `stats` says of the server as a whole, by its own counters.
import { setTimeout as sleep } from 'node:timers/promises'
import type { StatsServer } from '../core/stats.ts'
import type { ServerInfo } from '../ports.ts'
import type { OperationContext } from './context.ts'
import type { Lookups } from './count-keys.ts'

export interface RateNow {
  hits: number
  misses: number
  intervalMs: number
}

/** The change of the server's counters since `before`, without the lookups of this run. */
export async function rateNow(
  context: OperationContext,
  intervalMs: number,
  sinceMs: number,
  before: ServerInfo,
  own: Lookups,
): Promise<RateNow | null> {
  const leftMs = sinceMs + intervalMs - context.clock.now()
  if (leftMs > 0) await sleep(leftMs, undefined, { signal: context.signal }).catch(() => {})
  const after = await context.store.info()
  if (before.hits === null || before.misses === null || after.hits === null || after.misses === null) return null
  const hits = after.hits - before.hits - own.hits
  const misses = after.misses - before.misses - own.misses
  // Counters that went back were reset, or the server was restarted.
  return hits < 0 || misses < 0 ? null : { hits, misses, intervalMs: context.clock.now() - sinceMs }
}

export function describeServer(info: ServerInfo, now: RateNow | null): StatsServer {
  return {
    usedMemoryBytes: info.usedMemoryBytes,
    maxMemoryBytes: info.maxMemoryBytes,
    policy: info.policy,
    keys: info.keys,
    hits: info.hits,
    misses: info.misses,
    hitRate: rate(info.hits, info.misses),
    hitRateNow: now === null ? null : rate(now.hits, now.misses),
    intervalMs: now?.intervalMs ?? null,
    evictedKeys: info.evictedKeys,
    expiredKeys: info.expiredKeys,
    fragmentationRatio: info.fragmentationRatio,
    connectedClients: info.connectedClients,
    uptimeMs: info.uptimeSeconds === null ? null : info.uptimeSeconds * 1000,
  }
}

function rate(hits: number | null, misses: number | null): number | null {
  return hits === null || misses === null || hits + misses === 0 ? null : hits / (hits + misses)
}
