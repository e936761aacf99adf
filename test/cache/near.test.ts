// L1 over a real Redis: what reaches it, when it is trusted, what it refuses to keep, and its bounds.
import { afterEach, beforeEach, describe, expect, it, vi } from 'vitest'
import type { Announcement } from '../../src/cache/tiers.ts'
import { busChannel, filledChannel, generationsKey, revisionKey, stampKey } from '../../src/core/key.ts'
import { startRedis, type TestRedis } from '../servers.ts'
import { anEntry, keyOf, type NearReader, openReader, type ReaderOptions } from './near-reader.ts'

const SOON = { timeout: 10_000, interval: 2 }
const NOTHING: Announcement = { keys: [], stamps: [], bumped: false, pattern: null }

let redis: TestRedis
let readers: NearReader[]

beforeEach(async () => {
  redis = await startRedis()
  readers = []
})
afterEach(async () => {
  for (const reader of readers) await reader.close()
  await redis.stop()
})

async function open(options?: ReaderOptions, url = redis.url): Promise<NearReader> {
  const reader = await openReader(url, options)
  readers.push(reader)
  if (options?.l1 !== null) await vi.waitFor(() => expect(reader.near.trusted()).toBe(true), SOON)
  return reader
}

const set = (name: string, value = '1') => redis.call('SET', keyOf(name), value)

/** Reads until it is of L1: trust lapses now and then on a busy machine. */
const kept = (reader: NearReader, name: string, stamps?: readonly string[]) =>
  vi.waitFor(async () => expect((await reader.read(name, stamps)).tier).toBe('l1'), SOON)
const gone = (reader: NearReader, name: string) =>
  vi.waitFor(() => {
    expect(reader.near.trusted()).toBe(true)
    expect(reader.near.find('detail', keyOf(name))).toBeNull()
  }, SOON)

describe('a change in Redis reaches L1', () => {
  it.each<[string, (key: string) => Promise<unknown>]>([
    ['DEL', (key) => redis.call('DEL', key)],
    ['SET by another client', (key) => redis.call('SET', key, '2')],
    ['a script', (key) => redis.call('EVAL', "redis.call('SET', KEYS[1], '2')", 1, key)],
    ['expiry', (key) => redis.call('PEXPIRE', key, 20)],
    ['RENAME', (key) => redis.call('RENAME', key, 'elsewhere')],
    ['FLUSHALL', () => redis.call('FLUSHALL')],
  ])('%s', async (_, change) => {
    const reader = await open({ heartbeatMs: 60_000 })
    await set('a')
    await kept(reader, 'a')
    await change(keyOf('a'))
    await gone(reader, 'a')
  })

  it('and a stamp takes with it what holds it, and nothing else', async () => {
    const reader = await open({ heartbeatMs: 60_000 })
    for (const name of ['a', 'b', 'c']) await set(name)
    await redis.call('SET', stampKey('shop', 'tag:x'), 's1')
    await redis.call('SET', stampKey('shop', 'tag:y'), 's1')
    await kept(reader, 'a', ['tag:x'])
    await kept(reader, 'b', ['tag:x', 'tag:y'])
    await kept(reader, 'c', ['tag:y'])
    await redis.call('DEL', stampKey('shop', 'tag:x'))
    await gone(reader, 'a')
    await gone(reader, 'b')
    expect(reader.near.find('detail', keyOf('c'))).not.toBeNull()
  })

  it.each([revisionKey('shop'), generationsKey('shop')])('and one of %s asks for the generations anew', async (key) => {
    const reader = await open({ heartbeatMs: 60_000 })
    const page = reader.lane.page()
    page.add('CLIENT', 'CACHING', 'YES')
    page.add('EXISTS', key)
    await reader.lane.run(page)
    const before = reader.bumps()
    if (key === revisionKey('shop')) await redis.call('SET', key, 'r')
    else await redis.call('HSET', key, 'global', 'g')
    await vi.waitFor(() => expect(reader.bumps()).toBe(before + 1), SOON)
  })
})

