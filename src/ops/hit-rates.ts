// Reads what live processes counted in the last hour (docs/contract.md, counters).
import { type CountedReads, createReadTable } from '../core/counted-reads.ts'
import { CachectlError } from '../core/errors.ts'
import { countersKey } from '../core/key.ts'
import type { Reply } from '../ports.ts'
import type { OperationContext } from './context.ts'
import type { Lookups } from './count-keys.ts'
import type { StatsOptions } from './stats.ts'

/** How far back: minutes, the one that has begun included. */
export const HIT_RATE_MINUTES = 60
const MINUTE_MS = 60_000
const HASHES_AT_ONCE = 10

export interface HitRates extends CountedReads {
  /** why counters could not be read; null: they could */
  refused: string | null
}

/**
 * Adds its own lookups, one a minute, to `lookups`. Null without a config: it names the prefix. Where the user may not read, the rates are unknown.
 * @throws CachectlError where Redis is away
 */
export async function readHitRates(
  { clock, config, store }: OperationContext,
  { by, targets, tenant }: Pick<StatsOptions, 'by' | 'targets' | 'tenant'>,
  lookups: Lookups,
): Promise<HitRates | null> {
  if (config === null) return null
  const table = createReadTable({ cache: config, by, targets, tenant })
  const now = Math.floor(clock.now() / MINUTE_MS)
  const keys = Array.from({ length: HIT_RATE_MINUTES }, (_, back) => countersKey(config.prefix, now - back))
  let refused: string | null = null
  for (let start = 0; start < keys.length && refused === null; start += HASHES_AT_ONCE) {
    const hashes = keys.slice(start, start + HASHES_AT_ONCE).map((key) => store.call('HGETALL', key))
    for (const hash of await Promise.allSettled(hashes)) {
      if (hash.status === 'rejected') refused = refusal(hash.reason, lookups) ?? refused
      else readHash(hash.value, lookups, table.add)
    }
  }
  return Object.assign(table, { refused })
}

function readHash(reply: Reply, lookups: Lookups, add: (field: string, by: number) => void): void {
  const pairs = Array.isArray(reply) ? (reply as readonly Reply[]) : []
  if (pairs.length === 0) lookups.misses++
  else lookups.hits++
  for (let i = 0; i + 1 < pairs.length; i += 2) add(String(pairs[i]), Number(pairs[i + 1]))
}

function refusal(error: unknown, lookups: Lookups): string | null {
  if (!(error instanceof CachectlError)) throw error
  if (error.code === 'REDIS_ACL') return error.message
  // The key holds something else, and was looked up before that was said: it is nobody's counters.
  if (error.code !== 'REDIS_REPLY') throw error
  lookups.hits++
  return null
}
