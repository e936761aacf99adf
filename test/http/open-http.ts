// Cached responses over a kernel on a real Redis, servers on loopback, and a client that says exactly what it sends; for the tests of src/http.
import { AsyncLocalStorage } from 'node:async_hooks'
import { createServer, type IncomingHttpHeaders, type RequestListener, request, type Server } from 'node:http'
import type { AddressInfo } from 'node:net'
import { expect, vi } from 'vitest'
import { openStore } from '../../src/adapters/redis/store.ts'
import { createKernel } from '../../src/cache/create-kernel.ts'
import type { Kernel } from '../../src/cache/kernel.ts'
import type { Surface } from '../../src/cache/surface.ts'
import type { ResolvedModel, ResolvedNamespace } from '../../src/config/resolved.ts'
import { createHttp, type Http } from '../../src/http/create-http.ts'
import { aConfig, aNamespace } from '../resolved.ts'

export interface OpenHttp {
  http: Http
  kernel: Kernel
  surface: Surface
  /** what went to `onError` */
  errors: unknown[]
  /** Resolves when so many requests wait for a load, or have begun one. */
  waiting(count: number): Promise<void>
  /** work in a tenant, as `cache.runWithTenant` has it */
  runWithTenant<T>(id: string, work: () => T): T
}

const opened: (() => Promise<unknown>)[] = []

/** On a machine that has other things to do as well. */
export function eventually<T>(check: () => T | Promise<T>, interval = 10): Promise<T> {
  return vi.waitFor(check, { timeout: 15_000, interval })
}

export async function closeAll(): Promise<void> {
  for (const close of opened.splice(0).reverse()) await close()
}

export interface OpenOptions {
  production?: boolean
  namespaces?: readonly ResolvedNamespace[]
  models?: readonly ResolvedModel[]
  deadlineMs?: number
}

/** What one process has: namespaces `list`, `detail` (10 min, no grace) and those given. */
export function openHttp(url: string, options: OpenOptions = {}): OpenHttp {
  const errors: unknown[] = []
  const namespaces = ['list', 'detail'].map((name) => aNamespace(name, { beta: 0, graceMs: 0 }))
  const config = aConfig(url, options.models ?? [], {
    namespaces: Object.fromEntries([...namespaces, ...(options.namespaces ?? [])].map((each) => [each.name, each])),
    tenantLabel: 'org',
  })
  const store = openStore({ url, from: 'the test', tls: null }, { connectTimeoutMs: 1_000, replyTimeoutMs: 1_000 })
  const kernel = createKernel({
    config,
    store,
    clock: Date,
    random: Math.random,
    counters: { count: () => {}, group: () => ({ count: () => {} }) },
    near: null,
    deadlineMs: options.deadlineMs ?? 2_000,
    sourceConcurrency: 8,
    production: options.production ?? false,
    strict: false,
    onError: (error) => void errors.push(error),
  })
  opened.push(async () => {
    await kernel.close()
    await store.close()
  })
  let loads = 0
  const { load } = kernel
  kernel.load = (...args) => {
    loads++
    return load(...args)
  }
  const waiting = async (count: number) => {
    await eventually(() => expect(loads).toBe(count))
    // Behind what they asked Redis, on the same connection.
    await new Promise((resolve) => setImmediate(resolve))
    await kernel.command('PING')
  }
  const tenants = new AsyncLocalStorage<string>()
  const surface: Surface = { kernel, tenant: () => tenants.getStore() ?? null }
  return {
    http: createHttp(surface),
    kernel,
    surface,
    errors,
    waiting,
    runWithTenant: (id, work) => tenants.run(id, work),
  }
}

/** `http://127.0.0.1:<port>` of a server that is closed with the rest. */
export async function listen(listener: RequestListener): Promise<string> {
  const server: Server = createServer(listener)
  await new Promise<void>((resolve) => server.listen(0, '127.0.0.1', resolve))
  opened.push(
    () =>
      new Promise<void>((resolve) => {
        server.close(() => resolve())
        server.closeAllConnections()
      }),
  )
  return `http://127.0.0.1:${(server.address() as AddressInfo).port}`
}

/** A web-standard `fetch` handler, as a Node server. */
export function webListener(fetch: (request: Request) => Response | Promise<Response>): RequestListener {
  return (req, res) => {
    const aborting = new AbortController()
    res.once('close', () => aborting.abort())
    const headers = new Headers()
    for (let at = 0; at < req.rawHeaders.length; at += 2)
      headers.append(req.rawHeaders[at] as string, req.rawHeaders[at + 1] as string)
    const web = new Request(`http://${req.headers.host}${req.url}`, {
      method: req.method as string,
      headers,
      signal: aborting.signal,
    })
    const send = async () => {
      const response = await fetch(web)
      const cookies = response.headers.getSetCookie()
      for (const [name, value] of response.headers) if (name !== 'set-cookie') res.setHeader(name, value)
      if (cookies.length > 0) res.setHeader('set-cookie', cookies)
      res.writeHead(response.status)
      for await (const chunk of response.body ?? []) res.write(chunk)
      res.end()
    }
    send().catch(() => {
      if (res.headersSent) return res.destroy()
      res.statusCode = 500
      res.end('failed')
    })
  }
}

export interface Answer {
  status: number
  headers: IncomingHttpHeaders
  body: Buffer
  text: string
  cache: string | undefined
}

/** One request on a connection of its own. */
export function get(
  url: string,
  headers: Readonly<Record<string, string>> = {},
  method = 'GET',
  body?: string,
): Promise<Answer> {
  return new Promise((resolve, reject) => {
    const { hostname, port } = new URL(url)
    // The path as it is written: URL would normalise it.
    const path = url.slice(url.indexOf('/', 'http://'.length))
    const length = body === undefined ? {} : { 'Content-Length': Buffer.byteLength(body) }
    const sent = request({ hostname, port, path, method, headers: { ...length, ...headers }, agent: false }, (res) => {
      const chunks: Buffer[] = []
      res.on('data', (chunk: Buffer) => chunks.push(chunk))
      res.on('error', reject)
      res.on('end', () => {
        const all = Buffer.concat(chunks)
        resolve({
          status: res.statusCode as number,
          headers: res.headers,
          body: all,
          text: all.toString(),
          cache: res.headers['x-cache'] as string | undefined,
        })
      })
    })
    sent.on('error', reject)
    sent.end(body)
  })
}
