// Deleting a fifth of a million keys: by pattern and by namespace, beside `redis-cli --scan` piped to UNLINK, and what a client beside it feels.
import { spawn } from 'node:child_process'
import { mkdtempSync, rmSync, writeFileSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { Redis } from 'ioredis'
import { result, root, socketOf, startRedis, timed } from './measure.js'

/** BENCH_KEYS: a smaller run, to try things out. */
export const KEYS = Number(process.env.BENCH_KEYS ?? 1_000_000)
export const NAMESPACES = ['list', 'detail', 'count', 'stats', 'user']
export const ROUNDS = 3
const FILL = `
for i = tonumber(ARGV[2]), tonumber(ARGV[3]) do
  redis.call('SET', 'bench:v1:' .. ARGV[1] .. ':city:' .. i, string.rep('x', 240), 'EX', 86400)
end
return 1`

/** @param {(text: string) => void} say */
export async function benchInvalidate(say) {
  const folder = mkdtempSync(join(tmpdir(), 'cachectl-bench-'))
  const server = await startRedis()
  const redis = new Redis({ path: socketOf(server) })
  try {
    writeFileSync(join(folder, 'cache.config.mjs'), config())
    say(`filling ${KEYS.toLocaleString('en')} keys`)
    for (const namespace of NAMESPACES) await fill(redis, namespace)
    const runs = {
      'redis-cli --scan | UNLINK': () => baseline(server, 'bench:v1:list:*'),
      'invalidate pattern, --rate max': () =>
        cachectl(server, folder, ['invalidate', 'pattern:bench:v1:list:*', '--rate', 'max']),
      'invalidate namespace, --rate max': () =>
        cachectl(server, folder, ['invalidate', 'namespace:list', '--rate', 'max']),
      'invalidate pattern, default pace': () => cachectl(server, folder, ['invalidate', 'pattern:bench:v1:list:*']),
    }
    const idle = await besideClient(server, () => new Promise((resolve) => setTimeout(resolve, 2_000)))
    /** @type {Record<string, { ms: number, p99Ms: number }>} */
    const best = {}
    for (let round = 0; round < ROUNDS; round++) {
      for (const [name, run] of Object.entries(runs)) {
        const seen = await besideClient(server, run)
        say(`${name}: ${Math.round(seen.ms)} ms, p99 of a client beside it ${seen.p99Ms.toFixed(2)} ms`)
        if (!best[name] || seen.ms < best[name].ms) best[name] = seen
        await redis.del('bench~generations')
        await fill(redis, 'list')
      }
    }
    return results(best, idle.p99Ms)
  } finally {
    redis.disconnect()
    await server.stop()
    rmSync(folder, { recursive: true, force: true })
  }
}

/** @param {Record<string, { ms: number, p99Ms: number }>} best @param {number} idleMs */
function results(best, idleMs) {
  const [[baselineName, base] = ['', { ms: 0, p99Ms: 0 }], ...ours] = Object.entries(best)
  const deleted = KEYS / NAMESPACES.length
  const speed = (/** @type {{ ms: number }} */ { ms }) => (deleted / ms) * 1000
  return [
    ...ours.slice(0, 2).map(([name, seen]) => result(name, baselineName, speed(seen), speed(base), 'keys/s')),
    ...ours
      .slice(0, 2)
      .map(([name, seen]) => result(`client's p99 beside ${name}`, baselineName, seen.p99Ms, base.p99Ms, 'ms')),
    ...ours
      .slice(2)
      .map(([name, seen]) => result(`client's p99 beside ${name}`, 'idle server', seen.p99Ms, idleMs, 'ms')),
  ]
}

export function config() {
  const namespaces = NAMESPACES.map((name) => `${name}: { ttl: '24h' }`).join(', ')
  return `export default { redis: process.env.REDIS_URL, prefix: 'bench', namespaces: { ${namespaces} }, models: {} }\n`
}

/** A share of the keys. @param {Redis} redis @param {string} namespace */
export async function fill(redis, namespace) {
  const each = KEYS / NAMESPACES.length
  for (let from = 1; from <= each; from += 10_000)
    await redis.eval(FILL, 0, namespace, from, Math.min(each, from + 9_999))
}

/** @param {{ url: string }} server @param {string} pattern */
export function baseline(server, pattern) {
  const cli = `redis-cli -s ${socketOf(server)}`
  return timed('sh', ['-c', `${cli} --scan --pattern '${pattern}' | xargs -n 500 ${cli} UNLINK > /dev/null`])
}

/** @param {{ url: string }} server @param {string} folder @param {string[]} args */
export function cachectl(server, folder, args) {
  const argv = [join(root, 'bin/cachectl.js'), ...args, '--yes', '-q']
  return timed(process.execPath, argv, { cwd: folder, env: { REDIS_URL: server.url } })
}

/**
 * How long it took, and the 99th percentile of a GET every millisecond beside it, measured by a process of its own.
 * @param {{ url: string }} server @param {() => Promise<unknown>} run
 */
export async function besideClient(server, run) {
  const child = spawn(process.execPath, [join(root, 'bench/invalidate-client.js'), socketOf(server)], {
    stdio: ['pipe', 'pipe', 'inherit'],
  })
  let text = ''
  child.stdout.setEncoding('utf8').on('data', (some) => {
    text += some
  })
  await new Promise((resolve) => child.stdout.once('data', resolve))
  const startedMs = performance.now()
  await run()
  const ms = performance.now() - startedMs
  const ended = new Promise((resolve) => child.on('close', resolve))
  child.stdin.end()
  await ended
  return { ms, p99Ms: Number(text.trim().split('\n').at(-1)) }
}
