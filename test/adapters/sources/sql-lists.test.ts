// Lists, counts and the values that there are, over PGlite.
import { PGlite } from '@electric-sql/pglite'
import { afterAll, beforeAll, describe, expect, test } from 'vitest'
import { sql } from '../../../src/adapters/sources/sql.ts'
import { selection } from './source-contract.ts'

let lite: PGlite
beforeAll(async () => {
  lite = await PGlite.create()
  await lite.query(
    `create table city (id integer primary key, name text, country text not null, at timestamptz, score integer)`,
  )
  await lite.query(
    `insert into city values (1, 'a', 'DE', '2026-01-01Z', 1), (2, 'b', 'FR', null, null), (3, null, 'DE', null, 5)`,
  )
})
afterAll(() => lite.close())

describe('lists, counts, values', () => {
  const { signal } = selection()
  const source = () => sql({ client: () => lite, close: () => {}, table: 'city', updatedAt: 'at', tenant: 'country' })
  const list = async (filters: Record<string, unknown>, sort: string[] = [], limit = 10) =>
    (await source().list?.({ filters, sort, limit, signal }))?.map((row) => row.id)

  test('filters: equal, null, one of several', async () => {
    expect(await list({})).toEqual([1, 2, 3])
    expect(await list({ country: 'DE' })).toEqual([1, 3])
    expect(await list({ name: null })).toEqual([3])
    expect(await list({ name: ['a', null] })).toEqual([1, 3])
    expect(await list({ country: [] })).toEqual([])
    expect(await list({ score: 5n, country: 'DE' })).toEqual([3])
    expect(await list({ name: "a' or true --" })).toEqual([])
    expect(await source().count?.({ filters: { country: 'DE' }, signal })).toBe(2)
    expect(await source().count?.({ filters: {}, tenant: 'FR', signal })).toBe(1)
  })

  test('order and limit: what is null comes last, ties by id', async () => {
    expect(await list({}, ['-score'])).toEqual([3, 1, 2])
    expect(await list({}, ['country', '-id'])).toEqual([3, 1, 2])
    expect(await list({}, ['-score'], 1)).toEqual([3])
  })

  test('values and tenants that there are, most frequent first', async () => {
    expect(await source().distinct?.({ columns: ['country'], limit: 10, signal })).toEqual([
      { country: 'DE' },
      { country: 'FR' },
    ])
    expect(await source().distinct?.({ columns: ['country'], limit: 1, signal })).toEqual([{ country: 'DE' }])
    const tenants: string[] = []
    for await (const page of source().tenants?.({ signal }) ?? []) tenants.push(...page)
    expect(tenants).toEqual(['DE', 'FR'])
  })

  test('a filter or an order that does not fit is the mistake of the config', async () => {
    for (const filters of [
      { score: 'abc' },
      { score: '99999999999' },
      { at: 'no time' },
      { nme: 'a' },
      { name: { a: 1 } },
      { name: undefined },
    ]) {
      await expect(list(filters)).rejects.toMatchObject({ code: 'SOURCE_INVALID' })
    }
    await expect(list({}, ['-nme'])).rejects.toThrow(/did you mean "name"/)
    await expect(list({}, ['id; drop table city'])).rejects.toMatchObject({ code: 'SOURCE_INVALID' })
  })
})
