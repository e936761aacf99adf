// What an invalidation will do, before it does it: what at once, what by a walk, and what it will meet.
import type { ResolvedConfig } from '../config/resolved.ts'
import { startsWith } from '../core/bytes.ts'
import { CachectlError } from '../core/errors.ts'
import { createKeys, stampName } from '../core/key.ts'
import { matchesEverything } from '../core/pattern.ts'
import { printable } from '../core/printable.ts'
import type { Danger } from '../core/safeguards.ts'
import type { Target } from '../core/target.ts'
import { type Aim, type Course, courseOf, type Decide, decideFor } from './changes.ts'
import type { OperationContext } from './context.ts'
import { examineTagged } from './dead-keys.ts'
import { type Preview, preview } from './preview.ts'
import type { SweepOptions } from './sweep.ts'
import { readControl } from './version-state.ts'
import { rawReader } from './wanted-keys.ts'

export interface InvalidateOptions extends Aim {
  /** targets of tenant models mean the rows of all tenants */
  allTenants: boolean
  /** `stale`: entries are given within their grace while they are made anew; `spread`: keys end at random within a time */
  how: { kind: 'delete' } | { kind: 'stale' } | { kind: 'spread'; overMs: number }
  /** counts before it acts, to the end */
  exact: boolean
  /** looks before it acts, where it could act at once */
  look: boolean
}

export interface InvalidatePlan {
  options: InvalidateOptions
  targets: readonly string[]
  course: Course
  decide: Decide
  /** the keys, where nothing but single keys is named: then nobody walks; null otherwise */
  named: readonly Buffer[] | null
  /** null: it acts at once, and counts behind it */
  preview: Preview | null
  danger: Danger
  /** largest groups of the cache, where nothing matches */
  nearest: { group: string; keys: number }[]
}

/** @throws CachectlError USAGE, REFUSED; of Redis */
export async function planInvalidate(context: OperationContext, options: InvalidateOptions): Promise<InvalidatePlan> {
  const { config } = context
  checkAim({ ...options, byTag: options.how.kind === 'delete' }, config)
  const plain = config === null || options.how.kind !== 'delete' ? walkOf(options) : courseOf(options, config)
  const course = { ...plain, notes: [...plain.notes, ...notesOnAll(options, config)] }
  const decide = decideFor(options, config)
  const looks = options.look || course.walked.length > 0 || course.change === null
  const named = await namedKeys(context, options)
  const tagged = taggedBy(context, options)
  const found = looks ? await preview(context, { decide, ...tagged, exact: options.exact, named }) : null
  const everything = isEverything(options, config)
  return {
    options,
    targets: options.targets.map(({ text }) => printable(text)),
    course,
    decide,
    named,
    preview: found,
    danger: {
      typed: config?.prefix ?? (await context.store.identity()).endpoint,
      everything,
      production: config?.env === 'production',
      keys: found?.keys ?? null,
      share: found?.share ?? null,
    },
    nearest: found?.keys === 0 && found.protected === 0 ? await largestGroups(context) : [],
  }
}

/** Which entries have a tag stands in them. */
function taggedBy({ config, store }: OperationContext, options: InvalidateOptions): Pick<SweepOptions, 'examine'> {
  const { targets, tenant } = options
  const tags = targets.flatMap((target) => (target.kind === 'tag' ? [stampName('tag', target.tag, tenant)] : []))
  if (tags.length === 0) return {}
  const named = decideFor({ ...options, targets: targets.filter(({ kind }) => kind !== 'tag') }, config)
  return { examine: examineTagged(store, new Set(tags), (key) => named(key) === 'act') }
}

/** Each key as it was named, and as it is spelled under the generations of now. */
async function namedKeys(context: OperationContext, { targets }: InvalidateOptions): Promise<Buffer[] | null> {
  const { config } = context
  const keys = targets.flatMap((target) => (target.kind === 'key' ? [Buffer.from(target.key)] : []))
  if (keys.length < targets.length) return null
  if (config === null) return keys
  const scheme = { prefix: config.prefix, tenantLabel: config.tenantLabel }
  const { generations } = await readControl(context.store, config.prefix)
  const current = createKeys(scheme, generations)
  const spelled = keys.flatMap((key) => {
    const parsed = createKeys(scheme).parse(key)
    return parsed === null || parsed.digest !== null ? [] : [current.build(parsed)]
  })
  return [
    ...new Set([
      ...keys.map((key) => key.toString('latin1')),
      ...spelled.map((text) => Buffer.from(text).toString('latin1')),
    ]),
  ].map((text) => Buffer.from(text, 'latin1'))
}

/** What `all` leaves out, which its name does not say. */
function notesOnAll({ targets, tenant }: InvalidateOptions, config: ResolvedConfig | null): string[] {
  if (config === null || tenant !== null || !targets.some(({ kind }) => kind === 'all')) return []
  const others = Object.values(config.namespaces).filter(
    ({ keyPattern }) => keyPattern !== null && !keyPattern.startsWith(`${config.prefix}:`),
  )
  if (others.length === 0) return []
  const names = others.map(({ name }) => `namespace:${name}`).join(' ')
  return [
    `\`all\` is what lies under ${config.prefix}: — raw keys elsewhere stay; to clear them: cachectl invalidate ${names}`,
  ]
}

