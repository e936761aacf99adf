// Hits of a model are compared with the versions that their rows have now: on each read, or some time after they were compared last.
import type { Found, LoadMany, Place, Policy } from './kernel.ts'
import { keyTextOf, loadById, type ModelContext } from './model-context.ts'
import { isCurrent } from './validation.ts'

/** Entries whose last comparison is remembered. */
const REMEMBERED = 10_000

type ValidatedRead = (
  texts: readonly string[],
  places: readonly Place[],
  policy: Policy,
  tenant: string | null,
  load: LoadMany,
) => Promise<Found[]>

/** One call. */
interface Pass {
  texts: readonly string[]
  places: readonly Place[]
  policy: Policy
  tenant: string | null
  load: LoadMany
  found: Found[]
}

/**
 * Reads; compares what was not compared for `validateMs` with one load of its rows; invalidates what is outdated, because its invalidation was missed, so
 * that no process gives it any more; loads that with whatever is missing. What the comparison loaded is not cached: it was loaded without a lease.
 */
export function createValidator(context: ModelContext, validateMs: number): ValidatedRead {
  const { kernel, model } = context
  /** when an entry was compared last, by its key and when it was made */
  const compared = new Map<string, number>()
  const nameOf = ({ key, createdAtMs }: Found) => `${createdAtMs} ${key}`

  const isDue = (found: Found): boolean => {
    if (found.hit === 'miss' || found.value === undefined) return false
    if (validateMs === 0) return true
    const sinceMs = Math.max(found.createdAtMs ?? 0, compared.get(nameOf(found)) ?? 0)
    return kernel.clock.now() - sinceMs >= validateMs
  }
  const remember = (found: Found): void => {
    if (validateMs === 0) return
    if (compared.size >= REMEMBERED) compared.clear()
    compared.set(nameOf(found), kernel.clock.now())
  }

  /** Of these hits, those whose rows are of another version now. */
  const outdatedOf = async (due: readonly number[], { texts, tenant, found }: Pass): Promise<number[]> => {
    if (due.length === 0) return []
    const wanted = due.map((index) => texts[index] as string)
    const rows = await loadById(context, wanted, tenant, new AbortController().signal)
    const mine = rows.filter((row) => !model.tenant || row.tenant === tenant)
    const versions = new Map(mine.map((row) => [keyTextOf(model, row), row.version]))
    return due.filter((index) => {
      const one = found[index] as Found
      const current = isCurrent(one.sourceVersion, versions.get(texts[index] as string) ?? null)
      if (current) remember(one)
      return !current
    })
  }

  /** Those of these entries that somebody else loaded, which nobody compared. */
  const pass = async (indices: readonly number[], of: Pass): Promise<number[]> => {
    const { places, policy, load, found } = of
    const placesOf = (some: readonly number[]) => some.map((index) => places[index] as Place)
    const read = await kernel.read(placesOf(indices), policy)
    indices.forEach((index, at) => {
      found[index] = read[at] as Found
    })
    const outdated = await outdatedOf(
      indices.filter((index) => isDue(found[index] as Found)),
      of,
    )
    if (outdated.length > 0) await kernel.invalidate({ entries: placesOf(outdated), fences: [model.subject] })
    // What is stale and current is given as it is by the load too, which makes it anew behind.
    const again = new Set(outdated)
    const wanted = indices.filter((index) => again.has(index) || found[index]?.hit !== 'fresh')
    if (wanted.length === 0) return []
    const loadedHere = new Set<number>()
    const positions = new Map(wanted.map((index, at) => [index, at]))
    const loaded = await kernel.loadMany(placesOf(wanted), policy, (missing, control) => {
      const some = missing.map((at) => wanted[at] as number)
      for (const index of some) loadedHere.add(index)
      return load(some, (index) => control(positions.get(index) as number))
    })
    wanted.forEach((index, at) => {
      found[index] = loaded[at] as Found
    })
    return wanted.filter((index) => !loadedHere.has(index) && found[index]?.hit !== 'stale')
  }

  return async (texts, places, policy, tenant, load) => {
    const of: Pass = { texts, places, policy, tenant, load, found: new Array(texts.length) }
    const shared = await pass([...texts.keys()], of)
    // Somebody else's load may have begun before this call, and the source have changed since. One that is shared now began later.
    if (validateMs === 0 && shared.length > 0) await pass(shared, of)
    return of.found
  }
}
