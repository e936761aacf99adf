// What every destructive command shares: its flags, and how it is confirmed.
import type { Command } from 'commander'
import type { Danger } from '../core/safeguards.ts'
import type { Pace } from '../ops/sweep.ts'
import type { GlobalFlags } from './flags.ts'
import type { Session } from './session.ts'

export interface DestructiveFlags {
  dryRun?: boolean
  yes?: boolean
  confirm?: string
  maxPercent: number
  maxKeys?: number
  /** keys a second, or `max` */
  rate?: Pace
}

/** Adds -n, -y, --confirm, --max-percent, --max-keys, --rate. */
export declare function addDestructiveFlags(command: Command): Command

/**
 * Shows the plan on stderr and asks where it must; returns when it may be done.
 * @throws CachectlError REFUSED with the full command that would pass
 */
export declare function confirm(
  session: Session,
  flags: DestructiveFlags & GlobalFlags,
  plan: { text: string; danger: Danger },
): Promise<void>
