// The same for handlers of web-standard requests: `(request) => Response`, as Hono, Next.js, Deno and others have them.
import type { Found, LoadControl, Place } from '../cache/kernel.ts'
import type { Surface } from '../cache/surface.ts'
import { type Captured, type HeaderList, headerOf, pack, unpack } from './captured.ts'
import { answerHeaders, etagOf, notModified, withoutBodyHeaders } from './conditional.ts'
import { type HttpOptions, type HttpRules, httpRules } from './options.ts'
import { audienceOf, bypassMarks, failed, forget, limitLife, MOST_CUT, type Unshared } from './outcome.ts'
import { type RequestEntry, throughCache, wantedEntry } from './request-entry.ts'
import { judgeResponse, keptHeaders, type RequestFacts } from './response-rules.ts'

/** `never[]` takes whatever else a framework gives its handlers: Hono's context, the params of Next.js. */
export interface WebOptions<Req extends Request, Namespace extends string = string>
  extends HttpOptions<[request: Req, ...rest: never[]], Namespace> {
  /** the template of the route: `/api/cities/:id` */
  route: string
}

export type WebHandler<Req extends Request, Rest extends unknown[]> = (
  request: Req,
  ...rest: Rest
) => Response | Promise<Response>

type Own = { response: Response } | { error: unknown }

interface Serving<Req extends Request> {
  surface: Surface
  rules: HttpRules<[request: Req, ...rest: never[]]>
  request: Req
  entry: RequestEntry
  header: RequestFacts['header']
  run(): Response | Promise<Response>
  /** what the handler of this request did, where it is not shared */
  own: Own | null
  /** it was this request's handler that was run */
  ran: boolean
  /** its client has an answer: the handler runs for the cache alone */
  answered: boolean
}

export function webWrapper<Req extends Request>(surface: Surface, options: WebOptions<Req>) {
  const rules = httpRules(surface.kernel.config, options)
  return <Rest extends unknown[]>(handler: WebHandler<Req, Rest>) =>
    async (request: Req, ...rest: Rest): Promise<Response> => {
      const run = () => handler(request, ...rest)
      const header = (name: string) => request.headers.get(name) ?? undefined
      const facts = factsOf(request, header)
      const entry = await wantedEntry(surface, rules, facts, options.route, [
        request,
        ...(rest as unknown[] as never[]),
      ])
      if (entry.bypass !== null) return bypassed(surface, await run(), entry.bypass)
      const serving: Serving<Req> = {
        surface,
        rules,
        request,
        entry,
        header,
        run,
        own: null,
        ran: false,
        answered: false,
      }
      return facts.method === 'HEAD' ? serveHead(serving) : serve(serving)
    }
}

async function serve<Req extends Request>(serving: Serving<Req>): Promise<Response> {
  const { surface, rules, entry } = serving
  const load = (control: LoadControl, at: Place) => runHandler(serving, control, at)
  for (let cuts = 0; cuts < MOST_CUT; cuts++) {
    const found = await throughCache(surface, rules.subject, entry, load)
    const { own, ran } = serving
    if (own !== null && found.hit !== 'stale') {
      if ('error' in own) throw own.error
      return own.response
    }
    serving.answered = true
    if (own !== null) discard(own)
    const captured = unpack(found.value)
    if (captured !== null)
      return answer(serving, captured, found, OUTCOMES[ran && found.hit === 'miss' ? 'ran' : found.hit])
    if (found.value !== 'again') break
  }
  // Somebody else's response is not for this client.
  return bypassed(surface, await serving.run(), 'not shared')
}

const OUTCOMES = { fresh: 'HIT', stale: 'STALE', miss: 'HIT', ran: 'MISS' } as const

/** Answered from the entry of GET, which the handler of HEAD cannot make. */
async function serveHead<Req extends Request>(serving: Serving<Req>): Promise<Response> {
  const { surface, rules, entry } = serving
  const found = await throughCache(surface, rules.subject, entry, null)
  const captured = unpack(found.value)
  if (captured === null) return marked(await serving.run(), [['X-Cache', 'MISS']])
  return answer(serving, captured, found, found.hit === 'stale' ? 'STALE' : 'HIT')
}