function walkOf({ targets }: InvalidateOptions): Course {
  return { change: null, swept: [], walked: targets, notes: [] }
}

/** `byTag`: entries can be found by their tags. @throws CachectlError USAGE, REFUSED */
export function checkAim(
  { targets, tenant, foreign, allTenants, byTag }: Aim & { allTenants: boolean; byTag: boolean },
  config: ResolvedConfig | null,
): void {
  if (targets.length === 0)
    throw new CachectlError('USAGE', 'no target is named', {
      hint: 'name a model, namespace:…, tag:…, tenant:…, pattern:… or all; see what is there with `cachectl stats`',
    })
  if (config === null) {
    checkWithoutConfig(targets, foreign)
    return
  }
  for (const target of targets) {
    if (target.kind === 'tenant' && tenant !== null && target.tenant !== tenant)
      throw new CachectlError('USAGE', `\`${printable(target.text)}\` is not tenant ${printable(tenant)}`, {
        hint: 'name the tenant once',
      })
    const model = target.kind === 'model' ? config.models[target.model] : undefined
    if (model?.tenant && tenant === null && !allTenants)
      throw new CachectlError('USAGE', `\`${printable(target.text)}\` holds rows of tenants`, {
        hint: `name one with --${config.tenantLabel ?? 'tenant'} <id>${target.kind === 'model' && target.id === null ? ', or say --all-tenants' : ''}`,
      })
    if (target.kind === 'tag' && !byTag)
      throw new CachectlError(
        'USAGE',
        `\`${printable(target.text)}\`: which entries have a tag stands in them only, so they can be invalidated, and nothing else`,
        {
          hint: `cachectl invalidate '${printable(target.text)}', or name the model or namespace`,
        },
      )
    if (target.kind === 'key' && !foreign && !isWithin(Buffer.from(target.key), config))
      throw new CachectlError('USAGE', `\`${printable(target.text)}\` is not under ${config.prefix}:`, {
        hint: 'add --foreign if this key of somebody else is really meant',
      })
    if (
      target.kind === 'pattern' &&
      !foreign &&
      !target.pattern.startsWith(`${config.prefix}:`) &&
      !isRaw(target, config)
    )
      checkWithin(target, config.prefix)
  }
}

function isWithin(key: Buffer, config: ResolvedConfig): boolean {
  return startsWith(key, Buffer.from(`${config.prefix}:`)) || rawReader(config)(key) !== null
}

/** A pattern that can only match outside the prefix is a mistake; one that also matches within means that part. */
function checkWithin(target: Target & { kind: 'pattern' }, prefix: string): void {
  const first = /^[^*?[\\]*/.exec(target.pattern)?.[0] ?? ''
  if (`${prefix}:`.startsWith(first)) return
  throw new CachectlError('USAGE', `\`${printable(target.text)}\` matches nothing under ${prefix}:`, {
    hint: `write pattern:'${prefix}:…', or add --foreign for keys of others`,
  })
}

function isRaw({ pattern }: { pattern: string }, { namespaces }: ResolvedConfig): boolean {
  const first = /^[^*?[{\\]*/
  const literal = first.exec(pattern)?.[0] ?? ''
  return Object.values(namespaces).some(({ keyPattern }) => {
    const own = keyPattern === null ? null : (first.exec(keyPattern)?.[0] ?? '')
    return own !== null && (own.startsWith(literal) || literal.startsWith(own))
  })
}

function checkWithoutConfig(targets: readonly Target[], foreign: boolean): void {
  for (const target of targets) {
    if (target.kind === 'all')
      throw new CachectlError('REFUSED', '`all` is everything under the prefix of a config, and there is none', {
        hint: 'name the config with --config, or the keys with pattern:… and --foreign',
      })
    if (!foreign)
      throw new CachectlError('REFUSED', 'without a config no key is known to be of a cache', {
        hint: 'name the config with --config, or add --foreign if these keys are really meant',
      })
  }
}

export function isEverything({ targets, tenant, foreign }: Aim, config: ResolvedConfig | null): boolean {
  if (tenant !== null) return false
  return targets.some((target) => {
    if (target.kind !== 'pattern') return target.kind === 'all'
    if ((foreign || config === null) && matchesEverything(target.pattern)) return true
    return config !== null && matchesWhole(target.pattern, config)
  })
}

/** All keys under the prefix, or all that entries of this config have: `shop:v1:*` is no less. */
function matchesWhole(pattern: string, { prefix, version, namespaces }: ResolvedConfig): boolean {
  const names = Object.values(namespaces).flatMap(({ name, format }) => (format === 'raw' ? [] : [name]))
  const heads = names.map((name) => `${prefix}:v${version}:${name}:`)
  return (
    matchesEverything(pattern, `${prefix}:`) ||
    (heads.length > 0 && heads.every((head) => matchesEverything(pattern, head)))
  )
}

export async function largestGroups(context: OperationContext): Promise<{ group: string; keys: number }[]> {
  const { groups } = await preview(context, { decide: () => 'act', exact: false })
  return groups.slice(0, 3)
}

/** What copies in memory are dropped by: the pattern where there is just one, all of them otherwise. */
export function patternOf({ targets }: InvalidateOptions): string {
  const [target] = targets
  return targets.length === 1 && target?.kind === 'pattern' ? target.pattern : '*'
}
