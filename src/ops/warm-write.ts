// One page of entries through the guards: absent ones are written, present ones compared, and where an invalidation came between,
// the rows are loaded again one lease a row. What is written was loaded after everything that was invalidated (docs/contract.md).
import { compareVersions } from '../core/entry.ts'
import type { BulkLane, BulkOutcome, Capture, Id } from '../ports.ts'
import type { Prepared } from './warm-entry.ts'
import { type Existing, isFresh, readExisting } from './warm-existing.ts'

export type WarmMode = 'default' | 'missing' | 'refresh'

/** What became of the entries of a page; together they are all of them. */
export interface WriteCounts {
  written: number
  bytes: number
  present: number
  newer: number
  invalidated: number
  /** rows that could not be made into entries when they were loaded again */
  failed: number
}

export const noCounts = (): WriteCounts => ({ written: 0, bytes: 0, present: 0, newer: 0, invalidated: 0, failed: 0 })

export const counted = ({ written, present, newer, invalidated, failed }: WriteCounts): number =>
  written + present + newer + invalidated + failed

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
  reload: ((rows: readonly Prepared[]) => Promise<Reloaded>) | null
  token: string
}

export interface Reloaded {
  entries: readonly Prepared[]
  /** rows that are there and cannot be made into entries */
  failed: number
}

/** Counts into `counts`, so that what was done before a failure is known. @throws CachectlError */
export async function writeGuarded(page: GuardedPage, counts: WriteCounts): Promise<void> {
  const entries = newestPerKey(page.entries, counts)
  if (entries.length === 0) return
  const outcome = sameGuard(page.loadedSince, page.capture) ? await page.lane.commit(entries) : []
  const { present, refused, leased } = sortOut(entries, outcome, counts)
  await countLeasedByOthers(page, leased, counts)
  if (refused.length > 0) await fillByLease(page, refused, counts)
  if (present.length > 0) await settleExisting(page, present, counts)
}

/** Counts what was written, and says what is to be done with the rest. */
function sortOut(entries: readonly Prepared[], outcome: BulkOutcome, counts: WriteCounts) {
  const rest: Record<'present' | 'refused' | 'leased', Prepared[]> = { present: [], refused: [], leased: [] }
  entries.forEach((entry, index) => {
    const became = outcome[index] ?? 'refused'
    if (became === 'written') count(counts, entry)
    else rest[became].push(entry)
  })
  return rest
}

/** A source may give a row twice, changed in between: the older one must not come last. */
function newestPerKey(entries: readonly Prepared[], counts: WriteCounts): readonly Prepared[] {
  const newest = new Map<string, Prepared>()
  for (const entry of entries) {
    const known = newest.get(entry.key)
    if (known === undefined || compareVersions(entry.sourceVersion, known.sourceVersion) !== 'older')
      newest.set(entry.key, entry)
  }
  counts.newer += entries.length - newest.size
  return newest.size === entries.length ? entries : [...newest.values()]
}

/** Entries that were there already: left, or replaced where they are older, stale or dead. They are watched, so nobody's write is lost. */
async function settleExisting(page: GuardedPage, existing: readonly Prepared[], counts: WriteCounts): Promise<void> {
  const keys = existing.map((entry) => entry.key)
  const capture = await page.lane.capture(page.subjects, keys)
  if (!sameGuard(page.capture, capture)) return fillByLease(page, existing, counts)
  const there = await readExisting(page.lane, capture.headers, capture.incarnation)
  const replacing: Prepared[] = []
  const unordered: Prepared[] = []
  existing.forEach((entry, index) => {
    const verdict = compareWithExisting(entry, there[index] ?? 'dead', page)
    if (verdict === 'replace') replacing.push({ ...entry, replace: true })
    else if (verdict === 'unordered') unordered.push(entry)
    else counts[verdict]++
  })
  if (replacing.length > 0) {
    const { present, refused, leased } = sortOut(replacing, await page.lane.commit(replacing), counts)
    // Somebody has written it since.
    counts.present += present.length
    await countLeasedByOthers(page, leased, counts)
    if (refused.length > 0) await fillByLease(page, refused, counts)
  }
  // Which of the two was loaded later nobody knows, so the row is loaded once more, after the entry was seen.
  if (unordered.length > 0 && page.reload) await fillByLease(page, unordered, counts)
  else counts.present += unordered.length
}

