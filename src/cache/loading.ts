// Reading through: what is there and good is given, what is missing is loaded once, what is stale is given while it is made anew.
import { createAnswers } from './answers.ts'
import { Away, asAway, createAwayLoads } from './away.ts'
import type { ControlMirror } from './control-mirror.ts'
import type { Found, Kernel, LoadMany, Place, Policy } from './kernel.ts'
import type { LeadContext } from './lead.ts'
import { leadGroup } from './leading.ts'
import type { Looked, LookOptions } from './reading.ts'
import { type Asked, createRounds } from './rounds.ts'

export interface Loading extends Pick<Kernel, 'near' | 'read' | 'readOne' | 'load' | 'loadMany' | 'refresh'> {
  /** Resolves when no load is under way any more, or after so long. */
  settled(ms: number): Promise<void>
  /** Nobody who asks from now on shares a load that holds no lease. */
  forgetUnleased(): void
}

/** A caller whose entry is invalidated again and again while it is loaded loads for itself in the end. */
const ROUNDS = 20

export function createLoading(context: LeadContext, control: ControlMirror, strict: boolean): Loading {
  const { flights, reader, counters, near, deadlineMs } = context
  const answers = createAnswers(context, control)
  const rounds = createRounds(context, answers)
  const away = createAwayLoads(context, {
    answers,
    countMiss: rounds.countMiss,
    leadOptions: (policy, load) => rounds.leadOptions(policy, load, 'wait'),
  })
  const unleased: LookOptions = { withinMs: deadlineMs, withLease: () => false }
  const leased: LookOptions = { withinMs: deadlineMs, withLease: (key) => flights.get(key) !== undefined }

  /** Of a look that failed. @throws where it is not because Redis is away */
  const awayBy = (error: unknown): Away => {
    const reason = asAway(error)
    if (!(reason instanceof Away)) throw reason
    // Redis is there and refuses: nobody else would tell.
    if (context.link.up) context.report(error)
    return reason
  }
  const goOnWithout = (reason: unknown): void => {
    if (!(reason instanceof Away) || strict) throw reason instanceof Away ? reason.cause : reason
  }
  const look = (places: readonly Place[], policy: Policy, options: LookOptions): Promise<Looked[]> =>
    reader.look(places, policy, options).catch((error) => {
      throw awayBy(error)
    })

  /** @param first what was found of them, where they were looked at */
  const answer = async (
    asked: readonly Asked[],
    first: readonly Looked[] | null,
    call: { policy: Policy; load: LoadMany; results: Found[] },
  ): Promise<void> => {
    const { policy, load, results } = call
    let pending = asked
    let looked = first
    try {
      for (let round = 0; pending.length > 0 && round < ROUNDS; round++) {
        const places = pending.map(({ place }) => place)
        looked ??= await look(places, policy, leased)
        pending = await rounds.go(pending, looked, call)
        looked = null
      }
    } catch (error) {
      goOnWithout(error)
    }
    const unanswered = pending.filter(({ index }) => results[index] === undefined)
    if (unanswered.length > 0) await away.load(unanswered, policy, load, results)
  }

  const loadMany: Kernel['loadMany'] = async (places, policy, load) => {
    const results: Found[] = new Array(places.length)
    const pending: Asked[] = []
    for (const [index, place] of places.entries()) {
      const known = answers.near(place, policy)
      if (known !== null) results[index] = known
      else pending.push({ index, place, order: flights.tick() })
    }
    if (pending.length > 0) await answer(pending, null, { policy, load, results })
    return results
  }

  /** What a read gives of what was found; of nothing where Redis is away. */
  const given = (place: Place, seen: Looked | null, policy: Policy): Found | Promise<Found> => {
    const entry = answers.admit(seen?.entry ?? null, policy)
    const give = (admitted: Awaited<typeof entry>): Found => {
      counters.count(admitted === null ? 'miss' : admitted.state === 'fresh' ? 'l2' : 'stale', place)
      return seen && admitted ? answers.found(admitted.state, seen, admitted, policy) : nothingFound(seen?.key ?? '')
    }
    return entry instanceof Promise ? entry.then(give) : give(entry)
  }

  return {
    loadMany,
    near: answers.near,
    settled: rounds.settled,
    forgetUnleased: () => away.forgetAll(),
    async load(place, policy, load) {
      const known = answers.near(place, policy)
      if (known !== null) return known
      const asked: Asked = { index: 0, place, order: flights.tick() }
      const one: LoadMany = async (_, control) => [await load(control(0))]
      const results: Found[] = []
      let seen: Looked | null = null
      try {
        seen = await reader.lookOne(place, policy, leased)
      } catch (error) {
        goOnWithout(awayBy(error))
      }
      if (seen?.entry?.state === 'fresh' && policy.check === null && policy.accept === null)
        return rounds.giveFresh(asked, seen, seen.entry, policy, one)
      if (seen !== null) await answer([asked], [seen], { policy, load: one, results })
      else await away.load([asked], policy, one, results)
      return results[0] as Found
    },
    async refresh(place, policy, load) {
      const one: LoadMany = async (_, loadControl) => [await load(loadControl(0))]
      const asked: Asked = { index: 0, place, order: flights.tick() }
      try {
        for (let round = 0; round < ROUNDS; round++) {
          // For its key now: a bump may not have been heard of yet.
          const [looked] = (await look([place], policy, unleased)) as [Looked]
          const { key } = looked
          const leading = rounds.lead(asked, { ...looked, entry: null })
          rounds.inBackground(leadGroup(context, [leading], rounds.leadOptions(policy, one, 'take')))
          const outcome = await context.gate.aside(() => leading.flight.outcome)
          near?.drop({ keys: [key], stamps: [], bumped: false, pattern: null })
          if (outcome.kind === 'value') return answers.arrived(key, outcome.take(), policy)
        }
      } catch (error) {
        goOnWithout(error)
      }
      const results: Found[] = []
      await away.load([asked], policy, one, results)
      return results[0] as Found
    },
    async readOne(place, policy) {
      const known = answers.near(place, policy)
      if (known !== null) return known
      let seen: Looked | null = null
      try {
        seen = await reader.lookOne(place, policy, unleased)
      } catch (error) {
        goOnWithout(awayBy(error))
      }
      return given(place, seen, policy)
    },
    async read(places, policy) {
      const results: Found[] = new Array(places.length)
      const pending: number[] = []
      for (const [index, place] of places.entries()) {
        const known = answers.near(place, policy)
        if (known !== null) results[index] = known
        else pending.push(index)
      }
      if (pending.length === 0) return results
      const missing = pending.length === places.length ? places : pending.map((index) => places[index] as Place)
      const looked = await look(missing, policy, unleased).catch((error) => {
        goOnWithout(error)
        return null
      })
      for (const [at, index] of pending.entries()) {
        const found = given(places[index] as Place, looked?.[at] ?? null, policy)
        results[index] = found instanceof Promise ? await found : found
      }
      return results
    },
  }
}

function nothingFound(key: string): Found {
  return { hit: 'miss', value: undefined, tier: null, key, createdAtMs: null, freshUntilMs: null, sourceVersion: null }
}
