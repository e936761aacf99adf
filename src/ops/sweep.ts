// The walk that deletes or changes keys by their exact names: on every master, paced, counted so that it balances, and safe to stop and to repeat.
import { setTimeout as delay } from 'node:timers/promises'
import type { Account } from '../core/account.ts'
import { asCachectlError, type CachectlError } from '../core/errors.ts'
import type { Lane, Master, Page, Reply } from '../ports.ts'
import type { OperationContext } from './context.ts'
import type { Pace } from './pace.ts'
import type { Refusal } from './refusals.ts'
import { scan } from './scan.ts'
import { Sweeper } from './sweeper.ts'

export type { Pace } from './pace.ts'

/** What is done with a key. */
export interface SweepAction {
  /** one command of many keys, answered with how many it did (UNLINK); otherwise one command a key */
  readonly many: boolean
  /** the key is still there when it is done, and may be met again: it counts once, whatever is lost on the way */
  readonly stays?: boolean
  /** Adds exactly one command, for one key, or where `many` for all of these. */
  add(page: Page, keys: readonly Buffer[]): void
  /** What the reply to one key's command says; default: 1 done, 0 gone. Error replies never come here. */
  outcome?(reply: Reply): 'done' | 'gone'
}

export interface SweepOptions {
  /** a glob that the server looks at, so that no other key is sent; `decide` still decides */
  match?: string
  /** `protect`: meant, and spared */
  decide(key: Buffer): 'pass' | 'protect' | 'act'
  /** A second look at keys that are to be acted on, after SCAN has named them. */
  examine?: {
    /** adds one command for each key, whose replies `keep` is given */
    probe?(page: Page, key: Buffer): void
    /** False: passed after all. */
    keep(keys: readonly Buffer[], replies: readonly Reply[]): Promise<readonly boolean[]>
  }
  action: SweepAction
  pace: Pace
  /** of the progress line: `deleting` */
  task: string
  /** keys that are expected; null: unknown */
  expected: number | null
  /** acts on no more keys than this; the rest is `remaining` */
  most?: number
  /** what is not acted on is out of reach already, and counts as `outdated` */
  outdated?: boolean
}

export interface Swept {
  account: Account
  /** every key that was there from beginning to end was met, and none is left over */
  complete: boolean
  /** why it ended before its end: stopped, or Redis went away or refuses; null where it did not */
  stopped: CachectlError | null
  /** what nobody knows though nothing failed; null: nothing */
  doubt: string | null
  /** error replies by their text, most frequent first */
  problems: readonly Refusal[]
}

/** Walks that find the keys moved to another master, or the connection lost, before they give up. */
const MOST_WALKS = 6
const AGAIN_AFTER_MS = 250

/** Walks all masters. Never rejects once it has begun: what stops it is in what it gives, with what was done until then. */
export async function sweep(context: OperationContext, options: SweepOptions): Promise<Swept> {
  const { store, signal } = context
  const sweeper = new Sweeper(context, options)
  let failure: CachectlError | null = null
  let settled = false
  for (let walk = 0; walk < MOST_WALKS && !settled && !signal.aborted; walk++) {
    if (walk > 0) await delay(AGAIN_AFTER_MS, undefined, { signal }).catch(() => {})
    try {
      if (walk > 0) await sweeper.recover()
      const before = await store.layout()
      await walkOnce(context, options, sweeper)
      // A slot that has moved may have been passed by both its old and its new place.
      settled = (await store.layout()) === before && !sweeper.moved()
      failure = null
    } catch (thrown) {
      failure = asCachectlError(thrown)
      if (!isOfConnection(failure)) break
    }
  }
  return sweeper.finish(settled && !signal.aborted, failure)
}

/** The same for keys that are named already, in this order; `decide` is not asked. */
export async function sweepNamed(
  context: OperationContext,
  keys: AsyncIterable<readonly Buffer[]> | Iterable<readonly Buffer[]>,
  options: Omit<SweepOptions, 'decide' | 'examine' | 'match'>,
): Promise<Swept> {
  const sweeper = new Sweeper(context, options)
  let failure: CachectlError | null = null
  try {
    const lane = await context.store.lane()
    try {
      for await (const some of keys) {
        if (context.signal.aborted) sweeper.leave(some.length)
        else await sweeper.act(lane, some)
      }
      await sweeper.settle()
    } finally {
      lane.close()
    }
  } catch (thrown) {
    failure = asCachectlError(thrown)
  }
  return sweeper.finish(failure === null && !context.signal.aborted, failure)
}

/** UNLINK, or DEL where the server does not know it. */
export async function unlinkAction({ store }: Pick<OperationContext, 'store'>): Promise<SweepAction> {
  const command = (await store.supports('unlink')) ? 'UNLINK' : 'DEL'
  return { many: true, add: (page, keys) => page.add(command, ...keys) }
}

async function walkOnce(context: OperationContext, options: SweepOptions, sweeper: Sweeper): Promise<void> {
  const { store, signal } = context
  const { examine, decide } = options
  const masters = await store.masters()
  const lanes: (Lane | undefined)[] = []
  const wanted = (key: Buffer): boolean => {
    const decision = decide(key)
    if (decision === 'protect') sweeper.protect(key)
    return decision === 'act'
  }
  const probe = examine?.probe
  try {
    const pages = scan(store, {
      signal,
      wanted,
      ...(options.match === undefined ? {} : { match: options.match }),
      calm: options.pace !== 'max',
      noTouch: probe !== undefined,
      ...(probe === undefined ? {} : { probe: (page: Page, key: Buffer) => probe(page, key) }),
    })
    for await (const { keys, replies, master } of pages) {
      const kept = examine === undefined ? null : await examine.keep(keys, replies)
      const meant = kept === null ? keys : keys.filter((_, index) => kept[index])
      if (signal.aborted) sweeper.leave(meant.length)
      else {
        lanes[master] ??= await (masters[master] as Master).lane()
        await sweeper.act(lanes[master] as Lane, meant)
      }
    }
    await sweeper.settle()
  } finally {
    for (const lane of lanes) lane?.close()
  }
}

function isOfConnection({ code }: CachectlError): boolean {
  return code === 'REDIS_UNREACHABLE' || code === 'REDIS_TIMEOUT'
}
