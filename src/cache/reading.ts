// Reads of entries: keys, stamps and the revision of all reads of one turn in one MGET, and what of that is an entry that is good now.
import type { ResolvedConfig } from '../config/resolved.ts'
import { leaseKey, stampKey, stampLogKey } from '../core/key.ts'
import type { Clock } from '../ports.ts'
import type { ControlMirror, Mirror } from './control-mirror.ts'
import { createJudge, type GoodEntry, type Judge, missingStamps, stampsHold } from './judging.ts'
import type { Place, Policy } from './kernel.ts'
import type { Link } from './link.ts'
import type { Near } from './tiers.ts'
import { createTurns, type Turn, type Values } from './turn-values.ts'

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
  /** how long Redis may take to answer, from now on */
  withinMs: number
  /** for which keys the lease is read as well, with the log of stamps */
  withLease(key: string): boolean
}

export interface Reader {
  /** One for each place. @throws CachectlError where Redis is away */
  look(places: readonly Place[], policy: Policy, options: LookOptions): Promise<Looked[]>
  /** The same of one place, at less cost. */
  lookOne(place: Place, policy: Policy, options: LookOptions): Promise<Looked>
  judge: Judge
  /** The mirror, read first if need be. @param until performance.now() by which Redis must have answered */
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

/** What is being read for one place. */
interface Asked {
  place: Place
  key: string
  /** where in the turn */
  index: number
}

/** One look, of one place or of many. */
interface Look {
  mirror: Mirror
  policy: Policy
  turn: Turn
  /** of L1; null: nothing of it is kept there */
  expected: unknown
  withinMs: number
}

export function createReader(options: ReaderOptions): Reader {
  const { config, link, control, near } = options
  const { prefix } = config
  const logKey = stampLogKey(prefix)
  const join = createTurns(link, prefix)
  const judge = createJudge(options.clock, options.onUndecodable)
  let syncing: Promise<Mirror> | null = null

  /** Once for all that ask before it is sent: after a bump they may be thousands. */
  const sync = (until: number): Promise<Mirror> => {
    if (syncing !== null) return syncing
    process.nextTick(() => {
      syncing = null
    })
    syncing = control.sync((build) => link.run(build, remaining(until)))
    return syncing
  }

  const hasNear = near !== null && Object.values(config.namespaces).some(({ l1 }) => l1 !== null)
  const isNear = ({ namespace }: Place): boolean => hasNear && !!config.namespaces[namespace]?.l1

  const begin = (mirror: Mirror, policy: Policy, withinMs: number, mayKeep: boolean): Look => {
    const expected = mayKeep && near !== null ? near.expect() : null
    const turn = join(withinMs, expected !== null)
    for (const name of policy.stamps) turn.add(stampKey(prefix, name))
    return { mirror, policy, turn, expected, withinMs }
  }
  const ask = ({ mirror, turn }: Look, place: Place, withLease: LookOptions['withLease']): Asked => {
    const key = mirror.keyOf(place)
    if (withLease(key)) {
      turn.add(leaseKey(prefix, key))
      turn.add(logKey)
    }
    return { place, key, index: turn.add(key) }
  }

  /** What was asked for; null: the revision is not the mirror's any more. */
  const conclude = (
    look: Look,
    asked: readonly Asked[],
    values: Values,
  ): Looked[] | null | Promise<Looked[] | null> => {
    if (values.revision !== look.mirror.revision) return null
    const missing: string[] = []
    for (const { index } of asked) missing.push(...missingStamps(values.at(index), prefix, values))
    if (missing.length === 0) return asked.map((one) => lookedAt(look, one, values, null))
    const { turn, withinMs, expected } = look
    const later = join(remaining(turn.openedMs + withinMs), expected !== null)
    for (const key of missing) later.add(key)
    return later.values.then((more) => {
      if (more.revision !== look.mirror.revision) return null
      return asked.map((one) => lookedAt(look, one, values, more))
    })
  }

  const lookedAt = (look: Look, { place, key, index }: Asked, values: Values, more: Values | null): Looked => {
    const { mirror, policy, expected } = look
    const bytes = values.at(index)
    const good = judge(bytes, mirror, place)
    const entry = good !== null && stampsHold(good.header, prefix, values, more) ? good : null
    if (entry !== null && expected !== null && isNear(place))
      near?.keep(expected, place.namespace, key, {
        header: entry.header,
        value: entry.value,
        sizeBytes: (bytes as Buffer).length,
      })
    const log = values.text(logKey)
    const lease = log === null ? null : values.text(leaseKey(prefix, key))
    return {
      key,
      mirror,
      entry,
      seenMs: good?.header.createdAtMs ?? null,
      lease,
      log,
      stamps: captured(policy, values),
    }
  }
  const captured = ({ stamps }: Policy, values: Values): Looked['stamps'] =>
    stamps.length === 0 ? NO_STAMPS : new Map(stamps.map((name) => [name, values.text(stampKey(prefix, name))]))

  const attempt = (mirror: Mirror, places: readonly Place[], policy: Policy, options: LookOptions) => {
    const look = begin(mirror, policy, options.withinMs, places.some(isNear))
    const asked = places.map((place) => ask(look, place, options.withLease))
    return { look, looked: look.turn.values.then((values) => conclude(look, asked, values)) }
  }

  const lookAgain = async (
    places: readonly Place[],
    policy: Policy,
    { withLease }: LookOptions,
    until: number,
  ): Promise<Looked[]> => {
    for (let attempts = 1; ; attempts++) {
      // What this process does until the turn ends is not the time of Redis.
      const leftMs = remaining(until)
      await new Promise<void>((resolve) => process.nextTick(resolve))
      const limit = performance.now() + leftMs
      const mirror = await sync(limit)
      const looked = await attempt(mirror, places, policy, { withinMs: remaining(limit), withLease }).looked
      if (looked !== null) return looked
      // Misses are true of any revision.
      if (attempts >= ATTEMPTS) return places.map((place) => nothing(mirror, place))
    }
  }

  return {
    judge,
    mirror: async (until) => control.current ?? (await sync(until)),
    look(places, policy, options) {
      const mirror = control.current
      if (mirror === null) return lookAgain(places, policy, options, performance.now() + options.withinMs)
      const { look, looked } = attempt(mirror, places, policy, options)
      const until = () => look.turn.openedMs + options.withinMs
      return looked.then((all) => all ?? lookAgain(places, policy, options, until()))
    },
    lookOne(place, policy, options) {
      const mirror = control.current
      if (mirror === null || isNear(place)) return this.look([place], policy, options).then(first)
      const look = begin(mirror, policy, options.withinMs, false)
      const asked = ask(look, place, options.withLease)
      return look.turn.values.then((values) => {
        if (values.revision === mirror.revision && missingStamps(values.at(asked.index), prefix, values).length === 0)
          return lookedAt(look, asked, values, null)
        const until = look.turn.openedMs + options.withinMs
        return Promise.resolve(conclude(look, [asked], values))
          .then((all) => all ?? lookAgain([place], policy, options, until))
          .then(first)
      })
    },
  }
}

const NO_STAMPS: Looked['stamps'] = new Map()

const first = (all: readonly Looked[]): Looked => all[0] as Looked

export function remaining(until: number): number {
  return Math.max(1, until - performance.now())
}

function nothing(mirror: Mirror, place: Place): Looked {
  return { key: mirror.keyOf(place), mirror, entry: null, seenMs: null, lease: null, log: null, stamps: NO_STAMPS }
}
