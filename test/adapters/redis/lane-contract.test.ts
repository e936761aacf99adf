// What every lane promises, held by the channel and by the plain lane alike.
import { afterAll, afterEach, beforeAll, beforeEach, describe, expect, it } from 'vitest'
import { openChannel } from '../../../src/adapters/redis/channel.ts'
import { connect } from '../../../src/adapters/redis/client.ts'
import { openPlainLane } from '../../../src/adapters/redis/plain-lane.ts'
import { openStore } from '../../../src/adapters/redis/store.ts'
import { isErrorReply } from '../../../src/core/reply.ts'
import type { CommandArgument, Lane, Reply } from '../../../src/ports.ts'
import { startRedis, type TestRedis } from '../../servers.ts'
import { type ClusterNode, startCluster } from '../../topologies.ts'

const endpoint = 'the test server'
const replyTimeoutMs = 600

interface World {
  /** on the server where the keys of these tests are asked for */
  server: TestRedis
  open(options?: { noTouch?: boolean }): Promise<Lane>
  stop(): Promise<void>
}

async function oneServer(take: typeof openChannel): Promise<World> {
  const server = await startRedis()
  return {
    server,
    stop: () => server.stop(),
    async open(options = {}) {
      const target = { url: server.url, from: 'test', tls: null }
      const redis = await connect(target, { connectTimeoutMs: 2_000, replyTimeoutMs, dedicated: true })
      return take(redis, { endpoint, replyTimeoutMs, ...options })
    },
  }
}

/** Of three masters; the keys `none`, `a` and what has no key are at the same one. */
async function aCluster(): Promise<World> {
  const cluster = await startCluster()
  const [first] = cluster.masters as readonly [ClusterNode, ...ClusterNode[]]
  await cluster.moveSlots(await Promise.all(['none', 'a', 'l', 'b', 'guard', 'late'].map(cluster.slotOf)), first)
  const store = openStore({ url: first.url, from: 'test', tls: null }, { connectTimeoutMs: 2_000, replyTimeoutMs })
  await cluster.settled()
  return {
    server: { ...first, call: (...args) => (args[0] === 'FLUSHALL' ? cluster.flush() : first.call(...args)) },
    open: (options) => store.lane(options),
    async stop() {
      await store.close()
      await cluster.stop()
    },
  }
}

