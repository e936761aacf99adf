// A cache that is switched off: sources answer, nothing is opened or kept, and nothing is said to be invalidated.
import { createServer, type Server, type Socket } from 'node:net'
import { afterEach, beforeEach, expect, test } from 'vitest'
import { fn } from '../../src/adapters/sources/fn.ts'
import { createCache } from '../../src/create-cache.ts'
import { KeyvCachectl } from '../../src/keyv.ts'

let server: Server
let connections: number
const sockets = new Set<Socket>()
let cache: ReturnType<typeof open>
const errors: unknown[] = []

function open(
  options: { enabled?: boolean; strict?: boolean } = { enabled: false },
  redis: string | undefined = url(),
) {
  return createCache(
    {
      redis,
      prefix: 'shop',
      namespaces: { stats: { ttl: '1m', l1: true }, sess: { format: 'raw', key: 'sess:*', ttl: '1m' } },
      models: {
        city: { source: fn({ load: async (ids) => ids.map((id) => ({ id, name: `city ${id}` })) }), tenant: false },
      },
    },
    { ...options, onError: (error) => void errors.push(error) },
  )
}
function url(): string {
  return `redis://127.0.0.1:${(server.address() as { port: number }).port}`
}

beforeEach(async () => {
  connections = 0
  errors.length = 0
  // Whoever connects is counted, and never answered.
  server = createServer((socket) => {
    connections++
    sockets.add(socket)
    socket.on('error', () => {})
  }).listen(0, '127.0.0.1')
  await new Promise((resolve) => server.once('listening', resolve))
  cache = open()
})
afterEach(async () => {
  delete process.env.CACHECTL_CACHE
  await cache.close()
  for (const socket of sockets) socket.destroy()
  await new Promise((resolve) => server.close(resolve))
})

test('every read is a miss that loads, once for all who ask at the same time', async () => {
  let loads = 0
  const load = async () => ({ at: new Date(5), loads: ++loads })
  const all = await Promise.all(Array.from({ length: 50 }, () => cache.getOrSet('stats', ['a'], load, { as: 'hit' })))
  expect(loads).toBe(1)
  expect(all[7]).toEqual({ hit: 'miss', value: { at: new Date(5), loads: 1 }, tier: 'source' })
  await cache.getOrSet('stats', ['a'], load)
  expect(loads).toBe(2)
  expect(await cache.getOrSetMany('stats', [['b'], ['c']], (missing) => missing.map(([name]) => name))).toEqual([
    'b',
    'c',
  ])
  expect(await cache.refresh('stats', ['a'], () => 7)).toBe(7)
  await expect(cache.getOrSet('stats', ['a'], () => Promise.reject(new Error('down')))).rejects.toThrow('down')

  expect(await cache.set('stats', ['a'], 1)).toBe(false)
  expect(await cache.setMany('stats', [[['a'], 1]])).toBe(false)
  expect(await cache.touch('stats', ['a'])).toBe(false)
  expect(await cache.get('stats', ['a'])).toBeUndefined()
  expect(await cache.getMany('stats', [['a'], ['b']])).toEqual([undefined, undefined])
  expect(await cache.has('stats', ['a'])).toBe(false)
  await expect(cache.key('stats', ['a'])).rejects.toThrow('the cache is switched off')
  expect([connections, errors]).toEqual([0, []])
})

test('models, functions, fragments, raw namespaces and Keyv go to their source', async () => {
  expect(await cache.model('city').get(1)).toEqual({ id: '1', name: 'city 1' })
  expect((await cache.model('city').getMany([1, 2])).size).toBe(2)
  expect(await cache.model('city').set({ id: 1 })).toBe(false)
  const getUser = cache.fn('stats', async (id: number) => ({ id }), { name: 'getUser' })
  expect(await getUser(7)).toEqual({ id: 7 })
  expect(await getUser.refresh(8)).toEqual({ id: 8 })
  expect(await cache.fragment('header', [], () => '<h1>', { namespace: 'stats' })).toBe('<h1>')
  expect(await cache.getOrSet('sess', ['sess:1'], () => 5)).toBe(5)
  expect(await cache.get('sess', ['sess:1'])).toBeUndefined()
  expect(await cache.set('sess', ['sess:1'], 5)).toBe(false)
  const keyv = new KeyvCachectl({ cache, namespace: 'stats' })
  expect(await keyv.set('a', 1)).toBe(false)
  expect(await keyv.get('a')).toBeUndefined()
  await keyv.clear()
  expect([connections, errors]).toEqual([0, []])
})

test('an invalidation says that there was none, and is refused when the cache has been closed', async () => {
  const off = { status: 'off', acknowledged: { processes: 0, of: 0, lapsed: false }, deleted: null }
  expect(await cache.invalidate({ tag: 'a' })).toEqual(off)
  expect(await cache.delete('stats', ['a'])).toEqual(off)
  expect(await cache.delete('sess', ['sess:1'])).toEqual(off)
  expect(await cache.model('city').invalidate(1)).toEqual(off)
  await expect(cache.invalidate({ namespace: 'statistics' as 'stats' })).rejects.toThrow('no namespace called')
  expect(
    await cache.transaction(
      async (work) => work({}),
      async (c) => (await c.model('city').invalidate(1)).status,
    ),
  ).toBe('queued')
  await cache.close()
  await expect(cache.invalidate({ tag: 'a' })).rejects.toThrow('has been closed')
  expect([connections, errors]).toEqual([0, []])
})

test('what began before an invalidation is not shared by who asks after it', async () => {
  let version = 1
  let release = () => {}
  const held = new Promise<void>((resolve) => {
    release = resolve
  })
  let began = false
  const first = cache.getOrSet('stats', ['a'], async () => {
    const read = version
    began = true
    await held
    return read
  })
  await expect.poll(() => began).toBe(true)
  version = 2
  await cache.invalidate({ tag: 'a' })
  expect(await cache.getOrSet('stats', ['a'], () => version)).toBe(2)
  release()
  expect(await first).toBe(1)
})

test('a loader that hangs holds up no end of the process, and is aborted', async () => {
  let signal: AbortSignal | undefined
  const hanging = cache.getOrSet('stats', ['a'], (context) => {
    signal = context.signal
    return new Promise<number>((_, reject) =>
      context.signal.addEventListener('abort', () => reject(new Error('aborted'))),
    )
  })
  const rejected = expect(hanging).rejects.toThrow('aborted')
  await expect.poll(() => signal).toBeDefined()
  await cache.close()
  await rejected
})

test('neither a URL nor strict make a difference', async () => {
  for (const other of [open({ enabled: false }, ''), open({ enabled: false, strict: true })]) {
    expect(await other.getOrSet('stats', ['a'], () => 1)).toBe(1)
    await other.close()
  }
  expect(connections).toBe(0)
})

test.each(['off', ' OFF '])('the environment says %j, whatever the code says', async (word) => {
  process.env.CACHECTL_CACHE = word
  const other = open({ enabled: true })
  expect(await other.getOrSet('stats', ['a'], () => 1)).toBe(1)
  await other.close()
  expect(connections).toBe(0)
})

test('another word leaves it on, and warns', async () => {
  const warnings: string[] = []
  const heard = (warning: Error) => void warnings.push(warning.message)
  process.on('warning', heard)
  process.env.CACHECTL_CACHE = 'of'
  const other = open({})
  await other.getOrSet('stats', ['a'], () => 1)
  await expect.poll(() => warnings.join()).toContain('CACHECTL_CACHE is `of`, and the cache is on')
  process.off('warning', heard)
  expect(connections).toBeGreaterThan(0)
  await other.close()
})
