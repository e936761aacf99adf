import { afterAll, beforeAll, beforeEach, describe, expect, it } from 'vitest'
import { MOST_GROUPS } from '../../src/cache/counted-groups.ts'
import {
  COUNTERS_TTL_SECONDS,
  type CounterDelta,
  type CountersOptions,
  counterCommands,
  createCounters,
  type FlushedCounters,
} from '../../src/cache/counters.ts'
import { countersKey } from '../../src/core/key.ts'
import type { Lane, Store } from '../../src/ports.ts'
import { openTestStore } from '../ops/fixture.ts'
import { randomFromSeed, seed } from '../seed.ts'
import { startRedis, type TestRedis } from '../servers.ts'

const MINUTE_MS = 60_000
const city = (tenant: string | null = null) => ({ namespace: 'detail', subject: 'city', tenant })

/** Counters with a clock of their own, no timer, and what they flushed. */
function counting(more: Partial<CountersOptions> = {}) {
  const clock = { ms: 5 * MINUTE_MS, now: () => clock.ms }
  const flushed: { minute: number; deltas: readonly CounterDelta[] }[] = []
  const errors: unknown[] = []
  const counters = createCounters({
    flush: async (minute, deltas) => {
      flushed.push({ minute, deltas })
      return true
    },
    clock,
    onError: (error) => errors.push(error),
    intervalMs: 2 ** 30,
    ...more,
  })
  const sums = (): Record<string, number> => {
    const all: Record<string, number> = {}
    for (const { deltas } of flushed) for (const { field, by } of deltas) all[field] = (all[field] ?? 0) + by
    return all
  }
  return { clock, counters, errors, flushed, sums }
}

