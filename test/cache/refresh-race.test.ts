// A value that was read before an invalidation is not brought back by `refresh`; by `set`, which knows nothing of its reading, it is.
import { setTimeout as sleep } from 'node:timers/promises'
import { afterAll, afterEach, beforeAll, beforeEach, expect, test } from 'vitest'
import { createCache } from '../../src/create-cache.ts'
import { randomFromSeed, seed } from '../seed.ts'
import { startRedis, type TestRedis } from '../servers.ts'

let redis: TestRedis
let reader: ReturnType<typeof open>
let writer: ReturnType<typeof open>

function open() {
  return createCache(
    { redis: redis.url, prefix: 'shop', tenant: { label: 'org' }, namespaces: { stats: { ttl: '1h' } } },
    { deadline: '10s' },
  )
}

beforeAll(async () => {
  redis = await startRedis()
})
beforeEach(async () => {
  await redis.call('FLUSHALL')
  reader = open()
  writer = open()
})
afterEach(async () => {
  await reader.close()
  await writer.close()
})
afterAll(() => redis.stop())

const PATH = ['dashboard', 7] as const
const OPTIONS = { tags: ['org:7'] }
type Target = Parameters<ReturnType<typeof open>['invalidate']>[0]

/** What `cache` gives for a path, where its value is read before `change` and cached behind it. */
const WAYS = {
  async refresh(cache: ReturnType<typeof open>, read: () => string, change: () => Promise<void>) {
    return cache.refresh(
      'stats',
      PATH,
      async () => {
        const value = read()
        await change()
        return value
      },
      OPTIONS,
    )
  },
  async naive(cache: ReturnType<typeof open>, read: () => string, change: () => Promise<void>) {
    const value = read()
    await change()
    await cache.set('stats', PATH, value, OPTIONS)
    return value
  },
}

const TARGETS: [string, (key: string) => Target][] = [
  ['the key', (key) => ({ key })],
  ['a tag', () => ({ tag: 'org:7' })],
  ['the subject', () => ({ subject: 'dashboard' })],
  ['the namespace', () => ({ namespace: 'stats' })],
  ['the tenant', () => ({ tenant: '5' })],
  ['a pattern', () => ({ pattern: 'shop:v1:stats:dash*' })],
]

test.each(TARGETS)('%s, invalidated between the reading and the writing', async (_, targetOf) => {
  const run = async (way: keyof typeof WAYS): Promise<string> => {
    const [mine, other] = [reader.tenant('5'), writer.tenant('5')]
    let source = 'old'
    await mine.set('stats', PATH, 'older', OPTIONS)
    const given = await WAYS[way](
      mine,
      () => source,
      async () => {
        source = 'new'
        const key = await other.key('stats', PATH)
        const cache = targetOf(key) as { namespace?: string }
        const invalidated = await (cache.namespace ? writer : other).invalidate(targetOf(key))
        expect(invalidated.status).toBe('applied')
      },
    )
    expect(given).toBe('old')
    const seen = await Promise.all([mine, other].map((cache) => cache.getOrSet('stats', PATH, () => source, OPTIONS)))
    expect(new Set(seen).size).toBe(1)
    return seen[0] as string
  }
  expect(await run('refresh')).toBe('new')
  // The test can tell: what has no guard brings the old value back.
  expect(await run('naive')).toBe('old')
})

test('without an invalidation it replaces what is there, and a loader that throws leaves it', async () => {
  await reader.set('stats', PATH, 'old', OPTIONS)
  const failing = reader.refresh('stats', PATH, () => Promise.reject(new Error('the source is down')))
  await expect(failing).rejects.toThrow('the source is down')
  expect(await writer.get('stats', PATH)).toBe('old')
  expect(await reader.refresh('stats', PATH, () => 'new', OPTIONS)).toBe('new')
  await expect.poll(() => writer.get('stats', PATH)).toBe('new')
  const uncached = await writer.refresh('stats', PATH, ({ skip }) => {
    skip()
    return 'not cached'
  })
  expect(uncached).toBe('not cached')
  expect(await reader.get('stats', PATH)).toBe('new')
})

test(`many at once, seed ${seed}`, async () => {
  expect(await storm('refresh')).toBe(0)
  // Once is enough: how often depends on the machine.
  let caught = 0
  for (let goes = 0; goes < 10 && caught === 0; goes++) caught = await storm('naive')
  expect(caught).toBeGreaterThan(0)
})

/** How many reads gave a version that was invalidated before they began. */
async function storm(way: keyof typeof WAYS): Promise<number> {
  const random = randomFromSeed(seed)
  await redis.call('FLUSHALL')
  let version = 1
  let applied = 1
  let violations = 0
  const pause = () => (random() < 0.5 ? Promise.resolve() : sleep(random() * 3))
  const load = async () => {
    const read = version
    await pause()
    return read
  }
  const caches = [reader, writer]
  const any = () => caches[Math.floor(random() * 2)] as typeof reader
  const act = async (): Promise<void> => {
    await pause()
    const what = random()
    if (what < 0.2) {
      const mine = ++version
      expect((await any().invalidate(random() < 0.5 ? { tag: 'org:7' } : { subject: 'dashboard' })).status).toBe(
        'applied',
      )
      applied = Math.max(applied, mine)
    } else if (what < 0.5) {
      if (way === 'refresh') await any().refresh('stats', PATH, load, OPTIONS)
      else await any().set('stats', PATH, await load(), OPTIONS)
    } else {
      const floor = applied
      if ((await any().getOrSet('stats', PATH, load, OPTIONS)) < floor) violations++
    }
  }
  const worker = async () => {
    for (let n = 0; n < 40; n++) await act()
  }
  await Promise.all(Array.from({ length: 8 }, worker))
  return violations
}
