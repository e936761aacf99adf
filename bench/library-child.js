// One contestant of bench/library.js: `node library-child.js <who> <what> <url> [at]` prints operations a second, or of the stampede its loads.
import { setTimeout as sleep } from 'node:timers/promises'
import { Redis } from 'ioredis'

const [who = '', what = '', url = '', at = '0'] = process.argv.slice(2)
const open = () => (url.startsWith('unix:') ? new Redis({ path: url.replace(/^unix:(\/\/)?/, '') }) : new Redis(url))

const VALUE = {
  id: 42,
  name: 'Zürich',
  country: 'CH',
  population: 341_730,
  location: [8.55, 47.37],
  tags: ['a', 'b', 'c'],
  text: 'x'.repeat(120),
}
const IDS = Array.from({ length: 1000 }, (_, id) => id)
const MEASURED_MS = 1500
const WARM_UP_MS = 400

/** @typedef {{ near?(id: number): unknown, get(id: number): unknown, many?(ids: number[]): unknown, load?(loader: () => unknown): Promise<unknown>, fill(id: number): unknown, close(): unknown }} Contestant */

/** @type {Record<string, () => Promise<Contestant>>} */
const CONTESTANTS = {
  async ioredis() {
    const redis = open()
    const key = (/** @type {number} */ id) => `raw:${id}`
    return {
      fill: (id) => redis.set(key(id), JSON.stringify(VALUE), 'PX', 3_600_000),
      get: async (id) => JSON.parse((await redis.get(key(id))) ?? ''),
      many: async (ids) => (await redis.mget(ids.map(key))).map((text) => JSON.parse(text ?? '')),
      close: () => redis.quit(),
    }
  },
  async bentocache() {
    const { BentoCache, bentostore } = await import('bentocache')
    const { memoryDriver } = await import('bentocache/drivers/memory')
    const { redisDriver } = await import('bentocache/drivers/redis')
    const connection = open()
    const store = bentostore()
    if (what === 'near') store.useL1Layer(memoryDriver({ maxItems: 10_000 }))
    store.useL2Layer(redisDriver({ connection }))
    const cache = new BentoCache({ default: 'it', stores: { it: store } })
    const key = (/** @type {number} */ id) => `bench:${id}`
    return {
      fill: (id) => cache.set({ key: key(id), value: VALUE, ttl: '1h' }),
      near: (id) => cache.getOrSet({ key: key(id), factory: () => VALUE, ttl: '1h' }),
      get: (id) => cache.get({ key: key(id) }),
      load: (loader) => cache.getOrSet({ key: 'stampede', factory: loader, ttl: '1h' }),
      close: () => cache.disconnectAll(),
    }
  },
  async cacheable() {
    const { Cacheable } = await import('cacheable')
    const { Keyv } = await import('keyv')
    const redis = open()
    const store = {
      get: (/** @type {string} */ key) => redis.get(key),
      set: (/** @type {string} */ key, /** @type {string} */ value, /** @type {number} */ ttl) =>
        redis.set(key, value, 'PX', ttl),
      delete: async (/** @type {string} */ key) => (await redis.del(key)) === 1,
      clear: async () => {},
    }
    const cache = new Cacheable({ secondary: new Keyv({ store: /** @type {any} */ (store) }), ttl: '1h' })
    return {
      fill: (id) => cache.set(`bench:${id}`, VALUE),
      near: (id) => cache.getOrSet(`bench:${id}`, async () => VALUE, { ttl: '1h' }),
      get: (id) => cache.get(`bench:${id}`),
      close: () => redis.quit(),
    }
  },
  async cachectl() {
    const { createCache, defineConfig } = await import('../dist/index.js')
    const cache = createCache(
      defineConfig({
        redis: url,
        prefix: 'bench',
        namespaces: { far: { ttl: '1h' }, near: { ttl: '1h', l1: what === 'near' } },
      }),
      // What a busy machine answers late is waited for, or ends the run: a miss for want of Redis is no speed.
      { deadline: '10s', strict: true },
    )
    const namespace = what === 'near' ? 'near' : 'far'
    return {
      fill: (id) => cache.set(namespace, ['row', id], VALUE),
      near: (id) => cache.getOrSet('near', ['row', id], () => VALUE),
      get: (id) => cache.get('far', ['row', id]),
      many: (ids) =>
        cache.getMany(
          'far',
          ids.map((id) => /** @type {const} */ (['row', id])),
        ),
      load: (loader) => cache.getOrSet('far', ['stampede'], loader),
      close: () => cache.close(),
    }
  },
}

/** @param {(turn: number) => unknown} once @param {number} size operations a call */
async function measure(once, size) {
  let turn = 0
  for (const end = performance.now() + WARM_UP_MS; performance.now() < end; ) await once(turn++)
  const startedMs = performance.now()
  let calls = 0
  for (const end = startedMs + MEASURED_MS; performance.now() < end; calls += 50)
    for (let n = 0; n < 50; n++) await once(turn++)
  return (calls * size * 1000) / (performance.now() - startedMs)
}

const contestant = await /** @type {() => Promise<Contestant>} */ (CONTESTANTS[who])()
const { fill, get, near, many, load, close } = contestant
const at1000 = (/** @type {number} */ turn) => IDS[turn % IDS.length] ?? 0

if (what === 'stampede') {
  let loads = 0
  const loader = async () => {
    loads++
    await sleep(300)
    return VALUE
  }
  await get(0)
  await sleep(Math.max(0, Number(at) - Date.now()))
  await Promise.all(Array.from({ length: 125 }, () => load?.(loader)))
  process.stdout.write(String(loads))
} else {
  for (const id of IDS) await fill(id)
  if (what === 'near') for (let round = 0; round < 3; round++) for (const id of IDS) await near?.(id)
  const runs = {
    near: () => measure((turn) => near?.(at1000(turn)), 1),
    serial: () => measure((turn) => get(at1000(turn)), 1),
    fifty: () => measure((turn) => Promise.all(Array.from({ length: 50 }, (_, n) => get(at1000(turn * 50 + n)))), 50),
    hundred: () => measure((turn) => many?.(IDS.slice((turn % 10) * 100, (turn % 10) * 100 + 100)), 100),
  }
  process.stdout.write(String(await runs[/** @type {keyof typeof runs} */ (what)]()))
}
await close()
