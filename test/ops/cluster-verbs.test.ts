// The verbs on a real Cluster: what they report and do is what they report and do on a single server, and it stays true while slots move and nodes die.
import chalk from 'chalk'
import Keyv, { type KeyvStoreAdapter } from 'keyv'
import { afterAll, beforeAll, describe, expect, it } from 'vitest'
import { type Account, emptyAccount, isBalanced } from '../../src/core/account.ts'
import { createCache } from '../../src/create-cache.ts'
import { KeyvCachectl } from '../../src/keyv.ts'
import { preview } from '../../src/ops/preview.ts'
import { sweep, unlinkAction } from '../../src/ops/sweep.ts'
import type { Store } from '../../src/ports.ts'
import { previewLines } from '../../src/render/preview.ts'
import { randomFromSeed, seed } from '../seed.ts'
import { startRedis, type TestRedis } from '../servers.ts'
import { type ClusterNode, startCluster, type TestCluster } from '../topologies.ts'
import { contextOf, hostileKeys } from './fixture.ts'
import { entriesAmong, keysOfMasters, openVerbs, type Ran, type Verbs } from './verbs-world.ts'

const PROOF = Number(process.env.PROOF ?? 1)

let cluster: TestCluster
let single: TestRedis
let many: Verbs
let one: Verbs
beforeAll(async () => {
  ;[cluster, single] = await Promise.all([startCluster({ masters: 3, replicas: 1 }), startRedis({ args: [] })])
  many = openVerbs({ url: cluster.urls[0] as string, dir: single.dir })
  one = openVerbs(single)
}, 120_000)
afterAll(async () => {
  await Promise.all([many?.close(), one?.close()])
  await Promise.all([cluster?.stop(), single?.stop()])
})

const dead = new Set<ClusterNode>()
const kill = async (node: ClusterNode) => {
  dead.add(node)
  await cluster.kill(node)
}
const keysOfCluster = () => keysOfMasters(cluster.nodes.filter((node) => !dead.has(node)))

/** What others delete, `expire` changes. */
const accountOf = (report: Account & { changed?: number }): Account =>
  Object.fromEntries(
    Object.keys(emptyAccount()).map((part) => [part, report[part as keyof Account] ?? report.changed]),
  ) as unknown as Account

