// Real Clusters for tests: servers on loopback that keep nothing, and what an operator does to them: slots move, replicas take over, nodes die.
import { freePort, startRedis, type TestBinary, type TestRedis } from '../servers.ts'
import { inStep, until } from './until.ts'

export interface ClusterOptions {
  masters?: number
  /** of each master */
  replicas?: number
  binary?: TestBinary
  /** they speak TLS alone, also to each other */
  tls?: boolean
  /** how long a node must be silent to be taken for dead */
  nodeTimeoutMs?: number
  /** more arguments of each server */
  args?: readonly string[]
}

export interface ClusterNode extends TestRedis {
  readonly id: string
  readonly port: number
  /** of the master that it was started as a replica of; null: it was started as a master */
  readonly replicaOf: ClusterNode | null
}

export interface TestCluster {
  /** of all masters, as they were at the start */
  readonly urls: readonly string[]
  readonly nodes: readonly ClusterNode[]
  readonly masters: readonly ClusterNode[]
  slotOf(key: string | Buffer): Promise<number>
  /** The master that serves this slot, by its own word. */
  ownerOf(slot: number): Promise<ClusterNode>
  /** MIGRATING and IMPORTING: from here on keys that are not there are asked for at the target (ASK). */
  beginMove(slot: number, to: ClusterNode): Promise<void>
  /** Moves the keys that are there, at most so many. */
  moveKeys(slot: number, to: ClusterNode, atMost?: number): Promise<void>
  /** The slot is the target's, with what is in it. */
  endMove(slot: number, to: ClusterNode): Promise<void>
  /** These slots with their keys, as an operator moves them; what is at the target already stays. */
  moveSlots(slots: readonly number[], to: ClusterNode): Promise<void>
  /** The slot of this key goes to the next master, which is given back. */
  moveSlotOfKey(key: string | Buffer): Promise<ClusterNode>
  /** A replica of this master takes over and is given back; without `force` the two agree on it and nothing is lost. */
  failover(master: ClusterNode, how?: 'agreed' | 'force'): Promise<ClusterNode>
  /** SIGKILL. Where it has replicas, one of them takes over in time. */
  kill(node: ClusterNode): Promise<void>
  /** Resolves when all nodes that live say that the Cluster is well. */
  settled(): Promise<void>
  flush(): Promise<void>
  stop(): Promise<void>
}

const SLOTS = 16_384

/** Starts a Cluster whose masters have equal parts of the slots; the caller stops it. */
export async function startCluster(options: ClusterOptions = {}): Promise<TestCluster> {
  const { masters: wanted = 3, replicas = 0 } = options
  const started = await Promise.all(
    Array.from({ length: wanted * (1 + replicas) }, (_, index) => startNode(options, index + 1)),
  )
  const alive = new Set(started.map(({ pid }) => pid))
  const stop = async () => {
    await Promise.all(started.map((node) => node.stop()))
  }
  try {
    const nodes = await join(started, wanted)
    return clusterOf(nodes, alive, stop)
  } catch (error) {
    await stop()
    throw error
  }
}

type Started = Omit<ClusterNode, 'replicaOf' | 'id'> & { id: string; replicaOf: ClusterNode | null; busPort: number }

async function startNode(
  { binary, nodeTimeoutMs = 2_000, tls = false, args = [] }: ClusterOptions,
  epoch: number,
): Promise<Started> {
  const [port, busPort] = [await freePort(), await freePort()]
  const own = ['--cluster-enabled', 'yes', '--cluster-port', `${busPort}`, '--cluster-node-timeout', `${nodeTimeoutMs}`]
  // A replica of an empty master is in step at once; one that has waited long may still take over.
  const replication = ['--repl-diskless-sync-delay', '0', '--cluster-replica-validity-factor', '0']
  const ofTls = tls ? ['--tls-cluster', 'yes', '--tls-replication', 'yes'] : []
  const all = [...own, ...replication, ...ofTls, ...args]
  const node = await startRedis({ port, tls, args: all, ...(binary ? { binary } : {}) })
  await node.call('CLUSTER', 'SET-CONFIG-EPOCH', epoch)
  return { ...node, port, busPort, id: String(await node.call('CLUSTER', 'MYID')), replicaOf: null }
}

/** Slots and acquaintances by hand: `redis-cli --cluster create` waits for what is waited for here at once. */
async function join(nodes: readonly Started[], masters: number): Promise<readonly ClusterNode[]> {
  const first = (index: number) => Math.floor((index * SLOTS) / masters)
  await Promise.all(
    nodes
      .slice(0, masters)
      .map((node, index) => node.call('CLUSTER', 'ADDSLOTSRANGE', first(index), first(index + 1) - 1)),
  )
  for (const node of nodes)
    for (const { port, busPort } of nodes)
      if (port !== node.port) await node.call('CLUSTER', 'MEET', '127.0.0.1', port, busPort)
  for (const [index, node] of nodes.slice(masters).entries()) {
    const master = nodes[index % masters] as Started
    node.replicaOf = master
    await until(`${node.port} knows its master`, async () =>
      String(await node.call('CLUSTER', 'NODES')).includes(master.id),
    )
    await until(`${node.port} is a replica`, async () => (await node.call('CLUSTER', 'REPLICATE', master.id)) === 'OK')
  }
  await settle(nodes)
  await Promise.all(nodes.slice(masters).map(inStep))
  return nodes
}

