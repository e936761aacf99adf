// Destructive verbs that are stopped or killed at random points: the report and the journal are the effect, nothing goes on afterwards, and a second run
// completes what is left.
import type { Redis } from 'ioredis'
import { afterAll, beforeAll, describe, expect, it } from 'vitest'
import { type Account, emptyAccount, isBalanced } from '../../src/core/account.ts'
import { encodeEntry } from '../../src/core/entry.ts'
import { readFields } from '../../src/core/journal-entry.ts'
import { createProject, type Ended, type Project, start, until } from '../cli/spawned.ts'
import { fillKeys, openBytes } from '../keyspace.ts'
import { randomFromSeed, seed } from '../seed.ts'
import { startRedis, type TestRedis } from '../servers.ts'
import { PROOF } from './processes.ts'

const CONFIG = `
import { defineConfig } from 'cachectl'
export default defineConfig({
  redis: process.env.REDIS_URL,
  prefix: 'shop',
  namespaces: { detail: { ttl: '1h' }, list: { ttl: '1h', grace: '5m' } },
})
`
const KEYS = 2_500
/** Slow enough to be met in the middle, quick enough to be run to its end. */
const SLOWLY = ['--yes', '--max-percent', '100', '--json', '--rate', '4000']
const ENDS_WITHIN_MS = 3_000

interface Verb {
  argv: readonly string[]
  /** name of the i-th key that it is about */
  key?: (index: number) => string
  value?: () => Buffer
  /** how many keys it has changed, as the server has them */
  effect: (redis: Redis) => Promise<number>
  /** of the report */
  done?: 'deleted' | 'changed'
  /** keys that a whole run deals with */
  most?: number
}

const listKey = (index: number) => `shop:v1:list:product:all:page_${index}`
const entry = () =>
  encodeEntry('v', {
    incarnation: 'abcdefghijklmnop',
    createdAtMs: Date.now() - 60_000,
    freshUntilMs: Date.now() + 3_600_000,
    graceMs: 300_000,
    deltaMs: 1,
    writer: 'test',
    sourceVersion: null,
    tags: [],
    compressAboveBytes: null,
  }) as Buffer

async function askEach(redis: Redis, ask: (pipeline: ReturnType<Redis['pipeline']>, key: string) => void) {
  const pipeline = redis.pipeline()
  for (let index = 0; index < KEYS; index++) ask(pipeline, listKey(index))
  return ((await pipeline.exec()) as [Error | null, unknown][]).map(([, reply]) => reply)
}
const gone = async (redis: Redis) => {
  const control = await redis.keys('shop~*')
  return KEYS + 100 - ((await redis.dbsize()) - control.length)
}
const ending = async (redis: Redis) =>
  (await askEach(redis, (pipeline, key) => pipeline.pttl(key))).filter((left) => left !== -1).length
const stale = async (redis: Redis) => {
  const heads = await askEach(redis, (pipeline, key) => pipeline.getrange(key, 48, 56))
  const now = Date.now().toString(36).padStart(9, '0')
  return heads.filter((head) => String(head) <= now).length
}

const VERBS: Record<string, Verb> = {
  'invalidate namespace': { argv: ['invalidate', 'namespace:list'], effect: gone },
  'invalidate pattern': { argv: ['invalidate', 'pattern:shop:v1:list:*', '--confirm=shop'], effect: gone },
  'invalidate --soft': { argv: ['invalidate', 'namespace:list', '--soft'], value: entry, effect: stale },
  'invalidate --over': { argv: ['invalidate', 'namespace:list', '--over', '24h'], effect: ending },
  expire: { argv: ['expire', 'namespace:list', '--ttl', '24h'], effect: ending, done: 'changed' },
  evict: { argv: ['evict', 'namespace:list', '--max-keys', '500'], effect: gone, most: KEYS - 500 },
  'version prune': {
    argv: ['version', 'prune'],
    key: (index) => `shop:v1~dead:list:product:all:page_${index}`,
    effect: gone,
  },
}

let server: TestRedis
let redis: Redis
let project: Project
const random = randomFromSeed(seed)

beforeAll(async () => {
  server = await startRedis()
  redis = openBytes(server)
  project = createProject({ 'cache.config.ts': CONFIG })
})
afterAll(async () => {
  project.remove()
  redis.disconnect()
  await server.stop()
})

const environment = () => ({ REDIS_URL: server.url, XDG_STATE_HOME: server.dir })

async function prepare({ key = listKey, value }: Verb): Promise<void> {
  await server.call('FLUSHALL')
  await server.call('HSET', 'shop~generations', 'incarnation', 'abcdefghijklmnop', 'epoch', 'e')
  await server.call('SET', 'shop~revision:{shop~generations}', 'r')
  const keys = Array.from({ length: KEYS }, (_, index) => key(index))
  await fillKeys(server, keys, value ?? 16)
  await fillKeys(
    server,
    Array.from({ length: 100 }, (_, index) => `sess:${index}`),
  )
}

