// Which models a warm run takes, by which strategy, and which it leaves: decided before anything is opened but the config.
import type { ResolvedConfig, ResolvedModel } from '../config/resolved.ts'
import { CachectlError } from '../core/errors.ts'
import { parseTarget } from '../core/target.ts'
import type { Id, Strategy } from '../ports.ts'
import type { ModelPlan, WarmPlan } from './warm-report.ts'

export interface WarmOptions {
  targets: readonly string[]
  strategy?: Strategy
  ids?: readonly Id[]
  critical?: boolean
  missing?: boolean
  refresh?: boolean
  limit?: number
  /** ISO 8601, UTC */
  since?: string
  tenant?: string
  concurrency: number
  batch: number
  rate?: number
  ifLocked: 'fail' | 'skip' | 'wait'
  dryRun: boolean
}

interface Choice {
  model: ResolvedModel
  ids: readonly Id[] | null
  tenant: string | null
}

export function planWarm(config: ResolvedConfig, options: WarmOptions, nowMs: number): WarmPlan {
  refuseContradictions(options)
  const { chosen, notWarmed } = choose(config, options)
  const models = chosen.map((choice) => planModel(choice, options, nowMs))
  if (options.ids && models.length !== 1) {
    throw new CachectlError('USAGE', '--ids needs exactly one model', {
      hint: 'name it: cachectl warm product --ids 1,2',
    })
  }
  return { models, notWarmed }
}

function refuseContradictions(options: WarmOptions): void {
  if (options.missing && options.refresh) {
    throw new CachectlError('USAGE', '--missing and --refresh exclude each other', {
      hint: 'without both, what is older than its row is replaced',
    })
  }
  if (options.ids && options.strategy && options.strategy !== 'ids') {
    throw new CachectlError('USAGE', `--ids goes with --strategy ids, not ${options.strategy}`)
  }
  if (options.strategy === 'ids' && !options.ids) {
    throw new CachectlError('USAGE', '--strategy ids needs --ids', {
      hint: 'give ids, a file, or - for standard input',
    })
  }
}

function choose(config: ResolvedConfig, options: WarmOptions): { chosen: Choice[]; notWarmed: WarmPlan['notWarmed'] } {
  const notWarmed: { model: string; reason: string }[] = []
  const all = Object.values(config.models)
  const tenant = options.tenant ?? null
  if (tenant !== null && config.tenantLabel === null)
    throw new CachectlError('USAGE', 'the config has no tenants, so --tenant means nothing')
  const chosen =
    options.targets.length > 0
      ? fromTargets(config, options.targets, tenant)
      : all.map((model) => ({ model, ids: null, tenant }))
  const explicit = options.targets.length > 0
  const taken = chosen.filter(({ model }) => {
    const reason = reasonToLeave(model, options, explicit)
    if (reason) notWarmed.push({ model: model.name, reason })
    return reason === null
  })
  return { chosen: taken, notWarmed }
}

function reasonToLeave(model: ResolvedModel, options: WarmOptions, explicit: boolean): string | null {
  if (!model.enabled) return 'enabled: false'
  if (!model.source) return 'no source'
  if (options.critical) return model.critical ? null : 'not critical'
  if (!explicit && !options.strategy && !options.ids && !model.warm) return 'no warm block'
  if (options.tenant !== undefined && !model.tenant) return 'has no tenants'
  return null
}

function fromTargets(config: ResolvedConfig, targets: readonly string[], tenant: string | null): Choice[] {
  const chosen = new Map<string, Choice>()
  const models = Object.values(config.models)
  const add = (model: ResolvedModel, ids: readonly Id[] | null, ofTenant: string | null) => {
    if (tenant !== null && ofTenant !== tenant)
      throw new CachectlError('USAGE', `tenant:${ofTenant} and --tenant ${tenant} name two tenants`)
    const scope = `${model.name}\n${ofTenant ?? ''}`
    const known = chosen.get(scope)
    if (known) known.ids = known.ids && ids ? [...known.ids, ...ids] : null
    else chosen.set(scope, { model, ids, tenant: ofTenant })
  }
  const named = (model: ResolvedModel, ids: readonly Id[] | null) => {
    if (tenant !== null && !model.tenant)
      throw new CachectlError('USAGE', `${model.name} has no tenants, so --tenant means nothing for it`)
    add(model, ids, tenant)
  }
  for (const text of targets) {
    const target = parseTarget(text, config)
    if (target.kind === 'model') {
      named(config.models[target.model] as ResolvedModel, target.id === null ? null : [target.id])
    } else if (target.kind === 'namespace') {
      const inside = models.filter((model) => model.namespace === target.namespace)
      if (inside.length === 0)
        throw new CachectlError('USAGE', `no model keeps its entries in namespace ${target.namespace}`)
      for (const model of inside) named(model, null)
    } else if (target.kind === 'tenant') {
      for (const model of models.filter((model) => model.tenant)) add(model, null, target.tenant)
    } else if (target.kind === 'all') {
      for (const model of models) add(model, null, tenant)
    } else {
      throw new CachectlError('USAGE', `warm takes models, namespaces, tenants or all, not ${text}`, {
        hint: 'a pattern or key does not say where its rows come from',
      })
    }
  }
  return [...chosen.values()]
}

function planModel(choice: Choice, options: WarmOptions, nowMs: number): ModelPlan {
  const { model } = choice
  if (!model.source) throw new CachectlError('SOURCE_INVALID', `${model.name} has no source to warm from`)
  const named = options.ids || choice.ids ? [...(choice.ids ?? []), ...(options.ids ?? [])] : null
  const limit = options.limit ?? Number.POSITIVE_INFINITY
  const ids = uniqueIds(named ?? (options.strategy ? null : (model.warm?.ids ?? null)))?.slice(0, limit) ?? null
  const strategy: Strategy = ids ? 'ids' : (options.strategy ?? model.warm?.strategy ?? 'all')
  if (!model.source.strategies.includes(strategy)) {
    throw new CachectlError(
      'USAGE',
      `the ${model.source.kind} source of ${model.name} cannot do strategy ${strategy}`,
      {
        hint: `it can do: ${model.source.strategies.join(', ')}`,
      },
    )
  }
  const unbounded = options.strategy === 'all' || strategy === 'ids'
  const sinceMs = unbounded ? null : (model.warm?.sinceMs ?? null)
  return {
    model,
    strategy,
    ids,
    limit: options.limit ?? (unbounded ? null : (model.warm?.limit ?? null)),
    since: options.since ?? (sinceMs === null ? null : new Date(nowMs - sinceMs).toISOString()),
    tenant: model.tenant ? choice.tenant : null,
    lists: strategy !== 'ids' && model.lists.length > 0,
  }
}

/** 42 and '42' are one id. */
function uniqueIds(ids: readonly Id[] | null): Id[] | null {
  return ids && [...new Map(ids.map((id) => [String(id), id])).values()]
}
