// cache.model: the rows of a model of the config, read through its source; its lists and counts; and what makes them unreachable.
import type { ResolvedModel } from '../config/resolved.ts'
import { own } from '../core/declared.ts'
import { CachectlError } from '../core/errors.ts'
import { idText } from '../core/key.ts'
import { nearest } from '../core/nearest.ts'
import { printable } from '../core/printable.ts'
import type { Id } from '../ports.ts'
import type { Invalidated } from './kernel.ts'
import {
  checkInvalidateOptions,
  type InvalidateOptions,
  type ListTarget,
  listsChange,
  modelChange,
  rowsChange,
} from './model-changes.ts'
import { createModelContext } from './model-context.ts'
import { createModelEntries, type SetOptions } from './model-entries.ts'
import { type CountRequest, createModelLists, type ListRequest } from './model-lists.ts'
import { policyOf } from './policy.ts'
import type { Surface } from './surface.ts'
import { isCurrent, type SourceVersion, versionText } from './validation.ts'

export type { InvalidateOptions, ListTarget } from './model-changes.ts'
export type { SetOptions } from './model-entries.ts'
export type { CountRequest, Filters, FilterValue, ListRequest } from './model-lists.ts'

/** A row as it is cached: its columns are the database's, which no type here can know. */
// biome-ignore lint/suspicious/noExplicitAny: `unknown` would make every use of a column begin with a cast
export type CachedRow = Record<string, any>

export interface ModelCache<R extends CachedRow = CachedRow> {
  /**
   * The row with this id, with its joins; undefined where there is none, or it belongs to another tenant. Of a model with `key`: by what that gives.
   * @throws CachectlError KEY_INVALID, SOURCE_FAILED, SOURCE_INVALID
   */
  get(id: Id): Promise<R | undefined>
  /** By the ids as they were given; those without row are not in it. One round trip, and one load for all that is missing. */
  getMany(ids: readonly Id[]): Promise<Map<Id, R>>
  /** A page of a list; empty behind its end. @throws CachectlError USAGE for a list that is not declared, other filters than its own, a page that is none */
  list(request?: ListRequest): Promise<R[]>
  /** How many rows a list has over all its pages. */
  count(request?: CountRequest): Promise<number>
  /** Writes the entry of this row, as its fields are projected. Lists are not touched: `invalidate(row)` is for changes. False where it was not written. */
  set(row: CachedRow, options?: SetOptions): Promise<boolean>
  /** Loads the row whatever is cached, and caches it. */
  refresh(id: Id): Promise<R | undefined>
  /**
   * After a row was created, changed or deleted, and that was committed: its entry, the lists and counts of the model (of its tenant), and what shows the row
   * in other models are unreachable. Or of a list: its pages and counts.
   */
  invalidate(target: Id | CachedRow | readonly (Id | CachedRow)[], options?: InvalidateOptions): Promise<Invalidated>
  invalidate(target: ListTarget): Promise<Invalidated>
  /** All entries, lists and counts, and those of the models that show its rows: of the tenant, in a tenant's handle or work; of all tenants otherwise. */
  invalidateAll(): Promise<Invalidated>
  /** Invalidates the row unless what is cached of it is of this version or a later one. */
  invalidateOnChange(id: Id, updatedAt?: SourceVersion): Promise<Invalidated>
  /** The key under which the row's entry is now. */
  key(id: Id): Promise<string>
}

export interface Models {
  /** @throws CachectlError USAGE for a name that the config has not */
  model(name: string): ModelCache
}

export function createModels(surface: Surface): Models {
  const { models } = surface.kernel.config
  const made = new Map<string, ModelCache>()
  return {
    model(name) {
      const known = made.get(name)
      if (known !== undefined) return known
      const model = typeof name === 'string' ? own(models, name) : undefined
      if (model === undefined) throw unknownModel(String(name), Object.keys(models))
      const created = createModelCache(surface, model)
      made.set(name, created)
      return created
    },
  }
}

const NOTHING: Invalidated = {
  status: 'applied',
  acknowledged: { processes: 0, of: 0, lapsed: false },
  deleted: 0,
}

function createModelCache(surface: Surface, model: ResolvedModel): ModelCache {
  const context = createModelContext(surface, model)
  const { kernel, config } = context
  const entries = createModelEntries(context)
  const lists = createModelLists(context)

  const invalidate = async (
    target: Id | CachedRow | ListTarget | readonly (Id | CachedRow)[],
    options: InvalidateOptions = {},
  ): Promise<Invalidated> => {
    if (isListTarget(target)) return kernel.invalidate(listsChange(context, target))
    checkInvalidateOptions(options)
    const targets = Array.isArray(target) ? target : [target]
    if (targets.length === 0) return NOTHING
    if (options.before !== undefined && targets.length > 1)
      throw new CachectlError('USAGE', '`before` goes with one row', { hint: 'invalidate the rows one by one' })
    return kernel.invalidate(rowsChange(context, targets, options, entries.place))
  }
  const invalidateOnChange = async (id: Id, updatedAt?: SourceVersion): Promise<Invalidated> => {
    const version = versionText(updatedAt)
    if (version !== null) {
      const namespace = config.namespaces[model.namespace]
      const place = entries.place(idText(id), context.tenant())
      const [found] = namespace ? await kernel.read([place], policyOf(namespace)) : []
      if (found !== undefined && found.hit !== 'miss' && isCurrent(found.sourceVersion, version)) return NOTHING
    }
    return invalidate(id)
  }

  return {
    get: entries.get,
    getMany: entries.getMany,
    set: entries.set,
    refresh: entries.refresh,
    key: entries.key,
    list: lists.list,
    count: lists.count,
    invalidate,
    invalidateAll: async () => kernel.invalidate(modelChange(context)),
    invalidateOnChange,
  }
}

/** `{ list: 'byCountry' }`: a row has more columns than this, its id at least. */
function isListTarget(target: unknown): target is ListTarget {
  if (typeof target !== 'object' || target === null || Array.isArray(target)) return false
  const names = Object.keys(target)
  return names.length === 1 && names[0] === 'list' && typeof (target as ListTarget).list === 'string'
}

function unknownModel(name: string, names: readonly string[]): CachectlError {
  const meant = nearest(name, names)
  return new CachectlError('USAGE', `the config has no model called \`${printable(name)}\``, {
    hint: meant === null ? `there are: ${names.join(', ') || 'none'}` : `did you mean \`${meant}\`?`,
  })
}
