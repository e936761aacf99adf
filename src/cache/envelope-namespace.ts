// Namespaces whose entries are ours: what functions, methods and fragments write stands in an envelope.
import type { ResolvedConfig, ResolvedNamespace } from '../config/resolved.ts'
import { CachectlError } from '../core/errors.ts'
import { namespaceOf } from './policy.ts'

/** @throws CachectlError USAGE for a namespace that is not declared, or is written by other software */
export function envelopeNamespace(config: ResolvedConfig, name: string): ResolvedNamespace {
  const namespace = namespaceOf(config, name)
  if (namespace.format === 'envelope') return namespace
  throw new CachectlError('USAGE', `the namespace \`${name}\` is raw, and holds only what other software writes`, {
    hint: 'take another namespace for functions, methods and fragments',
  })
}
