// What `evict` holds to which limits: the budgets of the config, or the targets of a command line with limits of its own.
import type { ResolvedConfig } from '../config/resolved.ts'
import { own } from '../core/declared.ts'
import { CachectlError } from '../core/errors.ts'
import type { EvictionPolicy } from '../core/eviction.ts'
import { printable } from '../core/printable.ts'
import type { Target } from '../core/target.ts'
import { type Aim, type Decide, decideFor } from './changes.ts'
import { checkAim, isEverything } from './invalidate-plan.ts'

/** Null: no limit. */
export interface Limits {
  maxKeys: number | null
  maxBytes: number | null
}

/** Without targets: every budget of the config. */
export interface QuotaOptions extends Aim {
  /** targets of tenant models mean the rows of all tenants */
  allTenants: boolean
  /** in the place of what the config says; null: not given */
  policy: EvictionPolicy | null
  limits: Limits | null
  /** of each limit, 0 to 1: how far down */
  share: number
}

export interface Quota {
  /** `namespace:detail`, `all`, or the target as it was given; escaped */
  target: string
  /** whose entries alone; null: of all */
  tenant: string | null
  /** null where it is none */
  namespace: string | null
  policy: EvictionPolicy
  budget: Limits
  /** the budget times the share: what is to be left at most */
  aim: Limits
  /** by the config, and not by flags */
  declared: boolean
  /** `all`, or a pattern that matches everything */
  everything: boolean
  /** `namespace`: its entries, of all tenants, are also of the `prefix`; `other`: only `decide` says what is of it */
  place: 'namespace' | 'prefix' | 'other'
  decide: Decide
}

const DEFAULT_POLICY: EvictionPolicy = 'lru'
const HOW = 'write `budget: { maxMemory: … }` into the config, or give --max-keys or --max-memory'

/** In the order in which they are dealt with: the whole prefix last. @throws CachectlError USAGE, CONFIG_NOT_FOUND, REFUSED */
export function quotasOf(options: QuotaOptions, config: ResolvedConfig | null): Quota[] {
  const { limits, targets, tenant } = options
  if (targets.length === 0 && limits !== null && tenant === null)
    throw new CachectlError('USAGE', 'limits are given, and nothing that they are for', {
      hint: 'name it: namespace:detail, a model, pattern:…, or all',
    })
  if (targets.length === 0 && limits === null && config === null)
    throw new CachectlError('CONFIG_NOT_FOUND', 'budgets stand in a cache.config.*, and there is none here or above', {
      hint: 'name the config with --config, or give a target and --max-keys or --max-memory',
    })
  if (tenant !== null && limits === null)
    throw new CachectlError('USAGE', 'budgets of the config are for all tenants together', {
      hint: "give the tenant's own with --max-keys or --max-memory",
    })
  if (targets.length > 0) checkAim({ ...options, byTag: false }, config)
  const given = targets.length > 0 ? targets : limits === null ? declaredTargets(config) : [ALL]
  const distinct = new Map(given.map((target) => [target.text, target]))
  const quotas = [...distinct.values()].map((target) => quotaOf(target, options, config))
  return quotas.sort((a, b) => Number(a.everything) - Number(b.everything))
}

/** Everything under the prefix. */
export const ALL: Target = { kind: 'all', text: 'all' }

function declaredTargets(config: ResolvedConfig | null): Target[] {
  const namespaces = Object.values(config?.namespaces ?? {}).filter(({ budget }) => budget !== null)
  const targets: Target[] = namespaces.map(({ name }) => ({
    kind: 'namespace',
    text: `namespace:${name}`,
    namespace: name,
  }))
  if (config !== null && config.budget !== null) targets.push(ALL)
  if (targets.length === 0) throw new CachectlError('USAGE', 'the config declares no budget', { hint: HOW })
  return targets
}

function quotaOf(target: Target, options: QuotaOptions, config: ResolvedConfig | null): Quota {
  const namespace = target.kind === 'namespace' ? target.namespace : null
  const of = namespace === null ? undefined : own(config?.namespaces ?? {}, namespace)
  const declared = target.kind === 'all' ? config?.budget : of?.budget
  const budget = options.limits ?? declared
  if (!budget) throw new CachectlError('USAGE', `\`${printable(target.text)}\` has no budget of its own`, { hint: HOW })
  const { maxKeys, maxBytes } = budget
  const scaled = (limit: number | null) => (limit === null ? null : Math.floor(limit * options.share))
  const { tenant, foreign } = options
  return {
    target: printable(target.text),
    tenant,
    namespace,
    policy: options.policy ?? of?.budget?.policy ?? DEFAULT_POLICY,
    budget: { maxKeys, maxBytes },
    aim: { maxKeys: scaled(maxKeys), maxBytes: scaled(maxBytes) },
    declared: options.limits === null,
    everything: isEverything({ targets: [target], tenant, foreign }, config),
    place:
      tenant !== null ? 'other' : target.kind === 'all' ? 'prefix' : of?.format === 'envelope' ? 'namespace' : 'other',
    decide: decideFor({ targets: [target], tenant, foreign }, config),
  }
}
