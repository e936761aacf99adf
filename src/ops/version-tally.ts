// Counts of keys of one generation or version, and what a walk or a sample of it says of them.
import { criticalValue, estimateGroup, type SampleSize } from '../core/estimate.ts'
import type { Reply } from '../ports.ts'

/** Of keys of one generation or version. */
export interface KeyCount {
  keys: number
  /** keys whose size is known, their bytes, the squares of those */
  sized: number
  bytes: number
  bytesSquared: number
  noTtl: number
  /** of keys with a TTL, and where there are none 0 */
  longestTtlMs: number
}

/** As reports tell it. */
export interface CountedKeys {
  keys: number
  /** null where the server does not say */
  bytes: number | null
  /** plus or minus; null where keys were counted */
  error: { keys: number; bytes: number | null } | null
  noTtlKeys: number
  /** null: none has a TTL, or there are none */
  longestTtlMs: number | null
  /** ISO 8601, UTC: when the last of them has expired; null: never, because some have no TTL, or there are none */
  drainedAt: string | null
}

/** What MEMORY USAGE and PTTL said; null: gone meanwhile. */
export interface Measure {
  bytes: number | null
  /** null: none */
  ttlMs: number | null
}

export function measureOf(size: Reply | undefined, pttl: Reply | undefined): Measure | null {
  if (pttl === -2 || (size === null && typeof pttl !== 'number')) return null
  return {
    bytes: typeof size === 'number' && size > 0 ? size : null,
    ttlMs: typeof pttl === 'number' && pttl >= 0 ? pttl : null,
  }
}

export function newCount(): KeyCount {
  return { keys: 0, sized: 0, bytes: 0, bytesSquared: 0, noTtl: 0, longestTtlMs: 0 }
}

export function addKey(count: KeyCount, { bytes, ttlMs }: Measure): void {
  count.keys++
  if (bytes !== null) {
    count.sized++
    count.bytes += bytes
    count.bytesSquared += bytes * bytes
  }
  if (ttlMs === null) count.noTtl++
  else count.longestTtlMs = Math.max(count.longestTtlMs, ttlMs)
}

export type Teller = (count: KeyCount | undefined) => CountedKeys

/** `groups`: of how many at once the intervals are to hold. */
export function teller(sample: SampleSize | null, nowMs: number, groups: number): Teller {
  const z = criticalValue(groups)
  return (count = newCount()) => {
    const { keys, bytes, error } = sample === null ? exact(count) : estimateGroup(count, sample, z)
    const scale = count.keys === 0 ? 1 : keys / count.keys
    const longestTtlMs = count.keys > count.noTtl ? count.longestTtlMs : null
    const drains = count.noTtl === 0 && longestTtlMs !== null
    return {
      keys,
      bytes,
      error,
      noTtlKeys: Math.round(count.noTtl * scale),
      longestTtlMs,
      drainedAt: drains ? new Date(nowMs + longestTtlMs).toISOString() : null,
    }
  }
}

function exact({ keys, sized, bytes }: KeyCount): Pick<CountedKeys, 'keys' | 'bytes' | 'error'> {
  if (keys === 0) return { keys: 0, bytes: 0, error: null }
  return { keys, bytes: sized === 0 ? null : Math.round((bytes / sized) * keys), error: null }
}
