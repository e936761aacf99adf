// What `cache.invalidate` can be aimed at, and the change that each is.
import { CachectlError } from '../core/errors.ts'
import { createKeys, idText, type Scope, scopeField } from '../core/key.ts'
import { assertPattern } from '../core/pattern.ts'
import { printable } from '../core/printable.ts'
import type { Change, Kernel } from './kernel.ts'
import { namespaceOf, stampsOf } from './policy.ts'

/** One of these. In a tenant's handle each is that tenant's. */
export type InvalidationTarget<Model extends string = string, Namespace extends string = string> =
  | { key: string }
  | { tag: string | readonly string[] }
  | { model: Model; id?: string | number | bigint }
  | { tenant: string }
  | { namespace: Namespace }
  | { subject: string }
  /** a glob on keys without generation tokens */
  | { pattern: string }

/** The change of every target but a model's. @throws CachectlError USAGE */
export function changeOf(
  kernel: Kernel,
  target: Exclude<InvalidationTarget, { model: string }>,
  tenant: string | null,
): Change {
  if ('tag' in target) return { stamps: tagStamps(target.tag, tenant) }
  if ('pattern' in target) {
    assertPattern(textOf(target.pattern, 'pattern'))
    return { pattern: { glob: target.pattern, tenant } }
  }
  if ('key' in target) return keyChange(kernel, textOf(target.key, 'key'), tenant)
  const scope = scopeOf(kernel, target, tenant)
  // Refused at once, whether Redis is there or not.
  scopeField(scope)
  return { scopes: [scope] }
}

/** Of more tags than one entry has, too. */
function tagStamps(tag: string | readonly string[], tenant: string | null): string[] {
  if (!Array.isArray(tag)) return stampsOf([tag as string], tenant)
  return tag.flatMap((one) => stampsOf([one], tenant))
}

function textOf(given: unknown, what: string): string {
  if (typeof given === 'string') return given
  throw new CachectlError('USAGE', `the ${what} to invalidate is no text`)
}

function scopeOf(
  kernel: Kernel,
  target: { tenant: string } | { namespace: string } | { subject: string },
  tenant: string | null,
): Scope {
  if ('tenant' in target) {
    const named = idText(target.tenant)
    if (tenant !== null && named !== tenant)
      throw new CachectlError('USAGE', `tenant ${printable(named)} is not the one of this handle`)
    return { kind: 'tenant', tenant: named }
  }
  if ('subject' in target) {
    const subject = textOf(target.subject, 'subject')
    return tenant === null ? { kind: 'subject', subject } : { kind: 'tenant-subject', tenant, subject }
  }
  if (tenant !== null)
    throw new CachectlError('USAGE', 'a namespace cannot be invalidated for one tenant', {
      hint: 'invalidate the tenant, or a model or subject of it',
    })
  return { kind: 'namespace', namespace: namespaceOf(kernel.config, target.namespace).name }
}

function keyChange(kernel: Kernel, key: string, tenant: string | null): Change {
  const { prefix, tenantLabel } = kernel.config
  const parsed = createKeys({ prefix, tenantLabel }).parse(key)
  if (parsed === null)
    throw new CachectlError('USAGE', `${printable(key)} is no key of this cache`, {
      hint: 'give what `cache.key(…)` gives; for other keys there is `pattern`',
    })
  if (tenant !== null && parsed.tenant !== tenant)
    throw new CachectlError('USAGE', `${printable(key)} is not of tenant ${printable(tenant)}`)
  // Of a key that stands for a long one only the text is known.
  if (parsed.digest !== null)
    return {
      pattern: {
        glob: createKeys({ prefix, tenantLabel })
          .plain(parsed)
          .replace(/[*?[\]\\]/g, '\\$&'),
        tenant,
      },
    }
  const { namespace, subject, version, rest } = parsed
  return { entries: [{ namespace, subject, version, tenant: parsed.tenant, rest }], fences: [subject] }
}
