// A client beside a walk: one GET a millisecond until standard input ends; prints `ready`, then the 99th percentile in milliseconds.
import { setTimeout as delay } from 'node:timers/promises'
import { Redis } from 'ioredis'

const redis = new Redis({ path: process.argv[2] ?? '' })
/** @type {number[]} */
const times = []
let ended = false
process.stdin.on('end', () => {
  ended = true
})
process.stdin.resume()
await redis.ping()
process.stdout.write('ready\n')
while (!ended) {
  const startedMs = performance.now()
  await redis.get('bench:v1:detail:city:1')
  times.push(performance.now() - startedMs)
  await delay(1)
}
redis.disconnect()
times.sort((a, b) => a - b)
process.stdout.write(`${times[Math.floor(times.length * 0.99)] ?? 0}\n`)
