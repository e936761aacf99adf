// Measures every key of a walk with two commands that leave its LRU and LFU data alone, and counts it in its group.
import type { GroupBy, GroupTable } from '../core/groups.ts'
import { printable } from '../core/printable.ts'
import { isErrorReply } from '../core/reply.ts'
import { record, sampleKey } from '../core/tally.ts'
import type { Page, Random, Reply } from '../ports.ts'
import type { ScannedPage } from './scan.ts'

/** Lookups that this run adds to INFO's counters: PTTL, TYPE and GETRANGE count one each, MEMORY USAGE none. */
export interface Lookups {
  hits: number
  misses: number
}

export interface LargestKey {
  /** escaped for showing; `cachectl get` takes it as it is */
  key: string
  bytes: number
  /** null: no TTL, or unknown */
  ttlMs: number | null
}

export interface KeyCounter {
  /** for `ScanOptions.probe` */
  probe(page: Page, key: Buffer): void
  count(page: ScannedPage): void
  readonly lookups: Lookups
  /** keys that SCAN named and that were gone (or expired) when they were asked about */
  gone: number
  /** keys of which the server refused to tell the size */
  unsized: number
  readonly largest: LargestKey[]
}

export interface CountOptions {
  table: GroupTable
  by: readonly GroupBy[]
  /** how many of the largest keys are kept */
  largest: number
  random: Random
}

/** `readsType`: a third command a key, for groups by type. */
export function createKeyCounter({ table, by, largest: most, random }: CountOptions): KeyCounter {
  const readsType = by.includes('type')
  const perKey = readsType ? 3 : 2
  const largest = createLargest(most)

  return {
    lookups: { hits: 0, misses: 0 },
    gone: 0,
    unsized: 0,
    largest: largest.keys,
    probe(page, key) {
      page.add('MEMORY', 'USAGE', key)
      page.add('PTTL', key)
      if (readsType) page.add('TYPE', key)
    },
    count({ keys, replies, master }) {
      for (let i = 0; i < keys.length; i++) {
        const key = keys[i] as Buffer
        const size = replies[i * perKey]
        const pttl = replies[i * perKey + 1]
        const type = readsType ? replies[i * perKey + 2] : undefined
        countLookup(this.lookups, pttl, pttl === -2)
        countLookup(this.lookups, type, isText(type, 'none'))
        if (pttl === -2 || (size === null && typeof pttl !== 'number')) {
          this.gone++
          continue
        }
        const bytes = typeof size === 'number' && size > 0 ? size : null
        const pttlMs = typeof pttl === 'number' ? pttl : null
        if (bytes === null) this.unsized++
        else largest.offer(key, bytes, pttlMs)
        const { tally, longestTtlMs } = table.at(key, textOf(type))
        record(tally, { bytes, pttlMs }, longestTtlMs)
        if (tally.sample !== null) sampleKey(tally.sample, key, master, random)
      }
    },
  }
}

/** Error replies looked nothing up: permissions are checked before keys are. */
export function countLookup(lookups: Lookups, reply: Reply | undefined, missing: boolean): void {
  if (reply === undefined || isErrorReply(reply)) return
  if (missing) lookups.misses++
  else lookups.hits++
}

function isText(reply: Reply | undefined, text: string): boolean {
  return reply === text || (Buffer.isBuffer(reply) && reply.toString() === text)
}

function textOf(reply: Reply | undefined): string | null {
  return typeof reply === 'string' ? printable(reply) : Buffer.isBuffer(reply) ? printable(reply) : null
}

interface Largest {
  keys: LargestKey[]
  offer(key: Buffer, bytes: number, pttlMs: number | null): void
}

/** The largest keys, largest first. The very largest is always kept: the health of the whole is judged by it. */
function createLargest(most: number): Largest {
  const size = Math.max(1, most)
  let threshold = 0
  return {
    keys: [],
    offer(key, bytes, pttlMs) {
      if (bytes <= threshold) return
      const place = this.keys.findIndex((kept) => kept.bytes < bytes)
      const ttlMs = pttlMs === null || pttlMs < 0 ? null : pttlMs
      this.keys.splice(place < 0 ? this.keys.length : place, 0, { key: printable(key), bytes, ttlMs })
      if (this.keys.length > size) this.keys.pop()
      if (this.keys.length === size) threshold = this.keys.at(-1)?.bytes ?? 0
    },
  }
}
