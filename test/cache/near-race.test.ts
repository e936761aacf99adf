// L1 in several processes while entries change all the time: none may give an old value after its invalidation was acknowledged, nor after its trust
// has lapsed. The naive variants stay here as mutants that must be caught.
import { setTimeout as sleep } from 'node:timers/promises'
import { afterEach, beforeEach, describe, expect, it, vi } from 'vitest'
import { processesKey } from '../../src/core/key.ts'
import { randomFromSeed, seed } from '../seed.ts'
import { startRedis, type TestRedis } from '../servers.ts'
import { type NearProcess, startProcess } from './near-processes.ts'
import { keyOf, type NearReader, openReader, type ReaderOptions } from './near-reader.ts'

const HEARTBEAT_MS = 400
/** Two clocks of one machine, and a read that was asked for a moment before it looked. */
const TOLERANCE_MS = 40
const SOON = { timeout: 20_000, interval: 5 }
const NOTHING = { keys: [], stamps: [], bumped: false, pattern: null }
const NAMES = Array.from({ length: 20 }, (_, index) => `n${index}`)
const PROOF = Number(process.env.PROOF ?? 1)

let redis: TestRedis
let announcer: NearReader
let processes: NearProcess[]

beforeEach(async () => {
  redis = await startRedis()
  announcer = await openReader(redis.url, { heartbeatMs: HEARTBEAT_MS })
  processes = []
})
afterEach(async () => {
  for (const child of processes) await child.kill()
  await announcer.close()
  await redis.stop()
})

async function start(count: number, options: ReaderOptions = {}): Promise<NearProcess[]> {
  const started = await Promise.all(
    Array.from({ length: count }, () => startProcess(redis.url, { heartbeatMs: HEARTBEAT_MS, ...options })),
  )
  processes.push(...started)
  for (const child of started) await vi.waitFor(async () => expect(await child.trusted()).toBe(true), SOON)
  return started
}

/** Until the hash of processes is older than a heartbeat, nobody knows who is missing in it. */
const settled = () => vi.waitFor(async () => expect((await announcer.near.announce(NOTHING)).lapsed).toBe(false), SOON)

/** Two processes read all the time; each change is announced, and then read in both. Gives how many of these reads were old. */
async function staleAfterAnnouncement(
  options: ReaderOptions,
  trials: number,
): Promise<{ stale: number; fromL1: number }> {
  const random = randomFromSeed(seed)
  await redis.call('MSET', ...NAMES.flatMap((name) => [keyOf(name), '0']))
  const readers = await start(2, { pauseMs: 2, ...options })
  await settled()
  for (const reader of readers) await reader.spin(NAMES, 20)
  let stale = 0
  for (let version = 1; version <= trials; version++) {
    const name = NAMES[Math.floor(random() * NAMES.length)] as string
    // The first write makes all of them read anew, and the second one comes while they do.
    await redis.call('SET', keyOf(name), String(version - 0.5))
    await sleep(random() * 4)
    await redis.call('SET', keyOf(name), String(version))
    await announcer.near.announce({ ...NOTHING, keys: [keyOf(name)] })
    // what is being kept at this moment is found a moment later
    for (let look = 0; look < 2; look++) {
      const seen = await Promise.all(readers.map((reader) => reader.read(name)))
      stale += seen.filter(([first]) => Number(first?.value) < version).length
    }
  }
  const histories = await Promise.all(readers.map((reader) => reader.history()))
  return { stale, fromL1: Math.min(...histories.map((history) => history.fromL1)) }
}

/** A process reads all the time, other clients write, and its connections are cut. Gives how many values were given too late. */
async function staleAfterCuts(
  options: ReaderOptions,
  writes: number,
): Promise<{ late: number; fromL1: number; cuts: number }> {
  const random = randomFromSeed(seed)
  await redis.call('MSET', ...NAMES.flatMap((name) => [keyOf(name), '0']))
  const [reader] = (await start(1, options)) as [NearProcess]
  await reader.spin(NAMES, 5)
  /** when each value of each name was replaced */
  const replaced = new Map<string, number>()
  const values = new Map(NAMES.map((name) => [name, 0]))
  let cuts = 0
  let version = 0
  const replace = async (name: string) => {
    await redis.call('SET', keyOf(name), String(++version))
    replaced.set(`${name} ${values.get(name)}`, Date.now())
    values.set(name, version)
  }
  for (let write = 1; write <= writes; write++) {
    await replace(NAMES[Math.floor(random() * NAMES.length)] as string)
    if (write % 50 === 0) {
      cuts += Number(
        await redis.call('CLIENT', 'KILL', 'TYPE', write % 200 === 0 ? 'normal' : 'pubsub', 'SKIPME', 'yes'),
      )
      // what is written before anybody is there again is heard by nobody
      for (const name of NAMES.slice(0, 5)) await replace(name)
      await sleep(60)
    } else await sleep(random() * 3)
  }
  await sleep(HEARTBEAT_MS * 1.5)
  const { last, fromL1 } = await reader.history()
  let late = 0
  for (const [name, given] of Object.entries(last)) {
    for (const [value, lastAt] of Object.entries(given)) {
      const replacedAt = replaced.get(`${name} ${value}`)
      if (replacedAt !== undefined && lastAt > replacedAt + HEARTBEAT_MS + TOLERANCE_MS) late++
    }
  }
  return { late, fromL1, cuts }
}

