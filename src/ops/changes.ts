// What targets come to: what is invalidated at once (generations, stamps, entries by name), and whose keys are found by a walk.
import type { Change, Place } from '../cache/kernel.ts'
import { modelChange, rowsChange } from '../cache/model-changes.ts'
import { patternsOverlap } from '../config/overlap.ts'
import type { ResolvedConfig } from '../config/resolved.ts'
import { startsWith } from '../core/bytes.ts'
import { own } from '../core/declared.ts'
import { CachectlError } from '../core/errors.ts'
import { createKeys, type Scope, stampName } from '../core/key.ts'
import { knownShapeOf } from '../core/known-shapes.ts'
import { compileGlob, escapeGlob } from '../core/pattern.ts'
import { printable } from '../core/printable.ts'
import type { Target } from '../core/target.ts'
import { rawReader, wantedKeys } from './wanted-keys.ts'

export interface Aim {
  targets: readonly Target[]
  /** entries of this tenant only; null: of all */
  tenant: string | null
  /** patterns reach keys outside the prefix */
  foreign: boolean
}

export type Decide = (key: Buffer) => 'pass' | 'protect' | 'act'

/** How the targets are invalidated. */
export interface Course {
  /** done at once; null: nothing can be */
  change: Change | null
  /** out of reach by the change; their keys are swept behind it */
  swept: readonly Target[]
  /** gone when a walk has deleted them by name */
  walked: readonly Target[]
  /** why something is not done at once */
  notes: readonly string[]
}

/**
 * Whether a key is meant: under the prefix, or of a raw namespace (or anywhere, with `foreign`), of a target, of the tenant; never control data. Spared where
 * `protect` of the config matches it, or, outside the prefix, where it looks like a key of a queue, session or lock.
 */
export function decideFor(aim: Aim, config: ResolvedConfig | null): Decide {
  const { targets, tenant } = aim
  const byKey = targets.filter((target) => target.kind !== 'tag')
  const wanted = byKey.length === 0 ? () => false : (wantedKeys(byKey, config, tenant) as (key: Buffer) => boolean)
  // Which entries have a tag stands in the entries.
  const mayHaveTag = byKey.length === targets.length ? null : wantedKeys([{ kind: 'all', text: 'all' }], config, tenant)
  const isMeant = (key: Buffer): boolean => wanted(key) || (mayHaveTag?.(key) ?? false)
  if (config === null) return (key) => (!isMeant(key) ? 'pass' : knownShapeOf(key) === null ? 'act' : 'protect')
  const spared = config.protect.map((pattern) => compileGlob(pattern))
  const prefix = Buffer.from(`${config.prefix}:`)
  const rawOf = rawReader(config)
  const keys = createKeys({ prefix: config.prefix, tenantLabel: config.tenantLabel })
  const isSpared = (key: Buffer): boolean => {
    const parsed = keys.parse(key)
    const plain = parsed === null ? key : keys.plain(parsed)
    return spared.some((matches) => matches(plain))
  }
  return (key) => {
    if (!isMeant(key)) return 'pass'
    const isOurs = startsWith(key, prefix) || rawOf(key) !== null
    if (!isOurs && !aim.foreign) return 'pass'
    if (spared.length > 0 && isSpared(key)) return 'protect'
    return isOurs || knownShapeOf(key) === null ? 'act' : 'protect'
  }
}

/** @throws CachectlError USAGE where a target cannot be what it says, REFUSED where `protect` forbids it */
export function courseOf(aim: Aim, config: ResolvedConfig): Course {
  const change: Required<Pick<Change, 'entries' | 'stamps' | 'fences' | 'scopes'>> = {
    entries: [],
    stamps: [],
    fences: [],
    scopes: [],
  }
  const swept: Target[] = []
  const walked: Target[] = []
  const notes: string[] = []
  const everything = aim.targets.find((target) => target.kind === 'all')
  for (const target of everything ? [everything] : aim.targets) {
    const part = changeOfTarget(target, aim.tenant, config)
    const protection = part === null ? null : protectionOf(target, config)
    if (protection !== null) {
      if (target.kind === 'tag')
        throw new CachectlError(
          'REFUSED',
          `\`protect\` has ${printable(protection)}, and an entry of the tag may match it`,
          {
            hint: 'a tag cannot spare single entries: name the model or namespace instead',
          },
        )
      notes.push(
        `${printable(target.text)} is deleted key by key, not at once: \`protect\` has ${printable(protection)}, which a generation cannot spare`,
      )
    }
    if (part === null || protection !== null) walked.push(target)
    else {
      swept.push(target)
      for (const field of Object.keys(change) as (keyof typeof change)[])
        (change[field] as unknown[]).push(...((part[field] as unknown[] | undefined) ?? []))
    }
  }
  return { change: swept.length === 0 ? null : change, swept, walked, notes }
}

