// `version prune` on a real server: what is dead goes, nothing that anybody may still read does, whatever is bumped, filled and warmed meanwhile.
import { setTimeout as pause } from 'node:timers/promises'
import { afterAll, afterEach, beforeAll, beforeEach, describe, expect, it } from 'vitest'
import { isBalanced } from '../../src/core/account.ts'
import { currentVersion } from '../../src/core/code-version.ts'
import { deadGenerationOf } from '../../src/core/dead-generation.ts'
import { createKeys } from '../../src/core/key.ts'
import type { OpenedContext } from '../../src/ops/context.ts'
import { sweep, unlinkAction } from '../../src/ops/sweep.ts'
import { examineBy, type prunableKeys } from '../../src/ops/version-dead.ts'
import { planVersionPrune, versionPruneDryRun } from '../../src/ops/version-prune.ts'
import { type ControlFields, readControl, readVersionState } from '../../src/ops/version-state.ts'
import { warm } from '../../src/ops/warm.ts'
import { planWarm } from '../../src/ops/warm-plan.ts'
import type { CommandArgument, Lane, Store } from '../../src/ports.ts'
import { randomFromSeed, seed } from '../seed.ts'
import { startRedis, type TestRedis } from '../servers.ts'
import { accountOf, bump, closeWorld, keysOf, openCache, openCommand, prune, resolved } from './version-world.ts'

let server: TestRedis
beforeAll(async () => {
  server = await startRedis()
})
afterAll(() => server.stop())
beforeEach(() => server.call('FLUSHALL'))
afterEach(closeWorld)

const fields = async () => (await server.call('HKEYS', 'shop~generations')) as string[]

describe('version prune', () => {
  it('deletes what is of dead generations, and nothing else', async () => {
    const cache = openCache(server)
    const fill = async () => {
      for (let id = 0; id < 30; id++) {
        await cache.getOrSet('list', ['x', `${id}`], async () => id)
        await cache.getOrSet('page', ['x', `${id}`], async () => id)
        await cache.tenant('1').getOrSet('detail', ['y', `${id}`], async () => id)
      }
    }
    await fill()
    await server.call('MSET', 'bull:mail:1', 'x', 'shop~mine', 'x', 'shop:v2:list~x', 'x', 'feed:news:v1:a', 'x')
    for (const target of ['namespace:list', 'namespace:page', 'tenant:1']) await bump(await openCommand(server), target)
    const settled = () => expect.poll(() => keysOf(server, 'shop~lease:*')).toEqual([])
    await settled()
    const before = await keysOf(server, '*')
    await fill()
    await settled()
    const filled = (await keysOf(server, '*')).filter((key) => !before.includes(key))
    const report = await prune(await openCommand(server))
    expect(report).toMatchObject({ ok: true, applied: true, matched: 90, deleted: 90, journal: 'redis', dryRun: false })
    expect(isBalanced(accountOf(report))).toBe(true)
    const after = await keysOf(server, '*')
    expect(after.filter((key) => /^(?:shop:|bull|feed|shop~mine)/.test(key))).toEqual(
      [...filled, 'bull:mail:1', 'shop~mine', 'shop:v2:list~x', 'feed:news:v1:a'].sort(),
    )
    expect(await prune(await openCommand(server))).toMatchObject({ matched: 0, ok: true })
  })

  it('of targets deletes theirs', async () => {
    const cache = openCache(server)
    for (const space of ['list', 'page'] as const) await cache.getOrSet(space, ['x', '1'], async () => 1)
    for (const id of ['1', '2']) await cache.tenant(id).getOrSet('detail', ['x', '1'], async () => 1)
    await bump(await openCommand(server), 'global', {})
    const of = async (targets: string[], tenant: string | null = null) =>
      (await prune(await openCommand(server), { targets, tenant })).deleted
    expect(await of(['namespace:list'])).toBe(1)
    expect(await of(['namespace:list'])).toBe(0)
    expect(await of([], '1')).toBe(1)
    expect(await of(['subject:x'])).toBe(2)
  })

  it('spares what is protected, and says so', async () => {
    await server.call('MSET', 'shop:v2:list~a:x:1', 'x', 'shop:v2:list~a:kept:1', 'x', 'shop:v2:list:kept:1', 'x')
    await server.call('HSET', 'shop~generations', 'incarnation', 'x')
    const report = await prune(await openCommand(server, { protect: ['shop:v2:list:kept:*'] }))
    expect(report).toMatchObject({ ok: true, matched: 2, deleted: 1, protected: 1 })
    expect(await keysOf(server, 'shop:v2:*')).toEqual(['shop:v2:list:kept:1', 'shop:v2:list~a:kept:1'])
  })

  it('of a raw namespace deletes what is of a smaller version', async () => {
    await server.call(
      'MSET',
      'feed_version:news',
      '3',
      'feed:news:v2:a',
      'x',
      'feed:news:v3:a',
      'x',
      'feed:news:v4:a',
      'x',
    )
    await server.call(
      'MSET',
      'feed:blog:v1:a',
      'x',
      'feed:news:vx:a',
      'x',
      'feed_version:bad',
      'x',
      'feed:bad:v1:a',
      'x',
    )
    expect(await prune(await openCommand(server))).toMatchObject({ matched: 1, deleted: 1 })
    expect(await server.call('EXISTS', 'feed:news:v2:a')).toBe(0)
  })

  it('says in a dry run what would go at most, and asks nobody', async () => {
    const old = openCache(server, { version: 1 })
    await old.getOrSet('list', ['x', '1'], async () => 1)
    const before = await server.call('HGETALL', 'shop~generations')
    const context = await openCommand(server)
    const plan = await planVersionPrune(context, { targets: [], tenant: null, waitMs: 100 })
    const report = await versionPruneDryRun(context, plan)
    expect(report).toMatchObject({
      dryRun: true,
      matched: 1,
      remaining: 1,
      versions: [{ version: '1', state: 'registered' }],
    })
    expect(isBalanced(accountOf(report))).toBe(true)
    expect(await server.call('HGETALL', 'shop~generations')).toEqual(before)
  })

  it('ends when it is told to, before it has deleted anything', async () => {
    await server.call('MSET', 'shop:v2:list~a:x:1', 'x')
    await server.call('HSET', 'shop~generations', 'incarnation', 'x', 'code:1', 'long ago')
    const stop = new AbortController()
    const context = await openCommand(server, { signal: stop.signal })
    const pruned = prune(context, { waitMs: 60_000 })
    await expect.poll(() => context.events.some(({ event }) => event === 'note')).toBe(true)
    stop.abort()
    await expect(pruned).rejects.toThrow()
    expect(await server.call('EXISTS', 'shop:v2:list~a:x:1')).toBe(1)
  })
})

