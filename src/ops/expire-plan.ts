// What `expire` will do: which keys are meant, what TTL each gets, and how dangerous that is.
import type { ResolvedConfig } from '../config/resolved.ts'
import { CachectlError } from '../core/errors.ts'
import {
  type ConfiguredLife,
  configuredLife,
  drawTtl,
  type Expiry,
  type ExpiryMode,
  keyedRandom,
  ttlRange,
} from '../core/expiry.ts'
import { createKeys } from '../core/key.ts'
import { printable } from '../core/printable.ts'
import type { Danger } from '../core/safeguards.ts'
import { formatDuration } from '../core/units.ts'
import type { Reply } from '../ports.ts'
import { type Aim, type Decide, decideFor } from './changes.ts'
import type { OperationContext } from './context.ts'
import { checkAim, isEverything, largestGroups } from './invalidate-plan.ts'
import { type Preview, preview } from './preview.ts'
import type { Pace, SweepOptions } from './sweep.ts'
import { rawReader } from './wanted-keys.ts'

export interface ExpireOptions extends Aim {
  /** null: of each key what the config says */
  expiry: Expiry | null
  /** only earlier than keys would end by themselves: what `--over` alone asks for */
  shortenOnly: boolean
  /** only keys without TTL */
  missingOnly: boolean
  /** counts first, however long it takes */
  exact: boolean
  pace: Pace
  /** targets of tenant models mean the rows of all tenants */
  allTenants: boolean
}

export interface ExpirePlan {
  options: ExpireOptions
  targets: string[]
  mode: ExpiryMode
  /** of what is drawn for each key */
  seed: number
  /** what TTLs the keys get; null: by the config */
  ttl: { fromMs: number; toMs: number } | null
  /** by the config: what each place gets, and what keeps the TTL that it has, in words */
  byConfig: { gets: string[]; keeps: string[] } | null
  preview: Preview
  danger: Danger
  /** what is to be known before it is done */
  notes: string[]
  /** keys that are meant, where all of them are as they are to be; about so many, if not all were looked at */
  asTheyAre: number
  /** largest groups of the cache, where nothing is meant */
  nearest: { group: string; keys: number }[]
}

/** TTL that a key is given, in ms; null: it keeps what it has. */
export type TtlOf = (key: Buffer) => number | null

/** Below this, keys that are given a TTL are as good as deleted: nobody has the time to notice. */
const AS_GOOD_AS_DELETED_MS = 60_000
/** So many keys that end in the same moment are loaded anew in the same moment. */
const CLIFF_KEYS = 1_000

/** @throws CachectlError CONFIG_NOT_FOUND, USAGE, and what reading Redis throws */
export async function planExpire(context: OperationContext, options: ExpireOptions): Promise<ExpirePlan> {
  const { config, store } = context
  checkAim({ ...options, byTag: false }, config)
  const mode: ExpiryMode = options.missingOnly
    ? 'missing'
    : options.expiry === null || options.shortenOnly
      ? 'shorten'
      : 'set'
  const ttl = options.expiry === null ? null : ttlRange(options.expiry)
  const byConfig = options.expiry === null ? describeConfig(requireConfig(config)) : null
  const { endpoint } = await store.identity()
  const seed = Math.floor(context.random() * 2 ** 32)
  const walk = walkOf(context, options, mode, seed)
  const seen = await preview(context, { ...walk, exact: options.exact })
  const nothing = seen.keys === 0 && seen.protected === 0
  const asTheyAre = nothing ? (await preview(context, { decide: walk.decide, exact: false })).keys : 0
  const asDelete = ttl !== null && ttl.fromMs < AS_GOOD_AS_DELETED_MS
  return {
    options,
    targets: options.targets.map((target) => printable(target.text)),
    mode,
    seed,
    ttl,
    byConfig,
    preview: seen,
    danger: {
      typed: config?.prefix ?? endpoint,
      everything: asDelete && isEverything(options, config),
      production: config?.env === 'production',
      keys: seen.keys,
      // Keys that live for a minute and more are not taken from anybody: how large a part they are does not matter.
      share: asDelete ? seen.share : null,
    },
    notes: notesOf(options, seen),
    asTheyAre,
    nearest: nothing && asTheyAre === 0 ? await largestGroups(context) : [],
  }
}

