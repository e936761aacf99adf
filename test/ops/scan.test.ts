import { afterAll, beforeAll, describe, expect, it } from 'vitest'
import { openStore } from '../../src/adapters/redis/store.ts'
import { type ScannedPage, scan } from '../../src/ops/scan.ts'
import type { Lane, Reply, Store } from '../../src/ports.ts'
import { startRedis, type TestRedis } from '../servers.ts'

const KEYS = 30_000
const options = { connectTimeoutMs: 2_000, replyTimeoutMs: 5_000 }
const never = new AbortController().signal

describe('scan', () => {
  let server: TestRedis
  let store: Store

  beforeAll(async () => {
    server = await startRedis()
    store = openStore({ url: server.url, from: 'test', tls: null }, options)
    const lane = await ((await store.masters())[0] as { lane(): Promise<Lane> }).lane()
    const page = lane.page()
    for (let i = 0; i < KEYS; i += 1) page.addSet(`k:${i}`, 'v'.repeat(i % 300), i % 4 === 0 ? null : 3_600_000, false)
    for (let i = 0; i < 300; i += 1) page.add('SET', Buffer.from([0xff, i >> 8, i & 0xff, 0x0d, 0x0a, 0x2a]), '')
    page.add('RPUSH', 'list', 1, 2, 3)
    await lane.run(page)
    lane.close()
  })
  afterAll(async () => {
    await store.close()
    await server.stop()
  })

  const all = async (pages: AsyncIterable<ScannedPage>): Promise<Set<string>> => {
    const found = new Set<string>()
    for await (const page of pages) for (const key of page.keys) found.add(key.toString('latin1'))
    return found
  }
  const connections = async (): Promise<number> =>
    String(await server.call('CLIENT', 'LIST', 'TYPE', 'normal'))
      .trim()
      .split('\n').length
  /** The same store, with its lanes seen through `view`. */
  const seenThrough = (view: (lane: Lane) => Lane): Store => ({
    ...store,
    call: (...args) => store.call(...args),
    masters: async () =>
      (await store.masters()).map(({ id, lane }) => ({
        id,
        lane: async (laneOptions) => view(await lane(laneOptions)),
      })),
  })

  it('returns every key, whatever its bytes, and ends', async () => {
    const found = await all(scan(store, { signal: never }))
    expect(found.size).toBe(KEYS + 301)
    for (let i = 0; i < KEYS; i += 1) if (!found.has(`k:${i}`)) expect.fail(`k:${i} is missing`)
    expect(found.has('\xff\x01\x05\r\n*')).toBe(true)
  })

  it('asks about wanted keys only, and gives the answers key by key in their order', async () => {
    let visited = 0
    let asked = 0
    for await (const page of scan(store, {
      signal: never,
      wanted: (key) => key.toString('latin1').endsWith('7'),
      probe: (probes, key) => {
        probes.add('STRLEN', key)
        probes.add('PTTL', key)
      },
    })) {
      visited += page.visited
      expect(page.replies.length).toBe(page.keys.length * 2)
      page.keys.forEach((key, i) => {
        asked++
        const number = Number(key.toString().slice(2))
        expect(page.replies[i * 2]).toBe(number % 300)
        expect((page.replies[i * 2 + 1] as number) > 0).toBe(number % 4 !== 0)
      })
    }
    expect(visited).toBeGreaterThanOrEqual(KEYS + 301)
    expect(asked).toBe(KEYS / 10)
  })

  it('stops at its limit or when aborted, and still gives what it asked by then', async () => {
    const before = await connections()
    for (const stop of ['limit', 'abort'] as const) {
      const aborter = new AbortController()
      let probed = 0
      let given = 0
      const probe = (page: { add(...args: (string | Buffer)[]): void }, key: Buffer): void => {
        probed++
        page.add('PTTL', key)
      }
      for await (const page of scan(store, { signal: aborter.signal, limit: stop === 'limit' ? 5000 : null, probe })) {
        expect(page.replies.length).toBe(page.keys.length)
        given += page.keys.length
        if (stop === 'abort' && given > 3000) aborter.abort()
      }
      expect(given).toBe(probed)
      expect(given).toBeGreaterThan(3000)
      expect(given).toBeLessThan(KEYS / 2)
    }
    for await (const _ of scan(store, { signal: never })) break
    while ((await connections()) > before) await new Promise(setImmediate)
  })

  it('paces itself by the clock of the server: less at once after slow calls, more after quick ones', async () => {
    const countsAt = async (callUs: number): Promise<number[]> => {
      const counts: number[] = []
      const slowed = seenThrough((lane) => slowClock(lane, callUs, (count) => counts.push(count)))
      expect((await all(scan(slowed, { signal: never }))).size).toBe(KEYS + 301)
      return counts
    }
    expect((await countsAt(10_000)).slice(0, 6)).toEqual([250, 125, 62, 31, 16, 16])
    expect((await countsAt(300)).slice(0, 4)).toEqual([250, 500, 1000, 1000])
    expect(new Set(await countsAt(1500))).toEqual(new Set([250]))
  })

  it('is calm where it is told so: shorter calls, and three times as long as they take the server is left alone', async () => {
    const counts: number[] = []
    const slowed = seenThrough((lane) => slowClock(lane, 3_000, (count) => counts.push(count)))
    const startedMs = performance.now()
    expect((await all(scan(slowed, { signal: AbortSignal.timeout(300), calm: true }))).size).toBeGreaterThan(0)
    const tookMs = performance.now() - startedMs
    expect(counts.slice(0, 6)).toEqual([250, 125, 62, 31, 16, 16])
    expect(counts.length).toBeLessThanOrEqual(tookMs / 9 + 2)
  })

  it('works without the right to TIME, and names a right that it needs', async () => {
    await server.call('ACL', 'SETUSER', 'timeless', 'on', '>pw', '~*', '+@all', '-time')
    await server.call('ACL', 'SETUSER', 'blind', 'on', '>pw', '~*', '+@all', '-scan')
    const as = (user: string): Store =>
      openStore({ url: `${server.url.replace('unix:', `unix://${user}:pw@`)}`, from: 'test', tls: null }, options)
    const timeless = as('timeless')
    const pages: ScannedPage[] = []
    for await (const page of scan(timeless, { signal: never })) pages.push(page)
    expect(pages.reduce((sum, page) => sum + page.visited, 0)).toBeGreaterThanOrEqual(KEYS + 301)
    expect(new Set(pages.map((page) => page.callMs))).toEqual(new Set([null]))
    await timeless.close()
    const blind = as('blind')
    await expect(all(scan(blind, { signal: never }))).rejects.toMatchObject({ code: 'REDIS_ACL' })
    await blind.close()
  })

  it('throws when the connection is lost in the middle', async () => {
    const walk = async (): Promise<void> => {
      for await (const _ of scan(store, { signal: never, probe: (page, key) => page.add('PTTL', key) })) {
        await server.call('CLIENT', 'KILL', 'TYPE', 'normal')
      }
    }
    await expect(walk()).rejects.toMatchObject({ code: 'REDIS_UNREACHABLE' })
  })
})

/** The same lane to a server whose every SCAN takes `callUs` by its clock. */
function slowClock(lane: Lane, callUs: number, onCount: (count: number) => void): Lane {
  return {
    noTouch: lane.noTouch,
    get closed() {
      return lane.closed
    },
    close: () => lane.close(),
    page() {
      const page = lane.page()
      const add = page.add.bind(page)
      page.add = (...args) => {
        if (args[0] === 'SCAN') onCount(Number(args[3]))
        add(...args)
      }
      return page
    },
    async run(page) {
      const replies = await lane.run(page)
      if (page.length !== 3) return replies
      return [['100', '0'], replies[1] as Reply, ['100', String(callUs)]]
    },
  }
}