describe('counters', () => {
  it('give what was counted since the last flush, by group, and nothing twice', async () => {
    const { counters, flushed, sums } = counting()
    counters.count('l1', city())
    counters.count('l1', city())
    counters.count('miss', city('7'))
    counters.count('load', city('7'), 1, 12.3456)
    counters.count('set', { namespace: 'list', subject: '@fn.a b', tenant: null }, 3)
    await counters.flush()
    await counters.flush()
    expect(flushed).toHaveLength(1)
    expect(sums()).toEqual({
      'detail:city::l1': 2,
      'detail:city:7:miss': 1,
      'detail:city:7:load': 1,
      'detail:city:7:us': 12_346,
      'list:@fn.a%20b::set': 3,
    })
    counters.count('l1', city())
    await counters.close()
    await counters.close()
    expect(flushed).toHaveLength(2)
    expect(sums()['detail:city::l1']).toBe(3)
  })

  it('count for who holds a group as for who names it, over flushes and minutes', async () => {
    const { clock, counters, flushed, sums } = counting()
    const held = counters.group(city())
    for (let round = 0; round < 5; round++) {
      held.count('l1')
      held.count('load', 1, 2)
      counters.count('l1', city())
      await counters.flush()
      clock.ms += 20_000
    }
    expect(flushed.map(({ minute }) => minute)).toEqual([5, 5, 5, 6, 6])
    expect(sums()).toEqual({ 'detail:city::l1': 10, 'detail:city::load': 5, 'detail:city::us': 10_000 })
  })

  it('keep what was not sent, and drop what nobody knows the fate of', async () => {
    let outcome: 'sent' | 'not sent' | 'unknown' = 'not sent'
    const got: CounterDelta[] = []
    const { clock, counters, errors } = counting({
      flush: async (_, deltas) => {
        if (outcome === 'unknown') throw new Error('no answer')
        if (outcome === 'not sent') return false
        got.push(...deltas)
        return true
      },
    })
    counters.count('miss', city())
    for (let i = 0; i < 200; i++) {
      await counters.flush()
      clock.ms += 10_000
    }
    counters.count('miss', city())
    outcome = 'sent'
    await counters.flush()
    expect(got).toEqual([{ field: 'detail:city::miss', by: 2 }])
    counters.count('miss', city())
    outcome = 'unknown'
    await counters.flush()
    outcome = 'sent'
    await counters.flush()
    expect(got).toHaveLength(1)
    expect(errors).toEqual([new Error('no answer')])
  })

  /** Counts while flushes are under way and some are refused; what was written and what should have been. */
  const underWay = async (create: (options: CountersOptions) => Pick<FlushedCounters, 'count' | 'flush'>) => {
    const random = randomFromSeed(seed)
    const got: Record<string, number> = {}
    const truth: Record<string, number> = {}
    const clock = { ms: 5 * MINUTE_MS, now: () => clock.ms }
    const counters = create({
      clock,
      onError: (error) => expect.fail(String(error)),
      intervalMs: 2 ** 30,
      flush: async (_, deltas) => {
        await new Promise((resolve) => setImmediate(resolve))
        if (random() < 0.4) return false
        for (const { field, by } of deltas) got[field] = (got[field] ?? 0) + by
        return true
      },
    })
    const flushes: Promise<void>[] = []
    for (let i = 0; i < 30_000; i++) {
      const tenant = `t${Math.floor(random() * 300)}`
      counters.count('l2', city(tenant))
      truth[`detail:city:${tenant}:l2`] = (truth[`detail:city:${tenant}:l2`] ?? 0) + 1
      if (i % 100 === 0) flushes.push(counters.flush())
      if (i % 150 === 0) await new Promise((resolve) => setImmediate(resolve))
      clock.ms += 20
    }
    await Promise.all(flushes)
    for (let i = 0; i < 100; i++) await counters.flush()
    return { got, truth }
  }

  it(`lose and double nothing over flushes that are refused at random (seed ${seed})`, async () => {
    const { got, truth } = await underWay(createCounters)
    expect(got).toEqual(truth)
  })

  it.each(['forgets what was counted while it waited', 'counts on what it has sent'])(
    'mutant: a flush that %s is caught',
    async (mistake) => {
      const { got, truth } = await underWay((options) => {
        let counts = new Map<string, number>()
        return {
          count: (event, { namespace, subject, tenant }) => {
            const field = `${namespace}:${subject}:${tenant}:${event}`
            counts.set(field, (counts.get(field) ?? 0) + 1)
          },
          async flush() {
            const sent = [...counts].map(([field, by]) => ({ field, by }))
            const accepted = await options.flush(0, sent)
            if (accepted && mistake.startsWith('forgets')) counts = new Map()
          },
        }
      })
      expect(got).not.toEqual(truth)
    },
  )

  it('sum what is too much to tell apart: first tenants, then subjects; no count is lost', async () => {
    const { counters, flushed, sums } = counting()
    for (let i = 0; i < 3 * MOST_GROUPS; i++) counters.count('l1', city(`t${i}`))
    for (let i = 0; i < 3 * MOST_GROUPS; i++)
      counters.count('l1', { namespace: 'list', subject: `s${i}`, tenant: null })
    const held = counters.group(city('late'))
    held.count('l1')
    await counters.flush()
    const counted = sums()
    expect(counted['detail:city:*:l1']).toBe(2 * MOST_GROUPS + 1)
    // One of the sums by subject is that of the city.
    expect(counted['list:*:*:l1']).toBe(2 * MOST_GROUPS + 1)
    expect(Object.values(counted).reduce((a, b) => a + b)).toBe(6 * MOST_GROUPS + 1)
    expect(Object.keys(counted).length).toBe(2 * MOST_GROUPS + 1)
    expect(Math.max(...flushed.map(({ deltas }) => deltas.length))).toBe(500)
  })

  it('tell groups apart again in the next minute', async () => {
    const { clock, counters, flushed } = counting()
    for (let i = 0; i < MOST_GROUPS; i++) counters.count('l1', city(`t${i}`))
    counters.count('l1', city('late'))
    clock.ms += MINUTE_MS
    await counters.flush()
    counters.count('l1', city('late'))
    await counters.flush()
    expect(flushed.at(-1)?.deltas).toEqual([{ field: 'detail:city:late:l1', by: 1 }])
  })

  it('never throw into a read, whatever the names are', async () => {
    const { counters, sums } = counting()
    counters.count('miss', { namespace: 'detail', subject: '', tenant: null })
    counters.count('miss', { namespace: 'detail', subject: 'a', tenant: '\udc00' })
    counters.count('miss', { namespace: '', subject: '', tenant: '' })
    counters.count('miss', city(), Number.NaN)
    counters.group({ namespace: '', subject: '', tenant: '' }).count('load', 1, Number.POSITIVE_INFINITY)
    counters.count('load', city('x'), 1, Number.NaN)
    await counters.flush()
    expect(sums()).toEqual({ 'detail:*:*:miss': 1, 'detail:a:*:miss': 1, 'detail:city:x:load': 1 })
  })

  it('flush by themselves, and stop when they are closed', async () => {
    let flushes = 0
    const { counters } = counting({
      intervalMs: 5,
      flush: async () => {
        flushes++
        return false
      },
    })
    counters.count('l1', city())
    await expect.poll(() => flushes).toBeGreaterThan(1)
    await counters.close()
    const after = flushes
    await new Promise((resolve) => setTimeout(resolve, 50))
    expect(flushes).toBe(after)
  })

  it('outlive a listener that throws, and a flush that throws at once', async () => {
    const { counters } = counting({
      flush: () => {
        throw new Error('at once')
      },
      onError: () => {
        throw new Error('listener')
      },
    })
    counters.count('l1', city())
    await counters.flush()
    await counters.close()
  })
})

