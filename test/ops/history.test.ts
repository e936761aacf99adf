import { afterAll, beforeAll, beforeEach, describe, expect, it } from 'vitest'
import { openStore } from '../../src/adapters/redis/store.ts'
import type { OperationContext } from '../../src/ops/context.ts'
import { follow, type HistoryOptions, history } from '../../src/ops/history.ts'
import { beginJournal } from '../../src/ops/journal.ts'
import type { HistoryEntry } from '../../src/ops/journal-read.ts'
import type { ProgressEvent, Store } from '../../src/ports.ts'
import { startRedis, type TestRedis } from '../servers.ts'
import { contextOf, openTestStore, testConfig } from './fixture.ts'

let redis: TestRedis
let store: Store

beforeAll(async () => {
  redis = await startRedis()
  store = openTestStore(redis)
})
afterAll(async () => {
  await store.close()
  await redis.stop()
})
beforeEach(async () => void (await redis.call('FLUSHALL')))

const ALL: HistoryOptions = { limit: 50, since: null, verb: null, target: null }
const here = (more: Partial<OperationContext> = {}) => contextOf(store, { config: testConfig(redis.url), ...more })

async function did(verb: string, what: string[] = ['product'], ok = true): Promise<void> {
  const run = await beginJournal(here(), { verb, what, frees: true })
  await run.end({ ok, complete: ok, exitCode: ok ? 0 : 3, counts: { deleted: 1 } })
}

describe('history', () => {
  it('is of the verb or all under it, of a part of a target, and of a time', async () => {
    await did('warm')
    await did('version bump', ['namespace:list'])
    await did('version prune', ['all'])
    const verbs = async (more: Partial<HistoryOptions>) =>
      (await history(here(), { ...ALL, ...more })).entries.map(({ verb }) => verb)
    expect(await verbs({})).toEqual(['version prune', 'version bump', 'warm'])
    expect(await verbs({ verb: 'version' })).toEqual(['version prune', 'version bump'])
    expect(await verbs({ verb: 'version bump' })).toEqual(['version bump'])
    expect(await verbs({ verb: 'vers' })).toEqual([])
    expect(await verbs({ target: 'list' })).toEqual(['version bump'])
    expect(await verbs({ limit: 1 })).toEqual(['version prune'])
    expect(await verbs({ since: new Date(Date.now() + 60_000).toISOString() })).toEqual([])
  })

  it('needs a config, and says when something is missing', async () => {
    await expect(history(here({ config: null }), ALL)).rejects.toMatchObject({ code: 'CONFIG_NOT_FOUND' })
    await redis.call('SET', 'shop~journal', 'x')
    expect(await history(here(), ALL)).toMatchObject({ ok: false, complete: false, entries: [] })
  })
})

describe('following', () => {
  /** Follows until `wanted` entries have come, and does things meanwhile. */
  async function followed(wanted: number, meanwhile: () => Promise<void>, more: Partial<OperationContext> = {}) {
    const stop = new AbortController()
    const seen: HistoryEntry[] = []
    const events: ProgressEvent[] = []
    const context = here({ signal: stop.signal, emit: (event) => void events.push(event), ...more })
    const { lastId } = await history(context, ALL)
    const done = meanwhile()
    for await (const entry of follow(context, { verb: null, target: null, lastId })) {
      seen.push(entry)
      if (seen.length >= wanted) stop.abort()
    }
    await done
    return { seen, notes: events.flatMap((event) => (event.event === 'note' ? [event.message] : [])) }
  }

  it('tells each run when it begins and when it has ended, and nothing twice', async () => {
    await did('before')
    const { seen } = await followed(4, async () => {
      await did('warm')
      await did('invalidate', ['product'], false)
    })
    expect(seen.map(({ verb, state }) => [verb, state])).toEqual([
      ['warm', 'running'],
      ['warm', 'done'],
      ['invalidate', 'running'],
      ['invalidate', 'failed'],
    ])
  })

  it('misses nothing between what was shown and what is followed', async () => {
    await did('before')
    const { lastId } = await history(here(), ALL)
    await did('between')
    const stop = new AbortController()
    for await (const entry of follow(here({ signal: stop.signal }), { verb: null, target: null, lastId })) {
      expect(entry.verb).toBe('between')
      stop.abort()
    }
    // Who begins with what is new when it connects has missed it.
    expect(await redis.call('XREAD', 'BLOCK', 20, 'STREAMS', 'shop~journal', '$')).toBeNull()
  })

  it('goes on after the connection was lost, with all that was written meanwhile', async () => {
    const kill = async () => {
      // Only the connection that waits: the others are the ones that kill and write.
      const blocked = async () => /^id=(\d+) .*cmd=xread/m.exec(String(await redis.call('CLIENT', 'LIST')))?.[1]
      await expect.poll(blocked, { timeout: 5_000 }).toBeTruthy()
      await redis.call('CLIENT', 'KILL', 'ID', (await blocked()) ?? '')
    }
    const { seen, notes } = await followed(4, async () => {
      await kill()
      await did('first')
      await kill()
      await did('second')
    })
    expect(seen.map(({ verb }) => verb)).toEqual(['first', 'first', 'second', 'second'])
    expect(notes.filter((note) => note.includes('connected again'))).toHaveLength(2)
  })

  it('ends at once when it is stopped while it waits, or while there is no server', async () => {
    const stop = new AbortController()
    const context = here({ signal: stop.signal })
    const waiting = follow(context, { verb: null, target: null, lastId: '0-0' })
    const next = waiting.next()
    const isWaiting = async () => String(await redis.call('CLIENT', 'LIST')).includes('cmd=xread')
    await expect.poll(isWaiting, { timeout: 5_000 }).toBe(true)
    const startedMs = performance.now()
    stop.abort()
    expect((await next).done).toBe(true)
    expect(performance.now() - startedMs).toBeLessThan(250)

    const own = await startRedis()
    const lonely = openStore(
      { url: own.url, from: 'test', tls: null },
      { connectTimeoutMs: 2_000, replyTimeoutMs: 2_000 },
    )
    const again = new AbortController()
    const notes: ProgressEvent[] = []
    const alone = here({ store: lonely, signal: again.signal, emit: (event) => void notes.push(event) })
    const ended = follow(alone, { verb: null, target: null, lastId: '0-0' }).next()
    await expect.poll(async () => String(await own.call('CLIENT', 'LIST')).includes('cmd=xread')).toBe(true)
    await own.stop()
    await expect.poll(() => notes.length, { timeout: 5_000 }).toBeGreaterThan(0)
    again.abort()
    expect((await ended).done).toBe(true)
    await lonely.close()
  })

  it('does not try for ever what cannot be', async () => {
    await redis.call('SET', 'shop~journal', 'x')
    const blind = follow(here(), { verb: null, target: null, lastId: '0-0' })
    await expect(blind.next()).rejects.toThrow(/WRONGTYPE/)
  })
})
