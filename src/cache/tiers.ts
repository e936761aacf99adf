// L1, as the kernel sees it: entries in the memory of this process, and what tells other processes to drop theirs. Types only.
import type { EntryHeader } from '../core/entry.ts'
import type { Lane } from '../ports.ts'
import type { Change } from './kernel.ts'

export interface NearEntry {
  header: EntryHeader
  /** deep-frozen, where it can be */
  value: unknown
  sizeBytes: number
  /** of what `find` gives: it holds parts that cannot be frozen (Date, Map, Set, bytes), so a caller gets `copyValue(value)` (core/shared-value.ts) */
  mutable?: boolean
}

/** What of a change concerns L1, with names as they are in Redis. */
export interface Announcement {
  keys: readonly string[]
  stamps: readonly string[]
  /** a scope was bumped: generations are to be read again */
  bumped: boolean
  /** plain-key glob of a pattern */
  pattern: string | null
}

export interface Near {
  /** Whether copies may be given: the connection of invalidations was proved within the last heartbeat. */
  trusted(): boolean
  /** null: not there, or not trusted */
  find(namespace: string, key: string): NearEntry | null
  /** To be called before a read is sent whose entries will be kept; `keep` refuses what was invalidated since. Null: nothing is kept now. */
  expect(): unknown
  keep(expected: unknown, namespace: string, key: string, entry: NearEntry): void
  /** Drops this process' copies at once. */
  drop(announcement: Announcement): void
  /** Called with each new connection of the kernel, before the first read on it: turns on tracking. */
  attach(lane: Lane): Promise<void>
  /** Everything is dropped: the connection was lost, or control data changed its history. */
  clear(): void
  /** Tells all processes, and waits until each has dropped its copies or their time has lapsed. */
  announce(announcement: Announcement): Promise<{ processes: number; of: number; lapsed: boolean }>
  /** Resolves when this entry was filled by another process, or after `ms`. */
  woken(key: string, ms: number): Promise<void>
  /** Called when generations must be read again before any copy is given. */
  onBumped(listener: () => void): void
  close(): Promise<void>
}

export type { Change }
