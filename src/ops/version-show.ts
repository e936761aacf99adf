// `version show`: which generation and version everything is of, since when, by whom, and what of the former ones is left.
import { currentVersion, isOlderVersion } from '../core/code-version.ts'
import { currentToken } from '../core/dead-generation.ts'
import type { GenerationRecord } from '../core/generation-record.ts'
import { decodeScope, type Scope, scopeField } from '../core/key.ts'
import { printable } from '../core/printable.ts'
import type { OperationContext } from './context.ts'
import { beginReport, type ReportBase } from './report-base.ts'
import { countVersions, type VersionCount } from './version-count.ts'
import { type RawVersion, rawScopeOf } from './version-raw.ts'
import { checkTenant, parseVersionTarget, scopeNameOf, scopesOf, type VersionTarget } from './version-scopes.ts'
import { readVersionState, requireConfig, type VersionState } from './version-state.ts'
import type { CountedKeys } from './version-tally.ts'

export interface VersionShowOptions {
  /** none: everything that was bumped, and all versions */
  targets: readonly string[]
  tenant: string | null
  /** counts every key, however many there are */
  full: boolean
}

/** A generation that is over. */
export interface PreviousGeneration extends CountedKeys {
  /** the how-manieth; 0: before the first bump; null: not recorded */
  generation: number | null
  /** null: keys without token */
  token: string | null
  since: string | null
  by: string | null
}

export interface ShownScope {
  /** `global`, `namespace:list`, `model:product`, `subject:@fn.x`, `tenant:7` */
  scope: string
  /** of a raw namespace: whose version it is */
  subject: string | null
  tenant: string | null
  /** of the code; null where the scope has none of its own */
  version: string | null
  /** how often it was bumped, as far as records go back; null: unknown */
  generation: number | null
  /** null: never bumped */
  token: string | null
  /** ISO 8601, UTC, by the clock of the server */
  since: string | null
  by: string | null
  /** newest first; those that are not recorded last */
  previous: PreviousGeneration[]
  /** of the current generation and version */
  keys: number
  bytes: number | null
  /** of a raw namespace: where its version is written; null otherwise */
  versionKey: string | null
  /** why its version cannot be bumped; null: it can */
  problem: string | null
}

/** Keys that are of another version of the code than this config's. */
export interface ShownVersion extends CountedKeys {
  version: string
  /** some of them */
  subjects: string[]
  state: 'current' | 'older' | 'newer'
  /** registered: when its first process came; asked: its processes were asked for, and none has answered; null: no process ever was */
  processes: 'registered' | 'asked' | null
  since: string | null
}

export interface VersionShowReport extends ReportBase {
  command: 'version'
  prefix: string
  targets: string[]
  tenant: string | null
  method: 'full' | 'sample'
  visited: number
  scopes: ShownScope[]
  versions: ShownVersion[]
  notes: string[]
}

/** Changes nothing. Stopped early it tells what it has seen. @throws CachectlError */
export async function showVersions(
  context: OperationContext,
  { targets: texts, tenant, full }: VersionShowOptions,
): Promise<VersionShowReport> {
  const config = requireConfig(context)
  const targets = texts.map((text) => parseVersionTarget(text, config))
  for (const target of targets) checkTenant(target, tenant, config)
  const report = await beginReport(context)
  const state = await readVersionState(context, config.prefix)
  const count = await countVersions(context, state, full)
  const scopes = chooseScopes(targets, tenant, state).map((scope) => showScope(scope, state, count, config))
  const raw = count.raw.found.filter((version) => isMeant(version, targets, tenant))
  return {
    command: 'version',
    ...report(count.complete),
    prefix: config.prefix,
    targets: texts.map((text) => printable(text)),
    tenant: tenant === null ? null : printable(tenant),
    method: count.method,
    visited: count.visited,
    scopes: [...scopes, ...raw.map((version) => showRaw(version, count))],
    versions: targets.length > 0 || tenant !== null ? [] : showVersionsOf(state, count, config),
    notes: notesOf(state, count),
  }
}

type Config = ReturnType<typeof requireConfig>

/** Without targets: `global`, and whatever was bumped. */
function chooseScopes(targets: readonly VersionTarget[], tenant: string | null, state: VersionState): Scope[] {
  if (targets.length > 0) return targets.flatMap((target) => scopesOf(target, tenant))
  const bumped = [...state.fields.keys()].flatMap((field) => decodeScope(field) ?? [])
  if (tenant === null) return [{ kind: 'global' }, ...bumped.filter(({ kind }) => kind !== 'global')]
  const own = bumped.filter((scope) => 'tenant' in scope && scope.tenant === tenant && scope.kind !== 'tenant')
  return [{ kind: 'tenant', tenant }, ...own]
}

