// The plan of `policy apply`: what would be set on which master, who lives there, and what that means for them.
import { CachectlError } from '../core/errors.ts'
import { numberField } from '../core/info-text.ts'
import { type ManagedService, managedService } from '../core/managed-redis.ts'
import { diskEffects, type Effect, effectsOf, keysOf, neighboursOf, overLimit } from '../core/policy-effects.ts'
import type { Danger } from '../core/safeguards.ts'
import { type ComparedSetting, compareSettings, isHigher } from '../core/server-policy.ts'
import type { RedisIdentity } from '../ports.ts'
import type { OperationContext } from './context.ts'
import { wantedOf } from './policy-check.ts'
import { lookAround, type Neighbourhood } from './policy-neighbours.ts'
import { type MasterSettings, type Refusal, readSettings } from './policy-settings.ts'

export interface MasterPlan {
  master: string
  /** what is to be set, in this order */
  changes: ComparedSetting[]
  /** settings that are as they should be */
  same: number
  /** null: CONFIG SET is not known to be refused */
  refusal: Refusal | null
  /** where CONFIG REWRITE would write; null: it was started without a file */
  configFile: string | null
}

export interface PolicyPlan {
  redis: RedisIdentity
  /** write the running settings to the servers' own files as well */
  persist: boolean
  masters: MasterPlan[]
  neighbours: Neighbourhood
  effects: Effect[]
  /** keys that are evicted at once; null: unknown */
  evicts: number | null
  /** who could lose keys to the new settings and not to the present ones */
  endangered: string[]
  /** of a service that is managed elsewhere; null: none that is known */
  managed: ManagedService | null
  notes: string[]
}

/** @throws CachectlError CONFIG_NOT_FOUND, CONFIG_INVALID */
export async function planPolicy(context: OperationContext, { persist }: { persist: boolean }): Promise<PolicyPlan> {
  const masters = await readSettings(context)
  const wanted = wantedOf(context.config, masters)
  const neighbours = await lookAround(context, masters)
  // Half a look would be taken for all there is.
  context.signal.throwIfAborted()
  const redis = await context.store.identity()
  const plans = masters.map(({ master, settings, refusal, fields }): MasterPlan => {
    const compared = compareSettings(wanted, settings)
    const changes = compared.filter(({ state }) => state !== 'same')
    const configFile = fields.get('config_file') || null
    return { master, changes, same: compared.length - changes.length, refusal, configFile }
  })
  const final = masters.map((master) =>
    finalSettings(
      master,
      plans.find((plan) => plan.master === master.master),
    ),
  )
  const worst = final.reduce((a, b) => ((b.over ?? 0) > (a.over ?? 0) ? b : a), final[0] ?? NOTHING)
  const evicts = sumOf(final.map(({ over, policy }) => (policy === 'noeviction' ? 0 : over)))
  return {
    redis,
    persist,
    masters: plans,
    neighbours,
    effects: [
      ...(losesDisk(plans) ? diskEffects(neighbours.residents) : []),
      ...effectsOf({ ...worst, ...neighbours }),
    ],
    evicts: evicts === null ? null : evicts === 0 ? 0 : keysOf(evicts, neighbours.residents),
    endangered: endangered(plans, final, neighbours),
    managed: managedOf(plans, redis),
    notes: notesOf(masters, plans, persist),
  }
}

interface Final {
  policy: string | null
  maxMemoryBytes: number | null
  usedBytes: number | null
  over: number | null
}

const NOTHING: Final = { policy: null, maxMemoryBytes: null, usedBytes: null, over: null }

/** What a master has when all is set. */
function finalSettings({ settings, fields }: MasterSettings, plan: MasterPlan | undefined): Final {
  const after = (name: ComparedSetting['setting']) =>
    plan?.changes.find(({ setting }) => setting === name)?.wanted ?? settings.get(name) ?? null
  const [policy, limit] = [after('maxmemory-policy'), after('maxmemory')]
  const used = numberField(fields, 'used_memory')
  // Buffers of replicas and of the AOF do not count.
  const usedBytes = used === null ? null : used - (numberField(fields, 'mem_not_counted_for_evict') ?? 0)
  const maxMemoryBytes = typeof limit === 'number' ? limit : null
  return {
    policy: typeof policy === 'string' ? policy : null,
    maxMemoryBytes,
    usedBytes,
    over: overLimit(maxMemoryBytes, usedBytes),
  }
}

