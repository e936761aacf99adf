// Evicting a fifth of 500,000 entries by idle time, beside SCAN + OBJECT IDLETIME + sort + UNLINK with ioredis.
import { spawn } from 'node:child_process'
import { once } from 'node:events'
import { mkdtemp, rm, writeFile } from 'node:fs/promises'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { fileURLToPath } from 'node:url'
import { bestOf, result, root, socketOf, startRedis, timed } from './measure.js'

/** BENCH_KEYS: a smaller run, to try things out. */
const KEYS = Number(process.env.BENCH_KEYS ?? 500_000)
const KEPT = KEYS * 0.8
const [cachectl, child] = ['../bin/cachectl.js', './evict-child.js'].map((path) =>
  fileURLToPath(new URL(path, import.meta.url)),
)

/** @param {(text: string) => void} say */
export async function benchEvict(say) {
  const folder = await mkdtemp(join(tmpdir(), 'cachectl-bench-'))
  const server = await startRedis()
  try {
    const socket = socketOf(server)
    const config = join(folder, 'cache.config.json')
    const namespaces = { detail: { ttl: '1h', budget: { maxKeys: KEPT, policy: 'lru' } } }
    await writeFile(config, JSON.stringify({ prefix: 'shop', namespaces }))
    say(`evicting ${KEYS - KEPT} of ${KEYS} keys, 2 rounds`)
    const ms = await bestOf(2, {
      evict: async () => {
        await fill(socket)
        const flags = ['--yes', '--rate', 'max', '--json', '--config', config, '--redis', server.url]
        const { stdout } = await timed(process.execPath, [/** @type {string} */ (cachectl), 'evict', ...flags])
        const report = JSON.parse(stdout)
        if (report.deleted !== KEYS - KEPT) throw new Error(`evict deleted ${report.deleted} of ${KEYS - KEPT}`)
        return report.durationMs
      },
      ioredis: async () => {
        await fill(socket)
        const { stdout } = await timed(process.execPath, [/** @type {string} */ (child), socket, String(KEPT)])
        const { ms: took, evicted } = JSON.parse(stdout)
        if (evicted !== KEYS - KEPT) throw new Error(`ioredis deleted ${evicted} of ${KEYS - KEPT}`)
        return took
      },
    })
    const rate = (/** @type {string} */ name) => (KEYS / /** @type {number} */ (ms[name])) * 1000
    return [
      result(
        `evict, ${KEYS - KEPT} of ${KEYS} keys by lru`,
        'ioredis: IDLETIME, sort, UNLINK',
        rate('evict'),
        rate('ioredis'),
        'keys/s',
      ),
    ]
  } finally {
    await server.stop()
    await rm(folder, { recursive: true, force: true })
  }
}

/** @param {string} socket */
async function fill(socket) {
  await timed('redis-cli', ['-s', socket, 'FLUSHALL', 'SYNC'])
  const pipe = spawn('redis-cli', ['-s', socket, '--pipe'], { cwd: root, stdio: ['pipe', 'ignore', 'inherit'] })
  let text = ''
  for (let id = 0; id < KEYS; id++) {
    const words = [
      'SET',
      `shop:v1:detail:product:${id}`,
      'x'.repeat(40 + (id % 360)),
      'EX',
      String(600 + (id % 86_400)),
    ]
    text += `*${words.length}\r\n${words.map((word) => `$${word.length}\r\n${word}\r\n`).join('')}`
    if (text.length < 1 << 20 && id < KEYS - 1) continue
    if (!pipe.stdin.write(text)) await once(pipe.stdin, 'drain')
    text = ''
  }
  pipe.stdin.end()
  await once(pipe, 'close')
}
