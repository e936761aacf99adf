import { afterAll, beforeAll, beforeEach, describe, expect, it } from 'vitest'
import { openControl } from '../../../src/adapters/redis/control.ts'
import { openStore } from '../../../src/adapters/redis/store.ts'
import type { BulkLane, BulkWrite, Control, Store } from '../../../src/ports.ts'
import { invalidateEntries } from '../../other-program.ts'
import { startRedis, type TestRedis } from '../../servers.ts'
import { startClusterAsOne } from '../../topologies.ts'

let redis: TestRedis
let store: Store
let control: Control
let lane: BulkLane

const KEY = 'shop:v1:detail:city:1'
const write = (key: string, value: string, replace = false): BulkWrite => ({
  key,
  value,
  sizeBytes: Buffer.byteLength(value),
  ttlMs: 60_000,
  replace,
})

/** The lane of which kind, and whether it has WATCH. */
const LANES = { auto: true, plain: true, Cluster: false }

for (const [name, watches] of Object.entries(LANES)) {
  describe(`guarded bulk writes over the ${name} lane`, () => {
    beforeAll(async () => {
      redis = await (watches ? startRedis() : startClusterAsOne())
      const channel = name === 'plain' ? 'plain' : 'auto'
      store = openStore(
        { url: redis.url, from: 'the test', tls: null },
        { connectTimeoutMs: 5_000, replyTimeoutMs: 5_000, channel },
      )
      control = openControl(store, 'shop')
      lane = await control.bulk()
    })
    afterAll(async () => {
      await store.close()
      await redis.stop()
    })
    beforeEach(async () => {
      await redis.call('FLUSHALL')
      await control.read()
    })

    it('writes what is absent, with its TTL, and leaves what is present', async () => {
      await redis.call('SET', KEY, 'theirs')
      await lane.capture(['city'])
      expect(await lane.commit([write(KEY, 'ours'), write('shop:v1:detail:city:2', 'ours é')])).toEqual([
        'present',
        'written',
      ])
      expect(await redis.call('GET', KEY)).toBe('theirs')
      expect(await redis.call('GET', 'shop:v1:detail:city:2')).toBe('ours é')
      expect(await redis.call('PTTL', 'shop:v1:detail:city:2')).toBeGreaterThan(50_000)
    })

    it('captures stamps: made once, living as long as the longest that asked, never shorter', async () => {
      const capture = async (ttlMs: number | null) => (await lane.stamps(new Map([['rows:a', ttlMs]]))).get('rows:a')
      const left = () => redis.call('PTTL', 'shop~stamp:rows:a')
      const stamp = await capture(10_000)
      expect(stamp).toMatch(/^[\w-]{16}$/)
      for (const [ttlMs, atLeast] of [
        [20_000.5, 19_000],
        [5_000, 19_000],
        [null, -1],
        [1, -1],
      ] as const) {
        expect(await capture(ttlMs)).toBe(stamp)
        expect(await left()).toBeGreaterThanOrEqual(atLeast)
        if (atLeast === -1) expect(await left()).toBe(-1)
      }
      expect(await lane.readStamps(['rows:a', 'rows:b'])).toEqual(new Map([['rows:a', stamp]]))
      expect(await lane.stamps(new Map())).toEqual(new Map())
      await invalidateEntries(store, 'a', [], ['rows:a', 'lists:a'])
      expect(await lane.readStamps(['rows:a'])).toEqual(new Map())
      expect(await redis.call('GET', 'shop~stamp-log')).toMatch(/^[\w-]{16} rows:a\n[\w-]{16} lists:a\n$/)
      expect(await capture(1)).not.toBe(stamp)
    })

    it('captures stamps under a watch without breaking it', async () => {
      await lane.capture(['city'])
      await lane.stamps(new Map([['rows:country', 1_000]]))
      expect(await lane.commit([write(KEY, 'ours')])).toEqual(['written'])
      await lane.capture(['country', 'city'])
      await invalidateEntries(store, 'country', [], ['rows:country'])
      expect(await lane.stamps(new Map([['rows:country', 1_000]]))).toHaveProperty('size', 1)
      expect(await lane.commit([write(KEY, 'ours')])).toEqual(['refused'])
    })

    const spoilers: [string, () => Promise<unknown>][] = [
      ['an invalidation of any row of the subject', () => invalidateEntries(store, 'city', ['shop:v1:detail:city:99'])],
      ['a bump or wide invalidation', () => redis.call('HSET', 'shop~generations', 'epoch', 'another')],
      ['an evicted fence', () => redis.call('DEL', 'shop~fence:city')],
      ['an evicted control hash', () => redis.call('DEL', 'shop~generations')],
      ['FLUSHALL', () => redis.call('FLUSHALL')],
    ]
    for (const [what, spoil] of spoilers) {
      it(`refuses a page loaded before ${what}`, async () => {
        await lane.capture(['city'])
        await spoil()
        expect(await lane.commit([write(KEY, 'stale')])).toEqual(['refused'])
        expect(await redis.call('EXISTS', KEY)).toBe(0)
      })
    }

    it('accepts a page when another subject is invalidated meanwhile', async () => {
      await lane.capture(['city'])
      await invalidateEntries(store, 'country', ['shop:v1:reference:country:DE'])
      expect(await lane.commit([write(KEY, 'fresh')])).toEqual(['written'])
    })

    it('replaces a watched entry only while nobody else wrote it', async () => {
      await redis.call('SET', KEY, 'old')
      const { headers } = await lane.capture(['city'], [KEY])
      expect(String(headers[0])).toBe('old')
      expect(await lane.commit([write(KEY, 'new', true)])).toEqual(['written'])
      await lane.capture(['city'], [KEY])
      await redis.call('SET', KEY, 'another')
      expect(await lane.commit([write(KEY, 'stale', true)])).toEqual([watches ? 'refused' : 'present'])
      expect(await redis.call('GET', KEY)).toBe('another')
    })

    it('fills a leased row, and refuses it when the row was invalidated after the lease', async () => {
      expect(await lane.lease([KEY, 'shop:v1:detail:city:2'], 'me')).toEqual([true, true])
      const capture = await lane.capture(['city'])
      await invalidateEntries(store, 'city', [KEY])
      const fills = [
        { ...write(KEY, 'stale'), observed: null },
        { ...write('shop:v1:detail:city:2', 'fresh'), observed: null },
      ]
      expect(await lane.fill(fills, 'me', ['city'], capture)).toEqual(['refused', 'written'])
      expect(await redis.call('EXISTS', KEY)).toBe(0)
      expect(await redis.call('KEYS', 'shop~lease*')).toEqual([])
    })

    it('refuses to fill what was loaded before a joined subject or the control data changed', async () => {
      const spoil = [
        () => invalidateEntries(store, 'country', []),
        () => redis.call('HSET', 'shop~generations', 'epoch', 'another'),
        () => redis.call('DEL', 'shop~generations'),
      ]
      for (const change of spoil) {
        await control.read()
        await lane.lease([KEY], 'me')
        const capture = await lane.capture(['city', 'country'])
        await change()
        const fills = [{ ...write(KEY, 'stale'), observed: null }]
        expect(await lane.fill(fills, 'me', ['city', 'country'], capture)).toEqual(['refused'])
        expect(await redis.call('EXISTS', KEY, `shop~lease:{${KEY}}`)).toBe(0)
      }
    })

    it('fills over what was observed and nothing else: an entry, a key of another type, nothing', async () => {
      const fillOver = async (observed: Buffer | null, there: () => Promise<unknown>) => {
        await redis.call('DEL', KEY)
        await there()
        await lane.lease([KEY], 'me')
        return lane.fill([{ ...write(KEY, 'new'), observed }], 'me', ['city'], await lane.capture(['city']))
      }
      expect(await fillOver(Buffer.from('old'), () => redis.call('SET', KEY, 'old entry'))).toEqual(['written'])
      expect(await fillOver(Buffer.from('old'), () => redis.call('SET', KEY, 'newer'))).toEqual(['present'])
      expect(await fillOver(Buffer.alloc(0), () => redis.call('LPUSH', KEY, 'x'))).toEqual(['written'])
      expect(await fillOver(null, () => redis.call('LPUSH', KEY, 'x'))).toEqual(['present'])
      expect(await fillOver(null, async () => undefined)).toEqual(['written'])
    })

    it('does not take a lease that somebody holds, nor give back another one than its own', async () => {
      await redis.call('SET', `shop~lease:{${KEY}}`, 'theirs')
      expect(await lane.lease([KEY], 'me')).toEqual([false])
      await lane.release([KEY], 'me')
      expect(await redis.call('GET', `shop~lease:{${KEY}}`)).toBe('theirs')
    })

    it('leaves to others what they load at this moment, where it has no WATCH', async () => {
      await lane.capture(['city'])
      await redis.call('SET', `shop~lease:{${KEY}}`, 'theirs')
      const outcome = await lane.commit([write(KEY, 'ours'), write('shop:v1:detail:city:2', 'ours')])
      expect(outcome).toEqual([watches ? 'written' : 'leased', 'written'])
      expect(await redis.call('KEYS', 'shop~lease*')).toEqual([`shop~lease:{${KEY}}`])
    })

    it('takes a key of another type for one that is there and is no entry', async () => {
      await redis.call('LPUSH', KEY, 'x')
      const { headers } = await lane.capture(['city'], [KEY])
      expect(headers).toEqual([Buffer.alloc(0)])
    })

    it('says what the server refuses when its memory is full', async () => {
      await lane.capture(['city'])
      await redis.call('CONFIG', 'SET', 'maxmemory', '1mb')
      try {
        await expect(lane.commit([write(KEY, 'x'.repeat(2_000_000))])).rejects.toMatchObject({
          code: 'REDIS_REFUSES_WRITES',
          exitCode: 13,
        })
      } finally {
        await redis.call('CONFIG', 'SET', 'maxmemory', '0')
      }
    })

    it('locks once, tells who holds it, and gives back only its own', async () => {
      const first = await control.lock('warm:city', 'host:1', 30_000)
      expect(first.held).toBe(true)
      const second = await control.lock('warm:city', 'host:2', 30_000)
      expect(second).toMatchObject({ held: false, holder: 'host:1' })
      if (first.held) await first.release()
      expect((await control.lock('warm:city', 'host:2', 30_000)).held).toBe(true)
      if (first.held) await first.release()
      expect(await redis.call('EXISTS', 'shop~lock:warm:city')).toBe(1)
    })

    it('makes one incarnation, however many read at once', async () => {
      await redis.call('FLUSHALL')
      const states = await Promise.all(Array.from({ length: 20 }, () => control.read()))
      expect(new Set(states.map((state) => state.incarnation)).size).toBe(1)
      expect(states[0]?.incarnation).toMatch(/^[\w-]{16}$/)
    })
  })
}