export function sameGuard(before: Capture, after: Capture): boolean {
  return (
    before.incarnation === after.incarnation &&
    before.epoch === after.epoch &&
    before.fences.every((fence, index) => fence !== null && fence === after.fences[index])
  )
}

type Verdict = 'replace' | 'present' | 'newer' | 'unordered'

function compareWithExisting(
  entry: Prepared,
  existing: Existing,
  { mode, now }: Pick<GuardedPage, 'mode' | 'now'>,
): Verdict {
  if (existing === 'dead') return 'replace'
  const order = compareVersions(entry.sourceVersion, existing.sourceVersion)
  if (order === 'older') return 'newer'
  if (order === 'newer' || !isFresh(existing.freshUntilMs, now())) return 'replace'
  if (mode !== 'refresh') return 'present'
  return order === 'equal' ? 'replace' : 'unordered'
}

/** Row by row, so that a busy writer cannot starve the run: an invalidation of one row refuses that row alone. */
async function fillByLease(page: GuardedPage, rows: readonly Prepared[], counts: WriteCounts): Promise<void> {
  const { lane, reload, token } = page
  if (!reload) {
    counts.invalidated += rows.length
    return
  }
  const leased = await lane.lease(
    rows.map((row) => row.key),
    token,
  )
  const ours = rows.filter((_, index) => leased[index])
  const settled = new Set<string>()
  try {
    await countLeasedByOthers(
      page,
      rows.filter((_, index) => !leased[index]),
      counts,
    )
    const keys = ours.map((row) => row.key)
    // What was there before the rows are loaded again: the entries themselves, and the fences of what is joined into them.
    const capture = await lane.capture(page.subjects, keys)
    const there = await readExisting(lane, capture.headers, capture.incarnation)
    const observed = new Map(keys.map((key, index) => [key, index]))
    const reloaded = await reload(ours)
    const filling = reloaded.entries.flatMap((row) => {
      const index = observed.get(row.key)
      if (index === undefined) return []
      const verdict = compareWithExisting(row, there[index] ?? 'dead', page)
      observed.delete(row.key)
      if (verdict === 'replace' || verdict === 'unordered')
        return [{ ...row, observed: capture.headers[index] ?? null }]
      counts[verdict]++
      return []
    })
    const results = await lane.fill(filling, token, page.subjects, capture)
    filling.forEach((row, index) => {
      settled.add(row.key)
      const result = results[index]
      if (result === 'written') count(counts, row)
      else if (result === 'present') counts.present++
      else counts.invalidated++
    })
    // Rows that are gone from the source, or whose key changed, were changed while the run went on.
    counts.failed += Math.min(reloaded.failed, observed.size)
    counts.invalidated += Math.max(0, observed.size - reloaded.failed)
  } finally {
    await lane
      .release(
        ours.map((row) => row.key).filter((key) => !settled.has(key)),
        token,
      )
      .catch(() => undefined)
  }
}

/** Somebody else is loading these at this moment; what is not there yet will be theirs, and is not ours to claim. */
async function countLeasedByOthers(page: GuardedPage, rows: readonly Prepared[], counts: WriteCounts): Promise<void> {
  if (rows.length === 0) return
  const headers = await page.lane.headers(rows.map((row) => row.key))
  for (const existing of await readExisting(page.lane, headers, page.capture.incarnation)) {
    if (existing === 'dead') counts.invalidated++
    else counts.present++
  }
}

function count(counts: WriteCounts, entry: Prepared): void {
  counts.written++
  counts.bytes += entry.sizeBytes
}

/** Ids of prepared rows, for a reload. */
export function idsOf(rows: readonly Prepared[]): Id[] {
  return rows.flatMap((row) => (row.id === null ? [] : [row.id]))
}
