// Reading through: what is there and good is given, what is missing is loaded once, what is stale is given while it is made anew.
import { refreshesEarly } from '../core/early-refresh.ts'
import { CachectlError } from '../core/errors.ts'
import { copyValue } from '../core/shared-value.ts'
import type { ControlMirror } from './control-mirror.ts'
import { placeId } from './control-mirror.ts'
import { loadUnleased } from './filling.ts'
import { type Arrived, createFlights, type Flight, mayShare } from './flights.ts'
import type { Found, Kernel, LoadMany, Place, Policy } from './kernel.ts'
import type { Lead, LeadContext, LeadOptions } from './lead.ts'
import { leadGroup } from './leading.ts'
import { refuseOwnLoad } from './load-control.ts'
import type { GoodEntry, Looked } from './reading.ts'

export interface Loading extends Pick<Kernel, 'read' | 'load' | 'loadMany' | 'refresh'> {
  /** Resolves when no load is under way any more, or after so long. */
  settled(ms: number): Promise<void>
  /** Nobody who asks from now on shares a load that holds no lease. */
  forgetUnleased(): void
}

/** A caller whose entry is invalidated again and again while it is loaded loads for itself in the end. */
const ROUNDS = 20

/** Of one entry that was asked for. */
interface Asked {
  index: number
  place: Place
  order: number
  /** counted as a miss, which it is once, however often it is looked for */
  missed?: true
}

interface Round {
  policy: Policy
  load: LoadMany
  results: Found[]
  /** to be looked at again */
  again: Asked[]
  waits: Promise<void>[]
  /** to be loaded, in one call */
  leads: Lead[]
}

