// The control data of a prefix, and bulk writes that are accepted only where it is as it was before their rows were loaded. Types only.
import type { Generations } from '../core/key.ts'

/** Run-time tokens by scope; empty where nothing was bumped. */
export interface ControlState {
  /** Entries of another incarnation are misses: the control data that they relied on is gone. */
  incarnation: string
  generations: Generations
  /** A new random one with each bump and each wide invalidation: whatever captured another one is refused. */
  epoch: string
}

/** The control data of one prefix (docs/contract.md): outside `{prefix}:`, so that no pattern, budget or sweep touches it. */
export interface Control {
  /** Makes the incarnation if there is none. */
  read(): Promise<ControlState>
  /** Takes the lock, or says who holds it. */
  lock(name: string, holder: string, ttlMs: number): Promise<Lock | LockHolder>
  /** A dedicated connection for guarded bulk writes; closed with the store at the latest. */
  bulk(): Promise<BulkLane>
}

export interface LockHolder {
  held: false
  /** `host:pid` */
  holder: string
  /** ISO 8601, by the clock of the holder */
  since: string
  expiresInMs: number | null
}

export interface Lock {
  held: true
  /** Aborted when the lock was lost: it lapsed, or was taken away. */
  readonly signal: AbortSignal
  release(): Promise<void>
}

/** What was there before a load began. A write is accepted only if it still is. */
export interface Capture {
  incarnation: string | null
  epoch: string | null
  fences: readonly (string | null)[]
  /** of each watched entry: its header, or its first bytes where it has none; null where it is absent */
  headers: readonly (Buffer | null)[]
}

export interface BulkWrite {
  key: string
  value: string | Buffer
  /** of the value */
  sizeBytes: number
  /** physical TTL; null: none */
  ttlMs: number | null
  /** replace what is there: only for entries that the capture watched */
  replace: boolean
}

/**
 * What became of each entry. `refused`: something that was captured is gone. `present`: something is there that was not when it was captured. `leased`:
 * somebody else loads this entry at this moment, and it is left to them.
 */
export type BulkOutcome = readonly ('written' | 'present' | 'refused' | 'leased')[]

export interface BulkLane {
  /** Watches the control hash, the fences of these subjects and these entries. To be awaited before the load whose rows will be written. */
  capture(subjects: readonly string[], entries?: readonly string[]): Promise<Capture>
  /**
   * The stamps of these names, made where there are none, living at least so many ms (null: without end). To be awaited before the load, or between a
   * capture whose fences move whenever one of these stamps is deleted and the commit under it.
   */
  stamps(wanted: ReadonlyMap<string, number | null>): Promise<ReadonlyMap<string, string>>
  /** The stamps of these names as they are; those that are not there are not in it. */
  readStamps(names: readonly string[]): Promise<ReadonlyMap<string, string>>
  /**
   * Writes a page under the last capture, which it uses up: MULTI, one SET an entry, EXEC; or where WATCH is refused, or there are several servers, by leases
   * that are taken first, a second look at what was captured, and a script an entry. @throws CachectlError REDIS_REFUSES_WRITES, REDIS_ACL …
   */
  commit(writes: readonly BulkWrite[]): Promise<BulkOutcome>
  /** Takes a lease on each key for the row by row path; false where somebody else holds it. */
  lease(keys: readonly string[], token: string): Promise<readonly boolean[]>
  /**
   * Writes each entry whose lease is still ours and which is as it was observed: null for absent, or its first bytes. Refuses all where the
   * control data, or a fence but that of the first subject, is no longer what was captured. Gives the leases back.
   */
  fill(
    writes: readonly (BulkWrite & { observed: Buffer | null })[],
    token: string,
    subjects: readonly string[],
    capture: Capture,
  ): Promise<readonly ('written' | 'present' | 'refused')[]>
  /** Gives back leases that are still ours, of rows that came to nothing. */
  release(keys: readonly string[], token: string): Promise<void>
  /** The header of each entry, or its first bytes where it has none; null where it is absent. */
  headers(keys: readonly string[]): Promise<readonly (Buffer | null)[]>
  close(): void
}