/** Null: its keys are to be found by a walk. */
function changeOfTarget(target: Target, tenant: string | null, config: ResolvedConfig): Change | null {
  switch (target.kind) {
    case 'all':
      return { scopes: [tenant === null ? { kind: 'global' } : { kind: 'tenant', tenant }] }
    case 'tenant':
      return { scopes: [{ kind: 'tenant', tenant: target.tenant }] }
    case 'namespace': {
      const raw = own(config.namespaces, target.namespace)?.format === 'raw'
      return raw || tenant !== null ? null : { scopes: [{ kind: 'namespace', namespace: target.namespace }] }
    }
    case 'subject':
      return target.rest === null ? { scopes: target.subjects.map((subject) => subjectScope(subject, tenant)) } : null
    case 'tag':
      return { stamps: [stampName('tag', target.tag, tenant)] }
    case 'model':
      return changeOfModel(target, tenant, config)
    case 'key':
      return changeOfKey(target, tenant, config)
    case 'pattern':
      return null
  }
}

function subjectScope(subject: string, tenant: string | null): Scope {
  return tenant === null ? { kind: 'subject', subject } : { kind: 'tenant-subject', tenant, subject }
}

/** As `cache.model(name).invalidate(id)`, and `cache.invalidate({ model })`. */
function changeOfModel(target: Target & { kind: 'model' }, tenant: string | null, config: ResolvedConfig): Change {
  const model = own(config.models, target.model)
  if (model === undefined) throw new CachectlError('USAGE', `the config has no model called ${printable(target.model)}`)
  const context = {
    model,
    config,
    handleTenant: () => tenant,
    tenant() {
      if (model.tenant && tenant === null)
        throw new CachectlError('USAGE', `\`${printable(target.text)}\`: rows of ${model.name} belong to tenants`, {
          hint: `name the row's own with --${config.tenantLabel ?? 'tenant'} <id>`,
        })
      return model.tenant ? tenant : null
    },
  }
  if (target.id === null) return modelChange(context)
  const { namespace, subject, version } = model
  const placeOf = (text: string, of: string | null): Place => ({
    namespace,
    subject,
    version,
    tenant: of,
    rest: [text],
  })
  return rowsChange(context, [target.id], {}, placeOf)
}

/** In every version of the code that is registered. Null: not a key of cachectl, one of which only a digest is known, or of another tenant. */
function changeOfKey(target: Target & { kind: 'key' }, tenant: string | null, config: ResolvedConfig): Change | null {
  const parsed = createKeys({ prefix: config.prefix, tenantLabel: config.tenantLabel }).parse(target.key)
  if (parsed === null || parsed.digest !== null) return null
  // Another tenant's entry is not meant.
  if (tenant !== null && parsed.tenant !== tenant) return null
  const { namespace, subject, version, rest } = parsed
  return { entries: [{ namespace, subject, version, tenant: parsed.tenant, rest }], fences: [subject] }
}

/** The first pattern of `protect` that may match a key of the target; null: none. It is matched to keys without tokens. */
function protectionOf(target: Target, { protect, prefix, tenantLabel, models }: ResolvedConfig): string | null {
  if (protect.length === 0) return null
  const within = `${prefix}:v{version}`
  const ofSubject = (subject: string) => `${within}:{subject}:${segment(subject)}:`
  const heads = (): string[] => {
    switch (target.kind) {
      case 'namespace':
        return [`${within}:${segment(target.namespace)}:`]
      case 'subject':
        return target.subjects.map(ofSubject)
      case 'model':
        return [...target.dependants, own(models, target.model)?.subject ?? target.model].map(ofSubject)
      case 'tenant':
        return [`${within}:{subject}:{subject}:${segment(`${tenantLabel}_${target.tenant}`)}:`]
      default:
        return [`${prefix}:`]
    }
  }
  const shapes =
    target.kind === 'key'
      ? [escapeGlob(Buffer.from(target.key).toString('utf8'))]
      : heads().flatMap((head) => [head, `${head}{rest}`])
  return protect.find((pattern) => shapes.some((shape) => patternsOverlap(pattern, shape))) ?? null
}

/** As it stands in a key; what needs encoding is any text here, which only makes the test more careful. */
function segment(text: string): string {
  return /^[A-Za-z0-9@./_-]+$/.test(text) ? text : '{subject}'
}
