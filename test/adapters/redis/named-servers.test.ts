// Several named servers as one store: which key is where, one of them a Cluster, and two names of one database.
import { afterAll, afterEach, beforeAll, describe, expect, it } from 'vitest'
import { openBus } from '../../../src/adapters/redis/bus.ts'
import { serverOfKeys } from '../../../src/adapters/redis/named-keys.ts'
import { openStore } from '../../../src/adapters/redis/store.ts'
import { resolveConfig } from '../../../src/config/resolve.ts'
import type { NamedServers, RedisTarget } from '../../../src/config/resolved.ts'
import { isErrorReply } from '../../../src/core/reply.ts'
import type { CommandArgument, Lane, Reply, Store } from '../../../src/ports.ts'
import { startRedis, type TestRedis } from '../../servers.ts'
import { startCluster, type TestCluster } from '../../topologies.ts'

const timeouts = { connectTimeoutMs: 3_000, replyTimeoutMs: 2_000 }

function targetOf(redis: unknown): RedisTarget {
  const namespaces = {
    detail: {},
    stats: { redis: 'reports' },
    sessions: { format: 'raw', key: 'sess:*', redis: 'reports' },
    carts: { format: 'raw', key: 'cart:{subject}:{rest}', redis: 'default' },
  }
  const written = { prefix: 'shop', tenant: { label: 'org' }, redis, namespaces }
  const { config, problems } = resolveConfig(written, { name: 'the test', file: '/x', redis: null, env: null })
  expect(problems).toEqual([])
  return config?.redis as RedisTarget
}

async function ask(lane: Lane, ...commands: readonly (readonly CommandArgument[])[]): Promise<readonly Reply[]> {
  const page = lane.page()
  for (const command of commands) page.add(...command)
  return lane.run(page)
}

describe('which server a key is on', () => {
  const { named } = targetOf({ default: 'redis://a', reports: 'redis://b' })
  const serverOf = serverOfKeys(named as NamedServers)
  it.each([
    ['shop:v1:stats:product:42', 'reports'],
    ['shop:v1.3~g:stats~n:product~s:org_7~t~ts:42', 'reports'],
    ['shop:v1:stats:product:#AAAAAAAAAAAAAAAAAAAAAA', 'reports'],
    ['shop~lease:{shop:v1:stats:product:42}', 'reports'],
    ['shop~filled:{shop:v1:stats:product:42}', 'reports'],
    ['shop~lease:{sess:1}', 'reports'],
    ['sess:\xff{}', 'reports'],
    ['shop:v1:detail:product:42', 'default'],
    ['shop:v1:undeclared:product:42', 'default'],
    ['shop~lease:{shop:v1:detail:product:42}', 'default'],
    ['shop:v1:stats', 'default'],
    ['shop~stamp:rows:product', 'default'],
    ['shop~generations', 'default'],
    ['shop~revision:{shop~generations}', 'default'],
    ['cart:a:1', 'default'],
    ['bull:jobs', 'default'],
    ['', 'default'],
  ])('%s: %s', (key, server) => {
    expect(serverOf(key)).toBe(server)
    expect(serverOf(Buffer.from(key))).toBe(server)
    expect(serverOf(Buffer.from(key, 'latin1'))).toBe(server)
  })
})

