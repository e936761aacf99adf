// Start-up: what a person waits for before anything happens, beside Node alone and beside a five-line script.
import { mkdtemp, rm, symlink, writeFile } from 'node:fs/promises'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { fileURLToPath } from 'node:url'
import { bestOf, result, root, socketOf, startRedis, timed } from './measure.js'

const ROUNDS = 10
const cachectl = fileURLToPath(new URL('../bin/cachectl.js', import.meta.url))

/** @param {(text: string) => void} say */
export async function benchStart(say) {
  const folder = await mkdtemp(join(tmpdir(), 'cachectl-bench-'))
  const server = await startRedis()
  try {
    const socket = socketOf(server)
    const fill =
      "for id = 1, 1000 do redis.call('SET', 'shop:v1:detail:city:' .. id, string.rep('x', 200), 'EX', 3600) end"
    await timed('redis-cli', ['-s', socket, 'EVAL', fill, '0'])
    await symlink(join(root, 'node_modules'), join(folder, 'node_modules'))
    const script = join(folder, 'info.mjs')
    await writeFile(
      script,
      `import { Redis } from 'ioredis'\nconst redis = new Redis(${JSON.stringify(socket)})\nconst info = await redis.info()\nconsole.log(info.length)\nredis.disconnect()\n`,
    )
    const config = join(folder, 'shop.config.ts')
    const models = `{ city: { source: null, namespace: 'detail' } }`
    await writeFile(
      config,
      `type Url = string\nexport default { redis: process.env.REDIS_URL as Url, prefix: 'shop', version: 1, namespaces: { detail: { ttl: '1h' } }, models: ${models} }\n`,
    )
    const env = { REDIS_URL: server.url }
    const node = async (/** @type {string[]} */ ...args) =>
      (await timed(process.execPath, args, { env, cwd: folder })).ms
    say(`starting, ${ROUNDS} rounds`)
    const ms = await bestOf(ROUNDS, {
      node: () => node('-e', '0'),
      version: () => node(cachectl, '--version'),
      script: () => node(script),
      plain: () => node(cachectl, 'stats', '--redis', server.url),
      config: () => node(cachectl, 'stats', '--config', config),
    })
    const of = (/** @type {string} */ name) => /** @type {number} */ (ms[name])
    return [
      result('cachectl --version', 'node -e 0', of('version'), of('node'), 'ms'),
      result('stats, 1,000 keys, no config', 'a five-line ioredis INFO script', of('plain'), of('script'), 'ms'),
      result('stats, 1,000 keys, cache.config.ts', 'a five-line ioredis INFO script', of('config'), of('script'), 'ms'),
    ]
  } finally {
    await server.stop()
    await rm(folder, { recursive: true, force: true })
  }
}
