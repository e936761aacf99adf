// What a stored response says of itself to clients: ETag, Age, Cache-Control, Vary; and whether 304 is enough. Pure.
import { createHash } from 'node:crypto'
import { type Captured, type HeaderList, headerOf, valuesOf } from './captured.ts'
import { varyNames } from './response-rules.ts'

/** Clients are told no more, also where entries have no end. */
const LONGEST_SECONDS = 31_536_000

/** Strong: equal for equal bytes of equal form. */
export function etagOf(body: Uint8Array, headers: HeaderList): string {
  const form = `${headerOf(headers, 'content-type') ?? ''}\n${headerOf(headers, 'content-encoding') ?? ''}\n`
  return `"${createHash('sha256').update(form).update(body).digest().subarray(0, 16).toString('base64url')}"`
}

/** Whether the client has this response (RFC 9110, 13.1: If-None-Match by weak comparison; If-Modified-Since only without it). */
export function notModified(
  header: (name: string) => string | undefined,
  status: number,
  headers: HeaderList,
): boolean {
  if (status !== 200) return false
  const wanted = header('if-none-match')
  const etag = headerOf(headers, 'etag')
  if (wanted !== undefined) {
    if (wanted.trim() === '*') return true
    if (etag === undefined) return false
    const opaque = etag.replace(/^W\//, '')
    return [...wanted.matchAll(/(?:W\/)?("[^"]*")/g)].some(([, tag]) => tag === opaque)
  }
  const since = Date.parse(header('if-modified-since') ?? '')
  const modified = Date.parse(headerOf(headers, 'last-modified') ?? '')
  return modified <= since
}

export interface Freshness {
  /** null: it was not made by a cache, but just now */
  createdAtMs: number | null
  /** null: never stale */
  freshUntilMs: number | null
  nowMs: number
}

export interface Audience {
  /** for one user: no cache in between may keep it */
  private: boolean
  public: boolean
  /** clients ask each time, and are answered with 304 */
  revalidate: boolean
}

export function ageSeconds({ createdAtMs, nowMs }: Freshness): number {
  return createdAtMs === null ? 0 : Math.max(0, Math.floor((nowMs - createdAtMs) / 1000))
}

/** `max-age` counts from when the response was made: `max-age` less `Age` is what is left. */
export function cacheControlOf({ createdAtMs, freshUntilMs, nowMs }: Freshness, audience: Audience): string {
  const lifeSeconds =
    freshUntilMs === null ? LONGEST_SECONDS : Math.floor((freshUntilMs - (createdAtMs ?? nowMs)) / 1000)
  const maxAge = freshUntilMs !== null && freshUntilMs <= nowMs ? 0 : Math.min(LONGEST_SECONDS, lifeSeconds)
  const scope = audience.private ? 'private, ' : audience.public ? 'public, ' : ''
  return scope + (audience.revalidate ? 'no-cache' : `max-age=${maxAge}`)
}

/** `Vary` of these names and of what is there already; undefined: of nothing. */
export function mergedVary(there: HeaderList, names: readonly string[]): string | undefined {
  const all = new Set([...varyNames(there), ...names])
  return all.size === 0 ? undefined : [...all].join(', ')
}

/** Of an answer 304: nothing that speaks of the body. */
export function withoutBodyHeaders(headers: HeaderList): HeaderList {
  return headers.filter(([name]) => !/^(content-(?!location$)|transfer-encoding$)/i.test(name))
}

/** What a stored response is answered with; Content-Length is left to the sender. */
export function answerHeaders(
  captured: Pick<Captured, 'headers'>,
  freshness: Freshness,
  audience: Audience & { vary: readonly string[] },
  outcome: 'HIT' | 'STALE' | 'MISS',
): HeaderList {
  const own = captured.headers.filter(([name]) => name.toLowerCase() !== 'vary')
  const answer: (readonly [string, string])[] = [...own, ['X-Cache', outcome]]
  const vary = mergedVary(captured.headers, audience.vary)
  if (vary !== undefined) answer.push(['Vary', vary])
  if (outcome !== 'MISS') answer.push(['Age', String(ageSeconds(freshness))])
  if (valuesOf(own, 'cache-control').length === 0) answer.push(['Cache-Control', cacheControlOf(freshness, audience)])
  return answer
}
