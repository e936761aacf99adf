// A store over a real Sentinel set: who is primary, while that changes; and what a person is told where nobody is.
import { afterAll, afterEach, beforeAll, describe, expect, it } from 'vitest'
import { openBus } from '../../../src/adapters/redis/bus.ts'
import { openStore } from '../../../src/adapters/redis/store.ts'
import { isErrorReply } from '../../../src/core/reply.ts'
import type { CommandArgument, Lane, Reply, Store } from '../../../src/ports.ts'
import { freePort, startRedis } from '../../servers.ts'
import { startSentinel, type TestSentinel } from '../../topologies.ts'

const opened: Store[] = []
const open = (url: string, connectTimeoutMs = 4_000): Store => {
  const store = openStore({ url, from: 'test', tls: null }, { connectTimeoutMs, replyTimeoutMs: 2_000 })
  opened.push(store)
  return store
}

async function ask(lane: Lane, ...commands: readonly (readonly CommandArgument[])[]): Promise<readonly Reply[]> {
  const page = lane.page()
  for (const command of commands) page.add(...command)
  return lane.run(page)
}

let set: TestSentinel
beforeAll(async () => {
  set = await startSentinel({ replicas: 1 })
})
afterEach(async () => {
  for (const store of opened.splice(0)) await store.close()
})
afterAll(() => set.stop())

describe('a Sentinel set', () => {
  it('is its primary, through a failover', async () => {
    const store = open(set.url)
    const first = await set.primary()
    expect(await store.identity()).toMatchObject({
      endpoint: `127.0.0.1:${first.port}`,
      mode: 'sentinel',
      role: 'primary',
    })
    expect((await store.masters()).map(({ id }) => id)).toEqual([`127.0.0.1:${first.port}`])
    const lane = await store.lane()
    expect(await ask(lane, ['SET', 'a', 1], ['WATCH', 'a'], ['UNWATCH'])).toEqual(['OK', 'OK', 'OK'])
    const heard: string[] = []
    let connections = 0
    const bus = openBus(
      { url: set.url, from: 'test', tls: null },
      { channels: ['news'], tracking: false, connectTimeoutMs: 4_000, replyTimeoutMs: 2_000 },
      {
        connected: () => {
          connections += 1
        },
        message: (_, payload) => heard.push(payload),
        invalidated: () => {},
        lost: () => {},
      },
    )
    await expect.poll(() => connections).toBe(1)
    const [layout, history] = [await store.layout(), await store.history()]

    // Written all the time: what is acknowledged is at the new primary, or was lost with the history of the old one, never at a replica that nobody reads.
    let failing = true
    const acknowledged: number[] = []
    const writes = (async () => {
      let current = lane
      for (let n = 0; failing; n++) {
        try {
          if (current.closed) current = await store.lane()
          const [reply] = await ask(current, ['SET', 'n', n])
          if (reply === 'OK') acknowledged.push(n)
          else expect(isErrorReply(reply) && reply.code).toMatch(/READONLY|LOADING|UNBLOCKED/)
        } catch (error) {
          expect(error).toMatchObject({ code: expect.stringMatching(/REDIS_UNREACHABLE|REDIS_TIMEOUT/) })
        }
        await new Promise(setImmediate)
      }
      return current
    })()
    const second = await set.failover()
    const seen = acknowledged.length
    await expect.poll(() => acknowledged.length).toBeGreaterThan(seen)
    failing = false
    await ask(await writes, ['PING'])
    expect(lane.closed).toBe(true)
    expect(await store.call('SET', 'b', 1)).toBe('OK')
    expect(await second.call('GET', 'b')).toBe('1')
    expect(Number(await second.call('GET', 'n'))).toBe(acknowledged.at(-1))
    expect(await store.identity()).toMatchObject({ endpoint: `127.0.0.1:${second.port}` })
    expect(await store.layout()).not.toBe(layout)
    expect(await store.history()).not.toBe(history)
    await expect.poll(() => connections, { timeout: 5_000 }).toBeGreaterThan(1)
    await store.call('PUBLISH', 'news', 'after')
    await expect.poll(() => heard).toContain('after')
    bus.close()
  })

  it('gives up a primary that was demoted behind its back', async () => {
    const store = open(set.url)
    const primary = await set.primary()
    const lane = await store.lane()
    await store.call('PING')
    // Its replica lives on as it is: nothing is promoted, and the sentinels make it primary again.
    await primary.call('REPLICAOF', '127.0.0.1', set.nodes.find((node) => node !== primary)?.port as number)
    const [refused] = await ask(lane, ['SET', 'a', 2])
    expect(isErrorReply(refused) && refused.code).toBe('READONLY')
    expect(lane.closed).toBe(true)
    await primary.call('REPLICAOF', 'NO', 'ONE')
    await expect
      .poll(() => store.call('SET', 'a', 3).catch((error: Error) => error.message), { timeout: 8_000 })
      .toBe('OK')
  })

  it('lets a replica that is in step answer reads, and its primary where there is none', async () => {
    const primary = await set.primary()
    const replica = set.nodes.find((node) => node !== primary) as TestSentinel['nodes'][0]
    await expect
      .poll(async () => String(await primary.call('INFO', 'replication')), { timeout: 8_000 })
      .toContain('state=online')
    const [master] = await open(set.url).masters()
    const lane = (await master?.lane({ replica: true })) as Lane
    expect(lane.replica).toBe(`127.0.0.1:${replica.port}`)
    const [refused] = await ask(lane, ['SET', 'a', 1])
    expect(isErrorReply(refused) && refused.code).toBe('READONLY')
    expect((await master?.lane())?.replica).toBeUndefined()
    const alone = await startRedis()
    const [only] = await open(alone.url).masters()
    const instead = (await only?.lane({ replica: true })) as Lane
    expect(instead.replica).toBeNull()
    expect(await ask(instead, ['PING'])).toEqual(['PONG'])
    await alone.stop()
  })
})

