// Runs the loader, and writes what it gave under the leases that were taken before (docs/contract.md, "Filling an entry").
import { setTimeout as sleep } from 'node:timers/promises'
import { decodeEntry, type TagStamp } from '../core/entry.ts'
import { filledChannel, leaseKey, stampKey, stampLogKey } from '../core/key.ts'
import { FILL_LEASED } from '../core/lease-script.ts'
import { isErrorReply } from '../core/reply.ts'
import { CAPTURE_STAMP } from '../core/stamp-script.ts'
import { type Encoded, encode } from './encoding.ts'
import type { Arrived } from './flights.ts'
import { inOrder, type Step } from './in-order.ts'
import type { LoadControl, Policy } from './kernel.ts'
import type { Lead, LeadContext, LeadOptions } from './lead.ts'
import { isReplica, release, renewing } from './leases.ts'
import { failedReply } from './link.ts'
import { createLoadControl, policyFor, runLoader, type Told, withinLoads } from './load-control.ts'
import { newToken } from './token.ts'
import { textOf } from './turn-values.ts'

/** Loaders may give their entries more time than was known when the stamps were captured. */
const SHORTEST_STAMP_MS = 24 * 3_600_000

interface Loaded {
  value: unknown
  told: Told
  deltaMs: number
}

async function runLoad(context: LeadContext, leads: readonly Lead[], options: LeadOptions): Promise<Loaded[]> {
  const { counters, closing } = context
  const began = performance.now()
  const told = new Map<number, Told>()
  try {
    const values = await runLoader(
      async (signal) => {
        const controls = new Map(
          leads.map((lead) => {
            const made = createLoadControl(signal, lead.stale)
            told.set(lead.index, made.told)
            return [lead.index, made.control]
          }),
        )
        const wanted = leads.map((lead) => lead.index)
        const flights = leads.map((lead) => lead.flight)
        const loaded = await withinLoads(flights, () =>
          options.load(wanted, (index) => controls.get(index) as LoadControl),
        )
        return loaded as readonly unknown[]
      },
      options.policy.hardTimeoutMs,
      closing,
    )
    const deltaMs = performance.now() - began
    for (const { place } of leads) counters.count('load', place, 1, deltaMs / leads.length)
    return leads.map(({ index }, at) => ({ value: values[at], told: told.get(index) as Told, deltaMs }))
  } catch (error) {
    for (const { place } of leads) counters.count('error', place)
    throw error
  }
}

/** Once for each process, where there are no leases. */
export async function loadUnleased(context: LeadContext, leads: readonly Lead[], options: LeadOptions): Promise<void> {
  const loaded = await runLoad(context, leads, options)
  leads.forEach(({ flight }, at) => {
    const { value, told } = loaded[at] as Loaded
    flight.land({ kind: 'value', take: () => uncached(value, told) })
  })
}

export async function loadAndFill(context: LeadContext, leads: readonly Lead[], options: LeadOptions): Promise<void> {
  const stop = renewing(context, leads)
  let loaded: Loaded[]
  let late: ReadonlyMap<string, string> | null
  try {
    loaded = await runLoad(context, leads, options)
    late = await captureLate(context, leads, loaded, options.policy)
  } catch (error) {
    release(context, leads)
    throw error
  } finally {
    stop()
  }
  for (const [at, lead] of leads.entries()) {
    const { value, told, deltaMs } = loaded[at] as Loaded
    const policy = policyFor(options.policy, told, value)
    const tags = tagsOf(lead.flight.stamps, told.stamps, late)
    if (policy === null || tags === null) {
      if (tags === null) context.counters.count('refused', lead.place)
      release(context, [lead])
      lead.flight.land({ kind: 'value', take: () => uncached(value, told) })
      continue
    }
    try {
      const encoded = encode(value, policy, context, {
        incarnation: lead.mirror.incarnation,
        writer: context.writer,
        tags,
        deltaMs,
        sourceVersion: told.sourceVersion,
      })
      fill(context, lead, encoded)
      lead.flight.land({ kind: 'value', take: () => arrivedAs(encoded) })
    } catch (error) {
      context.counters.count('uncacheable', lead.place)
      release(context, [lead])
      if (context.production) context.report(error)
      else lead.flight.fail(error)
      lead.flight.land({ kind: 'value', take: () => uncached(value, told) })
    }
  }
}

/**
 * Stamps that loaders named while they ran, captured now. That is too late to see an invalidation since the load began; the log of invalidated stamps
 * tells: what was its newest line then must still be in it, with none of these stamps before it. Null: one of them was, or it cannot be told.
 */
