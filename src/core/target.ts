// What a command is aimed at: `product`, `product:42`, `namespace:detail`, `tenant:7`, `pattern:…`, `all`. One grammar for every verb.
import { type DeclaredCache, dependentSubjects, own } from './declared.ts'
import { CachectlError } from './errors.ts'
import type { ParsedKey } from './key.ts'
import { nearest } from './nearest.ts'
import { assertPattern, compileGlob } from './pattern.ts'
import { printable, unprintable } from './printable.ts'

/** Words that begin a target; no model, namespace or tenant label may be called so. */
export const TARGET_WORDS = ['model', 'namespace', 'subject', 'tag', 'tenant', 'pattern', 'key', 'all'] as const

export type Target = { readonly text: string } & (
  | { readonly kind: 'all' }
  | {
      readonly kind: 'model'
      readonly model: string
      readonly id: string | null
      readonly subject: string
      readonly namespace: string
      readonly dependants: ReadonlySet<string>
    }
  | { readonly kind: 'namespace'; readonly namespace: string }
  /** `subjects`: a name without `@` is also that of a function */
  | { readonly kind: 'subject'; readonly subjects: readonly string[]; readonly rest: string | null }
  | { readonly kind: 'tag'; readonly tag: string }
  | { readonly kind: 'tenant'; readonly tenant: string }
  | { readonly kind: 'pattern'; readonly pattern: string; readonly matches: (key: Uint8Array | string) => boolean }
  | { readonly kind: 'key'; readonly key: Uint8Array }
)

/** What is known of a key when it is asked whether it is meant. */
export interface TargetKey {
  bytes: Uint8Array
  /** null: no key of the config's scheme */
  parsed: ParsedKey | null
  /** the key without its generation tokens; null where it has none */
  plain: string | null
  /** of a key that a raw namespace declares */
  raw?: { namespace: string; subject: string | null; tenant: string | null; rest: string | null } | null
}

/**
 * Reads one target.
 * @throws CachectlError USAGE for what the grammar or the config does not know, with what was probably meant; PATTERN_INVALID
 */
export function parseTarget(text: string, cache: DeclaredCache | null): Target {
  if (text === '') throw usage('an empty target', 'name a model, `namespace:…`, `pattern:…` or `all`')
  if (text === 'all') return { kind: 'all', text }
  const colon = text.indexOf(':')
  const word = colon < 0 ? text : text.slice(0, colon)
  const value = colon < 0 ? '' : text.slice(colon + 1)
  if (word === 'pattern' && colon > 0) return patternTarget(text, value)
  if (word === 'key' && colon > 0) return { kind: 'key', text, key: unprintable(nonEmpty(text, value)) }
  if (!(TARGET_WORDS as readonly string[]).includes(word) || colon < 0) return shortTarget(text, cache)

  nonEmpty(text, value)
  const known = declared(text, cache)
  switch (word) {
    case 'model':
      return modelTarget(text, value, known)
    case 'namespace':
      if (own(known.namespaces, value) === undefined) throw unknownName('namespace', value, known, text)
      return { kind: 'namespace', text, namespace: value }
    case 'subject':
      return subjectTarget(text, value)
    case 'tenant':
      if (known.tenantLabel === null)
        throw usage(
          `the config has no tenants, so \`${printable(text)}\` means nothing`,
          'set `tenant: { label: … }` in the config',
        )
      return { kind: 'tenant', text, tenant: value }
    case 'tag':
      return { kind: 'tag', text, tag: value }
    default:
      throw usage(`\`all\` stands alone, not \`${printable(text)}\``)
  }
}

/** Whether the key is meant. @throws CachectlError USAGE for tags, which only the entries themselves know */
export function matchesTarget(target: Target, key: TargetKey): boolean {
  const { parsed, raw = null } = key
  switch (target.kind) {
    case 'all':
      return true
    case 'pattern':
      return target.matches(key.plain ?? key.bytes)
    case 'key':
      // As it is, or without the tokens of its generations.
      return (
        Buffer.compare(target.key, key.bytes) === 0 ||
        (key.plain !== null && Buffer.compare(target.key, Buffer.from(key.plain)) === 0)
      )
    case 'namespace':
      return (parsed ?? raw)?.namespace === target.namespace
    case 'subject': {
      const { subject = null } = parsed ?? raw ?? {}
      if (subject === null || !target.subjects.includes(subject)) return false
      return target.rest === null || (parsed === null ? raw?.rest : parsed.rest.join(':')) === target.rest
    }
    case 'tenant':
      return (parsed ?? raw)?.tenant === target.tenant
    case 'model':
      return parsed !== null && matchesModel(target, parsed)
    case 'tag':
      throw usage(
        `\`${printable(target.text)}\`: tags are in the entries, not in their keys`,
        'name the model or the namespace instead',
      )
  }
}

