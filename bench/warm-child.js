// The baselines of the warm bench, each in a process of its own: `ioredis <rows> <url>`, `resp <rows> <file>`.
import { once } from 'node:events'
import { createWriteStream } from 'node:fs'
import { Redis } from 'ioredis'
import { entry } from './warm-rows.js'

const [mode = '', count = '', where = ''] = process.argv.slice(2)
const rows = Number(count)

async function runIoredis() {
  const redis = new Redis({ path: where.replace(/^unix:(\/\/)?/, '') })
  await once(redis, 'ready')
  const startedMs = performance.now()
  for (let start = 0; start < rows; start += 500) {
    const pipeline = redis.pipeline()
    for (let id = start; id < start + 500; id++) pipeline.set(...entry(id), 'PX', 3_900_000, 'NX')
    await pipeline.exec()
  }
  process.stdout.write(JSON.stringify({ ms: performance.now() - startedMs }))
  redis.disconnect()
}

async function writeResp() {
  const out = createWriteStream(where)
  let text = ''
  for (let id = 0; id < rows; id++) {
    const [key, value] = entry(id)
    text += `*6\r\n$3\r\nSET\r\n$${key.length}\r\n${key}\r\n$${value.length}\r\n${value}\r\n$2\r\nPX\r\n$7\r\n3900000\r\n$2\r\nNX\r\n`
    if (text.length < 1 << 20 && id < rows - 1) continue
    if (!out.write(text)) await once(out, 'drain')
    text = ''
  }
  out.end()
  await once(out, 'finish')
}

await { ioredis: runIoredis, resp: writeResp }[mode]?.()