async function captureLate(
  { link, config, deadlineMs }: LeadContext,
  leads: readonly Lead[],
  loaded: readonly Loaded[],
  policy: Policy,
): Promise<ReadonlyMap<string, string> | null> {
  const { prefix } = config
  const first = leads[0]?.flight
  const names = [...new Set(loaded.flatMap(({ told }) => told.stamps))].filter((name) => !first?.stamps.has(name))
  if (names.length === 0) return new Map()
  const longestMs = loaded.reduce<number | null>((longest, { told }) => {
    const ttlMs = told.ttlMs === undefined ? policy.ttlMs : told.ttlMs
    return longest === null || ttlMs === null ? null : Math.max(longest, ttlMs + (told.graceMs ?? policy.graceMs))
  }, SHORTEST_STAMP_MS)
  const capture: Step = (page) => {
    for (const name of names) page.add('EVAL', CAPTURE_STAMP, 1, stampKey(prefix, name), newToken(), longestMs ?? '')
  }
  // Behind the captures: what was invalidated after one of them has deleted it.
  const look: Step = (page) => page.add('GET', stampLogKey(prefix))
  const replies = await inOrder((build) => link.run(build, deadlineMs), [capture, look]).catch(() => null)
  if (replies === null || failedReply(replies)) return null
  const lines = (textOf(replies[names.length]) ?? '').split('\n')
  const known = first?.log === null ? -1 : lines.indexOf(first?.log ?? '')
  if (known < 0) return null
  const invalidated = new Set(lines.slice(0, known).map((line) => line.slice(line.indexOf(' ') + 1)))
  if (names.some((name) => invalidated.has(name))) return null
  return new Map(names.map((name, index) => [name, String(replies[index])]))
}

/** Null: a stamp that the loader named is not good. */
function tagsOf(
  captured: ReadonlyMap<string, string>,
  told: readonly string[],
  late: ReadonlyMap<string, string> | null,
): TagStamp[] | null {
  const tags = [...captured].map(([tag, stamp]) => ({ tag, stamp }))
  for (const tag of told) {
    if (captured.has(tag)) continue
    const stamp = late?.get(tag)
    if (stamp === undefined) return null
    tags.push({ tag, stamp })
  }
  return tags
}

/** Not waited for: what this process asks next goes over the same connection, behind it. */
function fill(context: LeadContext, lead: Lead, encoded: Encoded): void {
  const { counters, report } = context
  // What this process holds of it is older.
  context.near?.drop({ keys: [lead.key], stamps: [], bumped: false, pattern: null })
  fillLeased(context, lead, encoded)
    .then((written) => counters.count(written ? 'set' : 'refused', lead.place))
    .catch((error) => {
      counters.count('error', lead.place)
      report(error)
    })
}

/** While its slot moves to another server, entry and lease may be on two of them; that is soon over, and the lease holds. */
const MOVING_TRIES = 50
const MOVING_PAUSE_MS = 20

async function fillLeased(context: LeadContext, lead: Lead, { bytes, ttlMs }: Encoded): Promise<boolean> {
  const { link, config, deadlineMs, closing } = context
  const { key, flight } = lead
  const keys = [key, leaseKey(config.prefix, key)]
  const args = [flight.token, bytes, ttlMs ?? '', filledChannel(config.prefix, key)]
  for (let tries = 1; ; tries++) {
    const replies = await link.run((page) => page.add('EVAL', FILL_LEASED, 2, ...keys, ...args), deadlineMs)
    const [reply = null] = replies
    if (isErrorReply(reply) && reply.code === 'TRYAGAIN' && tries < MOVING_TRIES) {
      await sleep(MOVING_PAUSE_MS, undefined, { signal: closing, ref: false })
      continue
    }
    const failed = failedReply(replies)
    if (failed === null) return reply === 1
    release(context, [lead])
    if (isReplica(failed)) link.distrust(failed)
    throw failed
  }
}

/** A stamp lives at least as long as any entry that holds it. */
export function stampTtlOf(policy: Pick<Policy, 'ttlMs' | 'graceMs'>): number | '' {
  return policy.ttlMs === null ? '' : Math.max(SHORTEST_STAMP_MS, policy.ttlMs + policy.graceMs)
}

/** The decoded form of what was stored, so that a hit and a miss have one shape; each caller has its own. */
function arrivedAs({ bytes, createdAtMs, freshUntilMs }: Encoded): Arrived {
  const decoded = decodeEntry(Buffer.from(bytes as string))
  if (!decoded.ok) throw new Error(`an entry that was just encoded is ${decoded.reason}`)
  const { sourceVersion } = decoded.header
  return { value: decoded.value, tier: 'source', createdAtMs, freshUntilMs, sourceVersion }
}

function uncached(value: unknown, told: Told): Arrived {
  return { value, tier: 'source', createdAtMs: null, freshUntilMs: null, sourceVersion: told.sourceVersion }
}
