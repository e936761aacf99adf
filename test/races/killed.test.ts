// Destructive verbs that are stopped or killed at random points: the report and the journal are the effect, nothing goes on afterwards, and a second run
// completes what is left.
import type { Redis } from 'ioredis'
import { afterAll, beforeAll, describe, expect, it } from 'vitest'
import { type Account, emptyAccount, isBalanced } from '../../src/core/account.ts'
import { encodeEntry } from '../../src/core/entry.ts'
import { readFields } from '../../src/core/journal-entry.ts'
import { hashBytes } from '../../src/core/shape.ts'
import { createProject, type Ended, type Project, start, until } from '../cli/spawned.ts'
import { cachectl } from '../cli/test-io.ts'
import { fillKeys, openBytes } from '../keyspace.ts'
import { randomFromSeed, seed } from '../seed.ts'
import { startRedis, type TestRedis } from '../servers.ts'
import { PROOF } from './processes.ts'
import { type SlowLink, startSlowLink } from './slow-link.ts'

/** JSON, which takes a process the least time to read. */
const CONFIG = {
  prefix: 'shop',
  namespaces: { detail: { ttl: '1h' }, list: { ttl: '1h', grace: '5m' } },
  server: { maxmemory: '64mb', policy: 'volatile-lru', samples: 10, lazyfree: true },
}
const KEYS = 2_500
const AT_ONCE = ['--yes', '--max-percent', '100', '--json']
/** Slow enough to be met in the middle, quick enough to be run to its end. */
const SLOWLY = [...AT_ONCE, '--rate', '4000']
const ENDS_WITHIN_MS = 3_000
/** What a busy machine may take to get anywhere. */
const BUSY_MS = 120_000
/** Verbs without a walk are met in the middle where each answer takes its time. */
const LATENCY_MS = 3
/** So long after their intent they are through. */
const THROUGH_MS = 120

interface Verb {
  argv: readonly string[]
  /** no walk: through a slow network, and stopped some time after its intent */
  quick?: boolean
  /** name of the i-th key that it is about */
  key?: (index: number) => string
  value?: () => Buffer
  /** how many keys it has changed, as the server has them */
  effect: (redis: Redis) => Promise<number>
  /** the same about, so cheaply that to look again and again holds nobody up; the effect where nothing else is said */
  about?: (redis: Redis) => Promise<number>
  /** of the report: how many it says, `deleted` where nothing else is said */
  told?: (report: Report) => number
  /** of the journal's counts */
  counted?: string
  /** what a whole run changes */
  most?: number
  /** puts back what FLUSHALL does not */
  reset?: () => Promise<unknown>
  /** what else is to be true then: of what was stopped, and of the run behind it */
  alsoStopped?: (report: Report | null, effect: number) => Promise<void>
  alsoAgain?: (effect: number, report: Report) => Promise<void>
}