function showScope(scope: Scope, state: VersionState, count: VersionCount, config: Config): ShownScope {
  const field = scopeField(scope)
  const token = currentToken(scope, state.generations)
  const records = state.records.get(field) ?? []
  const record = records.find((candidate) => candidate.token === token) ?? null
  const { keys, bytes } = count.current(field)
  return {
    ...scopeNameOf(scope, config),
    subject: null,
    version:
      'subject' in scope ? currentVersion(config, scope.subject) : scope.kind === 'global' ? config.version : null,
    generation: token === null ? 0 : (record?.generation ?? null),
    token: token === null ? null : printable(token),
    since: sinceOf(record),
    by: record === null ? null : printable(record.by),
    previous: previousOf(field, token, records, count),
    keys,
    bytes,
    versionKey: null,
    problem: null,
  }
}

/** Those that are recorded, with or without keys, and those of which there are keys. */
function previousOf(
  field: string,
  token: string | null,
  records: readonly GenerationRecord[],
  count: VersionCount,
): PreviousGeneration[] {
  const left = new Map((count.dead.get(field) ?? []).map((dead) => [dead.token, dead.keys]))
  const known = new Map<string | null, Pick<PreviousGeneration, 'generation' | 'since' | 'by'>>()
  for (const record of records)
    known.set(record.token, { generation: record.generation, since: sinceOf(record), by: printable(record.by) })
  // Of what the oldest record ended nothing more is known.
  for (const { before, generation } of records)
    if (before !== null && !known.has(before)) known.set(before, { generation: generation - 1, since: null, by: null })
  known.delete(token)
  const unknown = [...left.keys()].filter((name) => !known.has(name))
  const nothing = { keys: 0, bytes: 0, error: null, noTtlKeys: 0, longestTtlMs: null, drainedAt: null }
  return [
    ...[...known].map(([name, about]) => ({ ...about, token: name, ...(left.get(name) ?? nothing) })),
    ...unknown.map((name) => ({
      generation: name === null ? 0 : null,
      token: name,
      since: null,
      by: null,
      ...(left.get(name) ?? nothing),
    })),
  ]
}

const sinceOf = (record: GenerationRecord | null): string | null =>
  record === null ? null : new Date(Math.min(record.sinceMs, 8.64e15)).toISOString()

function isMeant(
  { namespace, subject, tenant: of }: RawVersion,
  targets: readonly VersionTarget[],
  tenant: string | null,
) {
  if (tenant !== null && of !== tenant) return false
  if (targets.length === 0) return true
  return targets.some((target) => {
    if (target.kind === 'namespace') return target.namespace === namespace
    if (target.kind === 'tenant') return target.tenant === of
    return target.kind === 'subject' && subject !== null && target.subjects.includes(subject)
  })
}

function showRaw(version: RawVersion, { told }: VersionCount): ShownScope {
  const { scope, subject, tenant, versionKey, token, problem, previous, current } = rawScopeOf(version, told)
  return {
    scope,
    subject,
    tenant,
    version: null,
    generation: token === null || problem !== null ? null : Number(token),
    token,
    since: null,
    by: null,
    previous: previous.map(({ token: name, counted }) => ({
      generation: Number(name),
      token: name,
      since: null,
      by: null,
      ...counted,
    })),
    keys: current.keys,
    bytes: current.bytes,
    versionKey,
    problem,
  }
}

function showVersionsOf(state: VersionState, count: VersionCount, config: Config): ShownVersion[] {
  const counted = count.versions.map(({ version, subjects, keys }) => {
    const registered = state.versions.filter((one) => one.version === version)
    const alive = registered.find(({ leavingMs }) => leavingMs === null)
    const older = subjects.every((subject) => isOlderVersion(version, currentVersion(config, subject)))
    return {
      version,
      subjects: subjects.map((subject) => printable(subject)),
      state: older ? ('older' as const) : ('newer' as const),
      processes:
        alive !== undefined || state.live.has(version)
          ? ('registered' as const)
          : registered.length > 0
            ? ('asked' as const)
            : null,
      since: alive?.since ?? null,
      ...keys,
    }
  })
  return counted.sort((a, b) => b.keys - a.keys)
}

function notesOf(state: VersionState, count: VersionCount): string[] {
  const notes: string[] = []
  if (!count.complete)
    notes.push(`stopped after ${count.visited} keys: the figures are those of what was seen until then`)
  if (state.incarnation === null)
    notes.push('no control data here: nothing was bumped, or it is lost and all entries miss')
  if (count.raw.overflowed) notes.push('there are more versions of raw namespaces than are told apart')
  return notes
}
