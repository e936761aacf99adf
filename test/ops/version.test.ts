// `version show` and `version bump` on a real server, beside caches that read what they change.
import { afterAll, afterEach, beforeAll, beforeEach, describe, expect, it } from 'vitest'
import { isBalanced } from '../../src/core/account.ts'
import { CachectlError } from '../../src/core/errors.ts'
import { BUMP } from '../../src/core/generation-record.ts'
import { versionBumpDryRun } from '../../src/ops/version-bump.ts'
import { planVersionBump } from '../../src/ops/version-bump-plan.ts'
import { showVersions } from '../../src/ops/version-show.ts'
import type { CommandArgument, Lane, Store } from '../../src/ports.ts'
import { startRedis, type TestRedis } from '../servers.ts'
import { accountOf, bump, closeWorld, keysOf, openCache, openCommand } from './version-world.ts'

let server: TestRedis
beforeAll(async () => {
  server = await startRedis()
})
afterAll(() => server.stop())
beforeEach(() => server.call('FLUSHALL'))
afterEach(closeWorld)

const show = async (targets: string[] = [], tenant: string | null = null) =>
  showVersions(await openCommand(server), { targets, tenant, full: false })

/** Lanes of which the first that bumps does it, and loses the answer. */
function losing(times: number, script = BUMP): (store: Store) => Store {
  let left = times
  const mutate = (lane: Lane): Lane => {
    let lost = false
    let bumps = false
    return {
      get noTouch() {
        return lane.noTouch
      },
      get closed() {
        return lost || lane.closed
      },
      page() {
        const page = lane.page()
        const add = page.add.bind(page)
        page.add = (...command: readonly CommandArgument[]) => {
          const isBump = command[0] === 'EVAL' && String(command[1]).endsWith(BUMP)
          bumps ||= isBump
          return add(
            ...(isBump
              ? [command[0] as string, String(command[1]).replace(BUMP, script), ...command.slice(2)]
              : command),
          )
        }
        return page
      },
      async run(page) {
        const replies = await lane.run(page)
        if (!bumps || left === 0) return replies
        left--
        lost = true
        lane.close()
        throw new CachectlError('REDIS_UNREACHABLE', 'the connection was lost')
      },
      close: () => lane.close(),
    }
  }
  return (store) =>
    new Proxy(store, {
      get(target, name) {
        if (name === 'lane') return async (options?: object) => mutate(await target.lane(options))
        const value = Reflect.get(target, name, target)
        return typeof value === 'function' ? value.bind(target) : value
      },
    })
}