describe('versions of the code', () => {
  it('whose processes read stay, whatever the config says', async () => {
    const old = openCache(server, { version: 1 })
    let loads = 0
    const read = () => old.getOrSet('list', ['x', '1'], async () => ++loads)
    await read()
    const reading = setInterval(() => void read(), 20)
    try {
      const report = await prune(await openCommand(server), { waitMs: 5_000 })
      expect(report).toMatchObject({ ok: true, matched: 0, versions: [{ version: '1', state: 'answered' }] })
      expect(report.durationMs).toBeLessThan(4_000)
      expect(await read()).toBe(1)
    } finally {
      clearInterval(reading)
    }
  }, 15_000)

  it('of which a process holds copies in its memory stay, though it reads nothing', async () => {
    const old = openCache(server, { version: 1, l1: true })
    await old.getOrSet('list', ['x', '1'], async () => 1)
    await expect.poll(() => server.call('HLEN', 'shop~processes'), { timeout: 5_000 }).toBe(2)
    expect(await prune(await openCommand(server))).toMatchObject({
      matched: 0,
      versions: [{ version: '1', state: 'live' }],
    })
    expect(await fields()).toContain('code:1')
  }, 15_000)

  it('without processes go, and are forgotten when nothing of theirs can be written any more', async () => {
    const old = openCache(server, { version: 1 })
    await old.getOrSet('list', ['x', '1'], async () => 1)
    await closeWorld()
    await server.call('MSET', 'shop:v0:list:x:1', 'x', 'shop:v3:list:x:1', 'x')
    expect(await prune(await openCommand(server))).toMatchObject({
      deleted: 2,
      versions: [{ version: '1', state: 'silent' }],
    })
    expect(await keysOf(server, 'shop:v*')).toEqual(['shop:v3:list:x:1'])
    expect(await fields()).toEqual(expect.arrayContaining(['leaving:1']))
    // Too early: a load that began before may still be under way.
    expect(await prune(await openCommand(server))).toMatchObject({ versions: [{ state: 'silent' }] })
    await server.call('HSET', 'shop~generations', 'leaving:1', Date.now() - 71_000)
    const revision = await server.call('GET', (await keysOf(server, 'shop~revision*'))[0] ?? '')
    expect(await prune(await openCommand(server))).toMatchObject({ versions: [{ state: 'forgotten' }] })
    expect((await fields()).filter((field) => /^(?:code|leaving):/.test(field))).toEqual([])
    expect(await server.call('GET', (await keysOf(server, 'shop~revision*'))[0] ?? '')).not.toBe(revision)
  })

  it('that come back are registered again by their first read', async () => {
    const old = openCache(server, { version: 1 })
    await old.getOrSet('list', ['x', '1'], async () => 1)
    await prune(await openCommand(server), { waitMs: 1 })
    expect(await fields()).toContain('leaving:1')
    await old.getOrSet('list', ['x', '1'], async () => 2)
    expect(await fields()).toContain('code:1')
    await server.call('HSET', 'shop~generations', 'leaving:1', Date.now() - 71_000)
    expect(await prune(await openCommand(server), { waitMs: 1 })).toMatchObject({ matched: 1, deleted: 1 })
  })

  /** A process of v1 loads while it is asked, and does not answer; a row changes meanwhile. What does it read then? */
  async function readAfterward(forget: boolean): Promise<unknown> {
    const [old, now] = [openCache(server, { version: 1 }), openCache(server)]
    await now.getOrSet('list', ['y', '1'], async () => 1)
    let truth = 'old'
    let began = false
    let release = () => {}
    const released = new Promise<void>((resolve) => {
      release = resolve
    })
    const loading = old.getOrSet('list', ['x', '1'], async () => {
      const read = truth
      began = true
      await released
      return read
    })
    await expect.poll(() => began).toBe(true)
    await prune(await openCommand(server), { waitMs: 1 })
    if (forget) await server.call('HDEL', 'shop~generations', 'leaving:1')
    if (forget) await server.call('SET', (await keysOf(server, 'shop~revision*'))[0] ?? '', 'another')
    truth = 'new'
    await now.get('list', ['y', '1'])
    await now.delete('list', ['x', '1'])
    release()
    await loading
    await expect.poll(() => keysOf(server, 'shop~lease:*')).toEqual([])
    return old.getOrSet('list', ['x', '1'], async () => truth)
  }
  it('are covered by invalidations until nothing of theirs can be written', async () => {
    expect(await readAfterward(false)).toBe('new')
  })
  it('that were forgotten as soon as they do not answer would read what is old', async () => {
    expect(await readAfterward(true)).toBe('old')
  })
})

