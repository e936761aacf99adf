// Reads of entries: keys, stamps and the revision of all reads of one turn in one MGET, and what of that is an entry that is good now.
import type { ResolvedConfig } from '../config/resolved.ts'
import { decodeEntry, decodeHeader, type EntryHeader } from '../core/entry.ts'
import { leaseKey, revisionKey, stampKey, stampLogKey } from '../core/key.ts'
import { isErrorReply } from '../core/reply.ts'
import type { Clock, Reply } from '../ports.ts'
import type { ControlMirror, Mirror } from './control-mirror.ts'
import type { Place, Policy } from './kernel.ts'
import type { Link } from './link.ts'
import { failedReply } from './link.ts'
import type { Near } from './tiers.ts'

export interface GoodEntry {
  state: 'fresh' | 'stale'
  header: EntryHeader
  value: unknown
}

export interface Looked {
  key: string
  mirror: Mirror
  entry: GoodEntry | null
  /** when what is there was made, also where its stamps do not hold */
  seenMs: number | null
  /** of reads that asked for them */
  lease: string | null
  log: string | null
  stamps: ReadonlyMap<string, string | null>
}

export interface LookOptions {
  /** performance.now() by which Redis must have answered */
  until: number
  /** for which keys the lease is read as well, with the log of stamps */
  withLease(key: string): boolean
}

export interface Reader {
  /** One for each place. @throws CachectlError where Redis is away */
  look(places: readonly Place[], policy: Policy, options: LookOptions): Promise<Looked[]>
  /** What these bytes are under this mirror; null: nothing that is good. Counts what cannot be decoded. */
  judge(
    bytes: Reply,
    mirror: Mirror,
    place: Place,
  ): { header: EntryHeader; value: unknown; state: GoodEntry['state'] } | null
  /** The mirror, read first if need be. */
  mirror(until: number): Promise<Mirror>
}

export interface ReaderOptions {
  config: ResolvedConfig
  link: Link
  control: ControlMirror
  clock: Clock
  near: Near | null
  onUndecodable(place: Place, reason: string): void
}

/** A revision that changes between two reads more often than this changes with every read. */
const ATTEMPTS = 5

/** Few enough for one server call to stay short. */
const KEYS_A_CALL = 1_000

type Values = ReadonlyMap<string, Reply>

/** What is asked for in one turn of the event loop. */
interface Turn {
  keys: Set<string>
  withinMs: number
  /** for L1: the server tells when one of these keys changes */
  tracked: boolean
  values: Promise<Values>
}

