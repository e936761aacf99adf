// What is particular to functions: inferred types, positions of bad rows, functions that hang and throw.
import { describe, expect, test } from 'vitest'
import { fn } from '../../../src/adapters/sources/fn.ts'
import { collect, readAll, selection, within } from './source-contract.ts'

describe('functions', () => {
  test('types are inferred from rows, from arrays of rows, and from promises', async () => {
    interface Product {
      id: number
      at: string
    }
    const product: Product = { id: 1, at: '2026-01-01T00:00:00.000Z' }
    const sources = [
      fn({ rows: async () => [product], updatedAt: 'at', tenant: (row) => row.at }),
      fn({ rows: () => [product], updatedAt: 'at' }),
      fn({
        updatedAt: 'at',
        async *rows() {
          yield [product]
        },
      }),
      fn({ load: async () => [product], updatedAt: (row) => row.at }),
    ]
    for (const source of sources)
      expect(await collect(source, { strategy: 'ids', ids: [1] })).toMatchObject([{ id: 1, version: product.at }])
  })

  test('the short form', async () => {
    const source = fn<{ id: unknown; name?: string }>(async function* () {
      yield { id: 1, name: 'one' }
      yield [{ id: 'two' }, { id: 3n }]
    })
    expect(source).toMatchObject({ kind: 'fn', reads: 'stream', strategies: ['all', 'ids'] })
    expect(await collect(source)).toEqual([
      { id: 1, row: { id: 1, name: 'one' }, version: null, tenant: null },
      { id: 'two', row: { id: 'two' }, version: null, tenant: null },
      { id: 3n, row: { id: 3n }, version: null, tenant: null },
    ])
  })

  test('what identifies a row may be computed; a Date counts in milliseconds', async () => {
    const source = fn({
      rows: () => [{ slug: 'a', at: new Date('2026-01-01T00:00:00.123Z'), org: 7, revision: 9n }],
      id: (row) => `x-${row.slug}`,
      updatedAt: 'at',
      tenant: (row) => row.org,
    })
    expect(await collect(source, { tenant: '7', since: '2026-01-01T00:00:00.123Z' })).toMatchObject([
      { id: 'x-a', version: '2026-01-01T00:00:00.123Z', tenant: '7' },
    ])
    expect(await collect(source, { since: '2026-01-01T00:00:00.124Z' })).toEqual([])
  })

  test('a row that cannot be read is named by its position, and the others go on', async () => {
    const rows = [
      { id: 1 },
      { name: 'no id' },
      null,
      { id: '' },
      { id: 2 ** 53 },
      { id: {} },
      [[{ id: 5 }]],
      { id: 2, at: new Date('never') },
      { id: 3, at: null },
    ]
    const source = fn({ rows: () => rows as { id: number }[], updatedAt: 'at' as 'id' })
    const { ids, errors } = await readAll(source)
    expect(ids).toEqual([1, 3])
    expect(errors).toEqual([
      'row 2: it has no id',
      'row 3: it is no object',
      'row 4: it has no id',
      'row 5: its id 9007199254740992 is no integer up to 2^53; give longer ones as text',
      'row 6: its id is of type object; it must be text, a number or a BigInt',
      'row 7: it is no object',
      'row 8: its `updatedAt` is neither text nor a valid Date nor an integer',
    ])
    await expect(collect(source)).rejects.toMatchObject({
      code: 'SOURCE_FAILED',
      message: expect.stringMatching(/^row 2 of the source function `rows` failed: it has no id/),
    })
  })

  test('what a function throws is told, with its stack and without passwords', async () => {
    const source = fn(async function* cities() {
      yield { id: 1 }
      throw new TypeError('no route to postgres://u:canary@db/x')
    })
    const error = await collect(source).catch((thrown: unknown) => thrown)
    expect(error).toMatchObject({
      code: 'SOURCE_FAILED',
      message: 'the source function `cities` failed: no route to postgres://u:***@db/x',
    })
    expect((error as { cause: Error }).cause.stack).toMatch(/fn\.test/)
    expect((error as { cause: Error }).cause.stack).not.toMatch(/canary/)
  })

  test('one that hangs ends with the signal', async () => {
    const never = new Promise<never>(() => {})
    const hanging = [
      fn(async function* () {
        yield { id: 1 }
        await never
      }),
      fn({ rows: () => never }),
      fn({ load: () => never }),
    ]
    for (const source of hanging) {
      const controller = new AbortController()
      const strategy = source.strategies.includes('all') ? 'all' : 'ids'
      const reading = collect(source, { strategy, ids: [1], signal: controller.signal })
      setImmediate(() => controller.abort(new Error('enough')))
      await expect(within(reading, 1_000, 'the abort')).rejects.toThrow('enough')
    }
  })

  test('a generator is read no further than the limit, and its finally runs', async () => {
    let given = 0
    let ended = false
    const source = fn(async function* () {
      try {
        for (;;) yield { id: ++given }
      } finally {
        ended = true
      }
    })
    expect(await collect(source, { limit: 10 })).toHaveLength(10)
    expect([given, ended]).toEqual([10, true])
    expect((await collect(source, { strategy: 'ids', ids: [11, 13] })).map((row) => row.id)).toEqual([11, 13])
    expect(given).toBe(13)
  })

  test('a long sequence of unwanted rows lets timers run', async () => {
    let ticks = 0
    const timer = setInterval(() => (ticks += 1), 1)
    const source = fn({
      *rows() {
        for (let id = 1; id <= 300_000; id++) yield { id, org: 'a' }
      },
      tenant: 'org',
    })
    expect(await collect(source, { tenant: 'b' })).toEqual([])
    clearInterval(timer)
    expect(ticks).toBeGreaterThan(3)
  })

  test('a loader alone, lists and counts', async () => {
    const source = fn({
      load: async (ids) => ids.map((id) => (Number(id) < 3 ? { id: Number(id) } : undefined)),
      list: async ({ limit }) => [{ id: 8 }, { id: 9 }].slice(0, limit),
      count: async () => 2,
      tenants: () => ['a', 'b'],
    })
    expect(source).toMatchObject({ reads: 'page', strategies: ['ids'] })
    const { signal } = selection()
    expect((await collect(source, { strategy: 'ids', ids: [1, 2, 2, 3], pageSize: 2 })).map((row) => row.id)).toEqual([
      1, 2,
    ])
    expect((await source.list?.({ filters: {}, sort: [], limit: 1, signal }))?.map((row) => row.id)).toEqual([8])
    expect(await source.count?.({ filters: {}, signal })).toBe(2)
    await expect(collect(source)).rejects.toMatchObject({ code: 'SOURCE_INVALID' })
    expect(() => fn({})).toThrow(/needs `rows` or `load`/)
    await expect(collect(fn({ rows: () => 7 as never }))).rejects.toThrow(/must answer rows/)
    await expect(
      fn({ rows: () => [], count: async () => Number.NaN }).count?.({ filters: {}, signal }),
    ).rejects.toThrow(/a number of rows/)
  })
})
