// What targets come to: what is invalidated at once (generations, stamps, entries by name), and which keys are deleted or changed by a walk.
import type { Change } from '../cache/kernel.ts'
import type { ResolvedConfig } from '../config/resolved.ts'
import type { Target } from '../core/target.ts'

export interface Aim {
  targets: readonly Target[]
  /** entries of this tenant only; null: of all */
  tenant: string | null
  /** patterns reach keys outside the prefix */
  foreign: boolean
}

export type Decide = (key: Buffer) => 'pass' | 'protect' | 'act'

/**
 * Whether a key is meant: under the prefix (or anywhere, with `foreign`), of a target, of the tenant; never control data, and spared where `protect`
 * of the config or what is known of queues and sessions matches it.
 */
export declare function decideFor(aim: Aim, config: ResolvedConfig | null): Decide

/** Null: nothing of it can be done at once. @throws CachectlError USAGE */
export declare function changeOfTargets(aim: Aim, config: ResolvedConfig): Change | null
