// Verbs that change keys, on servers of which another one takes over before they end: none says that it is done.
import { afterAll, afterEach, beforeAll, beforeEach, describe, expect, it } from 'vitest'
import { type Account, isBalanced } from '../../src/core/account.ts'
import { CachectlError, type ExitCode } from '../../src/core/errors.ts'
import type { OpenedContext } from '../../src/ops/context.ts'
import { executeExpire } from '../../src/ops/expire.ts'
import { planExpire } from '../../src/ops/expire-plan.ts'
import { watchHandover } from '../../src/ops/handover.ts'
import { invalidate } from '../../src/ops/invalidate.ts'
import { planInvalidate } from '../../src/ops/invalidate-plan.ts'
import { readJournal } from '../../src/ops/journal-read.ts'
import { countReplicas } from '../../src/ops/replicas-in-step.ts'
import type { Store } from '../../src/ports.ts'
import { fillKeys } from '../keyspace.ts'
import { startRedis, type TestRedis } from '../servers.ts'
import { evict } from './evict-world.ts'
import { openTestStore } from './fixture.ts'
import { accountOf, bump, closeWorld, openCommand, prune } from './version-world.ts'

interface Told extends Account {
  ok: boolean
  complete: boolean
  exitCode: ExitCode
  doubt: string | null
}

const LIST = { kind: 'namespace', namespace: 'list', text: 'namespace:list' } as const
const AIM = { targets: [LIST], tenant: null, foreign: false, allTenants: false, exact: false }
const HOW = { kind: 'delete' } as const

const VERBS: Record<string, (context: OpenedContext) => Promise<Told>> = {
  invalidate: async (context) =>
    invalidate(context, await planInvalidate(context, { ...AIM, how: HOW, look: false }), 'max'),
  async expire(context) {
    const expiry = { ttlMs: 60_000, jitter: 0, overMs: 0 }
    const options = { ...AIM, expiry, shortenOnly: false, missingOnly: false, pace: 'max' } as const
    const { changed, ...report } = await executeExpire(context, await planExpire(context, options))
    return { ...report, deleted: changed }
  },
  evict: (context) => evict(context, { targets: [LIST], limits: { maxKeys: 10, maxBytes: null } }),
  'version prune': (context) => prune(context),
  'version bump': (context) => bump(context, 'namespace:list'),
}

const OTHER = 'f'.repeat(40)

let server: TestRedis
beforeAll(async () => {
  server = await startRedis()
})
afterAll(() => server.stop())
afterEach(closeWorld)
beforeEach(async () => {
  await server.call('FLUSHALL')
  await server.call('HSET', 'shop~generations', 'incarnation', 'abcdefghijklmnop', 'epoch', 'e')
  await server.call('SET', 'shop~revision:{shop~generations}', 'r')
  const of = (head: string) => Array.from({ length: 100 }, (_, index) => `${head}:city:all:page_${index}`)
  await fillKeys(server, [...of('shop:v2:list'), ...of('shop:v2~dead:list')])
})

/** Histories that are asked for behind the first time are of another server; what it lacks is gone by then. Walks may fail before. */
const takenOver =
  (lose: () => Promise<unknown>, { moves = true, walks = true } = {}) =>
  (store: Store): Store => {
    let asked = 0
    return new Proxy(store, {
      get(target, name) {
        if (name === 'history')
          return async () => {
            if (asked++ === 0 || !moves) return target.history()
            await lose()
            return OTHER
          }
        if (name === 'identity' && moves && asked > 1)
          return async () => ({ ...(await target.identity()), runId: OTHER })
        if (name === 'masters' && !walks)
          return async () => {
            throw new CachectlError('REDIS_REFUSES_WRITES', 'the walk fails')
          }
        const value = Reflect.get(target, name, target)
        return typeof value === 'function' ? value.bind(target) : value
      },
    })
  }

async function run(name: string, store?: (store: Store) => Store): Promise<Told> {
  const context = await openCommand(server, { version: 2, ...(store ? { store } : {}) })
  const report = await (VERBS[name] as (context: OpenedContext) => Promise<Told>)(context)
  expect(isBalanced(accountOf(report)), JSON.stringify(report)).toBe(true)
  const { entries } = await readJournal(context, { limit: 1, since: null, match: () => true })
  expect(entries[0]).toMatchObject({ verb: name, exitCode: report.exitCode, complete: report.complete })
  return report
}

describe.each(Object.keys(VERBS))('%s', (name) => {
  it('is done where the server is the one it was', async () => {
    expect(await run(name)).toMatchObject({ ok: true, complete: true, exitCode: 0, doubt: null })
  })

  it('says that another server took over', async () => {
    const lost = takenOver(() => server.call('DEL', 'shop~generations'))
    expect(await run(name, lost)).toMatchObject({
      ok: false,
      complete: false,
      exitCode: 3,
      doubt: expect.stringMatching(/another server took over/),
    })
  })
})

it.each([
  ['is', 'took none', false],
  ['is not', 'took', true],
])('an invalidation whose walk failed %s applied where another server %s over', async (_, __, moves) => {
  const store = takenOver(() => server.call('DEL', 'shop~generations'), { moves, walks: false })
  const context = await openCommand(server, { version: 2, store })
  const report = await invalidate(context, await planInvalidate(context, { ...AIM, how: HOW, look: false }), 'max')
  expect(report).toMatchObject({ applied: !moves, complete: false, exitCode: 13 })
  expect(report.doubt).toEqual(moves ? expect.stringMatching(/took over/) : null)
})

it('a server that is given its first replica is the one it was', async () => {
  const [primary, replica] = [await startRedis({ port: 0 }), await startRedis({ port: 0 })]
  const store = openTestStore(primary)
  try {
    const before = await store.history()
    const handover = await watchHandover(store)
    await replica.call('REPLICAOF', '127.0.0.1', primary.port as number)
    await expect.poll(() => store.history(), { interval: 20, timeout: 20_000 }).not.toBe(before)
    expect(await handover.doubt()).toBeNull()
    // One that was a replica meanwhile has what another one had.
    await replica.call('REPLICAOF', 'NO', 'ONE')
    const replicas = async () => [...((await countReplicas(store)) ?? [])].map(([, count]) => count)
    await expect.poll(replicas, { interval: 20, timeout: 20_000 }).toEqual([0])
    const again = await watchHandover(store)
    await primary.call('REPLICAOF', '127.0.0.1', replica.port as number)
    await primary.call('REPLICAOF', 'NO', 'ONE')
    expect(await again.doubt()).toMatch(/another server took over/)
  } finally {
    await store.close()
    await Promise.all([primary.stop(), replica.stop()])
  }
})

it('version bump is done where the server that took over has the new generation', async () => {
  expect(
    await run(
      'version bump',
      takenOver(async () => {}),
    ),
  ).toMatchObject({ exitCode: 0, doubt: null })
})

it('version bump of versions of other software: those are looked for, too', async () => {
  await fillKeys(server, ['feed:main:v1:a'])
  await server.call('SET', 'feed_version:main', '1')
  const raw = async (lose: () => Promise<unknown>) => {
    const context = await openCommand(server, { version: 2, store: takenOver(lose) })
    return bump(context, 'namespace:feed')
  }
  expect(await raw(async () => {})).toMatchObject({ exitCode: 0, doubt: null })
  expect(await raw(() => server.call('SET', 'feed_version:main', '1'))).toMatchObject({ exitCode: 3 })
})
