// A queue (BullMQ) and a session store (connect-redis) on the same Redis: no verb touches a byte of them, whatever it is aimed at.
import { createServer, type Server } from 'node:http'
import type { AddressInfo } from 'node:net'
import { type Job, Queue, Worker } from 'bullmq'
import { RedisStore } from 'connect-redis'
import express from 'express'
import session from 'express-session'
import { Redis } from 'ioredis'
import { afterAll, beforeAll, beforeEach, describe, expect, it } from 'vitest'
import { fillKeys, keysOf, openBytes } from '../keyspace.ts'
import { startRedis, type TestRedis } from '../servers.ts'
import { runIn } from './in-folder.ts'
import { createProject, type Project } from './spawned.ts'

const config = (protect: string) => `
import { defineConfig } from 'cachectl'
export default defineConfig({
  redis: process.env.REDIS_URL,
  prefix: 'shop',
  namespaces: { detail: { ttl: '1h', budget: { maxKeys: 10 } }, list: { ttl: '5m' } },
  budget: { maxMemory: '1kb' },
  ${protect}
})
`

let server: TestRedis
let redis: Redis
let queue: Queue
let worker: Worker
let active: Job
let client: Redis
let site: Server
const projects: Record<string, Project> = {}

beforeAll(async () => {
  server = await startRedis({ port: 0 })
  redis = openBytes(server)
  projects.protect = createProject({ 'cache.config.ts': config(`protect: ['bull:*', 'sess:*'],`) })
  projects['no protect'] = createProject({ 'cache.config.ts': config('') })
  projects['no config'] = createProject({})
  const connection = { host: '127.0.0.1', port: server.port as number }
  queue = new Queue('mails', { connection })
  await queue.addBulk(Array.from({ length: 20 }, (_, n) => ({ name: 'mail', data: { n } })))
  await queue.add('later', { n: 100 }, { delay: 3_600_000 })
  await queue.add('first', { n: 101 }, { priority: 1 })
  await queue.upsertJobScheduler('every hour', { every: 3_600_000 }, { name: 'report' })
  worker = new Worker('mails', undefined, {
    connection,
    autorun: false,
    lockDuration: 3_600_000,
    skipStalledCheck: true,
  })
  active = (await worker.getNextJob('token')) as Job
  client = new Redis(server.url)
  const app = express()
  app.use(session({ store: new RedisStore({ client }), secret: 's', resave: false, saveUninitialized: false }))
  app.get('/', (request, response) => {
    const visits = request.session as unknown as { count?: number }
    visits.count = (visits.count ?? 0) + 1
    response.send(String(visits.count))
  })
  site = createServer(app)
  await new Promise<void>((resolve) => site.listen(0, '127.0.0.1', resolve))
})
afterAll(async () => {
  await new Promise((resolve) => site.close(resolve))
  await worker.close()
  await queue.close()
  client.disconnect()
  redis.disconnect()
  for (const project of Object.values(projects)) project.remove()
  await server.stop()
})

const isCache = (key: string) => key.startsWith('shop:') || key.startsWith('shop~')

/** Name, value and end of every key that is not the cache's. */
async function neighbours(): Promise<Map<string, { dump: string; endsAtMs: number }>> {
  const found = new Map<string, { dump: string; endsAtMs: number }>()
  for (const name of [...(await keysOf(redis))].filter((key) => !isCache(key)).sort()) {
    const key = Buffer.from(name, 'latin1')
    const dump = (await redis.dumpBuffer(key)).toString('base64')
    found.set(name, { dump, endsAtMs: Number(await redis.call('PEXPIRETIME', key)) })
  }
  return found
}

const visit = async (cookie?: string): Promise<{ count: string; cookie: string }> => {
  const { port } = site.address() as AddressInfo
  const answer = await fetch(`http://127.0.0.1:${port}/`, cookie ? { headers: { cookie } } : {})
  return { count: await answer.text(), cookie: answer.headers.get('set-cookie')?.split(';')[0] ?? cookie ?? '' }
}

beforeEach(async () => {
  await fillKeys(server, [
    ...Array.from({ length: 40 }, (_, i) => `shop:v1:detail:product:${i}`),
    ...Array.from({ length: 40 }, (_, i) => `shop:v1~old:list:product:all:page_${i}`),
  ])
})

