// The verbs of the command line on any servers: a project of its own, runs within this process, and the whole key space of all masters.
import type { Store } from '../../src/ports.ts'
import { createProject } from '../cli/spawned.ts'
import { cachectl } from '../cli/test-io.ts'
import { keysOf, openBytes } from '../keyspace.ts'
import type { TestRedis } from '../servers.ts'
import { openTestStore } from './fixture.ts'

/** Rows of the model `product`, which `warm` loads. */
export const ROWS = 60

const CONFIG = `
import { defineConfig, fn } from 'cachectl'
const rows = async function* () {
  for (let id = 1; id <= Number(process.env.ROWS ?? ${ROWS}); id++) yield { id, name: 'product ' + id, change: 1 }
}
const orders = async function* () { for (let id = 1; id <= 10; id++) yield { id, org_id: String(id % 2), change: 1 } }
export default defineConfig({
  redis: process.env.REDIS_URL,
  prefix: 'shop',
  tenant: { label: 'org' },
  namespaces: {
    detail: { ttl: '1h', budget: { maxKeys: 1000 } }, list: { ttl: '5m' }, count: { ttl: '1m' },
    old: { ttl: '1m', format: 'raw', key: 'legacy:*' },
  },
  models: {
    product: { source: fn({ updatedAt: 'change', rows }), namespace: 'detail', tenant: false, warm: { strategy: 'all' } },
    order: { source: fn({ updatedAt: 'change', tenant: 'org_id', rows: orders }), namespace: 'detail', tenant: true, warm: { strategy: 'all' } },
  },
  server: { policy: 'noeviction' },
  protect: ['sess:*'],
})
`

export interface Ran {
  exitCode: number
  stdout: string
  stderr: string
}

export interface Verbs {
  readonly store: Store
  /** One command line at a time: what the config reads of the environment is set for as long as it runs. */
  run(argv: readonly string[], env?: Record<string, string>): Promise<Ran>
  /** SET of each, where it belongs. */
  fill(keys: readonly (string | Buffer)[]): Promise<void>
  close(): Promise<void>
}

export function openVerbs(server: Pick<TestRedis, 'url' | 'dir'>): Verbs {
  const project = createProject({ 'cache.config.ts': CONFIG })
  const store = openTestStore(server as TestRedis)
  return {
    store,
    async run(argv, env = {}) {
      const given = { REDIS_URL: server.url, XDG_STATE_HOME: server.dir, ...env }
      const before = { ...process.env }
      Object.assign(process.env, given)
      try {
        return await cachectl(argv, { cwd: project.folder, env: given })
      } finally {
        process.env = before
      }
    },
    async fill(keys) {
      const lane = await store.lane()
      for (let start = 0; start < keys.length; start += 500) {
        const page = lane.page()
        for (const key of keys.slice(start, start + 500)) page.add('SET', key, 'value of some bytes')
        await lane.run(page)
      }
      lane.close()
    },
    async close() {
      project.remove()
      await store.close()
    },
  }
}

/** The key spaces of those of these servers that are masters, by their own word, as latin1 text; replicas have copies of them. */
export async function keysOfMasters(nodes: readonly TestRedis[]): Promise<Set<string>> {
  const all = new Set<string>()
  for (const node of nodes) {
    const [role] = (await node.call('ROLE')) as [string]
    if (role !== 'master') continue
    const redis = openBytes(node)
    try {
      for (const key of await keysOf(redis)) all.add(key)
    } finally {
      redis.disconnect()
    }
  }
  return all
}

/** Keys that are not cachectl's own. */
export function entriesAmong(keys: Iterable<string>): string[] {
  return [...keys].filter((key) => !key.startsWith('shop~')).sort()
}