function matchesModel(target: Target & { kind: 'model' }, parsed: ParsedKey): boolean {
  if (target.id === null || parsed.subject !== target.subject) return target.dependants.has(parsed.subject)
  // Of the model's own keys: the row's entry, and every list and count, because any of them may show the row.
  return parsed.namespace !== target.namespace || (parsed.rest.length === 1 && parsed.rest[0] === target.id)
}

function shortTarget(text: string, cache: DeclaredCache | null): Target {
  if (/[*?[]/.test(text)) {
    throw usage(`\`${printable(text)}\` looks like a pattern`, `write pattern:${quoted(text)}`)
  }
  const colon = text.indexOf(':')
  const name = colon < 0 ? text : text.slice(0, colon)
  if (cache !== null && cache.tenantLabel !== null && name === cache.tenantLabel && colon > 0) {
    return { kind: 'tenant', text, tenant: nonEmpty(text, text.slice(colon + 1)) }
  }
  return modelTarget(text, text, declared(text, cache))
}

function modelTarget(text: string, value: string, cache: DeclaredCache): Target {
  const colon = value.indexOf(':')
  const name = colon < 0 ? value : value.slice(0, colon)
  const model = own(cache.models, name)
  if (model === undefined) throw unknownName('model', name, cache, text)
  const id = colon < 0 ? null : nonEmpty(text, value.slice(colon + 1))
  return {
    kind: 'model',
    text,
    model: name,
    id,
    subject: model.subject,
    namespace: model.namespace,
    dependants: dependentSubjects(cache, model),
  }
}

function subjectTarget(text: string, value: string): Target {
  const colon = value.indexOf(':')
  const subject = colon < 0 ? value : nonEmpty(text, value.slice(0, colon))
  return {
    kind: 'subject',
    text,
    subjects: subject.startsWith('@') ? [subject] : [subject, `@fn.${subject}`],
    rest: colon < 0 ? null : nonEmpty(text, value.slice(colon + 1)),
  }
}

function patternTarget(text: string, pattern: string): Target {
  assertPattern(pattern)
  return { kind: 'pattern', text, pattern, matches: compileGlob(pattern) }
}

function nonEmpty(text: string, value: string): string {
  if (value === '') throw usage(`\`${printable(text)}\` names nothing behind the colon`)
  return value
}

function declared(text: string, cache: DeclaredCache | null): DeclaredCache {
  if (cache !== null) return cache
  throw new CachectlError('CONFIG_NOT_FOUND', `\`${printable(text)}\` is a name out of a config, and there is none`, {
    hint: `without a config use pattern:${quoted(`${text.replace(/^[a-z]+:/, '')}*`)}, key:… or all; or name the config with --config`,
  })
}

function unknownName(kind: 'model' | 'namespace', name: string, cache: DeclaredCache, text: string): CachectlError {
  const models = Object.keys(cache.models)
  const namespaces = Object.keys(cache.namespaces)
  const model = nearest(name, models)
  const namespace = nearest(name, namespaces)
  const near = [...(model === null ? [] : [model]), ...(namespace === null ? [] : [`namespace:${namespace}`])]
  if (kind === 'namespace') near.reverse()
  const names = kind === 'model' ? models : namespaces
  const hint =
    near.length > 0
      ? `did you mean ${near.map((form) => `\`${form}\``).join(' or ')}?`
      : `the config has: ${names.slice(0, 20).join(', ') || `no ${kind}s`}`
  const where = text === name ? '' : ` (in \`${printable(text)}\`)`
  return usage(`the config has no ${kind} called \`${printable(name)}\`${where}`, hint)
}

/** For a hint that is to be typed: in quotes that no shell looks into. */
function quoted(text: string): string {
  return `'${printable(text).replaceAll("'", "'\\''")}'`
}

function usage(message: string, hint?: string): CachectlError {
  return new CachectlError('USAGE', message, { hint })
}