describe('where there is no primary', () => {
  const failure = (url: string, connectTimeoutMs = 400) =>
    open(url, connectTimeoutMs)
      .call('PING')
      .catch((error: unknown) => error)

  it('nobody is asked in vain: sentinels that are not there, that do not know the name, that are none', async () => {
    const [one, two] = [await freePort(), await freePort()]
    expect(await failure(`redis+sentinel://127.0.0.1:${one},127.0.0.1:${two}/cache`)).toMatchObject({
      code: 'REDIS_UNREACHABLE',
      message: expect.stringMatching(
        new RegExp(`no Sentinel of cache can be reached: 127.0.0.1:${one} refuses.*127.0.0.1:${two} refuses`),
      ),
    })
    expect(await failure(set.url.replace(/cache$/, 'cach'))).toMatchObject({
      code: 'REDIS_URL_INVALID',
      exitCode: 2,
      message: expect.stringContaining('knows no primary called cach'),
      hint: 'did you mean cache? it knows cache',
    })
    const server = set.nodes[1] as TestSentinel['nodes'][0]
    expect(await failure(`redis+sentinel://127.0.0.1:${server.port}/cache`)).toMatchObject({
      message: `127.0.0.1:${server.port} is no Sentinel`,
    })
    // One of the list that answers is enough.
    expect(await open(set.url.replace('://', `://127.0.0.1:${one},`)).call('PING')).toBe('PONG')
  })

  it('a Sentinel that asks for a password is given its own', async () => {
    const sentinel = await startRedis({ port: 0, sentinel: true, args: ['--requirepass', 'own'] })
    try {
      const url = `redis+sentinel://127.0.0.1:${sentinel.port}/cache`
      expect(await failure(url)).toMatchObject({
        code: 'REDIS_AUTH',
        hint: expect.stringContaining('sentinelPassword'),
      })
      expect(await failure(`${url}?sentinelPassword=own`)).toMatchObject({
        hint: 'it watches none: is it the right Sentinel?',
      })
    } finally {
      await sentinel.stop()
    }
  })

  it.each([
    ['a replica', 'replica', /127\.0\.0\.1:\d+ is a replica \(asked for 400 ?ms\)/],
    ['nobody', 'nobody', /127\.0\.0\.1:\d+ refuses connections.* \(asked for 400 ?ms\)/],
  ])('a Sentinel that names %s is asked until the deadline', async (_, kind, message) => {
    const primary = await set.primary()
    const replica = set.nodes.find((node) => node !== primary) as TestSentinel['nodes'][0]
    await expect.poll(async () => String(await replica.call('ROLE'))).toContain('slave')
    const port = kind === 'replica' ? (replica.port as number) : await freePort()
    const sentinel = await startRedis({ port: 0, sentinel: true })
    try {
      await sentinel.call('SENTINEL', 'MONITOR', 'other', '127.0.0.1', port, 2)
      const started = performance.now()
      const error = await failure(`redis+sentinel://127.0.0.1:${sentinel.port}/other`)
      expect(performance.now() - started).toBeGreaterThan(290)
      expect(error).toMatchObject({
        code: 'REDIS_UNREACHABLE',
        message: expect.stringMatching(message),
        hint: expect.stringContaining('announce-ip'),
      })
      expect((error as Error).message).toContain(`127.0.0.1:${port}`)
    } finally {
      await sentinel.stop()
    }
  })
})
