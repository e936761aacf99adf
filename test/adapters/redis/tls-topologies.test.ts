// Sentinel and Cluster whose servers speak nothing but TLS, under a CA of their own: the library and the command line reach every one of them.
import { afterAll, beforeAll, describe, expect, it } from 'vitest'
import { createCache, defineConfig } from '../../../src/index.ts'
import { runIn } from '../../cli/in-folder.ts'
import { createProject, cachectl as spawned } from '../../cli/spawned.ts'
import { tlsFixture } from '../../servers.ts'
import { startCluster, startSentinel, type TestCluster, type TestSentinel } from '../../topologies.ts'

let set: TestSentinel
let cluster: TestCluster
beforeAll(async () => {
  ;[set, cluster] = await Promise.all([startSentinel({ tls: true }), startCluster({ tls: true, masters: 2 })])
}, 60_000)
afterAll(async () => {
  await Promise.all([set?.stop(), cluster?.stop()])
})

const ca = tlsFixture('ca.crt')
const KEYS = 20

/** What the library wrote is measured and invalidated by the command line, and then read anew. */
const expectServed = async (redis: Record<string, unknown>, mode: string): Promise<void> => {
  const written = { prefix: 'shop', redis, namespaces: { detail: { ttl: '1h' as const } } }
  const project = createProject({ 'cache.config.json': JSON.stringify(written) })
  const cache = createCache(defineConfig(written as never), { strict: true, deadline: '2s' })
  try {
    let loads = 0
    const get = (id: number) => cache.getOrSet('detail' as never, ['row', `${id}`], async () => ++loads)
    const all = () => Promise.all(Array.from({ length: KEYS }, (_, id) => get(id)))
    const first = await all()
    expect(await all()).toEqual(first)
    const run = (...argv: string[]) => runIn(project.folder, [...argv, '--json'], { XDG_STATE_HOME: project.folder })
    const stats = JSON.parse((await run('stats')).stdout)
    expect(stats).toMatchObject({ ok: true, redis: { mode, role: 'primary' }, groups: [{ keys: KEYS }] })
    const cleared = await run('invalidate', 'namespace:detail', '--yes', '--max-percent', '100')
    expect(JSON.parse(cleared.stdout)).toMatchObject({ ok: true, applied: true, outdated: 0, deleted: KEYS })
    expect((await all()).some((value) => first.includes(value))).toBe(false)
  } finally {
    await cache.close()
    project.remove()
  }
}

const sentinelsOf = ({ url }: TestSentinel): string[] =>
  url
    .replace(/^.*:\/\/|\/.*$/g, '')
    .split(',')
    .map((host) => `rediss://${host}`)

describe('the CA in the config', () => {
  it('Sentinel, also when another primary takes over', async () => {
    const redis = { sentinels: sentinelsOf(set), name: set.name, tls: { ca } }
    await expectServed(redis, 'sentinel')
    await set.failover()
    await expectServed(redis, 'sentinel')
  }, 60_000)

  it('Cluster', () => expectServed({ cluster: [...cluster.urls], tls: { ca } }, 'cluster'), 60_000)
})

describe('a URL alone', () => {
  it.each(['sentinel', 'cluster'])(
    '%s: it is said what is missing, and Node is told the CA by its own variable',
    async (kind) => {
      const url = kind === 'sentinel' ? set.url : (cluster.urls[0] as string)
      const project = createProject({ 'ca.crt': ca })
      try {
        const run = (env: Record<string, string>) =>
          spawned(['stats', '--json', '--redis', url], { cwd: project.folder, env })
        const refused = await run({})
        expect(JSON.parse(refused.stdout)).toMatchObject({ error: { code: 'REDIS_TLS', exitCode: 11 } })
        const served = await run({ NODE_EXTRA_CA_CERTS: `${project.folder}/ca.crt` })
        expect(JSON.parse(served.stdout)).toMatchObject({ ok: true, redis: { mode: kind } })
      } finally {
        project.remove()
      }
    },
    60_000,
  )
})
