// `why`: is the key there, what does its envelope say, whose is it, what became of it, and what would a read of it do now, in plain sentences.
import type { ResolvedConfig } from '../config/resolved.ts'
import { own } from '../core/declared.ts'
import { earlyRefreshChance } from '../core/early-refresh.ts'
import { decodeHeader, type EntryHeader, HEADER_PROBE_BYTES, type HeaderFailure } from '../core/entry.ts'
import { createKeys, isControlKey, type ParsedKey } from '../core/key.ts'
import { printable, unprintable } from '../core/printable.ts'
import { explainRead, type ReadFacts, type ReadVerdict } from '../core/read-verdict.ts'
import { describeReads, type StatsGroup } from '../core/stats.ts'
import type { OperationContext } from './context.ts'
import { explainDeadStamps } from './dead-stamps.ts'
import { type AboutEntry, aboutEntry, memoryOf, typeOf } from './get.ts'
import { readHitRates } from './hit-rates.ts'
import type { HistoryEntry } from './journal-read.ts'
import { beginReport, type ReportBase } from './report-base.ts'
import { type EndedGeneration, type KeyControl, type KeyLease, type KeyVersion, readKeyControl } from './why-control.ts'
import { journalOfKey } from './why-journal.ts'
import { type FoundNear, findNear } from './why-near.ts'
import { type Belonging, belongingOf, placeText } from './why-place.ts'

export interface WhyReport extends ReportBase {
  command: 'why'
  /** escaped, as `keys` prints it */
  key: string
  exists: boolean
  /** of Redis; null where there is no such key */
  type: string | null
  /** null: no TTL, or no such key */
  ttlMs: number | null
  bytes: number | null
  entry: AboutEntry | null
  /** what the key says of itself, by the config's scheme */
  belongsTo: Belonging | null
  /** generations that it is of and that are over; empty where it is of the current ones */
  ended: EndedGeneration[]
  /** null: no key of the config's scheme */
  version: KeyVersion | null
  /** of the load that is under way; null: none is */
  lease: KeyLease | null
  /** that a read makes the fresh entry anew before its end, 0 to 1, by the `beta` of its namespace; null where it is not fresh */
  refresh: { chance: number; beta: number } | null
  /** of its namespace and subject in the last hour, all tenants; null where nothing was counted */
  reads: Pick<StatsGroup, 'hits' | 'misses' | 'hitRate' | 'loads' | 'loadMs'> | null
  /** the last runs that were aimed at it */
  journal: HistoryEntry[]
  /** keys that are there in place of one that is not, or that is not read */
  near: FoundNear[]
  read: ReadVerdict
}

/**
 * @param key as `keys` prints it, or the plain form without generation tokens
 * @throws CachectlError
 */
export async function why(context: OperationContext, key: string): Promise<WhyReport> {
  const { config, clock } = context
  const report = await beginReport(context)
  const bytes = unprintable(key)
  const stored = await readStored(context, bytes)
  const { type, ttlMs, header } = stored
  const exists = type !== null
  const nowMs = clock.now()
  const of = config === null ? NOWHERE : await placeOf(context, config, bytes, { header, exists })
  const { belongsTo, reads, near, journal } = of
  const { ended, version, lease } = of.control
  const refresh = refreshOf(config, belongsTo, header, nowMs)
  const read = explainRead(factsOf(config, bytes, stored, of, { nowMs, refreshChance: refresh?.chance ?? 0 }))
  const entry = header === null ? null : aboutEntry(header, nowMs)
  const size = exists ? await memoryOf(context, bytes) : null
  const told = { entry, belongsTo, ended, version, lease, refresh, reads, journal, near, read }
  return { command: 'why', ...report(), key: printable(bytes), exists, type, ttlMs, bytes: size, ...told }
}

interface Stored {
  /** of Redis; null where there is no such key */
  type: string | null
  ttlMs: number | null
  header: EntryHeader | null
  headerFailure: HeaderFailure | null
}

async function readStored(context: OperationContext, bytes: Buffer): Promise<Stored> {
  const type = await typeOf(context, bytes)
  const ttl = type === null ? null : await context.store.call('PTTL', bytes)
  const ttlMs = typeof ttl === 'number' && ttl >= 0 ? ttl : null
  const head = type === 'string' ? await readHeader(context, bytes) : null
  return head === null || head.ok
    ? { type, ttlMs, header: head?.header ?? null, headerFailure: null }
    : { type, ttlMs, header: null, headerFailure: head.reason }
}

