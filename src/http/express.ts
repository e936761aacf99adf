// Express middleware in front of a handler: answers from the cache, or lets the handler answer and listens in.
import type { ServerResponse } from 'node:http'
import type { LoadControl, Place } from '../cache/kernel.ts'
import type { Surface } from '../cache/surface.ts'
import { type Capture, type Course, captureResponse, headersOf } from './capture.ts'
import { type Captured, type HeaderList, headerOf, pack, unpack } from './captured.ts'
import {
  answerHeaders,
  cacheControlOf,
  etagOf,
  type Freshness,
  mergedVary,
  notModified,
  withoutBodyHeaders,
} from './conditional.ts'
import { type ExpressRequest, factsOf, routeOf } from './express-request.ts'
import { type HttpOptions, type HttpRules, httpRules } from './options.ts'
import { audienceOf, bypassMarks, failed, forget, limitLife, MOST_CUT, type Unshared } from './outcome.ts'
import { type RequestEntry, throughCache, wantedEntry } from './request-entry.ts'
import { judgeResponse, keptHeaders, type RequestFacts } from './response-rules.ts'

export type { ExpressRequest }

export type Next = (error?: unknown) => void
export type Middleware<Req> = (req: Req, res: ServerResponse, next: Next) => void

export interface ExpressOptions<Req extends ExpressRequest, Namespace extends string = string>
  extends HttpOptions<[req: Req], Namespace> {
  /** the template of the route, where the middleware stands before a whole router (what Express says of the route) */
  route?: string
}

/** A handler that takes longer holds up nobody but its own client. */
const LONGEST_CAPTURE_MS = 60_000
/** A stale response is given to all but the one whose handler makes it anew: for that one, until it fails. */
const UNTIL_IT_FAILS_MS = 2 ** 31 - 1

interface Serving<Req extends ExpressRequest> {
  surface: Surface
  rules: HttpRules<[req: Req]>
  req: Req
  res: ServerResponse
  next: Next
  entry: RequestEntry
  header: RequestFacts['header']
  /** on the response before the handler ran */
  before: HeaderList
  /** once the handler of this request has been let run */
  capture: Capture | null
}

export function expressMiddleware<Req extends ExpressRequest>(
  surface: Surface,
  options: ExpressOptions<Req>,
  template: (req: Req) => string = (req) => options.route ?? routeOf(req),
): Middleware<Req> {
  const rules = httpRules(surface.kernel.config, options)
  return (req, res, next) => {
    let passed = false
    const once: Next = (...error) => {
      if (passed) return surface.kernel.report(error[0])
      passed = true
      next(...error)
    }
    serve(surface, rules, template(req), req, res, once).catch(once)
  }
}

async function serve<Req extends ExpressRequest>(
  surface: Surface,
  rules: HttpRules<[req: Req]>,
  route: string,
  req: Req,
  res: ServerResponse,
  next: Next,
): Promise<void> {
  const facts = factsOf(req)
  const entry = await wantedEntry(surface, rules, facts, route, [req])
  const bypass = (reason: string): void => {
    bypassed(surface, res, reason)
    next()
  }
  if (entry.bypass !== null) return bypass(entry.bypass)
  const conditions = {
    'if-none-match': facts.header('if-none-match'),
    'if-modified-since': facts.header('if-modified-since'),
  }
  const header = (name: string) =>
    name in conditions ? conditions[name as keyof typeof conditions] : facts.header(name)
  const serving: Serving<Req> = { surface, rules, req, res, next, entry, header, before: headersOf(res), capture: null }
  for (let cuts = 0; cuts < MOST_CUT; cuts++) {
    const load = facts.method === 'HEAD' ? null : (control: LoadControl, at: Place) => runHandler(serving, control, at)
    const policy = { ...entry.policy, beta: 0, softTimeoutMs: UNTIL_IT_FAILS_MS }
    const found = await throughCache(surface, rules.subject, { ...entry, policy }, load)
    const captured = unpack(found.value)
    const freshness = { ...found, nowMs: surface.kernel.clock.now() }
    const outcome = found.hit === 'stale' ? 'STALE' : 'HIT'
    if (serving.capture !== null) {
      // The handler failed or is late, and there is something stale.
      if (found.hit === 'stale' && captured !== null && serving.capture.silent)
        serving.capture.instead(() => answer(serving, captured, freshness, outcome))
      return
    }
    if (captured !== null) return answer(serving, captured, freshness, outcome)
    if (load === null) {
      res.setHeader('X-Cache', 'MISS')
      return next()
    }
    if (found.value !== 'again') break
  }
  bypass('not shared')
}

