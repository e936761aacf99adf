// Timestamp validation over a real Redis: an entry is given only while its source has no newer version.
import { afterAll, beforeAll, beforeEach, describe, expect, test } from 'vitest'
import { isCurrent, type SourceVersion, versionText } from '../../src/cache/validation.ts'
import { randomFromSeed, seed } from '../seed.ts'
import { startRedis, type TestRedis } from '../servers.ts'
import { closeSurfaces, openSurfaces } from './open-surfaces.ts'

let redis: TestRedis
beforeAll(async () => {
  redis = await startRedis()
})
afterAll(async () => {
  await closeSurfaces()
  await redis.stop()
})
beforeEach(async () => {
  await closeSurfaces()
  await redis.call('FLUSHALL')
})

describe('versions', () => {
  test.each<[SourceVersion, string | null]>([
    ['2026-02-04T03:29:21.950159Z', '2026-02-04T03:29:21.950159Z'],
    [new Date('2026-02-04T03:29:21.95Z'), '2026-02-04T03:29:21.950Z'],
    [7, '7'],
    [7n, '7'],
    [null, null],
    [undefined, null],
  ])('%o', (version, text) => {
    expect(versionText(version)).toBe(text)
  })

  test.each([
    ['', 'the empty text'],
    [new Date(Number.NaN), 'an invalid Date'],
    [Number.NaN, 'NaN'],
    [{}, 'an object'],
    [true, 'true'],
    ['x'.repeat(401), 'text of 401 bytes'],
  ])('%o is none', (version, what) => {
    // prettier-ignore
    expect(() => versionText(version as SourceVersion)).toThrow(`\`validateWith\` gave no version, but ${what}`)
  })

  test.each([
    ['7', '7', true],
    ['10', '9', true],
    ['9', '10', false],
    ['2026-02-04T03:29:21.950159Z', '2026-02-04T03:29:21.950160Z', false],
    ['2026-02-04T03:29:21.950160Z', '2026-02-04T03:29:21.95016Z', true],
    ['2026-02-04T04:29:21+01:00', '2026-02-04T03:29:21Z', true],
    ['"etag-b"', '"etag-a"', false],
    ['"etag-a"', '"etag-a"', true],
    ['7', null, false],
    [null, '7', false],
    [null, null, false],
  ])('an entry of %s, where the source has %s: good is %s', (entry, source, good) => {
    expect(isCurrent(entry, source)).toBe(good)
  })
})

/** A row that knows when it was changed, in a database with a cheap query for just that. */
function table() {
  const row = { value: 'a', updatedAt: 1 as SourceVersion }
  const asked = { loads: 0, versions: 0 }
  return {
    row,
    asked,
    load: async (_: number) => {
      asked.loads++
      return row.value
    },
    version: async (_: number) => {
      asked.versions++
      return row.updatedAt
    },
  }
}

