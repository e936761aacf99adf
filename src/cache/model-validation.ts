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

  return async (texts, places, policy, tenant, load) => {
    const found = await kernel.read(places, policy)
    const due = found.flatMap((one, index) => (isDue(one) ? [index] : []))
    const outdated: number[] = []
    if (due.length > 0) {
      const wanted = due.map((index) => texts[index] as string)
      const rows = await loadById(context, wanted, tenant, new AbortController().signal)
      const mine = rows.filter((row) => !model.tenant || row.tenant === tenant)
      const versions = new Map(mine.map((row) => [keyTextOf(model, row), row.version]))
      for (const index of due) {
        const one = found[index] as Found
        if (isCurrent(one.sourceVersion, versions.get(texts[index] as string) ?? null)) remember(one)
        else outdated.push(index)
      }
    }
    if (outdated.length > 0)
      await kernel.invalidate({ entries: outdated.map((index) => places[index] as Place), fences: [model.subject] })
    // What is stale and current is given as it is by the load too, which makes it anew behind.
    const again = new Set(outdated)
    const wanted = found.flatMap(({ hit }, index) => (hit === 'fresh' && !again.has(index) ? [] : [index]))
    if (wanted.length === 0) return found
    const positions = new Map(wanted.map((index, at) => [index, at]))
    const loaded = await kernel.loadMany(
      wanted.map((index) => places[index] as Place),
      policy,
      (missing, control) =>
        load(
          missing.map((at) => wanted[at] as number),
          (index) => control(positions.get(index) as number),
        ),
    )
    wanted.forEach((index, at) => {
      found[index] = loaded[at] as Found
    })
    return found
  }
}