describe('the same keys, the same command: the same report and the same effect', () => {
  const HOSTILE = hostileKeys().filter((_, index) => index % 5 !== 1 && index % 4 === 0)
  const keys = [
    ...HOSTILE,
    ...Array.from({ length: 200 }, (_, index) => `shop:v1:list:product:all:page_${index}`),
    ...Array.from({ length: 40 }, (_, index) => `shop:v1:list:order:org_${index % 2}:page_${index}`),
    ...Array.from({ length: 60 }, (_, index) => `shop:v1~dead:detail:product:${index}`),
    ...Array.from({ length: 20 }, (_, index) => `legacy:${index}`),
    ...Array.from({ length: 20 }, (_, index) => `sess:${index}`),
    ...Array.from({ length: 900 }, (_, index) => `filler:${index}`),
  ]

  interface Seen {
    ran: Pick<Ran, 'exitCode'> & { report: Record<string, unknown> }
    left: string[]
    ending: string[]
  }

  const prepare = async (verbs: Verbs, flush: () => Promise<unknown>): Promise<void> => {
    await flush()
    await verbs.fill(keys)
    expect(await verbs.run(['warm', '-q'])).toMatchObject({ exitCode: 0, stderr: '' })
  }

  const seen = async (verbs: Verbs, nodes: readonly TestRedis[], argv: readonly string[]): Promise<Seen> => {
    const { exitCode, stdout, stderr } = await verbs.run([...argv, '--json'])
    const report = JSON.parse(stdout || JSON.stringify({ stderr }))
    const left = await keysOfMasters(nodes)
    const ours = entriesAmong(left).filter((name) => name.startsWith('shop:'))
    const lane = await verbs.store.lane()
    const page = lane.page()
    for (const name of ours) page.add('PTTL', Buffer.from(name, 'latin1'))
    const ttls = await lane.run(page)
    lane.close()
    const ending = ours.filter((_, index) => Number(ttls[index]) > 0)
    return { ran: { exitCode, report }, left: entriesAmong(left), ending }
  }

  const both = async (argv: readonly string[], fresh = true): Promise<[Seen, Seen]> => {
    if (fresh) await prepare(one, () => single.call('FLUSHALL'))
    if (fresh) await prepare(many, () => cluster.flush())
    return [await seen(one, [single], argv), await seen(many, cluster.nodes, argv)]
  }

  const LIMIT = ['--yes', '--max-percent', '100']
  it.each<[string, string[]]>([
    ['invalidate a pattern', ['invalidate', 'pattern:shop:v1:list:*', ...LIMIT]],
    ['invalidate a namespace', ['invalidate', 'namespace:list', ...LIMIT]],
    ['invalidate a model', ['invalidate', 'product', ...LIMIT]],
    ['invalidate a row', ['invalidate', 'product:7', ...LIMIT]],
    ['invalidate a tenant', ['invalidate', 'tenant:1', ...LIMIT]],
    ['invalidate all', ['invalidate', 'all', '--confirm=shop', ...LIMIT]],
    ['invalidate raw keys', ['invalidate', 'namespace:old', ...LIMIT]],
    ['expire', ['expire', 'namespace:list', '--ttl', '2m', ...LIMIT]],
    ['evict', ['evict', 'namespace:detail', '--max-keys', '30', '--policy', 'ttl', ...LIMIT]],
    ['version prune', ['version', 'prune', '--wait', '0s', ...LIMIT]],
  ])('%s', async (_, argv) => {
    const [here, there] = await both(argv)
    expect(there.ran.exitCode, JSON.stringify(there.ran.report)).toBe(here.ran.exitCode)
    const [expected, got] = [here, there].map(({ ran }) => accountOf(ran.report as unknown as Account))
    if ('matched' in here.ran.report) {
      expect(got).toEqual(expected)
      expect(isBalanced(got as Account)).toBe(true)
    }
    for (const field of ['ok', 'complete', 'applied', 'targets', 'changed'])
      expect(there.ran.report[field], field).toEqual(here.ran.report[field])
    expect(there.ran.report.redis).toMatchObject({ mode: 'cluster' })
    // Which of equal ones an eviction takes is its own.
    if (argv[0] === 'evict') expect(there.left).toHaveLength(here.left.length)
    else expect({ left: there.left, ending: there.ending }).toEqual({ left: here.left, ending: here.ending })
  })

  it('what a look at some of the keys says of all has an interval on a server, and none in a Cluster, where a slot comes after the other', async () => {
    await both(['lock', 'show'])
    const looked = (store: Store) => {
      let nowMs = 0
      const clock = { now: () => (nowMs += 1_500) }
      const decide = (key: Buffer) => (key.toString().startsWith('shop:v1:list:') ? 'act' : 'pass')
      return preview(contextOf(store, { clock }), { decide, exact: false })
    }
    const [here, there] = [await looked(one.store), await looked(many.store)]
    expect(here).toMatchObject({ method: 'sample', error: expect.any(Number) })
    expect(there).toMatchObject({ method: 'sample', error: null })
    expect(previewLines(here, chalk).join('\n')).toContain('±')
    expect(previewLines(there, chalk).join('\n')).toContain('slot by slot')
  })

  it('stats, keys, doctor, lock, history, policy and version tell the same', async () => {
    const [here, there] = await both(['stats', '--full'])
    const groups = ({ ran }: Seen) =>
      (ran.report.groups as { group: string; keys: number; noTtlKeys: number }[])
        .map(({ group, keys, noTtlKeys }) => `${group} ${keys} ${noTtlKeys}`)
        .sort()
    expect(groups(there)).toEqual(groups(here))
    expect(here.ran.report.total).toMatchObject({ keys: (there.ran.report.total as { keys: number }).keys })

    const lines = (ran: Ran) => ran.stdout.split('\n').sort()
    const list = ['keys', 'pattern:shop:*']
    expect(lines(await many.run(list))).toEqual(lines(await one.run(list)))

    const doctor = await both(['doctor'], false)
    const findings = ({ ran }: Seen) =>
      ((ran.report.findings ?? []) as { id: string }[])
        .map(({ id }) => id)
        .filter((id) => !/latency|slow|memory/.test(id))
    expect(new Set(findings(doctor[1]))).toEqual(new Set(findings(doctor[0])))

    for (const verbs of [one, many])
      await verbs.store.call(
        'SET',
        'shop~lock:warm:product',
        JSON.stringify({ holder: 'h:1', since: '2026-11-21T03:04:05Z' }),
      )
    const locks = await both(['lock', 'show'], false)
    expect(locks[1].ran).toMatchObject({ exitCode: 0, report: { locks: [{ name: 'warm:product', holder: 'h:1' }] } })
    expect(locks[0].ran.report).toMatchObject({ locks: [{ name: 'warm:product', holder: 'h:1' }] })

    for (const verbs of [one, many])
      expect(await verbs.run(['version', 'bump', 'namespace:list', '--yes'])).toMatchObject({ exitCode: 0 })
    const shown = await both(['version', 'show'], false)
    const scopes = ({ ran }: Seen) =>
      (ran.report.scopes as { scope: string; generation: number }[]).map(({ scope, generation }) => [scope, generation])
    expect(scopes(shown[1])).toEqual(scopes(shown[0]))

    const history = await both(['history'], false)
    const runs = ({ ran }: Seen) =>
      (ran.report.entries as { verb: string; what: string[]; exitCode: number }[]).map(({ verb, what, exitCode }) => ({
        verb,
        what,
        exitCode,
      }))
    expect(runs(history[1])).toEqual(runs(history[0]))

    const check = await both(['policy', 'check'], false)
    expect(check[1].ran.exitCode).toBe(check[0].ran.exitCode)
    expect((await both(['policy', 'apply', '--yes'], false)).map(({ ran }) => ran.exitCode)).toEqual([0, 0])
  })

  it('a user who may not SCAN is told so, not something about Clusters', async () => {
    for (const node of [...cluster.nodes, single])
      await node.call('ACL', 'SETUSER', 'blind', 'reset', 'on', '>pw', '~*', '&*', '+@all', '-scan')
    const blind = openVerbs({
      url: (cluster.urls[0] as string).replace('redis://', 'redis://blind:pw@'),
      dir: single.dir,
    })
    try {
      const ran = await blind.run(['invalidate', 'pattern:shop:v1:list:*', '--yes'])
      expect(ran.exitCode).toBe(11)
      expect(ran.stderr).toMatch(/does not let this user run SCAN/)
    } finally {
      await blind.close()
    }
  })
})

