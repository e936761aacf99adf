// What stands where warm is about to write: entries that a reader takes, and those that none does.
import { decodeHeader, type EntryHeader } from '../core/entry.ts'
import type { BulkLane } from '../ports.ts'

/** `dead`: nothing is there that a reader takes. */
export type Existing = EntryHeader | 'dead'

/** One for each header; the stamps that they hold are compared with those that there are. */
export async function readExisting(
  lane: BulkLane,
  headers: readonly (Buffer | null)[],
  incarnation: string | null,
): Promise<Existing[]> {
  const existing = headers.map((header) => decodeExisting(header, incarnation))
  const names = new Set<string>()
  for (const entry of existing) if (typeof entry === 'object') for (const { tag } of entry.tags) names.add(tag)
  if (names.size === 0) return existing
  const stamps = await lane.readStamps([...names])
  return existing.map((entry) =>
    typeof entry === 'object' && entry.tags.some(({ tag, stamp }) => stamps.get(tag) !== stamp) ? 'dead' : entry,
  )
}

function decodeExisting(header: Buffer | null, incarnation: string | null): Existing {
  if (header === null) return 'dead'
  const decoded = decodeHeader(header)
  return decoded.ok && decoded.header.incarnation === incarnation ? decoded.header : 'dead'
}

/** Of each header: whether `--missing` leaves its entry alone. */
export async function arePresent(
  lane: BulkLane,
  headers: readonly (Buffer | null)[],
  incarnation: string | null,
  nowMs: number,
): Promise<boolean[]> {
  const existing = await readExisting(lane, headers, incarnation)
  return existing.map((entry) => entry !== 'dead' && isFresh(entry.freshUntilMs, nowMs))
}

export const isFresh = (freshUntilMs: number | null, nowMs: number): boolean =>
  freshUntilMs === null || nowMs < freshUntilMs
