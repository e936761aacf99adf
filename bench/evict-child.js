// What a person would write to trim a cache: SCAN, OBJECT IDLETIME in pipelines, sort, UNLINK. Prints its milliseconds.
import { Redis } from 'ioredis'

const [path = '', most = '0'] = process.argv.slice(2)
const redis = new Redis({ path })
const startedMs = performance.now()
/** @type {[string, number][]} */
const keys = []
let cursor = '0'
do {
  const [next, found] = await redis.scan(cursor, 'MATCH', 'shop:v1:detail:*', 'COUNT', 1000)
  cursor = next
  const pipeline = redis.pipeline()
  for (const key of found) pipeline.object('IDLETIME', key)
  const replies = (await pipeline.exec()) ?? []
  for (const [index, key] of found.entries()) keys.push([key, Number(replies[index]?.[1])])
} while (cursor !== '0')
keys.sort((a, b) => b[1] - a[1])
const gone = keys.slice(0, keys.length - Number(most)).map(([key]) => key)
for (let start = 0; start < gone.length; start += 1000) await redis.unlink(...gone.slice(start, start + 1000))
process.stdout.write(JSON.stringify({ ms: performance.now() - startedMs, evicted: gone.length }))
redis.disconnect()
