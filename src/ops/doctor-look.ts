// The looks of `doctor`, one after the other: at the servers, at the keys, at the control data, at entries. Each check says what it saw, or why it was not made.
import type { ResolvedConfig } from '../config/resolved.ts'
import type { CheckId } from '../core/findings/checks.ts'
import type { CheckedFacts } from '../core/findings/facts.ts'
import { encodeText } from '../core/key-text.ts'
import { escapeGlob } from '../core/pattern.ts'
import { printable } from '../core/printable.ts'
import { compareSettings, shownSetting } from '../core/server-policy.ts'
import { formatCount } from '../core/units.ts'
import type { RedisIdentity, ServerInfo } from '../ports.ts'
import type { OperationContext } from './context.ts'
import { type Checks, NotMade } from './doctor-checks.ts'
import { historyOf, locksOf, processesOf, unfinishedRuns } from './doctor-control.ts'
import { effortOf } from './doctor-effort.ts'
import { type EntrySample, entryFacts, misplacedRows, sampleEntries } from './doctor-entries.ts'
import { type Walk, walkKeys } from './doctor-keys.ts'
import { lookAtServers } from './doctor-look-servers.ts'
import { checkRights, type RightsReport } from './doctor-rights.ts'
import type { MasterInfo, OpenedMaster } from './doctor-servers.ts'
import { staleRows } from './doctor-source.ts'
import { readSettings } from './policy-settings.ts'
import { type ControlFields, readControl } from './version-state.ts'

export interface DoctorOptions {
  /** every key, however long it takes */
  full: boolean
  /** otherwise the keys that are met in this time */
  withinMs: number
  /** reads entries even where that makes them look used */
  touch: boolean
  /** compares entries with their rows, which reads the sources */
  source: boolean
}

/** What is known by now. */
export interface Look {
  context: OperationContext
  options: DoctorOptions
  checks: Checks
  checked: CheckedFacts
  redis: RedisIdentity
  info: ServerInfo
  infos: readonly MasterInfo[]
  masters: readonly OpenedMaster[]
  control: ControlFields | null
  walk: Walk | null
  sample: EntrySample | null
  rights: RightsReport | null
}

/** A group is worth a word from so many keys on, and so many reads of others. */
const ENOUGH_KEYS = 100
const ENOUGH_READS = 100

const NO_CONFIG = 'there is no cache.config.* here or above: it names the prefix'
const NEEDS_CONFIG: readonly CheckId[] = [
  'rights',
  'policy',
  'generations',
  'leases',
  'locks',
  'control',
  'processes',
  'journal',
  'reads',
  'entries',
  'tenants',
  'source',
]

/** All of them, in the order in which one needs the other. @throws what is a bug */
export async function lookAtAll(look: Look): Promise<void> {
  const { config } = look.context
  await lookAtServers(look)
  if (config === null) for (const id of NEEDS_CONFIG) look.checks.skip(id, NO_CONFIG)
  else await lookAtControl(look, config)
  await lookAtKeys(look)
  if (config === null) return
  await lookAtOwnKeys(look, config)
  await lookAtEntries(look, config)
}

async function lookAtControl(look: Look, config: ResolvedConfig): Promise<void> {
  const { checks, checked, context } = look
  const several = look.infos.length > 1
  await checks.make('policy', async () => {
    const wanted = config.server
    if (wanted === null) throw new NotMade('the config says nothing of its `server`')
    const masters = await readSettings(context)
    const compared = masters.flatMap(({ master, settings }) =>
      compareSettings(wanted, settings).map((setting) => ({
        ...setting,
        where: several ? `${printable(master)}: ` : '',
      })),
    )
    const drift = compared.filter(({ state }) => state === 'drift')
    checked.policy = {
      drift: drift.map(
        ({ setting, actual, wanted: value, where }) =>
          `${where}${setting} is ${shownSetting(setting, actual)}, the config says ${shownSetting(setting, value)}`,
      ),
    }
    return `${compared.filter(({ state }) => state === 'same').length} of ${compared.length} settings are known to be as it says`
  })
  await checks.make('rights', async () => {
    const [master] = look.masters
    const [opener] = await context.store.masters()
    if (master === undefined || opener === undefined) throw new NotMade('there is no server that takes writes')
    look.rights = await checkRights(master, () => opener.lane(), config, look.redis)
    const missing = look.rights.verbs.filter((verb) => verb.missing.length > 0)
    checked.rights = { missing: missing.map(({ verb, missing: commands }) => ({ verb, commands })) }
    const { verbs } = look.rights
    return `${verbs.length - missing.length} of ${verbs.length} verbs have all that they need`
  })
  await checks.make('processes', async () => {
    checked.processes = await processesOf(context, config.prefix)
    return `${formatCount(checked.processes.registered)} registered`
  })
  await checks.make('journal', async () => {
    const { facts, runs } = await unfinishedRuns(context)
    checked.journal = facts
    return `${formatCount(runs)} runs`
  })
  // Said by the check of history, which comes when it is known whether there are entries.
  look.control = await readControl(context.store, config.prefix).catch(() => null)
}