function clusterOf(nodes: readonly ClusterNode[], alive: Set<number>, stop: () => Promise<void>): TestCluster {
  const masters = nodes.filter(({ replicaOf }) => replicaOf === null)
  const living = () => nodes.filter(({ pid }) => alive.has(pid))
  const any = () => living()[0] as ClusterNode
  const cluster: TestCluster = {
    urls: masters.map(({ url }) => url),
    nodes,
    masters,
    slotOf: async (key) => Number(await any().call('CLUSTER', 'KEYSLOT', key)),
    async ownerOf(slot) {
      for (const node of living()) {
        const own = String(await node.call('CLUSTER', 'NODES'))
          .split('\n')
          .find((line) => line.includes('myself'))
        if (own?.includes('master') && slotsIn(own).some(([from, to]) => from <= slot && slot <= to)) return node
      }
      throw new Error(`no node serves slot ${slot}`)
    },
    async beginMove(slot, to) {
      const from = await cluster.ownerOf(slot)
      await to.call('CLUSTER', 'SETSLOT', slot, 'IMPORTING', from.id)
      await from.call('CLUSTER', 'SETSLOT', slot, 'MIGRATING', to.id)
    },
    async moveKeys(slot, to, atMost = Number.POSITIVE_INFINITY) {
      const from = await cluster.ownerOf(slot)
      for (let left = atMost; left > 0; ) {
        const keys = (await from.call('CLUSTER', 'GETKEYSINSLOT', slot, Math.min(left, 100))) as string[]
        if (keys.length === 0) return
        await from.call('MIGRATE', '127.0.0.1', to.port, '', 0, 5_000, 'REPLACE', 'KEYS', ...keys)
        left -= keys.length
      }
    },
    async endMove(slot, to) {
      const from = await cluster.ownerOf(slot)
      await knowsEpochs(to, living())
      // The target first: were it the source, there would be a moment at which nobody serves the slot.
      for (const node of [to, from, ...living().filter((node) => node !== to && node !== from)])
        await node.call('CLUSTER', 'SETSLOT', slot, 'NODE', to.id).catch(unlessReplica)
    },
    async moveSlots(slots, to) {
      for (const slot of slots) {
        if ((await cluster.ownerOf(slot)) === to) continue
        await cluster.beginMove(slot, to)
        await cluster.moveKeys(slot, to)
        await cluster.endMove(slot, to)
      }
    },
    async moveSlotOfKey(key) {
      const slot = await cluster.slotOf(key)
      const from = await cluster.ownerOf(slot)
      const others = masters.filter((node) => alive.has(node.pid))
      const to = others[(others.indexOf(from) + 1) % others.length] as ClusterNode
      await cluster.moveSlots([slot], to)
      return to
    },
    async failover(master, how = 'agreed') {
      const replica = await replicaOf(living(), master)
      await replica.call('CLUSTER', 'FAILOVER', ...(how === 'force' ? ['FORCE'] : []))
      await until(`${replica.port} takes over`, async () => String(await replica.call('ROLE')).startsWith('master'))
      return replica
    },
    async kill(node) {
      alive.delete(node.pid)
      await node.stop()
    },
    settled: () => settle(living()),
    flush: async () => {
      for (const node of living()) await node.call('FLUSHALL').catch(unlessReplica)
    },
    stop,
  }
  return cluster
}

/**
 * Who takes a slot gives itself an epoch above all that it knows. Were another one's newer, what that one said of its slots before would be believed when it
 * comes late: the slot would be nobody's, and its keys be dropped.
 */
async function knowsEpochs(node: TestRedis, nodes: readonly TestRedis[]): Promise<void> {
  const epochOf = async (one: TestRedis) =>
    Number(/cluster_current_epoch:(\d+)/.exec(String(await one.call('CLUSTER', 'INFO')))?.[1])
  const newest = Math.max(...(await Promise.all(nodes.map(epochOf))))
  await until(`${node.port} has heard of epoch ${newest}`, async () => (await epochOf(node)) >= newest)
}

/** Of a line of CLUSTER NODES: its ranges, without those that are on their way. */
function slotsIn(line: string): [number, number][] {
  const ranges = line.trim().split(' ').slice(8)
  return ranges
    .filter((range) => !range.startsWith('['))
    .map((range) => range.split('-').map(Number))
    .map(([from = 0, to = from]) => [from, to])
}

async function replicaOf(nodes: readonly ClusterNode[], master: ClusterNode): Promise<ClusterNode> {
  for (const node of nodes) {
    const [role, , port] = (await node.call('ROLE')) as [string, string, number]
    if (role === 'slave' && Number(port) === master.port) return node
  }
  throw new Error(`${master.port} has no replica`)
}

async function settle(nodes: readonly TestRedis[]): Promise<void> {
  const well = async (node: TestRedis) => {
    const [info, slots] = await Promise.all([node.call('CLUSTER', 'INFO'), node.call('CLUSTER', 'NODES')])
    const known = String(slots).trim().split('\n')
    // One that is only handshaking is not yet asked by others.
    return (
      String(info).includes('cluster_state:ok') &&
      known.length >= nodes.length &&
      !known.some((line) => line.includes('handshake'))
    )
  }
  await until('the Cluster is well', async () => (await Promise.all(nodes.map(well))).every(Boolean))
}

function unlessReplica(error: Error): void {
  if (!/^(READONLY|ERR Please use SETSLOT only with masters)/.test(error.message)) throw error
}
