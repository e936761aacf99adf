// What is read of a request of Express.
import type { IncomingMessage } from 'node:http'
import type { RequestFacts } from './response-rules.ts'

/** What is read of a request of Express 4 or 5. */
export interface ExpressRequest extends IncomingMessage {
  originalUrl: string
  baseUrl: string
  /** as `trust proxy` has it */
  readonly host?: string
  readonly secure: boolean
  route?: { path: unknown }
}

export function factsOf(req: ExpressRequest): RequestFacts {
  const at = req.originalUrl.indexOf('?')
  return {
    method: req.method ?? '',
    host: req.host ?? req.headers.host ?? null,
    secure: req.secure,
    path: at < 0 ? req.originalUrl : req.originalUrl.slice(0, at),
    query: at < 0 ? '' : req.originalUrl.slice(at + 1),
    header: (name) => {
      const value = req.headers[name]
      return Array.isArray(value) ? value.join(', ') : value
    },
  }
}

/** `/api/cities/:id`; before a router, which is not known yet: `/api/*`. */
export function routeOf({ baseUrl, route }: ExpressRequest): string {
  return route === undefined ? `${baseUrl}/*` : baseUrl + [route.path].flat().map(String).join('|')
}
