import { afterAll, beforeAll, beforeEach, describe, expect, it } from 'vitest'
import { encodeEntry } from '../../src/core/entry.ts'
import { unprintable } from '../../src/core/printable.ts'
import { parseTarget } from '../../src/core/target.ts'
import { getEntry } from '../../src/ops/get.ts'
import { type KeyRow, type KeysOptions, keys } from '../../src/ops/keys.ts'
import type { Store } from '../../src/ports.ts'
import { startRedis, type TestRedis } from '../servers.ts'
import { contextOf, hostileKeys, openTestStore, RAW, testConfig } from './fixture.ts'

describe('keys', () => {
  let server: TestRedis
  let store: Store
  beforeAll(async () => {
    server = await startRedis()
    store = openTestStore(server)
  })
  afterAll(async () => {
    await store.close()
    await server.stop()
  })
  beforeEach(() => server.call('FLUSHALL'))

  const list = async (
    options: Partial<KeysOptions> = {},
    more: Parameters<typeof contextOf>[1] = {},
  ): Promise<KeyRow[]> => {
    const rows: KeyRow[] = []
    for await (const page of keys(contextOf(store, more), {
      targets: [],
      tenant: null,
      details: false,
      age: false,
      limit: null,
      replica: false,
      ...options,
    })) {
      expect(page.length).toBeGreaterThan(0)
      rows.push(...page)
    }
    return rows
  }

  it('with a tenant, means no key of another one, whatever is named', async () => {
    const config = { ...testConfig(server.url), tenantLabel: 'org' }
    for (const key of ['shop:v1:detail:note:org_a:1', 'shop:v1:detail:note:org_b:1', 'shop:v1:detail:note:1', 'other'])
      await server.call('SET', key, 'x')
    for (const targets of [[], [parseTarget('all', config)], [parseTarget('pattern:*', config)]])
      expect((await list({ targets, tenant: 'a' }, { config })).map(({ key }) => key)).toEqual([
        'shop:v1:detail:note:org_a:1',
      ])
  })

  it('streams what a target means, with TTL, size and age where they are asked for', async () => {
    const config = testConfig(server.url)
    const entry = encodeEntry(
      { a: 1 },
      {
        incarnation: 'abcdefghijklmnop',
        createdAtMs: Date.now() - 60_000,
        freshUntilMs: null,
        graceMs: 0,
        deltaMs: 1,
        writer: 'test',
        sourceVersion: null,
        tags: [],
        compressAboveBytes: null,
      },
    )
    await server.call('SET', 'shop:v1:detail:product:1', entry, 'PX', 100_000)
    await server.call('SET', 'shop:v1:detail:city:1', 'x')
    await server.call('SET', 'shop~lock:x', 'x')
    await server.call('SET', 'other', 'x')
    expect((await list()).map((row) => row.key).sort()).toEqual([
      'other',
      'shop:v1:detail:city:1',
      'shop:v1:detail:product:1',
      'shop~lock:x',
    ])
    expect(await list({ targets: [parseTarget('product', config)] }, { config })).toEqual([
      { key: 'shop:v1:detail:product:1', ttlMs: null, bytes: null, ageMs: null },
    ])
    const [row] = await list({ targets: [parseTarget('product', config)], details: true, age: true }, { config })
    expect(row?.ttlMs).toBeGreaterThan(90_000)
    expect(row?.bytes).toBe(await server.call('MEMORY', 'USAGE', 'shop:v1:detail:product:1'))
    expect(row?.ageMs).toBeGreaterThanOrEqual(60_000)
    expect(row?.ageMs).toBeLessThan(90_000)
    expect((await list({ targets: [parseTarget('all', config)] }, { config })).map((key) => key.key).sort()).toEqual([
      'shop:v1:detail:city:1',
      'shop:v1:detail:product:1',
    ])
    expect((await list({ targets: [parseTarget('pattern:shop*', null)] })).length).toBe(3)
  })

  it('stops at its limit and when it is aborted', async () => {
    for (let i = 0; i < 3000; i++) void server.call('SET', `k:${i}`, 'x')
    await server.call('PING')
    expect(await list({ limit: 7 })).toHaveLength(7)
    const stop = new AbortController()
    let seen = 0
    for await (const page of keys(contextOf(store, { signal: stop.signal }), {
      targets: [],
      tenant: null,
      details: true,
      age: false,
      limit: null,
      replica: false,
    })) {
      seen += page.length
      stop.abort()
    }
    expect(seen).toBeGreaterThan(0)
    expect(seen).toBeLessThan(3000)
  })

  it('prints 3,000 hostile keys so that nothing is raw and `get` takes each back', async () => {
    const hostile = [...new Map(hostileKeys().map((key) => [key.toString('latin1'), key])).values()]
    for (const key of hostile) void server.call('SET', key, key)
    await server.call('PING')
    const rows = await list({ details: true })
    expect(rows).toHaveLength(hostile.length)
    const text = rows.map((row) => row.key).join('\n')
    expect(text).not.toMatch(RAW)
    expect(text.split('\n')).toHaveLength(hostile.length)
    const found = new Set(rows.map((row) => unprintable(row.key).toString('latin1')))
    for (const key of hostile)
      if (!found.has(key.toString('latin1'))) expect.fail(JSON.stringify(key.toString('latin1')))
    for (const row of rows.slice(0, 300))
      expect((await getEntry(contextOf(store), row.key)).raw?.equals(unprintable(row.key))).toBe(true)
  })
})
