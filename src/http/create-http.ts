// `cache.http`: cached responses of Express, of web-standard handlers, and of REST resources.
import type { Surface } from '../cache/surface.ts'
import { type ExpressOptions, type ExpressRequest, expressMiddleware, type Middleware } from './express.ts'
import { type ResourceOptions, resourceMiddleware } from './resource.ts'
import { type WebHandler, type WebOptions, webWrapper } from './web.ts'

export interface Http<Namespace extends string = string> {
  /**
   * Express middleware before a handler: `app.get('/api/cities', cache.http.express({ … }), handler)`.
   * @throws CachectlError USAGE for a namespace that is not declared, and options that cannot be
   */
  express<Req extends ExpressRequest = ExpressRequest>(options: ExpressOptions<Req, Namespace>): Middleware<Req>
  /**
   * For handlers of Hono, Next.js, Deno and others: `const cached = cache.http.web({ … })(handler)` is called with the request and whatever the handler takes.
   * @throws CachectlError USAGE
   */
  web<Req extends Request = Request>(
    options: WebOptions<Req, Namespace>,
  ): <Rest extends unknown[]>(handler: WebHandler<Req, Rest>) => (request: Req, ...rest: Rest) => Promise<Response>
  /**
   * Express middleware before the router of a REST resource: `app.use('/faculty', cache.http.resource('faculty', { … }), router)`. GET of its list and of
   * its rows is cached; POST, PUT, PATCH and DELETE that succeed invalidate, before their client has the whole response.
   * @param name a model of the config, or a name of one's own
   * @throws CachectlError USAGE
   */
  resource<Req extends ExpressRequest = ExpressRequest>(
    name: string,
    options?: ResourceOptions<Req, Namespace>,
  ): Middleware<Req>
}

export function createHttp(surface: Surface): Http {
  return {
    express: (options) => expressMiddleware(surface, options),
    web: (options) => webWrapper(surface, options),
    resource: (name, options = {}) => resourceMiddleware(surface, name, options),
  }
}
