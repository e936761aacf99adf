// What `evict` will do: how far each quota is over its limits, and which of its entries go first. Changes nothing.
import { EVICTION_POLICIES, type EvictionPolicy } from '../core/eviction.ts'
import { printable } from '../core/printable.ts'
import type { Extent, Line } from '../core/ranking.ts'
import type { Danger } from '../core/safeguards.ts'
import type { RedisIdentity } from '../ports.ts'
import type { OperationContext } from './context.ts'
import { type EvictionRun, HELD, type Measured, type Measurement, measure, type Ranked } from './evict-measure.ts'
import { type Quota, type QuotaOptions, quotasOf } from './evict-quotas.ts'
import { beginReport, type ReportBase } from './report-base.ts'

export interface EvictOptions extends QuotaOptions {
  /** `compare`: what each policy would evict; `check`: only whether the limits are kept */
  mode: 'evict' | 'compare' | 'check'
  held?: EvictionRun['held']
}

/** Bytes by MEMORY USAGE; null: the server refuses to tell. */
export interface Occupied {
  keys: number
  bytes: number | null
}

export interface PlannedQuota {
  quota: Quota
  before: Occupied
  protected: number
  /** what is too much, less what quotas before it evict; to be evicted */
  excess: Extent
  /** null where nothing goes */
  line: Line | null
  previews: PolicyPreview[]
}

/** What a policy would evict. */
export interface PolicyPreview extends Extent {
  policy: EvictionPolicy
  /** of the first that goes: idle ms, frequency, or remaining ms; null: no TTL, and for `random` */
  from: number | null
  /** of the last that goes */
  to: number | null
  /** the first to go, escaped */
  samples: string[]
  /** share of the keys that may go in the place of others; 0: exact */
  error: number
  /** why the server cannot tell; null: it can */
  refused: string | null
}

export interface EvictPlan {
  mode: EvictOptions['mode']
  redis: RedisIdentity
  head: (complete?: boolean) => ReportBase
  run: EvictionRun
  measuredAtMs: number
  quotas: PlannedQuota[]
  /** of all quotas: a key of two counts once */
  protected: number
  closed: number
  moved: boolean
  /** DBSIZE; null where it is refused */
  population: number | null
  /** to be evicted */
  total: Extent
}

/** @throws CachectlError */
export async function planEvict(context: OperationContext, options: EvictOptions): Promise<EvictPlan> {
  const { store, clock, config, random } = context
  const quotas = quotasOf(options, config)
  const [head, info] = await Promise.all([beginReport(context), store.info()])
  const run = { startedAtMs: clock.now(), seed: Math.floor(random() * 2 ** 32), held: options.held ?? HELD }
  const policiesOf = (quota: Quota): readonly EvictionPolicy[] => {
    if (options.mode === 'check') return []
    if (options.mode === 'evict') return [quota.policy]
    const lfu = info.policy === null ? null : /lfu/i.test(info.policy)
    const told = EVICTION_POLICIES.filter(
      (policy) => !(policy === 'lru' && lfu === true) && !(policy === 'lfu' && lfu === false),
    )
    return [quota.policy, ...told.filter((policy) => policy !== quota.policy)]
  }
  const measured = await measure(context, quotas, { run, population: info.keys, policiesOf })
  const planned = planQuotas(measured)
  const total = planned.reduce(
    (sum, { line }) => ({ keys: sum.keys + (line?.keys ?? 0), bytes: sum.bytes + (line?.bytes ?? 0) }),
    { keys: 0, bytes: 0 },
  )
  const { atMs, closed, moved } = measured
  return {
    mode: options.mode,
    redis: head().redis,
    head,
    run,
    measuredAtMs: atMs,
    quotas: planned,
    protected: measured.protected,
    closed,
    moved,
    population: info.keys,
    total,
  }
}

/** To keep what the config declares is routine, whatever it is for; limits of a command line are asked about as other verbs are. */
export function dangerOf({ config }: OperationContext, { quotas, total, population, redis }: EvictPlan): Danger {
  const asked = quotas.filter(({ quota, line }) => !quota.declared && line !== null)
  return {
    typed: config?.prefix ?? redis.endpoint,
    everything: asked.some(({ quota }) => quota.everything),
    production: asked.length > 0 && config?.env === 'production',
    keys: total.keys,
    share: population === null || population === 0 ? null : Math.min(1, total.keys / population),
  }
}

/** What quotas of namespaces evict goes from the whole prefix too. */
function planQuotas({ quotas, atMs }: Measurement): PlannedQuota[] {
  const planned: PlannedQuota[] = []
  for (const measured of quotas) {
    const { quota, keys, bytes } = measured
    const gone = quota.place === 'prefix' ? planned.filter((before) => before.quota.place === 'namespace') : []
    const sum = (of: keyof Extent) => gone.reduce((total, { line }) => total + (line?.[of] ?? 0), 0)
    const excess = excessOf(quota, { keys: keys - sum('keys'), bytes: (bytes ?? 0) - sum('bytes') })
    const line = lineOf(measured, excess)
    const previews = measured.ranked.map((ranked) => previewOf(ranked, excess, atMs))
    planned.push({ quota, before: { keys, bytes }, protected: measured.protected, excess, line, previews })
  }
  return planned
}

/** What is over the aim. */
export function excessOf({ aim }: Quota, { keys, bytes }: Occupied): Extent {
  return {
    keys: aim.maxKeys === null ? 0 : Math.max(0, keys - aim.maxKeys),
    bytes: aim.maxBytes === null ? 0 : Math.max(0, (bytes ?? 0) - aim.maxBytes),
  }
}

export function isOver({ keys, bytes }: Extent): boolean {
  return keys > 0 || bytes > 0
}

/** By the quota's own policy. @throws CachectlError where the server cannot tell what that goes by */
export function lineOf({ ranked: [own] }: Measured, excess: Extent): Line | null {
  if (own === undefined) return null
  if (own.refused !== null) throw own.refused
  return isOver(excess) ? own.ranking.line(excess) : null
}

function previewOf({ order, ranking, refused }: Ranked, excess: Extent, atMs: number): PolicyPreview {
  const { policy } = order
  const line = refused === null && isOver(excess) ? ranking.line(excess) : null
  const none = { policy, keys: 0, bytes: 0, from: null, to: null, samples: [], error: 0 }
  if (line === null) return { ...none, refused: refused === null ? null : refused.message }
  return {
    policy,
    keys: line.keys,
    bytes: line.bytes,
    from: order.measure(line.first, atMs),
    to: order.measure(line.last, atMs),
    samples: line.samples.map((key) => printable(key)),
    error: line.error,
    refused: null,
  }
}
