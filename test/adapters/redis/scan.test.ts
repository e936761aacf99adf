import { afterAll, beforeAll, describe, expect, it } from 'vitest'
import { type ScanPage, scanKeys, scanWith } from '../../../src/adapters/redis/scan.ts'
import { openStore } from '../../../src/adapters/redis/store.ts'
import type { Lane, Master, Store } from '../../../src/ports.ts'
import { startRedis, type TestRedis } from '../../servers.ts'

const KEYS = 30_000
const options = { connectTimeoutMs: 2_000, replyTimeoutMs: 5_000 }

describe('scan', () => {
  let server: TestRedis
  let store: Store
  let master: Master

  beforeAll(async () => {
    server = await startRedis()
    store = openStore({ url: server.url, from: 'test', tls: null }, options)
    master = (await store.masters())[0] as Master
    const lane = await master.lane()
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

  const all = async (scan: AsyncIterable<readonly Buffer[]>): Promise<Set<string>> => {
    const found = new Set<string>()
    for await (const keys of scan) for (const key of keys) found.add(key.toString('latin1'))
    return found
  }
  /** Lanes of this store that the server has, beside the shared connection and the one that asks. */
  const connections = async (): Promise<number> =>
    String(await server.call('CLIENT', 'LIST', 'TYPE', 'normal'))
      .trim()
      .split('\n').length

  it('returns every key, whatever its bytes, and ends', async () => {
    const found = await all(scanKeys(master))
    expect(found.size).toBe(KEYS + 301)
    for (let i = 0; i < KEYS; i += 1) if (!found.has(`k:${i}`)) expect.fail(`k:${i} is missing`)
    expect(found.has('\xff\x01\x05\r\n*')).toBe(true)
  })

  it('leaves matching by pattern and type to the server, and passes over pages without keys', async () => {
    const pages: ScanPage[] = []
    expect(await all(scanKeys(master, { match: 'k:12?', onPage: (page) => pages.push(page) }))).toEqual(
      new Set(['k:120', 'k:121', 'k:122', 'k:123', 'k:124', 'k:125', 'k:126', 'k:127', 'k:128', 'k:129']),
    )
    expect(pages.some((page) => page.keys.length === 0)).toBe(true)
    expect(await all(scanKeys(master, { type: 'list' }))).toEqual(new Set(['list']))
    for await (const keys of scanKeys(master, { match: 'none*' })) expect.fail(`a page of ${keys.length}`)
  })

  it('paces itself by the clock of the server: half as much after a slow call, twice as much after a quick one', async () => {
    for (const count of [64, 40_000]) {
      const counts: number[] = []
      const callsMs: number[] = []
      const watched: Master = {
        id: 'watched',
        lane: async () => watchScans(await master.lane(), (asked) => counts.push(Number(asked))),
      }
      await all(scanKeys(watched, { count, onPage: ({ callMs }) => callsMs.push(callMs as number) }))
      expect(counts[0]).toBe(count / 4)
      counts.slice(1).forEach((next, index) => {
        const [asked, callMs] = [counts[index] as number, callsMs[index] as number]
        if (callMs > 2.5) expect(next).toBe(asked / 2)
        else if (callMs < 0.75) expect(next).toBe(Math.min(asked * 2, count * 4))
        else expect(next).toBe(asked)
      })
      // 10,000 keys at once hold any server up for longer, 16 keys none.
      expect(counts[1]).toBe(count === 64 ? 32 : 5_000)
    }
  })

  it('gives probes and their replies page by page, in order, while the next page is under way', async () => {
    let keysWithTtl = 0
    const found = new Set<string>()
    const summary = await scanWith(
      master,
      (page, keys) => {
        for (const key of keys) {
          page.add('MEMORY', 'USAGE', key)
          page.add('PTTL', key)
          page.add('STRLEN', key)
        }
      },
      async (keys, replies) => {
        expect(replies.length).toBe(keys.length * 3)
        await new Promise(setImmediate)
        keys.forEach((key, index) => {
          const [bytes, ttlMs, length] = replies.slice(index * 3, index * 3 + 3)
          found.add(key.toString('latin1'))
          if ((ttlMs as number) > 0) keysWithTtl += 1
          expect(bytes).toBeGreaterThan(20)
          const number = /^k:(\d+)$/.exec(key.toString('latin1'))?.[1]
          if (number !== undefined && length !== Number(number) % 300) expect.fail(`${number} has ${String(length)}`)
        })
      },
      { count: 500 },
    )
    expect(found.size).toBe(KEYS + 301)
    expect(summary.visited).toBeGreaterThanOrEqual(KEYS + 301)
    expect(summary.calls).toBeGreaterThan(5)
    expect(summary.slowestCallMs).toBeGreaterThanOrEqual(0)
    expect(keysWithTtl).toBeGreaterThanOrEqual((KEYS * 3) / 4)
  })

  it('stops within a page on abort, consumes what was under way, and closes its connection', async () => {
    const before = await connections()
    const stop = new AbortController()
    let probed = 0
    let consumed = 0
    const scan = scanWith(
      master,
      (page, keys) => {
        probed += keys.length
        for (const key of keys) page.add('PTTL', key)
      },
      (keys) => {
        consumed += keys.length
        if (consumed > 3_000) stop.abort(new Error('enough'))
      },
      { signal: stop.signal, count: 400 },
    )
    await expect(scan).rejects.toThrow('enough')
    expect(consumed).toBe(probed)
    expect(consumed).toBeLessThan(KEYS / 2)

    const early = new AbortController()
    const keys = scanKeys(master, { signal: early.signal })
    await keys.next()
    early.abort(new Error('no more'))
    await expect(keys.next()).rejects.toThrow('no more')
    for await (const _ of scanKeys(master, { count: 100 })) break
    await expect(
      scanWith(
        master,
        () => {},
        () => Promise.reject(new Error('mine')),
      ),
    ).rejects.toThrow('mine')
    while ((await connections()) > before) await new Promise(setImmediate)
  })

  it('works without the right to TIME, and names a right that it needs', async () => {
    await server.call('ACL', 'SETUSER', 'timeless', 'on', '>pw', '~*', '+@all', '-time')
    await server.call('ACL', 'SETUSER', 'blind', 'on', '>pw', '~*', '+@all', '-scan')
    const as = (user: string): Store =>
      openStore({ url: `${server.url.replace('unix:', `unix://${user}:pw@`)}`, from: 'test', tls: null }, options)
    const timeless = as('timeless')
    const pages: ScanPage[] = []
    const [first] = await timeless.masters()
    expect((await all(scanKeys(first as Master, { onPage: (page) => pages.push(page) }))).size).toBe(KEYS + 301)
    expect(new Set(pages.map((page) => page.callMs))).toEqual(new Set([null]))
    await timeless.close()
    const blind = as('blind')
    const [other] = await blind.masters()
    await expect(all(scanKeys(other as Master))).rejects.toMatchObject({ code: 'REDIS_ACL' })
    await expect(
      scanWith(
        other as Master,
        () => {},
        () => {},
      ),
    ).rejects.toMatchObject({ code: 'REDIS_ACL' })
    await blind.close()
  })

  it('throws when the connection is lost in the middle', async () => {
    const scan = scanWith(
      master,
      (page, keys) => {
        for (const key of keys) page.add('PTTL', key)
      },
      async () => {
        await server.call('CLIENT', 'KILL', 'TYPE', 'normal')
      },
      { count: 200 },
    )
    await expect(scan).rejects.toMatchObject({ code: 'REDIS_UNREACHABLE' })
  })
})

/** The same lane, with the COUNT of each SCAN told. */
function watchScans(lane: Lane, onCount: (count: string) => void): Lane {
  const page = lane.page.bind(lane)
  lane.page = () => {
    const made = page()
    const add = made.add.bind(made)
    made.add = (...args) => {
      if (args[0] === 'SCAN') onCount(String(args[3]))
      add(...args)
    }
    return made
  }
  return lane
}