/** Deletes by the command, or by a variant of it, while caches bump, fill and warm; counts the keys that were live when they were about to be deleted. */
async function pruneBeside(
  act: (context: OpenedContext) => Promise<{ deleted: number }>,
): Promise<{ live: string[]; deleted: number }> {
  const random = randomFromSeed(seed)
  const cache = openCache(server)
  const other = openCache(server, { version: 1 })
  const live: string[] = []
  const watching = (store: Store): Store => watchUnlinks(store, live)
  let stopped = false
  const spaces = ['list', 'page', 'detail'] as const
  const filling = async (mine: typeof cache) => {
    while (!stopped) {
      const space = spaces[Math.floor(random() * 3)] as (typeof spaces)[number]
      const ids = Array.from({ length: 20 }, () => Math.floor(random() * 200))
      await Promise.all(ids.map((id) => mine.getOrSet(space, [`s${id % 5}`, `${id}`], async () => id)))
    }
  }
  const bumping = async () => {
    while (!stopped) {
      const at = random()
      if (at < 0.6) await cache.invalidate({ namespace: spaces[Math.floor(random() * 3)] } as never)
      else if (at < 0.9) await cache.invalidate({ subject: `s${Math.floor(random() * 5)}` })
      else await bump(await openCommand(server), 'global')
      await pause(random() * 8)
    }
  }
  const warming = async () => {
    const context = await openCommand(server)
    const config = resolved(server.url)
    const options = { targets: ['city'], concurrency: 1, batch: 20, ifLocked: 'fail' as const, dryRun: false }
    while (!stopped) await warm(context, context.control(), planWarm(config, options, Date.now()), options)
  }
  const work = [filling(cache), filling(cache), bumping(), warming()]
  let deleted = 0
  try {
    for (let run = 0; run < 6; run++) {
      // A process of the older version begins in the middle of it.
      if (run === 2) work.push(filling(other))
      deleted += (await act(await openCommand(server, { store: watching }))).deleted
    }
  } finally {
    stopped = true
    await Promise.all(work)
  }
  return { live, deleted }
}

