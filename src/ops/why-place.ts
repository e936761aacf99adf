// What a key says of itself by the config's scheme, and how long the config lets it live.
import type { ResolvedConfig } from '../config/resolved.ts'
import { declarationOf, own } from '../core/declared.ts'
import { type ConfiguredLife, configuredLife } from '../core/expiry.ts'
import type { ParsedKey } from '../core/key.ts'
import { compileRawKey } from '../core/raw-key.ts'

export interface Belonging {
  namespace: string
  subject: string | null
  model: string | null
  version: string | null
  tenant: string | null
  rest: string[]
  /** stands in the key in place of a rest that was too long */
  digest: string | null
  /** namespace and subject are in the config, or the namespace is and live processes read the subject in the last hour */
  declared: boolean
  /** written by other software */
  raw: boolean
  /** its model names entries by a `key` of their rows, not by their id */
  keyedByRow: boolean
  life: ConfiguredLife
}

export function belongingOf(config: ResolvedConfig, bytes: Buffer, parsed: ParsedKey | null): Belonging | null {
  if (parsed !== null) {
    const { namespace, subject, version, tenant, rest, digest } = parsed
    const found = Object.values(config.models).find((candidate) => candidate.subject === subject)
    const model = found?.name ?? null
    const keyedByRow = found !== undefined && found.key !== null && found.namespace === namespace
    const { declared } = declarationOf(config, namespace, subject)
    const raw = own(config.namespaces, namespace)?.format === 'raw'
    const life = configuredLife(config, namespace, subject)
    return { namespace, subject, model, version, tenant, rest: [...rest], digest, declared, raw, keyedByRow, life }
  }
  for (const { name, format, keyPattern } of Object.values(config.namespaces)) {
    const parts = format === 'raw' && keyPattern !== null ? compileRawKey(keyPattern)(bytes) : null
    if (parts === null) continue
    const { subject, version, tenant, rest } = parts
    const life = configuredLife(config, name, subject)
    const place = { namespace: name, subject, model: null, version, tenant, rest: rest === null ? [] : [rest] }
    return { ...place, digest: null, declared: true, raw: true, keyedByRow: false, life }
  }
  return null
}

/** `detail:product` */
export function placeText({ namespace, subject }: Belonging): string {
  return subject === null ? namespace : `${namespace}:${subject}`
}
