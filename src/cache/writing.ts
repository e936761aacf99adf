// Writes that nothing is loaded for: behind them no load under way is written, and what cannot be written leaves nothing older in its place.
import { lifetimeFields } from '../core/entry.ts'
import { isOfRedis } from '../core/errors.ts'
import { leaseKey, revisionKey, stampKey } from '../core/key.ts'
import { TOUCH } from '../core/lease-script.ts'
import { CAPTURE_STAMP } from '../core/stamp-script.ts'
import type { ControlMirror } from './control-mirror.ts'
import { type Encoded, encode } from './encoding.ts'
import { stampTtlOf } from './filling.ts'
import { inOrder } from './in-order.ts'
import type { Kernel, Write } from './kernel.ts'
import type { LeadContext } from './lead.ts'
import { failedReply } from './link.ts'
import { newToken } from './token.ts'

/** Entries a turn: each turn has the deadline of a call, and many thousands would not be written within it. */
const ENTRIES_A_TURN = 500
/** A revision that changes between two turns more often than this changes all the time. */
const ATTEMPTS = 3

interface WritingOptions {
  control: ControlMirror
  invalidate: Kernel['invalidate']
  /** rejects instead of going on without Redis */
  strict: boolean
}

export function createWriting(
  context: LeadContext,
  { control, invalidate, strict }: WritingOptions,
): Pick<Kernel, 'write' | 'touch'> {
  const { config, clock, counters, link, reader, flights, near, deadlineMs, report } = context
  const { prefix } = config
  const until = () => performance.now() + deadlineMs

  const writeTurn = async (writes: readonly Write[]): Promise<boolean> => {
    const limit = until()
    for (let attempt = 0; attempt < ATTEMPTS; attempt++) {
      const mirror = await reader.mirror(limit)
      const stamps = await captureStamps(context, writes)
      const encoded = writes.map((write) => ({
        key: mirror.keyOf(write.place),
        entry: encodeWrite(context, write, stamps, mirror.incarnation),
        place: write.place,
      }))
      const replies = await inOrder(
        (build) => link.run(build, deadlineMs),
        [
          (page) => {
            page.add('GET', revisionKey(prefix))
            // A load under way is older than what is written behind this.
            for (const { key } of encoded) page.add('UNLINK', leaseKey(prefix, key))
          },
          (page) => {
            for (const { key, entry } of encoded) {
              // What is not cached must not leave in its place what was there before.
              if (entry === null) page.add('UNLINK', key)
              else page.addSet(key, entry.bytes, entry.ttlMs, false, entry.sizeBytes)
            }
          },
        ],
      )
      const failed = failedReply(replies)
      if (failed) throw failed
      for (const { place, key, entry } of encoded) {
        flights.forget(key)
        if (entry !== null) counters.count('set', place)
      }
      near?.drop({ keys: encoded.map(({ key }) => key), stamps: [], bumped: false, pattern: null })
      if (String(replies[0]) === mirror.revision) return encoded.every(({ entry }) => entry !== null)
      await control.sync((build) => link.run(build, deadlineMs))
    }
    return false
  }

  return {
    async write(writes) {
      let all = true
      for (let from = 0; from < writes.length; from += ENTRIES_A_TURN) {
        try {
          if (!(await writeTurn(writes.slice(from, from + ENTRIES_A_TURN)))) all = false
        } catch (error) {
          if (!isOfRedis(error)) throw error
          report(error)
          // What is there is older than what was to be written.
          await invalidate({ entries: writes.slice(from).map((write) => write.place) })
          if (strict) throw error
          return false
        }
      }
      return all
    },
    async touch(place, policy) {
      try {
        const mirror = await reader.mirror(until())
        const freshUntilMs = policy.ttlMs === null ? null : clock.now() + policy.ttlMs
        const { grace, freshUntil } = lifetimeFields(policy.ttlMs === null ? 0 : policy.graceMs, freshUntilMs)
        const ttlMs = policy.ttlMs === null ? '' : policy.ttlMs + policy.graceMs
        const replies = await link.run(
          (page) => page.add('EVAL', TOUCH, 1, mirror.keyOf(place), grace, freshUntil, ttlMs),
          deadlineMs,
        )
        const failed = failedReply(replies)
        if (failed) throw failed
        return replies[0] === 1
      } catch (error) {
        report(error)
        if (strict) throw error
        return false
      }
    },
  }
}

/** Null: the value is not cached. @throws CachectlError USAGE for one that cannot be, outside production */
function encodeWrite(
  context: LeadContext,
  { place, policy, value, sourceVersion = null }: Write,
  stamps: ReadonlyMap<string, string>,
  incarnation: string,
): Encoded | null {
  const { writer, counters, production, report } = context
  const negative = value === null || value === undefined
  if (negative && policy.negativeTtlMs === null) return null
  const tags = policy.stamps.map((tag) => ({ tag, stamp: stamps.get(tag) as string }))
  const life = negative ? { ...policy, ttlMs: policy.negativeTtlMs } : policy
  try {
    return encode(value, life, context, { incarnation, writer, tags, deltaMs: 0, sourceVersion })
  } catch (error) {
    counters.count('uncacheable', place)
    if (!production) throw error
    report(error)
    return null
  }
}

/** Those of all these writes, as they are now. */
async function captureStamps(
  { link, config, deadlineMs }: LeadContext,
  writes: readonly Write[],
): Promise<ReadonlyMap<string, string>> {
  const ttls = new Map<string, number | ''>()
  for (const { policy } of writes) {
    const ttl = stampTtlOf(policy)
    for (const name of policy.stamps) {
      const known = ttls.get(name)
      ttls.set(name, known === '' || ttl === '' ? '' : Math.max(known ?? 0, ttl))
    }
  }
  if (ttls.size === 0) return new Map()
  const names = [...ttls.keys()]
  const replies = await link.run((page) => {
    for (const [name, ttl] of ttls) page.add('EVAL', CAPTURE_STAMP, 1, stampKey(config.prefix, name), newToken(), ttl)
  }, deadlineMs)
  const failed = failedReply(replies)
  if (failed) throw failed
  return new Map(names.map((name, index) => [name, String(replies[index])]))
}