/** What is about to be deleted and is current at that moment was current when it was judged: tokens never come back. */
function watchUnlinks(store: Store, live: string[]): Store {
  const keys = createKeys({ prefix: 'shop', tenantLabel: 'org' })
  const config = resolved(server.url)
  const isLive = (key: Buffer, { generations, versions }: ControlFields): boolean => {
    const parsed = keys.parse(key)
    if (parsed === null || deadGenerationOf(parsed, generations) !== null) return false
    const own = currentVersion(config, parsed.subject) === parsed.version
    return own || versions.some(({ version, leavingMs }) => version === parsed.version && leavingMs === null)
  }
  const watch = (lane: Lane): Lane => {
    let named: Buffer[] = []
    return {
      get noTouch() {
        return lane.noTouch
      },
      get closed() {
        return lane.closed
      },
      page() {
        const page = lane.page()
        const add = page.add.bind(page)
        page.add = (...command: readonly CommandArgument[]) => {
          if (command[0] === 'UNLINK')
            named.push(
              ...command
                .slice(1)
                .map((key) => Buffer.from(key as Buffer))
                .filter((key) => key.toString().startsWith('shop:')),
            )
          return add(...command)
        }
        return page
      },
      async run(page) {
        const doomed = named
        named = []
        if (doomed.length > 0) {
          const control = await readControl(store, 'shop')
          live.push(...doomed.filter((key) => isLive(key, control)).map(String))
        }
        return lane.run(page)
      },
      close: () => lane.close(),
    }
  }
  return new Proxy(store, {
    get(target, name) {
      if (name === 'masters')
        return async () =>
          (await target.masters()).map((master) => ({
            id: master.id,
            lane: async (given?: object) => watch(await master.lane(given)),
          }))
      const value = Reflect.get(target, name, target)
      return typeof value === 'function' ? value.bind(target) : value
    },
  })
}

describe(`beside caches that bump, fill and warm (seed ${seed})`, () => {
  it('never deletes a live key', async () => {
    const { live, deleted } = await pruneBeside(async (context) => prune(context, { waitMs: 50 }))
    expect(live).toEqual([])
    expect(deleted).toBeGreaterThan(100)
  }, 30_000)

  /** On a busy machine what it overlooks may come late: it gets a few goes. */
  async function isCaught(act: Parameters<typeof pruneBeside>[0]): Promise<boolean> {
    for (let go = 0; go < 3; go++) if ((await pruneBeside(act)).live.length > 0) return true
    return false
  }

  it('is caught where generations are read once, at the start', async () => {
    const caught = await isCaught(async (context) => {
      const state = await readVersionState(context, 'shop')
      const naive = examineBy(resolved(server.url), async () => state, {
        own: (parsed, { generations }) => deadGenerationOf(parsed, generations) !== null,
        foreign: (keys) => keys.map(() => false),
      })
      await pause(30)
      return (await naiveSweep(context, naive)).account
    })
    expect(caught).toBe(true)
  }, 60_000)

  it('is caught where versions are read once, at the start', async () => {
    const caught = await isCaught(async (context) => {
      const state = await readVersionState(context, 'shop')
      const naive = examineBy(resolved(server.url), async () => state, {
        own: (parsed, { versions }) => parsed.version === '1' && !versions.some(({ version }) => version === '1'),
        foreign: (keys) => keys.map(() => false),
      })
      await expect
        .poll(async () => (await keysOf(server, 'shop:v1*')).length, { timeout: 500 })
        .toBeGreaterThan(0)
        .catch(() => {})
      return (await naiveSweep(context, naive)).account
    })
    expect(caught).toBe(true)
  }, 60_000)
})

async function naiveSweep(context: OpenedContext, examine: ReturnType<typeof prunableKeys>['examine']) {
  const action = await unlinkAction(context)
  const decide = (key: Buffer) => (key.toString().startsWith('shop:') ? ('act' as const) : ('pass' as const))
  return sweep(context, { decide, examine, action, pace: 'max', task: 'pruning', expected: null })
}
