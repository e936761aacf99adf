// Whether the envelope of an entry says that it may still be given, in words.
import type { EntryHeader } from './entry-header.ts'
import { formatDuration } from './units.ts'

export interface Freshness {
  outcome: 'fresh' | 'stale' | 'miss'
  reason: 'fresh' | 'never-stale' | 'within-grace' | 'expired'
  sentence: string
}

export function freshness({ createdAtMs, freshUntilMs, graceMs: ofEntryMs }: EntryHeader, nowMs: number): Freshness {
  const age = formatDuration(Math.max(0, nowMs - createdAtMs))
  if (freshUntilMs === null)
    return {
      outcome: 'fresh',
      reason: 'never-stale',
      sentence: `A read is a hit: written ${age} ago, and never stale.`,
    }
  const leftMs = freshUntilMs - nowMs
  if (leftMs > 0)
    return {
      outcome: 'fresh',
      reason: 'fresh',
      sentence: `A read is a hit: written ${age} ago, fresh for another ${formatDuration(leftMs)}.`,
    }
  const graceMs = leftMs + ofEntryMs
  if (graceMs > 0) {
    return {
      outcome: 'stale',
      reason: 'within-grace',
      sentence: `A read gives it as stale and loads anew behind it: written ${age} ago, fresh until ${formatDuration(-leftMs)} ago, given for another ${formatDuration(graceMs)}.`,
    }
  }
  return {
    outcome: 'miss',
    reason: 'expired',
    sentence: `A read is a miss: written ${age} ago, its time and its grace are over since ${formatDuration(-graceMs)}.`,
  }
}