function factsOf(
  config: ResolvedConfig | null,
  bytes: Buffer,
  { type, ttlMs, header, headerFailure }: Stored,
  { belongsTo, control, near, invalidations, ofCode }: PlaceFacts,
  now: Pick<ReadFacts, 'nowMs' | 'refreshChance'>,
): ReadFacts {
  const { currentKey, currentExists, ended, incarnation, lease, version } = control
  const place = belongsTo === null ? null : printable(placeText(belongsTo))
  const { raw = false, declared = false, keyedByRow = false, life = UNDECLARED } = belongsTo ?? {}
  return {
    key: printable(bytes),
    exists: type !== null,
    type,
    header,
    headerFailure,
    ttlMs,
    ...now,
    hasConfig: config !== null,
    control: config !== null && isControlKey(config.prefix, bytes),
    raw,
    declared: ofCode || declared,
    ofCode,
    invalidations,
    place,
    incarnation,
    currentKey: currentKey === null ? null : printable(currentKey),
    currentExists,
    ended,
    version,
    lease,
    keyedByRow,
    life,
    near,
  }
}

const UNDECLARED = { kind: 'undeclared' } as const

interface PlaceFacts {
  belongsTo: Belonging | null
  control: Omit<KeyControl, 'keys' | 'versions' | 'version'> & { version: KeyVersion | null }
  reads: WhyReport['reads']
  near: FoundNear[]
  journal: HistoryEntry[]
  invalidations: string[]
  ofCode: boolean
}

/** Of what is no key of the config's scheme. */
const NO_CONTROL: PlaceFacts['control'] = {
  incarnation: null,
  ended: [],
  version: null,
  lease: null,
  currentKey: null,
  currentExists: false,
}

const NOWHERE: PlaceFacts = {
  belongsTo: null,
  control: NO_CONTROL,
  reads: null,
  near: [],
  journal: [],
  invalidations: [],
  ofCode: false,
}

/** All that the config makes of the key. */
async function placeOf(
  context: OperationContext,
  config: ResolvedConfig,
  bytes: Buffer,
  { header, exists }: { header: EntryHeader | null; exists: boolean },
): Promise<PlaceFacts> {
  const keys = createKeys({ prefix: config.prefix, tenantLabel: config.tenantLabel })
  const parsed: ParsedKey | null = keys.parse(bytes)
  const belongsTo = belongingOf(config, bytes, parsed)
  const control = parsed === null ? null : await readKeyControl(context, config, bytes, parsed)
  const isEntry = parsed !== null && belongsTo !== null && !belongsTo.raw
  const sought = isEntry ? !exists : belongsTo === null && !isControlKey(config.prefix, bytes)
  const [reads, near, journal, invalidations] = await Promise.all([
    readsOf(context, belongsTo),
    sought ? findNear(context, config, bytes, parsed, control ?? { keys, versions: [config.version] }) : [],
    journalOfKey(context, config, bytes, parsed, header),
    header === null ? [] : explainDeadStamps(context.store, config.prefix, header.tags),
  ])
  const ofCode =
    belongsTo !== null && belongsTo.model === null && own(config.namespaces, belongsTo.namespace) !== undefined
  if (belongsTo !== null && ofCode && reads !== null) belongsTo.declared = true
  return { belongsTo, control: control ?? NO_CONTROL, reads, near, journal, invalidations, ofCode }
}

/** What a call of the application says for itself is not known here. */
function refreshOf(
  config: ResolvedConfig | null,
  place: Belonging | null,
  header: EntryHeader | null,
  nowMs: number,
): WhyReport['refresh'] {
  const beta = config === null || place === null ? undefined : own(config.namespaces, place.namespace)?.beta
  if (header === null || beta === undefined || (header.freshUntilMs ?? Number.POSITIVE_INFINITY) <= nowMs) return null
  return { chance: earlyRefreshChance(header, beta, nowMs), beta }
}

async function readsOf(context: OperationContext, place: Belonging | null): Promise<WhyReport['reads']> {
  if (place === null) return null
  const rates = await readHitRates(
    context,
    { by: ['namespace', 'model'], targets: [], tenant: null },
    { hits: 0, misses: 0 },
  )
  const { keyless = [], reads } = rates?.attach([]) ?? {}
  const group = keyless.find(
    ({ identity }) => identity.namespace === place.namespace && identity.subject === place.subject,
  )
  const counts = group === undefined ? undefined : reads?.get(group)
  return counts === undefined ? null : describeReads(counts)
}

/** The header, however long its tags are. */
async function readHeader({ store }: OperationContext, key: Buffer): Promise<ReturnType<typeof decodeHeader>> {
  const read = async (size: number) => {
    const bytes = await store.call('GETRANGE', key, 0, size - 1)
    return decodeHeader(Buffer.isBuffer(bytes) ? bytes : Buffer.from(String(bytes)))
  }
  const first = await read(HEADER_PROBE_BYTES)
  return first.ok || first.needBytes === undefined || first.needBytes <= HEADER_PROBE_BYTES
    ? first
    : read(first.needBytes)
}