describe.each([
  { name: 'channel', start: () => oneServer(openChannel), routed: false },
  { name: 'plain lane', start: () => oneServer(openPlainLane), routed: false },
  { name: 'routed lane', start: aCluster, routed: true },
])('$name', ({ start, routed }) => {
  let world: World
  let server: TestRedis
  let lane: Lane

  beforeAll(async () => {
    world = await start()
    server = world.server
  })
  afterAll(() => world.stop())

  const ask = (...commands: readonly (readonly CommandArgument[])[]): Promise<readonly Reply[]> => {
    const page = lane.page()
    for (const command of commands) page.add(...command)
    return lane.run(page)
  }

  beforeEach(async () => {
    await server.call('FLUSHALL')
    lane = await world.open()
  })
  afterEach(() => lane.close())

  it('gives each kind of reply as what it is', async () => {
    const replies = await ask(
      ['SET', 'a', 'OK', 'PX', 100_000],
      ['SET', 'a', 'x', 'NX'],
      ['GET', 'a'],
      ['GET', 'none'],
      ['SET', 'a', '1', 'GET'],
      ['DECRBY', 'a', 8],
      ['TYPE', 'a'],
      ['LPUSH', 'l', 'one', 'two'],
      ['LRANGE', 'l', 0, -1],
      ['LRANGE', 'none', 0, -1],
      ['MGET', 'a', 'none'],
      ['HGETALL', 'none'],
      ['GET', 'l'],
      ['NONSENSE'],
      routed ? ['MGET', 'l', 'a'] : ['SCAN', 0, 'COUNT', 100],
      ['GETRANGE', 'none', 0, 10],
    )
    expect(replies.slice(0, 12)).toEqual([
      'OK',
      null,
      Buffer.from('OK'),
      null,
      Buffer.from('OK'),
      -7,
      'string',
      2,
      [Buffer.from('two'), Buffer.from('one')],
      [],
      [Buffer.from('-7'), null],
      [],
    ])
    expect(replies[12]).toEqual({ error: expect.stringMatching(/^WRONGTYPE /), code: 'WRONGTYPE' })
    expect(replies[13]).toEqual({ error: expect.stringMatching(/^ERR unknown command/), code: 'ERR' })
    if (routed) expect(replies[14]).toEqual([null, Buffer.from('-7')])
    else expect(replies[14]).toEqual([Buffer.from('0'), expect.arrayContaining([Buffer.from('a'), Buffer.from('l')])])
    expect(replies[15]).toEqual(Buffer.alloc(0))
  })

  it('carries any bytes in keys and values', async () => {
    const key = Buffer.from(Array.from({ length: 256 }, (_, byte) => byte))
    const long = Buffer.alloc(5_000_000, 'é€😀')
    const page = lane.page()
    page.add('SET', key, 'Zürich \ud83d')
    page.addSet('Оренбург', long, null, true)
    page.addSet('Оренбург', 'late', null, true)
    page.addSet('ttl', '東京', 60_000, false)
    page.add('GET', key)
    page.add('GET', Buffer.from('Оренбург'))
    page.add('PTTL', 'ttl')
    page.add('EXISTS', key, 'Оренбург', 'ttl', 'none')
    const [set, first, again, ttl, value, back, pttl, exist] = await lane.run(page)
    expect([set, first, again, ttl]).toEqual(['OK', 'OK', null, 'OK'])
    expect(value).toEqual(Buffer.from('Zürich \ufffd'))
    expect((back as Buffer).equals(long)).toBe(true)
    expect(pttl).toBeGreaterThan(59_000)
    expect(exist).toBe(3)
  })

  it('answers pages in the order in which they were run, however many are under way', async () => {
    const order: number[] = []
    const pages = Array.from({ length: 300 }, (_, index) => {
      const page = lane.page()
      for (let i = 0; i < 1 + (index % 40); i += 1) page.add('ECHO', `${index}:${i}:${'x'.repeat(index * 9)}`)
      return lane.run(page).then((replies) => {
        order.push(index)
        expect(replies.map((reply) => String(reply).split(':').slice(0, 2).join(':'))).toEqual(
          Array.from({ length: 1 + (index % 40) }, (__, i) => `${index}:${i}`),
        )
      })
    })
    await Promise.all(pages)
    expect(order).toEqual(Array.from({ length: 300 }, (_, index) => index))
  })

  const whole = routed ? it : () => {}
  const single = routed ? () => {} : it

  whole('refuses what is of one connection or of one server', async () => {
    const replies = await ask(
      ['WATCH', 'a'],
      ['MULTI'],
      ['CLIENT', 'CACHING', 'YES'],
      ['SCAN', 0],
      ['FLUSHALL'],
      ['CONFIG', 'SET', 'maxmemory', 0],
      ['EVAL', 'return 1', 2, 'a', 'x'],
    )
    expect(replies.map((reply) => isErrorReply(reply) && reply.code)).toEqual([
      'ERR',
      'ERR',
      'ERR',
      'ERR',
      'ERR',
      'ERR',
      'CROSSSLOT',
    ])
    expect(await ask(['EVAL', 'return 1', 0], ['EVAL', 'return KEYS[2]', 2, 'a{x}', '{x}'])).toEqual([
      1,
      Buffer.from('{x}'),
    ])
  })

  single('has WATCH, MULTI and EXEC of its own, within a page and over pages', async () => {
    expect(await ask(['SET', 'guard', 1], ['WATCH', 'guard'])).toEqual(['OK', 'OK'])
    const write = [['MULTI'], ['SET', 'a', 1, 'NX'], ['SET', 'a', 2, 'NX'], ['TYPE', 'a'], ['LPUSH', 'a', 1], ['EXEC']]
    expect(await ask(...write)).toEqual([
      'OK',
      'QUEUED',
      'QUEUED',
      'QUEUED',
      'QUEUED',
      ['OK', null, 'string', { error: expect.any(String), code: 'WRONGTYPE' }],
    ])
    await ask(['WATCH', 'guard'])
    await server.call('SET', 'guard', 2)
    expect((await ask(['MULTI'], ['SET', 'b', 1], ['EXEC'], ['GET', 'b'])).slice(2)).toEqual([null, null])
    await ask(['MULTI'], ['SET', 'b', 1])
    expect(await ask(['GET', 'b'], ['EXEC'])).toEqual(['QUEUED', ['OK', Buffer.from('1')]])
    expect(await ask(['MULTI'], ['NONSENSE'], ['EXEC'], ['GET', 'b'])).toEqual([
      'OK',
      { error: expect.any(String), code: 'ERR' },
      { error: expect.any(String), code: 'EXECABORT' },
      Buffer.from('1'),
    ])
  })

  it('answers an empty page with nothing, and refuses the page of another kind of lane', async () => {
    expect(await lane.run(lane.page())).toEqual([])
    const stranger = { length: 1, sizeBytes: 0, add: () => {}, addSet: () => {} }
    await expect(lane.run(stranger)).rejects.toThrow(TypeError)
    expect(lane.closed).toBe(false)
  })

  it('says whether reads leave the clocks of keys alone', async () => {
    expect(lane.noTouch).toBe(false)
    const granted = (await server.call('COMMAND', 'INFO', 'client|no-touch')) as unknown[]
    const quiet = await world.open({ noTouch: true })
    expect(quiet.noTouch).toBe(granted[0] !== null)
    quiet.close()
  })

  it('closes once, and then sends nothing', async () => {
    const underWay = ask(['BLPOP', 'none', 1])
    lane.close()
    lane.close()
    expect(lane.closed).toBe(true)
    await expect(underWay).rejects.toMatchObject({
      code: 'REDIS_UNREACHABLE',
      message: expect.stringMatching(/unknown/),
    })
    await expect(ask(['SET', 'late', 1])).rejects.toMatchObject({
      code: 'REDIS_UNREACHABLE',
      message: expect.stringMatching(/none of the 1 commands of this page was sent/),
    })
    expect(await server.call('EXISTS', 'late')).toBe(0)
  })

  it('rejects what is under way when the server closes the connection, without an unhandled rejection', async () => {
    // Nobody looks at these pages before they fail.
    const pages = [ask(['BLPOP', 'none', 0]), ask(['PING']), ask(['PING'])]
    const blocked = async (): Promise<boolean> =>
      String(await server.call('INFO', 'clients')).includes('blocked_clients:1')
    while (!(await blocked())) await new Promise(setImmediate)
    await server.call('CLIENT', 'KILL', 'TYPE', 'normal')
    const outcomes = await Promise.allSettled(pages)
    for (const outcome of outcomes) {
      expect(outcome).toMatchObject({ status: 'rejected', reason: { code: 'REDIS_UNREACHABLE', exitCode: 10 } })
    }
    expect(lane.closed).toBe(true)
  })

  it('notices a loss while nothing is under way', async () => {
    await server.call('CLIENT', 'KILL', 'TYPE', 'normal')
    while (!lane.closed) await new Promise(setImmediate)
    await expect(ask(['PING'])).rejects.toMatchObject({ code: 'REDIS_UNREACHABLE' })
  })

  it('gives up on a server that stalls, within the reply deadline', async () => {
    await ask(['PING'])
    process.kill(server.pid, 'SIGSTOP')
    try {
      const started = performance.now()
      const outcomes = await Promise.allSettled([ask(['SET', 'a', 1]), ask(['PING'])])
      const waitedMs = performance.now() - started
      for (const outcome of outcomes) {
        expect(outcome).toMatchObject({ reason: { code: 'REDIS_TIMEOUT', message: expect.stringMatching(/unknown/) } })
      }
      expect(waitedMs).toBeGreaterThan(replyTimeoutMs * 0.9)
      expect(waitedMs).toBeLessThan(replyTimeoutMs * 2)
      expect(lane.closed).toBe(true)
    } finally {
      process.kill(server.pid, 'SIGCONT')
    }
  })

  it('waits longer than the deadline for pages that keep being answered, and has no timer between pages', async () => {
    const naps = Array.from({ length: 6 }, () => ask(['BLPOP', 'none', '0.2']))
    const started = performance.now()
    await Promise.all(naps)
    expect(performance.now() - started).toBeGreaterThan(replyTimeoutMs)
    await new Promise((resolve) => setTimeout(resolve, replyTimeoutMs * 1.2))
    expect(await ask(['PING'])).toEqual(['PONG'])
  })
})