/** The loader: resolves with the response as it is stored; of one that is not shared, with nothing, and it is this request's own. */
async function runHandler<Req extends Request>(
  serving: Serving<Req>,
  control: LoadControl,
  at: Place,
): Promise<Buffer | Unshared> {
  const { surface, rules, entry, request } = serving
  serving.ran = true
  const keepForItself = (own: Own): Unshared => {
    control.skip()
    if (serving.answered) discard(own)
    else serving.own = own
    return 'error' in own && request.signal.aborted ? 'again' : 'own'
  }
  let response: Response
  try {
    response = await serving.run()
  } catch (error) {
    // With something stale to give, or nobody to tell, it is the cache's to report; else it is thrown to this client, and to no other.
    if (control.stale !== null || serving.answered) throw error
    return keepForItself({ error })
  }
  const { status } = response
  const headers = headersOf(response)
  const verdict = judgeResponse(status, headers, rules, surface.kernel.clock.now())
  if (!verdict.cacheable) {
    if (control.stale !== null && status >= 500) {
      await response.body?.cancel().catch(() => {})
      throw failed(status)
    }
    if (control.stale !== null) forget(surface, at)
    return keepForItself({ response: bypassed(surface, response, verdict.reason) })
  }
  const read = await readBody(response, rules.maxBytes)
  if (read.rest !== null) return keepForItself({ response: bypassed(surface, read.rest, 'size') })
  limitLife(control, verdict, entry.policy)
  const kept = keptHeaders(headers)
  const etag = headerOf(kept, 'etag') === undefined ? [['ETag', etagOf(read.body, kept)] as const] : []
  return pack({ status, headers: [...kept, ...etag], removed: [], body: read.body })
}

/** Nobody is going to read it. */
function discard(own: Own): void {
  if ('response' in own) own.response.body?.cancel().catch(() => {})
}

/** All of the body, or, where it is too long or broken, a response that gives all of it as it comes. */
async function readBody(
  response: Response,
  maxBytes: number,
): Promise<{ body: Buffer; rest: null } | { body: null; rest: Response }> {
  if (response.body === null) return { body: Buffer.alloc(0), rest: null }
  const reader = (response.body as ReadableStream<Uint8Array>).getReader()
  const chunks: Uint8Array[] = []
  let sizeBytes = 0
  let broken: { error: unknown } | null = null
  try {
    while (sizeBytes <= maxBytes) {
      const { done, value } = await reader.read()
      if (done) return { body: Buffer.concat(chunks), rest: null }
      chunks.push(value)
      sizeBytes += value.length
    }
  } catch (error) {
    broken = { error }
  }
  const rest = new ReadableStream<Uint8Array>({
    async pull(controller) {
      const known = chunks.shift()
      if (known !== undefined) return controller.enqueue(known)
      if (broken !== null) return controller.error(broken.error)
      const { done, value } = await reader.read()
      if (done) controller.close()
      else controller.enqueue(value)
    },
    cancel: (reason) => reader.cancel(reason),
  })
  const { status, statusText, headers } = response
  return { body: null, rest: new Response(rest, { status, statusText, headers }) }
}

function answer<Req extends Request>(
  { request, rules, entry, header, surface }: Serving<Req>,
  captured: Captured,
  { createdAtMs, freshUntilMs }: Found,
  outcome: 'HIT' | 'STALE' | 'MISS',
): Response {
  const { status, body } = captured
  const freshness = { createdAtMs, freshUntilMs, nowMs: surface.kernel.clock.now() }
  const all = answerHeaders(captured, freshness, { ...audienceOf(rules, entry), vary: rules.headers }, outcome)
  const unchanged = notModified(header, status, captured.headers)
  const headers = new Headers()
  for (const [name, value] of unchanged ? withoutBodyHeaders(all) : all) headers.append(name, value)
  if (unchanged) return new Response(null, { status: 304, headers })
  const empty = status === 204 || status === 205
  if (!empty) headers.set('Content-Length', String(body.length))
  return new Response(empty || request.method === 'HEAD' ? null : new Uint8Array(body), { status, headers })
}

function bypassed(surface: Surface, response: Response, reason: string): Response {
  return marked(response, bypassMarks(surface, reason))
}

function marked(response: Response, marks: readonly (readonly [string, string])[]): Response {
  try {
    for (const [name, value] of marks) response.headers.set(name, value)
    return response
  } catch {
    // The headers of what `fetch` gave cannot be changed.
    const { status, statusText, body } = response
    const headers = new Headers(response.headers)
    for (const [name, value] of marks) headers.set(name, value)
    return new Response(body, { status, statusText, headers })
  }
}

function headersOf({ headers }: Response): HeaderList {
  return [...headers]
}

function factsOf(request: Request, header: RequestFacts['header']): RequestFacts {
  const { host, protocol, pathname, search } = new URL(request.url)
  return {
    method: request.method,
    host,
    secure: protocol === 'https:',
    path: pathname,
    query: search.slice(1),
    header,
  }
}
