// What the shop needs around it, private and thrown away at the end: PostgreSQL, Redis, somebody else's slow API. A shop of your own has these.
import { execFile } from 'node:child_process'
import { createServer } from 'node:http'
import type { AddressInfo } from 'node:net'
import { dirname, join } from 'node:path'
import { setTimeout as delay } from 'node:timers/promises'
import { fileURLToPath } from 'node:url'
import { promisify } from 'node:util'
import { startServer } from '../../dist/adapters/redis/embedded.js'
import { startPostgres } from '../../test/postgres.ts'

const folder = dirname(fileURLToPath(import.meta.url))
const root = join(folder, '../..')

export interface Servers {
  env: { REDIS_URL: string; DATABASE_URL: string; RATES_URL: string }
}

/** `onStop` is given what ends each server, as soon as it runs. */
export async function startServers(onStop: (stop: () => Promise<unknown>) => void): Promise<Servers> {
  const started = await Promise.allSettled([
    startServer().then((redis) => {
      onStop(redis.stop)
      return redis.url
    }),
    startPostgres().then((postgres) => {
      onStop(() => postgres.stop())
      return postgres.url
    }),
    startRatesApi(onStop),
    generateClient(),
  ])
  const failed = started.find(({ status }) => status === 'rejected') as PromiseRejectedResult | undefined
  if (failed) throw failed.reason
  const [REDIS_URL, DATABASE_URL, RATES_URL] = started.map((each) => (each as PromiseFulfilledResult<string>).value)
  return { env: { REDIS_URL, DATABASE_URL, RATES_URL } as Servers['env'] }
}

/** Answers after 40 ms; each answer has a number of its own. */
async function startRatesApi(onStop: (stop: () => Promise<unknown>) => void): Promise<string> {
  let answers = 0
  const server = createServer(async (req, res) => {
    await delay(40)
    answers += 1
    res.setHeader('content-type', 'application/json')
    res.end(JSON.stringify({ base: req.url?.slice(1), rates: { EUR: 0.92, GBP: 0.79, JPY: 151.2 }, answer: answers }))
  })
  await new Promise<void>((resolve) => server.listen(0, '127.0.0.1', resolve))
  onStop(async () => {
    server.close()
    server.closeAllConnections()
  })
  return `http://127.0.0.1:${(server.address() as AddressInfo).port}`
}

/** The Prisma client of schema.prisma, without network: nothing of it needs an engine. */
async function generateClient(): Promise<void> {
  const prisma = join(root, 'node_modules/prisma/build/index.js')
  await promisify(execFile)(process.execPath, [prisma, 'generate', '--schema', join(folder, 'schema.prisma')], {
    cwd: folder,
    env: { ...process.env, PRISMA_SCHEMA_ENGINE_BINARY: '/bin/true', CHECKPOINT_DISABLE: '1' },
  })
}
