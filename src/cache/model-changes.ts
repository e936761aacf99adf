// What an invalidation of rows, lists or a whole model comes to: entries by name, stamps, fences, generations.
import { isDeepStrictEqual } from 'node:util'
import type { ResolvedConfig, ResolvedList, ResolvedModel } from '../config/resolved.ts'
import type { DeclaredModel } from '../core/declared.ts'
import { CachectlError } from '../core/errors.ts'
import { idText, type Scope } from '../core/key.ts'
import { dependantsOf, rowStamp, staleListStamps, staleModelStamps, staleRowStamps } from '../core/model-stamps.ts'
import { optionNames, refuseUnknown } from '../core/option-names.ts'
import { printable } from '../core/printable.ts'
import { isProjected } from '../core/projection.ts'
import type { Id, Row } from '../ports.ts'
import type { Change, Place } from './kernel.ts'
import { identify, type ModelContext } from './model-context.ts'

/** The model, and the tenant of the call. */
export type ChangeContext = Omit<ModelContext, 'kernel'>

/** Pages and counts of one list of the config; `'*'`: of all, and of those that it does not declare. */
export interface ListTarget {
  list: string
}

export interface InvalidateOptions {
  /** columns that an update has changed: lists that neither show nor filter nor sort by them stay. Without it all lists go. */
  changed?: readonly string[]
  /** the row before the update: what differs is `changed`; of a row that moved, the old place goes too */
  before?: Row
}

const OPTIONS = optionNames<InvalidateOptions>({ changed: true, before: true })

/** @throws CachectlError USAGE */
export function checkInvalidateOptions(options: InvalidateOptions): void {
  refuseUnknown(options, OPTIONS, 'invalidate')
  const { changed, before } = options
  // A text would be taken for the list of its characters, and lists would stay.
  if (changed !== undefined && !(Array.isArray(changed) && changed.every((column) => typeof column === 'string')))
    throw new CachectlError('USAGE', '`changed` is no list of columns', { hint: "write `changed: ['stock']`" })
  if (before !== undefined && (typeof before !== 'object' || before === null))
    throw new CachectlError('USAGE', '`before` is no row', { hint: 'give the row as it was before the update' })
}

interface NamedRow {
  /** null: nobody can say where its entry is */
  text: string | null
  id: string
  tenant: string | null
}

/** @throws CachectlError KEY_INVALID, USAGE */
export function rowsChange(
  context: ChangeContext,
  targets: readonly (Id | Row)[],
  { changed, before }: InvalidateOptions,
  placeOf: (text: string, tenant: string | null) => Place,
): Change {
  const { model, config } = context
  const rows = targets.map((target) => nameRow(context, target))
  if (before !== undefined) rows.push(nameRow(context, before))
  const [row] = targets
  const columns = before !== undefined && typeof row === 'object' ? differing(row, before) : (changed ?? null)
  const tenants = [...new Set(rows.map(({ tenant }) => tenant))]
  const lists = columns === null ? null : touchedLists(model, columns)
  const stamps = tenants.flatMap((tenant) => [
    ...staleRowStamps(model, tenant),
    ...staleListStamps(model, lists, tenant),
  ])
  if (model.key) stamps.push(...rows.map(({ id, tenant }) => rowStamp(model, id, tenant)))
  return {
    entries: rows.flatMap(({ text, tenant }) => (text === null ? [] : [placeOf(text, tenant)])),
    stamps: [...new Set(stamps)],
    fences: fencesOf(config, model),
  }
}

export function listsChange(context: ChangeContext, { list }: ListTarget): Change {
  const { model } = context
  if (list !== '*' && !model.lists.some((candidate) => candidate.name === list))
    throw new CachectlError('USAGE', `${model.name} has no list called \`${printable(list)}\``, {
      hint: `its lists are: ${model.lists.map(({ name }) => name).join(', ') || 'none'}; \`*\` is all of them`,
    })
  return {
    stamps: staleListStamps(model, list === '*' ? null : [list], context.tenant()),
    fences: [model.subject],
  }
}

/** Of the tenant of the call, where the model has tenants and the call is in one; of all otherwise. */
export function modelChange(context: ChangeContext): Change {
  const { model, config } = context
  const tenant = model.tenant ? context.handleTenant() : null
  const scopeOf = (subject: string, ownTenant: boolean): Scope =>
    tenant !== null && ownTenant ? { kind: 'tenant-subject', tenant, subject } : { kind: 'subject', subject }
  const scopes = new Map([[model.subject, scopeOf(model.subject, model.tenant)]])
  for (const dependant of dependantsOf(config, model))
    if (dependant.model.name !== model.name)
      scopes.set(dependant.model.subject, scopeOf(dependant.model.subject, dependant.ownTenant))
  return { scopes: [...scopes.values()], stamps: staleModelStamps(model, tenant), fences: fencesOf(config, model) }
}

function fencesOf(config: ResolvedConfig, model: DeclaredModel): string[] {
  return [...new Set([model.subject, ...dependantsOf(config, model).map((dependant) => dependant.model.subject)])]
}

function nameRow(context: ChangeContext, target: Id | Row): NamedRow {
  const { model } = context
  if (typeof target !== 'object' || target === null) {
    const text = idText(target)
    return { text, id: text, tenant: context.tenant() }
  }
  const { id, tenant: named } = identify(model, target)
  const tenant = model.tenant ? (named ?? context.tenant()) : null
  const own = model.tenant ? context.handleTenant() : null
  if (own !== null && tenant !== own)
    throw new CachectlError('USAGE', `the row of ${model.name} belongs to tenant ${tenant}, this call to ${own}`, {
      hint: `write cache.tenant(…) for its own tenant`,
    })
  return { text: keyOf(model, target, id), id: idText(id), tenant }
}

/** A row that is known in part may not say its key: its entry goes by its stamp then. */
function keyOf(model: ResolvedModel, row: Row, id: Id): string | null {
  if (model.key === null) return idText(id)
  try {
    return idText(model.key(row))
  } catch {
    return null
  }
}

/** Names of the lists whose pages or counts may be others since these columns changed; of those that are not declared nobody knows. */
function touchedLists(model: ResolvedModel, columns: readonly string[]): string[] {
  const shown = columns.some((column) => isProjected(model, column))
  const touched = model.lists.filter((list) => shown || columns.some((column) => uses(list, column)))
  return ['all', ...touched.map(({ name }) => name)]
}

function uses({ by, where, sort }: ResolvedList, column: string): boolean {
  return by.includes(column) || Object.hasOwn(where, column) || sort.includes(column) || sort.includes(`-${column}`)
}

function differing(row: Row, before: Row): string[] {
  const columns = new Set([...Object.keys(row), ...Object.keys(before)])
  return [...columns].filter((column) => !isDeepStrictEqual(row[column], before[column]))
}