type Report = Account & {
  changed?: number
  method?: string
  scopes?: { generation: number | null; token: string | null }[]
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

const aboutEnding = async (redis: Redis) => Number(/^db0:.*expires=(\d+)/m.exec(await redis.info('keyspace'))?.[1] ?? 0)
const SAMPLED = 50
const aboutStale = async (redis: Redis) => {
  const keys = Array.from({ length: SAMPLED }, (_, index) => listKey((index * KEYS) / SAMPLED))
  const heads = await Promise.all(keys.map((key) => redis.getrange(key, 48, 56)))
  const now = Date.now().toString(36).padStart(9, '0')
  return heads.filter((head) => head <= now).length * (KEYS / SAMPLED)
}

const VERBS: Record<string, Verb> = {
  'invalidate namespace': { argv: ['invalidate', 'namespace:list'], effect: gone },
  'invalidate pattern': { argv: ['invalidate', 'pattern:shop:v1:list:*', '--confirm=shop'], effect: gone },
  'invalidate --soft': {
    argv: ['invalidate', 'namespace:list', '--soft'],
    value: entry,
    effect: stale,
    about: aboutStale,
  },
  'invalidate --over': { argv: ['invalidate', 'namespace:list', '--over', '24h'], effect: ending, about: aboutEnding },
  expire: {
    argv: ['expire', 'namespace:list', '--ttl', '24h'],
    effect: ending,
    about: aboutEnding,
    told: ({ changed }) => changed as number,
    counted: 'changed',
  },
  evict: { argv: ['evict', 'namespace:list', '--max-keys', '500'], effect: gone, most: KEYS - 500 },
  'version prune': {
    argv: ['version', 'prune'],
    key: (index) => `shop:v1~dead:list:product:all:page_${index}`,
    effect: gone,
  },
  'version bump': {
    argv: ['version', 'bump', 'namespace:list'],
    quick: true,
    effect: async () => ((await tokenOf('namespace:list')) === null ? 0 : 1),
    told: ({ scopes = [] }) => scopes.filter(({ token }) => token !== null).length,
    counted: 'scopes',
    most: 1,
    async alsoStopped(report, effect) {
      if (report === null) return
      expect(report.scopes?.[0]?.token).toBe(await tokenOf('namespace:list'))
      // On a busy machine the look before may not have come to its end.
      if (report.method === 'full') expect(report.outdated).toBe(effect === 1 ? KEYS : 0)
    },
    // It is made once more, not lost: the first one counts.
    alsoAgain: async (effect, { scopes }) => expect(scopes?.[0]?.generation).toBe(effect + 1),
  },
  'policy apply': {
    argv: ['policy', 'apply'],
    quick: true,
    effect: async () => (await settings()).filter(({ now, wanted }) => now === wanted).length,
    counted: 'changed',
    most: 8,
    reset: () => Promise.all(SETTINGS.map(([name, before]) => server.call('CONFIG', 'SET', name, before))),
    alsoStopped: async (_, effect) => {
      // Six says that something differs.
      expect((await inProcess(['policy', 'check', '--json'])).exitCode).toBe(effect === SETTINGS.length ? 0 : 6)
    },
    alsoAgain: async () => expect((await inProcess(['policy', 'check', '--json'])).exitCode).toBe(0),
  },
}

/** Before, and as the config has them. */
const SETTINGS = [
  ['maxmemory', '0', '67108864'],
  ['maxmemory-policy', 'noeviction', 'volatile-lru'],
  ['maxmemory-samples', '5', '10'],
  ...['eviction', 'expire', 'server-del', 'user-del', 'user-flush'].map(
    (name) => [`lazyfree-lazy-${name}`, 'no', 'yes'] as const,
  ),
] as const

async function settings() {
  const all = (await redis.config('GET', '*')) as string[]
  return SETTINGS.map(([name, , wanted]) => ({ now: all[all.indexOf(name) + 1], wanted }))
}

const tokenOf = (field: string) => redis.hget('shop~generations', field)

let server: TestRedis
let redis: Redis
let slow: SlowLink
let project: Project

beforeAll(async () => {
  server = await startRedis()
  redis = openBytes(server)
  slow = await startSlowLink(server.socketUrl, `${server.dir}/slow`, LATENCY_MS)
  project = createProject({ 'cache.config.json': JSON.stringify(CONFIG) })
})
afterAll(async () => {
  project.remove()
  redis.disconnect()
  await slow.close()
  await server.stop()
})

const environment = () => ({ XDG_STATE_HOME: server.dir })

/** The function behind the programs: what need not be killed need not be a process. */
const inProcess = (argv: readonly string[]) =>
  cachectl([...argv, '--redis', server.url], { cwd: project.folder, env: environment() })

async function prepare({ key = listKey, value, reset }: Verb): Promise<void> {
  await server.call('FLUSHALL')
  await reset?.()
  await server.call('HSET', 'shop~generations', 'incarnation', 'abcdefghijklmnop', 'epoch', 'e')
  await server.call('SET', 'shop~revision:{shop~generations}', 'r')
  const keys = Array.from({ length: KEYS }, (_, index) => key(index))
  await fillKeys(server, keys, value ?? 16)
  await fillKeys(
    server,
    Array.from({ length: 100 }, (_, index) => `sess:${index}`),
  )
}

/** Starts the verb and sends the signal. */
async function stopped(verb: Verb, signal: NodeJS.Signals, random: () => number): Promise<Ended & { sinceMs: number }> {
  const argv = [...verb.argv, ...(verb.quick ? AT_ONCE : SLOWLY), '--redis', verb.quick ? slow.url : server.url]
  const { child, ended } = start(argv, { cwd: project.folder, env: environment() })
  let over = false
  void ended.then(() => {
    over = true
  })
  try {
    await comeToPoint(verb, random, () => over)
  } catch (thrown) {
    // It would go on among the keys of the next one.
    child.kill('SIGKILL')
    throw thrown
  }
  child.kill(signal)
  const sentMs = performance.now()
  return { ...(await ended), sinceMs: performance.now() - sentMs }
}

/** Some time after its start, once so many keys are done, or some time after its intent. */
async function comeToPoint(verb: Verb, random: () => number, isOver: () => boolean): Promise<void> {
  const after = async (ms: number) => {
    const atMs = performance.now() + ms
    await until(() => isOver() || performance.now() > atMs)
  }
  if (random() < 0.3) return after(random() * 900)
  if (verb.quick) {
    await until(async () => isOver() || (await redis.exists('shop~journal')) === 1, BUSY_MS)
    return after(random() * THROUGH_MS)
  }
  const at = Math.floor(random() * (verb.most ?? KEYS))
  await until(async () => isOver() || (await (verb.about ?? verb.effect)(redis)) >= at, BUSY_MS)
}

async function journal() {
  const records = (await redis.xrange('shop~journal', '-', '+')).map(([id, fields]) => readFields(id, fields))
  return {
    intent: records.find((record) => record?.phase === 'intent') ?? null,
    result: records.find((record) => record?.phase === 'result') ?? null,
  }
}

function expectBalanced(report: Report): void {
  const parts = Object.keys(emptyAccount()).map((part) => [part, report[part as keyof Account] ?? 0])
  const account = { ...Object.fromEntries(parts), deleted: report.changed ?? report.deleted } as Account
  expect({ ...account, balanced: isBalanced(account) }).toMatchObject({ balanced: true })
}

const SIGNALS = ['SIGINT', 'SIGTERM', 'SIGKILL'] as const
type Signal = (typeof SIGNALS)[number]
const EXIT_CODES = { SIGINT: 130, SIGTERM: 143 } as const

async function once(verb: Verb, signal: Signal, random: () => number): Promise<void> {
  await prepare(verb)
  const ended = await stopped(verb, signal, random)
  const effect = await verb.effect(redis)
  const { intent, result } = await journal()
  expect(await redis.keys('sess:*')).toHaveLength(100)
  if (effect > 0) expect(intent).not.toBeNull()
  let report: (Report & { error?: unknown }) | null = null
  if (signal === 'SIGKILL') {
    if (ended.signal === 'SIGKILL' && ended.stdout === '' && effect < (verb.most ?? KEYS)) expect(result).toBeNull()
    if (intent !== null && result === null) await expectToldAsUnfinished(intent.op)
  } else {
    expect(ended.sinceMs).toBeLessThan(ENDS_WITHIN_MS)
    // Before it listens for signals, and after it has said what it did, one ends it.
    if (ended.exitCode === null && ended.stdout === '')
      expect({ signal: ended.signal, effect }).toEqual({ signal, effect: 0 })
    else report = expectTold(verb, ended, signal, { effect, result })
    if (intent !== null) expect(result).not.toBeNull()
  }
  await verb.alsoStopped?.(report, effect)
  const again = await inProcess([...verb.argv, ...AT_ONCE, ...(verb.quick ? [] : ['--rate', 'max'])])
  expect({ exitCode: again.exitCode, stderr: again.exitCode === 0 ? '' : again.stderr }).toEqual({
    exitCode: 0,
    stderr: '',
  })
  expect(await verb.effect(redis)).toBe(verb.most ?? KEYS)
  await verb.alsoAgain?.(effect, JSON.parse(again.stdout))
}

/** What it printed, and what it left in the journal, is what it did. Null: an error before anything was done. */
function expectTold(
  { told = ({ deleted }) => deleted, counted = 'deleted' }: Verb,
  ended: Ended,
  signal: Exclude<Signal, 'SIGKILL'>,
  { effect, result }: { effect: number; result: Awaited<ReturnType<typeof journal>>['result'] },
): Report | null {
  const report = JSON.parse(ended.stdout)
  const exitCode = ended.exitCode ?? 0
  expect([0, EXIT_CODES[signal]]).toContain(exitCode)
  if (report.error) {
    expect({ effect, exitCode }).toEqual({ effect: 0, exitCode: EXIT_CODES[signal] })
    return null
  }
  expectBalanced(report)
  expect(told(report)).toBe(effect)
  expect(report.ok).toBe(exitCode === 0)
  expect(result?.ended).toMatchObject({ ok: report.ok, complete: report.complete, exitCode })
  expect(result?.ended?.counts).toMatchObject({ [counted]: effect })
  return report
}

/** `history` has the run, and no end of it. */
async function expectToldAsUnfinished(op: string): Promise<void> {
  const { entries } = JSON.parse((await inProcess(['history', '--json'])).stdout)
  expect(entries).toEqual([expect.objectContaining({ op, exitCode: null })])
}

describe(`stopped at random points (seed ${seed})`, () => {
  const cases = Object.keys(VERBS).flatMap((name, at) =>
    // A short run stops each verb once, by one signal or another; a long one each by each.
    (PROOF === 1 ? [SIGNALS[at % SIGNALS.length] as Signal] : SIGNALS).map((signal) => ({ name, signal })),
  )
  it.each(cases)('$name by $signal', { timeout: PROOF * 60_000 }, async ({ name, signal }) => {
    // Of its own: a case that is run alone comes out the same.
    const random = randomFromSeed(seed + hashBytes(Buffer.from(name + signal), 0, name.length + signal.length))
    const times = PROOF === 1 ? 1 : Math.ceil((PROOF * 10) / SIGNALS.length)
    for (let time = 0; time < times; time++) {
      try {
        await once(VERBS[name] as Verb, signal, random)
      } catch (thrown) {
        throw new Error(`point ${time + 1} of ${times}, seed ${seed}`, { cause: thrown })
      }
    }
  })
})
