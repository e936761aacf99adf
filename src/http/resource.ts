// A REST resource before its router: lists and details are cached, and what changes them invalidates before its client hears of success.
import type { ServerResponse } from 'node:http'
import type { Change } from '../cache/kernel.ts'
import type { Surface } from '../cache/surface.ts'
import type { ResolvedConfig, ResolvedModel } from '../config/resolved.ts'
import { dependentSubjects, own } from '../core/declared.ts'
import { idText, type Scope, stampName } from '../core/key.ts'
import { beforeEnd } from './before-end.ts'
import { type ExpressOptions, type ExpressRequest, expressMiddleware, type Middleware } from './express.ts'
import { usage } from './options.ts'
import { modelOf } from './subject-stamps.ts'

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
  return (req, res, next) => {
    const method = req.method ?? ''
    const segments = segmentsOf(req)
    if (WRITES.has(method)) {
      invalidating(surface, name, model, idOf(method, segments), res)
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

function invalidating(
  { kernel, tenant }: Surface,
  name: string,
  model: ResolvedModel | null,
  id: string | null | undefined,
  res: ServerResponse,
): void {
  const current = tenant()
  beforeEnd(res, (status) => {
    if (status < 200 || status > 399) return null
    const { config } = kernel
    const change = model === null ? resourceChange(name, current) : modelChange(config, model, id, current)
    return kernel.invalidate(change).catch(kernel.report)
  })
}

/** Which row a write changes: null: a new one; undefined: which, the path does not say. */
function idOf(method: string, segments: readonly string[]): string | null | undefined {
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

function resourceChange(name: string, tenant: string | null): Change {
  return { stamps: stampsOf(name, tenant), fences: [name] }
}

/** As the model's own invalidation has it: a row by its id, the lists alone for a new one, all of it where the row is not known. */
function modelChange(
  config: ResolvedConfig,
  model: ResolvedModel,
  id: string | null | undefined,
  tenant: string | null,
): Change {
  const { subject, namespace, version } = model
  const fences = [...dependentSubjects(config, model)]
  const stamps = stampsOf(subject, model.tenant ? tenant : null)
  const known = model.key === null && (!model.tenant || tenant !== null)
  if (id === null) return { stamps, fences }
  if (id === undefined || !known) return { stamps, fences, scopes: scopesOf(config, fences, tenant) }
  return {
    stamps,
    fences,
    entries: [{ namespace, subject, version, tenant: model.tenant ? tenant : null, rest: [id] }],
  }
}

function scopesOf(config: ResolvedConfig, subjects: readonly string[], tenant: string | null): Scope[] {
  return subjects.map((subject) =>
    tenant !== null && modelOf(config, subject)?.tenant
      ? { kind: 'tenant-subject', tenant, subject }
      : { kind: 'subject', subject },
  )
}

/** Those of the tenant, and those of entries without one. */
function stampsOf(subject: string, tenant: string | null): string[] {
  const tenants = tenant === null ? [null] : [tenant, null]
  return tenants.flatMap((of) => [stampName('lists', subject, of), stampName('rows', subject, of)])
}

/** Behind the path of the router. */
function segmentsOf(req: ExpressRequest): string[] {
  const [path = ''] = (req.url ?? '').split('?', 1)
  return path.split('/').filter((segment) => segment !== '')
}

function pathOf(req: ExpressRequest): string {
  return req.baseUrl === '' ? '/' : req.baseUrl
}
