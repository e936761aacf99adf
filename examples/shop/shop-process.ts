// The shop in a process of its own, as it runs in production; a client for it.
import { fork } from 'node:child_process'
import { once } from 'node:events'
import { Agent, request } from 'node:http'
import { fileURLToPath } from 'node:url'

export interface Shop {
  url: string
  ask(method: string, path: string, options?: AskOptions): Promise<Answer>
  stop(): Promise<void>
}

export interface AskOptions {
  headers?: Record<string, string>
  body?: unknown
}

export interface Answer {
  status: number
  /** `HIT`, `MISS`, `BYPASS` … of routes whose whole answer is cached */
  cache: string | undefined
  text: string
}

export async function startShop(env: Record<string, string>): Promise<Shop> {
  const server = fork(fileURLToPath(new URL('server.ts', import.meta.url)), {
    execArgv: ['--import', 'tsx'],
    env: { ...process.env, ...env },
  })
  const exited = once(server, 'exit')
  const [message] = await Promise.race([
    once(server, 'message'),
    exited.then(([code]) => Promise.reject(new Error(`the shop ended with code ${code}`))),
  ])
  const { url } = message as { url: string }
  const agent = new Agent({ keepAlive: true })
  return {
    url,
    ask: (method, path, options) => ask(agent, method, url + path, options),
    async stop() {
      agent.destroy()
      if (server.connected) server.disconnect() // it closes its cache, and ends
      await exited
    },
  }
}

async function ask(
  agent: Agent,
  method: string,
  url: string,
  { headers = {}, body }: AskOptions = {},
): Promise<Answer> {
  const json = body === undefined ? {} : { 'content-type': 'application/json' }
  const sent = request(url, { agent, method, headers: { ...headers, ...json } })
  sent.end(body === undefined ? undefined : JSON.stringify(body))
  const [res] = await once(sent, 'response')
  let text = ''
  for await (const chunk of res.setEncoding('utf8')) text += chunk
  return { status: res.statusCode, cache: res.headers['x-cache'], text }
}