describe('a store over them', () => {
  let main: TestRedis
  let cluster: TestCluster
  const opened: Store[] = []
  const open = (redis: unknown): Store => {
    const store = openStore(targetOf(redis), timeouts)
    opened.push(store)
    return store
  }
  beforeAll(async () => {
    ;[main, cluster] = await Promise.all([startRedis({ port: 0 }), startCluster({ masters: 2 })])
  })
  afterEach(async () => {
    for (const store of opened.splice(0)) await store.close()
    await main.call('FLUSHALL')
    await cluster.flush()
  })
  afterAll(() => Promise.all([main.stop(), cluster.stop()]))

  it('sends each command to the server of its keys, and walks over the masters of all', async () => {
    const store = open({ default: main.url, reports: { cluster: cluster.urls } })
    const lane = await store.lane()
    const keys = Array.from(
      { length: 40 },
      (_, index) => `shop:v1:${index % 2 === 0 ? 'stats' : 'detail'}:product:${index}`,
    )
    await ask(lane, ...keys.map((key, index) => ['SET', key, index]), ['HSET', 'shop~generations', 'a', 1])
    expect(await main.call('DBSIZE')).toBe(21)
    expect(await ask(lane, ['MGET', ...keys])).toEqual([keys.map((_, index) => Buffer.from(`${index}`))])
    expect(await store.call('EXISTS', ...keys, 'none')).toBe(40)
    expect(await store.call('UNLINK', ...keys.slice(0, 4))).toBe(4)
    const crossing = ['EVAL', 'return 1', 2, keys[4] as string, keys[5] as string]
    const [refused] = await ask(lane, crossing)
    expect(isErrorReply(refused) && refused.code).toBe('CROSSSLOT')
    await expect(store.call(...crossing)).rejects.toMatchObject({ message: expect.stringContaining('CROSSSLOT') })
    await expect(store.call('HGET', keys[4] as string, 'f')).rejects.toMatchObject({
      message: expect.stringContaining('WRONGTYPE'),
    })

    const masters = await store.masters()
    const ports = cluster.masters.map(({ port }) => `reports 127.0.0.1:${port}`)
    expect(masters.map(({ id }) => id)).toEqual([`default 127.0.0.1:${main.port}`, ...ports])
    expect((await store.callEach('DBSIZE')).map(({ master }) => master)).toEqual(masters.map(({ id }) => id))
    expect((await store.info()).keys).toBe(37)
    expect((await store.history())?.split(' ')).toHaveLength(3)
    expect(await store.layout()).toContain(cluster.masters[0]?.id)
    expect(await store.identity()).toMatchObject({
      endpoint: `default 127.0.0.1:${main.port}, reports 127.0.0.1:${cluster.masters[0]?.port}`,
      mode: 'standalone',
      role: 'primary',
      replicationId: await store.history(),
    })
    const own = (await masters[0]?.lane()) as Lane
    expect(await ask(own, ['DBSIZE'])).toEqual([19])
  })

  it('follows slots of the Cluster among them, and ends with any of the servers', async () => {
    const store = open({ default: main.url, reports: cluster.urls[0] })
    const lane = await store.lane()
    const key = 'shop:v1:stats:product:1'
    await ask(lane, ['SET', key, 1])
    await cluster.moveSlotOfKey(key)
    expect(await ask(lane, ['GET', key], ['GET', 'none'])).toEqual([Buffer.from('1'), null])
    await main.call('CLIENT', 'KILL', 'TYPE', 'normal')
    await expect.poll(() => lane.closed).toBe(true)
    expect(await ask(await store.lane(), ['GET', key])).toEqual([Buffer.from('1')])
  })

  it('counts a database once that two names lead to', async () => {
    const store = open({ default: main.url, reports: `redis://localhost:${main.port}` })
    await store.call('SET', 'shop:v1:stats:product:1', 1)
    expect(await store.masters()).toHaveLength(1)
    expect((await store.info()).keys).toBe(1)
    const apart = open({ default: main.url, reports: `${main.url}/1` })
    expect(await apart.masters()).toHaveLength(2)
    expect(await apart.call('GET', 'shop:v1:stats:product:1')).toBeNull()
  })

  it('hears on each server what is said of its keys', async () => {
    const heard: string[] = []
    let connected = 0
    const target = targetOf({ default: main.url, reports: cluster.urls[0] })
    const bus = openBus(
      target,
      { channels: ['shop~bus'], tracking: true, ...timeouts },
      {
        connected: () => {
          connected += 1
        },
        message: (channel) => heard.push(channel),
        invalidated: () => {},
        lost: () => {},
      },
    )
    const filled = 'shop~filled:{shop:v1:stats:product:1}'
    bus.subscribe(filled)
    await expect.poll(() => connected).toBe(1)
    const say = async () => {
      await cluster.masters[1]?.call('PUBLISH', filled, '')
      await main.call('PUBLISH', 'shop~bus', '')
      return new Set(heard)
    }
    await expect.poll(say).toEqual(new Set([filled, 'shop~bus']))
    await bus.ping()
    bus.close()
  })

  it('names the server that cannot be reached', async () => {
    const store = open({ default: main.url, reports: 'redis://127.0.0.1:1' })
    await expect(store.lane()).rejects.toMatchObject({ message: expect.stringContaining('127.0.0.1:1 refuses') })
    await expect(store.masters()).rejects.toMatchObject({ code: 'REDIS_UNREACHABLE' })
    expect(await store.call('SET', 'shop:v1:detail:product:1', 1)).toBe('OK')
  })
})