describe('version bump', () => {
  it('makes everything of a namespace unreachable, for running caches too, and tells what', async () => {
    const cache = openCache(server)
    let loads = 0
    const read = (id: number) => cache.getOrSet('list', ['x', `${id}`], async () => ++loads)
    await Promise.all([read(1), read(2), cache.getOrSet('page', ['y', '1'], async () => 'kept')])
    const report = await bump(await openCommand(server), 'namespace:list')
    expect(report).toMatchObject({
      command: 'version bump',
      ok: true,
      applied: true,
      exitCode: 0,
      matched: 2,
      outdated: 2,
      method: 'full',
      journal: 'redis',
      scopes: [{ scope: 'namespace:list', before: null, generation: 1, tenant: null }],
    })
    expect(isBalanced(accountOf(report))).toBe(true)
    await read(1)
    expect(loads).toBe(3)
    expect(await cache.get('page', ['y', '1'])).toBe('kept')
    expect(await keysOf(server, 'shop:v2:list~*')).toEqual([`shop:v2:list~${report.scopes[0]?.token}:x:1`])
    const again = await bump(await openCommand(server), 'namespace:list')
    expect(again).toMatchObject({ matched: 1, scopes: [{ before: report.scopes[0]?.token, generation: 2 }] })
  })

  it('of a model bumps what depends on it, and stamps, as the library does', async () => {
    const report = await bump(await openCommand(server), 'model:city')
    expect(report.scopes.map(({ scope }) => scope)).toEqual(['model:city', 'model:tour'])
    const [cache, tokens] = [openCache(server), report.scopes.map(({ token }) => token)]
    await cache.invalidate({ model: 'city' } as never)
    const fields = (await server.call('HKEYS', 'shop~generations')) as string[]
    expect(fields.filter((field) => field.startsWith('subject:')).sort()).toEqual(['subject:city', 'subject:tour'])
    const { scopes } = await show(['model:city'])
    expect(scopes[0]).toMatchObject({ scope: 'model:city', generation: 2, version: '2' })
    expect(scopes[0]?.previous[0]).toMatchObject({ generation: 1, token: tokens[0] })
    expect(scopes[0]?.by).toMatch(/^[^@]+:\d+$/)
    expect(scopes[0]?.previous[0]?.by).toMatch(/^.+@.+:\d+$/)
  })

  it('of a tenant, and of a model within one, leaves other tenants', async () => {
    const cache = openCache(server)
    for (const id of ['1', '2']) {
      await cache.tenant(id).getOrSet('list', ['x', 'a'], async () => id)
      await cache.tenant(id).getOrSet('list', ['y', 'a'], async () => id)
    }
    expect(await bump(await openCommand(server), 'subject:x', { tenant: '1' })).toMatchObject({ matched: 1 })
    expect(await cache.tenant('1').get('list', ['x', 'a'])).toBeUndefined()
    expect(await cache.tenant('2').get('list', ['x', 'a'])).toBe('2')
    expect(await bump(await openCommand(server), 'tenant:1')).toMatchObject({
      matched: 1,
      scopes: [{ scope: 'tenant:1' }],
    })
    expect(await cache.tenant('1').get('list', ['y', 'a'])).toBeUndefined()
    expect(await cache.tenant('2').get('list', ['y', 'a'])).toBe('2')
    const { scopes } = await show([], '1')
    expect(scopes.map(({ scope, tenant, generation }) => [scope, tenant, generation]).sort()).toEqual([
      ['subject:@fn.x', '1', 1],
      ['subject:x', '1', 1],
      ['tenant:1', '1', 1],
    ])
  })

  it('is confirmed by processes with copies in their memory', async () => {
    const cache = openCache(server, { l1: true })
    await cache.getOrSet('list', ['x', '1'], async () => 1)
    await expect.poll(() => server.call('HLEN', 'shop~processes'), { timeout: 5_000 }).toBe(2)
    const report = await bump(await openCommand(server, { l1: true }), 'global')
    expect(report.acknowledged).toMatchObject({ processes: 1, of: 1 })
    expect(await cache.get('list', ['x', '1'])).toBeUndefined()
  }, 20_000)

  it.each([1, 2])('whose answer is lost %i times is not made twice', async (times) => {
    const context = await openCommand(server, { store: losing(times) })
    const done = bump(context, 'global')
    if (times === 1) expect(await done).toMatchObject({ ok: true, scopes: [{ generation: 1 }] })
    else
      await expect(done).rejects.toMatchObject({
        exitCode: 10,
        message: expect.stringContaining('whether global was bumped is unknown'),
        hint: expect.stringContaining("cachectl version show 'global'"),
      })
    expect((await show()).scopes[0]).toMatchObject({ scope: 'global', generation: 1 })
  })
  it('whose answer is lost is made twice by one that forgets its operation', async () => {
    const naive = BUMP.replaceAll('ARGV[1] ..', 'ARGV[3] ..').replace('{ARGV[1], answer', '{ARGV[3], answer')
    await bump(await openCommand(server, { store: losing(1, naive) }), 'global')
    expect((await show()).scopes[0]?.generation).toBe(2)
  })

  it('works on a full server, and writes its journal elsewhere', async () => {
    await bump(await openCommand(server), 'global')
    await server.call('CONFIG', 'SET', 'maxmemory', '1')
    try {
      const config = await openCommand(server)
      const report = await bump({ ...config, stateDir: server.dir }, 'namespace:list')
      expect(report).toMatchObject({ ok: true, journal: 'local', scopes: [{ generation: 1 }] })
    } finally {
      await server.call('CONFIG', 'SET', 'maxmemory', '0')
    }
  })

  it('is refused by a replica, and changes nothing', async () => {
    await server.call('REPLICAOF', '127.0.0.1', '1')
    try {
      await expect(bump(await openCommand(server), 'global')).rejects.toMatchObject({ exitCode: 13 })
    } finally {
      await server.call('REPLICAOF', 'NO', 'ONE')
    }
    expect(await server.call('EXISTS', 'shop~generations')).toBe(0)
  })

  it('says in a dry run what would be, and does nothing', async () => {
    const cache = openCache(server)
    await cache.getOrSet('list', ['x', '1'], async () => 1)
    const before = await server.call('HGETALL', 'shop~generations')
    const context = await openCommand(server)
    const plan = await planVersionBump(context, { target: 'global', tenant: null, allTenants: false })
    const report = await versionBumpDryRun(context, plan)
    expect(report).toMatchObject({ dryRun: true, applied: false, matched: 1, remaining: 1, outdated: 0 })
    expect(isBalanced(accountOf(report))).toBe(true)
    expect(await server.call('HGETALL', 'shop~generations')).toEqual(before)
    expect(plan.danger).toMatchObject({ everything: true, typed: 'shop' })
  })

  it.each([
    [null, {}, 'nothing is named to bump'],
    ['all', {}, '`all` has no generation'],
    ['city:42', {}, 'is a row'],
    ['subject:x:1', {}, 'is one entry'],
    ['pattern:shop:*', {}, 'has no generation'],
    ['tag:x', {}, 'has no generation'],
    ['namespace:nope', {}, 'no namespace called'],
    ['namespace:list', { tenant: '1' }, 'cannot be bumped for one tenant'],
    ['global', { tenant: '1' }, 'of all tenants'],
    ['tenant:2', { tenant: '1' }, 'two tenants'],
    ['model:city', { tenant: '1' }, 'has no tenants'],
    ['model:order', {}, 'rows of tenants'],
    ['namespace:other', {}, 'no version that is known'],
  ])('refuses %s %j', async (target, more, message) => {
    const context = await openCommand(server)
    const planned = planVersionBump(context, { target, tenant: null, allTenants: false, ...more })
    await expect(planned).rejects.toMatchObject({ exitCode: 2, message: expect.stringContaining(message) })
  })

  it('spares nothing, and so is refused where something is protected', async () => {
    const context = await openCommand(server, { protect: ['shop:v2:list:kept:*'] })
    await expect(bump(context, 'namespace:list')).rejects.toMatchObject({
      exitCode: 4,
      message: expect.stringContaining('shop:v2:list:kept:*'),
    })
    const other = await openCommand(server, { protect: ['bull:*'] })
    expect(await bump(other, 'namespace:list')).toMatchObject({ ok: true })
  })
})

