// One page of entries through the guards: absent ones are written, present ones compared, and where an invalidation came between,
// the rows are loaded again one lease a row. What is written was loaded after everything that was invalidated (docs/contract.md).
import { compareVersions, decodeHeader } from '../core/entry.ts'
import type { BulkLane, Capture, Id } from '../ports.ts'
import type { Prepared } from './warm-entry.ts'

export type WarmMode = 'default' | 'missing' | 'refresh'

export interface WriteCounts {
  written: number
  bytes: number
  present: number
  newer: number
  invalidated: number
}

export interface GuardedPage {
  lane: BulkLane
  subjects: readonly string[]
  /** what the lane watches */
  capture: Capture
  /** what was there before the rows were loaded: the same, or of a stream what was there when it began */
  loadedSince: Capture
  entries: readonly Prepared[]
  mode: WarmMode
  now: () => number
  /** Loads these rows again, for the row by row path; null where the source cannot. */
  reload: ((rows: readonly Prepared[]) => Promise<readonly Prepared[]>) | null
  token: string
}

export async function writeGuarded(page: GuardedPage): Promise<WriteCounts> {
  const counts: WriteCounts = { written: 0, bytes: 0, present: 0, newer: 0, invalidated: 0 }
  if (page.entries.length === 0) return counts
  const outcome = sameGuard(page.loadedSince, page.capture) ? await page.lane.commit(page.entries) : 'refused'
  if (outcome === 'refused') {
    await fillByLease(page, page.entries, counts)
    return counts
  }
  const existing: Prepared[] = []
  page.entries.forEach((entry, index) => {
    if (outcome[index] === 'written') count(counts, entry)
    else existing.push(entry)
  })
  if (existing.length > 0) await settleExisting(page, existing, counts)
  return counts
}

/** Entries that were there already: left, or replaced where they are older, stale or dead. They are watched, so nobody's write is lost. */
async function settleExisting(page: GuardedPage, existing: readonly Prepared[], counts: WriteCounts): Promise<void> {
  const keys = existing.map((entry) => entry.key)
  const capture = await page.lane.capture(page.subjects, keys)
  if (!sameGuard(page.capture, capture)) return fillByLease(page, existing, counts)
  const replacing: Prepared[] = []
  existing.forEach((entry, index) => {
    const verdict = compareWithExisting(entry, capture.headers[index] ?? null, page)
    if (verdict === 'replace') replacing.push({ ...entry, replace: true })
    else counts[verdict]++
  })
  if (replacing.length === 0) return
  const outcome = await page.lane.commit(replacing)
  if (outcome === 'refused') return fillByLease(page, replacing, counts)
  for (const entry of replacing) count(counts, entry)
}

export function sameGuard(before: Capture, after: Capture): boolean {
  return (
    before.incarnation === after.incarnation &&
    before.epoch === after.epoch &&
    before.fences.every((fence, index) => fence !== null && fence === after.fences[index])
  )
}

function compareWithExisting(
  entry: Prepared,
  header: Buffer | null,
  page: Pick<GuardedPage, 'capture' | 'mode' | 'now'>,
): 'replace' | 'present' | 'newer' {
  if (!isLive(header, page.capture.incarnation)) return 'replace'
  const decoded = decodeHeader(header as Buffer)
  if (!decoded.ok) return 'replace'
  const order = compareVersions(entry.sourceVersion, decoded.header.sourceVersion)
  if (order === 'older') return 'newer'
  if (order === 'newer' || page.mode === 'refresh') return 'replace'
  return isFresh(decoded.header.freshUntilMs, page.now()) ? 'present' : 'replace'
}

/** Whether a reader would take this entry as one of ours, fresh or stale. */
export function isLive(header: Buffer | null, incarnation: string | null): boolean {
  if (header === null) return false
  const decoded = decodeHeader(header)
  return decoded.ok && decoded.header.incarnation === incarnation
}

/** Whether `--missing` leaves this entry alone. */
export function isPresent(header: Buffer | null, incarnation: string | null, nowMs: number): boolean {
  if (!isLive(header, incarnation)) return false
  const decoded = decodeHeader(header as Buffer)
  return decoded.ok && isFresh(decoded.header.freshUntilMs, nowMs)
}

const isFresh = (freshUntilMs: number | null, nowMs: number) => freshUntilMs === null || nowMs < freshUntilMs

/** Row by row, so that a busy writer cannot starve the run: an invalidation of one row refuses that row alone. */
async function fillByLease(page: GuardedPage, rows: readonly Prepared[], counts: WriteCounts): Promise<void> {
  if (!page.reload) {
    counts.invalidated += rows.length
    return
  }
  const keys = rows.map((row) => row.key)
  const leased = await page.lane.lease(keys, page.token)
  const ours = rows.filter((_, index) => leased[index])
  // Somebody else is loading the others at this moment: theirs is at least as new.
  counts.present += rows.length - ours.length
  const observed = new Map<string, Buffer | null>()
  const headers = await page.lane.headers(ours.map((row) => row.key))
  for (const [index, row] of ours.entries()) observed.set(row.key, headers[index] ?? null)
  const { incarnation } = await page.lane.capture(page.subjects)
  const loaded = (await page.reload(ours)).filter((row) => observed.has(row.key))
  const filling = loaded.flatMap((row) => {
    const header = observed.get(row.key) ?? null
    const verdict =
      header === null
        ? 'replace'
        : compareWithExisting(row, header, { ...page, capture: { ...page.capture, incarnation } })
    if (verdict === 'replace') return [{ ...row, observed: header }]
    counts[verdict]++
    observed.delete(row.key)
    return []
  })
  const results = await page.lane.fill(filling, page.token)
  filling.forEach((row, index) => {
    if (results[index] === 'written') count(counts, row)
    else if (results[index] === 'present') counts.present++
    else counts.invalidated++
    observed.delete(row.key)
  })
  // Rows that are gone from the source, or whose key changed: deleted while the run went on.
  counts.invalidated += countOurs(ours, observed)
  const settled = new Set(filling.map((row) => row.key))
  await page.lane.release(
    ours.map((row) => row.key).filter((key) => !settled.has(key)),
    page.token,
  )
}

const countOurs = (ours: readonly Prepared[], left: ReadonlyMap<string, unknown>) =>
  ours.filter((row) => left.has(row.key)).length

function count(counts: WriteCounts, entry: Prepared): void {
  counts.written++
  counts.bytes += entry.sizeBytes
}

/** Ids of prepared rows, for a reload. */
export function idsOf(rows: readonly Prepared[]): Id[] {
  return rows.flatMap((row) => (row.id === null ? [] : [row.id]))
}
