// What of HTTP may be cached: which requests are looked up at all, which responses are kept, and which of their headers. Pure.
import { type HeaderList, valuesOf } from './captured.ts'

/** A request, whatever it came with. */
export interface RequestFacts {
  method: string
  /** as the client named it; null: it did not */
  host: string | null
  secure: boolean
  /** not decoded: what is written in another way is another path */
  path: string
  /** not decoded, without `?` */
  query: string
  /** by its name in lower case */
  header(name: string): string | undefined
}

export interface ResponseRules {
  statuses: ReadonlySet<number>
  /** in lower case */
  headers: readonly string[]
  /** responses vary on the user, and so on whatever the user is known by */
  byUser: boolean
  maxBytes: number
}

export type Verdict =
  | { cacheable: false; reason: string }
  /** `ttlMs`: the longest that the response itself allows; `grace`: it may be given as stale */
  | { cacheable: true; ttlMs: number | null; grace: boolean }

/** Methods of another name than the request line says: what they do is nothing that a GET may be answered with. */
const OVERRIDES = ['x-http-method-override', 'x-http-method', 'x-method-override']
/** Ranges and preconditions are the handler's; `If-None-Match` and `If-Modified-Since` are answered here. */
const PRECONDITIONS = ['range', 'if-range', 'if-match', 'if-unmodified-since']
export const CREDENTIALS = ['cookie', 'authorization'] as const

/** Why this request is none of the cache's business, whatever its key; null: it is. */
export function refusedRequest({ method, host, path, header }: RequestFacts): string | null {
  if (method !== 'GET' && method !== 'HEAD') return 'method'
  // An absolute or otherwise odd target: routers differ in what they make of it.
  if (!path.startsWith('/') || path.startsWith('//')) return 'target'
  if (host === null || host === '') return 'host'
  if (OVERRIDES.some((name) => header(name) !== undefined)) return 'method override'
  if (header('transfer-encoding') !== undefined || Number(header('content-length') ?? 0) !== 0) return 'body'
  if (PRECONDITIONS.some((name) => header(name) !== undefined)) return 'range or precondition'
  return null
}

export function judgeResponse(status: number, headers: HeaderList, rules: ResponseRules, nowMs: number): Verdict {
  const refused = refusedResponse(status, headers, rules)
  if (refused !== null) return { cacheable: false, reason: refused }
  const control = cacheControl(valuesOf(headers, 'cache-control').join(','))
  if (control.has('no-store') || control.has('private') || control.has('no-cache'))
    return { cacheable: false, reason: 'cache-control' }
  const ttlMs = ownTtlMs(control, headers, nowMs)
  if (ttlMs !== null && !(ttlMs > 0)) return { cacheable: false, reason: 'its own max-age or Expires' }
  return { cacheable: true, ttlMs, grace: !control.has('must-revalidate') && !control.has('proxy-revalidate') }
}

function refusedResponse(status: number, headers: HeaderList, rules: ResponseRules): string | null {
  const has = (name: string) => valuesOf(headers, name).length > 0
  if (!rules.statuses.has(status)) return `status ${status}`
  if (has('set-cookie') || has('set-cookie2')) return 'set-cookie'
  if (has('trailer')) return 'trailer'
  if (has('content-range')) return 'content-range'
  const type = (valuesOf(headers, 'content-type')[0] ?? '').toLowerCase()
  if (type.startsWith('text/event-stream') || type.startsWith('multipart/x-mixed-replace')) return 'endless stream'
  const encoded = valuesOf(headers, 'content-encoding').some((value) => value.trim().toLowerCase() !== 'identity')
  if (encoded && !rules.headers.includes('accept-encoding')) return 'content-encoding'
  // Text that is not encoded is good for clients that would have taken it encoded as well.
  const covered = (name: string) =>
    rules.headers.includes(name) ||
    (name === 'accept-encoding' && !encoded) ||
    (rules.byUser && (CREDENTIALS as readonly string[]).includes(name))
  if (!varyNames(headers).every(covered)) return 'vary'
  const length = valuesOf(headers, 'content-length')[0]
  if (length !== undefined && !(Number(length) <= rules.maxBytes)) return 'size'
  return null
}

/** Names in `Vary`, in lower case; `*` among them. */
export function varyNames(headers: HeaderList): string[] {
  return listed(valuesOf(headers, 'vary').join(','))
}

function listed(text: string): string[] {
  return text
    .split(',')
    .map((name) => name.trim().toLowerCase())
    .filter((name) => name !== '')
}

/** Directives in lower case, with their values without quotes. */
export function cacheControl(text: string): Map<string, string> {
  const found = new Map<string, string>()
  for (const [, name = '', value = ''] of text.matchAll(/([^\s,=";]+)(?:=("[^"]*"|[^\s,;]*))?/g))
    found.set(name.toLowerCase(), value.replaceAll('"', ''))
  return found
}

/** How long the response calls itself fresh; null: it does not say. NaN where it says nonsense, which is no time at all. */
function ownTtlMs(control: ReadonlyMap<string, string>, headers: HeaderList, nowMs: number): number | null {
  const seconds = control.get('s-maxage') ?? control.get('max-age')
  if (seconds !== undefined) return /^\d{1,12}$/.test(seconds) ? Number(seconds) * 1000 : Number.NaN
  const expires = valuesOf(headers, 'expires')[0]
  return expires === undefined ? null : Date.parse(expires) - nowMs
}

/** Headers of this one transfer, and those that are made anew for each answer. */
const NOT_KEPT: ReadonlySet<string> = new Set([
  'connection',
  'keep-alive',
  'proxy-authenticate',
  'proxy-authorization',
  'proxy-connection',
  'te',
  'trailer',
  'transfer-encoding',
  'upgrade',
  'content-length',
  'date',
  'age',
  'x-cache',
  'x-cache-reason',
])

/** The headers that are stored: not those of the connection, nor those that were there before the handler ran. */
export function keptHeaders(headers: HeaderList, before: HeaderList = []): HeaderList {
  const named = new Set(listed(valuesOf(headers, 'connection').join(',')))
  return headers.filter(([name]) => {
    const lower = name.toLowerCase()
    if (NOT_KEPT.has(lower) || named.has(lower)) return false
    const earlier = valuesOf(before, lower)
    return earlier.length === 0 || earlier.join('\n') !== valuesOf(headers, lower).join('\n')
  })
}