describe('versions of raw namespaces', () => {
  it('are counted up as their software does', async () => {
    await server.call('SET', 'feed_version:news', '7', 'EX', '500')
    await server.call('SET', 'feed:news:v7:a', 'x')
    await server.call('SET', 'feed:blog:v1:a', 'x')
    const report = await bump(await openCommand(server), 'namespace:feed')
    expect(report.scopes).toEqual(
      expect.arrayContaining([
        expect.objectContaining({
          scope: 'namespace:feed:news',
          before: '7',
          token: '8',
          versionKey: 'feed_version:news',
        }),
        expect.objectContaining({ scope: 'namespace:feed:blog', before: null, token: '2' }),
      ]),
    )
    expect(await server.call('GET', 'feed_version:news')).toBe('8')
    expect(await server.call('TTL', 'feed_version:news')).toBeGreaterThan(400)
    expect(await server.call('GET', 'feed_version:blog')).toBe('2')
    expect(await server.call('HEXISTS', 'shop~generations', 'namespace:feed')).toBe(0)
    const { scopes } = await show(['namespace:feed'])
    const news = scopes.find(({ subject }) => subject === 'news')
    expect(news).toMatchObject({ generation: 8, token: '8', keys: 0, previous: [{ token: '7', keys: 1 }] })
  })

  it('of one subject are bumped with it, beside its generation', async () => {
    await server.call('MSET', 'feed_version:news', '1', 'feed_version:blog', '1')
    await bump(await openCommand(server), 'subject:news')
    expect(await server.call('MGET', 'feed_version:news', 'feed_version:blog')).toEqual(['2', '1'])
  })

  it.each([
    ['a list', ['RPUSH', 'feed_version:news', 'x'], 'another type'],
    ['text', ['SET', 'feed_version:news', '1.5\u001b[31m'], 'no whole number'],
  ])('that are none are refused: %s', async (_, command, why) => {
    await server.call(...command)
    await expect(bump(await openCommand(server), 'namespace:feed')).rejects.toMatchObject({
      exitCode: 4,
      message: expect.stringContaining(why),
    })
    const { scopes } = await show()
    expect(scopes.find(({ versionKey }) => versionKey !== null)?.problem).toContain(why)
    expect(JSON.stringify(scopes)).not.toContain('\\u001b')
  })
})

