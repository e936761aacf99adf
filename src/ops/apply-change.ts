// An invalidation, as the library applies it, from the command line: in Redis, then in the memory of the processes that hold copies.
import type { Acknowledged } from '../cache/announce.ts'
import type { Change } from '../cache/kernel.ts'
import type { Announcement } from '../cache/tiers.ts'
import type { OpenedContext } from './context.ts'

export interface Changer {
  /** In this order: fences, log, stamps, leases, entries, generations. Without its `pattern`. @throws CachectlError; a part may have been applied then */
  apply(change: Change): Promise<{ deleted: number | null; announcement: Announcement }>
  /** Refuses whatever is being written in bulk: before the keys of a pattern are deleted. @throws CachectlError */
  advance(): Promise<void>
  /** Tells processes with copies, and waits until they dropped them or what they hold is past its time. @throws CachectlError */
  announce(announcement: Announcement): Promise<Acknowledged>
  close(): Promise<void>
}

/** @throws CachectlError CONFIG_NOT_FOUND without a config */
export declare function openChanger(context: OpenedContext): Promise<Changer>
