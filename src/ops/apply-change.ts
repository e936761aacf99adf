// An invalidation, as the library applies it, from the command line: in Redis, then in the memory of the processes that hold copies.
import { type Acknowledged, Acks, ackChannel, announce } from '../cache/announce.ts'
import { changeControl, createControlMirror, type Mirror } from '../cache/control-mirror.ts'
import { type Applied, applyChange, applySettled } from '../cache/invalidating.ts'
import type { Change } from '../cache/kernel.ts'
import type { Commands } from '../cache/link.ts'
import type { Announcement } from '../cache/tiers.ts'
import { newToken } from '../cache/token.ts'
import { CachectlError } from '../core/errors.ts'
import { EPOCH_FIELD } from '../core/key.ts'
import type { CommandArgument, Lane, Reply } from '../ports.ts'
import type { OpenedContext } from './context.ts'
import { whoAmI } from './journal.ts'

export interface Changer {
  /** In this order: fences, log, stamps, leases, entries, generations. Without its `pattern`. @throws CachectlError; a part may have been applied then */
  apply(change: Change): Promise<Applied>
  /** Refuses whatever is being written in bulk: before the keys of a pattern are deleted. @throws CachectlError */
  advance(): Promise<void>
  /** The control data as it is now. @throws CachectlError */
  mirror(): Promise<Mirror>
  /** Replies to these commands, in their order; error replies are values. @throws CachectlError */
  run(build: (page: Commands) => void): Promise<readonly Reply[]>
  /** Tells processes with copies, and waits until they dropped them or what they hold is past its time. @throws CachectlError */
  announce(announcement: Announcement): Promise<Acknowledged & { durationMs: number }>
  close(): Promise<void>
}

/** Processes are told, and heard, for no longer than this by who was stopped. */
export const TOLD_WITHIN_MS = 1_000
/** For how long a change is sent again to a primary that has taken over. */
const SETTLED_WITHIN_MS = 5_000
/** How long the channel of acknowledgements may take to stand; without it the lapse is waited for. */
const LISTEN_WITHIN_MS = 2_000

/** @throws CachectlError CONFIG_NOT_FOUND without a config */
export async function openChanger(context: OpenedContext): Promise<Changer> {
  const { config, store } = context
  if (config === null)
    throw new CachectlError('CONFIG_NOT_FOUND', 'there is no cache.config.* here or above: it says what to invalidate')
  const { prefix, tenantLabel } = config
  const control = createControlMirror(config, { registers: false })
  let lane: Lane | null = null
  const run = async (build: (page: Commands) => void): Promise<readonly Reply[]> => {
    // One that was lost says so once, to whoever was waiting for an answer.
    if (lane === null || lane.closed) lane = await store.lane()
    const page = lane.page()
    build(page)
    return lane.run(page)
  }
  return {
    run,
    mirror: () => control.sync(run),
    apply({ pattern: _, ...change }) {
      // Under one operation: what is sent again is bumped once.
      const all = { by: whoAmI(), op: newToken(), ...change }
      return applySettled(store, () => applyChange(prefix, tenantLabel, all, control, run), SETTLED_WITHIN_MS)
    },
    async advance() {
      await changeControl(run, prefix, 'HSET', [EPOCH_FIELD, newToken()])
    },
    async announce(announcement) {
      const startedMs = performance.now()
      const id = newToken()
      const acks = new Acks()
      const channel = ackChannel(prefix, id)
      let heard = () => {}
      const connected = new Promise<void>((resolve) => {
        heard = resolve
      })
      // Opened only where somebody is to be waited for.
      let bus: { close(): void } | null = null
      const listening = async (): Promise<void> => {
        bus = context.bus([channel], {
          connected: () => heard(),
          message: (_, payload) => acks.hear(payload),
          invalidated: () => {},
          lost: () => {},
        })
        await Promise.race([connected, new Promise((resolve) => setTimeout(resolve, LISTEN_WITHIN_MS).unref())])
      }
      const call = async (...args: readonly CommandArgument[]): Promise<Reply> => store.call(...args)
      const hasNear = Object.values(config.namespaces).some(({ l1 }) => l1 !== null)
      try {
        const told = await announce(announcement, {
          prefix,
          from: id,
          nextSeq: () => 1,
          hasNear,
          heartbeatMs: config.heartbeatMs,
          call,
          acks,
          listening,
        })
        return { ...told, durationMs: Math.round(performance.now() - startedMs) }
      } finally {
        ;(bus as { close(): void } | null)?.close()
      }
    },
    async close() {
      lane?.close()
    },
  }
}