export function createLoading(context: LeadContext, control: ControlMirror, strict: boolean): Loading {
  const { flights, reader, counters, near, clock, config } = context
  const background = new Set<Promise<unknown>>()
  /** of loads while Redis is away, by place */
  const unleased = createFlights(flights.tick)
  const until = () => performance.now() + context.deadlineMs
  const look = (places: readonly Place[], policy: Policy, withLease: (key: string) => boolean): Promise<Looked[]> =>
    reader.look(places, policy, { until: until(), withLease }).catch((error) => {
      const reason = away(error)
      // Redis is there and refuses: nobody else would tell.
      if (reason instanceof Away && context.link.up) context.report(error)
      throw reason
    })

  const nearby = (place: Place, policy: Policy): Found | null => {
    const mirror = control.current
    if (
      near === null ||
      mirror === null ||
      policy.accept !== null ||
      policy.check !== null ||
      !config.namespaces[place.namespace]?.l1
    )
      return null
    const key = mirror.keyOf(place)
    const entry = near.find(place.namespace, key)
    if (entry === null) return null
    const { createdAtMs, freshUntilMs, incarnation, sourceVersion } = entry.header
    if (incarnation !== mirror.incarnation || (freshUntilMs !== null && clock.now() >= freshUntilMs)) return null
    const value = policy.clone || entry.mutable ? copyValue(entry.value) : entry.value
    counters.count('l1', place)
    return { hit: 'fresh', value, tier: 'l1', key, createdAtMs, freshUntilMs, sourceVersion }
  }

  /** The entry as the policy lets it through: checked, accepted; null otherwise. */
  const admitAll = (
    looked: readonly Looked[],
    policy: Policy,
  ): (GoodEntry | null)[] | Promise<(GoodEntry | null)[]> => {
    if (policy.check === null && policy.accept === null) return looked.map((seen) => seen.entry)
    return Promise.all(looked.map((seen) => admit(seen.entry, policy)))
  }
  const admit = (entry: GoodEntry | null, policy: Policy): GoodEntry | null | Promise<GoodEntry | null> =>
    entry === null || (policy.check === null && policy.accept === null) ? entry : examine(entry, policy)
  const examine = async (entry: GoodEntry, { check, accept }: Policy): Promise<GoodEntry | null> => {
    const { createdAtMs, sourceVersion } = entry.header
    if (accept !== null && !(await accept({ createdAtMs, sourceVersion }))) return null
    if (check === null) return entry
    try {
      const checked = await check(entry.value)
      return checked === null ? null : { ...entry, value: checked.value }
    } catch (error) {
      context.report(error)
      return null
    }
  }

  const found = (hit: Found['hit'], { key }: Looked, { header, value }: GoodEntry, policy: Policy): Found => {
    const { createdAtMs, freshUntilMs, sourceVersion } = header
    return { hit, value: ownValue(value, policy), tier: 'l2', key, createdAtMs, freshUntilMs, sourceVersion }
  }
  /** What was kept in L1 on its way is frozen. */
  const ownValue = (value: unknown, policy: Policy): unknown =>
    policy.clone && Object.isFrozen(value) ? copyValue(value) : value

  /** With what the schema makes of it, as of a hit; a value that it has issues with is given as it was loaded, and told. */
  const arrived = async (key: string, { value, tier, ...times }: Arrived, { check }: Policy): Promise<Found> => {
    let given = value
    if (check !== null) {
      const checked = await Promise.resolve(value).then(check).catch(context.report)
      if (checked) given = checked.value
      else context.report(new CachectlError('USAGE', `what was loaded for ${key} does not pass its schema`))
    }
    return { hit: tier === 'source' ? 'miss' : 'fresh', value: given, tier, key, ...times }
  }

  const countMiss = (asked: Asked): void => {
    if (asked.missed) return
    asked.missed = true
    counters.count('miss', asked.place)
  }

  const inBackground = (work: Promise<unknown>): void => {
    const settled = work.catch(context.report).finally(() => background.delete(settled))
    background.add(settled)
  }

  const lead = (asked: Asked, { key, mirror, entry, seenMs }: Looked): Lead => ({
    place: asked.place,
    key,
    mirror,
    flight: flights.begin(key, mirror.incarnation),
    index: asked.index,
    stale: entry === null ? null : { value: entry.value, sourceVersion: entry.header.sourceVersion },
    seenMs,
  })

  const leadOptions = (policy: Policy, load: LoadMany, lease: LeadOptions['lease']): LeadOptions => ({
    policy,
    load,
    lease,
    accepts: async (entry) => (await admit(entry, policy)) !== null,
  })

  /** Makes it anew behind the answer, if no process does; a flight for whoever waits for the new value. */
  const renew = (asked: Asked, looked: Looked, policy: Policy, load: LoadMany): Flight | null => {
    if (flights.get(looked.key) !== undefined) return null
    const leading = lead(asked, looked)
    inBackground(leadGroup(context, [leading], leadOptions(policy, load, 'yield')))
    leading.flight.outcome.catch(context.report)
    return leading.flight
  }

  /** A stale value at once, or after the soft timeout, unless the new one is there before. */
  const giveStale = async (asked: Asked, looked: Looked, entry: GoodEntry, policy: Policy, load: LoadMany) => {
    const flight = renew(asked, looked, policy, load)
    counters.count('stale', asked.place)
    const stale = found('stale', looked, entry, policy)
    if (policy.softTimeoutMs === null || flight === null) return stale
    let timer: NodeJS.Timeout | undefined
    const soft = new Promise<null>((resolve) => {
      timer = setTimeout(resolve, policy.softTimeoutMs as number, null)
    })
    const outcome = await Promise.race([flight.outcome.catch(() => null), soft])
    clearTimeout(timer)
    return outcome?.kind === 'value' ? arrived(looked.key, outcome.take(), policy) : stale
  }

  /** Waits for a flight; what it came to is the answer if it may be shared, and otherwise the reason to look again. */
  const land = async (asked: Asked, key: string, flight: Flight, share: boolean, { results, again, policy }: Round) => {
    refuseOwnLoad(flight, key)
    const outcome = await flight.outcome.catch((error) => {
      if (share) throw error
      return null
    })
    if (share && outcome?.kind === 'value') results[asked.index] = await arrived(key, outcome.take(), policy)
    else again.push(asked)
  }

  const settle = (asked: Asked, seen: Looked, entry: GoodEntry | null, round: Round): void => {
    const { policy, load, results, waits, leads } = round
    if (entry?.state === 'fresh') {
      counters.count('l2', asked.place)
      results[asked.index] = found('fresh', seen, entry, policy)
      if (refreshesEarly(entry.header, policy.beta, clock.now(), context.random)) renew(asked, seen, policy, load)
      return
    }
    if (entry?.state === 'stale') {
      const given = giveStale(asked, seen, entry, policy, load).then((stale) => {
        results[asked.index] = stale
      })
      waits.push(given)
      return
    }
    countMiss(asked)
    const flight = flights.get(seen.key)
    const may =
      flight === undefined
        ? 'lead'
        : mayShare(flight, { order: asked.order, incarnation: seen.mirror.incarnation, ...seen })
    if (flight !== undefined && may !== 'lead') {
      waits.push(land(asked, seen.key, flight, may === 'share', round))
      return
    }
    const leading = lead(asked, seen)
    leads.push(leading)
    waits.push(land(asked, seen.key, leading.flight, true, round))
  }

  /** One round: each entry is found, waited for, or loaded; those that came to nothing are given back. */
  const goRound = async (
    pending: readonly Asked[],
    policy: Policy,
    load: LoadMany,
    results: Found[],
  ): Promise<Asked[]> => {
    const places = pending.map((asked) => asked.place)
    const looked = await look(places, policy, (key) => flights.get(key) !== undefined)
    const round: Round = { policy, load, results, again: [], waits: [], leads: [] }
    // All of them before the first flight begins: one that is refused must not leave a flight that never lands.
    const entries = await admitAll(looked, policy)
    for (let at = 0; at < pending.length; at++)
      settle(pending[at] as Asked, looked[at] as Looked, entries[at] ?? null, round)
    if (round.leads.length > 0) inBackground(leadGroup(context, round.leads, leadOptions(policy, load, 'wait')))
    if (round.waits.length > 0) await context.gate.aside(() => settleAll(round.waits))
    return round.again
  }

  const landAway = async ({ place }: Asked, flight: Flight) => {
    refuseOwnLoad(flight, place.subject)
    return flight.outcome
  }

  /** Redis is away: one load of an entry at once in each process, and so many of all. */
  const loadAway = async (
    pending: readonly Asked[],
    policy: Policy,
    load: LoadMany,
    results: Found[],
  ): Promise<void> => {
    let left = pending
    while (left.length > 0) left = await goAway(left, policy, load, results)
  }
  const goAway = async (
    pending: readonly Asked[],
    policy: Policy,
    load: LoadMany,
    results: Found[],
  ): Promise<Asked[]> => {
    const waits: Promise<void>[] = []
    const leads: Lead[] = []
    const again: Asked[] = []
    for (const asked of pending) {
      const id = placeId(asked.place)
      countMiss(asked)
      const known = unleased.get(id)
      if (known !== undefined && known.order < asked.order) {
        // Others may have invalidated it since that load began, and nobody can tell here: the next one is shared.
        const over = () => unleased.end(id, known)
        waits.push(known.outcome.then(over, over))
        again.push(asked)
        continue
      }
      const flight = known ?? unleased.begin(id, null)
      if (known === undefined) {
        const mirror = null as unknown as Lead['mirror']
        leads.push({ place: asked.place, key: id, mirror, flight, index: asked.index, stale: null, seenMs: null })
      }
      waits.push(
        landAway(asked, flight).then(async (outcome) => {
          if (outcome.kind === 'value') results[asked.index] = await arrived('', outcome.take(), policy)
        }),
      )
    }
    if (leads.length > 0) {
      const work = context.gate.through(() => loadUnleased(context, leads, leadOptions(policy, load, 'wait')))
      work
        .catch((error) => {
          for (const one of leads) one.flight.fail(error)
        })
        .finally(() => {
          for (const one of leads) unleased.end(one.key, one.flight)
        })
    }
    await context.gate.aside(() => settleAll(waits))
    return again
  }

  const loadMany: Kernel['loadMany'] = async (places, policy, load) => {
    const results: Found[] = new Array(places.length)
    let pending: Asked[] = []
    for (const [index, place] of places.entries()) {
      const near = nearby(place, policy)
      if (near !== null) results[index] = near
      else pending.push({ index, place, order: flights.tick() })
    }
    for (let rounds = 0; pending.length > 0 && rounds < ROUNDS; rounds++) {
      try {
        pending = await goRound(pending, policy, load, results)
      } catch (error) {
        if (!(error instanceof Away)) throw error
        if (strict) throw error.cause
        break
      }
    }
    const unanswered = pending.filter(({ index }) => results[index] === undefined)
    if (unanswered.length > 0) await loadAway(unanswered, policy, load, results)
    return results
  }

  return {
    loadMany,
    forgetUnleased: () => unleased.forgetAll(),
    async load(place, policy, load) {
      const known = nearby(place, policy)
      if (known !== null) return known
      const one: LoadMany = async (_, control) => [await load(control(0))]
      return (await loadMany([place], policy, one))[0] as Found
    },
    async refresh(place, policy, load) {
      const one: LoadMany = async (_, control) => [await load(control(0))]
      const asked: Asked = { index: 0, place, order: flights.tick() }
      try {
        for (let rounds = 0; rounds < ROUNDS; rounds++) {
          // For its key now: a bump may not have been heard of yet.
          const [looked] = (await look([place], policy, () => false)) as [Looked]
          const { key } = looked
          const leading = lead(asked, { ...looked, entry: null })
          inBackground(leadGroup(context, [leading], leadOptions(policy, one, 'take')))
          const outcome = await context.gate.aside(() => leading.flight.outcome)
          near?.drop({ keys: [key], stamps: [], bumped: false, pattern: null })
          if (outcome.kind === 'value') return arrived(key, outcome.take(), policy)
        }
      } catch (error) {
        if (!(error instanceof Away)) throw error
        if (strict) throw error.cause
      }
      const results: Found[] = []
      await loadAway([asked], policy, one, results)
      return results[0] as Found
    },
    async read(places, policy) {
      const results: Found[] = new Array(places.length)
      const pending: { index: number; place: Place }[] = []
      for (const [index, place] of places.entries()) {
        const near = nearby(place, policy)
        if (near !== null) results[index] = near
        else pending.push({ index, place })
      }
      if (pending.length === 0) return results
      const missing = pending.map(({ place }) => place)
      const looked = await look(missing, policy, () => false).catch((error) => {
        if (!(error instanceof Away)) throw error
        if (strict) throw error.cause
        return null
      })
      for (const [at, { index, place }] of pending.entries()) {
        const seen = looked?.[at]
        const admitted = admit(seen?.entry ?? null, policy)
        const entry = admitted instanceof Promise ? await admitted : admitted
        counters.count(entry === null ? 'miss' : entry.state === 'fresh' ? 'l2' : 'stale', place)
        results[index] = seen && entry ? found(entry.state, seen, entry, policy) : nothingFound(seen?.key ?? '')
      }
      return results
    },
    async settled(ms) {
      let timer: NodeJS.Timeout | undefined
      const late = new Promise<void>((resolve) => {
        timer = setTimeout(resolve, ms)
      })
      await Promise.race([Promise.allSettled([...background]), late])
      clearTimeout(timer)
    },
  }
}

function nothingFound(key: string): Found {
  return { hit: 'miss', value: undefined, tier: null, key, createdAtMs: null, freshUntilMs: null, sourceVersion: null }
}

/** All of them, also where one rejects: what it rejects with then. */
async function settleAll(waits: readonly Promise<void>[]): Promise<void> {
  for (const settled of await Promise.allSettled(waits)) if (settled.status === 'rejected') throw settled.reason
}

/** Redis did not answer, or refused: what is thrown by a loader is never taken for it. */
class Away extends Error {}

function away(error: unknown): unknown {
  const { code = '' } = error as { code?: string }
  return error instanceof CachectlError && code.startsWith('REDIS_')
    ? new Away('Redis is away', { cause: error })
    : error
}
