// A million rows of about 290 bytes from a function; tells how much memory the process that loaded it has taken.
import { writeFileSync } from 'node:fs'
import { defineConfig, fn } from 'cachectl'
import { ROWS, row } from './warm-rows.js'

function* pages() {
  for (let start = 0; start < ROWS; start += 500) yield Array.from({ length: 500 }, (_, index) => row(start + index))
}

process.on('exit', () => {
  if (process.env.BENCH_RSS_FILE)
    writeFileSync(process.env.BENCH_RSS_FILE, String(process.resourceUsage().maxRSS * 1024))
})

export default defineConfig({
  redis: process.env.REDIS_URL,
  prefix: 'shop',
  namespaces: { detail: { ttl: '1h' } },
  models: { city: { source: fn({ rows: pages, id: 'id' }), warm: { strategy: 'all' } } },
})
