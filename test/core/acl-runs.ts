// Every verb as a user with few rights runs it, on a real server: a small cache is put there, the verb is run in this process, what was refused is read.
import { Redis } from 'ioredis'
import { createProject, type Project } from '../cli/spawned.ts'
import { cachectl } from '../cli/test-io.ts'
import { startRedis, type TestRedis } from '../servers.ts'

const CONFIG = `
const rows = [1, 2, 3].map((id) => ({ id, row: { id, name: 'p' + id }, version: String(id), tenant: null }))
const source = {
  kind: 'test', reads: 'page', strategies: ['all', 'ids'],
  async *select() { yield rows },
  async load(ids) { return rows.filter(({ id }) => ids.map(String).includes(String(id))) },
  identify: ({ id }) => ({ id, tenant: null }),
}
export default {
  prefix: 'shop', version: 1,
  namespaces: { detail: { ttl: '1h', grace: '5m', budget: { maxKeys: 1 } }, list: { ttl: '5m' } },
  models: { product: { source, namespace: 'detail', tenant: false, warm: { strategy: 'all' } } },
  server: { policy: 'allkeys-lru', maxmemory: '1gb' },
}
`

/** Command lines that send all that the verb may send. */
export const VERB_RUNS: Readonly<Record<string, readonly string[]>> = {
  stats: ['stats --interval 1ms'],
  keys: ['keys all --age'],
  get: ['get shop:v1:detail:product:1'],
  why: ['why shop:v1:detail:product:1'],
  doctor: ['doctor --touch --source'],
  history: ['history'],
  'version show': ['version show'],
  'lock show': ['lock show'],
  'policy check': ['policy check'],
  'evict --check': ['evict --check'],
  warm: ['warm product --refresh'],
  invalidate: [
    'invalidate product --yes --max-percent 100',
    'invalidate key:shop:v1:detail:product:1 --yes --max-percent 100',
    'invalidate pattern:shop:v1:detail:* --yes --max-percent 100',
    'invalidate tag:x --yes',
    'invalidate pattern:shop:v1:detail:product:* --soft --yes --max-percent 100',
    'invalidate product --over 1m --yes --max-percent 100',
  ],
  expire: ['expire product --ttl 10m --yes --max-percent 100', 'expire product --ttl 2h --yes --max-percent 100'],
  'version bump': ['version bump product --yes --max-percent 100'],
  'version prune': ['version prune --yes --wait 1ms --max-percent 100'],
  evict: ['evict --yes --max-percent 100', 'evict --policy ttl --yes --max-percent 100'],
  'lock release': ['lock release warm:product --yes'],
  'policy apply': ['policy apply --yes --max-percent 100'],
}

/** DUMP as bytes. */
async function dumpOf(redis: TestRedis, key: string): Promise<Buffer> {
  const admin = new Redis({ path: redis.socketUrl.slice('unix:'.length) })
  try {
    return (await admin.dumpBuffer(key)) as Buffer
  } finally {
    admin.disconnect()
  }
}

export interface AclServer {
  redis: TestRedis
  /** Makes the user one with exactly these rules. */
  allow(rules: readonly string[]): Promise<void>
  run(line: string): Promise<{ exitCode: number; stdout: string; stderr: string; denied: string[] }>
  stop(): Promise<void>
}

export async function startAclServer(): Promise<AclServer> {
  const redis = await startRedis({ port: 0 })
  const project: Project = createProject({ 'cache.config.mjs': CONFIG })
  const at = (user: string) => `redis://${user}127.0.0.1:${redis.port}`
  const call = (line: string, user = '') =>
    cachectl(line.split(' '), {
      cwd: project.folder,
      env: { CACHECTL_REDIS: at(user), XDG_STATE_HOME: project.folder },
    })
  const warmed = await call('warm -q')
  if (warmed.exitCode !== 0) throw new Error(warmed.stderr)
  const seed: (readonly [string, Buffer, number])[] = []
  for (const key of (await redis.call('KEYS', '*')) as string[])
    seed.push([key, await dumpOf(redis, key), Number(await redis.call('PTTL', key))])
  const reset = async () => {
    await redis.call('FLUSHALL')
    for (const [key, dump, ttl] of seed) await redis.call('RESTORE', key, Math.max(0, ttl), dump)
    const lock = JSON.stringify({ holder: 'web:1', since: '2026-11-21T03:04:05Z', token: 'x' })
    await redis.call('SET', 'shop~lock:warm:other', lock)
    // Of an older generation: something to prune.
    const [, dump] = seed.find(([key]) => key === 'shop:v1:detail:product:1') as (typeof seed)[number]
    await redis.call('RESTORE', 'shop:v1:detail~old:product:1', 0, dump)
    // A process with copies: it does not answer, and is waited for as long as it trusts them.
    const process = JSON.stringify({ seenAt: Date.now(), host: 'web', pid: 1, heartbeatMs: 20, versions: ['1'] })
    await redis.call('HSET', 'shop~processes', 'created', '1', 'p1', process)
    await redis.call('CONFIG', 'SET', 'maxmemory', '0', 'maxmemory-policy', 'noeviction')
    await redis.call('ACL', 'LOG', 'RESET')
  }
  return {
    redis,
    async allow(rules) {
      await redis.call('ACL', 'SETUSER', 'ops', 'reset', 'on', '>secret', ...rules)
    },
    async run(line) {
      await reset()
      if (line.startsWith('lock release')) await redis.call('RENAME', 'shop~lock:warm:other', 'shop~lock:warm:product')
      const ended = await call(line, 'ops:secret@')
      const log = (await redis.call('ACL', 'LOG', '128')) as (string | number)[][]
      const denied = log.map((entry) => {
        const fields = Object.fromEntries(
          entry.flatMap((name, index) => (index % 2 === 0 ? [[name, entry[index + 1]]] : [])),
        )
        return fields.reason === 'command' ? String(fields.object) : `${fields.reason} ${fields.object}`
      })
      return { ...ended, denied: [...new Set(denied)].filter((name) => name !== 'client|setname') }
    },
    async stop() {
      project.remove()
      await redis.stop()
    },
  }
}
