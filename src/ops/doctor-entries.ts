// What `doctor` reads of entries: headers of a sample of each group, and a few values, timed. Leaves the clocks of keys alone, or is told that it may not.
import type { ResolvedConfig, ResolvedModel } from '../config/resolved.ts'
import { own } from '../core/declared.ts'
import { decodeEntry, decodeHeader, type EntryHeader, HEADER_PROBE_BYTES } from '../core/entry.ts'
import type { CheckedFacts, EntryFacts, MisplacedRow } from '../core/findings/facts.ts'
import type { GroupIdentity } from '../core/groups.ts'
import { percentileOf } from '../core/histogram.ts'
import { createKeys, type ParsedKey } from '../core/key.ts'
import { printable } from '../core/printable.ts'
import { isErrorReply } from '../core/reply.ts'
import type { StatsGroup } from '../core/stats.ts'
import type { Clock, Lane, Reply, Row } from '../ports.ts'
import type { Effort } from './doctor-effort.ts'
import type { OpenedMaster } from './doctor-servers.ts'
import type { Counted } from './stats.ts'

const PAGE_KEYS = 250
const LARGEST_VALUE_BYTES = 256 * 1024
/** Below that, a median is chance. */
const ENOUGH_TIMES = 20
const ENOUGH_FETCHES = 5

export interface SampledEntry {
  key: Buffer
  master: number
  identity: GroupIdentity
  parsed: ParsedKey
  header: EntryHeader
  /** decoded; undefined: it was not read */
  value?: unknown
}

export interface EntrySample {
  entries: SampledEntry[]
  headers: number
  undecodable: EntryFacts['undecodable'][number][]
  /** how long GET took, by group */
  fetchMs: Map<string, number[]>
}

interface SampleOptions {
  config: ResolvedConfig
  masters: readonly OpenedMaster[]
  counted: Counted
  effort: Effort
  signal: AbortSignal
  random: () => number
}

/** @throws CachectlError */
export async function sampleEntries(options: SampleOptions): Promise<EntrySample> {
  const { config, masters, counted, effort, signal, random } = options
  const keys = createKeys({ prefix: config.prefix, tenantLabel: config.tenantLabel })
  const sample: EntrySample = { entries: [], headers: 0, undecodable: [], fetchMs: new Map() }
  const groups = counted.groups.filter(({ tally }) => (tally.sample?.keys.length ?? 0) > 0)
  const aGroup = Math.max(1, Math.min(effort.headersAGroup, Math.floor(effort.headers / Math.max(1, groups.length))))
  for (const { identity, tally } of groups) {
    const kept = some(tally.sample?.keys ?? [], aGroup, random)
    for (const [index, { lane }] of masters.entries()) {
      const here = kept.filter(({ master }) => master === index).map(({ key }) => key)
      for (let start = 0; start < here.length && !signal.aborted; start += PAGE_KEYS)
        await readHeaders(lane, here.slice(start, start + PAGE_KEYS), index, identity, keys, sample)
    }
  }
  await readValues(options, sample)
  return sample
}

/** The first ones of a reservoir are those that the walk met first: any of them, where there are more than are read. */
function some<T>(items: readonly T[], most: number, random: () => number): readonly T[] {
  if (items.length <= most) return items
  const start = Math.floor(random() * items.length)
  return Array.from({ length: most }, (_, index) => items[(start + index) % items.length] as T)
}

async function readHeaders(
  lane: Lane,
  asked: readonly Buffer[],
  master: number,
  identity: GroupIdentity,
  keys: ReturnType<typeof createKeys>,
  sample: EntrySample,
): Promise<void> {
  const page = lane.page()
  for (const key of asked) page.add('GETRANGE', key, 0, HEADER_PROBE_BYTES - 1)
  const replies = await lane.run(page)
  for (const [index, key] of asked.entries()) {
    const header = await headerOf(lane, key, replies[index] ?? null)
    const parsed = keys.parse(key)
    if (header === null || parsed === null) continue
    sample.headers++
    if (typeof header === 'string') sample.undecodable.push({ key: printable(key), reason: header })
    else sample.entries.push({ key, master, identity, parsed, header })
  }
}

/** Text: why it cannot be read. Null: gone meanwhile, or not ours to read. */
async function headerOf(lane: Lane, key: Buffer, reply: Reply): Promise<EntryHeader | string | null> {
  if (isErrorReply(reply)) return reply.code === 'WRONGTYPE' ? 'no string' : null
  if (!Buffer.isBuffer(reply) || reply.length === 0) return null
  const decoded = decodeHeader(reply)
  if (decoded.ok) return decoded.header
  if (decoded.needBytes === undefined || decoded.needBytes <= HEADER_PROBE_BYTES) return decoded.reason
  const page = lane.page()
  page.add('GETRANGE', key, 0, decoded.needBytes - 1)
  const [longer] = await lane.run(page)
  if (!Buffer.isBuffer(longer) || longer.length === 0) return null
  const whole = decodeHeader(longer)
  return whole.ok ? whole.header : whole.reason
}

