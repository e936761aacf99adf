// One round over entries that were looked at: what is fresh is given, what is stale is given while it is made anew, what is missing is loaded once or waited for.
import { refreshesEarly } from '../core/early-refresh.ts'
import type { Answers } from './answers.ts'
import { type Flight, mayShare } from './flights.ts'
import type { GoodEntry } from './judging.ts'
import type { Found, LoadMany, Place, Policy } from './kernel.ts'
import type { Lead, LeadContext, LeadOptions } from './lead.ts'
import { leadGroup } from './leading.ts'
import { refuseOwnLoad } from './load-control.ts'
import type { Looked } from './reading.ts'

/** Of one entry that was asked for. */
export interface Asked {
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

export interface Rounds {
  /** Answers what it can; those that came to nothing are given back. `looked`: each of them, as it was found. */
  go(
    pending: readonly Asked[],
    looked: readonly Looked[],
    call: { policy: Policy; load: LoadMany; results: Found[] },
  ): Promise<Asked[]>
  /** What is given of an entry that is fresh; it may be made anew behind that. */
  giveFresh(asked: Asked, looked: Looked, entry: GoodEntry, policy: Policy, load: LoadMany): Found
  countMiss(asked: Asked): void
  /** A flight for this entry, to be led. */
  lead(asked: Asked, looked: Looked): Lead
  leadOptions(policy: Policy, load: LoadMany, lease: LeadOptions['lease']): LeadOptions
  /** @param work whose failure is told, and which `settled` waits for */
  inBackground(work: Promise<unknown>): void
  /** Resolves when nothing is under way any more, or after so long. */
  settled(ms: number): Promise<void>
}

export function createRounds(context: LeadContext, { admit, found, arrived }: Answers): Rounds {
  const { flights, counters, clock } = context
  const background = new Set<Promise<unknown>>()

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

  const giveFresh: Rounds['giveFresh'] = (asked, looked, entry, policy, load) => {
    counters.count('l2', asked.place)
    const given = found('fresh', looked, entry, policy)
    if (refreshesEarly(entry.header, policy.beta, clock.now(), context.random)) renew(asked, looked, policy, load)
    return given
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
      results[asked.index] = giveFresh(asked, seen, entry, policy, load)
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

  /** All of them before the first flight begins: one that is refused must not leave a flight that never lands. */
  const admitAll = (looked: readonly Looked[], policy: Policy) =>
    policy.check === null && policy.accept === null
      ? looked.map(({ entry }) => entry)
      : Promise.all(looked.map(({ entry }) => admit(entry, policy)))

  return {
    countMiss,
    lead,
    leadOptions,
    inBackground,
    giveFresh,
    async go(pending, looked, { policy, load, results }) {
      const round: Round = { policy, load, results, again: [], waits: [], leads: [] }
      const entries = await admitAll(looked, policy)
      for (let at = 0; at < pending.length; at++)
        settle(pending[at] as Asked, looked[at] as Looked, entries[at] ?? null, round)
      if (round.leads.length > 0) inBackground(leadGroup(context, round.leads, leadOptions(policy, load, 'wait')))
      if (round.waits.length > 0) await context.gate.aside(() => settleAll(round.waits))
      return round.again
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

/** All of them, also where one rejects: what it rejects with then. */
export async function settleAll(waits: readonly Promise<void>[]): Promise<void> {
  for (const settled of await Promise.allSettled(waits)) if (settled.status === 'rejected') throw settled.reason
}
