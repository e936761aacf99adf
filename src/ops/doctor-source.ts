// Whether sampled entries are what their rows are now: versions of entries against those of the source. Only with --source, because it reads the database.
import type { ResolvedConfig, ResolvedModel } from '../config/resolved.ts'
import { compareVersions, decodeHeader, type EntryHeader } from '../core/entry.ts'
import type { CheckedFacts, StaleRow } from '../core/findings/facts.ts'
import { createKeys } from '../core/key.ts'
import { printable } from '../core/printable.ts'
import { asSourceError } from '../core/source-failure.ts'
import type { Id, Reply, Row, SourceRow } from '../ports.ts'
import type { OperationContext } from './context.ts'
import { explainDeadStamps } from './dead-stamps.ts'
import type { Effort } from './doctor-effort.ts'
import type { SampledEntry } from './doctor-entries.ts'
import type { OpenedMaster } from './doctor-servers.ts'
import type { ControlFields } from './version-state.ts'

interface Candidate {
  entry: SampledEntry
  id: Id
}

/** @throws CachectlError SOURCE_FAILED */
export async function staleRows(
  context: OperationContext,
  config: ResolvedConfig,
  entries: readonly SampledEntry[],
  control: ControlFields,
  masters: readonly OpenedMaster[],
  { rows: mostRows }: Pick<Effort, 'rows'>,
): Promise<NonNullable<CheckedFacts['source']>> {
  const keys = createKeys({ prefix: config.prefix, tenantLabel: config.tenantLabel }, control.generations)
  const stale: StaleRow[] = []
  let rows = 0
  for (const model of Object.values(config.models)) {
    const candidates = entries
      .filter((entry) => isReadable(entry, model, control, keys, context.clock.now()))
      .flatMap((entry) => {
        const id = idOf(model, entry)
        return id === null ? [] : [{ entry, id }]
      })
      .slice(0, mostRows)
    for (const [tenant, some] of byTenant(candidates)) {
      if (context.signal.aborted) return { rows, stale }
      const loaded = await loadRows(context, model, some, tenant)
      rows += some.length
      for (const candidate of some) {
        const row = loaded.get(String(candidate.id)) ?? null
        if (!differs(candidate.entry.header, row)) continue
        if (!(await isStillGiven(context, config, candidate.entry, masters))) continue
        stale.push(describe(model, candidate, row))
      }
    }
  }
  return { rows, stale }
}

/** Entries that no read gives are nobody's stale data. */
function isReadable(
  { key, parsed, header }: SampledEntry,
  model: ResolvedModel,
  { incarnation }: ControlFields,
  keys: ReturnType<typeof createKeys>,
  nowMs: number,
): boolean {
  if (parsed.subject !== model.subject || parsed.namespace !== model.namespace || parsed.version !== model.version)
    return false
  if (model.source?.load === undefined || header.sourceVersion === null || header.incarnation !== incarnation)
    return false
  if (header.freshUntilMs !== null && header.freshUntilMs + header.graceMs < nowMs) return false
  return key.toString('utf8').startsWith(keys.head(parsed))
}

/** Null: only the row could say it, and does not. */
function idOf(model: ResolvedModel, { parsed, value }: SampledEntry): Id | null {
  if (model.key === null) return parsed.rest.length === 1 ? (parsed.rest[0] as string) : null
  try {
    return model.source?.identify?.(value as Row).id ?? null
  } catch {
    return null
  }
}

function byTenant(candidates: readonly Candidate[]): Map<string | null, Candidate[]> {
  const groups = new Map<string | null, Candidate[]>()
  for (const candidate of candidates) {
    const { tenant } = candidate.entry.parsed
    groups.set(tenant, [...(groups.get(tenant) ?? []), candidate])
  }
  return groups
}

async function loadRows(
  { signal }: OperationContext,
  model: ResolvedModel,
  candidates: readonly Candidate[],
  tenant: string | null,
): Promise<Map<string, SourceRow>> {
  const ids = candidates.map(({ id }) => id)
  try {
    const rows = await model.source?.load?.(ids, { signal, ...(tenant === null ? {} : { tenant }) })
    return new Map((rows ?? []).map((row) => [String(row.id), row]))
  } catch (thrown) {
    throw asSourceError(model.name, thrown)
  }
}

function differs({ sourceVersion }: EntryHeader, row: SourceRow | null): boolean {
  // What is newer than its row was read from a replica of the database that is behind: not the entry is stale.
  if (row === null) return true
  return row.version !== null && !['equal', 'newer'].includes(compareVersions(sourceVersion, row.version))
}

/** It may have been invalidated, or filled anew, while its row was loaded. */
async function isStillGiven(
  { store }: OperationContext,
  config: ResolvedConfig,
  { key, header, master }: SampledEntry,
  masters: readonly OpenedMaster[],
): Promise<boolean> {
  const { lane } = masters[master] as OpenedMaster
  const page = lane.page()
  page.add(
    'GETRANGE',
    key,
    0,
    255 + header.tags.reduce((sum, { tag, stamp }) => sum + 3 * (tag.length + stamp.length), 0),
  )
  const [reply]: readonly Reply[] = await lane.run(page)
  const now = Buffer.isBuffer(reply) ? decodeHeader(reply) : null
  if (!now?.ok || now.header.sourceVersion !== header.sourceVersion || now.header.createdAtMs !== header.createdAtMs)
    return false
  return (await explainDeadStamps(store, config.prefix, header.tags)).length === 0
}

function describe(model: ResolvedModel, { entry, id }: Candidate, row: SourceRow | null): StaleRow {
  const { key, parsed } = entry
  return {
    key: printable(key),
    model: printable(model.name),
    target: printable(`${model.name}:${id}`),
    tenant: parsed.tenant === null ? null : printable(parsed.tenant),
    why: row === null ? 'gone' : 'changed',
  }
}
