// Real Sentinel sets for tests: a primary, its replicas and the sentinels that watch it, on loopback, and failovers.
import { freePort, startRedis, type TestBinary, type TestRedis } from '../servers.ts'
import { inStep, until } from './until.ts'

export interface SentinelOptions {
  replicas?: number
  sentinels?: number
  /** how long a primary must be silent to be taken for dead */
  downAfterMs?: number
  binary?: TestBinary
  /** all of them speak TLS alone, also to each other */
  tls?: boolean
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
  /** The same; resolves when all sentinels name the new primary. The old one goes on as one until `end`. */
  promote(): Promise<Takeover>
  /** SIGSTOP until all sentinels name another one, then SIGCONT: as `promote` from then on. */
  stallPrimary(): Promise<Takeover>
  /** SIGKILL; resolves with the new primary when all sentinels name it. */
  killPrimary(): Promise<TestRedis>
  stop(): Promise<void>
}

export interface Takeover {
  old: TestRedis
  primary: TestRedis
  /** Resolves when the old primary follows the new one. */
  end(): Promise<void>
}

const NAME = 'cache'
/** Four of these is how long a sentinel lets an old primary be before it makes it a replica. */
const PATIENT_MS = 10_000
/** as it is where nobody changed it */
const USUAL_MS = 2_000
const HURRIED_MS = 500

/** Starts a primary with replicas, and the sentinels that watch it; the caller stops it. */
export async function startSentinel(options: SentinelOptions = {}): Promise<TestSentinel> {
  const { replicas = 1, sentinels: wanted = 3, downAfterMs = 500, binary, tls = false, args = [] } = options
  const common = { ...(binary ? { binary } : {}), tls }
  const ofTls = tls ? ['--tls-replication', 'yes'] : []
  const start = (more: readonly string[], port: number) =>
    startRedis({ port, args: [...more, ...ofTls, ...args], ...common })
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
    const startOne = async () => startRedis({ port: await freePort(), sentinel: true, args: ofTls, ...common })
    sentinels.push(...(await Promise.all(Array.from({ length: wanted }, startOne))))
    await Promise.all(sentinels.map((sentinel) => monitor(sentinel, port, Math.floor(wanted / 2) + 1, downAfterMs)))
    await Promise.all(sentinels.map((sentinel) => knowsAll(sentinel, replicas, wanted)))
    // A promoted replica, too, which a sentinel must be told of first.
    await publishEvery(sentinels, HURRIED_MS)
  } catch (error) {
    await stop()
    throw error
  }
  return sentinelOf(nodes, sentinels, stop, tls)
}

async function publishEvery(sentinels: readonly TestRedis[], ms: number): Promise<void> {
  await Promise.all(sentinels.map((sentinel) => sentinel.call('SENTINEL', 'DEBUG', 'PUBLISH-PERIOD', ms)))
}

async function monitor(sentinel: TestRedis, port: number, quorum: number, downAfterMs: number): Promise<void> {
  // Hurries what else takes ten seconds; a busy machine is not taken for a clock that jumped.
  const periods = [
    'INFO-PERIOD',
    100,
    'PUBLISH-PERIOD',
    100,
    // Five of these is how old the word of a replica may be for it to be promoted; while its primary is down it is asked once a second.
    'PING-PERIOD',
    300,
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
  tls: boolean,
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
  const ask = () => (sentinels[0] as TestRedis).call('SENTINEL', 'FAILOVER', NAME).then(() => true)
  const begin = async (old: TestRedis) => {
    // One that has just ended is refused until it is forgotten.
    await until('a failover begins', ask)
    // On a busy machine it may be given up.
    const askAgain = async () => (await primary()) === old && ask()
    const again = setInterval(() => void askAgain().catch(() => {}), 5_000)
    return () => clearInterval(again)
  }
  const follows = async (old: TestRedis, now: TestRedis) => {
    await publishEvery(sentinels, HURRIED_MS)
    await until('the old one follows', async () => String(await old.call('ROLE')).startsWith('slave'))
    await inStep(old)
    await until('the new primary feeds it', () => feeds(now, 1))
  }
  /** `begin` gives what is to be done when another one is named. */
  const takeover = async (begin: (old: TestRedis) => Promise<() => void>): Promise<Takeover> => {
    const old = await primary()
    await publishEvery(sentinels, USUAL_MS)
    const named = await begin(old)
    const now = await another(old).finally(named)
    await publishEvery(sentinels, PATIENT_MS)
    return { old, primary: now, end: () => follows(old, now) }
  }
  const stall = async ({ pid }: TestRedis) => {
    process.kill(pid, 'SIGSTOP')
    return () => void process.kill(pid, 'SIGCONT')
  }
  const failover = async () => {
    const old = await primary()
    const begun = await begin(old)
    const now = await another(old).finally(begun)
    await follows(old, now)
    return now
  }
  const url = `redis${tls ? 's' : ''}+sentinel://${sentinels.map(({ port }) => `127.0.0.1:${port}`).join(',')}/${NAME}`
  return {
    url,
    name: NAME,
    sentinels,
    nodes,
    primary,
    failover,
    promote: () => takeover(begin),
    stallPrimary: () => takeover(stall),
    async killPrimary() {
      const old = await primary()
      await old.stop()
      return another(old)
    },
    stop,
  }
}