/** One at a time, as a reader would wait for it. */
async function readValues({ config, masters, effort, signal }: SampleOptions, sample: EntrySample): Promise<void> {
  const beganMs = performance.now()
  const read = new Map<string, number>()
  for (const entry of sample.entries) {
    const { group } = entry.identity
    const count = read.get(group) ?? 0
    const wanted = tenantModelOf(config, entry.parsed) === null ? effort.valuesAGroup : effort.tenantValuesAGroup
    if (count >= wanted || entry.header.payloadBytes > LARGEST_VALUE_BYTES) continue
    if (signal.aborted || performance.now() - beganMs > effort.readWithinMs) return
    read.set(group, count + 1)
    const lane = (masters[entry.master] as OpenedMaster).lane
    const page = lane.page()
    page.add('GET', entry.key)
    const sentMs = performance.now()
    const [reply] = await lane.run(page)
    if (!Buffer.isBuffer(reply)) continue
    sample.fetchMs.set(group, [...(sample.fetchMs.get(group) ?? []), performance.now() - sentMs])
    const decoded = decodeEntry(reply)
    if (decoded.ok) entry.value = decoded.value
    else sample.undecodable.push({ key: printable(entry.key), reason: decoded.reason })
  }
}

export function entryFacts(
  sample: EntrySample,
  config: ResolvedConfig,
  { incarnation, groups, clock }: { incarnation: string | null; groups: readonly StatsGroup[]; clock: Clock },
): EntryFacts {
  const { entries, headers, undecodable } = sample
  return {
    headers,
    undecodable,
    otherIncarnation:
      incarnation === null ? 0 : entries.filter(({ header }) => header.incarnation !== incarnation).length,
    cheap: cheapGroups(sample, groups),
    oldWarms: oldWarms(entries, config, clock.now()),
  }
}

/** By what live processes counted of their loads; where too little was counted, by what entries say of theirs. */
function cheapGroups({ entries, fetchMs }: EntrySample, groups: readonly StatsGroup[]): EntryFacts['cheap'] {
  const counted = new Map(groups.map((group) => [group.group, group]))
  return [...fetchMs].flatMap(([group, times]) => {
    if (times.length < ENOUGH_FETCHES) return []
    const fetch = median(times)
    const told = counted.get(group)
    const deltas = entries.flatMap(({ identity, header }) =>
      identity.group === group && header.deltaMs > 0 ? [header.deltaMs] : [],
    )
    const load =
      told?.loadMs && (told.loads ?? 0) >= ENOUGH_TIMES
        ? told.loadMs.mean
        : deltas.length >= ENOUGH_TIMES
          ? median(deltas)
          : null
    return load !== null && load < fetch ? [{ group, loadMs: load, fetchMs: fetch }] : []
  })
}

function median(values: readonly number[]): number {
  return percentileOf(
    [...values].sort((a, b) => a - b),
    0.5,
  ) as number
}

function oldWarms(entries: readonly SampledEntry[], config: ResolvedConfig, nowMs: number): EntryFacts['oldWarms'] {
  return Object.values(config.models).flatMap((model) => {
    const ttlMs = model.ttl === undefined ? (own(config.namespaces, model.namespace)?.ttlMs ?? null) : model.ttl
    if (model.warm === null || !model.enabled || typeof ttlMs !== 'number') return []
    const ages = entries.flatMap(({ parsed, header }) =>
      parsed.subject === model.subject && parsed.namespace === model.namespace ? [nowMs - header.createdAtMs] : [],
    )
    const newestAgeMs = Math.min(...ages)
    return ages.length > 0 && newestAgeMs > ttlMs ? [{ model: model.name, newestAgeMs, ttlMs, read: ages.length }] : []
  })
}

/** The model whose rows an entry of a tenant holds, where its source can say whose a row is. */
export function tenantModelOf(config: ResolvedConfig, { subject, tenant }: ParsedKey): ResolvedModel | null {
  if (tenant === null) return null
  const model = Object.values(config.models).find((candidate) => candidate.subject === subject)
  return model?.tenant && model.source?.identify ? model : null
}

/** Rows of entries and list pages, by what the model's own source says of them. Rows that do not hold their tenant say nothing. */
export function misplacedRows(
  entries: readonly SampledEntry[],
  config: ResolvedConfig,
): NonNullable<CheckedFacts['tenants']> {
  const misplaced: MisplacedRow[] = []
  let rows = 0
  for (const { key, parsed, value } of entries) {
    const model = tenantModelOf(config, parsed)
    if (model === null || value === undefined) continue
    for (const row of Array.isArray(value) ? value : [value]) {
      const belongsTo = tenantOf(model, row)
      if (belongsTo === null) continue
      rows++
      if (belongsTo === parsed.tenant) continue
      const names = { model: printable(model.name), tenant: printable(parsed.tenant as string) }
      misplaced.push({ key: printable(key), ...names, belongsTo: printable(belongsTo) })
      break
    }
  }
  return { rows, misplaced }
}

function tenantOf(model: ResolvedModel, row: unknown): string | null {
  if (typeof row !== 'object' || row === null) return null
  try {
    return model.source?.identify?.(row as Row).tenant ?? null
  } catch {
    // Without its id, or what else the source needs, a row cannot be told from others.
    return null
  }
}
