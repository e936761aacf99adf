// Durations in constant memory: a logarithmic histogram for percentiles, and the fixed classes that people read.

/** Each bucket is 8 % wider than the one before, and a percentile is given as its middle: at most 4 % off. */
const GROWTH = 1.08
const LOG_GROWTH = Math.log(GROWTH)
/** The last bucket begins at about 86 years. */
const BUCKETS = 368

/** Relative error that a percentile has at most. */
export const PERCENTILE_PRECISION = 0.04

const MINUTE = 60_000
const HOUR = 60 * MINUTE
const DAY = 24 * HOUR

/** Upper bounds (exclusive) of the TTL classes; a last class is without one. */
export const TTL_CLASSES_MS: readonly number[] = [
  MINUTE,
  5 * MINUTE,
  15 * MINUTE,
  HOUR,
  4 * HOUR,
  12 * HOUR,
  DAY,
  7 * DAY,
  30 * DAY,
]

export interface DurationHistogram {
  counts: Uint32Array
  /** exact counts of TTL_CLASSES_MS and the open last class */
  classes: Uint32Array
  total: number
  /** the smallest and the largest value: no percentile lies outside of them */
  leastMs: number
  mostMs: number
}

export function createHistogram(): DurationHistogram {
  const [counts, classes] = [new Uint32Array(BUCKETS), new Uint32Array(TTL_CLASSES_MS.length + 1)]
  return { counts, classes, total: 0, leastMs: Number.POSITIVE_INFINITY, mostMs: 0 }
}

export function recordDuration(histogram: DurationHistogram, ms: number): void {
  const bucket = ms <= 1 ? 0 : Math.min(BUCKETS - 1, Math.floor(Math.log(ms) / LOG_GROWTH))
  histogram.counts[bucket] = (histogram.counts[bucket] ?? 0) + 1
  let index = 0
  while (index < TTL_CLASSES_MS.length && ms >= (TTL_CLASSES_MS[index] ?? 0)) index++
  histogram.classes[index] = (histogram.classes[index] ?? 0) + 1
  histogram.total++
  if (ms < histogram.leastMs) histogram.leastMs = ms
  if (ms > histogram.mostMs) histogram.mostMs = ms
}

export function mergeHistogram(into: DurationHistogram, from: DurationHistogram): void {
  for (let i = 0; i < BUCKETS; i++) into.counts[i] = (into.counts[i] ?? 0) + (from.counts[i] ?? 0)
  for (let i = 0; i < into.classes.length; i++) into.classes[i] = (into.classes[i] ?? 0) + (from.classes[i] ?? 0)
  into.total += from.total
  into.leastMs = Math.min(into.leastMs, from.leastMs)
  into.mostMs = Math.max(into.mostMs, from.mostMs)
}

/** The duration that `share` (0 to 1) of the values do not exceed, within PERCENTILE_PRECISION; null without values. */
export function percentile(histogram: DurationHistogram, share: number): number | null {
  if (histogram.total === 0) return null
  const wanted = Math.max(1, Math.ceil(share * histogram.total))
  let seen = 0
  for (let i = 0; i < BUCKETS; i++) {
    seen += histogram.counts[i] ?? 0
    if (seen < wanted) continue
    const middle = i === 0 ? 1 : Math.round(GROWTH ** (i + 0.5))
    return Math.min(histogram.mostMs, Math.max(histogram.leastMs, middle))
  }
  return null
}

/** The same of values that are all at hand, exactly (nearest rank). */
export function percentileOf(sorted: readonly number[], share: number): number | null {
  if (sorted.length === 0) return null
  return sorted[Math.max(0, Math.ceil(share * sorted.length) - 1)] ?? null
}
