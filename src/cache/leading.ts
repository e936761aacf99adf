// One load for a group of entries that are missing: leases and stamps before it, guarded fills after it (docs/contract.md, "Filling an entry").
import { setTimeout as sleep } from 'node:timers/promises'
import { decodeEntry, type TagStamp } from '../core/entry.ts'
import type { CachectlError } from '../core/errors.ts'
import { filledChannel, leaseKey, revisionKey, stampKey, stampLogKey } from '../core/key.ts'
import { FILL_LEASED, RELEASE, RENEW } from '../core/lease-script.ts'
import { CAPTURE_STAMP } from '../core/stamp-script.ts'
import type { Reply } from '../ports.ts'
import type { Mirror } from './control-mirror.ts'
import { type Encoded, encode } from './encoding.ts'
import { type Arrived, type Flight, type Flights, firstLine } from './flights.ts'
import type { Kernel, LoadControl, LoadMany, Place, Policy } from './kernel.ts'
import { failedReply, type Link } from './link.ts'
import { createLoadControl, type Gate, policyFor, runLoader, type Told } from './load-control.ts'
import { type GoodEntry, type Reader, remaining, textOf } from './reading.ts'
import type { Near } from './tiers.ts'
import { newToken } from './token.ts'

/** Loaders may give their entries more time than was known when the stamps were captured. */
const SHORTEST_STAMP_MS = 24 * 3_600_000

/** Renewed while the loader runs, up to the longest hold; a process that dies is waited for so long. */
const LEASE_MS = 5_000
const LONGEST_HOLD_MS = 60_000
/** How long who waits for another process' load sleeps between looks: there may be no one to wake them. */
const LOOK_AGAIN_MS = [10, 20, 40, 80]

/** One entry to be loaded. */
export interface Lead {
  place: Place
  key: string
  mirror: Mirror
  flight: Flight
  /** of the LoadMany call */
  index: number
  /** what is there and is not good enough */
  stale: LoadControl['stale']
  /** when what was there was made, good or not; what is found to be another was loaded by somebody else meanwhile */
  seenMs: number | null
}

export interface LeadContext
  extends Pick<Kernel, 'config' | 'clock' | 'random' | 'counters' | 'writer' | 'production' | 'report'> {
  link: Link
  reader: Reader
  flights: Flights
  near: Near | null
  closing: AbortSignal
  deadlineMs: number
  /** of loaders while Redis is away: a bounded number at once */
  gate: Gate
}

export interface LeadOptions {
  policy: Policy
  load: LoadMany
  /** `take`: whoever holds the lease loses it; `yield`: where somebody else holds it, nothing is done */
  lease: 'wait' | 'take' | 'yield'
  /** Whether an entry that is found there after all is good enough. */
  accepts(entry: GoodEntry): Promise<boolean>
}

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
  const replies = await link
    .run((page) => {
      for (const { key, flight } of leads) {
        const nx = options.lease === 'take' ? [] : ['NX']
        page.add('SET', leaseKey(prefix, key), flight.token, 'PX', LEASE_MS, ...nx)
      }
      page.add('SET', stampLogKey(prefix), newToken(), 'NX')
      for (const name of names) page.add('EVAL', CAPTURE_STAMP, 1, stampKey(prefix, name), newToken(), stampTtl)
      page.add('MGET', revisionKey(prefix), stampLogKey(prefix), ...leads.map((lead) => lead.key))
    }, remaining(until))
    .catch(() => null)
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
    const until = performance.now() + context.deadlineMs
    const looked = await context.reader.look([place], policy, { until, withLease: () => true }).catch(() => null)
    if (looked === null || looked[0]?.lease === null || looked[0]?.entry?.state === 'fresh' || looked[0]?.key !== key)
      break
  }
  context.flights.end(key, flight)
  flight.land({ kind: 'again' })
}

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
        const loaded = await options.load(
          leads.map((lead) => lead.index),
          (index) => controls.get(index) as LoadControl,
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

async function loadAndFill(context: LeadContext, leads: readonly Lead[], options: LeadOptions): Promise<void> {
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
  const replies = await link
    .run((page) => {
      for (const name of names) page.add('EVAL', CAPTURE_STAMP, 1, stampKey(prefix, name), newToken(), longestMs ?? '')
      // Behind the captures: what was invalidated after one of them has deleted it.
      page.add('GET', stampLogKey(prefix))
    }, deadlineMs)
    .catch(() => null)
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
function fill(context: LeadContext, { key, place, flight }: Lead, { bytes, ttlMs }: Encoded): void {
  const { link, config, counters, near, report, deadlineMs } = context
  // What this process holds of it is older.
  near?.drop({ keys: [key], stamps: [], bumped: false, pattern: null })
  link
    .run((page) => {
      const args = [
        key,
        leaseKey(config.prefix, key),
        flight.token,
        bytes,
        ttlMs ?? '',
        filledChannel(config.prefix, key),
      ]
      page.add('EVAL', FILL_LEASED, 2, ...args)
    }, deadlineMs)
    .then((replies) => {
      const failed = failedReply(replies)
      if (failed) {
        release(context, [{ key, flight }])
        if (isReplica(failed)) link.distrust(failed)
        throw failed
      }
      counters.count(replies[0] === 1 ? 'set' : 'refused', place)
    })
    .catch((error) => {
      counters.count('error', place)
      report(error)
    })
}

function release({ link, config, deadlineMs }: LeadContext, leads: readonly Pick<Lead, 'key' | 'flight'>[]): void {
  link
    .run((page) => {
      for (const { key, flight } of leads) page.add('EVAL', RELEASE, 1, leaseKey(config.prefix, key), flight.token)
    }, deadlineMs)
    .catch(() => {
      // It lapses by itself.
    })
}

/** Keeps the leases while the loader runs. An optimisation: a fill without its lease is refused. */
function renewing({ link, config, deadlineMs }: LeadContext, leads: readonly Lead[]): () => void {
  const began = performance.now()
  const timer = setInterval(() => {
    if (performance.now() - began > LONGEST_HOLD_MS) return clearInterval(timer)
    const renew = link.run((page) => {
      for (const { key, flight } of leads)
        page.add('EVAL', RENEW, 1, leaseKey(config.prefix, key), flight.token, LEASE_MS)
    }, deadlineMs)
    renew.catch(() => {})
  }, LEASE_MS / 3)
  timer.unref()
  return () => clearInterval(timer)
}

/** It was the primary when the connection was made: what is invalidated at the new one comes here late, or never. */
function isReplica({ code, message }: CachectlError): boolean {
  return code === 'REDIS_REFUSES_WRITES' && message.includes('READONLY')
}

/** A stamp lives at least as long as any entry that holds it. */
export function stampTtlOf(policy: Pick<Policy, 'ttlMs' | 'graceMs'>): number | '' {
  return policy.ttlMs === null ? '' : Math.max(SHORTEST_STAMP_MS, policy.ttlMs + policy.graceMs)
}

function stampsAre(tags: readonly TagStamp[], stamps: ReadonlyMap<string, string>): boolean {
  return tags.every(({ tag, stamp }) => stamps.get(tag) === stamp)
}

function arrivedFrom({ header, value }: GoodEntry): Arrived {
  const { createdAtMs, freshUntilMs, sourceVersion } = header
  return { value, tier: 'l2', createdAtMs, freshUntilMs, sourceVersion }
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
