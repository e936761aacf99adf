// Real Sentinel sets for tests: a primary, its replicas and the sentinels that watch it, on loopback, and failovers.
import { freePort, startRedis, type TestBinary, type TestRedis } from '../servers.ts'
import { inStep, until } from './until.ts'

export interface SentinelOptions {
  replicas?: number
  sentinels?: number
  /** how long a primary must be silent to be taken for dead */
  downAfterMs?: number
  binary?: TestBinary
  /** more arguments of the primary and its replicas */
  args?: readonly string[]
}

export interface TestSentinel {
  /** `redis+sentinel://127.0.0.1:26379,127.0.0.1:26380/cache` */
  readonly url: string
  readonly name: string
  readonly sentinels: readonly TestRedis[]
  /** the primary of the start and its replicas */
  readonly nodes: readonly TestRedis[]
  /** The server that the sentinels name. */
  primary(): Promise<TestRedis>
  /** SENTINEL FAILOVER; resolves with the new primary when the old one has become its replica. */
  failover(): Promise<TestRedis>
  /** SIGKILL; resolves with the new primary when all sentinels name it. */
  killPrimary(): Promise<TestRedis>
  stop(): Promise<void>
}

const NAME = 'cache'

/** Starts a primary with replicas, and the sentinels that watch it; the caller stops it. */
export async function startSentinel(options: SentinelOptions = {}): Promise<TestSentinel> {
  const { replicas = 1, sentinels: wanted = 3, downAfterMs = 500, binary, args = [] } = options
  const ofBinary = binary ? { binary } : {}
  const start = (more: readonly string[], port: number) => startRedis({ port, args: [...more, ...args], ...ofBinary })
  const port = await freePort()
  const nodes = [await start(['--repl-diskless-sync-delay', '0'], port)]
  const sentinels: TestRedis[] = []
  const stop = async () => {
    await Promise.all([...sentinels, ...nodes].map((node) => node.stop()))
  }
  try {
    const follow = ['--replicaof', '127.0.0.1', `${port}`, '--repl-diskless-sync-delay', '0']
    nodes.push(...(await Promise.all(Array.from({ length: replicas }, async () => start(follow, await freePort())))))
    await Promise.all(nodes.slice(1).map(inStep))
    await until('the primary feeds its replicas', () => feeds(nodes[0] as TestRedis, replicas))
    const startOne = async () => startRedis({ port: await freePort(), sentinel: true, ...ofBinary })
    sentinels.push(...(await Promise.all(Array.from({ length: wanted }, startOne))))
    await Promise.all(sentinels.map((sentinel) => monitor(sentinel, port, Math.floor(wanted / 2) + 1, downAfterMs)))
    await Promise.all(sentinels.map((sentinel) => knowsAll(sentinel, replicas, wanted)))
    // Four of these is how long a sentinel lets a promoted replica be before it makes it follow the primary that it knows; it must be told first.
    await Promise.all(sentinels.map((sentinel) => sentinel.call('SENTINEL', 'DEBUG', 'PUBLISH-PERIOD', 500)))
  } catch (error) {
    await stop()
    throw error
  }
  return sentinelOf(nodes, sentinels, stop)
}

async function monitor(sentinel: TestRedis, port: number, quorum: number, downAfterMs: number): Promise<void> {
  // Hurries what else takes ten seconds; a busy machine is not taken for a clock that jumped.
  const periods = [
    'INFO-PERIOD',
    100,
    'PUBLISH-PERIOD',
    100,
    'PING-PERIOD',
    100,
    'ASK-PERIOD',
    100,
    'TILT-TRIGGER',
    30_000,
  ]
  await sentinel.call('SENTINEL', 'DEBUG', ...periods)
  await sentinel.call('SENTINEL', 'MONITOR', NAME, '127.0.0.1', port, quorum)
  await sentinel.call('SENTINEL', 'SET', NAME, 'down-after-milliseconds', downAfterMs)
  await sentinel.call('SENTINEL', 'SET', NAME, 'failover-timeout', 2_000)
  await sentinel.call('SENTINEL', 'SET', NAME, 'parallel-syncs', 5)
}

/** A replica may have its copy before its primary sends it what is written since: until the first acknowledgement, within a second. */
async function feeds(primary: TestRedis, replicas: number): Promise<boolean> {
  const info = String(await primary.call('INFO', 'replication'))
  return (info.match(/^slave\d+:.*state=online/gm) ?? []).length >= replicas
}

async function masterFields(sentinel: TestRedis): Promise<Map<string, string>> {
  const fields = (await sentinel.call('SENTINEL', 'MASTER', NAME)) as string[]
  return new Map(Array.from({ length: fields.length / 2 }, (_, at) => [fields[2 * at] ?? '', fields[2 * at + 1] ?? '']))
}

async function knowsAll(sentinel: TestRedis, replicas: number, sentinels: number): Promise<void> {
  await until('the sentinels know each other', async () => {
    const fields = await masterFields(sentinel)
    return fields.get('num-slaves') === `${replicas}` && fields.get('num-other-sentinels') === `${sentinels - 1}`
  })
}

function sentinelOf(
  nodes: readonly TestRedis[],
  sentinels: readonly TestRedis[],
  stop: () => Promise<void>,
): TestSentinel {
  const named = async (sentinel: TestRedis): Promise<TestRedis> => {
    const [, port] = (await sentinel.call('SENTINEL', 'GET-MASTER-ADDR-BY-NAME', NAME)) as [string, string]
    return nodes.find((node) => node.port === Number(port)) as TestRedis
  }
  const primary = () => named(sentinels[0] as TestRedis)
  const another = async (old: TestRedis): Promise<TestRedis> => {
    await until('all sentinels name another primary', async () => {
      const all = await Promise.all(sentinels.map(named))
      return all[0] !== old && all.every((node) => node === all[0])
    })
    const now = await primary()
    await until('it is one', async () => String(await now.call('ROLE')).startsWith('master'))
    return now
  }
  const failover = async () => {
    const old = await primary()
    // One that has just ended is refused until it is forgotten.
    await until('a failover begins', () =>
      (sentinels[0] as TestRedis).call('SENTINEL', 'FAILOVER', NAME).then(() => true),
    )
    const now = await another(old)
    await until('the old one follows', async () => String(await old.call('ROLE')).startsWith('slave'))
    await inStep(old)
    await until('the new primary feeds it', () => feeds(now, 1))
    return now
  }
  const url = `redis+sentinel://${sentinels.map(({ port }) => `127.0.0.1:${port}`).join(',')}/${NAME}`
  return {
    url,
    name: NAME,
    sentinels,
    nodes,
    primary,
    failover,
    async killPrimary() {
      const old = await primary()
      await old.stop()
      return another(old)
    },
    stop,
  }
}
