// A kernel that tells what it does. Where nobody looks, calls go straight through.
import { createKeys, type Keys } from '../core/key.ts'
import type { CountedEvent, CountedPlace, Counters } from './counters.ts'
import type { Found, Kernel, Load, LoadMany, Place } from './kernel.ts'
import type { CacheEvents } from './log.ts'

export function watchKernel(kernel: Kernel, events: CacheEvents): Kernel {
  const { prefix, tenantLabel } = kernel.config
  const keys = createKeys({ prefix, tenantLabel })
  const told = async (places: readonly Place[], call: () => Promise<Found[]>): Promise<Found[]> => {
    const beganMs = performance.now()
    const found = await call()
    const durationMs = performance.now() - beganMs
    for (const [index, { key, hit, tier }] of found.entries())
      events.read({ ...placed(places[index] as Place), key, hit, tier, durationMs })
    return found
  }
  const one = async (place: Place, call: () => Promise<Found>): Promise<Found> => {
    const [found] = await told([place], async () => [await call()])
    return found as Found
  }
  const timed = (place: Place, load: Load): Load => {
    return (control) => tellLoad(events, keys, [place], () => load(control))
  }
  return {
    ...kernel,
    near: (place, policy) => (events.watched ? null : kernel.near(place, policy)),
    read: (places, policy) =>
      events.watched ? told(places, () => kernel.read(places, policy)) : kernel.read(places, policy),
    readOne: (place, policy) =>
      events.watched ? one(place, () => kernel.readOne(place, policy)) : kernel.readOne(place, policy),
    load: (place, policy, load) =>
      events.watched
        ? one(place, () => kernel.load(place, policy, timed(place, load)))
        : kernel.load(place, policy, load),
    loadMany(places, policy, load) {
      if (!events.watched) return kernel.loadMany(places, policy, load)
      const timedMany: LoadMany = (missing, control) => {
        const missed = missing.map((index) => places[index] as Place)
        return tellLoad(events, keys, missed, () => load(missing, control))
      }
      return told(places, () => kernel.loadMany(places, policy, timedMany))
    },
    // No read: whatever is there is loaded anew.
    refresh: (place, policy, load) => kernel.refresh(place, policy, events.watched ? timed(place, load) : load),
    async invalidate(change) {
      if (!events.watched) return kernel.invalidate(change)
      const beganMs = performance.now()
      const invalidated = await kernel.invalidate(change)
      events.invalidate({ ...invalidated, change, durationMs: performance.now() - beganMs })
      return invalidated
    },
  }
}

/** Counters that tell of writes: they are counted where it is known what became of them. */
export function watchCounters(
  counters: Counters,
  scheme: Parameters<typeof createKeys>[0],
  events: CacheEvents,
): Counters {
  const keys = createKeys(scheme)
  return {
    group: (place) => counters.group(place),
    count(event, place, amount, loadMs) {
      counters.count(event, place, amount, loadMs)
      if (isWrite(event) && events.watched) events.write({ ...placed(place), key: keyOf(keys, place), outcome: event })
    },
  }
}

function isWrite(event: CountedEvent): event is 'set' | 'refused' | 'uncacheable' {
  return event === 'set' || event === 'refused' || event === 'uncacheable'
}

/** What the loader gives or throws, as it does so: whether at once or later is its own. */
function tellLoad(events: CacheEvents, keys: Keys, places: readonly Place[], load: () => unknown): unknown {
  const [first] = places
  if (first === undefined) return load()
  const beganMs = performance.now()
  const key = places.length === 1 ? keyOf(keys, first) : null
  const tell = (error: unknown): void =>
    events.load({ ...placed(first), key, entries: places.length, durationMs: performance.now() - beganMs, error })
  return (async () => {
    try {
      const value = await load()
      tell(null)
      return value
    } catch (error) {
      tell(error ?? new Error('the loader threw nothing'))
      throw error
    }
  })()
}

function placed({ namespace, subject, tenant }: CountedPlace): CountedPlace {
  return { namespace, subject, tenant }
}

/** Without generation tokens; null where the place is that of a whole group, or has no key. */
function keyOf(keys: Keys, place: CountedPlace | Place): string | null {
  if (!('rest' in place)) return null
  try {
    return keys.build(place)
  } catch {
    return null
  }
}
