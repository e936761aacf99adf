// The connection that listens, over a real server: what it hears and in which order, and that it is made anew whenever it is lost.
import { afterEach, beforeEach, describe, expect, it, vi } from 'vitest'
import { openBus } from '../../../src/adapters/redis/bus.ts'
import { openStore } from '../../../src/adapters/redis/store.ts'
import type { Bus, Lane, Reply, Store } from '../../../src/ports.ts'
import { startRedis, type TestRedis } from '../../servers.ts'

interface Ears {
  bus: Bus
  heard: string[]
  connected: (number | null)[]
  lost: Error[]
}

let redis: TestRedis
let store: Store
let lane: Lane
let buses: Bus[]

beforeEach(async () => {
  redis = await startRedis()
  store = openStore(
    { url: redis.url, from: 'the test', tls: null },
    { connectTimeoutMs: 5_000, replyTimeoutMs: 10_000 },
  )
  const [master] = await store.masters()
  lane = (await master?.lane()) as Lane
  buses = []
})
afterEach(async () => {
  for (const bus of buses) bus.close()
  await store.close()
  await redis.stop()
})

function listen(url = redis.url, channels: readonly string[] = ['news'], replyTimeoutMs = 2_000): Ears {
  const ears: Omit<Ears, 'bus'> = { heard: [], connected: [], lost: [] }
  const bus = openBus(
    { url, from: 'the test', tls: null },
    { channels, tracking: true, connectTimeoutMs: 2_000, replyTimeoutMs },
    {
      connected: (clientId) => ears.connected.push(clientId),
      message: (channel, payload) => ears.heard.push(`${channel}: ${payload}`),
      invalidated: (keys) => ears.heard.push(keys === null ? 'all' : `key ${keys.join(' and ')}`),
      lost: (error) => ears.lost.push(error),
    },
  )
  buses.push(bus)
  return { ...ears, bus }
}

const SOON = { timeout: 10_000, interval: 5 }
const connections = (ears: Ears, count: number) =>
  vi.waitFor(() => expect(ears.connected.length).toBeGreaterThanOrEqual(count), SOON)

async function run(...commands: (string | number)[][]): Promise<readonly Reply[]> {
  const page = lane.page()
  for (const command of commands) page.add(...command)
  return lane.run(page)
}

/** Turns tracking on, and reads these keys. */
const track = async (ears: Ears, keys: readonly string[]) =>
  run(['CLIENT', 'TRACKING', 'ON', 'REDIRECT', ears.connected.at(-1) as number], ...keys.map((key) => ['GET', key]))

describe('what the bus hears', () => {
  it('is every change to a key that was read, however it came about', async () => {
    const ears = listen()
    await connections(ears, 1)
    for (const key of ['set', 'del', 'lua', 'gone', 'a,b', 'ключ']) await redis.call('SET', key, '1')
    await redis.call('PEXPIRE', 'gone', 300)
    const [granted] = await track(ears, ['set', 'del', 'lua', 'gone', 'a,b', 'ключ', 'absent'])
    expect(granted).toBe('OK')
    await redis.call('SET', 'set', '2')
    await redis.call('DEL', 'del')
    await redis.call('EVAL', "redis.call('SET', KEYS[1], '2')", 1, 'lua')
    await redis.call('SET', 'a,b', '2')
    await redis.call('SET', 'ключ', '2')
    await redis.call('SET', 'absent', '1')
    await redis.call('SET', 'never read', '1')
    await vi.waitFor(() => expect(ears.heard).toContain('key gone'), SOON)
    expect(ears.heard.sort()).toEqual([
      'key a,b',
      'key absent',
      'key del',
      'key gone',
      'key lua',
      'key set',
      'key ключ',
    ])
    await redis.call('FLUSHALL')
    await ears.bus.ping()
    expect(ears.heard.at(-1)).toBe('all')
  })

  it('has been heard, all of it, when a PING that was sent later is answered', async () => {
    const ears = listen()
    await connections(ears, 1)
    const keys = Array.from({ length: 2_000 }, (_, index) => `k${index}`)
    await track(ears, keys)
    for (let round = 0; round < 5; round++) {
      await run(...keys.map((key) => ['GET', key]))
      ears.heard.splice(0)
      await redis.call('MSET', ...keys.flatMap((key) => [key, round]))
      await redis.call('PUBLISH', 'news', round)
      await ears.bus.ping()
      expect(ears.heard).toHaveLength(2_001)
      expect(ears.heard.at(-1)).toBe(`news: ${round}`)
    }
  })

  it('is what it subscribes to while it runs, and no longer what it left', async () => {
    const ears = listen()
    await connections(ears, 1)
    ears.bus.subscribe('later')
    await ears.bus.ping()
    await redis.call('PUBLISH', 'later', '1')
    ears.bus.unsubscribe('later')
    await ears.bus.ping()
    await redis.call('PUBLISH', 'later', '2')
    await ears.bus.ping()
    expect(ears.heard).toEqual(['later: 1'])
  })
})

