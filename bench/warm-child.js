// One contestant of the warm bench in a process of its own: `warm <rows> <url>`, `ioredis <rows> <url>`, `resp <rows> <file>`.

import { once } from 'node:events'
import { createWriteStream } from 'node:fs'
import { Redis } from 'ioredis'
import { fn } from '../dist/adapters/sources/fn.js'
import { resolveConfig } from '../dist/config/resolve.js'
import { createEntryEncoder } from '../dist/core/entry.js'
import { createKeys } from '../dist/core/key.js'
import { openContext } from '../dist/ops/context.js'
import { warm } from '../dist/ops/warm.js'
import { planWarm } from '../dist/ops/warm-plan.js'

const [mode = '', count = '', where = ''] = process.argv.slice(2)
const rows = Number(count)

/** A row whose entry takes about 290 bytes. @param {number} id */
const row = (id) => ({
  id,
  name: `City of ${id}`,
  country: 'DE',
  population: (id * 7919) % 10_000_019,
  about: 'x'.repeat(110),
})

function* pages() {
  for (let start = 0; start < rows; start += 500) {
    const page = []
    for (let id = start; id < Math.min(rows, start + 500); id++) page.push(row(id))
    yield page
  }
}

/** The same entries, made beforehand. */
function entries() {
  const head = createKeys({ prefix: 'shop', tenantLabel: null }).head({
    namespace: 'detail',
    subject: 'city',
    version: '1',
    tenant: null,
  })
  const encode = createEntryEncoder({
    incarnation: 'AAAAAAAAAAAAAAAA',
    graceMs: 300_000,
    writer: 'bench',
    tags: [],
    compressAboveBytes: null,
  })
  const createdAtMs = Date.now()
  return (/** @type {number} */ id) => [
    head + id,
    String(encode(row(id), { createdAtMs, freshUntilMs: createdAtMs + 3_600_000, sourceVersion: null, deltaMs: 1 }).bytes),
  ]
}

async function runWarm() {
  const written = {
    redis: where,
    prefix: 'shop',
    version: 1,
    namespaces: { detail: { ttl: '1h' } },
    models: { city: { source: fn({ rows: pages, id: 'id' }), namespace: 'detail', warm: { strategy: 'all' } } },
  }
  const resolution = resolveConfig(written, { name: 'bench', file: 'bench', redis: null, env: null })
  if (!resolution.config) throw new Error(JSON.stringify(resolution.problems))
  const signal = new AbortController().signal
  const context = await openContext({
    loaded: { config: resolution.config, redis: resolution.config.redis },
    emit: () => undefined,
    signal,
  })
  const options = { targets: [], concurrency: 4, batch: 500, ifLocked: /** @type {const} */ ('fail'), dryRun: false }
  const startedMs = performance.now()
  const report = await warm(context, context.control(), planWarm(resolution.config, options, Date.now()), options)
  const ms = performance.now() - startedMs
  await context.close()
  if (report.exitCode !== 0) throw new Error(JSON.stringify(report.problems))
  const peakBytes = process.resourceUsage().maxRSS * 1024
  process.stdout.write(JSON.stringify({ ms, written: report.totals.written, peakBytes }))
}

async function runIoredis() {
  const entry = entries()
  const redis = new Redis({ path: where.replace(/^unix:(\/\/)?/, '') })
  await once(redis, 'ready')
  const startedMs = performance.now()
  for (let start = 0; start < rows; start += 500) {
    const pipeline = redis.pipeline()
    for (let id = start; id < Math.min(rows, start + 500); id++) {
      const [key = '', value = ''] = entry(id)
      pipeline.set(key, value, 'PX', 3_900_000, 'NX')
    }
    await pipeline.exec()
  }
  process.stdout.write(JSON.stringify({ ms: performance.now() - startedMs }))
  redis.disconnect()
}

async function writeResp() {
  const entry = entries()
  const out = createWriteStream(where)
  let text = ''
  for (let id = 0; id < rows; id++) {
    const [key = '', value = ''] = entry(id)
    text += `*6\r\n$3\r\nSET\r\n$${key.length}\r\n${key}\r\n$${value.length}\r\n${value}\r\n$2\r\nPX\r\n$7\r\n3900000\r\n$2\r\nNX\r\n`
    if (text.length < 1 << 20 && id < rows - 1) continue
    if (!out.write(text)) await once(out, 'drain')
    text = ''
  }
  out.end()
  await once(out, 'finish')
}

await { warm: runWarm, ioredis: runIoredis, resp: writeResp }[mode]?.()
