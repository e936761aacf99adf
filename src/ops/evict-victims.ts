// The keys that go: by their names where they are held, found by their values where they are too many; each looked at once more just before.
import { createOrder } from '../core/eviction.ts'
import type { Extent, Line, RankedKey } from '../core/ranking.ts'
import type { Lane } from '../ports.ts'
import type { OperationContext } from './context.ts'
import type { EvictionRun } from './evict-measure.ts'
import { createProber } from './evict-probe.ts'
import type { Quota } from './evict-quotas.ts'
import { scan } from './scan.ts'

/** Keys that are looked at and deleted together. */
export const BATCH_KEYS = 256

/** What is still to go, what was given to be deleted until now, and what was found to have gone by itself. */
export interface Need {
  left: Extent
  given: Extent
  gone: Extent
  /** used, or given more time to live, since they were ranked */
  spared: number
}

export function isMet({ left }: Need): boolean {
  return left.keys <= 0 && left.bytes <= 0
}

/** Batches of keys to delete, until the need is met or there are no more of them. */
export async function* victims(
  context: OperationContext,
  quota: Quota,
  line: Line,
  run: EvictionRun,
  need: Need,
): AsyncGenerator<Buffer[]> {
  if (line.named === null) yield* foundByValue(context, quota, line, run, need)
  else yield* heldByName(context, quota, line.named, run, need)
}

async function* heldByName(
  { store, clock, signal }: OperationContext,
  quota: Quota,
  named: readonly RankedKey[],
  run: EvictionRun,
  need: Need,
): AsyncGenerator<Buffer[]> {
  const order = createOrder(quota.policy, run)
  const prober = createProber([quota.policy])
  const lane: Lane = await store.lane()
  try {
    for (let start = 0; start < named.length && !isMet(need) && !signal.aborted; start += BATCH_KEYS) {
      const some = named.slice(start, start + BATCH_KEYS)
      const page = lane.page()
      for (const { key } of some) prober.probe(page, key)
      const replies = await lane.run(page)
      const atMs = clock.now()
      const keys: Buffer[] = []
      for (const [index, { key, value: before, bytes }] of some.entries()) {
        const probed = prober.read(replies, index)
        // It was counted: so much less is too much.
        if (probed.state === 'gone' && !isMet(need)) move(need, 'gone', bytes)
        if (probed.state !== 'there') continue
        const value = order.value(probed.facts, key, atMs)
        if (value === null) throw prober.refusal(quota.policy)
        if (value > before + order.slack) need.spared++
        else if (give(need, probed.bytes)) keys.push(key)
      }
      if (keys.length > 0) yield keys
    }
  } finally {
    lane.close()
  }
}

async function* foundByValue(
  { store, clock, signal }: OperationContext,
  quota: Quota,
  { upTo }: Line,
  run: EvictionRun,
  need: Need,
): AsyncGenerator<Buffer[]> {
  const order = createOrder(quota.policy, run)
  const prober = createProber([quota.policy])
  const wanted = (key: Buffer) => quota.decide(key) === 'act'
  for await (const page of scan(store, { signal, wanted, probe: prober.probe })) {
    const atMs = clock.now()
    const keys: Buffer[] = []
    for (const [index, key] of page.keys.entries()) {
      const probed = prober.read(page.replies, index)
      if (probed.state !== 'there') continue
      const value = order.value(probed.facts, key, atMs)
      if (value === null) throw prober.refusal(quota.policy)
      if (value <= upTo && give(need, probed.bytes)) keys.push(key)
    }
    for (let start = 0; start < keys.length; start += BATCH_KEYS) yield keys.slice(start, start + BATCH_KEYS)
    if (isMet(need)) return
  }
}

/** Whether one more is to go. */
function give(need: Need, bytes: number | null): boolean {
  if (isMet(need)) return false
  move(need, 'given', bytes ?? 0)
  return true
}

function move(need: Need, to: 'given' | 'gone', bytes: number): void {
  need.left.keys--
  need.left.bytes -= bytes
  need[to].keys++
  need[to].bytes += bytes
}
