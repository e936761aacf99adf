// A store over a real Cluster: keys everywhere, slots that move, nodes that go, addresses that nobody can reach.
import { createServer } from 'node:net'
import { afterAll, afterEach, beforeAll, describe, expect, it } from 'vitest'
import { openBus } from '../../../src/adapters/redis/bus.ts'
import { openStore, type StoreOptions } from '../../../src/adapters/redis/store.ts'
import { slotOf } from '../../../src/core/key-slot.ts'
import { isErrorReply } from '../../../src/core/reply.ts'
import type { CommandArgument, Lane, Reply, Store } from '../../../src/ports.ts'
import { randomFromSeed, seed } from '../../seed.ts'
import { type ClusterNode, startCluster, type TestCluster } from '../../topologies.ts'

const timeouts = { connectTimeoutMs: 3_000, replyTimeoutMs: 2_000 }
const opened: Store[] = []

const open = (url: string, options: Partial<StoreOptions> = {}): Store => {
  const store = openStore({ url, from: 'test', tls: null }, { ...timeouts, ...options })
  opened.push(store)
  return store
}

async function ask(lane: Lane, ...commands: readonly (readonly CommandArgument[])[]): Promise<readonly Reply[]> {
  const page = lane.page()
  for (const command of commands) page.add(...command)
  return lane.run(page)
}

const codes = (replies: readonly Reply[]) => replies.map((reply) => (isErrorReply(reply) ? reply.code : reply))

let cluster: TestCluster
beforeAll(async () => {
  cluster = await startCluster({ masters: 3, replicas: 1 })
})
afterEach(async () => {
  for (const store of opened.splice(0)) await store.close()
})
afterAll(() => cluster.stop())

describe('a Cluster that is named by one of its nodes', () => {
  it(`spreads keys by the slots that the server computes (SEED=${seed})`, async () => {
    const random = randomFromSeed(seed)
    const keys = [
      '',
      '{}',
      '{}a',
      'a{',
      'a{b',
      '{a}b',
      'x{a}{b}',
      '}{a}',
      'Zürich',
      '{東京}:1',
      Buffer.from([0, 255, 123, 1, 125]),
    ]
    for (let i = 0; i < 200; i++)
      keys.push(
        Buffer.from(
          Array.from({ length: 1 + random() * 12 }, () =>
            random() < 0.2 ? 123 + 2 * (random() < 0.5 ? 1 : 0) : random() * 256,
          ),
        ),
      )
    for (const key of keys) expect([key, slotOf(key)]).toEqual([key, await cluster.slotOf(key)])
  })

  it('is one store over all masters', async () => {
    await cluster.flush()
    const store = open(cluster.urls[0] as string)
    const lane = await store.lane()
    const keys = Array.from({ length: 500 }, (_, index) => `key:${index}`)
    await ask(lane, ...keys.map((key, index) => ['SET', key, index]))
    const values = keys.map((_, index) => Buffer.from(`${index}`))
    expect(await ask(lane, ['MGET', ...keys, 'none'], ['EXISTS', ...keys, 'none'])).toEqual([[...values, null], 500])
    expect(await store.call('UNLINK', ...keys.slice(0, 10), 'none')).toBe(10)
    expect(await store.call('GET', 'key:10')).toEqual(Buffer.from('10'))
    expect((await store.info()).keys).toBe(490)
    const masters = await store.masters()
    expect(masters.map(({ id }) => id)).toEqual(cluster.masters.map(({ port }) => `127.0.0.1:${port}`))
    const sizes = await store.callEach('DBSIZE')
    expect(sizes.map(({ master }) => master)).toEqual(masters.map(({ id }) => id))
    expect(sizes.reduce((sum, { reply }) => sum + Number(reply), 0)).toBe(490)
    const own = await (masters[1] as (typeof masters)[0]).lane()
    const moved = await ask(own, ['GET', 'key:10'], ['GET', 'key:11'], ['GET', 'key:12'], ['GET', 'key:13'])
    expect(codes(moved)).toContain('MOVED')
    expect(await store.identity()).toMatchObject({
      endpoint: `127.0.0.1:${cluster.masters[0]?.port}`,
      mode: 'cluster',
      role: 'primary',
      runId: expect.stringMatching(/^\w{40} \w{40} \w{40}$/),
      version: expect.stringMatching(/^(Redis|Valkey) [\d.]+$/),
      replicationId: await store.history(),
    })
    expect((await store.history())?.split(' ')).toHaveLength(3)
    expect(await store.supports('unlink')).toBe(true)
    await expect(store.call('WATCH', 'a')).rejects.toMatchObject({ code: 'REDIS_REPLY' })
  })

  it('is found by any node of a list, and by replicas', async () => {
    const alive = cluster.nodes[4] as ClusterNode
    const store = open(`redis://127.0.0.1:1,127.0.0.1:${alive.port}`)
    expect(await store.masters()).toHaveLength(3)
    expect(await store.call('SET', 'a', 1)).toBe('OK')
  })

  it('publishes from any node, and is heard at another', async () => {
    const heard: string[] = []
    const target = { url: cluster.urls[2] as string, from: 'test', tls: null }
    let connected = false
    const bus = openBus(
      target,
      { channels: ['news'], tracking: true, ...timeouts },
      {
        connected: () => {
          connected = true
        },
        message: (_, payload) => heard.push(payload),
        invalidated: () => {},
        lost: () => {},
      },
    )
    await expect.poll(() => connected).toBe(true)
    await open(cluster.urls[0] as string).call('PUBLISH', 'news', 'x')
    await expect.poll(() => heard).toEqual(['x'])
    bus.close()
  })

  it('has lanes whose reads replicas answer', async () => {
    const store = open(cluster.urls[0] as string)
    await store.call('SET', 'kept', 'here')
    const lane = await store.lane({ replica: true })
    expect(lane.replica?.split(', ')).toHaveLength(3)
    await expect.poll(async () => (await ask(lane, ['GET', 'kept']))[0]).toEqual(Buffer.from('here'))
    expect(codes(await ask(lane, ['SET', 'kept', 1], ['UNLINK', 'kept']))).toEqual(['READONLY', 'READONLY'])
    const [master] = await store.masters()
    const one = await master?.lane({ replica: true })
    expect(one?.replica).toMatch(/^127\.0\.0\.1:\d+$/)
    expect(`127.0.0.1:${cluster.masters[0]?.port}`).not.toBe(one?.replica)
  })
})