describe('counters in Redis', () => {
  let server: TestRedis
  let store: Store
  let lane: Lane
  const opened: FlushedCounters[] = []
  beforeAll(async () => {
    server = await startRedis()
    store = openTestStore(server)
    const [master] = await store.masters()
    lane = await (master as NonNullable<typeof master>).lane()
  })
  beforeEach(() => server.call('FLUSHALL'))
  afterAll(async () => {
    await Promise.all(opened.map((counters) => counters.close()))
    await store.close()
    await server.stop()
  })

  const flush = async (minute: number, deltas: readonly CounterDelta[]): Promise<boolean> => {
    const page = lane.page()
    for (const command of counterCommands('shop', minute, deltas)) page.add(...command)
    await lane.run(page)
    return true
  }

  it('are summed over processes, and go after two hours', async () => {
    const minute = 29_000_000
    const processes = Array.from({ length: 3 }, () =>
      createCounters({ flush, clock: { now: () => minute * MINUTE_MS }, onError: () => {}, intervalMs: 2 ** 30 }),
    )
    opened.push(...processes)
    for (const counters of processes) {
      for (let i = 0; i < 1500; i++) counters.count('l1', city(`t${i % 300}`))
      counters.count('load', city(), 1, 1.5)
    }
    await Promise.all(processes.map((counters) => counters.flush()))
    const key = countersKey('shop', minute)
    expect(Number(await server.call('HGET', key, 'detail:city:t299:l1'))).toBe(15)
    expect(Number(await server.call('HGET', key, 'detail:city::us'))).toBe(4500)
    expect(Number(await server.call('HLEN', key))).toBe(302)
    const ttl = Number(await server.call('TTL', key))
    expect(ttl).toBeGreaterThan(COUNTERS_TTL_SECONDS - 60)
    expect(ttl).toBeLessThanOrEqual(COUNTERS_TTL_SECONDS)
  })

  it('have a TTL as soon as they are there', () => {
    const commands = counterCommands('shop', 7, [
      { field: 'a:b::l1', by: 1 },
      { field: 'a:b::l2', by: 2 },
    ])
    expect(commands).toEqual([
      ['HINCRBY', 'shop~counters:7', 'a:b::l1', 1],
      ['EXPIRE', 'shop~counters:7', COUNTERS_TTL_SECONDS],
      ['HINCRBY', 'shop~counters:7', 'a:b::l2', 2],
    ])
    expect(counterCommands('shop', 7, [])).toEqual([])
  })
})