it('Keyv gives and clears what lies on all masters; what a Keyv without a TTL clears is gone', async () => {
  await cluster.flush()
  const cache = createCache(
    { redis: cluster.urls[0] as string, prefix: 'shop', namespaces: { forever: { ttl: 'never' } } },
    { deadline: '5s' },
  )
  try {
    const keyvOf = (namespace: string) =>
      new Keyv({ store: new KeyvCachectl({ cache, namespace: 'forever' }) as KeyvStoreAdapter, namespace })
    const [users, others] = [keyvOf('users'), keyvOf('others')]
    for (let id = 0; id < 50; id++) await Promise.all([users.set(`u${id}`, id), others.set(`o${id}`, id)])
    const found: string[] = []
    for await (const [key] of users.iterator?.(undefined) ?? []) found.push(key)
    expect(found).toHaveLength(50)
    await users.clear()
    const left = entriesAmong(await keysOfCluster())
    expect(left).toHaveLength(50)
    expect(left.every((key) => key.includes('@keyv.others'))).toBe(true)
  } finally {
    await cache.close()
  }
})

/** Keys of few slots, so that a slot that moves takes many along. */
const tagged = (count: number, slots: number): string[] =>
  Array.from({ length: count }, (_, index) => `shop:v1:list:product:{t${index % slots}}:${index}`)

describe(`while slots move (seed ${seed}, PROOF=${PROOF})`, () => {
  const RUNS = 5 * PROOF
  const MOVES = 5
  it(`${RUNS * MOVES} random moves in ${RUNS} runs: nothing is left, or exit 3 says that something may be`, {
    timeout: 120_000 * PROOF,
  }, async () => {
    const random = randomFromSeed(seed)
    const pick = (upTo: number) => Math.floor(random() * upTo)
    for (let run = 0; run < RUNS; run++) {
      await cluster.flush()
      const keys = tagged(900, 30)
      await many.fill([...keys, ...Array.from({ length: 950 }, (_, index) => `filler:${index}`)])
      let over = false
      const moving = (async () => {
        for (let move = 0; move < MOVES && !over; move++) await cluster.moveSlotOfKey(keys[pick(keys.length)] as string)
      })()
      const argv = [
        'invalidate',
        'pattern:shop:v1:list:product:*',
        '--yes',
        '--max-percent',
        '100',
        '--json',
        '--rate',
        '2000',
      ]
      const { exitCode, stdout } = await many.run(argv)
      over = true
      await moving
      await cluster.settled()
      const left = entriesAmong(await keysOfCluster()).filter((key) => key.startsWith('shop:'))
      const report = JSON.parse(stdout)
      const where = `run ${run}: ${stdout}`
      expect(isBalanced(accountOf(report)), where).toBe(true)
      expect([0, 3], where).toContain(exitCode)
      if (exitCode === 0) expect(left, where).toEqual([])
      else expect(report.remaining + report.failed + report.unknown > 0 || report.doubt !== null, where).toBe(true)
      expect(report.deleted + report.unknown, where).toBeGreaterThanOrEqual(keys.length - left.length)
      expect(report.deleted, where).toBeLessThanOrEqual(keys.length - left.length)
    }
  })

  /** A slot of the last master, with its keys, goes to the first one when that has been walked. */
  const walkedPast = async (store: Store): Promise<{ complete: boolean; left: string[]; matched: number }> => {
    await cluster.flush()
    const keys = tagged(600, 60)
    await many.fill(keys)
    const masters = await many.store.masters()
    const nodeOf = (id: string) => cluster.nodes.find(({ port }) => id.endsWith(`:${port}`)) as ClusterNode
    const [first, last] = [nodeOf(masters[0]?.id ?? ''), nodeOf(masters.at(-1)?.id ?? '')]
    const ofLast: number[] = []
    for (const key of keys) {
      const slot = await cluster.slotOf(key)
      if (!ofLast.includes(slot) && (await cluster.ownerOf(slot)) === last) ofLast.push(slot)
    }
    const ofFirst = new Set((await first.call('KEYS', '*')) as string[])
    let moved = false
    const context = contextOf(store)
    const { account, complete } = await sweep(context, {
      decide: () => 'act',
      examine: {
        async keep(found) {
          if (!moved && found.length > 0 && !found.some((key) => ofFirst.has(key.toString()))) {
            moved = true
            await cluster.moveSlots(ofLast.slice(0, 1), first)
          }
          return found.map(() => true)
        },
      },
      action: await unlinkAction(context),
      pace: 'max',
      task: 'deleting',
      expected: null,
    })
    expect(moved).toBe(true)
    return { complete, left: entriesAmong(await keysOfCluster()), matched: account.matched }
  }

  it('a slot that moves behind the walk is met by another walk; a sweep that does not compare layouts leaves its keys', async () => {
    expect(await walkedPast(many.store)).toMatchObject({ complete: true, left: [], matched: 600 })
    const naive = new Proxy(many.store, {
      get: (store, name) => {
        if (name === 'layout') return async () => 'as ever'
        const found = Reflect.get(store, name)
        return typeof found === 'function' ? found.bind(store) : found
      },
    })
    const missed = await walkedPast(naive)
    expect(missed.complete).toBe(true)
    expect(missed.left.length).toBeGreaterThan(0)
  })
})