/** The loader: lets the handler of this request answer its client. Resolves with the response as it is stored, or with why there is none to share. */
function runHandler<Req extends ExpressRequest>(
  serving: Serving<Req>,
  control: LoadControl,
  at: Place,
): Promise<Buffer | Unshared> {
  const { res, req, rules, entry, surface, next } = serving
  if (res.destroyed || res.closed || res.headersSent) {
    control.skip()
    return Promise.resolve('again')
  }
  // Conditions are answered here: the handler makes the whole response.
  delete req.headers['if-none-match']
  delete req.headers['if-modified-since']
  return new Promise((resolve, reject) => {
    const settle = (unshared: Unshared): void => {
      clearTimeout(timer)
      control.skip()
      resolve(unshared)
    }
    const timer = setTimeout(settle, LONGEST_CAPTURE_MS, 'own')
    timer.unref()
    let kept: Omit<Captured, 'body'>
    serving.capture = captureResponse(res, {
      maxBytes: rules.maxBytes,
      head(body): Course {
        const { statusCode: status } = res
        const verdict = judgeResponse(status, headersOf(res), rules, surface.kernel.clock.now())
        if (!verdict.cacheable) {
          if (control.stale !== null && status >= 500) {
            clearTimeout(timer)
            reject(failed(status))
            return 'swallow'
          }
          settle('own')
          bypassed(surface, res, verdict.reason)
          if (control.stale !== null) forget(surface, at)
          return 'pass'
        }
        limitLife(control, verdict, entry.policy)
        const made = headMade(serving, body, verdict.ttlMs)
        kept = made.kept
        return made.headless ? 'headless' : 'keep'
      },
      complete(body) {
        clearTimeout(timer)
        resolve(pack({ ...kept, body }))
      },
      cut: (reason) => settle(reason === 'aborted' ? 'again' : 'own'),
    })
    control.signal.addEventListener('abort', () => settle('own'), { once: true })
    next()
  })
}

/** Sets the headers of a response that the handler has just made, and says what of them is stored. */
function headMade<Req extends ExpressRequest>(
  { res, rules, entry, surface, before, header }: Serving<Req>,
  body: Buffer | null,
  ownTtlMs: number | null,
): { kept: Omit<Captured, 'body'>; headless: boolean } {
  const status = res.statusCode
  if (body !== null && body.length <= rules.maxBytes && !res.hasHeader('etag'))
    res.setHeader('ETag', etagOf(body, headersOf(res)))
  const now = headersOf(res)
  const removed = before.map(([name]) => name.toLowerCase()).filter((name) => !res.hasHeader(name))
  const kept = { status, headers: keptHeaders(now, before), removed }
  const nowMs = surface.kernel.clock.now()
  const ttlMs = ownTtlMs ?? entry.policy.ttlMs
  const freshness: Freshness = { createdAtMs: nowMs, freshUntilMs: ttlMs === null ? null : nowMs + ttlMs, nowMs }
  const vary = mergedVary(now, rules.headers)
  if (vary !== undefined) res.setHeader('Vary', vary)
  if (!res.hasHeader('cache-control'))
    res.setHeader('Cache-Control', cacheControlOf(freshness, audienceOf(rules, entry)))
  res.setHeader('X-Cache', 'MISS')
  const headless = body !== null && notModified(header, status, now)
  if (headless) {
    res.statusCode = 304
    for (const [name] of now) if (withoutBodyHeaders([[name, '']]).length === 0) res.removeHeader(name)
  }
  return { kept, headless }
}

/** Answers with a stored response. */
function answer<Req extends ExpressRequest>(
  { req, res, rules, entry, before, header }: Serving<Req>,
  captured: Captured,
  freshness: Freshness,
  outcome: 'HIT' | 'STALE',
): void {
  if (res.destroyed || res.headersSent) return
  // Of a handler that failed: none of its headers.
  for (const [name] of headersOf(res)) if (headerOf(before, name.toLowerCase()) === undefined) res.removeHeader(name)
  for (const name of captured.removed) res.removeHeader(name)
  const unchanged = notModified(header, captured.status, captured.headers)
  const headers = answerHeaders(captured, freshness, { ...audienceOf(rules, entry), vary: rules.headers }, outcome)
  const values = new Map<string, string[]>()
  for (const [name, value] of unchanged ? withoutBodyHeaders(headers) : headers)
    values.set(name, [...(values.get(name) ?? []), value])
  for (const [name, all] of values) {
    const own = headerOf(captured.headers, name.toLowerCase()) !== undefined
    if (name === 'Vary') res.setHeader('Vary', mergedVary(headersOf(res), all.join(',').split(/\s*,\s*/)) as string)
    // What stood there before the handler is as good as the handler's.
    else if (own || name !== 'Cache-Control' || !res.hasHeader(name))
      res.setHeader(name, all.length === 1 ? (all[0] as string) : all)
  }
  res.statusCode = unchanged ? 304 : captured.status
  res.statusMessage = ''
  if (unchanged) return void res.end()
  res.setHeader('Content-Length', captured.body.length)
  res.end(req.method === 'HEAD' ? undefined : captured.body)
}

function bypassed(surface: Surface, res: ServerResponse, reason: string): void {
  if (res.headersSent) return
  for (const [name, value] of bypassMarks(surface, reason)) res.setHeader(name, value)
}
