// List pages and counts of a model, under the keys that warm writes: lists that the config declares by name, and any other by its filters.
import type { ResolvedList } from '../config/resolved.ts'
import { CachectlError } from '../core/errors.ts'
import { countRest, listRest } from '../core/key.ts'
import { listStamps } from '../core/model-stamps.ts'
import { optionNames, refuseUnknown } from '../core/option-names.ts'
import { printable } from '../core/printable.ts'
import { createProjection } from '../core/projection.ts'
import { asSourceError } from '../core/source-failure.ts'
import type { ListQuery, Row } from '../ports.ts'
import type { Load, Place, Policy } from './kernel.ts'
import { createPolicies, type ModelContext, sourceWith, withTenant } from './model-context.ts'

export type FilterValue = string | number | bigint | boolean | Date | null
export type Filters = Readonly<Record<string, FilterValue | readonly FilterValue[]>>

/** Which rows: `{ list: 'byCountry', where: { country: 'DE' }, page: 2 }`, or without a list any filters in the source's own order. */
export interface CountRequest {
  /** a list of the config; its `where` and `sort` hold */
  list?: string
  /** of a declared list: exactly the columns of its `by` */
  where?: Filters
}

export interface ListRequest extends CountRequest {
  /** from 1 (1) */
  page?: number
  /** rows a page (that of the list, or 20) */
  size?: number
}

export interface ModelLists {
  list(request?: ListRequest): Promise<Row[]>
  count(request?: CountRequest): Promise<number>
}

const COUNT_REQUEST = optionNames<CountRequest>({ list: true, where: true })
const LIST_REQUEST = optionNames<ListRequest>({ list: true, where: true, page: true, size: true })
const PAGE_SIZE = 20
/** A source reads a list from its beginning: pages further back than this cost too much to be asked for by anybody. */
const DEEPEST_ROW = 100_000
const UNDECLARED: Pick<ResolvedList, 'sort' | 'pageSize' | 'namespace'> & { countNamespace: string } = {
  sort: [],
  pageSize: PAGE_SIZE,
  namespace: 'list',
  countNamespace: 'count',
}

interface Wanted {
  /** null: not declared */
  name: string | null
  filters: Filters
  sort: readonly string[]
  pageSize: number
  namespace: string
  countNamespace: string
}

export function createModelLists(context: ModelContext): ModelLists {
  const { model, config, kernel } = context
  const project = createProjection(model)
  const byScope = new Map<string, (tenant: string | null) => Policy>()
  const policyOf = (namespace: string, list: string | null, tenant: string | null): Policy => {
    const scope = `${list === null ? '' : 'of '}${list ?? ''}\n${namespace}`
    let policies = byScope.get(scope)
    if (policies === undefined) {
      policies = createPolicies(context, namespace, false, (of) => listStamps(config, model, list, of))
      byScope.set(scope, policies)
    }
    return policies(tenant)
  }
  const placeOf = (namespace: string, tenant: string | null, rest: readonly string[]): Place => ({
    namespace,
    subject: model.subject,
    version: model.version,
    tenant,
    rest,
  })
  const read = async (place: Place, policy: Policy, load: Load): Promise<unknown> => {
    if (!model.enabled) return load(UNCACHED)
    return (await kernel.load(place, policy, load)).value
  }

  return {
    async list(request = {}) {
      refuseUnknown(request, LIST_REQUEST, 'list')
      const tenant = context.tenant()
      const { name, filters, sort, pageSize, namespace } = wantedOf(context, request)
      const page = wholeNumber(request.page ?? 1, 'page')
      const size = wholeNumber(request.size ?? pageSize, 'size')
      if (page * size > DEEPEST_ROW) throw tooDeep(model.name, page, size)
      const source = sourceWith(model, 'list')
      const load: Load = async ({ signal }) => {
        const query: ListQuery = { filters, sort, limit: page * size, signal, ...withTenant(tenant) }
        const rows = await source.list(query).catch(failedSource(model.name))
        // What a source gives of another tenant is not there.
        const own = model.tenant ? rows.filter((row) => row.tenant === tenant) : rows
        return own.slice((page - 1) * size, page * size).map(({ row }) => project(row))
      }
      const rest = listRest(name, filters, page, size)
      return (await read(placeOf(namespace, tenant, rest), policyOf(namespace, name, tenant), load)) as Row[]
    },

    async count(request = {}) {
      refuseUnknown(request, COUNT_REQUEST, 'count')
      const tenant = context.tenant()
      const { name, filters, countNamespace } = wantedOf(context, request)
      const source = sourceWith(model, 'count')
      const load: Load = ({ signal }) =>
        source.count({ filters, signal, ...withTenant(tenant) }).catch(failedSource(model.name))
      const place = placeOf(countNamespace, tenant, countRest(name, filters))
      return (await read(place, policyOf(countNamespace, name, tenant), load)) as number
    },
  }
}

const UNCACHED = { signal: new AbortController().signal } as Parameters<Load>[0]

function wantedOf({ model }: ModelContext, { list: name, where = {} }: CountRequest): Wanted {
  if (typeof where !== 'object' || where === null || Array.isArray(where))
    throw usage(`\`where\` of ${model.name} is no object`, "write `where: { country: 'DE' }`")
  for (const [column, value] of Object.entries(where))
    if (value === undefined)
      throw usage(`the filter \`${printable(column)}\` of ${model.name} is undefined`, 'leave it out, or write null')
  if (name === undefined) return { name: null, filters: where, ...UNDECLARED }
  const list = model.lists.find((candidate) => candidate.name === name)
  if (list === undefined) {
    const known = model.lists.map((candidate) => candidate.name).join(', ') || 'none'
    throw usage(`${model.name} has no list called \`${printable(name)}\``, `its lists in the config are: ${known}`)
  }
  const given = Object.keys(where)
  if (given.length !== list.by.length || !list.by.every((column) => Object.hasOwn(where, column)))
    throw usage(
      `the list ${name} of ${model.name} is filtered by ${list.by.join(', ') || 'nothing'}, not by ${given.map((column) => printable(column)).join(', ') || 'nothing'}`,
      'give `where` exactly the columns of its `by`, or leave `list` out',
    )
  const { sort, pageSize, namespace, countNamespace } = list
  const filters = { ...(list.where as Filters), ...where }
  return { name, filters, sort, pageSize, namespace, countNamespace: countNamespace ?? UNDECLARED.countNamespace }
}

function wholeNumber(value: number, what: string): number {
  if (Number.isSafeInteger(value) && value >= 1) return value
  throw usage(
    `the ${what} ${printable(String(value))} of a list is no whole number from 1 on`,
    'check what it came from',
  )
}

function tooDeep(model: string, page: number, size: number): CachectlError {
  return usage(
    `page ${page} of ${size} rows of ${model} lies behind row ${DEEPEST_ROW}: its source would read all rows before it`,
    'page by a filter instead, such as one on the last row',
  )
}

function usage(message: string, hint: string): CachectlError {
  return new CachectlError('USAGE', message, { hint })
}

const failedSource =
  (model: string) =>
  (thrown: unknown): never => {
    throw asSourceError(model, thrown)
  }
