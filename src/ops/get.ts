// `get`: one key of any Redis, its value decoded, and what is known about it.

import type { ResolvedConfig } from '../config/resolved.ts'
import { deadGenerationOf } from '../core/dead-generation.ts'
import type { EntryHeader } from '../core/entry.ts'
import { createKeys } from '../core/key.ts'
import { describeStamp } from '../core/model-stamps.ts'
import { printable, unprintable } from '../core/printable.ts'
import type { Reply } from '../ports.ts'
import type { OperationContext } from './context.ts'
import { explainDeadStamps } from './dead-stamps.ts'
import { readValue, type ValueFormat } from './read-value.ts'
import { beginReport, type ReportBase } from './report-base.ts'
import { scopeNameOf } from './version-scopes.ts'
import { readControl } from './version-state.ts'

export interface GetReport extends ReportBase {
  command: 'get'
  /** escaped, as `keys` prints it */
  key: string
  found: boolean
  /** null where there is no such key */
  about: AboutKey | null
  value: unknown
  /** the bytes of a string; null of other types. Not for JSON output. */
  raw: Buffer | null
}

export interface AboutKey {
  /** of Redis: `string`, `hash` … */
  type: string
  format: ValueFormat
  /** null: no TTL */
  ttlMs: number | null
  /** by MEMORY USAGE; null where it is refused */
  bytes: number | null
  entry: AboutEntry | null
  notes: string[]
}

/** The envelope of an entry, with times as durations from now. */
export interface AboutEntry {
  codec: string
  /** ISO 8601, by the clock of who wrote it */
  createdAt: string
  ageMs: number
  /** negative: stale since; null: never stale */
  freshForMs: number | null
  graceMs: number
  /** how long its value took to compute */
  deltaMs: number
  writer: string
  sourceVersion: string | null
  incarnation: string
  /** `user:7`, escaped when they are shown */
  tags: string[]
  /** what else it shows, in words: `rows of category` */
  dependsOn: string[]
  payloadBytes: number
}

/**
 * @param key as `keys` prints it: `\xNN` and `\u{…}` for what cannot be shown, `\\` for a backslash
 * @throws CachectlError
 */
export async function getEntry(context: OperationContext, key: string): Promise<GetReport> {
  const { store, clock } = context
  const report = await beginReport(context)
  const bytes = unprintable(key)
  const type = await typeOf(context, bytes)
  const read = type === null ? null : await readValue(store, bytes, type)
  if (type === null || read === null)
    return { command: 'get', ...report(), key: printable(bytes), found: false, about: null, value: null, raw: null }
  const ttl = await store.call('PTTL', bytes)
  const about: AboutKey = {
    type,
    format: read.format,
    ttlMs: typeof ttl === 'number' && ttl >= 0 ? ttl : null,
    bytes: await memoryOf(context, bytes),
    entry: read.header === null ? null : aboutEntry(read.header, clock.now()),
    notes: [...read.notes, ...(await deadNotes(context, bytes, read.header))],
  }
  return { command: 'get', ...report(), key: printable(bytes), found: true, about, value: read.value, raw: read.raw }
}

async function deadNotes(context: OperationContext, key: Buffer, header: EntryHeader | null): Promise<string[]> {
  const { config, store } = context
  if (config === null || header === null) return []
  const [dead, unreachable] = await Promise.all([
    explainDeadStamps(store, config.prefix, header.tags),
    outOfReach(context, config, key, header),
  ])
  return [...unreachable, ...dead.map((what) => `since it was loaded ${what}`)].map((why) => `no read gives it: ${why}`)
}

/** Why no read looks under the key, or takes what is there. Nothing where control data may not be read. */
async function outOfReach(
  { store }: OperationContext,
  config: ResolvedConfig,
  key: Buffer,
  header: EntryHeader,
): Promise<string[]> {
  const control = await readControl(store, config.prefix).catch(() => null)
  if (control === null) return []
  if (header.incarnation !== control.incarnation) return ['control data was lost since it was written']
  const parsed = createKeys({ prefix: config.prefix, tenantLabel: config.tenantLabel }).parse(key)
  const ended = parsed === null ? null : deadGenerationOf(parsed, control.generations)
  if (ended === null) return []
  const { scope } = scopeNameOf(ended.scope, config)
  return [`${scope} was bumped since; \`cachectl why\` names the key that is read now`]
}

export function aboutEntry(header: EntryHeader, nowMs: number): AboutEntry {
  const { codec, createdAtMs, freshUntilMs, graceMs, deltaMs, writer, sourceVersion, incarnation, tags, payloadBytes } =
    header
  const stamps = tags.map(({ tag }) => describeStamp(tag))
  const isTag = ({ kind }: (typeof stamps)[number]): boolean => kind === 'tag' || kind === null
  return {
    codec,
    createdAt: new Date(createdAtMs).toISOString(),
    ageMs: Math.max(0, nowMs - createdAtMs),
    freshForMs: freshUntilMs === null ? null : freshUntilMs - nowMs,
    graceMs,
    deltaMs,
    writer,
    sourceVersion,
    incarnation,
    tags: stamps.filter(isTag).map(({ text }) => text),
    dependsOn: stamps.filter((stamp) => !isTag(stamp)).map(({ text }) => text),
    payloadBytes,
  }
}

/** Null: there is no such key. */
export async function typeOf({ store }: OperationContext, key: Buffer): Promise<string | null> {
  const type = text(await store.call('TYPE', key))
  return type === 'none' ? null : type
}

/** Null where MEMORY USAGE is refused, as managed services do. */
export async function memoryOf({ store }: OperationContext, key: Buffer): Promise<number | null> {
  const bytes = await store.call('MEMORY', 'USAGE', key).catch(() => null)
  return typeof bytes === 'number' && bytes > 0 ? bytes : null
}

function text(reply: Reply): string {
  return Buffer.isBuffer(reply) ? reply.toString() : String(reply)
}
