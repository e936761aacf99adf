// What the parts of one model's cache share: the model, the tenant of the call, the policies of its entries, its rows from the source.
import type { ResolvedConfig, ResolvedModel } from '../config/resolved.ts'
import { CachectlError } from '../core/errors.ts'
import { idText } from '../core/key.ts'
import { asSourceError } from '../core/source-failure.ts'
import type { Id, Row, Source, SourceRow } from '../ports.ts'
import type { Kernel, Policy } from './kernel.ts'
import { namespaceOf, policyOf } from './policy.ts'
import type { Surface } from './surface.ts'

export interface ModelContext {
  readonly model: ResolvedModel
  readonly config: ResolvedConfig
  readonly kernel: Kernel
  /** of the call; null of a model without tenants. @throws CachectlError KEY_INVALID for a tenant's model without tenant */
  tenant(): string | null
  /** of the call, whatever the model is */
  handleTenant(): string | null
}

export function createModelContext(surface: Surface, model: ResolvedModel): ModelContext {
  return {
    model,
    config: surface.kernel.config,
    kernel: surface.kernel,
    handleTenant: () => surface.tenant(),
    tenant() {
      if (!model.tenant) return null
      const tenant = surface.tenant()
      if (tenant !== null) return tenant
      throw new CachectlError('KEY_INVALID', `rows of ${model.name} belong to tenants, and this call has none`, {
        hint: `write cache.tenant(id).model('${model.name}'), or run the work in cache.runWithTenant(id, …)`,
      })
    },
  }
}

/** The policy of entries in this namespace that hold these stamps; remembered, because nothing of it changes. */
export function createPolicies(
  { config, model }: Pick<ModelContext, 'config' | 'model'>,
  namespace: string,
  own: boolean,
  stampsOf: (tenant: string | null) => readonly string[],
): (tenant: string | null) => Policy {
  const known = new Map<string | null, Policy>()
  return (tenant) => {
    const found = known.get(tenant)
    if (found !== undefined) return found
    const base = policyOf(namespaceOf(config, namespace), {}, null, own ? model : undefined)
    const policy: Policy = { ...base, ...(own ? ttlOf(model) : {}), stamps: stampsOf(tenant) }
    if (known.size >= POLICIES_KEPT) known.clear()
    known.set(tenant, policy)
    return policy
  }
}

const POLICIES_KEPT = 10_000

/** With a function of the row nobody knows it before the load: stamps then live without end. */
function ttlOf({ ttl }: ResolvedModel): Partial<Policy> {
  if (ttl === undefined) return {}
  return { ttlMs: typeof ttl === 'function' ? null : ttl }
}

/** @throws CachectlError SOURCE_INVALID where the model's source cannot do it, USAGE where it has none */
export function sourceWith<Part extends 'load' | 'list' | 'count'>(
  { name, source }: ResolvedModel,
  part: Part,
): Source & Required<Pick<Source, Part>> {
  if (source === null)
    throw new CachectlError('USAGE', `${name} has no source (\`source: null\`): only what the application set is there`)
  if (source[part] === undefined)
    throw new CachectlError('SOURCE_INVALID', `the source of ${name} (${source.kind}) has no \`${part}\``, {
      hint: WANTED[part],
    })
  return source as never
}

const WANTED = {
  load: 'give it one that loads rows by their ids: sql({ … }), or fn({ load: (ids) => … })',
  list: 'give it one that lists rows: sql({ … }), or fn({ list: (query) => … })',
  count: 'give it one that counts rows: sql({ … }), or fn({ count: (query) => … })',
} as const

export function withTenant(tenant: string | null): { tenant?: string } {
  return tenant === null ? {} : { tenant }
}

/** What the key of the row's detail entry ends with. @throws CachectlError KEY_INVALID */
export function keyTextOf(model: ResolvedModel, { id, row }: Pick<SourceRow, 'id' | 'row'>): string {
  return idText(model.key ? model.key(row) : id)
}

/** @throws CachectlError KEY_INVALID where the row does not say its id */
export function identify(model: ResolvedModel, row: Row): { id: Id; tenant: string | null } {
  const known = model.source?.identify?.(row)
  if (known !== undefined) return known
  const { id } = row
  if (typeof id === 'string' || typeof id === 'number' || typeof id === 'bigint') return { id, tenant: null }
  throw new CachectlError('KEY_INVALID', `a row of ${model.name} has no id`, {
    hint: 'give the row with its id, or the id alone',
  })
}

/** @throws CachectlError SOURCE_FAILED, SOURCE_INVALID */
export async function loadById(
  { model }: Pick<ModelContext, 'model'>,
  texts: readonly string[],
  tenant: string | null,
  signal: AbortSignal,
): Promise<readonly SourceRow[]> {
  const source = sourceWith(model, 'load')
  if (model.key && source.kind === 'sql') {
    throw new CachectlError(
      'SOURCE_INVALID',
      `entries of ${model.name} are under what its \`key\` gives, and a sql source finds rows by its id column`,
      {
        hint: "make the column of the key the source's `id` and leave `key` out, or fill the entries with warm or set",
      },
    )
  }
  try {
    return await source.load(texts, { signal, ...withTenant(tenant) })
  } catch (thrown) {
    throw asSourceError(model.name, thrown)
  }
}