/** Which keys a walk acts on: of those that are meant, those that the config says something of, and whose TTL is another than it is to be. */
export function walkOf(
  { config }: Pick<OperationContext, 'config'>,
  options: ExpireOptions,
  mode: ExpiryMode,
  seed: number,
): Required<Pick<SweepOptions, 'decide' | 'examine'>> {
  const meant = decideFor(options, config)
  const ttlOf = ttlOfKeys(options, config, seed)
  const decide: Decide = (key) => {
    const decision = meant(key)
    return decision === 'act' && options.expiry === null && ttlOf(key) === null ? 'pass' : decision
  }
  const mayChange = (key: Buffer, pttl: Reply | undefined): boolean => {
    // What cannot be read is tried, and its failure told.
    if (typeof pttl !== 'number' || pttl === -1) return true
    if (mode === 'set') return pttl !== -2
    return mode === 'shorten' && pttl > (ttlOf(key) ?? Number.POSITIVE_INFINITY)
  }
  return {
    decide,
    examine: {
      probe: (page, key) => page.add('PTTL', key),
      keep: async (keys, replies) => keys.map((key, index) => mayChange(key, replies[index])),
    },
  }
}

/** What is drawn for a key is the same for the plan and for each walk of its execution. */
export function ttlOfKeys({ expiry }: ExpireOptions, config: ResolvedConfig | null, seed: number): TtlOf {
  const randomOf = keyedRandom(seed)
  if (expiry !== null) return (key) => drawTtl(expiry, () => randomOf(key))
  const expiryOf = expiryByConfig(requireConfig(config))
  return (key) => {
    const found = expiryOf(key)
    return found === null ? null : drawTtl(found, () => randomOf(key))
  }
}

function expiryByConfig(config: ResolvedConfig): (key: Buffer) => Expiry | null {
  const keys = createKeys({ prefix: config.prefix, tenantLabel: config.tenantLabel })
  const rawOf = rawReader(config)
  return (key) => {
    const parsed = keys.parse(key)
    const place = parsed ?? rawOf(key)
    return place === null ? null : expiryOfLife(configuredLife(config, place.namespace, place.subject))
  }
}

/** Jitter takes its share of the time that an entry is fresh, never of its grace. */
function expiryOfLife(life: ConfiguredLife): Expiry | null {
  if (life.kind !== 'time') return null
  const { ttlMs, graceMs, jitter } = life
  const physicalMs = ttlMs + graceMs
  return { ttlMs: physicalMs, jitter: (jitter * ttlMs) / physicalMs, overMs: 0 }
}

function describeConfig(config: ResolvedConfig): { gets: string[]; keeps: string[] } {
  const places = [
    ...Object.keys(config.namespaces).map((namespace) => ({
      place: `namespace:${namespace}`,
      namespace,
      subject: null,
    })),
    ...Object.values(config.models)
      .filter((model) => model.ttl !== undefined)
      .map(({ name, namespace, subject }) => ({ place: name, namespace, subject })),
  ]
  const gets: string[] = []
  const keeps: string[] = []
  for (const { place, namespace, subject } of places) {
    const life = configuredLife(config, namespace, subject)
    const expiry = expiryOfLife(life)
    if (expiry !== null) gets.push(printable(`${place} ${rangeText(ttlRange(expiry))}`))
    else if (life.kind === 'never') keeps.push(printable(`${place} (the config says 'never')`))
    else if (life.kind === 'row') keeps.push(printable(`${place} (the config computes its TTL from the row)`))
  }
  return { gets, keeps }
}

/** `54 m to 1 h`, or `1 h`, or `within 30 m` */
export function rangeText({ fromMs, toMs }: { fromMs: number; toMs: number }): string {
  const [from, to] = [formatDuration(fromMs), formatDuration(toMs)]
  if (from === to) return to
  return fromMs <= 1 ? `within ${to}` : `${from} to ${to}`
}

function notesOf({ expiry }: ExpireOptions, { keys }: Preview): string[] {
  const notes: string[] = []
  if (expiry !== null && expiry.jitter === 0 && expiry.overMs === 0 && keys >= CLIFF_KEYS)
    notes.push('all of them will end in the same moment: --jitter 10% or --over 5m spreads the loads that follow')
  return notes
}

function requireConfig(config: ResolvedConfig | null): ResolvedConfig {
  if (config !== null) return config
  throw new CachectlError('CONFIG_NOT_FOUND', '--from-config needs a cache.config.*, and there is none here or above')
}
