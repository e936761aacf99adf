// The scopes of generations as commands name them: `global`, `namespace:list`, `model:product`, `subject:@fn.x`, `tenant:7`.
import type { ResolvedConfig } from '../config/resolved.ts'
import { own } from '../core/declared.ts'
import { CachectlError } from '../core/errors.ts'
import type { Scope } from '../core/key.ts'
import { printable } from '../core/printable.ts'
import { parseTarget, type Target } from '../core/target.ts'

/** What can be bumped and shown: everything, or a whole namespace, model, subject or tenant. */
export type VersionTarget = { readonly kind: 'global'; readonly text: string } | (Target & { kind: ScopedKind })
type ScopedKind = 'namespace' | 'model' | 'subject' | 'tenant'

export const VERSION_FORMS = 'global, namespace:<name>, model:<name>, subject:<name> or tenant:<id>'

/** @throws CachectlError USAGE for what is not one of these as a whole */
export function parseVersionTarget(text: string, config: ResolvedConfig): VersionTarget {
  if (text === 'global') return { kind: 'global', text }
  if (text === 'all') throw usage('`all` has no generation', 'write `global`: the generation of every key')
  const target = parseTarget(text, config)
  const shown = `\`${printable(text)}\``
  switch (target.kind) {
    case 'namespace':
    case 'tenant':
      return target
    case 'model':
      if (target.id === null) return target
      throw usage(
        `${shown} is a row, and generations are of whole models`,
        `cachectl invalidate '${printable(text)}' is for a row`,
      )
    case 'subject':
      if (target.rest === null) return target
      throw usage(
        `${shown} is one entry, and generations are of whole subjects`,
        `cachectl invalidate '${printable(text)}' is for an entry`,
      )
    default:
      throw usage(`${shown} has no generation`, `generations are of ${VERSION_FORMS}`)
  }
}

/** How a scope is named, and of which tenant it is. */
export interface ScopeName {
  scope: string
  tenant: string | null
}

export function scopeNameOf(scope: Scope, { models }: Pick<ResolvedConfig, 'models'>): ScopeName {
  const named = (subject: string) => {
    const model = Object.values(models).find((candidate) => candidate.subject === subject)
    return model === undefined ? `subject:${printable(subject)}` : `model:${printable(model.name)}`
  }
  switch (scope.kind) {
    case 'global':
      return { scope: 'global', tenant: null }
    case 'namespace':
      return { scope: `namespace:${printable(scope.namespace)}`, tenant: null }
    case 'subject':
      return { scope: named(scope.subject), tenant: null }
    case 'tenant':
      return { scope: `tenant:${printable(scope.tenant)}`, tenant: printable(scope.tenant) }
    case 'tenant-subject':
      return { scope: named(scope.subject), tenant: printable(scope.tenant) }
  }
}

/** The scopes that a target is shown by. With a tenant: that tenant's. */
export function scopesOf(target: VersionTarget, tenant: string | null): Scope[] {
  const ofSubject = (subject: string): Scope =>
    tenant === null ? { kind: 'subject', subject } : { kind: 'tenant-subject', tenant, subject }
  switch (target.kind) {
    case 'global':
      return [{ kind: 'global' }]
    case 'namespace':
      return [{ kind: 'namespace', namespace: target.namespace }]
    case 'model':
      return [ofSubject(target.subject)]
    case 'subject':
      return target.subjects.map(ofSubject)
    case 'tenant':
      return [{ kind: 'tenant', tenant: target.tenant }]
  }
}

/** @throws CachectlError USAGE where the target cannot be that of one tenant */
export function checkTenant(target: VersionTarget, tenant: string | null, config: ResolvedConfig): void {
  if (tenant === null) return
  const shown = printable(tenant)
  if (target.kind === 'global') throw usage('`global` is of all tenants', `write tenant:${shown} for one of them`)
  if (target.kind === 'namespace')
    throw usage('a namespace cannot be bumped for one tenant', `bump tenant:${shown}, or a model or subject of it`)
  if (target.kind === 'tenant' && target.tenant !== tenant)
    throw usage(`\`${printable(target.text)}\` and --tenant ${shown} are two tenants`, 'name one of them')
  if (target.kind === 'model' && own(config.models, target.model)?.tenant === false)
    throw usage(`${printable(target.model)} has no tenants`, 'leave --tenant out: its entries are the same for all')
}

function usage(message: string, hint: string): CachectlError {
  return new CachectlError('USAGE', message, { hint })
}
