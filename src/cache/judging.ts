// Whether what was read is an entry that is good now: it can be decoded, belongs to this history, is within its time, and its stamps are what they were.
import { decodeEntry, decodeHeader, type EntryHeader } from '../core/entry.ts'
import { stampKey } from '../core/key.ts'
import type { Clock, Reply } from '../ports.ts'
import type { Mirror } from './control-mirror.ts'
import type { Place } from './kernel.ts'
import type { Values } from './turn-values.ts'

export interface GoodEntry {
  state: 'fresh' | 'stale'
  header: EntryHeader
  value: unknown
}

/** What these bytes are under this mirror, whatever became of their stamps; null: nothing that is good. Counts what cannot be decoded. */
export type Judge = (bytes: Reply, mirror: Mirror, place: Place) => GoodEntry | null

export function createJudge(clock: Clock, onUndecodable: (place: Place, reason: string) => void): Judge {
  return (bytes, { incarnation }, place) => {
    if (!Buffer.isBuffer(bytes)) return null
    const decoded = decodeEntry(bytes)
    if (!decoded.ok) {
      onUndecodable(place, decoded.reason)
      return null
    }
    const { header, value } = decoded
    if (header.incarnation !== incarnation) return null
    const state = stateOf(header, clock.now())
    return state === null ? null : { state, header, value }
  }
}

/** Null: past its freshness and its grace. */
function stateOf({ freshUntilMs, graceMs }: EntryHeader, nowMs: number): GoodEntry['state'] | null {
  if (freshUntilMs === null || nowMs < freshUntilMs) return 'fresh'
  return nowMs < freshUntilMs + graceMs ? 'stale' : null
}

/** @param more read behind `values` */
export function stampsHold({ tags }: EntryHeader, prefix: string, values: Values, more: Values | null): boolean {
  for (const { tag, stamp } of tags) {
    const key = stampKey(prefix, tag)
    const read = more?.has(key) ? more : values
    if (read.text(key) !== stamp) return false
  }
  return true
}

/** Keys of stamps that this entry turns out to hold, and that nobody asked for. */
export function missingStamps(bytes: Reply, prefix: string, values: Values): readonly string[] {
  if (!Buffer.isBuffer(bytes) || !hasTags(bytes)) return NONE
  const head = decodeHeader(bytes)
  if (!head.ok) return NONE
  return head.header.tags.map(({ tag }) => stampKey(prefix, tag)).filter((key) => !values.has(key))
}

const NONE: readonly string[] = []
const ZERO = 0x30

/** By the length of the tags in the header (docs/contract.md), without decoding it. */
function hasTags(bytes: Buffer): boolean {
  return bytes.length > 69 && !(bytes[65] === ZERO && bytes[66] === ZERO && bytes[67] === ZERO && bytes[68] === ZERO)
}