describe('validateWith', () => {
  test('a hit costs the cheap query; a change is seen at the next call, in every process', async () => {
    const { row, asked, load, version } = table()
    const options = { name: 'city', validateWith: version }
    const [one, other] = [openSurfaces(redis.url), openSurfaces(redis.url)].map((cache) =>
      cache.fn('user_data', load, options),
    )
    if (!one || !other) throw new Error('two were opened')
    expect([await one(7), await other(7), await one(7)]).toEqual(['a', 'a', 'a'])
    // before the load, and for each of the two hits
    expect(asked).toEqual({ loads: 1, versions: 3 })
    Object.assign(row, { value: 'b', updatedAt: 2 })
    expect(await other.get(7)).toBeUndefined()
    expect([await one(7), await other(7), await one.get(7)]).toEqual(['b', 'b', 'b'])
    expect(asked.loads).toBe(2)
  })

  test('an entry that is newer than what the source says (a replica that lags) is good', async () => {
    const { row, asked, load, version } = table()
    row.updatedAt = 2
    const city = openSurfaces(redis.url).fn('user_data', load, { name: 'city', validateWith: version })
    await city(7)
    row.updatedAt = 1
    expect(await city(7)).toBe('a')
    expect(asked.loads).toBe(1)
  })

  test('without a version there is nothing to compare: it is loaded, and not cached', async () => {
    const { row, asked, load, version } = table()
    row.updatedAt = null
    const city = openSurfaces(redis.url).fn('user_data', load, { name: 'city', validateWith: version })
    expect([await city(7), await city(7), await city.get(7)]).toEqual(['a', 'a', undefined])
    expect(asked.loads).toBe(2)
    row.updatedAt = 1
    await city(7)
    row.updatedAt = null
    expect(await city.get(7)).toBeUndefined()
  })

  test('a validator that fails is reported, and costs a load', async () => {
    const { row, asked, load } = table()
    const cache = openSurfaces(redis.url)
    let broken = true
    const city = cache.fn('user_data', load, {
      name: 'city',
      validateWith: () => {
        if (broken) throw new Error('no connection')
        return row.updatedAt
      },
    })
    expect([await city(7), await city(7)]).toEqual(['a', 'a'])
    expect(asked.loads).toBe(2)
    expect(cache.errors.map(String)).toEqual(['Error: no connection', 'Error: no connection'])
    broken = false
    await city(7)
    await city(7)
    expect(asked.loads).toBe(3)
    broken = true
    expect(await city(7)).toBe('a')
    expect(asked.loads).toBe(4)
  })

  test('a validator that hangs is waited for as long as a loader, once', async () => {
    const { asked, load } = table()
    const cache = openSurfaces(redis.url)
    let version: SourceVersion | Promise<SourceVersion> = 1
    const city = cache.fn('user_data', load, { name: 'city', validateWith: () => version, timeout: { hard: '100ms' } })
    await city(7)
    version = new Promise(() => {})
    expect(await city(7)).toBe('a')
    expect(asked.loads).toBe(2)
    expect(cache.errors).toEqual([expect.objectContaining({ code: 'LOADER_TIMEOUT' })])
  })

  test('an outdated entry is not given, not even where the source fails and there is grace', async () => {
    const { row, load, version } = table()
    let broken = false
    const city = openSurfaces(redis.url).fn(
      'user_data',
      (id: number) => (broken ? Promise.reject(new Error('down')) : load(id)),
      {
        name: 'city',
        validateWith: version,
        grace: '1h',
      },
    )
    await city(7)
    broken = true
    expect(await city(7)).toBe('a')
    row.updatedAt = 2
    await expect(city(7)).rejects.toThrow('down')
  })

  test('a change during the load is seen by the next call: the version of before the load counts', async () => {
    const { row, asked, version } = table()
    const city = openSurfaces(redis.url).fn(
      'user_data',
      async (_: number) => {
        asked.loads++
        const seen = row.value
        if (asked.loads === 1) Object.assign(row, { value: 'b', updatedAt: 2 })
        return seen
      },
      { name: 'city', validateWith: version },
    )
    expect([await city(7), await city(7), await city(7)]).toEqual(['a', 'b', 'b'])
    expect(asked.loads).toBe(2)
  })

  test('who joins a load that began before the change does not get what it read', async () => {
    const { row, asked, version } = table()
    const gates: (() => void)[] = []
    const cache = openSurfaces(redis.url)
    const city = cache.fn(
      'user_data',
      async (_: number) => {
        asked.loads++
        const seen = row.value
        if (asked.loads === 1) await new Promise<void>((resolve) => gates.push(resolve))
        return seen
      },
      { name: 'city', validateWith: version },
    )
    const first = city(7)
    await expect.poll(() => gates.length).toBe(1)
    Object.assign(row, { value: 'b', updatedAt: 2 })
    const second = city(7)
    // it has asked Redis, over the same connection, and found the load under way
    for (let i = 0; i < 3; i++) await cache.kernel.command('PING')
    gates[0]?.()
    expect([await first, await second]).toEqual(['a', 'b'])
  })

  test('refresh stores the version too', async () => {
    const { asked, load, version } = table()
    const city = openSurfaces(redis.url).fn('user_data', load, { name: 'city', validateWith: version })
    await city.refresh(7)
    expect(await city(7)).toBe('a')
    expect(asked.loads).toBe(1)
  })

  test(`no call gives a value older than the source was when it began (SEED=${seed})`, async () => {
    const rounds = 60 * Number(process.env.PROOF ?? 1)
    const violations = await changesUnderLoad(rounds, true)
    expect(violations).toBe(0)
    // the mutant: the version of after the load, which an old value is then stored with
    expect(await changesUnderLoad(rounds, false)).toBeGreaterThan(0)
  })
})

/** Two processes read a row that changes all the time; gives how often one got what was older than the row when it asked. */
async function changesUnderLoad(rounds: number, guarded: boolean): Promise<number> {
  const random = randomFromSeed(seed)
  const pause = () => new Promise((resolve) => setTimeout(resolve, random() * 4))
  const row = { version: 1 }
  let violations = 0
  const load = async (id: number) => {
    const { version } = row
    await pause()
    return { id, version }
  }
  const caches = [openSurfaces(redis.url), openSurfaces(redis.url)]
  const validated = caches.map((cache) => cache.fn('user_data', load, { name: 'row', validateWith: () => row.version }))
  const naive = caches.map(({ kernel }) => async (id: number) => {
    const place = { namespace: 'user_data', subject: '@fn.naive', version: '1', tenant: null, rest: [String(id)] }
    const policy = {
      ttlMs: 600_000,
      graceMs: 0,
      jitter: 0,
      compressAboveBytes: null,
      negativeTtlMs: null,
      beta: 0,
      softTimeoutMs: null,
      hardTimeoutMs: null,
      stamps: [],
      clone: false,
      check: null,
      accept: (entry: { sourceVersion: string | null }) => entry.sourceVersion === String(row.version),
    } // prettier-ignore
    const found = await kernel.load(place, policy, async (control) => {
      const value = await load(id)
      control.sourceVersion(String(row.version))
      return value
    })
    return found.value as { version: number }
  })
  const readers = (guarded ? validated : naive).flatMap((read) => [read, read, read])
  await Promise.all([
    ...readers.map(async (read) => {
      for (let i = 0; i < rounds; i++) {
        const { version } = row
        if ((await read(7)).version < version) violations++
        await pause()
      }
    }),
    (async () => {
      for (let i = 0; i < rounds; i++) {
        row.version++
        await pause()
        await pause()
      }
    })(),
  ])
  return violations
}