describe(`what two processes give after an acknowledged invalidation (seed ${seed})`, () => {
  it('is never older', async () => {
    const { stale, fromL1 } = await staleAfterAnnouncement({}, 60 * PROOF)
    expect(fromL1).toBeGreaterThan(100)
    expect(stale).toBe(0)
  })

  it('is caught where a read is kept that was under way', async () => {
    const { stale } = await staleAfterAnnouncement({ mutant: 'late expect' }, 60)
    expect(stale).toBeGreaterThan(0)
  })
})

describe(`what a process gives while its connections are cut (seed ${seed})`, () => {
  it('is never older than a heartbeat', async () => {
    const { late, fromL1, cuts } = await staleAfterCuts({}, 1_000 * PROOF)
    expect(cuts).toBeGreaterThanOrEqual(15)
    expect(fromL1).toBeGreaterThan(100)
    expect(late).toBe(0)
  })

  it('is caught where copies outlive the connection', async () => {
    const { late } = await staleAfterCuts({ mutant: 'no clear' }, 1_000)
    expect(late).toBeGreaterThan(0)
  })
})

describe('acknowledgements', () => {
  it('are those of every process, which has dropped its copies by then', async () => {
    const readers = await start(3)
    await settled()
    await redis.call('SET', keyOf('a'), '1')
    for (const reader of readers)
      await vi.waitFor(async () => expect((await reader.read('a'))[0]?.tier).toBe('l1'), SOON)
    const began = performance.now()
    const told = await announcer.near.announce({ ...NOTHING, keys: [keyOf('a')] })
    expect(told).toEqual({ processes: 4, of: 4, lapsed: false })
    expect(performance.now() - began).toBeLessThan(HEARTBEAT_MS)
    // nothing has changed in Redis: only the announcement can have dropped it
    for (const reader of readers) expect((await reader.read('a'))[0]?.tier).toBe('l2')
  })

  it('of a process that is stopped are waited for until its copies have lapsed', async () => {
    const readers = await start(3)
    await settled()
    await redis.call('SET', keyOf('a'), '1')
    const [stopped] = readers as [NearProcess]
    await vi.waitFor(async () => expect((await stopped.read('a'))[0]?.tier).toBe('l1'), SOON)
    process.kill(stopped.pid, 'SIGSTOP')
    const began = performance.now()
    try {
      await redis.call('SET', keyOf('a'), '2')
      const told = await announcer.near.announce({ ...NOTHING, keys: [keyOf('a')] })
      expect(told).toEqual({ processes: 3, of: 4, lapsed: true })
      expect(performance.now() - began).toBeGreaterThanOrEqual(HEARTBEAT_MS)
    } finally {
      process.kill(stopped.pid, 'SIGCONT')
    }
    expect((await stopped.read('a'))[0]).toEqual({ tier: 'l2', value: '2' })
  })

  it('of a process that was killed are waited for no longer than three heartbeats; of one that was closed not at all', async () => {
    const [killed, closed] = (await start(2)) as [NearProcess, NearProcess]
    await settled()
    await closed.close()
    expect(await announcer.near.announce(NOTHING)).toEqual({ processes: 2, of: 2, lapsed: false })
    await killed.kill()
    expect(await announcer.near.announce(NOTHING)).toEqual({ processes: 1, of: 2, lapsed: true })
    await vi.waitFor(
      async () => expect(await announcer.near.announce(NOTHING)).toEqual({ processes: 1, of: 1, lapsed: false }),
      SOON,
    )
    await vi.waitFor(async () => expect(await redis.call('HLEN', processesKey('shop'))).toBe(2), SOON)
  })

  it('are not taken for all of them where the hash of processes was lost', async () => {
    await start(1)
    await settled()
    await redis.call('DEL', processesKey('shop'))
    expect((await announcer.near.announce(NOTHING)).lapsed).toBe(true)
    await settled()
    await redis.call('FLUSHALL')
    expect((await announcer.near.announce(NOTHING)).lapsed).toBe(true)
  })

  it('are not waited for where no process holds anything', async () => {
    const [other] = [await openReader(redis.url, { l1: null })]
    await announcer.close()
    await redis.call('FLUSHALL')
    expect(await other.near.announce(NOTHING)).toEqual({ processes: 0, of: 0, lapsed: false })
    // a process without L1 asks those that have it
    const [reader] = (await start(1)) as [NearProcess]
    await vi.waitFor(
      async () => expect(await other.near.announce(NOTHING)).toEqual({ processes: 1, of: 1, lapsed: false }),
      SOON,
    )
    await reader.close()
    await other.close()
    announcer = await openReader(redis.url, { l1: null })
  })

  it('are of each of many announcements at once', async () => {
    await start(1)
    await settled()
    const told = await Promise.all(
      Array.from({ length: 300 }, (_, index) => announcer.near.announce({ ...NOTHING, keys: [keyOf(`k${index}`)] })),
    )
    expect(told.every(({ processes: count, of, lapsed }) => count === 2 && of === 2 && !lapsed)).toBe(true)
    const many = Array.from({ length: 50_000 }, (_, index) => keyOf(`k${index}`))
    expect(await announcer.near.announce({ ...NOTHING, keys: many })).toEqual({ processes: 2, of: 2, lapsed: false })
  })
})
