// Loads while Redis is away: one of an entry at once in each process, and so many of all; nothing of them is written.
import { CachectlError } from '../core/errors.ts'
import type { Answers } from './answers.ts'
import { placeId } from './control-mirror.ts'
import { loadUnleased } from './filling.ts'
import { createFlights, type Flight, type Flights } from './flights.ts'
import type { Found, LoadMany, Policy } from './kernel.ts'
import type { Lead, LeadContext, LeadOptions } from './lead.ts'
import { refuseOwnLoad } from './load-control.ts'
import type { Asked } from './rounds.ts'
import { settleAll } from './rounds.ts'

/** Redis did not answer, or refused: what is thrown by a loader is never taken for it. */
export class Away extends Error {}

export function asAway(error: unknown): unknown {
  const { code = '' } = error as { code?: string }
  return error instanceof CachectlError && code.startsWith('REDIS_')
    ? new Away('Redis is away', { cause: error })
    : error
}

export interface AwayLoads {
  /** Answers all of them. */
  load(pending: readonly Asked[], policy: Policy, load: LoadMany, results: Found[]): Promise<void>
  forgetAll(): void
}

export interface AwayOptions {
  answers: Answers
  countMiss(asked: Asked): void
  leadOptions(policy: Policy, load: LoadMany): LeadOptions
}

export function createAwayLoads(context: LeadContext, options: AwayOptions): AwayLoads {
  const { answers, countMiss, leadOptions } = options
  /** by place */
  const flights: Flights = createFlights(context.flights.tick)

  const land = async ({ place }: Asked, flight: Flight) => {
    refuseOwnLoad(flight, place.subject)
    return flight.outcome
  }

  const lead = (leads: readonly Lead[], policy: Policy, load: LoadMany): void => {
    context.gate
      .through(() => loadUnleased(context, leads, leadOptions(policy, load)))
      .catch((error) => {
        for (const one of leads) one.flight.fail(error)
      })
      .finally(() => {
        for (const one of leads) flights.end(one.key, one.flight)
      })
  }

  /** Those that are to be asked for again. */
  const goRound = async (
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
      const known = flights.get(id)
      if (known !== undefined && known.order < asked.order) {
        // Others may have invalidated it since that load began, and nobody can tell here: the next one is shared.
        const over = () => flights.end(id, known)
        waits.push(known.outcome.then(over, over))
        again.push(asked)
        continue
      }
      const flight = known ?? flights.begin(id, null)
      if (known === undefined) {
        const mirror = null as unknown as Lead['mirror']
        leads.push({ place: asked.place, key: id, mirror, flight, index: asked.index, stale: null, seenMs: null })
      }
      waits.push(
        land(asked, flight).then(async (outcome) => {
          if (outcome.kind === 'value') results[asked.index] = await answers.arrived('', outcome.take(), policy)
        }),
      )
    }
    if (leads.length > 0) lead(leads, policy, load)
    await context.gate.aside(() => settleAll(waits))
    return again
  }

  return {
    async load(pending, policy, load, results) {
      let left = pending
      while (left.length > 0) left = await goRound(left, policy, load, results)
    },
    forgetAll: () => flights.forgetAll(),
  }
}
