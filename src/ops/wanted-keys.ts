// Which keys of a walk the targets mean.
import type { ResolvedConfig } from '../config/resolved.ts'
import { startsWith } from '../core/bytes.ts'
import { createKeys, isControlKey } from '../core/key.ts'
import { compileRawKey } from '../core/raw-key.ts'
import { matchesTarget, type Target, type TargetKey } from '../core/target.ts'

const TILDE = 126

/**
 * Null: every key, because nothing was named. `all` of a config is everything under its prefix. Control data is never meant.
 * With a tenant, of all these only the tenant's own.
 */
export function wantedKeys(
  targets: readonly Target[],
  config: ResolvedConfig | null,
  tenant: string | null,
): ((key: Buffer) => boolean) | null {
  if (targets.length === 0 && tenant === null) return null
  if (config === null)
    return (key) => targets.some((target) => matchesTarget(target, { bytes: key, parsed: null, plain: null }))
  const keys = createKeys({ prefix: config.prefix, tenantLabel: config.tenantLabel })
  const prefix = Buffer.from(`${config.prefix}:`)
  const needsPlain = targets.some(({ kind }) => kind === 'pattern' || kind === 'key')
  const readsParts =
    tenant !== null || targets.some(({ kind }) => kind !== 'pattern' && kind !== 'all' && kind !== 'key')
  const rawOf = rawReader(config)
  return (key) => {
    if (isControlKey(config.prefix, key)) return false
    const within = startsWith(key, prefix)
    // Parsing is what a walk takes most of its time for: a key without a token is its own plain form.
    const parsed = within && (readsParts || (needsPlain && key.includes(TILDE))) ? keys.parse(key) : null
    const raw = parsed === null && readsParts ? rawOf(key) : null
    if (tenant !== null && (parsed ?? raw)?.tenant !== tenant) return false
    if (targets.length === 0) return true
    const plain = parsed !== null && needsPlain ? keys.plain(parsed) : null
    return targets.some((target) =>
      target.kind === 'all' ? within : matchesTarget(target, { bytes: key, parsed, plain, raw }),
    )
  }
}

/** What a raw namespace of the config says of a key; null where none declares it. */
export function rawReader(config: ResolvedConfig): (key: Buffer) => NonNullable<TargetKey['raw']> | null {
  const readers = Object.values(config.namespaces).flatMap(({ name, keyPattern }) =>
    keyPattern === null ? [] : [{ namespace: name, read: compileRawKey(keyPattern) }],
  )
  return (key) => {
    for (const { namespace, read } of readers) {
      const found = read(key)
      if (found !== null) return { namespace, subject: found.subject, tenant: found.tenant, rest: found.rest }
    }
    return null
  }
}