describe('slots that move', () => {
  /** `{tag}1` … `{tag}n`, and the slot that they share. */
  async function fill(tag: string, count: number): Promise<{ keys: string[]; slot: number; to: ClusterNode }> {
    const keys = Array.from({ length: count }, (_, index) => `{${tag}}${index}`)
    const slot = slotOf(tag)
    const from = await cluster.ownerOf(slot)
    for (const key of keys) await from.call('SET', key, key)
    const to = cluster.masters.find((node) => node !== from) as ClusterNode
    return { keys, slot, to }
  }

  it('are followed while their keys are at two places, and behind them (ASK, MOVED)', async () => {
    const store = open(cluster.urls[0] as string)
    const lane = await store.lane()
    const { keys, slot, to } = await fill('two', 6)
    const before = await store.layout()
    await cluster.beginMove(slot, to)
    await cluster.moveKeys(slot, to, 3)
    const during = await store.layout()
    expect(new Set([before, during, await store.layout()]).size).toBe(3)
    const values = keys.map((key) => Buffer.from(key))
    expect(await ask(lane, ...keys.map((key) => ['GET', key]), ['GET', '{two}none'], ['SET', '{two}new', 1])).toEqual([
      ...values,
      null,
      'OK',
    ])
    // None of these is whole at either side.
    expect(await ask(lane, ['MGET', ...keys], ['EXISTS', ...keys])).toEqual([values, 6])
    expect(await ask(lane, ['UNLINK', keys[0] as string, keys[5] as string])).toEqual([2])
    await cluster.moveKeys(slot, to)
    await cluster.endMove(slot, to)
    expect(await ask(lane, ['MGET', ...keys.slice(1, 5), '{two}new'])).toEqual([
      [...values.slice(1, 5), Buffer.from('1')],
    ])
    const after = await store.layout()
    expect(after).not.toBe(before)
    expect(await store.layout()).toBe(after)
    expect(lane.closed).toBe(false)
  })

  it('make a script wait for its keys, and say so where they do not come (TRYAGAIN)', async () => {
    const store = open(cluster.urls[0] as string)
    const { keys, slot, to } = await fill('again', 2)
    const script = ['EVAL', "return redis.call('GET', KEYS[1]) .. redis.call('GET', KEYS[2])", 2, ...keys]
    await cluster.beginMove(slot, to)
    await cluster.moveKeys(slot, to, 1)
    const impatient = await store.lane({ retryMs: 100 })
    const started = performance.now()
    expect(codes(await ask(impatient, script))).toEqual(['TRYAGAIN'])
    expect(performance.now() - started).toBeLessThan(1_000)
    const patient = await store.lane()
    const other = ask(patient, script)
    // Others do not wait for it.
    expect(await ask(patient, ['GET', 'elsewhere'])).toEqual([null])
    await cluster.moveKeys(slot, to)
    expect(await other).toEqual([Buffer.from('{again}0{again}1')])
    await cluster.endMove(slot, to)
  })

  it('keep deletes behind what stands before them in the page', async () => {
    const store = open(cluster.urls[0] as string)
    const lane = await store.lane()
    const { slot, to } = await fill('order', 2)
    await cluster.beginMove(slot, to)
    const from = await cluster.ownerOf(slot)
    const moved = String(await from.call('CLUSTER', 'GETKEYSINSLOT', slot, 1))
    const stays = moved === '{order}0' ? '{order}1' : '{order}0'
    await cluster.moveKeys(slot, to, 1)
    await to.call('CONFIG', 'RESETSTAT')
    // The write goes to the target, one round later than the delete that finds its key at the source: which is sent again.
    const replies = await ask(
      lane,
      ['EVAL', "redis.call('SET', KEYS[1], 'late') return 1", 1, moved],
      ['UNLINK', stays],
      ['UNLINK', moved],
    )
    expect(replies).toEqual([1, 1, 1])
    // Without that it would be one.
    expect(String(await to.call('INFO', 'commandstats'))).toMatch(/cmdstat_unlink:calls=[23],/)
    expect(await ask(lane, ['EXISTS', moved, stays])).toEqual([0])
    await cluster.moveKeys(slot, to)
    await cluster.endMove(slot, to)
  })

  it('lose nothing of many pages while they go round', async () => {
    const store = open(cluster.urls[0] as string)
    const lane = await store.lane()
    await cluster.flush()
    const slots = Array.from({ length: 12 }, (_, index) => slotOf(`${index}`))
    let moving = true
    const moves = (async () => {
      for (let round = 0; round < 2; round++) await cluster.moveSlots(slots, cluster.masters[round] as ClusterNode)
      moving = false
    })()
    let pages = 0
    while (moving) {
      const commands = Array.from({ length: 12 }, (_, index) => ['INCR', `{${index}}n`])
      const [first, second] = await Promise.all([ask(lane, ...commands), ask(lane, ...commands)])
      expect(codes([...first, ...second]).every((reply) => typeof reply === 'number')).toBe(true)
      pages += 2
    }
    await moves
    const counts = (await ask(lane, ['MGET', ...slots.map((_, index) => `{${index}}n`)]))[0]
    expect(counts).toEqual(slots.map(() => Buffer.from(`${pages}`)))
  })
})

