// Which generation of a key is over: its token, at the place of some scope, is not the one that is current.
import { type Generations, type ParsedKey, type Scope, tenantSubjectScope } from './key.ts'

/** Keys with this token, at the place of this scope, are out of reach. */
export interface Generation {
  scope: Scope
  /** null: that of keys without token, before the first bump */
  token: string | null
}

/** The generations that a key is of: of the widest scope first. Those of tenants only where it has one. */
export function generationsOf({ namespace, subject, tenant, tokens }: ParsedKey): Generation[] {
  const wide: Generation[] = [
    { scope: { kind: 'global' }, token: tokens.global },
    { scope: { kind: 'namespace', namespace }, token: tokens.namespace },
    { scope: { kind: 'subject', subject }, token: tokens.subject },
  ]
  if (tenant === null) return wide
  return [
    ...wide,
    { scope: { kind: 'tenant', tenant }, token: tokens.tenant },
    { scope: { kind: 'tenant-subject', tenant, subject }, token: tokens.tenantSubject },
  ]
}

/** The current token of a scope; null: it was never bumped. */
export function currentToken(scope: Scope, generations: Generations): string | null {
  switch (scope.kind) {
    case 'global':
      return generations.global
    case 'namespace':
      return generations.namespaces.get(scope.namespace) ?? null
    case 'subject':
      return generations.subjects.get(scope.subject) ?? null
    case 'tenant':
      return generations.tenants.get(scope.tenant) ?? null
    case 'tenant-subject':
      return generations.tenantSubjects.get(tenantSubjectScope(scope.tenant, scope.subject)) ?? null
  }
}

/** The generation that makes the key unreachable, of the widest scope; null: it is of the current ones. */
export function deadGenerationOf(parsed: ParsedKey, generations: Generations): Generation | null {
  return generationsOf(parsed).find(({ scope, token }) => token !== currentToken(scope, generations)) ?? null
}
