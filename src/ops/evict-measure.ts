// One walk that measures every quota: its keys, their bytes, and their order under each policy.
import { asCachectlError, CachectlError } from '../core/errors.ts'
import { createOrder, type EvictionOrder, type EvictionPolicy } from '../core/eviction.ts'
import { createRanking, type Ranking } from '../core/ranking.ts'
import type { OperationContext } from './context.ts'
import { createPlaces } from './evict-places.ts'
import { createProber, type Probed, type Prober } from './evict-probe.ts'
import type { Quota } from './evict-quotas.ts'
import { scan } from './scan.ts'

/** What values of one run have in common, so that they compare with each other. */
export interface EvictionRun {
  startedAtMs: number
  seed: number
  /** what all rankings together hold */
  held: { values: number; names: number }
}

/** Numbers and names that are held: 16 MB, and some more. */
export const HELD = { values: 1_000_000, names: 10_000 }
/** Of each ranking at least, however many there are. */
const LEAST_HELD = { values: 20_000, names: 200 }

export interface Measured {
  quota: Quota
  keys: number
  /** null where the server refuses to tell */
  bytes: number | null
  protected: number
  /** the quota's own policy first */
  ranked: readonly Ranked[]
}

export interface Ranked {
  order: EvictionOrder
  ranking: Ranking
  /** why the server cannot tell; null: it can */
  refused: CachectlError | null
}

export interface Measurement {
  atMs: number
  quotas: Measured[]
  /** of the whole walk; a key of several quotas counts once */
  protected: number
  /** keys that this user may not touch */
  closed: number
  /** slots moved meanwhile: keys may have been missed, or seen twice */
  moved: boolean
}

export interface MeasureOptions {
  run: EvictionRun
  /** keys that there are; null: unknown */
  population: number | null
  /** of a quota, to rank its keys by; none: they are only counted */
  policiesOf(quota: Quota): readonly EvictionPolicy[]
}

/** Walks before it is left at what slots that move may have hidden, or shown twice. */
const MOST_WALKS = 3

/** @throws CachectlError also when it is stopped: half a measurement is none */
export async function measure(
  context: OperationContext,
  quotas: readonly Quota[],
  options: MeasureOptions,
): Promise<Measurement> {
  let measured = await walk(context, quotas, options)
  for (let walks = 1; measured.moved && walks < MOST_WALKS; walks++) measured = await walk(context, quotas, options)
  return measured
}

async function walk(
  context: OperationContext,
  quotas: readonly Quota[],
  options: MeasureOptions,
): Promise<Measurement> {
  const { store, clock, signal, emit } = context
  const prober = createProber(quotas.flatMap((quota) => options.policiesOf(quota)))
  const counters = createCounters(quotas, options, context.random)
  const places = createPlaces(quotas, context.config)
  const startedAtMs = clock.now()
  let visited = 0
  let protectedKeys = 0
  let closed = 0
  const layout = await store.layout()
  emit({ event: 'start', task: 'measuring', unit: 'keys', total: options.population })
  for await (const page of scan(store, { signal, wanted: places.wanted, probe: prober.probe })) {
    const atMs = clock.now()
    visited += page.visited
    for (const [index, key] of page.keys.entries()) {
      const place = places.next()
      const probed = prober.read(page.replies, index)
      if (probed.state === 'closed') closed++
      if (probed.state !== 'there') continue
      if (place.spared) protectedKeys++
      for (const at of place.quotas) (counters[at] as Counter).count(key, probed, place.spared, atMs, prober)
    }
    emit({ event: 'progress', task: 'measuring', done: visited, total: options.population })
  }
  emit({ event: 'end', task: 'measuring', done: visited, durationMs: clock.now() - startedAtMs })
  if (signal.aborted) throw stopped(signal.reason)
  const moved = (await store.layout()) !== layout
  return {
    atMs: clock.now(),
    quotas: counters.map((counter) => counter.finish()),
    protected: protectedKeys,
    closed,
    moved,
  }
}

function stopped(reason: unknown): CachectlError {
  const { code, message } = asCachectlError(reason)
  return new CachectlError(code, `${message}, while keys were measured: nothing more was evicted`)
}

interface Counter {
  count(key: Buffer, probed: Probed & { state: 'there' }, spared: boolean, atMs: number, prober: Prober): void
  finish(): Measured
}

function createCounters(quotas: readonly Quota[], options: MeasureOptions, random: () => number): Counter[] {
  const { run, policiesOf } = options
  const rankings = quotas.reduce((sum, quota) => sum + policiesOf(quota).length, 0)
  const most = (of: 'values' | 'names') => Math.max(LEAST_HELD[of], Math.floor(run.held[of] / Math.max(1, rankings)))
  const limits = {
    values: Math.min(run.held.values, most('values')),
    names: Math.min(run.held.names, most('names')),
    random,
  }
  const rank = (one: Ranked, key: Buffer, bytes: number, value: number | null, prober: Prober): void => {
    if (value !== null) one.ranking.offer(value, bytes, key)
    else one.refused ??= prober.refusal(one.order.policy)
  }
  return quotas.map((quota) => {
    const ranked: Ranked[] = policiesOf(quota).map((policy) => ({
      order: createOrder(policy, run),
      ranking: createRanking(limits),
      refused: null,
    }))
    const measured = { quota, keys: 0, bytes: 0 as number | null, protected: 0, ranked }
    return {
      count(key, { bytes, facts }, spared, atMs, prober) {
        measured.keys++
        if (bytes === null && quota.budget.maxBytes !== null) throw prober.sizeRefusal()
        measured.bytes = bytes === null || measured.bytes === null ? null : measured.bytes + bytes
        if (spared) measured.protected++
        else for (const one of ranked) rank(one, key, bytes ?? 0, one.order.value(facts, key, atMs), prober)
      },
      finish: () => measured,
    }
  })
}