describe('nodes that go', () => {
  it('close the lane; the next one is of the nodes that there are', async () => {
    const store = open(cluster.urls[0] as string)
    const lane = await store.lane()
    const master = await cluster.ownerOf(slotOf('failing'))
    const fixed = await store.lane({ fixed: true })
    const next = await cluster.failover(master)
    // A replica that took over from one that lives: MOVED.
    expect(await ask(lane, ['SET', 'failing', 1])).toEqual(['OK'])
    await expect(ask(fixed, ['GET', 'failing'])).rejects.toMatchObject({ code: 'REDIS_UNREACHABLE' })
    expect(fixed.closed).toBe(true)
    await cluster.settled()
    await next.call('CLIENT', 'KILL', 'TYPE', 'normal')
    await expect.poll(() => lane.closed).toBe(true)
    await expect(ask(lane, ['GET', 'failing'])).rejects.toMatchObject({
      message: expect.stringMatching(/none of the 1 commands/),
    })
    expect(await ask(await store.lane(), ['GET', 'failing'])).toEqual([Buffer.from('1')])
    const gone = await cluster.ownerOf(slotOf('failing'))
    const waiting = await open(gone.url, { replyTimeoutMs: 300 }).lane()
    process.kill(gone.pid, 'SIGSTOP')
    try {
      await expect(ask(waiting, ['GET', 'failing'], ['GET', 'b'])).rejects.toMatchObject({
        code: 'REDIS_TIMEOUT',
        message: `no reply from 127.0.0.1:${gone.port} for 300 ms; whether the 2 commands of this page were executed is unknown`,
      })
    } finally {
      process.kill(gone.pid, 'SIGCONT')
    }
    await cluster.settled()
  })
})

it('an announced address that cannot be reached is named, with what to do', async () => {
  const probe = createServer().listen(0, '127.0.0.1')
  await new Promise((resolve) => probe.once('listening', resolve))
  const { port } = probe.address() as { port: number }
  await new Promise((resolve) => probe.close(resolve))
  const hidden = await startCluster({
    masters: 1,
    args: ['--cluster-announce-ip', '127.0.0.1', '--cluster-announce-port', `${port}`],
  })
  const store = openStore(
    { url: hidden.urls[0] as string, from: 'test', tls: null },
    { ...timeouts, connectTimeoutMs: 500 },
  )
  try {
    await expect(store.lane()).rejects.toMatchObject({
      code: 'REDIS_UNREACHABLE',
      message: expect.stringMatching(
        `a master that the Cluster of 127\\.0\\.0\\.1:\\d+ announces cannot be used: 127\\.0\\.0\\.1:${port} refuses`,
      ),
      hint: expect.stringContaining('cluster-announce-ip'),
    })
  } finally {
    await store.close()
    await hidden.stop()
  }
})

it('a user who may not ask where keys are is told which right it takes', async () => {
  for (const node of cluster.nodes) await node.call('ACL', 'SETUSER', 'small', 'on', '>pw', '~*', '+get', '+ping')
  const [node] = cluster.masters as [ClusterNode]
  const store = open(`redis://small:pw@127.0.0.1:${node.port}`)
  const foreign = ['a', 'b', 'c', 'd', 'e', 'f'].find((key) => slotOf(key) > 11_000) as string
  await expect(store.call('GET', foreign)).rejects.toMatchObject({ hint: expect.stringContaining('+cluster|slots') })
})
