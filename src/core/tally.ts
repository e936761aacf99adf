// What is counted of one group of keys, in constant memory.
import { createHistogram, type DurationHistogram, mergeHistogram, recordDuration } from './histogram.ts'

/** Keys of which nothing but the probes' answers is known. */
export interface KeyMeasure {
  /** null where MEMORY USAGE is refused */
  bytes: number | null
  /** milliseconds; -1 without TTL; null where PTTL is refused */
  pttlMs: number | null
}

/** A random sample of the group's keys, for what is too dear to ask of each. */
export interface KeySample {
  readonly size: number
  keys: { key: Buffer; master: number }[]
  seen: number
}

export interface Tally {
  keys: number
  /** keys whose size is known, their bytes, and the squares of those for the spread */
  sized: number
  bytes: number
  bytesSquared: number
  noTtl: number
  /** TTL unknown */
  ttlUnknown: number
  ttl: DurationHistogram | null
  /** TTL longer than the config allows */
  overTtl: number
  sample: KeySample | null
}

export function createTally(sampleSize = 0): Tally {
  return {
    keys: 0,
    sized: 0,
    bytes: 0,
    bytesSquared: 0,
    noTtl: 0,
    ttlUnknown: 0,
    ttl: null,
    overTtl: 0,
    sample: sampleSize === 0 ? null : { size: sampleSize, keys: [], seen: 0 },
  }
}

/** `longestTtlMs`: what the config allows; null where it says nothing. */
export function record(tally: Tally, measure: KeyMeasure, longestTtlMs: number | null): void {
  tally.keys++
  if (measure.bytes !== null) {
    tally.sized++
    tally.bytes += measure.bytes
    tally.bytesSquared += measure.bytes * measure.bytes
  }
  if (measure.pttlMs === null) tally.ttlUnknown++
  else if (measure.pttlMs < 0) tally.noTtl++
  else {
    tally.ttl ??= createHistogram()
    recordDuration(tally.ttl, measure.pttlMs)
    if (longestTtlMs !== null && measure.pttlMs > longestTtlMs) tally.overTtl++
  }
}

export function mergeTally(into: Tally, from: Tally): void {
  into.keys += from.keys
  into.sized += from.sized
  into.bytes += from.bytes
  into.bytesSquared += from.bytesSquared
  into.noTtl += from.noTtl
  into.ttlUnknown += from.ttlUnknown
  into.overTtl += from.overTtl
  if (from.ttl === null) return
  if (into.ttl === null) into.ttl = createHistogram()
  mergeHistogram(into.ttl, from.ttl)
}

/** Keeps each key with the same probability (reservoir sampling, Vitter's algorithm R). The key is copied: it is a view of a whole reply. */
export function sampleKey(sample: KeySample, key: Buffer, master: number, random: () => number): void {
  sample.seen++
  if (sample.keys.length < sample.size) {
    sample.keys.push({ key: Buffer.from(key), master })
    return
  }
  const place = Math.floor(random() * sample.seen)
  if (place < sample.size) sample.keys[place] = { key: Buffer.from(key), master }
}