describe('what is being read while it is invalidated is not kept', () => {
  it.each<[string, Partial<Announcement>]>([
    ['key', { keys: [keyOf('a')] }],
    ['stamp', { stamps: ['tag:x'] }],
    ['pattern', { pattern: 'shop:v1:detail:*' }],
  ])('%s', async (_, change) => {
    const { near } = await open({ heartbeatMs: 60_000 })
    const entry = () => anEntry('old', { tags: [{ tag: 'tag:x', stamp: 's' }] })
    const before = near.expect()
    near.drop({ ...NOTHING, ...change })
    near.keep(before, 'detail', keyOf('a'), entry())
    expect(near.find('detail', keyOf('a'))).toBeNull()
    near.keep(near.expect(), 'detail', keyOf('a'), entry())
    expect(near.find('detail', keyOf('a'))).not.toBeNull()
  })

  it('neither after clear, nor under another connection, nor when so much was invalidated that nobody remembers', async () => {
    const reader = await open({ heartbeatMs: 60_000 })
    const { near } = reader
    const keep = (expected: unknown) => near.keep(expected, 'detail', keyOf('a'), anEntry('old'))
    const cleared = near.expect()
    near.clear()
    keep(cleared)
    expect(near.find('detail', keyOf('a'))).toBeNull()
    const many = near.expect()
    const dropSome = (from: number) =>
      near.drop({ ...NOTHING, keys: Array.from({ length: 4_999 }, (_, index) => keyOf(`x${from + index}`)) })
    near.drop({ ...NOTHING, keys: [keyOf('a')] })
    for (let round = 0; round < 5; round++) {
      dropSome(round * 5_000)
      keep(many)
      expect(near.find('detail', keyOf('a'))).toBeNull()
    }
    const lost = near.expect()
    await reader.reattach()
    await vi.waitFor(() => expect(near.trusted()).toBe(true), SOON)
    keep(lost)
    expect(near.find('detail', keyOf('a'))).toBeNull()
    keep(null)
    expect(near.find('detail', keyOf('a'))).toBeNull()
  })
})

describe('trust', () => {
  it('lapses by itself when Redis says nothing, and comes back with what is still good', async () => {
    const reader = await open({ heartbeatMs: 400 })
    await set('a')
    await kept(reader, 'a')
    process.kill(redis.pid, 'SIGSTOP')
    const stopped = performance.now()
    try {
      await vi.waitFor(() => expect(reader.near.trusted()).toBe(false), SOON)
      expect(performance.now() - stopped).toBeLessThan(400 + 300)
      expect(reader.near.find('detail', keyOf('a'))).toBeNull()
    } finally {
      process.kill(redis.pid, 'SIGCONT')
    }
    await vi.waitFor(() => expect(reader.near.trusted()).toBe(true), SOON)
    await set('a', '2')
    await vi.waitFor(async () => expect(await reader.read('a')).toEqual({ tier: 'l1', value: '2' }), SOON)
  })

  it('ends with the connection of the bus, and all copies with it', async () => {
    const reader = await open({ heartbeatMs: 60_000 })
    await set('a')
    await kept(reader, 'a')
    const before = reader.bumps()
    await redis.call('CLIENT', 'KILL', 'TYPE', 'pubsub')
    // the push for this one goes nowhere
    await set('a', '2')
    await vi.waitFor(() => expect(reader.bumps()).toBeGreaterThan(before), SOON)
    await vi.waitFor(() => expect(reader.near.trusted()).toBe(true), SOON)
    expect(reader.near.find('detail', keyOf('a'))).toBeNull()
    await kept(reader, 'a')
    await redis.call('DEL', keyOf('a'))
    await gone(reader, 'a')
  })

  it('is not renewed over a lane that does not live, whoever knows of it', async () => {
    const reader = await open({ heartbeatMs: 300 })
    await set('a')
    await kept(reader, 'a')
    const page = reader.lane.page()
    page.add('CLIENT', 'ID')
    const [id] = await reader.lane.run(page)
    await redis.call('CLIENT', 'KILL', 'ID', Number(id))
    await set('a', '2')
    await vi.waitFor(() => expect(reader.near.trusted()).toBe(false), SOON)
    await new Promise((resolve) => setTimeout(resolve, 400))
    expect(reader.near.trusted()).toBe(false)
    await reader.reattach()
    await vi.waitFor(async () => expect(await reader.read('a')).toEqual({ tier: 'l1', value: '2' }), SOON)
  })

  it('is not given where the lane is not tracked for this bus any more', async () => {
    const reader = await open({ heartbeatMs: 300 })
    await set('a')
    await kept(reader, 'a')
    const before = reader.bumps()
    const page = reader.lane.page()
    page.add('CLIENT', 'TRACKING', 'OFF')
    await reader.lane.run(page)
    await vi.waitFor(() => expect(reader.bumps()).toBeGreaterThan(before), SOON)
    await vi.waitFor(() => expect(reader.near.trusted()).toBe(true), SOON)
    await kept(reader, 'a')
    await redis.call('DEL', keyOf('a'))
    await gone(reader, 'a')
  })

  it('survives a full server', async () => {
    const reader = await open({ heartbeatMs: 300 })
    await redis.call('CONFIG', 'SET', 'maxmemory', '1mb', 'maxmemory-policy', 'noeviction')
    await expect(set('a')).rejects.toThrow(/OOM/)
    await redis.call('DEL', 'shop~processes')
    await new Promise((resolve) => setTimeout(resolve, 700))
    await vi.waitFor(() => expect(reader.near.trusted()).toBe(true), SOON)
    expect(await redis.call('HLEN', 'shop~processes')).toBe(2)
  })

  it('is never given where this process cannot register, and the reason is told once', async () => {
    await redis.call('ACL', 'SETUSER', 'few', 'on', '>secret', '~*', '&*', '+@all', '-eval')
    const reader = await openReader(redis.url.replace('unix:', 'unix://few:secret@'), { heartbeatMs: 100 })
    readers.push(reader)
    await vi.waitFor(() => expect(reader.errors).toHaveLength(1), SOON)
    await new Promise((resolve) => setTimeout(resolve, 300))
    expect(reader.errors).toMatchObject([{ code: 'REDIS_ACL', message: expect.stringContaining('register') }])
    expect(reader.near.trusted()).toBe(false)
  })
})