const SURE = ['--confirm=shop', '--max-percent', '100']
const VERBS: string[][] = [
  ['invalidate', 'all', ...SURE],
  ['invalidate', 'all', '--soft', ...SURE],
  ['invalidate', 'all', '--over', '1s', ...SURE],
  ['invalidate', 'namespace:detail', 'namespace:list', ...SURE],
  ['invalidate', 'pattern:*', ...SURE],
  ['invalidate', 'pattern:*', '--foreign', ...SURE],
  ['invalidate', 'pattern:bull:*', '--foreign', ...SURE],
  ['invalidate', 'pattern:*:mails:*', 'pattern:s*', '--foreign', ...SURE],
  ['invalidate', 'pattern:[a-z]*:*', '--foreign', '--over', '1s', ...SURE],
  ['expire', 'all', '--ttl', '1s', ...SURE],
  ['expire', 'pattern:*', '--foreign', '--ttl', '1s', ...SURE],
  ['expire', 'pattern:*', '--foreign', '--missing-only', '--ttl', '1s', ...SURE],
  ['expire', 'pattern:bull:*', '--foreign', '--over', '1s', ...SURE],
  ['evict', ...SURE],
  ['evict', 'all', '--max-keys', '1', ...SURE],
  ['evict', 'pattern:*', '--foreign', '--max-keys', '1', ...SURE],
  ['evict', 'pattern:bull:*', '--foreign', '--max-memory', '1kb', '--policy', 'random', ...SURE],
  ['version', 'bump', 'global', ...SURE],
  ['version', 'prune', ...SURE],
  ['lock', 'release', 'x', '--yes'],
]

describe('a queue and a session store beside the cache', () => {
  let cookie: string
  beforeAll(async () => {
    ;({ cookie } = await visit())
    expect((await visit(cookie)).count).toBe('2')
  })

  for (const [name, verbs] of [
    ['protect', VERBS],
    ['no protect', VERBS],
  ] as const)
    it.each(verbs.map((argv) => [argv.join(' '), argv] as const))(`with ${name}: %s`, async (_, argv) => {
      const before = await neighbours()
      expect(before.size).toBeGreaterThan(20)
      const { exitCode, stderr } = await runIn((projects[name] as Project).folder, [...argv], {
        REDIS_URL: server.url,
        XDG_STATE_HOME: server.dir,
      })
      // What is no entry cannot be made stale, and what is protected cannot make room: both say so.
      const partial = argv.includes('--soft') || (argv[0] === 'evict' && argv.includes('--foreign'))
      const expected = partial ? [3] : [0]
      expect({ exitCode, stderr: expected.includes(exitCode) ? '' : stderr }).toEqual({
        exitCode: expect.toSatisfy((code: number) => expected.includes(code)),
        stderr: '',
      })
      expect(await neighbours()).toEqual(before)
    })

  it('without a config, a pattern that matches everything leaves them as they are', async () => {
    const before = await neighbours()
    const url = server.url.replace('redis://', '')
    const argv = [
      'invalidate',
      'pattern:*',
      '--foreign',
      `--confirm=${url}`,
      '--max-percent',
      '100',
      '--redis',
      server.url,
    ]
    const { exitCode, stderr } = await runIn((projects['no config'] as Project).folder, argv, {
      XDG_STATE_HOME: server.dir,
    })
    expect({ exitCode, stderr: exitCode === 0 ? '' : stderr }).toEqual({ exitCode: 0, stderr: '' })
    expect(await neighbours()).toEqual(before)
    expect([...(await keysOf(redis))].filter((key) => key.startsWith('shop:'))).toEqual([])
  })

  it('and both go on working', async () => {
    expect((await visit(cookie)).count).toBe('3')
    expect(await queue.getJobCounts('waiting', 'active', 'delayed', 'prioritized')).toMatchObject({
      waiting: 20,
      active: 1,
      delayed: 1,
      prioritized: 1,
    })
    expect(await queue.getJobSchedulers()).toHaveLength(1)
    await active.moveToCompleted('sent', 'token', false)
    const done: number[] = []
    const connection = { host: '127.0.0.1', port: server.port as number }
    const busy = new Worker('mails', async (job) => void done.push(job.data.n), { connection })
    await expect.poll(() => done.length, { timeout: 10_000 }).toBe(21)
    await busy.close()
    // One more is the report, which has no number.
    expect([...done, active.data.n].filter((n) => n !== undefined).sort((a, b) => a - b)).toEqual([
      ...Array.from({ length: 20 }, (_, n) => n),
      101,
    ])
  })
})
