// The library beside raw ioredis and two other libraries: hits in memory, hits in Redis one after the other, by 50 and in pages of 100, and a stampede
// of 500 callers in 4 processes; over TCP on the loopback interface. Each contestant has a process of its own, and they take turns.
import { once } from 'node:events'
import { createServer } from 'node:net'
import { fileURLToPath } from 'node:url'
import { startServer } from '../dist/adapters/redis/embedded.js'
import { result, startRedis, timed } from './measure.js'

const child = fileURLToPath(new URL('library-child.js', import.meta.url))
const ROUNDS = 3

/** @param {(text: string) => void} say */
export async function benchLibrary(say) {
  const server = await startServer({ port: await freePort() })
  const local = await startRedis()
  /** @type {Record<string, number>} operations a second: the best of the rounds */
  const best = {}
  const run = async (/** @type {string} */ who, /** @type {string} */ what) => {
    const [kind = '', unix] = what.split(' ')
    const { stdout } = await timed(process.execPath, [child, who, kind, unix ? local.url : server.url])
    const name = `${who} ${what}`
    best[name] = Math.max(best[name] ?? 0, Number(stdout))
  }
  try {
    for (let round = 0; round < ROUNDS; round++) {
      for (const [what, contestants] of Object.entries(CONTESTS)) {
        say(`library: ${what}, round ${round + 1} of ${ROUNDS}`)
        for (const who of contestants) await run(who, what)
      }
    }
    say('library: stampede of 500 callers in 4 processes')
    const loads = await stampede(server.url)
    const line = (
      /** @type {string} */ name,
      /** @type {string} */ what,
      /** @type {string} */ who,
      /** @type {string} */ baseline,
    ) => result(name, baseline, best[`cachectl ${what}`] ?? 0, best[`${who} ${what}`] ?? Number.NaN, 'ops/s')
    return [
      line('getOrSet, hit in memory (L1)', 'near', 'bentocache', 'bentocache, memory and Redis'),
      line('getOrSet, hit in memory (L1)', 'near', 'cacheable', 'cacheable, memory and Redis'),
      line('get, hit in Redis, one by one', 'serial', 'ioredis', 'ioredis GET and JSON.parse'),
      line('get, hit in Redis, one by one', 'serial', 'bentocache', 'bentocache'),
      line('get, hit in Redis, by 50', 'fifty', 'ioredis', 'ioredis GET and JSON.parse'),
      line('get, hit in Redis, by 50', 'fifty', 'bentocache', 'bentocache'),
      line('get, hit in Redis, by 50, unix socket', 'fifty unix', 'ioredis', 'ioredis GET and JSON.parse'),
      line('getMany of 100, rows', 'hundred', 'ioredis', 'ioredis MGET and JSON.parse'),
      result('stampede: 500 callers, 4 processes', 'loads, bentocache', loads.cachectl, loads.bentocache, 'loads'),
    ]
  } finally {
    await server.stop()
    await local.stop()
  }
}

/** As applications run it: over TCP, where each write costs more than through a unix socket. */
async function freePort() {
  const probe = createServer().listen(0, '127.0.0.1')
  await once(probe, 'listening')
  const address = probe.address()
  probe.close()
  await once(probe, 'close')
  return /** @type {import('node:net').AddressInfo} */ (address).port
}

const CONTESTS = {
  near: ['bentocache', 'cacheable', 'cachectl'],
  serial: ['ioredis', 'bentocache', 'cachectl'],
  fifty: ['ioredis', 'bentocache', 'cachectl'],
  'fifty unix': ['ioredis', 'cachectl'],
  hundred: ['ioredis', 'cachectl'],
}

/** @param {string} url */
async function stampede(url) {
  const loads = { cachectl: 0, bentocache: 0 }
  for (const who of /** @type {const} */ (['cachectl', 'bentocache'])) {
    // All begin at one moment that lies ahead.
    const at = String(Date.now() + 3000)
    const all = await Promise.all([1, 2, 3, 4].map(() => timed(process.execPath, [child, who, 'stampede', url, at])))
    loads[who] = all.reduce((sum, { stdout }) => sum + Number(stdout), 0)
  }
  return loads
}