export function createReader({ config, link, control, clock, near, onUndecodable }: ReaderOptions): Reader {
  const { prefix } = config
  const revision = revisionKey(prefix)
  const logKey = stampLogKey(prefix)
  let turn: Turn | null = null
  let syncing: Promise<Mirror> | null = null

  /** The values of these keys and of the revision, read together with all that is asked for in this turn. */
  const fetch = (keys: readonly string[], until: number, tracked: boolean): Promise<Values> => {
    // As of now: what this process does until the turn ends is not the time of Redis.
    const withinMs = remaining(until)
    if (turn === null) {
      const opened: Turn = { keys: new Set([revision]), withinMs, tracked, values: Promise.resolve<Values>(new Map()) }
      opened.values = new Promise<void>((resolve) => process.nextTick(resolve)).then(() => {
        turn = null
        return readAll([...opened.keys], opened)
      })
      opened.values.catch(() => {})
      turn = opened
    }
    for (const key of keys) turn.keys.add(key)
    turn.withinMs = Math.min(turn.withinMs, withinMs)
    turn.tracked ||= tracked
    return turn.values
  }

  const readAll = async (keys: readonly string[], { withinMs, tracked }: Turn): Promise<Values> => {
    const replies = await link.run((page) => {
      for (let start = 0; start < keys.length; start += KEYS_A_CALL) {
        // The server tracks what the next command reads, for L1 and for nothing else; where it refuses to, it refuses this.
        if (tracked) page.add('CLIENT', 'CACHING', 'YES')
        page.add('MGET', ...(keys.length <= KEYS_A_CALL ? keys : keys.slice(start, start + KEYS_A_CALL)))
      }
    }, withinMs)
    const read = tracked ? replies.filter((_, index) => index % 2 === 1) : replies
    const failed = failedReply(read)
    if (failed) throw failed
    const byKey = new Map<string, Reply>()
    for (let index = 0; index < keys.length; index++) {
      const values = read[Math.floor(index / KEYS_A_CALL)] as readonly Reply[]
      byKey.set(keys[index] as string, values[index % KEYS_A_CALL] ?? null)
    }
    return byKey
  }

  /** Once for all that ask before it is sent: after a bump they may be thousands. */
  const sync = (until: number): Promise<Mirror> => {
    if (syncing !== null) return syncing
    process.nextTick(() => {
      syncing = null
    })
    syncing = control.sync((build) => link.run(build, remaining(until)))
    return syncing
  }

  const judge: Reader['judge'] = (bytes, mirror, place) => {
    if (!Buffer.isBuffer(bytes)) return null
    const decoded = decodeEntry(bytes)
    if (!decoded.ok) {
      onUndecodable(place, decoded.reason)
      return null
    }
    const { header, value } = decoded
    if (header.incarnation !== mirror.incarnation) return null
    const state = stateOf(header, clock.now())
    return state === null ? null : { header, value, state }
  }

  /** Stamps that entries turned out to hold, and that nobody asked for. */
  const missingStamps = (keys: readonly string[], values: Values): string[] => {
    const missing: string[] = []
    for (const entry of keys) {
      const bytes = values.get(entry)
      if (!Buffer.isBuffer(bytes) || !hasTags(bytes)) continue
      const head = decodeHeader(bytes)
      if (!head.ok) continue
      for (const { tag } of head.header.tags) {
        const key = stampKey(prefix, tag)
        if (!values.has(key)) missing.push(key)
      }
    }
    return missing
  }

  /** Null: the revision is not the mirror's any more. */
  const attempt = (
    mirror: Mirror,
    places: readonly Place[],
    policy: Policy,
    { until, withLease }: LookOptions,
  ): Promise<Looked[] | null> => {
    const keys = places.map(mirror.keyOf)
    const wanted = [...keys]
    for (const name of policy.stamps) wanted.push(stampKey(prefix, name))
    const leased = keys.filter(withLease)
    if (leased.length > 0) wanted.push(...leased.map((key) => leaseKey(prefix, key)), logKey)
    const expected = near !== null && places.some(isNear) ? near.expect(wanted) : null
    const judged = fetch(wanted, until, expected !== null).then((values) => {
      if (textOf(values.get(revision)) !== mirror.revision) return null
      const missing = missingStamps(keys, values)
      if (missing.length === 0) return judgeAll(places, keys, mirror, policy, values, expected)
      return fetch(missing, until, expected !== null).then((more) => {
        if (textOf(more.get(revision)) !== mirror.revision) return null
        return judgeAll(places, keys, mirror, policy, new Map([...values, ...more]), expected)
      })
    })
    return expected === null ? judged : judged.finally(() => near?.done(expected))
  }

  const judgeAll = (
    places: readonly Place[],
    keys: readonly string[],
    mirror: Mirror,
    { stamps }: Policy,
    values: Values,
    expected: unknown,
  ): Looked[] => {
    const log = textOf(values.get(logKey))
    const captured =
      stamps.length === 0
        ? NO_STAMPS
        : new Map(stamps.map((name) => [name, textOf(values.get(stampKey(prefix, name)))]))
    return places.map((place, index) => {
      const key = keys[index] as string
      const bytes = values.get(key) ?? null
      const good = judge(bytes, mirror, place)
      const entry = good !== null && stampsHold(good.header, prefix, values) ? good : null
      if (entry !== null && expected !== null && isNear(place))
        near?.keep(expected, place.namespace, key, { ...entry, sizeBytes: (bytes as Buffer).length })
      const lease = log === null ? null : textOf(values.get(leaseKey(prefix, key)))
      return { key, mirror, entry, seenMs: good?.header.createdAtMs ?? null, lease, log, stamps: captured }
    })
  }
  const isNear = (place: Place): boolean => !!config.namespaces[place.namespace]?.l1

  const mirrorOf = async (until: number) => control.current ?? (await sync(until))
  const lookAgain: Reader['look'] = async (places, policy, options) => {
    for (let attempts = 1; ; attempts++) {
      // What this process does until the turn ends is not the time of Redis.
      const withinMs = remaining(options.until)
      await new Promise<void>((resolve) => process.nextTick(resolve))
      const until = performance.now() + withinMs
      const mirror = await sync(until)
      const looked = await attempt(mirror, places, policy, { ...options, until })
      if (looked !== null) return looked
      // Misses are true of any revision.
      if (attempts >= ATTEMPTS) return places.map((place) => nothing(mirror, place))
    }
  }
  return {
    judge,
    mirror: mirrorOf,
    look(places, policy, options) {
      const mirror = control.current
      if (mirror === null) return lookAgain(places, policy, options)
      return attempt(mirror, places, policy, options).then((looked) => looked ?? lookAgain(places, policy, options))
    },
  }
}

const NO_STAMPS: ReadonlyMap<string, string | null> = new Map()

/** Null: past its freshness and its grace. */
export function stateOf(header: EntryHeader, nowMs: number): GoodEntry['state'] | null {
  const { freshUntilMs, graceMs } = header
  if (freshUntilMs === null || nowMs < freshUntilMs) return 'fresh'
  return nowMs < freshUntilMs + graceMs ? 'stale' : null
}

function stampsHold(header: EntryHeader, prefix: string, values: Values): boolean {
  for (const { tag, stamp } of header.tags) if (textOf(values.get(stampKey(prefix, tag))) !== stamp) return false
  return true
}

const ZERO = 0x30

/** By the length of the tags in the header (docs/contract.md), without decoding it. */
function hasTags(bytes: Buffer): boolean {
  return bytes.length > 69 && !(bytes[65] === ZERO && bytes[66] === ZERO && bytes[67] === ZERO && bytes[68] === ZERO)
}

export function textOf(reply: Reply | undefined): string | null {
  return reply === null || reply === undefined || isErrorReply(reply) ? null : String(reply)
}

export function remaining(until: number): number {
  return Math.max(1, until - performance.now())
}

function nothing(mirror: Mirror, place: Place): Looked {
  return { key: mirror.keyOf(place), mirror, entry: null, seenMs: null, lease: null, log: null, stamps: new Map() }
}
