// Who loads what is missing: takes the leases and the stamps before the load, or waits for who has them.
import { setTimeout as sleep } from 'node:timers/promises'
import type { TagStamp } from '../core/entry.ts'
import { leaseKey, revisionKey, stampKey, stampLogKey } from '../core/key.ts'
import { CAPTURE_STAMP } from '../core/stamp-script.ts'
import type { Reply } from '../ports.ts'
import type { Run } from './control-mirror.ts'
import { loadAndFill, loadUnleased, stampTtlOf } from './filling.ts'
import { type Arrived, firstLine } from './flights.ts'
import { inOrder, type Step } from './in-order.ts'
import type { GoodEntry } from './judging.ts'
import type { Lead, LeadContext, LeadOptions } from './lead.ts'
import { isReplica, LEASE_MS, release } from './leases.ts'
import { failedReply } from './link.ts'
import { remaining } from './reading.ts'
import { newToken } from './token.ts'
import { textOf } from './turn-values.ts'

/** How long who waits for another process' load sleeps between looks: there may be no one to wake them. */
const LOOK_AGAIN_MS = [10, 20, 40, 80]

/** Lands or fails each of the flights; never rejects. */
export async function leadGroup(context: LeadContext, leads: readonly Lead[], options: LeadOptions): Promise<void> {
  const { flights } = context
  try {
    const { ours, others } = await acquire(context, leads, options)
    const waits = others.map((lead) => waitForOther(context, lead, options))
    if (ours.length > 0) await loadAndFill(context, ours, options)
    await Promise.all(waits)
  } catch (error) {
    for (const lead of leads) lead.flight.fail(error)
  } finally {
    for (const { key, flight } of leads) {
      flights.end(key, flight)
      flight.land({ kind: 'again' })
    }
  }
}

interface Acquired {
  /** their leases are ours now */
  ours: Lead[]
  /** somebody else loads these; the rest has landed */
  others: Lead[]
}

async function acquire(context: LeadContext, leads: readonly Lead[], options: LeadOptions): Promise<Acquired> {
  const { link, config, reader } = context
  const { prefix } = config
  const names = options.policy.stamps
  const until = performance.now() + context.deadlineMs
  const stampTtl = stampTtlOf(options.policy)
  const takeLeases: Step = (page) => {
    for (const { key, flight } of leads) {
      const nx = options.lease === 'take' ? [] : ['NX']
      page.add('SET', leaseKey(prefix, key), flight.token, 'PX', LEASE_MS, ...nx)
    }
  }
  // Behind the leases: what somebody else has filled under one is there by then.
  const look: Step = (page) => {
    page.add('SET', stampLogKey(prefix), newToken(), 'NX')
    for (const name of names) page.add('EVAL', CAPTURE_STAMP, 1, stampKey(prefix, name), newToken(), stampTtl)
    page.add('MGET', revisionKey(prefix), stampLogKey(prefix), ...leads.map((lead) => lead.key))
  }
  const run: Run = (build) => link.run(build, remaining(until))
  const replies = await inOrder(run, [takeLeases, look]).catch(() => null)
  const failed = replies === null ? null : failedReply(replies)
  if (failed) {
    context.report(failed)
    if (isReplica(failed)) link.distrust(failed)
  }
  // Redis is away, or takes no leases: each process loads for itself, and writes nothing.
  if (replies === null || failed) {
    await context.gate.through(() => loadUnleased(context, leads, options))
    return { ours: [], others: [] }
  }
  const [revision, log, ...entries] = replies[replies.length - 1] as readonly Reply[]
  const stamps = new Map(names.map((name, index) => [name, String(replies[leads.length + 1 + index])]))
  const moved = textOf(revision) !== leads[0]?.mirror.revision
  const ours: Lead[] = []
  const others: Lead[] = []
  for (const [index, lead] of leads.entries()) {
    const { flight, mirror, place } = lead
    flight.log = firstLine(textOf(log))
    flight.stamps = stamps
    const acquired = replies[index] !== null
    const found = options.lease === 'take' ? null : reader.judge(entries[index] ?? null, mirror, place)
    const good = found !== null && (await isGood(found, lead, stamps, options))
    if (good === true && found?.state === 'fresh' && !moved)
      flight.land({ kind: 'value', take: () => arrivedFrom(found) })
    if (acquired && (good || moved)) release(context, [lead])
    else if (acquired) ours.push(lead)
    else if (!moved && !good && options.lease === 'wait') {
      flight.waiting = true
      others.push(lead)
    }
  }
  return { ours, others }
}

/** Whether what is there was loaded by somebody else since the look. `perhaps`: it holds stamps that were not read with it. */
async function isGood(
  found: GoodEntry,
  { seenMs }: Lead,
  stamps: ReadonlyMap<string, string>,
  { accepts }: LeadOptions,
): Promise<boolean | 'perhaps'> {
  const { createdAtMs, tags } = found.header
  if (createdAtMs === seenMs) return false
  if (tags.some(({ tag }) => !stamps.has(tag))) return 'perhaps'
  return stampsAre(tags, stamps) && (await accepts(found))
}

/** Another process loads it: lands when that is over, for a look of one's own. */
async function waitForOther(
  context: LeadContext,
  { key, flight, place }: Lead,
  { policy }: LeadOptions,
): Promise<void> {
  for (let looks = 0; ; looks++) {
    const pauseMs = LOOK_AGAIN_MS[Math.min(looks, LOOK_AGAIN_MS.length - 1)] as number
    const jitteredMs = pauseMs * (0.5 + context.random() / 2)
    if (context.near) await context.near.woken(key, jitteredMs)
    else await sleep(jitteredMs, undefined, { signal: context.closing })
    const within = { withinMs: context.deadlineMs, withLease: () => true }
    const looked = await context.reader.look([place], policy, within).catch(() => null)
    if (looked === null || looked[0]?.lease === null || looked[0]?.entry?.state === 'fresh' || looked[0]?.key !== key)
      break
  }
  context.flights.end(key, flight)
  flight.land({ kind: 'again' })
}

function stampsAre(tags: readonly TagStamp[], stamps: ReadonlyMap<string, string>): boolean {
  return tags.every(({ tag, stamp }) => stamps.get(tag) === stamp)
}

function arrivedFrom({ header, value }: GoodEntry): Arrived {
  const { createdAtMs, freshUntilMs, sourceVersion } = header
  return { value, tier: 'l2', createdAtMs, freshUntilMs, sourceVersion }
}
