// The walk that deletes or changes keys by their exact names: on every master, paced, counted so that it balances, and safe to stop and to repeat.
import type { Account } from '../core/account.ts'
import type { CachectlError } from '../core/errors.ts'
import type { Page, Reply } from '../ports.ts'
import type { OperationContext } from './context.ts'

/** `auto`: as fast as leaves the server idle for most of the time; `max`: as fast as it goes. */
export type Pace = 'auto' | 'max' | { keysPerSecond: number }

/** What is done with a key. */
export interface SweepAction {
  /** commands that are one command of many keys, answered with how many it did (UNLINK); otherwise one command a key */
  readonly many: boolean
  /** Adds exactly one command, for one key, or where `many` for all of these. */
  add(page: Page, keys: readonly Buffer[]): void
  /** What the reply to one key's command says; default: 1 done, 0 gone. Error replies never come here. */
  outcome?(reply: Reply): 'done' | 'gone'
}

export interface SweepOptions {
  /** `protect`: meant, and spared */
  decide(key: Buffer): 'pass' | 'protect' | 'act'
  action: SweepAction
  pace: Pace
  /** of the progress line: `deleting` */
  task: string
  /** keys that are expected; null: unknown */
  expected: number | null
  /** acts on no more keys than this; the rest is `remaining` */
  most?: number
}

export interface Swept {
  account: Account
  /** every key that was there from beginning to end was met, and none is left over */
  complete: boolean
  /** why it ended before its end: stopped, or Redis went away or refuses; null where it did not */
  stopped: CachectlError | null
  /** error replies by their text, most frequent first */
  problems: readonly { code: string; message: string; keys: number }[]
}

/** Walks all masters. Never rejects once it has begun: what stops it is in what it gives, with what was done until then. */
export declare function sweep(context: OperationContext, options: SweepOptions): Promise<Swept>

/** The same for keys that are named already, in this order; `decide` is not asked. */
export declare function sweepNamed(
  context: OperationContext,
  keys: AsyncIterable<readonly Buffer[]> | Iterable<readonly Buffer[]>,
  options: Omit<SweepOptions, 'decide'>,
): Promise<Swept>

/** UNLINK, or DEL where the server does not know it. */
export declare function unlinkAction(context: OperationContext): Promise<SweepAction>
