// Keys that are changed and stay: each counts once, however often it is met, and what nobody answered for is unknown.
import { mkdtempSync, rmSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import type { Redis } from 'ioredis'
import { afterAll, beforeAll, beforeEach, describe, expect, it } from 'vitest'
import { isBalanced } from '../../src/core/account.ts'
import { encodeEntry } from '../../src/core/entry.ts'
import { CachectlError } from '../../src/core/errors.ts'
import { expireCommand, expiryOutcome } from '../../src/core/expiry.ts'
import { allKeys, type MetKeys, recentKeys } from '../../src/ops/met-keys.ts'
import { softenAction, spreadAction } from '../../src/ops/soften.ts'
import { type SweepAction, type SweepOptions, type Swept, sweep } from '../../src/ops/sweep.ts'
import { Sweeper } from '../../src/ops/sweeper.ts'
import type { Lane, Page, Store } from '../../src/ports.ts'
import { fillKeys, openBytes } from '../keyspace.ts'
import { startProxy, type TestProxy } from '../races/proxy.ts'
import { randomFromSeed, seed } from '../seed.ts'
import { startRedis, type TestRedis } from '../servers.ts'
import { contextOf, hostileKeys, openTestStore } from './fixture.ts'

const KEYS = 3_000
const NAMES = Array.from({ length: KEYS }, (_, index) => `shop:v1:list:a:${index}`)

let server: TestRedis
let redis: Redis
let proxy: TestProxy
let store: Store
let folder: string
let random: () => number
beforeAll(async () => {
  server = await startRedis()
  redis = openBytes(server)
  folder = mkdtempSync(join(tmpdir(), 'cachectl-'))
  proxy = await startProxy(join(folder, 'p'), server.url)
  store = openTestStore({ ...server, url: proxy.url })
})
afterAll(async () => {
  redis.disconnect()
  await store.close()
  await proxy.close()
  await server.stop()
  rmSync(folder, { recursive: true, force: true })
})
beforeEach(() => {
  random = randomFromSeed(seed)
})

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

type Examine = NonNullable<SweepOptions['examine']>
interface Change {
  action: () => Promise<SweepAction>
  examine?: Examine
  /** keys that the server has as they are to be */
  changed: () => Promise<number>
}

const ask = async (what: (pipeline: ReturnType<Redis['pipeline']>, key: string) => void) => {
  const pipeline = redis.pipeline()
  for (const key of NAMES) what(pipeline, key)
  return ((await pipeline.exec()) as [Error | null, unknown][]).map(([, reply]) => reply)
}
const ending = async () => (await ask((pipeline, key) => pipeline.pttl(key))).filter((left) => left !== -1).length
const stale = async () => {
  const now = Date.now().toString(36).padStart(9, '0')
  return (await ask((pipeline, key) => pipeline.getrange(key, 48, 56))).filter((head) => String(head) <= now).length
}

const TTL_MS = 3_600_000
/** As `expire` has it: a key whose TTL is as it is to be is passed. */
const withTtl = (mode: 'set' | 'shorten'): Change => ({
  action: async () => ({
    many: false,
    stays: true,
    add: (page, [key]) =>
      page.add(...expireCommand(key as Buffer, { ttlMs: TTL_MS, mode, nowMs: Date.now(), flags: false })),
    outcome: (reply) => (expiryOutcome(reply) === 'as it was' ? 'gone' : 'done'),
  }),
  examine: {
    probe: (page, key) => page.add('PTTL', key),
    keep: async (_, replies) => replies.map((pttl) => mode === 'set' || pttl === -1 || Number(pttl) > TTL_MS),
  },
  changed: ending,
})

const CHANGES: Record<string, Change> = {
  'invalidate --soft': { action: async () => softenAction({ clock: { now: Date.now } }), changed: stale },
  'invalidate --over': {
    action: () => spreadAction({ store, clock: { now: Date.now }, random }, TTL_MS),
    changed: ending,
  },
  'expire, only shorter': withTtl('shorten'),
  'expire, in any case': withTtl('set'),
}

/** Answers stop in the middle, and when the server has done something that nobody has heard of, the connection is lost; it comes back. */
async function losing({ action, examine, changed }: Change, stays: boolean): Promise<Swept> {
  await server.call('FLUSHALL')
  await fillKeys(server, NAMES, entry)
  const at = Math.floor(random() * (KEYS - 1_000))
  let muted = false
  let lost: Promise<void> | null = null
  const cut = async (heard: number) => {
    await expect.poll(changed, { interval: 10, timeout: 10_000 }).toBeGreaterThan(heard)
    proxy.cut()
    proxy.heal()
  }
  const context = contextOf(store, {
    emit: (event) => {
      if (muted || event.event !== 'progress' || event.done < at) return
      muted = true
      proxy.mute()
      lost = cut(event.done)
    },
  })
  const swept = await sweep(context, {
    decide: () => 'act',
    ...(examine ? { examine } : {}),
    action: { ...(await action()), stays },
    pace: { keysPerSecond: 100_000 },
    task: 'changing',
    expected: KEYS,
  })
  await lost
  expect(muted).toBe(true)
  return swept
}

describe(`a connection that is lost with a page under way (SEED=${seed})`, () => {
  it.each(Object.keys(CHANGES))('%s: each key counts once, and what is not known is said', async (name) => {
    const change = CHANGES[name] as Change
    const { account, complete, stopped, doubt } = await losing(change, true)
    expect({ ...account, balanced: isBalanced(account) }).toMatchObject({ matched: KEYS, balanced: true, failed: 0 })
    expect(stopped).toBeNull()
    expect(await change.changed()).toBe(KEYS)
    // Who gives each key its TTL anew knows that it did, by the second answer.
    if (name === 'expire, in any case') {
      expect({ account, complete, doubt }).toMatchObject({ account: { deleted: KEYS }, complete: true, doubt: null })
      return
    }
    expect(account.unknown).toBeGreaterThan(0)
    expect(account.deleted + account.unknown).toBe(KEYS)
    expect(complete).toBe(false)
    expect(doubt).toMatch(/lost with [\d,]+ keys under way/)
  })

  it.each(Object.keys(CHANGES))('%s by a sweeper that takes what it meets for new is caught', async (name) => {
    const { account, complete } = await losing(CHANGES[name] as Change, false)
    expect(account.matched !== KEYS || (complete && account.deleted !== KEYS)).toBe(true)
  })
})

describe('keys that are on another master, and the connection to that is lost', () => {
  /** Says of each key that it is elsewhere; and one that is lost behind some answers. */
  const elsewhere = (lane: Lane): Lane =>
    proxied(lane, async (page) => Array.from({ length: page.length }, () => ({ error: 'MOVED 1 h:1', code: 'MOVED' })))
  const lostAfter = (lane: Lane, answers: number): Lane =>
    proxied(lane, async (page) => {
      if (answers-- === 0) throw new CachectlError('REDIS_UNREACHABLE', 'lost')
      return lane.run(page)
    })
  const proxied = (lane: Lane, run: (page: Page) => ReturnType<Lane['run']>): Lane =>
    new Proxy(lane, {
      get(target, name) {
        if (name === 'run') return run
        const value = Reflect.get(target, name, target)
        return typeof value === 'function' ? value.bind(target) : value
      },
    })

  it.each([true, false])('all of them are told, and looked for again (stays: %s)', async (stays) => {
    await server.call('FLUSHALL')
    const names = NAMES.slice(0, 100).map((name) => Buffer.from(name))
    await fillKeys(server, names)
    const context = contextOf({ ...bound(store), lane: async () => lostAfter(await store.lane(), 10) } as Store)
    const action = { ...(await (CHANGES['invalidate --over'] as Change).action()), stays }
    const sweeper = new Sweeper(context, { action, pace: 'max', task: 'changing', expected: null })
    const lane = await store.lane()
    try {
      await sweeper.act(elsewhere(lane), names)
      await expect(sweeper.settle()).rejects.toThrow('lost')
      const { account } = sweeper.finish(false, null)
      expect({ ...account, balanced: isBalanced(account) }).toMatchObject({ matched: 100, unknown: 90, balanced: true })
    } finally {
      lane.close()
    }
  })

  const bound = (of: Store): Store =>
    Object.fromEntries(
      ['call', 'callEach', 'layout', 'masters'].map((name) => {
        const method = Reflect.get(of, name) as (...args: unknown[]) => unknown
        return [name, method.bind(of)]
      }),
    ) as unknown as Store
})

describe('keys that are met again', () => {
  /** All of them twice in one walk, with more between than a sweeper remembers of what it deletes. */
  async function twice(stays: boolean): Promise<Swept> {
    await server.call('FLUSHALL')
    const names = Array.from({ length: 20_000 }, (_, index) => Buffer.from(`shop:v1:list:a:${index}`))
    await fillKeys(server, names)
    const action = { ...(await (CHANGES['invalidate --over'] as Change).action()), stays }
    const sweeper = new Sweeper(contextOf(store), { action, pace: 'max', task: 'changing', expected: null })
    const lane = await store.lane()
    try {
      await sweeper.act(lane, names)
      await sweeper.act(lane, names.slice(0, 500))
      await sweeper.settle()
    } finally {
      lane.close()
    }
    return sweeper.finish(true, null)
  }

  it('count once', async () => {
    expect((await twice(true)).account).toMatchObject({ matched: 20_000, deleted: 20_000, alreadyGone: 0 })
  })

  it('a sweeper that remembers some is caught', async () => {
    expect((await twice(false)).account.matched).toBeGreaterThan(20_000)
  })

  it(`by many names, as a set of all names has it (SEED=${seed})`, () => {
    const names = [...hostileKeys(), ...Array.from({ length: 50_000 }, (_, index) => Buffer.from(`shop:${index}`))]
    const met = allKeys()
    let walk = new Set<string>()
    const settled = new Set<string>()
    for (let step = 0; step < 200_000; step++) {
      const key = names[Math.floor(random() * names.length)] as Buffer
      const text = key.toString('latin1')
      const isNew = !walk.has(text) && !settled.has(text)
      if (met.meet(key) !== isNew) throw new Error(`${text} at ${step}`)
      walk.add(text)
      if (random() < 0.3) {
        met.settle(key)
        settled.add(text)
      }
      if (step % 50_000 !== 49_999) continue
      met.nextWalk()
      walk = new Set()
    }
  })

  it.each([
    ['those that go', recentKeys],
    ['those that stay', allKeys],
  ] as [string, () => MetKeys][])('what was not settled is new in the next walk: %s', (_, open) => {
    const met = open()
    const key = Buffer.from('shop:v1:list:a:1')
    expect([met.meet(key), met.meet(key)]).toEqual([true, false])
    met.nextWalk()
    expect(met.meet(key)).toBe(true)
  })
})
