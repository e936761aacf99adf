// How long entries live: by row, shortened at random, and the stamps that they hold at least as long; how long copies of them may be trusted.
import type { Random, Row } from '../ports.ts'

/** Stamps outlive what nobody foresaw of the entries that hold them: a clock, a longer TTL of another version of the code. */
const SHORTEST_STAMP_MS = 24 * 3_600_000

/** Of the heartbeat that a config may have, and of what anybody waits for, whatever stands in Redis. */
export const MAX_HEARTBEAT_MS = 60_000

/** null: without end */
export type RowTtl = ((row: Row) => number | null) | number | null | undefined

/** How long the entry of this row is fresh: as the model says, or its namespace where that says nothing. */
export function rowTtlMs(model: { readonly ttl: RowTtl }, namespace: { readonly ttlMs: number | null }, row: Row) {
  const ttl = typeof model.ttl === 'function' ? model.ttl(row) : model.ttl
  return ttl === undefined ? namespace.ttlMs : ttl
}

/** Jitter only shortens: an entry never lives longer than the config says. */
export function shorten(ttlMs: number, jitter: number, random: Random): number {
  return Math.max(1, Math.round(ttlMs * (1 - jitter * random())))
}

/** They are captured before the load. */
const LONGEST_LOAD_MS = 600_000

/** The TTL of stamps of entries that live so long, with their grace; null: without end. */
export function stampTtlMs(physicalMs: number | null): number | null {
  return physicalMs === null ? null : Math.max(SHORTEST_STAMP_MS, physicalMs + LONGEST_LOAD_MS)
}
