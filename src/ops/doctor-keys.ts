// One walk over the keys for `doctor`: the count that `stats` makes, and of each key whether it is a dead entry, a lease that nobody can hold, a lock.
import type { ResolvedConfig } from '../config/resolved.ts'
import { currentVersion, isOlderVersion } from '../core/code-version.ts'
import { deadGenerationOf } from '../core/dead-generation.ts'
import type { CheckedFacts } from '../core/findings/facts.ts'
import { LONGEST_LEASE_MS } from '../core/findings/key-rules.ts'
import { createKeys, type ParsedKey } from '../core/key.ts'
import { printable } from '../core/printable.ts'
import type { RedisIdentity, ServerInfo } from '../ports.ts'
import type { OperationContext } from './context.ts'
import { type ControlFacts, sameControl } from './doctor-control.ts'
import { lockStart } from './lock.ts'
import type { ScannedPage } from './scan.ts'
import { type Counted, count, DEFAULT_BY } from './stats.ts'
import { readControl } from './version-state.ts'

/** Where SCAN goes master by master a sample by time would be of the first one: so many keys a second of all. */
const KEYS_A_SECOND = 20_000
const MOST_LOCKS = 100
/** All groups: which of them are shown is no question here. */
const EVERY_GROUP = 100_000

export interface Walk {
  counted: Counted
  /** null without a config */
  own: OwnKeys | null
}

export interface OwnKeys {
  entries: number
  /** null: generations were bumped during the walk, or could not be read */
  generations: NonNullable<CheckedFacts['generations']> | null
  leases: NonNullable<CheckedFacts['leases']>
  /** keys of locks */
  locks: readonly Buffer[]
}

export interface WalkOptions {
  full: boolean
  withinMs: number
  redis: RedisIdentity
  info: ServerInfo
  masters: number
  /** null: could not be read */
  control: ControlFacts | null
}

/** @throws CachectlError */
export async function walkKeys(context: OperationContext, options: WalkOptions): Promise<Walk> {
  const { config, signal, store } = context
  const { full, withinMs, redis, info, masters, control } = options
  const bounded = full ? signal : AbortSignal.any([signal, AbortSignal.timeout(withinMs)])
  const sampled = !full && (masters > 1 || redis.mode === 'cluster')
  const watcher = config === null ? null : watchKeys(config, control)
  const counted = await count(
    {
      ...context,
      signal: bounded,
      emit: (event) => context.emit('task' in event ? { ...event, task: 'doctor' } : event),
    },
    {
      targets: [],
      tenant: null,
      by: DEFAULT_BY,
      mode: sampled ? { kind: 'sample', keys: Math.ceil((withinMs / 1000) * KEYS_A_SECOND) } : { kind: 'full' },
      top: EVERY_GROUP,
      largest: 1,
      age: false,
      intervalMs: null,
      readsAges: false,
      ...(watcher === null ? {} : { watch: watcher.watch }),
    },
    redis,
    info,
  )
  if (config === null || watcher === null) return { counted, own: null }
  // What was bumped meanwhile made keys look dead that were written behind the bump, or alive that are dead.
  const after = control === null ? null : await readControl(store, config.prefix)
  const steady = control !== null && after !== null && sameControl(control, after)
  return { counted, own: watcher.finish(steady) }
}

/** Replies of a page are those to MEMORY USAGE and PTTL of each key. */
function watchKeys(config: ResolvedConfig, control: ControlFacts | null) {
  const { prefix, tenantLabel } = config
  const keys = createKeys({ prefix, tenantLabel })
  const entryStart = Buffer.from(`${prefix}:`)
  const leaseStart = Buffer.from(`${prefix}~lease:{`)
  const locksStart = lockStart(config)
  const versions = new Set((control?.versions ?? []).map(({ version }) => version))
  let [entries, dead, orphans] = [0, 0, 0]
  let deadExample: string | null = null
  let lease: { example: string; ttlMs: number | null } | null = null
  const locks = new Map<string, Buffer>()

  const isDead = (parsed: ParsedKey): boolean => {
    if (control === null) return false
    const current = currentVersion(config, parsed.subject)
    if (parsed.version !== current && !versions.has(parsed.version) && isOlderVersion(parsed.version, current))
      return true
    return deadGenerationOf(parsed, control.generations) !== null
  }
  const seeEntry = (key: Buffer): void => {
    const parsed = keys.parse(key)
    if (parsed === null) return
    entries++
    if (!isDead(parsed)) return
    dead++
    deadExample ??= printable(key)
  }
  const seeLease = (key: Buffer, pttl: unknown): void => {
    if (typeof pttl !== 'number' || pttl === -2 || (pttl >= 0 && pttl <= LONGEST_LEASE_MS)) return
    orphans++
    lease ??= { example: printable(key.subarray(leaseStart.length, key.length - 1)), ttlMs: pttl < 0 ? null : pttl }
  }
  const begins = (key: Buffer, start: Buffer): boolean => start.equals(key.subarray(0, start.length))

  return {
    watch({ keys: found, replies }: ScannedPage): void {
      for (const [index, key] of found.entries()) {
        const pttl = replies[index * 2 + 1]
        if (pttl === -2) continue
        if (begins(key, entryStart)) seeEntry(key)
        else if (begins(key, leaseStart)) seeLease(key, pttl)
        else if (begins(key, locksStart) && locks.size < MOST_LOCKS) locks.set(key.toString('latin1'), Buffer.from(key))
      }
    },
    finish: (steady: boolean): OwnKeys => ({
      entries,
      generations: steady ? { entries, dead, example: deadExample } : null,
      leases: { orphans, example: lease?.example ?? null, ttlMs: lease?.ttlMs ?? null },
      locks: [...locks.values()],
    }),
  }
}
