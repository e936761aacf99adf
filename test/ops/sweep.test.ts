// What is deleted is what was meant, byte for byte, and the account says just that: whatever the keys are called, and whatever happens meanwhile.
import { mkdtempSync, rmSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import type { Redis } from 'ioredis'
import { afterAll, afterEach, beforeAll, beforeEach, describe, expect, it } from 'vitest'
import { type Account, isBalanced } from '../../src/core/account.ts'
import { CachectlError } from '../../src/core/errors.ts'
import type { OperationContext } from '../../src/ops/context.ts'
import {
  type SweepAction,
  type SweepOptions,
  type Swept,
  sweep,
  sweepNamed,
  unlinkAction,
} from '../../src/ops/sweep.ts'
import type { Emit, Store } from '../../src/ports.ts'
import { fillKeys, keysOf, openBytes } from '../keyspace.ts'
import { startProxy, type TestProxy } from '../races/proxy.ts'
import { startUnsaved } from '../refusing-servers.ts'
import { randomFromSeed, seed } from '../seed.ts'
import { startRedis, type TestRedis } from '../servers.ts'
import { contextOf, hostileKeys, openTestStore } from './fixture.ts'

let server: TestRedis
let redis: Redis
let store: Store
let random: () => number

beforeAll(async () => {
  server = await startRedis()
  redis = openBytes(server)
  store = openTestStore(server)
})
afterAll(async () => {
  redis.disconnect()
  await store.close()
  await server.stop()
})
beforeEach(async () => {
  random = randomFromSeed(seed)
  await server.call('FLUSHALL')
})

const MEANT = (key: Buffer) => (key.subarray(0, 5).toString() === 'shop:' ? 'act' : 'pass')
const latin = (keys: Iterable<Buffer>) => new Set([...keys].map((key) => key.toString('latin1')))

async function run(more: Partial<SweepOptions> = {}, context: Partial<OperationContext> = {}): Promise<Swept> {
  const of = contextOf(store, context)
  const action = more.action ?? (await unlinkAction(of))
  const swept = await sweep(of, { decide: MEANT, pace: 'max', task: 'deleting', expected: null, ...more, action })
  expectBalanced(swept.account)
  return swept
}

function expectBalanced(account: Account): void {
  expect({ ...account, balanced: isBalanced(account) }).toMatchObject({ balanced: true })
  expect(Math.min(...Object.values(account))).toBeGreaterThanOrEqual(0)
}

/** Calls back once, when so many keys were acted on. */
function whenDone(keys: number, then: () => void): Emit {
  let over = false
  return (event) => {
    if (over || event.event !== 'progress' || event.done < keys) return
    over = true
    then()
  }
}

const many = (count: number, head = 'shop:v1:list:a:') => Array.from({ length: count }, (_, i) => `${head}${i}`)

/** Every name once: hostile ones, none at all, and one of 100 KB. */
function hostileSpace(): Buffer[] {
  const huge = Buffer.concat([Buffer.from('shop:'), Buffer.alloc(100_000, 0xff)])
  const names = [...hostileKeys(), Buffer.alloc(0), huge, Buffer.from('shop:'), Buffer.from('shop')]
  return [...latin(names)].map((text) => Buffer.from(text, 'latin1'))
}

describe(`exactly what is meant (SEED=${seed})`, () => {
  const naive = async (of: 'strings' | 'requests'): Promise<SweepAction> => {
    const action = await unlinkAction({ store })
    if (of === 'requests') return { ...action, many: false, outcome: () => 'done' }
    return { ...action, add: (page, keys) => page.add('UNLINK', ...keys.map((key) => key.toString())) }
  }

  /** Deletes at random while the sweep goes on; returns how many went, by the replies. */
  async function deleteBeside(keys: readonly string[], over: () => boolean): Promise<number> {
    let deleted = 0
    while (!over()) {
      const some = Array.from({ length: 20 }, () => keys[Math.floor(random() * keys.length)] as string)
      deleted += Number(await redis.call('UNLINK', ...new Set(some)))
    }
    return deleted
  }

  async function hostile(action?: SweepAction): Promise<{ account: Account; left: Set<string>; wanted: Set<string> }> {
    const names = hostileSpace()
    await fillKeys(server, names)
    const dice = new Map(names.map((name) => [name.toString('latin1'), random()]))
    const of = (key: Buffer) => dice.get(key.toString('latin1')) as number
    const { account, complete } = await run({
      decide: (key) => (of(key) < 0.4 ? 'act' : of(key) < 0.5 ? 'protect' : 'pass'),
      ...(action ? { action } : {}),
    })
    const wanted = latin(names.filter((name) => of(name) >= 0.4))
    expect(complete).toBe(true)
    expect(account.protected).toBe(names.filter((name) => of(name) >= 0.4 && of(name) < 0.5).length)
    return { account, left: await keysOf(redis), wanted }
  }

  it('hostile names: binary, globs, newlines, escapes, empty, 100 KB', async () => {
    const { account, left, wanted } = await hostile()
    expect(left).toEqual(wanted)
    expect(account).toMatchObject({ deleted: account.matched - account.protected, alreadyGone: 0, failed: 0 })
  })

  it('a sweeper that takes keys for text is caught', async () => {
    const { left, wanted } = await hostile(await naive('strings'))
    expect(left).not.toEqual(wanted)
  })

  it('a table that shrinks while it is walked: nothing is counted twice', async () => {
    await fillKeys(server, many(100_000))
    const { account, complete } = await run({ decide: (key) => (key.at(-1) === 0x37 ? 'protect' : 'act') })
    expect(complete).toBe(true)
    expect(account).toMatchObject({ matched: 100_000, deleted: 90_000, protected: 10_000, alreadyGone: 0 })
    expect((await keysOf(redis)).size).toBe(10_000)
  })

  async function beside(action?: SweepAction): Promise<{ counted: number; effect: number; account: Account }> {
    const keys = many(20_000)
    await fillKeys(server, [...keys, ...many(1_000, 'sess:')])
    let over = false
    const others = deleteBeside(keys, () => over)
    const { account } = await run({ pace: { keysPerSecond: 40_000 }, ...(action ? { action } : {}) })
    over = true
    const gone = await others
    expect((await keysOf(redis)).size).toBe(1_000)
    return { counted: account.deleted, effect: 20_000 - gone, account }
  }

  it('keys that others delete meanwhile are not our doing', async () => {
    const { counted, effect, account } = await beside()
    expect(counted).toBe(effect)
    expect(counted).toBeLessThan(20_000)
    expect(account).toMatchObject({ failed: 0, unknown: 0, remaining: 0 })
  })

  it('a sweeper that counts what it asked for is caught', async () => {
    const { counted, effect } = await beside(await naive('requests'))
    expect(counted).toBeGreaterThan(effect)
  })

  it('keys that expire meanwhile: neither deleted nor left', async () => {
    const keys = many(5_000)
    await fillKeys(server, keys)
    const pipeline = redis.pipeline()
    for (const key of keys) pipeline.pexpire(key, 1 + Math.floor(random() * 400))
    await pipeline.exec()
    const { account, complete } = await run({ pace: { keysPerSecond: 10_000 } })
    expect(complete).toBe(true)
    expect(account.failed + account.remaining + account.unknown).toBe(0)
    expect(await redis.dbsize()).toBe(0)
  })
})

describe('no more than was asked for', () => {
  it.each([0, 1, 63, 64, 511, 512, 513, 3_000, 9_999, 10_000, 20_000])('at most %i keys', async (most) => {
    await fillKeys(server, many(10_000))
    const { account, complete } = await run({ most })
    const deleted = Math.min(most, 10_000)
    expect(account).toMatchObject({ matched: 10_000, deleted, remaining: 10_000 - deleted, outdated: 0 })
    expect(complete).toBe(deleted === 10_000)
    expect(await redis.dbsize()).toBe(10_000 - deleted)
  })

  it('what is out of reach already and not deleted is outdated', async () => {
    await fillKeys(server, many(1_000))
    expect((await run({ most: 300, outdated: true })).account).toMatchObject({
      deleted: 300,
      outdated: 700,
      remaining: 0,
    })
  })

  it('by a rate', async () => {
    await fillKeys(server, many(3_000))
    const startMs = performance.now()
    expect((await run({ pace: { keysPerSecond: 4_000 } })).account.deleted).toBe(3_000)
    expect(performance.now() - startMs).toBeGreaterThan(600)
  })

  it('nothing there', async () => {
    expect(await run()).toMatchObject({ account: { matched: 0 }, complete: true, stopped: null, problems: [] })
  })
})

describe(`stopped (SEED=${seed})`, () => {
  it('at any point: the account is the effect, and a second run completes', async () => {
    for (let trial = 0; trial < 12; trial++) {
      await server.call('FLUSHALL')
      await fillKeys(server, many(8_000))
      const stop = new AbortController()
      const why = new CachectlError('INTERRUPTED', 'interrupted')
      const at = Math.floor(random() * 8_500)
      const emit = whenDone(at, () => stop.abort(why))
      const { account, complete, stopped } = await run(
        { pace: trial % 2 === 0 ? 'max' : { keysPerSecond: 100_000 } },
        { emit, signal: stop.signal },
      )
      expect(8_000 - (await redis.dbsize())).toBe(account.deleted)
      if (at > 8_000) expect({ complete, stopped }).toEqual({ complete: true, stopped: null })
      else {
        expect(stopped).toBe(why)
        expect(account).toMatchObject({ failed: 0, unknown: 0, alreadyGone: 0 })
        expect(account.deleted).toBeLessThanOrEqual(at + 1_024)
        if (account.deleted < 8_000) expect(complete).toBe(false)
      }
      await run()
      expect(await redis.dbsize()).toBe(0)
    }
  })

  it('before it begins: nothing is done', async () => {
    await fillKeys(server, many(100))
    const why = new CachectlError('TERMINATED', 'terminated')
    const swept = await run({}, { signal: AbortSignal.abort(why) })
    expect(swept).toMatchObject({ account: { deleted: 0 }, complete: false, stopped: why })
    expect(await redis.dbsize()).toBe(100)
  })
})

describe(`a connection that is lost in the middle (SEED=${seed})`, () => {
  let folder: string
  let proxy: TestProxy
  let through: Store
  const others: TestRedis[] = []

  beforeEach(async () => {
    folder = mkdtempSync(join(tmpdir(), 'cachectl-'))
    proxy = await startProxy(join(folder, 'p'), server.url)
    through = openTestStore({ ...server, url: proxy.url })
  })
  afterEach(async () => {
    await through.close()
    await proxy.close()
    await Promise.all(others.splice(0).map((other) => other.stop()))
    rmSync(folder, { recursive: true, force: true })
  })

  async function cutAt(keys: number, then: () => void, more: Partial<SweepOptions> = {}): Promise<Swept> {
    return run(more, { store: through, emit: whenDone(keys, then) })
  }

  it('and comes back: everything goes, and what nobody answered for is told from what was deleted', async () => {
    for (let trial = 0; trial < 5; trial++) {
      await server.call('FLUSHALL')
      await fillKeys(server, [...many(8_000), ...many(100, 'sess:')])
      const back = () => void setTimeout(() => proxy.heal(), 20 + random() * 100)
      const { account, complete, stopped } = await cutAt(
        Math.floor(random() * 7_000),
        () => {
          proxy.cut()
          back()
        },
        { pace: trial % 2 === 0 ? 'max' : { keysPerSecond: 50_000 } },
      )
      expect({ complete, stopped }).toEqual({ complete: true, stopped: null })
      expect(account).toMatchObject({ matched: 8_000, failed: 0, unknown: 0, remaining: 0 })
      expect(account.deleted + account.alreadyGone).toBe(8_000)
      expect(await redis.dbsize()).toBe(100)
    }
  })

  it('what was spared or passed over before is counted once', async () => {
    await fillKeys(server, many(9_000))
    const { account } = await cutAt(
      5_000,
      () => {
        proxy.cut()
        setTimeout(() => proxy.heal(), 50)
      },
      { decide: (key) => (key.at(-1) === 0x37 ? 'protect' : 'act'), most: 6_000 },
    )
    expect(account).toMatchObject({ matched: 9_000, protected: 900, failed: 0, unknown: 0 })
    expect(account.remaining).toBe((await redis.dbsize()) - 900)
  })

  it('and does not come back: what is not known is said', async () => {
    await fillKeys(server, many(8_000))
    const { account, complete, stopped } = await cutAt(3_000, () => proxy.cut())
    expect(complete).toBe(false)
    expect(stopped).toMatchObject({ exitCode: 10 })
    const effect = 8_000 - (await redis.dbsize())
    expect(account.deleted).toBeLessThanOrEqual(effect)
    expect(account.deleted + account.unknown).toBeGreaterThanOrEqual(effect)
    expect(account.unknown).toBeGreaterThan(0)
  })

  const another = async (keys: readonly string[]) => {
    const one = await startRedis()
    others.push(one)
    await fillKeys(one, keys)
    return one
  }

  it.each([
    ['with nothing in it', [] as string[]],
    ['with what was there a while ago', [...many(8_000), 'sess:1']],
  ])('to a server that was killed and starts %s', async (_, keys) => {
    const first = await another(many(8_000))
    const second = await another(keys)
    proxy.lead(first.url)
    const { account, complete } = await cutAt(3_000, () => {
      process.kill(first.pid, 'SIGKILL')
      proxy.lead(second.url)
    })
    expect(complete).toBe(true)
    expect(account).toMatchObject({ failed: 0, unknown: 0, remaining: 0 })
    expect(account.deleted).toBeGreaterThan(2_000)
    expect(await second.call('KEYS', '*')).toEqual(keys.filter((key) => key === 'sess:1'))
  })

  it('keys by name: what was not answered is unknown, what was not sent is left', async () => {
    await fillKeys(server, many(8_000))
    const context = contextOf(through, { emit: whenDone(3_000, () => proxy.cut()) })
    const pages = function* () {
      for (let start = 0; start < 8_000; start += 500)
        yield many(8_000)
          .slice(start, start + 500)
          .map((key) => Buffer.from(key))
    }
    const action = await unlinkAction(context)
    const swept = await sweepNamed(context, pages(), { action, pace: 'max', task: 'deleting', expected: 8_000 })
    expectBalanced(swept.account)
    expect(swept).toMatchObject({ complete: false, stopped: { exitCode: 10 } })
    const effect = 8_000 - (await redis.dbsize())
    expect(swept.account.deleted).toBeLessThanOrEqual(effect)
    expect(swept.account.deleted + swept.account.unknown).toBeGreaterThanOrEqual(effect)
  })
})

describe('a server that refuses', () => {
  async function refused(exitCode: number, message: RegExp): Promise<void> {
    const before = await redis.dbsize()
    const { account, complete, stopped, problems } = await run()
    expect(complete).toBe(false)
    expect(stopped).toMatchObject({ exitCode })
    expect(stopped?.message).toMatch(message)
    expect(problems[0]?.message).toMatch(message)
    expect(account.deleted).toBe(0)
    expect(account.failed).toBeGreaterThan(0)
    expect(await redis.dbsize()).toBe(before)
  }

  it('READONLY: a replica', async () => {
    await fillKeys(server, many(2_000))
    try {
      await server.call('REPLICAOF', '127.0.0.1', '1')
      await refused(13, /READONLY/)
    } finally {
      await server.call('REPLICAOF', 'NO', 'ONE')
    }
  })

  it('MISCONF: a server that cannot save', async () => {
    const unsaved = await startUnsaved()
    const [wasStore, wasRedis] = [store, redis]
    try {
      await fillKeys(unsaved, many(2_000))
      await unsaved.fail()
      store = openTestStore(unsaved)
      redis = openBytes(unsaved)
      await refused(13, /MISCONF/)
      await unsaved.mend()
      await expect.poll(async () => (await run()).complete).toBe(true)
    } finally {
      redis.disconnect()
      await store.close()
      ;[store, redis] = [wasStore, wasRedis]
      await unsaved.stop()
    }
  })

  it('NOPERM: a user who may not', async () => {
    await fillKeys(server, many(2_000))
    await server.call('ACL', 'SETUSER', 'reader', 'on', '>pw', '~*', '&*', '+@all', '-unlink')
    const limited = openTestStore({ ...server, url: server.url.replace('unix:', 'unix://reader:pw@') })
    const whole = store
    try {
      store = limited
      await refused(11, /NOPERM/)
    } finally {
      store = whole
      await limited.close()
    }
  })

  it('OOM does not keep keys from being deleted', async () => {
    await fillKeys(server, many(2_000))
    await server.call('CONFIG', 'SET', 'maxmemory', '1')
    try {
      expect(await run()).toMatchObject({ account: { deleted: 2_000 }, complete: true })
    } finally {
      await server.call('CONFIG', 'SET', 'maxmemory', '0')
    }
  })
})