describe('version show', () => {
  it('of an empty Redis changes nothing', async () => {
    const report = await show()
    expect(report).toMatchObject({ ok: true, prefix: 'shop', method: 'full', versions: [] })
    expect(report.scopes).toMatchObject([
      { scope: 'global', generation: 0, token: null, since: null, by: null, keys: 0 },
    ])
    expect(await server.call('DBSIZE')).toBe(0)
  })

  it('tells keys, bytes and when they are drained, by the generation that ended them', async () => {
    const cache = openCache(server)
    for (let id = 0; id < 5; id++) await cache.getOrSet('list', ['x', `${id}`], async () => id)
    for (let id = 0; id < 3; id++) await cache.getOrSet('page', ['x', `${id}`], async () => id)
    await bump(await openCommand(server), 'namespace:list')
    await cache.getOrSet('list', ['x', '1'], async () => 1)
    await bump(await openCommand(server), 'global')
    await cache.getOrSet('list', ['x', '1'], async () => 1)
    const { scopes } = await show()
    const global = scopes.find(({ scope }) => scope === 'global')
    const list = scopes.find(({ scope }) => scope === 'namespace:list')
    // What is of two dead generations counts for the wider one.
    expect(global).toMatchObject({
      keys: 1,
      generation: 1,
      previous: [{ generation: 0, token: null, keys: 9, noTtlKeys: 3, drainedAt: null }],
    })
    expect(list).toMatchObject({ keys: 1, generation: 1, previous: [] })
    expect(global?.previous[0]?.bytes).toBeGreaterThan(9 * 80)
    await server.call('UNLINK', ...(await keysOf(server, 'shop:v2:page:*')))
    const [left] = (await show(['global'])).scopes
    expect(left?.previous[0]).toMatchObject({ keys: 6, noTtlKeys: 0 })
    const drainedMs = Date.parse(left?.previous[0]?.drainedAt ?? '') - Date.now()
    expect(drainedMs).toBeGreaterThan(200_000)
    expect(drainedMs).toBeLessThan(601_000)
  })

  it('knows tokens that are not recorded, and hostile ones', async () => {
    await server.call('HSET', 'shop~generations', 'namespace:list', 'now\u202e', 'incarnation', 'x')
    await server.call('MSET', 'shop:v2:list~gone:x:1', 'x', 'shop:v2:list:x:1', 'x')
    const list = (await show()).scopes.find(({ scope }) => scope === 'namespace:list')
    expect(list).toMatchObject({ token: 'now\\u{202E}', generation: null, since: null, by: null })
    expect(list?.previous.map(({ token, keys }) => [token, keys]).sort()).toEqual([
      [null, 1],
      ['gone', 1],
    ])
  })

  it('tells other versions of the code, and whether processes registered them', async () => {
    const [old, now] = [openCache(server, { version: 1 }), openCache(server)]
    await old.getOrSet('list', ['x', '1'], async () => 1)
    await now.getOrSet('list', ['x', '1'], async () => 1)
    await server.call('MSET', 'shop:v3:list:x:1', 'x', 'shop:v0:list:x:1', 'x')
    const { versions } = await show()
    const seen = versions.map(({ version, state, processes, keys }) => [version, state, processes, keys]).sort()
    expect(seen).toEqual([
      ['0', 'older', null, 1],
      ['1', 'older', 'registered', 1],
      ['3', 'newer', null, 1],
    ])
  })

  it('estimates a large keyspace, and counts it with --full', async () => {
    const pairs = Array.from({ length: 1_000 }, (_, i) => [`shop:v2:list:x:${i}`, 'x']).flat()
    for (let part = 0; part < 110; part++)
      await server.call('MSET', ...pairs.map((text, i) => (i % 2 === 0 ? `${text}:${part}` : text)))
    await server.call('HSET', 'shop~generations', 'namespace:list', 'tok', 'incarnation', 'x')
    const context = await openCommand(server)
    const sampled = await showVersions(context, { targets: [], tenant: null, full: false })
    expect(sampled.method).toBe('sample')
    const [left] = sampled.scopes.find(({ scope }) => scope === 'namespace:list')?.previous ?? []
    expect(Math.abs((left?.keys ?? 0) - 110_000)).toBeLessThanOrEqual(Math.max(10, left?.error?.keys ?? 0))
    const full = await showVersions(context, { targets: [], tenant: null, full: true })
    expect(full.scopes.find(({ scope }) => scope === 'namespace:list')?.previous[0]?.keys).toBe(110_000)
  }, 30_000)
})