describe('where the server refuses to track', () => {
  const refused = async () => {
    await redis.call('ACL', 'SETUSER', 'few', 'on', '>secret', '~*', '&*', '+@all', '-client|tracking')
    return open({ heartbeatMs: 300 }, redis.url.replace('unix:', 'unix://few:secret@'))
  }

  it('copies live for a heartbeat, and announcements reach them', async () => {
    const reader = await refused()
    expect(reader.errors).toMatchObject([{ code: 'REDIS_ACL', message: expect.stringContaining('does not track') }])
    await set('a')
    await kept(reader, 'a')
    await set('a', '2')
    const changedAt = performance.now()
    await vi.waitFor(async () => expect((await reader.read('a')).value).toBe('2'), SOON)
    expect(performance.now() - changedAt).toBeLessThan(300 + 200)

    const other = await open({ heartbeatMs: 300 })
    await set('a', '3')
    await other.near.announce({ ...NOTHING, keys: [keyOf('a')] })
    expect((await reader.read('a')).value).toBe('3')
  })

  it('a gap in the announcements of a process, or one that cannot be read, drops all', async () => {
    const reader = await refused()
    const publish = (message: unknown) => redis.call('PUBLISH', busChannel('shop'), JSON.stringify(message))
    const message = (seq: number) => ({ op: `op${seq}`, from: 'other', seq, ...NOTHING })
    await set('a')
    await publish(message(7))
    await kept(reader, 'a')
    for (const odd of [message(9), 'no object', { op: 1 }, { ...message(10), keys: 'all' }]) {
      await vi.waitFor(async () => expect((await reader.read('a')).tier).toBe('l1'), SOON)
      await publish(odd)
      await reader.bus()?.ping()
      expect(reader.near.find('detail', keyOf('a'))).toBeNull()
    }
  })
})

