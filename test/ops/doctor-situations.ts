// What can be wrong, made on a real server: each situation does one thing to a healthy cache, and names the finding that must come of it.
import { connect, type Socket } from 'node:net'
import type { ResolvedConfig } from '../../src/config/resolved.ts'
import { recordFields } from '../../src/core/journal-entry.ts'
import { generationsKey, HISTORY_FIELD, journalKey, leaseKey, lockKey, processesKey } from '../../src/core/key.ts'
import type { OperationContext } from '../../src/ops/context.ts'
import type { TestRedis } from '../servers.ts'
import { countReads, doctorConfig, keyOf, putEntry, rowsSource } from './doctor-cache.ts'

const MB = 1024 ** 2

export interface Situation {
  finding: string
  /** does it; what it opened is closed by what it returns */
  make(redis: TestRedis): Promise<unknown>
  config?: (url: string) => ResolvedConfig
  context?: Partial<OperationContext>
  /** rules of the user that looks */
  user?: readonly string[]
}

const bytesUsed = async (redis: TestRedis): Promise<number> =>
  Number(/used_memory:(\d+)/.exec(String(await redis.call('INFO', 'memory')))?.[1])

/** Values of 9 MB: enough that the rest of the memory makes no difference, and none of them a big key. */
async function fill(redis: TestRedis, values = 4): Promise<void> {
  for (let index = 0; index < values; index++)
    await redis.call('SET', `shop:v1:detail:product:large${index}`, '', 'PX', '60000')
  for (let index = 0; index < values; index++)
    await redis.call('SETRANGE', `shop:v1:detail:product:large${index}`, 9 * MB, 'x')
}

async function limitTo(redis: TestRedis, share: number, policy: string): Promise<void> {
  await fill(redis)
  await redis.call(
    'CONFIG',
    'SET',
    'maxmemory-policy',
    policy,
    'maxmemory',
    Math.ceil((await bytesUsed(redis)) / share),
  )
}

/** Sockets that are closed together. */
function hold(sockets: readonly Socket[]): () => void {
  return () => {
    for (const socket of sockets) socket.destroy()
  }
}

async function dial(redis: TestRedis): Promise<Socket> {
  const socket = connect(redis.socketUrl.slice('unix:'.length))
  socket.on('error', () => {})
  await new Promise((resolve) => socket.once('connect', resolve))
  return socket
}

const until = async (condition: () => Promise<boolean>): Promise<void> => {
  const deadlineMs = performance.now() + 10_000
  while (!(await condition())) {
    if (performance.now() > deadlineMs) throw new Error('it did not come to that in 10 s')
    await new Promise((resolve) => setTimeout(resolve, 5))
  }
}

const journalRecord = { op: 'op1', verb: 'invalidate', what: ['product'], who: 'ops@gone:1', config: null } as const

