// Options of cached responses, as they are written and as they are used.

import type { Policy } from '../cache/kernel.ts'
import type { CallOptions } from '../cache/policy.ts'
import { namespaceOf, policyOf } from '../cache/policy.ts'
import type { Size } from '../config/define-config.ts'
import type { ResolvedConfig } from '../config/resolved.ts'
import { CachectlError } from '../core/errors.ts'
import { optionNames, refuseUnknown } from '../core/option-names.ts'
import { compileGlob } from '../core/pattern.ts'
import { printable } from '../core/printable.ts'
import { parseSize } from '../core/units.ts'
import { unpack } from './captured.ts'
import type { ResponseRules } from './response-rules.ts'

export type UserId = string | number | bigint | null | undefined

/** What makes two requests of one route two entries. `Args`: what the handler is called with. */
export interface VaryOptions<Args extends readonly unknown[]> {
  /** query parameters; a request with any other one bypasses the cache */
  query?: readonly string[]
  /** request headers */
  headers?: readonly string[]
  /** there must be a tenant: a request without one is an error (the tenant of the handle or of the work under way always counts) */
  tenant?: true
  /** the user's id; null or undefined: nobody is logged in. The entry gets the tag `user:<id>`. */
  user?: (...args: Args) => UserId | Promise<UserId>
}

export interface HttpOptions<Args extends readonly unknown[], Namespace extends string = string>
  extends Pick<CallOptions, 'ttl' | 'grace' | 'jitter' | 'compress' | 'timeout'> {
  namespace: Namespace
  /** the model (or resource) whose rows the response shows: it dies with every change of them */
  subject?: string
  /** names of query parameters, or all that the response depends on */
  vary?: readonly string[] | VaryOptions<Args>
  /** query parameters that change nothing: `['utm_*', 'fbclid']`. The handler must not read them. */
  ignore?: readonly string[]
  /** (…) `org:7`: `cache.invalidate({ tag: 'org:7' })` makes the entry unreachable */
  tags?: readonly string[] | ((...args: Args) => readonly string[])
  /** the response is the same for everybody, also for requests with Cookie or Authorization (false) */
  public?: boolean
  /** which are cached ([200]) */
  statuses?: readonly number[]
  /** larger bodies are passed through and not cached (`'1mb'`, at most `'32mb'`) */
  maxSize?: Size
  /** clients ask each time and get 304, instead of keeping the response for as long as it is fresh (false; of resources: true) */
  revalidate?: boolean
}

/** Options past validation. */
export interface HttpRules<Args extends readonly unknown[]> extends ResponseRules {
  namespace: string
  subject: string | null
  query: ReadonlySet<string>
  ignored: (name: string) => boolean
  tenant: boolean
  user: VaryOptions<Args>['user'] | null
  tags: (...args: Args) => readonly string[]
  public: boolean
  revalidate: boolean
  /** without stamps */
  policy: Policy
}

const LARGEST = '32mb'
const TOKEN = /^[!#$%&'*+.^_`|~0-9A-Za-z-]+$/

/** `route` is of those who ask: a template, where the framework names none. */
const HTTP_OPTIONS = optionNames<HttpOptions<never[]> & { route: string }>({
  namespace: true,
  subject: true,
  vary: true,
  ignore: true,
  tags: true,
  public: true,
  statuses: true,
  maxSize: true,
  revalidate: true,
  route: true,
  ttl: true,
  grace: true,
  jitter: true,
  compress: true,
  timeout: true,
})

/** @throws CachectlError USAGE */
export function httpRules<Args extends readonly unknown[]>(
  config: ResolvedConfig,
  options: HttpOptions<Args>,
): HttpRules<Args> {
  refuseUnknown(options, HTTP_OPTIONS, 'a cached response')
  const namespace = namespaceOf(config, options.namespace)
  if (namespace.format === 'raw') throw usage(`namespace ${namespace.name} is raw`, 'name one that is not')
  const vary = varyOf(options.vary)
  const { tags = [], ignore = [] } = options
  const globs = ignore.map((glob) => compileGlob(glob))
  const maxBytes = parseSize(options.maxSize ?? '1mb')
  if (maxBytes > parseSize(LARGEST)) throw usage(`maxSize is over ${LARGEST}`, 'larger bodies do not belong in Redis')
  return {
    namespace: namespace.name,
    subject: options.subject ?? null,
    query: new Set(vary.query?.map(queryName)),
    ignored: (name) => globs.some((matches) => matches(name)),
    headers: (vary.headers ?? []).map(headerName),
    tenant: vary.tenant ?? false,
    user: vary.user ?? null,
    byUser: vary.user !== undefined,
    tags: typeof tags === 'function' ? tags : () => tags,
    public: options.public ?? false,
    statuses: new Set((options.statuses ?? [200]).map(statusOf)),
    maxBytes,
    revalidate: options.revalidate ?? false,
    policy: {
      ...policyOf(namespace, {
        ...(options.ttl === undefined ? {} : { ttl: options.ttl }),
        ...(options.grace === undefined ? {} : { grace: options.grace }),
        ...(options.jitter === undefined ? {} : { jitter: options.jitter }),
        ...(options.compress === undefined ? {} : { compress: options.compress }),
        ...(options.timeout === undefined ? {} : { timeout: options.timeout }),
      }),
      check: (value) => (unpack(value) === null ? null : { value }),
    },
  }
}

function varyOf<Args extends readonly unknown[]>(vary: HttpOptions<Args>['vary']): VaryOptions<Args> {
  if (vary === undefined) return {}
  if (Array.isArray(vary)) return { query: vary as readonly string[] }
  const known = ['query', 'headers', 'tenant', 'user']
  const unknown = Object.keys(vary).find((name) => !known.includes(name))
  if (unknown !== undefined)
    throw usage(
      `\`vary\` knows no ${printable(unknown)}`,
      `it knows ${known.join(', ')}; or give a list of query parameters`,
    )
  return vary as VaryOptions<Args>
}

function queryName(name: string): string {
  // `@` begins what else is in the key.
  if (typeof name === 'string' && name !== '' && !name.startsWith('@')) return name
  throw usage(
    `${printable(String(name))} cannot be a query parameter in \`vary\``,
    'parameters have a name that does not begin with @',
  )
}

function headerName(name: string): string {
  if (TOKEN.test(name)) return name.toLowerCase()
  throw usage(`${printable(String(name))} is no name of a header`, "write `vary: { headers: ['accept-language'] }`")
}

function statusOf(status: number): number {
  if (Number.isInteger(status) && status >= 200 && status <= 599 && status !== 206 && status !== 304) return status
  throw usage(`responses of status ${status} cannot be cached`, 'name final ones that stand alone: 200, 301, 404')
}

export function usage(message: string, hint: string): CachectlError {
  return new CachectlError('USAGE', message, { hint })
}