describe('what is kept', () => {
  it('is frozen, or a copy where it cannot be', async () => {
    const { near } = await open({ heartbeatMs: 60_000 })
    const keep = (name: string, value: unknown) => near.keep(near.expect(), 'detail', keyOf(name), anEntry(value))
    const plain = { list: [{ a: 1 }] }
    keep('a', plain)
    expect(near.find('detail', keyOf('a'))).toMatchObject({ mutable: false })
    expect(near.find('detail', keyOf('a'))?.value).toBe(plain)
    expect(Object.isFrozen(plain.list[0])).toBe(true)
    const dated = { at: new Date(5) }
    keep('b', dated)
    dated.at.setTime(0)
    expect(near.find('detail', keyOf('b'))).toMatchObject({ mutable: true, value: { at: new Date(5) } })
  })

  it('is bounded by entries and by bytes, and what goes leaves no trace', async () => {
    const { near } = await open({ heartbeatMs: 60_000, l1: { maxEntries: 3, maxBytes: 1_000 } })
    const keep = (name: string, sizeBytes: number) =>
      near.keep(near.expect(), 'detail', keyOf(name), {
        ...anEntry(name, { tags: [{ tag: 'tag:x', stamp: 's' }] }),
        sizeBytes,
      })
    const there = () => ['a', 'b', 'c', 'd'].filter((name) => near.find('detail', keyOf(name)) !== null).join('')
    for (const name of ['a', 'b', 'c', 'd']) keep(name, 10)
    expect(there()).toBe('bcd')
    keep('a', 990)
    expect(there()).toBe('ad')
    keep('b', 1_001)
    expect(there()).toBe('ad')
    keep('c', 0)
    near.drop({ ...NOTHING, stamps: ['tag:x'] })
    expect(there()).toBe('')
  })

  it('is given until its grace is over, and nothing of a namespace without L1', async () => {
    const { near } = await open({ heartbeatMs: 60_000 })
    const keep = (namespace: string, name: string, freshForMs: number, graceMs: number) =>
      near.keep(near.expect(), namespace, keyOf(name), anEntry(1, { freshUntilMs: Date.now() + freshForMs, graceMs }))
    keep('detail', 'gone', -50, 40)
    keep('detail', 'stale', -50, 10_000)
    keep('detail', 'short', 30, 0)
    keep('list', 'other', 10_000, 0)
    expect(near.find('detail', keyOf('gone'))).toBeNull()
    expect(near.find('detail', keyOf('stale'))).not.toBeNull()
    expect(near.find('list', keyOf('other'))).toBeNull()
    await vi.waitFor(() => expect(near.find('detail', keyOf('short'))).toBeNull(), SOON)
  })

  it('goes by pattern as keys are without their tokens', async () => {
    const { near } = await open({ heartbeatMs: 60_000 })
    const keys = ['shop:v1~g:detail~n:thing:a', 'shop:v1:detail:thing:b', 'shop:v1:detail:other:a']
    const keep = () => {
      for (const key of keys) near.keep(near.expect(), 'detail', key, anEntry(key))
    }
    const left = () => keys.filter((key) => near.find('detail', key) !== null)
    keep()
    near.drop({ ...NOTHING, pattern: 'shop:v1:detail:thing:*' })
    expect(left()).toEqual(['shop:v1:detail:other:a'])
    keep()
    near.drop({ ...NOTHING, pattern: `${'*a'.repeat(20)}` })
    expect(left()).toEqual([])
  })
})

describe('who waits for another process', () => {
  it('is woken when the entry is filled, or after its time', async () => {
    const [one, two] = [await open({ l1: null }), await open({ l1: null })]
    const key = keyOf('a')
    const began = performance.now()
    await Promise.all([one.near.woken(key, 50), two.near.woken(key, 50)])
    expect(performance.now() - began).toBeGreaterThan(45)
    const waits = Array.from({ length: 50 }, () => [one.near.woken(key, 30_000), two.near.woken(key, 30_000)]).flat()
    expect(await redis.call('PUBLISH', filledChannel('shop', key), '')).toBe(2)
    await Promise.all(waits)
    expect(performance.now() - began).toBeLessThan(5_000)
    expect(await redis.call('EXISTS', 'shop~processes')).toBe(0)
  })

  it('hears what came between two waits, and leaves the channel in the end', async () => {
    const { near } = await open({ l1: null })
    const key = keyOf('a')
    const subscribers = async () =>
      (await redis.call('PUBSUB', 'NUMSUB', filledChannel('shop', key))) as [string, number]
    await vi.waitFor(async () => {
      await near.woken(key, 5)
      expect((await subscribers())[1]).toBe(1)
    }, SOON)
    await redis.call('PUBLISH', filledChannel('shop', key), '')
    await new Promise((resolve) => setTimeout(resolve, 50))
    await near.woken(key, 30_000)
    await vi.waitFor(async () => expect((await subscribers())[1]).toBe(0), SOON)
  })

  it('goes on when it is closed, or Redis is not there', async () => {
    const { near } = await open({ l1: null })
    const waiting = near.woken(keyOf('a'), 30_000)
    await near.close()
    await waiting
    await near.woken(keyOf('a'), 30_000)
  })
})