function sumOf(values: readonly (number | null)[]): number | null {
  return values.includes(null) ? null : values.reduce((sum: number, value) => sum + (value ?? 0), 0)
}

/** Something is no longer kept on disk. */
function losesDisk(plans: readonly MasterPlan[]): boolean {
  return plans.some(({ changes }) =>
    changes.some(({ setting, wanted }) => wanted === '' || (setting === 'appendonly' && wanted === false)),
  )
}

/** Who is there besides, on servers that are to evict any key and do not yet, or sooner than now, or keep nothing on disk. */
function endangered(plans: readonly MasterPlan[], final: readonly Final[], around: Neighbourhood): string[] {
  const sooner = plans.some(
    ({ changes }, index) =>
      final[index]?.policy?.startsWith('allkeys-') === true && changes.some((change) => evictsSooner(change)),
  )
  if (!sooner && !losesDisk(plans)) return []
  const databases = around.otherDatabases.filter(({ keys }) => keys > 0).map(({ database }) => `database ${database}`)
  return [...neighboursOf(around.residents).map(({ name }) => name), ...databases]
}

function evictsSooner({ setting, wanted, actual }: ComparedSetting): boolean {
  if (setting === 'maxmemory-policy') return typeof actual !== 'string' || !actual.startsWith('allkeys-')
  return setting === 'maxmemory' && !isHigher(Number(wanted), actual === null ? null : Number(actual))
}

function managedOf(plans: readonly MasterPlan[], { endpoint }: RedisIdentity): ManagedService | null {
  const refusals = plans.map(({ refusal }) => refusal?.message ?? '').join('\n')
  return managedService([endpoint, ...plans.map(({ master }) => master)], refusals, uniqueChanges(plans))
}

function uniqueChanges(plans: readonly MasterPlan[]): ComparedSetting[] {
  return [...new Map(plans.flatMap(({ changes }) => changes).map((one) => [one.setting, one])).values()]
}

function notesOf(masters: readonly MasterSettings[], plans: readonly MasterPlan[], persist: boolean): string[] {
  const notes: string[] = []
  const replicas = masters.reduce((sum, { fields }) => sum + (numberField(fields, 'connected_slaves') ?? 0), 0)
  if (replicas > 0)
    notes.push(
      `${replicas === 1 ? 'the replica has settings of its own' : `the ${replicas} replicas have settings of their own`}, which count after a failover: set them too`,
    )
  const withoutFile = plans.filter(({ configFile, refusal }) => configFile === null && refusal === null)
  if (persist && withoutFile.length > 0)
    notes.push(
      `${withoutFile.map(({ master }) => master).join(', ')} was started without a config file: what is set lasts until its next start; write it where it is started (command line, container, service)`,
    )
  return notes
}

export function isNothingToDo({ masters, persist }: PolicyPlan): boolean {
  return !persist && masters.every(({ changes }) => changes.length === 0)
}

/** Nothing that is planned can be done: every change is on a server that refuses CONFIG. */
export function isRefused({ masters }: PolicyPlan): boolean {
  return masters.some(({ changes }) => changes.length > 0) && masters.every(({ refusal }) => refusal !== null)
}

/** @throws CachectlError CONFIG_NOT_FOUND */
export function dangerOf({ config }: OperationContext, plan: PolicyPlan): Danger {
  if (!config) throw new CachectlError('CONFIG_NOT_FOUND', 'there is no cache.config.* here or above')
  const { population } = plan.neighbours
  return {
    typed: config.prefix,
    everything: false,
    production: config.env === 'production',
    keys: plan.evicts,
    share: plan.evicts === null || !population ? null : Math.min(1, plan.evicts / population),
    ...(plan.endangered.length === 0 ? {} : { because: `keys of ${plan.endangered.join(', ')} may be evicted then` }),
  }
}