/** Starts the verb and sends the signal: some time after its start, or once so many keys are done. */
async function stopped(verb: Verb, signal: NodeJS.Signals): Promise<Ended & { sinceMs: number }> {
  const run = start([...verb.argv, ...SLOWLY], { cwd: project.folder, env: environment() })
  let over = false
  void run.ended.then(() => {
    over = true
  })
  if (random() < 0.3) {
    const atMs = performance.now() + random() * 900
    await until(() => over || performance.now() > atMs)
  } else {
    const at = Math.floor(random() * (verb.most ?? KEYS))
    await until(async () => over || (await verb.effect(redis)) >= at, 30_000)
  }
  run.child.kill(signal)
  const sentMs = performance.now()
  const ended = await run.ended
  return { ...ended, sinceMs: performance.now() - sentMs }
}

async function journal() {
  const records = (await redis.xrange('shop~journal', '-', '+')).map(([id, fields]) => readFields(id, fields))
  return {
    intent: records.find((record) => record?.phase === 'intent') ?? null,
    result: records.find((record) => record?.phase === 'result') ?? null,
  }
}

function expectBalanced(report: Account & { changed?: number }): void {
  const parts = Object.keys(emptyAccount()).map((part) => [part, report[part as keyof Account] ?? 0])
  const account = { ...Object.fromEntries(parts), deleted: report.changed ?? report.deleted } as Account
  expect({ ...account, balanced: isBalanced(account) }).toMatchObject({ balanced: true })
}

const EXIT_CODES = { SIGINT: 130, SIGTERM: 143 } as const

async function once(verb: Verb, signal: 'SIGINT' | 'SIGTERM' | 'SIGKILL'): Promise<void> {
  await prepare(verb)
  const ended = await stopped(verb, signal)
  const effect = await verb.effect(redis)
  const { intent, result } = await journal()
  expect(await redis.keys('sess:*')).toHaveLength(100)
  if (effect > 0) expect(intent).not.toBeNull()
  if (signal === 'SIGKILL') {
    if (ended.signal === 'SIGKILL' && ended.stdout === '' && effect < (verb.most ?? KEYS)) expect(result).toBeNull()
  } else {
    expect(ended.sinceMs).toBeLessThan(ENDS_WITHIN_MS)
    // Before it listens for signals, and after it has said what it did, one ends it.
    if (ended.exitCode === null && ended.stdout === '')
      expect({ signal: ended.signal, effect }).toEqual({ signal, effect: 0 })
    else {
      const report = JSON.parse(ended.stdout)
      const exitCode = ended.exitCode ?? 0
      expect([0, EXIT_CODES[signal]]).toContain(exitCode)
      if (report.error) expect({ effect, exitCode }).toEqual({ effect: 0, exitCode: EXIT_CODES[signal] })
      else {
        expectBalanced(report)
        expect(report[verb.done ?? 'deleted']).toBe(effect)
        expect(report.ok).toBe(exitCode === 0)
        expect(result?.ended).toMatchObject({ ok: report.ok, complete: report.complete, exitCode })
        expect(result?.ended?.counts).toMatchObject({ [verb.done ?? 'deleted']: effect })
      }
    }
    if (intent !== null) expect(result).not.toBeNull()
  }
  const again = await start([...verb.argv, ...SLOWLY, '--rate', 'max'], { cwd: project.folder, env: environment() })
    .ended
  expect({ exitCode: again.exitCode, stderr: again.exitCode === 0 ? '' : again.stderr }).toEqual({
    exitCode: 0,
    stderr: '',
  })
  expect(await verb.effect(redis)).toBe(verb.most ?? KEYS)
}

describe(`stopped at random points (seed ${seed})`, () => {
  const SIGNALS = ['SIGINT', 'SIGTERM', 'SIGKILL'] as const
  const cases = Object.keys(VERBS).flatMap((name, at) =>
    // A short run stops each verb once, by one signal or another; a long one each by each.
    (PROOF === 1 ? [SIGNALS[at % SIGNALS.length] as (typeof SIGNALS)[number]] : SIGNALS).map((signal) => ({
      name,
      signal,
    })),
  )
  it.each(cases)('$name by $signal', { timeout: 600_000 }, async ({ name, signal }) => {
    const times = PROOF === 1 ? 1 : Math.ceil((PROOF * 10) / SIGNALS.length)
    for (let time = 0; time < times; time++) await once(VERBS[name] as Verb, signal)
  })
})
