// Servers that refuse, users that may not, runs that are stopped: what evict says is what it did.
import { mkdtempSync, rmSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { afterAll, beforeAll, beforeEach, describe, expect, it } from 'vitest'
import { openStore } from '../../src/adapters/redis/store.ts'
import { CachectlError } from '../../src/core/errors.ts'
import { parseTarget } from '../../src/core/target.ts'
import type { OperationContext } from '../../src/ops/context.ts'
import type { Store } from '../../src/ports.ts'
import { randomFromSeed, seed } from '../seed.ts'
import { startRedis, type TestRedis } from '../servers.ts'
import { budgets, type Entry, evict, execute, keyOf, plan, restore } from './evict-world.ts'
import { contextOf, openTestStore } from './fixture.ts'

let server: TestRedis
let store: Store
const stateDir = mkdtempSync(join(tmpdir(), 'cachectl-state-'))
beforeAll(async () => {
  server = await startRedis()
  store = openTestStore(server)
})
beforeEach(async () => {
  await server.call('FLUSHALL')
})
afterAll(async () => {
  await store.close()
  await server.stop()
  rmSync(stateDir, { recursive: true })
})

const range = (count: number) => Array.from({ length: count }, (_, i) => i)
const detail = (count: number) =>
  range(count).map((i): Entry => ({ key: keyOf('detail', i), idleSeconds: 100_000 - i, ttlMs: 1e6 + i }))
const countDetail = async () => ((await server.call('KEYS', 'shop:v1:detail:*')) as string[]).length
const context = (more: Partial<OperationContext> = {}) =>
  contextOf(store, { stateDir, config: budgets(server.url, { detail: { maxKeys: 100, policy: 'lru' } }), ...more })

/** The context of a user with these rights beside reading and deleting. */
async function as<T>(rights: string[], run: (context: OperationContext) => Promise<T>, keys = '~*'): Promise<T> {
  await server.call('ACL', 'SETUSER', 'some', 'reset', 'on', '>pw', keys, '+@all', ...rights)
  const url = server.url.replace('unix:', 'unix://some:pw@')
  const theirs = openStore({ url, from: 'test', tls: null }, { connectTimeoutMs: 2_000, replyTimeoutMs: 5_000 })
  try {
    return await run(context({ store: theirs }))
  } finally {
    await theirs.close()
  }
}

describe('a run that is stopped', () => {
  it(`says what it did, and what is left; a second one does the rest (SEED=${seed})`, async () => {
    const random = randomFromSeed(seed)
    for (let trial = 0; trial < 12; trial++) {
      await server.call('FLUSHALL')
      await restore(store, detail(2000))
      const aborter = new AbortController()
      const stopAt = Math.floor(random() * 1900)
      const stopping = context({
        signal: aborter.signal,
        emit: (event) => {
          if (event.event === 'progress' && event.task.startsWith('evicting') && event.done >= stopAt)
            aborter.abort(new CachectlError('INTERRUPTED', 'interrupted'))
        },
      })
      const report = await evict(stopping)
      const there = await countDetail()
      expect(report.deleted).toBe(2000 - there)
      expect(report.matched).toBe(1900)
      expect(report.remaining).toBe(1900 - report.deleted)
      expect(report.namespaces[0]).toMatchObject({ evicted: { keys: report.deleted }, after: { keys: there } })
      expect(report.exitCode).toBe(report.deleted < 1900 ? 130 : report.exitCode)
      expect(report.ok).toBe(report.exitCode === 0)
      expect((await evict(context())).ok).toBe(true)
      expect(await countDetail()).toBe(100)
    }
  })

  it('while it measures, has done nothing', async () => {
    await restore(store, detail(2000))
    const aborter = new AbortController()
    const emit = () => aborter.abort(new CachectlError('INTERRUPTED', 'interrupted'))
    await expect(evict(context({ signal: aborter.signal, emit }))).rejects.toMatchObject({
      code: 'INTERRUPTED',
      exitCode: 130,
    })
    expect(await countDetail()).toBe(2000)
  })

  it('because its connection was lost, says so', async () => {
    await restore(store, detail(2000))
    let killed: Promise<unknown> | null = null
    const emit: OperationContext['emit'] = (event) => {
      if (event.event === 'progress' && event.task.startsWith('evicting'))
        killed ??= server.call('CLIENT', 'KILL', 'TYPE', 'normal', 'SKIPME', 'yes')
    }
    const report = await evict(context({ emit }))
    await killed
    expect(report).toMatchObject({ ok: false, complete: false })
    expect(report.exitCode).toBe(10)
    const there = await countDetail()
    expect(2000 - there).toBeGreaterThanOrEqual(report.deleted)
    expect(2000 - there).toBeLessThanOrEqual(report.deleted + report.unknown)
    expect((await evict(context())).ok).toBe(true)
  })
})

describe('a server', () => {
  it('that is out of memory lets evict make room', async () => {
    await restore(store, detail(500))
    await server.call('CONFIG', 'SET', 'maxmemory-policy', 'noeviction', 'maxmemory', 1)
    try {
      await expect(server.call('SET', 'x', 'y')).rejects.toThrow(/OOM/)
      const report = await evict(context())
      expect(report).toMatchObject({ ok: true, deleted: 400, exitCode: 0, journal: 'local' })
    } finally {
      await server.call('CONFIG', 'SET', 'maxmemory', 0)
    }
  })

  it('that takes no writes is told as such, and nothing is claimed', async () => {
    await restore(store, detail(500))
    await server.call('REPLICAOF', '127.0.0.1', '1')
    try {
      const report = await evict(context())
      expect(report).toMatchObject({ ok: false, complete: false, deleted: 0, exitCode: 13, journal: 'local' })
      expect(report.failed + report.remaining).toBe(400)
      expect(report.namespaces[0]).toMatchObject({ evicted: { keys: 0 }, after: { keys: 500 }, over: true })
      expect(report.problems[0]?.message).toMatch(/read.?only/i)
    } finally {
      await server.call('REPLICAOF', 'NO', 'ONE')
    }
    expect(await countDetail()).toBe(500)
  })

  it('that keeps frequencies knows lfu and not lru, and names what can be used', async () => {
    const lfu = budgets(server.url, { detail: { maxKeys: 100, policy: 'lfu' } })
    await restore(store, detail(200))
    await expect(evict(context({ config: lfu }))).rejects.toMatchObject({
      code: 'USAGE',
      message:
        'the server keeps when keys were used, and not how often (by its maxmemory-policy), so `lfu` cannot be told',
      hint: expect.stringContaining('--policy lru, ttl or random'),
    })
    await server.call('CONFIG', 'SET', 'maxmemory-policy', 'allkeys-lfu')
    try {
      await expect(evict(context())).rejects.toMatchObject({
        code: 'USAGE',
        hint: expect.stringContaining('--policy lfu'),
      })
      expect(await countDetail()).toBe(200)
      await restore(
        store,
        range(200).map((i): Entry => ({ key: keyOf('detail', i), frequency: i })),
      )
      const compared = await evict(context({ config: lfu }), { mode: 'compare' })
      expect(compared.namespaces[0]?.policies.map(({ policy, from, to }) => [policy, from, to])).toEqual([
        ['lfu', 0, 99],
        ['random', null, null],
        ['ttl', null, null],
      ])
      await evict(context({ config: lfu }))
      const kept = (await server.call('KEYS', 'shop:*')) as string[]
      expect(kept.sort()).toEqual(
        range(100)
          .map((i) => keyOf('detail', i + 100))
          .sort(),
      )
    } finally {
      await server.call('CONFIG', 'SET', 'maxmemory-policy', 'noeviction')
    }
  })
})

describe('a user', () => {
  beforeEach(() => restore(store, detail(200)))

  it('that may not run OBJECT is told the right, and what works without it', async () => {
    await as(['-object'], async (theirs) => {
      await expect(evict(theirs)).rejects.toMatchObject({
        code: 'REDIS_ACL',
        exitCode: 11,
        hint: '`ACL SETUSER <user> +object|idletime` gives the right; --policy ttl or --policy random needs none',
      })
      expect(await countDetail()).toBe(200)
      const compared = await evict(theirs, { mode: 'compare', policy: 'ttl' })
      expect(compared.namespaces[0]?.policies.map(({ policy, refused }) => [policy, refused === null])).toEqual([
        ['ttl', true],
        ['lru', false],
        ['random', true],
      ])
      expect(await evict(theirs, { policy: 'ttl' })).toMatchObject({ ok: true, deleted: 100 })
    })
    const kept = (await server.call('KEYS', 'shop:*')) as string[]
    expect(kept.sort()).toEqual(
      range(100)
        .map((i) => keyOf('detail', i + 100))
        .sort(),
    )
  })

  it('that may not run MEMORY can hold limits of keys, and not of memory', async () => {
    await as(['-memory'], async (theirs) => {
      const limits = { maxKeys: null, maxBytes: 1000 }
      const targets = [parseTarget('namespace:detail', theirs.config)]
      await expect(evict(theirs, { targets, limits })).rejects.toMatchObject({ code: 'REDIS_ACL' })
      const report = await evict(theirs)
      expect(report).toMatchObject({ ok: true, deleted: 100 })
      expect(report.namespaces[0]).toMatchObject({
        before: { keys: 200, bytes: null },
        after: { keys: 100, bytes: null },
      })
    })
  })

  it('that may not delete has deleted nothing', async () => {
    await as(['-unlink', '-del'], async (theirs) => {
      const report = await evict(theirs)
      expect(report).toMatchObject({ ok: false, deleted: 0, exitCode: 11 })
      expect(report.failed + report.remaining).toBe(100)
    })
    expect(await countDetail()).toBe(200)
  })

  it('that may touch other keys only is told how many it could not see', async () => {
    await as(
      [],
      async (theirs) => {
        const report = await evict(theirs)
        expect(report).toMatchObject({ ok: true, deleted: 0 })
        expect(report.notes).toEqual(['this user may not touch 200 keys: they are not counted'])
      },
      '~shop:v1:list:*',
    )
  })
})

it('protected keys count, and never go: a limit that they exceed alone is not kept', async () => {
  await restore(store, detail(300))
  const config = budgets(server.url, { detail: { maxKeys: 100, policy: 'lru' } }, { protect: ['shop:v1:detail:*1*'] })
  const spared = range(300).filter((i) => String(i).includes('1')).length
  const report = await evict(context({ config }))
  expect(report).toMatchObject({ ok: false, exitCode: 3, deleted: 300 - spared, protected: spared, remaining: 0 })
  expect(report.namespaces[0]).toMatchObject({ over: true, after: { keys: spared } })
  expect(report.notes).toEqual([`${spared} keys of namespace:detail are protected: they count, and never go`])
  expect(await countDetail()).toBe(spared)
})

it('twice at once, no more goes than is too much for either', async () => {
  await restore(store, detail(1000))
  const plans = await Promise.all([plan(context()), plan(context())])
  const reports = await Promise.all(plans.map((planned) => execute(context(), planned)))
  expect(reports.map(({ ok }) => ok)).toEqual([true, true])
  expect(reports.reduce((sum, { deleted }) => sum + deleted, 0)).toBe(900)
  expect(await countDetail()).toBe(100)
})
