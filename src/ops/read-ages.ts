// How old the entries of each declared group are, from the headers of a random sample of them.
import { decodeHeader, HEADER_PROBE_BYTES } from '../core/entry.ts'
import type { Group } from '../core/groups.ts'
import { percentileOf } from '../core/histogram.ts'
import { isErrorReply } from '../core/reply.ts'
import type { AgeSummary } from '../core/stats.ts'
import type { KeySample } from '../core/tally.ts'
import type { Lane, Reply } from '../ports.ts'
import type { OperationContext } from './context.ts'
import { countLookup, type Lookups } from './count-keys.ts'

/** Headers that are read of one group at most. */
export const AGE_SAMPLE = 1000
const PAGE_KEYS = 250

export interface AgesRead {
  ages: Map<string, AgeSummary>
  headersRead: number
  /** false: the server cannot read without touching, and nobody allowed it */
  allowed: boolean
}

/** `touch`: read even where that makes the sampled keys look used; `replica`: from replicas where there are some in step. Lookups are added to `lookups`. */
export async function readAges(
  context: OperationContext,
  groups: readonly Group[],
  { touch, replica }: { touch: boolean; replica: boolean },
  lookups: Lookups,
): Promise<AgesRead> {
  const sampled = groups.filter((group) => group.tally.sample !== null && group.tally.sample.keys.length > 0)
  const read: AgesRead = { ages: new Map(), headersRead: 0, allowed: true }
  if (sampled.length === 0) return read
  for (const [index, master] of (await context.store.masters()).entries()) {
    const lane = await master.lane({ noTouch: true, replica })
    try {
      if (!lane.noTouch && !touch) return { ...read, allowed: false }
      for (const { identity, tally } of sampled) {
        if (context.signal.aborted) return read
        const agesMs = await agesOf(lane, index, tally.sample as KeySample, context.clock.now(), lookups)
        read.headersRead += agesMs.length
        const before = read.ages.get(identity.group)
        // With several masters the larger part speaks for the group; each part is a random sample of it.
        if (agesMs.length > (before?.read ?? 0)) read.ages.set(identity.group, summarise(agesMs))
      }
    } finally {
      lane.close()
    }
  }
  return read
}

async function agesOf(
  lane: Lane,
  master: number,
  sample: KeySample,
  nowMs: number,
  lookups: Lookups,
): Promise<number[]> {
  const keys = sample.keys.filter((kept) => kept.master === master).map((kept) => kept.key)
  const agesMs: number[] = []
  for (let start = 0; start < keys.length; start += PAGE_KEYS) {
    const asked = keys.slice(start, start + PAGE_KEYS)
    const page = lane.page()
    for (const key of asked) page.add('GETRANGE', key, 0, HEADER_PROBE_BYTES - 1)
    const replies = await lane.run(page)
    await countReads(lane, asked, replies, lookups)
    for (const reply of replies) {
      const decoded = Buffer.isBuffer(reply) ? decodeHeader(reply) : null
      if (decoded?.ok) agesMs.push(Math.max(0, nowMs - decoded.header.createdAtMs))
    }
  }
  return agesMs
}

/** An empty answer is that of a missing key and of an empty one: only asking again tells whether it was a miss. */
async function countReads(
  lane: Lane,
  keys: readonly Buffer[],
  replies: readonly Reply[],
  lookups: Lookups,
): Promise<void> {
  const page = lane.page()
  for (const [index, reply] of replies.entries()) {
    if (Buffer.isBuffer(reply) && reply.length === 0) page.add('PTTL', keys[index] as Buffer)
    // A value of another type was looked up before it was refused.
    else if (isErrorReply(reply) && reply.code === 'WRONGTYPE') lookups.hits++
    else countLookup(lookups, reply, false)
  }
  for (const reply of await lane.run(page)) {
    countLookup(lookups, reply, reply === -2)
    countLookup(lookups, reply, reply === -2)
  }
}

function summarise(agesMs: number[]): AgeSummary {
  agesMs.sort((a, b) => a - b)
  return { p50Ms: percentileOf(agesMs, 0.5), p95Ms: percentileOf(agesMs, 0.95), read: agesMs.length }
}