describe('in the middle of it', () => {
  const KEYS = 1_500
  const names = tagged(KEYS, 200)
  const entriesLeft = async () => entriesAmong(await keysOfCluster()).filter((key) => key.startsWith('shop:'))
  const during = async (argv: readonly string[], happens: () => Promise<unknown>): Promise<Ran> => {
    await cluster.flush()
    await many.fill([...names, ...Array.from({ length: KEYS }, (_, index) => `filler:${index}`)])
    const running = many.run([...argv, '--yes', '--max-percent', '100', '--json', '--rate', '1000'])
    await expect.poll(async () => (await entriesLeft()).length, { timeout: 30_000, interval: 20 }).toBeLessThan(KEYS)
    await happens()
    return running
  }

  it('a replica takes over: zero are left, or the report says what', { timeout: 120_000 }, async () => {
    const { exitCode, stdout } = await during(['invalidate', 'pattern:shop:v1:list:product:*'], () =>
      cluster.failover(cluster.masters[1] as ClusterNode),
    )
    await cluster.settled()
    const left = await entriesLeft()
    expect([0, 3, 10], stdout).toContain(exitCode)
    expect(isBalanced(accountOf(JSON.parse(stdout))), stdout).toBe(true)
    if (exitCode === 0) expect(left).toEqual([])
    const again = await many.run(['invalidate', 'pattern:shop:v1:list:product:*', '--yes', '--max-percent', '100'])
    expect(again.exitCode, again.stderr).toBe(0)
    expect(await entriesLeft()).toEqual([])
  })

  it('a master is killed, and its replica too: exit 10 or 3, and the account is the effect', {
    timeout: 120_000,
  }, async () => {
    const roles = await Promise.all(cluster.nodes.map(async (node) => ((await node.call('ROLE')) as string[])[0]))
    const masters = cluster.nodes.filter((_, index) => roles[index] === 'master')
    const victim = masters.at(-1) as ClusterNode
    for (const node of cluster.nodes) {
      const [role, , port] = (await node.call('ROLE')) as [string, string, number]
      if (role === 'slave' && Number(port) === victim.port) await kill(node)
    }
    // By itself it gives up after some more tries, in which a replica could have taken over.
    const argv = ['invalidate', 'pattern:shop:v1:list:product:*', ...(PROOF > 1 ? [] : ['--deadline', '8s'])]
    let ofVictim = 0
    const { exitCode, stdout } = await during(argv, async () => {
      ofVictim = entriesAmong(await keysOfMasters([victim])).filter((key) => key.startsWith('shop:')).length
      await kill(victim)
    })
    const report = JSON.parse(stdout)
    const left = (await entriesLeft()).length
    expect([3, 10], stdout).toContain(exitCode)
    expect(report).toMatchObject({ ok: false, complete: false })
    expect(isBalanced(accountOf(report)), stdout).toBe(true)
    // What was deleted at the victim before it died is counted as well; at most what it had.
    expect(report.deleted + report.unknown).toBeGreaterThanOrEqual(KEYS - left - ofVictim)
    expect(report.deleted).toBeLessThanOrEqual(KEYS - left)
  })
})
