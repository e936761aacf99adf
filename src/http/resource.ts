// A REST resource before its router: lists and details are cached, and what changes them invalidates before its client hears of success.
import { AsyncResource } from 'node:async_hooks'
import { createModels } from '../cache/models.ts'
import type { Surface } from '../cache/surface.ts'
import type { ResolvedConfig, ResolvedModel } from '../config/resolved.ts'
import { own } from '../core/declared.ts'
import { idText } from '../core/key.ts'
import { beforeEnd } from './before-end.ts'
import { type ExpressOptions, type ExpressRequest, expressMiddleware, type Middleware } from './express.ts'
import { usage } from './options.ts'
import { modelOf, resourceStamps } from './subject-stamps.ts'

type Shared<Req extends ExpressRequest, Namespace extends string> = Partial<
  Omit<ExpressOptions<Req, Namespace>, 'subject' | 'route'>
>

/** Options of both kinds of routes, and of each alone. Namespaces, where none is named: those of the model, else `list` and `detail`. */
export interface ResourceOptions<Req extends ExpressRequest, Namespace extends string = string>
  extends Omit<Shared<Req, Namespace>, 'namespace'> {
  list?: Shared<Req, Namespace>
  detail?: Shared<Req, Namespace>
  /** the template of the list, where the path of the router has parameters: `/orgs/:org/faculty` */
  route?: string
}

const WRITES: ReadonlySet<string> = new Set(['POST', 'PUT', 'PATCH', 'DELETE'])

export function resourceMiddleware<Req extends ExpressRequest>(
  surface: Surface,
  name: string,
  { list, detail, route, ...shared }: ResourceOptions<Req>,
): Middleware<Req> {
  const { config } = surface.kernel
  const model = modelOf(config, name)
  const base = { revalidate: true, subject: name, ...shared }
  const listNamespace = namespaceOr(config, model?.lists[0]?.namespace ?? 'list', list)
  const detailNamespace = namespaceOr(config, model?.namespace ?? 'detail', detail)
  const lists = expressMiddleware<Req>(
    surface,
    { ...base, ...list, namespace: listNamespace },
    (req) => route ?? pathOf(req),
  )
  const details = expressMiddleware<Req>(
    surface,
    { ...base, ...detail, namespace: detailNamespace },
    (req) => `${route ?? req.baseUrl}/:id`,
  )
  const invalidate = invalidation(surface, name, model)
  return (req, res, next) => {
    const method = req.method ?? ''
    const segments = segmentsOf(req)
    if (WRITES.has(method)) {
      const id = idOf(method, segments)
      // In the tenant of the request, wherever the handler ends its response.
      const work = AsyncResource.bind(() => invalidate(id).catch(surface.kernel.report))
      beforeEnd(res, (status) => (status >= 200 && status < 400 ? work() : null))
      return next()
    }
    if (segments.length > 1 || (method !== 'GET' && method !== 'HEAD')) return next()
    return segments.length === 0 ? lists(req, res, next) : details(req, res, next)
  }
}

function namespaceOr(config: ResolvedConfig, fallback: string, options: { namespace?: string } | undefined): string {
  const name = options?.namespace ?? fallback
  if (own(config.namespaces, name) !== undefined) return name
  throw usage(
    `the config has no namespace called \`${name}\``,
    'name those of the resource: `list: { namespace }, detail: { namespace }`',
  )
}

/** What is to be done when a write has succeeded. */
function invalidation(surface: Surface, name: string, model: ResolvedModel | null) {
  const { kernel } = surface
  const cached = model === null ? null : createModels(surface).model(model.name)
  return async (id: RowId): Promise<unknown> => {
    const tenant = surface.tenant()
    if (cached === null) return kernel.invalidate({ stamps: bothStamps(name, tenant), fences: [name] })
    if (id === undefined || (model?.tenant && tenant === null)) return cached.invalidateAll()
    return id === null ? cached.invalidate({ list: '*' }) : cached.invalidate(id)
  }
}

/** Those of the tenant, and those of entries without one. */
function bothStamps(name: string, tenant: string | null): string[] {
  return [...new Set([...resourceStamps(name, tenant), ...resourceStamps(name, null)])]
}

/** Null: a new row; undefined: which, the path does not say. */
type RowId = string | null | undefined

/** Which row a write changes. */
function idOf(method: string, segments: readonly string[]): RowId {
  const [first] = segments
  if (method === 'POST') return first === undefined ? null : undefined
  if (first === undefined) return undefined
  try {
    const id = decodeURIComponent(first)
    idText(id)
    return id
  } catch {
    return undefined
  }
}

/** Behind the path of the router. */
function segmentsOf(req: ExpressRequest): string[] {
  const [path = ''] = (req.url ?? '').split('?', 1)
  return path.split('/').filter((segment) => segment !== '')
}

function pathOf(req: ExpressRequest): string {
  return req.baseUrl === '' ? '/' : req.baseUrl
}