export const SITUATIONS: readonly Situation[] = [
  { finding: 'clock-skew', make: async () => {}, context: { clock: { now: () => Date.now() + 5_000 } } },
  {
    finding: 'rights-missing',
    make: async () => {},
    user: ['~shop:*', '~shop~*', '&*', '+@all', '-unlink'],
  },
  {
    finding: 'clients-near-limit',
    async make(redis) {
      await redis.call('CONFIG', 'SET', 'maxclients', '60')
      return hold(await Promise.all(Array.from({ length: 53 }, () => dial(redis))))
    },
  },
  {
    finding: 'client-buffers',
    async make(redis) {
      await redis.call('SETRANGE', 'shop:v1:detail:product:1', 5 * MB, 'x')
      const socket = await dial(redis)
      socket.pause()
      socket.write('GET shop:v1:detail:product:1\r\n'.repeat(8))
      await until(async () => / omem=[1-9]\d{7}/.test(String(await redis.call('CLIENT', 'LIST'))))
      return hold([socket])
    },
  },
  {
    finding: 'slow-commands',
    async make(redis) {
      await redis.call('CONFIG', 'SET', 'slowlog-log-slower-than', '0')
      for (let index = 0; index < 10; index++) await redis.call('GET', keyOf('product', 1))
      await redis.call('CONFIG', 'SET', 'slowlog-log-slower-than', '1000000')
    },
  },
  { finding: 'memory-full', make: (redis) => limitTo(redis, 0.97, 'noeviction') },
  { finding: 'memory-high', make: (redis) => limitTo(redis, 0.87, 'noeviction') },
  { finding: 'no-maxmemory', make: (redis) => redis.call('CONFIG', 'SET', 'maxmemory', '0') },
  {
    finding: 'nothing-to-evict',
    async make(redis) {
      for (let index = 0; index < 30; index++) await redis.call('SET', `sess:${index}`, 'x')
      await limitTo(redis, 0.9, 'volatile-lru')
    },
  },
  {
    finding: 'never-evicted',
    async make(redis) {
      for (let index = 0; index < 30; index++) await redis.call('SET', `sess:${index}`, 'x')
    },
  },
  { finding: 'control-evictable', make: (redis) => redis.call('CONFIG', 'SET', 'maxmemory-policy', 'allkeys-lru') },
  { finding: 'policy-drift', make: (redis) => redis.call('CONFIG', 'SET', 'maxmemory-policy', 'allkeys-lru') },
  {
    finding: 'evictions',
    async make(redis) {
      await redis.call('CONFIG', 'SET', 'maxmemory-policy', 'allkeys-random')
      await redis.call('CONFIG', 'SET', 'maxmemory', (await bytesUsed(redis)) + MB)
      const script = "for i = 1, 400 do redis.call('SET', ARGV[1] .. i, ARGV[2], 'PX', 60000) end"
      for (let page = 0; page < 12; page++) await redis.call('EVAL', script, 0, `x${page}:`, 'x'.repeat(1_000))
    },
  },
  {
    finding: 'hit-rate-low',
    make: (redis) => redis.call('EVAL', "for i = 1, 10001 do redis.call('GET', 'nothing') end", 0),
  },
  {
    finding: 'other-databases',
    async make(redis) {
      await redis.call('SET', 'moved', 'x')
      await redis.call('MOVE', 'moved', 3)
    },
  },
  { finding: 'no-ttl', make: (redis) => redis.call('PERSIST', keyOf('product', 1)) },
  { finding: 'ttl-too-long', make: (redis) => redis.call('PEXPIRE', keyOf('product', 1), 36_000_000) },
  { finding: 'undeclared', make: (redis) => redis.call('SET', 'sess:1', 'x', 'PX', 60_000) },
  { finding: 'not-cached', make: (redis) => redis.call('DEL', ...[1, 2, 3].map((id) => keyOf('product', id))) },
  { finding: 'big-key', make: (redis) => redis.call('SETRANGE', keyOf('product', 1), 11 * MB, 'x') },
  {
    finding: 'dead-keys',
    async make(redis) {
      for (let id = 0; id < 120; id++) await putEntry(redis, `shop:v1:detail~old:product:${id}`, { id })
    },
  },
  { finding: 'orphan-leases', make: (redis) => redis.call('SET', leaseKey('shop', keyOf('product', 1)), 'x') },
  {
    finding: 'lock-held',
    make: (redis) =>
      redis.call(
        'SET',
        lockKey('shop', 'warm:product'),
        JSON.stringify({ holder: 'web:1', since: '2026-01-01T00:00:00Z' }),
      ),
  },
  {
    finding: 'never-read',
    async make(redis) {
      for (let id = 0; id < 100; id++) await putEntry(redis, keyOf('product', `page_${id}`, null, 'list'), [{ id }])
    },
  },
  { finding: 'bytes-unknown', make: async () => {}, user: ['~shop:*', '~shop~*', '&*', '+@all', '-memory'] },
  { finding: 'flushed', make: (redis) => redis.call('FLUSHALL') },
  { finding: 'incarnation-missing', make: (redis) => redis.call('DEL', generationsKey('shop')) },
  {
    finding: 'other-history',
    make: (redis) => redis.call('HSET', generationsKey('shop'), HISTORY_FIELD, 'f'.repeat(40)),
  },
  {
    finding: 'other-incarnation',
    async make(redis) {
      for (let id = 0; id < 20; id++)
        await putEntry(redis, keyOf('product', id), { id }, { incarnation: 'ponmlkjihgfedcba' })
    },
  },
  { finding: 'undecodable', make: (redis) => redis.call('SET', keyOf('product', 9), 'cctl9?', 'PX', 60_000) },
  {
    finding: 'warm-old',
    async make(redis) {
      for (const id of [1, 2, 3]) await putEntry(redis, keyOf('product', id), { id }, { ageMs: 630_000 })
    },
  },
  {
    finding: 'cheap-loads',
    async make(redis) {
      for (const id of [4, 5, 6]) await putEntry(redis, keyOf('product', id), { id })
      await countReads(redis, { 'detail:product::load': 50, 'detail:product::us': 50 })
    },
  },
  { finding: 'tenant-mixed', make: (redis) => putEntry(redis, keyOf('order', 21, '7'), { id: 21, org_id: 8 }) },
  {
    finding: 'stale-rows',
    make: async () => {},
    config: (url) => doctorConfig(url, {}, rowsSource({ 2: '2' })),
  },
  {
    finding: 'process-silent',
    make: (redis) =>
      redis.call(
        'HSET',
        processesKey('shop'),
        'p1',
        JSON.stringify({ seenAt: Date.now() - 9_000, host: 'web', pid: 7, heartbeatMs: 5_000, versions: ['1'] }),
      ),
  },
  {
    finding: 'unfinished-runs',
    make: (redis) =>
      redis.call('XADD', journalKey('shop'), '*', ...recordFields({ ...journalRecord, phase: 'intent', ended: null })),
  },
]