async function lookAtKeys(look: Look): Promise<void> {
  const { checks, context, control, info, masters, options, redis } = look
  await checks.make('keys', async () => {
    const walk = await walkKeys(context, { ...options, redis, info, control, masters: masters.length })
    look.walk = walk
    const { method, visited } = walk.counted
    return method === 'full'
      ? `all ${formatCount(visited)}`
      : `${formatCount(visited)} of ${formatCount(info.keys ?? 0)}`
  })
}

async function lookAtOwnKeys(look: Look, config: ResolvedConfig): Promise<void> {
  const { checks, checked, context, control, infos, walk } = look
  const own = () => {
    if (!walk?.own) throw new NotMade('the keys could not be walked')
    return walk.own
  }
  await checks.make('generations', () => {
    const { generations } = own()
    if (control === null) throw new NotMade('the hash of generations cannot be read')
    if (generations === null) throw new NotMade('something was bumped during the walk: run it again')
    checked.generations = generations
    return `${formatCount(generations.dead)} of ${formatCount(generations.entries)} entries that were met are dead`
  })
  await checks.make('leases', () => {
    checked.leases = own().leases
    return checked.leases.orphans === 0
      ? 'none without an end'
      : `${formatCount(checked.leases.orphans)} without an end`
  })
  await checks.make('locks', async () => {
    checked.locks = await locksOf(context, config, own().locks)
    return `${formatCount(checked.locks.held.length)} held`
  })
  await checks.make('control', async () => {
    if (control === null) throw new NotMade('the hash of generations cannot be read')
    checked.control = await historyOf(context, control, { entries: walk?.own?.entries ?? 0, infos })
    return control.incarnation === null ? 'there is no control data' : `incarnation ${printable(control.incarnation)}`
  })
  await checks.make('reads', () => {
    const rates = walk?.counted.rates
    if (!walk || !rates) throw new NotMade('the keys could not be walked')
    if (rates.refused !== null) throw new NotMade(printable(rates.refused))
    const reads = rates.total === null ? 0 : rates.total.hits + rates.total.misses
    checked.reads = { reads, neverRead: reads < ENOUGH_READS ? [] : neverRead(walk, config) }
    return reads === 0 ? 'no process has counted any' : `${formatCount(reads)} reads`
  })
}

/** Of other software's namespaces nobody counts what it reads. */
function neverRead(
  { counted }: Walk,
  { namespaces, prefix }: ResolvedConfig,
): NonNullable<CheckedFacts['reads']>['neverRead'] {
  return counted.summary.groups.flatMap(({ group, namespace, subject, declared, keys, share, hits, misses }) => {
    if (!declared || namespace === null || subject === null || keys < ENOUGH_KEYS || (hits ?? 0) + (misses ?? 0) > 0)
      return []
    if (namespaces[namespace]?.format !== 'envelope') return []
    const [space, name] = [encodeText(namespace, 'the namespace'), encodeText(subject, 'the subject')]
    return [{ group, target: `pattern:${escapeGlob(prefix)}:v*:${space}:${name}:*`, keys, share }]
  })
}

async function lookAtEntries(look: Look, config: ResolvedConfig): Promise<void> {
  const { checks, checked, context, control, masters, options, walk } = look
  await checks.make('entries', async () => {
    if (walk === null) throw new NotMade('the keys could not be walked')
    if (!options.touch && masters.some(({ lane }) => !lane.noTouch))
      throw new NotMade(
        'this server cannot read entries without making them look used (Redis 7.2 can); --touch reads them all the same',
      )
    const { signal, random, clock } = context
    look.sample = await sampleEntries({
      config,
      masters,
      counted: walk.counted,
      effort: effortOf(options),
      signal,
      random,
    })
    const incarnation = control?.incarnation ?? null
    checked.entries = entryFacts(look.sample, config, { incarnation, groups: walk.counted.summary.groups, clock })
    return `${formatCount(look.sample.headers)} headers`
  })
  const { sample } = look
  await checks.make('tenants', () => {
    if (config.tenantLabel === null) throw new NotMade('the config has no tenants')
    if (sample === null) throw new NotMade('entries were not read')
    checked.tenants = misplacedRows(sample.entries, config)
    return checked.tenants.rows === 0 ? 'no sampled row says whose it is' : `${formatCount(checked.tenants.rows)} rows`
  })
  await checks.make('source', async () => {
    if (!options.source) throw new NotMade('it reads the database, so it is made with --source only')
    if (Object.values(config.models).every(({ source }) => source?.load === undefined))
      throw new NotMade('no source of the config can load rows by their ids')
    if (sample === null || control === null) throw new NotMade('entries were not read')
    checked.source = await staleRows(context, config, sample.entries, control, masters, effortOf(options))
    return `${formatCount(checked.source.rows)} rows compared`
  })
}