describe('a lost connection', () => {
  it('is told, and made anew under another id with all its channels', async () => {
    const ears = listen()
    await connections(ears, 1)
    ears.bus.subscribe('later')
    await ears.bus.ping()
    await redis.call('CLIENT', 'KILL', 'TYPE', 'pubsub')
    await connections(ears, 2)
    expect(ears.lost).toHaveLength(1)
    expect(ears.connected[1]).not.toBe(ears.connected[0])
    await redis.call('PUBLISH', 'news', '1')
    await redis.call('PUBLISH', 'later', '1')
    await ears.bus.ping()
    expect(ears.heard).toEqual(['news: 1', 'later: 1'])
  })

  it('is given up when the server says nothing', async () => {
    const ears = listen(redis.url, ['news'], 200)
    await connections(ears, 1)
    process.kill(redis.pid, 'SIGSTOP')
    try {
      await expect(ears.bus.ping()).rejects.toMatchObject({ code: 'REDIS_TIMEOUT' })
      expect(ears.lost).toHaveLength(1)
      await expect(ears.bus.ping()).rejects.toMatchObject({ code: 'REDIS_UNREACHABLE' })
    } finally {
      process.kill(redis.pid, 'SIGCONT')
    }
    await connections(ears, 2)
    await ears.bus.ping()
  })

  it('is looked for until it is there', async () => {
    const { url } = redis
    await redis.stop()
    const ears = listen(url)
    await vi.waitFor(() => expect(ears.lost.length).toBeGreaterThan(2), SOON)
    expect(ears.lost[0]).toMatchObject({ code: 'REDIS_UNREACHABLE' })
    expect(ears.connected).toEqual([])
    ears.bus.close()
    const told = ears.lost.length
    await new Promise((resolve) => setTimeout(resolve, 700))
    expect(ears.lost).toHaveLength(told)
    redis = await startRedis()
  })
})

describe('a user with few rights', () => {
  it('hears of no keys where it may not ask for that, and of nothing where it may not listen', async () => {
    await redis.call('ACL', 'SETUSER', 'few', 'on', '>secret', '~*', '+@all', '-client|id', '&news')
    await redis.call('ACL', 'SETUSER', 'deaf', 'on', '>secret', '~*', '+@all', 'resetchannels')
    const few = listen(redis.url.replace('unix:', 'unix://few:secret@'))
    await connections(few, 1)
    expect(few.connected).toEqual([null])
    const deaf = listen(redis.url.replace('unix:', 'unix://deaf:secret@'))
    await vi.waitFor(() => expect(deaf.lost.length).toBeGreaterThan(0), SOON)
    expect(deaf.lost[0]).toMatchObject({ code: 'REDIS_ACL' })
    expect(deaf.connected).toEqual([])
  })

  it('leaves no connection behind when it is closed', async () => {
    const ears = listen()
    await connections(ears, 1)
    ears.bus.close()
    listen().bus.close()
    await vi.waitFor(async () => expect(await redis.call('CLIENT', 'LIST', 'TYPE', 'pubsub')).toBe(''), SOON)
  })
})
