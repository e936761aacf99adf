// `why`: is the key there, what does its envelope say, whose is it, and what would a read of it do now, in plain sentences.
import type { ResolvedConfig } from '../config/resolved.ts'
import { declarationOf, own } from '../core/declared.ts'
import { decodeHeader, HEADER_PROBE_BYTES } from '../core/entry.ts'
import { createKeys, generationsKey, isControlKey, type ParsedKey, readGenerations } from '../core/key.ts'
import { printable, unprintable } from '../core/printable.ts'
import { compileRawKey } from '../core/raw-key.ts'
import { explainRead, type ReadFacts, type ReadVerdict } from '../core/read-verdict.ts'
import { describeReads, type StatsGroup } from '../core/stats.ts'
import type { Reply } from '../ports.ts'
import type { OperationContext } from './context.ts'
import { explainDeadStamps } from './dead-stamps.ts'
import { type AboutEntry, aboutEntry, memoryOf, typeOf } from './get.ts'
import { readHitRates } from './hit-rates.ts'
import { beginReport, type ReportBase } from './report-base.ts'

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
  belongsTo: Belonging | null
  /** of its namespace and subject in the last hour, all tenants; null where nothing was counted */
  reads: Pick<StatsGroup, 'hits' | 'misses' | 'hitRate' | 'loads' | 'loadMs'> | null
  read: ReadVerdict
}

/** What the key says of itself, by the config's scheme. */
export interface Belonging {
  namespace: string
  subject: string | null
  model: string | null
  version: string | null
  tenant: string | null
  rest: string[]
  /** namespace and subject are in the config, or the namespace is and live processes read the subject in the last hour */
  declared: boolean
  /** written by other software */
  raw: boolean
}

/**
 * @param key as `keys` prints it, or the plain form without generation tokens
 * @throws CachectlError
 */
export async function why(context: OperationContext, key: string): Promise<WhyReport> {
  const { config, store, clock } = context
  const report = await beginReport(context)
  const bytes = unprintable(key)
  const type = await typeOf(context, bytes)
  const ttl = type === null ? null : await store.call('PTTL', bytes)
  const head = type === 'string' ? await readHeader(context, bytes) : null
  const header = head?.ok ? head.header : null
  const parsed =
    config === null ? null : createKeys({ prefix: config.prefix, tenantLabel: config.tenantLabel }).parse(bytes)
  const belongsTo = config === null ? null : belongingOf(config, bytes, parsed)
  const reads = await readsOf(context, belongsTo)
  const ofCode =
    config !== null &&
    belongsTo !== null &&
    belongsTo.model === null &&
    own(config.namespaces, belongsTo.namespace) !== undefined
  if (belongsTo !== null && ofCode && reads !== null) belongsTo.declared = true
  const facts: ReadFacts = {
    exists: type !== null,
    type,
    header,
    headerFailure: head === null || head.ok ? null : head.reason,
    nowMs: clock.now(),
    hasConfig: config !== null,
    control: config !== null && isControlKey(config.prefix, bytes),
    raw: belongsTo?.raw ?? false,
    declared: ofCode || (belongsTo?.declared ?? false),
    ofCode,
    invalidations: config === null || header === null ? [] : await explainDeadStamps(store, config.prefix, header.tags),
    place:
      belongsTo === null ? null : `${belongsTo.namespace}${belongsTo.subject === null ? '' : `:${belongsTo.subject}`}`,
    ...(config === null || parsed === null ? NO_CONTROL : await controlFacts(context, config, bytes, parsed)),
  }
  return {
    command: 'why',
    ...report(),
    key: printable(bytes),
    exists: type !== null,
    type,
    ttlMs: typeof ttl === 'number' && ttl >= 0 ? ttl : null,
    bytes: type === null ? null : await memoryOf(context, bytes),
    entry: header === null ? null : aboutEntry(header, clock.now()),
    belongsTo,
    reads,
    read: explainRead(facts),
  }
}

type ControlFacts = Pick<ReadFacts, 'incarnation' | 'currentKey' | 'keyVersion' | 'configVersion'>

const NO_CONTROL: ControlFacts = { incarnation: null, currentKey: null, keyVersion: null, configVersion: null }

/** Under which key a read would look now, and which history it would accept. */
async function controlFacts(
  { store }: OperationContext,
  config: ResolvedConfig,
  bytes: Buffer,
  parsed: ParsedKey,
): Promise<ControlFacts> {
  const fields = (await store.call('HGETALL', generationsKey(config.prefix))) as readonly Reply[]
  const pairs: [string, string][] = []
  for (let i = 0; i + 1 < fields.length; i += 2) pairs.push([String(fields[i]), String(fields[i + 1])])
  const { incarnation, generations } = readGenerations(pairs)
  const keys = createKeys({ prefix: config.prefix, tenantLabel: config.tenantLabel }, generations)
  const model = Object.values(config.models).find((candidate) => candidate.subject === parsed.subject)
  const configVersion = model?.version ?? config.version
  // A digest cannot be spelled again: only the head of such a key can be compared.
  const current = parsed.digest === null ? keys.build(parsed) : `${keys.head(parsed)}#${parsed.digest}`
  return {
    incarnation,
    currentKey: current === bytes.toString('utf8') ? null : printable(current),
    keyVersion: parsed.version,
    configVersion,
  }
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

function belongingOf(config: ResolvedConfig, bytes: Buffer, parsed: ParsedKey | null): Belonging | null {
  if (parsed !== null) {
    const { namespace, subject, version, tenant, rest } = parsed
    const model = Object.values(config.models).find((candidate) => candidate.subject === subject)?.name ?? null
    const { declared } = declarationOf(config, namespace, subject)
    return {
      namespace,
      subject,
      model,
      version,
      tenant,
      rest: [...rest],
      declared,
      raw: own(config.namespaces, namespace)?.format === 'raw',
    }
  }
  for (const { name, format, keyPattern } of Object.values(config.namespaces)) {
    const parts = format === 'raw' && keyPattern !== null ? compileRawKey(keyPattern)(bytes) : null
    if (parts === null) continue
    const { subject, version, tenant, rest } = parts
    return {
      namespace: name,
      subject,
      model: null,
      version,
      tenant,
      rest: rest === null ? [] : [rest],
      declared: true,
      raw: true,
    }
  }
  return null
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
