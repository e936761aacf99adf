// What a caller is given of an entry: out of the memory of this process, out of Redis, or of a load, as the policy lets it through.
import { CachectlError } from '../core/errors.ts'
import { copyValue } from '../core/shared-value.ts'
import type { ControlMirror } from './control-mirror.ts'
import type { Arrived } from './flights.ts'
import type { GoodEntry } from './judging.ts'
import type { Found, Kernel, Place, Policy } from './kernel.ts'
import type { LeadContext } from './lead.ts'
import type { Looked } from './reading.ts'

export interface Answers {
  near: Kernel['near']
  /** The entry as the policy lets it through: checked, accepted; null otherwise. At once where the policy asks for neither. */
  admit(entry: GoodEntry | null, policy: Policy): GoodEntry | null | Promise<GoodEntry | null>
  /** What is given of an entry in Redis. */
  found(hit: Found['hit'], looked: Looked, entry: GoodEntry, policy: Policy): Found
  /** What is given of a load, with what the schema makes of it, as of a hit; a value that it has issues with is given as it was loaded, and told. */
  arrived(key: string, arrived: Arrived, policy: Policy): Promise<Found>
}

export function createAnswers(context: LeadContext, control: ControlMirror): Answers {
  const { near, clock, config, counters, report } = context
  const hasNear = near !== null && Object.values(config.namespaces).some(({ l1 }) => l1 !== null)

  const examine = async (entry: GoodEntry, { check, accept }: Policy): Promise<GoodEntry | null> => {
    const { createdAtMs, sourceVersion } = entry.header
    if (accept !== null && !(await accept({ createdAtMs, sourceVersion }))) return null
    if (check === null) return entry
    try {
      const checked = await check(entry.value)
      return checked === null ? null : { ...entry, value: checked.value }
    } catch (error) {
      report(error)
      return null
    }
  }

  return {
    near(place: Place, policy: Policy) {
      if (!hasNear || policy.accept !== null || policy.check !== null) return null
      const mirror = control.current
      if (mirror === null || !config.namespaces[place.namespace]?.l1) return null
      const key = mirror.keyOf(place)
      const entry = near.find(place.namespace, key)
      if (entry === null) return null
      const { createdAtMs, freshUntilMs, incarnation, sourceVersion } = entry.header
      if (incarnation !== mirror.incarnation || (freshUntilMs !== null && clock.now() >= freshUntilMs)) return null
      const value = policy.clone || entry.mutable ? copyValue(entry.value) : entry.value
      counters.count('l1', place)
      return { hit: 'fresh', value, tier: 'l1', key, createdAtMs, freshUntilMs, sourceVersion }
    },
    admit: (entry, policy) =>
      entry === null || (policy.check === null && policy.accept === null) ? entry : examine(entry, policy),
    found(hit, { key }, { header, value }, { clone }) {
      const { createdAtMs, freshUntilMs, sourceVersion } = header
      // What was kept in L1 on its way is frozen.
      const own = clone && Object.isFrozen(value) ? copyValue(value) : value
      return { hit, value: own, tier: 'l2', key, createdAtMs, freshUntilMs, sourceVersion }
    },
    async arrived(key, { value, tier, ...times }, { check }) {
      let given = value
      if (check !== null) {
        const checked = await Promise.resolve(value).then(check).catch(report)
        if (checked) given = checked.value
        else report(new CachectlError('USAGE', `what was loaded for ${key} does not pass its schema`))
      }
      return { hit: tier === 'source' ? 'miss' : 'fresh', value: given, tier, key, ...times }
    },
  }
}
