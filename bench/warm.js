// Warming a million rows from a function source, all guards on, beside `redis-cli --pipe` of the same SETs and beside ioredis pipelines.
import { mkdtemp, readFile, rm } from 'node:fs/promises'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { fileURLToPath } from 'node:url'
import { bestOf, result, socketOf, startRedis, timed } from './measure.js'
import { ROWS } from './warm-rows.js'

/** ioredis is several times slower: fewer rows give the same rate in less time. */
const IOREDIS_ROWS = 200_000
const ROUNDS = 2
const [cachectl, config, child] = ['../bin/cachectl.js', './warm.config.mjs', './warm-child.js'].map((path) =>
  fileURLToPath(new URL(path, import.meta.url)),
)

/** @param {(text: string) => void} say */
export async function benchWarm(say) {
  const folder = await mkdtemp(join(tmpdir(), 'cachectl-bench-'))
  const server = await startRedis()
  try {
    const file = join(folder, 'sets.resp')
    say(`writing the SETs of ${ROWS} entries for redis-cli --pipe`)
    await timed(process.execPath, [child, 'resp', String(ROWS), file])
    const socket = socketOf(server)
    const empty = () => timed('redis-cli', ['-s', socket, 'FLUSHALL', 'SYNC'])
    let peakBytes = 0
    say(`warming, ${ROUNDS} rounds`)
    const ms = await bestOf(ROUNDS, {
      pipe: async () => {
        await empty()
        return (await timed('redis-cli', ['-s', socket, '--pipe'], { input: file })).ms
      },
      warm: async () => {
        await empty()
        const env = { REDIS_URL: server.url, BENCH_RSS_FILE: join(folder, 'rss') }
        const { stdout } = await timed(process.execPath, [cachectl, 'warm', '--json', '--config', config], { env })
        const report = JSON.parse(stdout)
        if (report.totals.written !== ROWS) throw new Error(`warm wrote ${report.totals.written} of ${ROWS}`)
        peakBytes = Math.max(peakBytes, Number(await readFile(env.BENCH_RSS_FILE, 'utf8')))
        return report.durationMs
      },
      ioredis: async () => {
        await empty()
        return JSON.parse((await timed(process.execPath, [child, 'ioredis', String(IOREDIS_ROWS), server.url])).stdout)
          .ms
      },
    })
    const rate = (/** @type {number} */ rows, /** @type {string} */ name) =>
      (rows / /** @type {number} */ (ms[name])) * 1000
    return [
      result(
        'warm, 1M rows of a function',
        'redis-cli --pipe of the same SETs',
        rate(ROWS, 'warm'),
        rate(ROWS, 'pipe'),
        'entries/s',
      ),
      result(
        'warm, 1M rows of a function',
        'ioredis pipelines of 500 SETs',
        rate(ROWS, 'warm'),
        rate(IOREDIS_ROWS, 'ioredis'),
        'entries/s',
      ),
      result('warm, 1M rows: peak RSS', 'the limit of 150 MB', peakBytes / 2 ** 20, 150, 'MB'),
    ]
  } finally {
    await server.stop()
    await rm(folder, { recursive: true, force: true })
  }
}
