// A Cluster as tests of single servers see theirs: one `call`, which goes where its key is, or to all masters.
import { Cluster } from 'ioredis'
import type { TestRedis } from '../servers.ts'
import { type ClusterOptions, startCluster, type TestCluster } from './cluster.ts'

/** Commands of no key, which are everybody's. */
const EVERYWHERE = new Set(['FLUSHALL', 'CONFIG', 'CLIENT', 'KEYS', 'DBSIZE', 'ACL', 'SCRIPT', 'SCAN'])

type Argument = string | number | Buffer

/** Starts a Cluster and gives it as one server; `cluster` has what only a Cluster can. */
export async function startClusterAsOne(options: ClusterOptions = {}): Promise<TestRedis & { cluster: TestCluster }> {
  const cluster = await startCluster(options)
  const [first] = cluster.masters
  const client = new Cluster(
    cluster.masters.map(({ port }) => ({ host: '127.0.0.1', port })),
    { redisOptions: { connectTimeout: 2_000 } },
  )
  client.on('error', () => {})
  return {
    ...(first as TestRedis),
    cluster,
    call: async (name, ...args) => {
      const command = String(name).toUpperCase()
      if (EVERYWHERE.has(command)) return joined(command, await everywhere(cluster, [command, ...args]))
      if (['DEL', 'UNLINK', 'EXISTS', 'MGET'].includes(command)) return byKey(client, command, args)
      return client.call(command, args)
    },
    async stop() {
      client.disconnect()
      await cluster.stop()
    },
  }
}

async function everywhere({ nodes }: TestCluster, args: readonly Argument[]): Promise<unknown[]> {
  const all = await Promise.all(
    nodes.map(async (node) => {
      const [role] = (await node.call('ROLE')) as [string]
      return role === 'master' ? [await node.call(...args)] : []
    }),
  )
  return all.flat()
}

function joined(command: string, replies: readonly unknown[]): unknown {
  if (command === 'DBSIZE') return replies.reduce<number>((sum, one) => sum + Number(one), 0)
  if (command === 'SCAN') return ['0', replies.flatMap((one) => (one as [string, string[]])[1])]
  return command === 'KEYS' ? replies.flat() : replies[0]
}

async function byKey(client: Cluster, command: string, keys: readonly Argument[]): Promise<unknown> {
  const replies = await Promise.all(keys.map((key) => client.call(command, [key])))
  return command === 'MGET' ? replies.flat() : replies.reduce<number>((sum, one) => sum + Number(one), 0)
}
