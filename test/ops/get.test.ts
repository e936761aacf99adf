import { afterAll, beforeAll, beforeEach, describe, expect, it } from 'vitest'
import { encodeEntry } from '../../src/core/entry.ts'
import { getEntry } from '../../src/ops/get.ts'
import { MOST_ELEMENTS } from '../../src/ops/read-value.ts'
import type { Store } from '../../src/ports.ts'
import { startRedis, type TestRedis } from '../servers.ts'
import { contextOf, openTestStore } from './fixture.ts'

const INCARNATION = 'abcdefghijklmnop'
const PRODUCT = 'shop:v1:detail:product:1'

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

const entry = (
  more: Partial<Parameters<typeof encodeEntry>[1]> = {},
  value: unknown = { name: 'Zoë', at: new Date(0) },
): string | Buffer =>
  encodeEntry(value, {
    incarnation: INCARNATION,
    createdAtMs: Date.now() - 60_000,
    freshUntilMs: Date.now() + 60_000,
    graceMs: 300_000,
    deltaMs: 12,
    writer: 'test',
    sourceVersion: '2024-01-01 00:00:00.000001+00',
    tags: [],
    compressAboveBytes: null,
    ...more,
  })

describe('get', () => {
  const get = (key: string) => getEntry(contextOf(store), key)

  it('decodes an entry and says what its envelope does', async () => {
    await server.call('SET', PRODUCT, entry(), 'PX', 100_000)
    const report = await get(PRODUCT)
    expect(report).toMatchObject({
      command: 'get',
      ok: true,
      found: true,
      key: PRODUCT,
      value: { name: 'Zoë', at: new Date(0) },
    })
    expect(report.about).toMatchObject({
      type: 'string',
      format: 'entry',
      notes: [],
      entry: {
        writer: 'test',
        deltaMs: 12,
        graceMs: 300_000,
        sourceVersion: '2024-01-01 00:00:00.000001+00',
        incarnation: INCARNATION,
      },
    })
    expect(report.about?.ttlMs).toBeGreaterThan(90_000)
    expect(report.about?.bytes).toBe(await server.call('MEMORY', 'USAGE', PRODUCT))
    expect(report.about?.entry?.freshForMs).toBeGreaterThan(50_000)
    expect(report.raw?.toString()).toBe(await server.call('GET', PRODUCT))
  })

  it.each<[string, (string | Buffer)[], string, unknown]>([
    ['json', ['SET', 'k', '{"a":[1,2]}'], 'json', { a: [1, 2] }],
    ['text', ['SET', 'k', 'plain {'], 'text', 'plain {'],
    ['a number', ['SET', 'k', '42'], 'text', '42'],
    ['nothing', ['SET', 'k', ''], 'text', ''],
    ['bytes', ['SET', 'k', Buffer.from([0xff, 0x00, 0x41])], 'bytes', '\\xFF\\x00A'],
    ['a hash', ['HSET', 'k', 'a', '1', '__proto__', '2'], 'hash', JSON.parse('{"a":"1","__proto__":"2"}')],
    ['a list', ['RPUSH', 'k', 'b', 'a', Buffer.from([0xfe])], 'list', ['b', 'a', '\\xFE']],
    ['a set', ['SADD', 'k', 'x'], 'set', ['x']],
    [
      'a sorted set',
      ['ZADD', 'k', '2', 'b', '1.5', 'a'],
      'zset',
      [
        { member: 'a', score: 1.5 },
        { member: 'b', score: 2 },
      ],
    ],
    ['a stream', ['XADD', 'k', '1-1', 'f', 'v'], 'stream', [{ id: '1-1', fields: { f: 'v' } }]],
  ])('shows %s', async (_, command, format, value) => {
    await server.call(...(command as [string]))
    const report = await get('k')
    expect(JSON.stringify(report.value)).toBe(JSON.stringify(value))
    expect(report.about).toMatchObject({ format, ttlMs: null, entry: null, notes: [] })
  })

  it('shows the beginning of what is huge, and says so', async () => {
    for (const [add, name] of [
      ['RPUSH', 'list'],
      ['SADD', 'set'],
      ['HSET', 'hash'],
      ['ZADD', 'zset'],
    ] as const) {
      const items = Array.from({ length: 2500 }, (_, i) =>
        add === 'HSET' ? [`f${i}`, i] : add === 'ZADD' ? [i, `m${i}`] : [`m${i}`],
      ).flat()
      await server.call(add, name, ...(items as string[]))
      const report = await get(name)
      const shown = name === 'hash' ? Object.keys(report.value as object).length : (report.value as unknown[]).length
      expect(shown).toBe(MOST_ELEMENTS)
      expect(report.about?.notes).toEqual([`the first ${MOST_ELEMENTS} of 2500 elements`])
    }
  })

  it('says that there is no such key, and that an entry is broken', async () => {
    expect(await get('missing')).toMatchObject({ ok: true, found: false, about: null, value: null })
    await server.call('SET', 'k', `${String(entry()).slice(0, 40)}#`)
    expect((await get('k')).about?.notes[0]).toMatch(/cannot be decoded/)
    await expect(get('a\\qb')).rejects.toMatchObject({ code: 'USAGE' })
  })
})
