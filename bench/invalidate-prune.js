// Deleting what a bump left behind, a fifth of a million keys: beside `redis-cli --scan` piped to UNLINK, and what a client beside it feels.
import { mkdtempSync, rmSync, writeFileSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { Redis } from 'ioredis'
import { baseline, besideClient, cachectl, config, fill, KEYS, NAMESPACES, ROUNDS } from './invalidate.js'
import { result, socketOf, startRedis } from './measure.js'

const DEAD = 'list~former'

/** @param {(text: string) => void} say */
export async function benchPrune(say) {
  const folder = mkdtempSync(join(tmpdir(), 'cachectl-bench-'))
  const server = await startRedis()
  const redis = new Redis({ path: socketOf(server) })
  try {
    writeFileSync(join(folder, 'cache.config.mjs'), config())
    say(`filling ${KEYS.toLocaleString('en')} keys`)
    for (const namespace of NAMESPACES.filter((name) => name !== 'list')) await fill(redis, namespace)
    const left = await redis.dbsize()
    const runs = {
      'redis-cli --scan | UNLINK': () => baseline(server, `bench:v1:${DEAD}:*`),
      'version prune, --rate max': () => cachectl(server, folder, ['version', 'prune', '--rate', 'max']),
    }
    /** @type {Record<string, { ms: number, p99Ms: number }>} */
    const best = {}
    for (let round = 0; round < ROUNDS; round++) {
      for (const [name, run] of Object.entries(runs)) {
        await fill(redis, DEAD)
        const seen = await besideClient(server, run)
        say(`${name}: ${Math.round(seen.ms)} ms, p99 of a client beside it ${seen.p99Ms.toFixed(2)} ms`)
        await redis.del('bench~journal', 'bench~generations')
        const now = await redis.dbsize()
        if (now !== left) throw new Error(`${name} left ${now} of ${left} keys`)
        if (!best[name] || seen.ms < best[name].ms) best[name] = seen
      }
    }
    const [[baselineName, base], [name, own]] = /** @type {[string, { ms: number, p99Ms: number }][]} */ (
      Object.entries(best)
    )
    const speed = (/** @type {{ ms: number }} */ { ms }) => (KEYS / NAMESPACES.length / ms) * 1000
    return [
      result(name, baselineName, speed(own), speed(base), 'keys/s'),
      result(`client's p99 beside ${name}`, baselineName, own.p99Ms, base.p99Ms, 'ms'),
    ]
  } finally {
    redis.disconnect()
    await server.stop()
    rmSync(folder, { recursive: true, force: true })
  }
}
