import { afterAll, beforeAll, beforeEach, describe, expect, it } from 'vitest'
import { openControl } from '../../src/adapters/redis/control.ts'
import type { OperationContext } from '../../src/ops/context.ts'
import { planRelease, type ReleasePlan, releaseLock, showLocks } from '../../src/ops/lock.ts'
import type { Lock, Store } from '../../src/ports.ts'
import { until } from '../cli/spawned.ts'
import { startRedis, type TestRedis } from '../servers.ts'
import { contextOf, openTestStore, testConfig } from './fixture.ts'

let server: TestRedis
let store: Store
let context: OperationContext
beforeAll(async () => {
  server = await startRedis()
  store = openTestStore(server)
  context = contextOf(store, { config: testConfig(server.url) })
})
afterAll(async () => {
  await store.close()
  await server.stop()
})
beforeEach(() => server.call('FLUSHALL'))

const take = async (name: string, ttlMs = 30_000): Promise<Lock> => {
  const lock = await openControl(store, 'shop').lock(name, 'web-1:4711', ttlMs)
  if (!lock.held) throw new Error(`${name} is held`)
  return lock
}

describe('lock show', () => {
  it('names the locks of the prefix, by whom they are held, and until when', async () => {
    expect((await showLocks(context, null)).locks).toEqual([])
    const locks = [await take('warm:product'), await take('warm:city:7')]
    for (const other of ['shop~lease:{x}', 'shop~lockx', 'other~lock:warm:x', 'shop:v1:list:a:~lock:'])
      await server.call('SET', other, 'x')
    const { locks: shown, ...report } = await showLocks(context, null)
    expect(report).toMatchObject({ command: 'lock show', ok: true, complete: true, name: null })
    expect(shown).toEqual([
      {
        name: 'warm:city:7',
        holder: 'web-1:4711',
        since: expect.any(String),
        ageMs: expect.any(Number),
        expiresInMs: expect.any(Number),
      },
      expect.objectContaining({ name: 'warm:product' }),
    ])
    expect(shown[0]?.ageMs).toBeLessThan(10_000)
    expect(shown[0]?.expiresInMs).toBeGreaterThan(20_000)
    expect((await showLocks(context, 'warm:product')).locks).toEqual([
      expect.objectContaining({ name: 'warm:product' }),
    ])
    expect((await showLocks(context, 'warm:none')).locks).toEqual([])
    for (const lock of locks) await lock.release()
  })

  it('shows what is no lock of cachectl as unknown, and never raw', async () => {
    await server.call('SET', 'shop~lock:a\x1b', '\x1b[31m{')
    await server.call('SET', 'shop~lock:b', '{"holder":"\\u001b","since":7}')
    await server.call('SET', 'shop~lock:c', 'null')
    await server.call('RPUSH', 'shop~lock:d', 'x')
    await server.call('SET', Buffer.concat([Buffer.from('shop~lock:e'), Buffer.from([0xff])]), '{"since":"soon"}')
    const unknown = { holder: null, since: null, ageMs: null, expiresInMs: null }
    const shown = (await showLocks(context, null)).locks
    expect(shown).toEqual([
      { ...unknown, name: 'a\\x1B' },
      { ...unknown, name: 'b', holder: '\\x1B' },
      { ...unknown, name: 'c' },
      { ...unknown, name: 'd' },
      { ...unknown, name: 'e\\xFF', since: 'soon' },
    ])
    for (const { name } of shown) expect((await showLocks(context, name)).locks).toHaveLength(1)
    await expect(planRelease(context, 'd')).rejects.toMatchObject({ code: 'USAGE' })
    expect(await releaseLock(context, await planRelease(context, 'e\\xFF'), false)).toMatchObject({
      outcome: 'released',
    })
    expect(await server.call('KEYS', 'shop~lock:e*')).toEqual([])
  })

  it('needs a config, which names the prefix', async () => {
    await expect(showLocks(contextOf(store), null)).rejects.toMatchObject({ code: 'CONFIG_NOT_FOUND' })
  })
})

describe('lock release', () => {
  it('takes the lock away: the run that held it hears of it with its next renewal', async () => {
    const lock = await take('warm:product', 300)
    const report = await releaseLock(context, await planRelease(context, 'warm:product'), false)
    expect(report).toMatchObject({
      ok: true,
      outcome: 'released',
      exitCode: 0,
      heldNow: null,
      lock: { holder: 'web-1:4711' },
    })
    await until(() => lock.signal.aborted)
    expect(lock.signal.reason).toMatchObject({ code: 'LOCKED', exitCode: 5 })
  })

  it('says that nobody holds it; a dry run releases nothing', async () => {
    expect(await releaseLock(context, await planRelease(context, 'warm:x'), false)).toMatchObject({
      ok: true,
      outcome: 'absent',
      exitCode: 0,
      journal: 'none',
    })
    const lock = await take('warm:product')
    const plan = await planRelease(context, 'warm:product')
    expect(await releaseLock(context, plan, true)).toMatchObject({ dryRun: true, outcome: 'dry run', journal: 'none' })
    expect((await showLocks(context, null)).locks).toHaveLength(1)
    await lock.release()
    expect(await releaseLock(context, plan, false)).toMatchObject({ ok: true, outcome: 'lapsed', exitCode: 0 })
  })

  /** The naive way: what has the name goes. */
  const byName = async (_: OperationContext, { key }: ReleasePlan): Promise<unknown> => store.call('DEL', key)
  const byToken = (of: OperationContext, plan: ReleasePlan): Promise<unknown> => releaseLock(of, plan, false)

  it.each([
    ['a lock that changed hands since it was looked at stays', byToken, true],
    ['released by its name, it is lost', byName, false],
  ] as const)('%s', async (_, release, stays) => {
    const first = await take('warm:product')
    const plan = await planRelease(context, 'warm:product')
    await first.release()
    const second = await take('warm:product')
    const report = await release(context, plan)
    expect((await showLocks(context, 'warm:product')).locks.length === 1).toBe(stays)
    if (stays)
      expect(report).toMatchObject({
        ok: false,
        outcome: 'changed hands',
        exitCode: 5,
        heldNow: { holder: 'web-1:4711' },
      })
    await second.release()
  })
})
