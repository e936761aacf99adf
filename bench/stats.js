// Measuring a million foreign keys without a config, beside `redis-cli --memkeys`, which knows neither groups nor TTLs.
import { spawn } from 'node:child_process'
import { once } from 'node:events'
import { tmpdir } from 'node:os'
import { fileURLToPath } from 'node:url'
import { bestOf, result, root, socketOf, startRedis, timed } from './measure.js'

const KEYS = 1_000_000
const cachectl = fileURLToPath(new URL('../bin/cachectl.js', import.meta.url))

/** @param {(text: string) => void} say */
export async function benchStats(say) {
  const server = await startRedis()
  try {
    const socket = socketOf(server)
    say(`filling ${KEYS} keys`)
    await fill(socket)
    say('measuring, 2 rounds')
    /** @type {any} */
    let report
    const measure = async (/** @type {string[]} */ ...flags) => {
      const { ms, stdout } = await timed(
        process.execPath,
        [cachectl, 'stats', '--redis', server.url, '--json', ...flags],
        { cwd: tmpdir() },
      )
      report = JSON.parse(stdout)
      return ms
    }
    const ms = await bestOf(2, {
      memkeys: async () => (await timed('redis-cli', ['-s', socket, '--memkeys'])).ms,
      full: () => measure('--full'),
    })
    const total = report.groups.reduce(
      (/** @type {number} */ sum, /** @type {{ keys: number }} */ group) => sum + group.keys,
      0,
    )
    if (total !== KEYS) throw new Error(`stats counted ${total} of ${KEYS} keys`)
    const sampledMs = (await bestOf(3, { sampled: () => measure() })).sampled ?? 0
    const fullMs = /** @type {number} */ (ms.full)
    const rate = (/** @type {number} */ took) => (KEYS / took) * 1000
    return [
      result(
        'stats --full, 1M keys',
        'redis-cli --memkeys',
        rate(fullMs),
        rate(/** @type {number} */ (ms.memkeys)),
        'keys/s',
      ),
      result('stats, sampled, 1M keys', 'stats --full', sampledMs, fullMs, 'ms'),
    ]
  } finally {
    await server.stop()
  }
}

/** Strings and hashes of five patterns, three quarters of them with a TTL. @param {string} socket */
async function fill(socket) {
  const child = spawn('redis-cli', ['-s', socket, '--pipe'], { cwd: root, stdio: ['pipe', 'ignore', 'inherit'] })
  let text = ''
  const command = (/** @type {(string | number)[]} */ ...words) => {
    text += `*${words.length}\r\n${words.map((word) => `$${String(word).length}\r\n${word}\r\n`).join('')}`
  }
  const patterns = ['session:%', 'user:%:profile', 'user:%:cart', 'product:%', 'page:/c/%']
  for (let id = 0; id < KEYS; id++) {
    const key = /** @type {string} */ (patterns[id % 5]).replace('%', String(id))
    if (id % 10 === 0) command('HSET', key, 'name', `n${id}`, 'about', 'x'.repeat(40 + (id % 200)))
    else if (id % 4 === 0) command('SET', key, 'x'.repeat(40 + (id % 360)))
    else command('SET', key, 'x'.repeat(40 + (id % 360)), 'EX', 600 + (id % 86_400))
    if (text.length < 1 << 20 && id < KEYS - 1) continue
    if (!child.stdin.write(text)) await once(child.stdin, 'drain')
    text = ''
  }
  child.stdin.end()
  await once(child, 'close')
}
