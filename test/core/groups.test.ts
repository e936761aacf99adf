import { describe, expect, it } from 'vitest'
import { createGroupTable, type GroupBy, REST_GROUP } from '../../src/core/groups.ts'
import { createKeys } from '../../src/core/key.ts'
import { record } from '../../src/core/tally.ts'
import { shop } from './declared-fixture.ts'

const keys = createKeys({ prefix: 'shop', tenantLabel: 'org' })
const bumped = createKeys(
  { prefix: 'shop', tenantLabel: 'org' },
  {
    global: 'g1',
    namespaces: new Map([['detail', 'n1']]),
    subjects: new Map([['product', 's1']]),
    tenants: new Map([['7', 't1']]),
    tenantSubjects: new Map(),
  },
)
const address = (namespace: string, subject: string, tenant: string | null, ...rest: string[]) => ({
  namespace,
  subject,
  version: '1',
  tenant,
  rest,
})

const database = [
  keys.build(address('detail', 'product', null, '1')),
  keys.build(address('detail', 'product', '7', '2')),
  bumped.build(address('detail', 'product', '7', '3')),
  keys.build({ ...address('detail', 'product', '8', '4'), version: '1.2' }),
  keys.build(address('list', 'product', null, 'all', 'page_1', 'size_20')),
  keys.build(address('list', 'category', null, 'all', 'page_1', 'size_20')),
  keys.build(address('detail', '@fn.getUser', null, '5')),
  keys.build(address('wrong', 'product', null, '5')),
  'shop:v1:list',
  'shop:v1:list:product:bad segment',
  'shop~generations',
  'shop~fence:product',
  'user:v3:17',
  'sess:abc',
  'bull:emails:1',
  'bull:emails:2',
]

const count = (by: GroupBy[], cache: typeof shop | null = shop, all: readonly (string | Buffer)[] = database) => {
  const table = createGroupTable(cache, by, 0)
  for (const key of all) {
    const bytes = Buffer.from(key as string)
    record(table.at(bytes, by.includes('type') ? 'string' : null).tally, { bytes: 100, pttlMs: 1000 }, null)
  }
  const { groups, control } = table.finish()
  return {
    found: Object.fromEntries(groups.map(({ identity, tally }) => [identity.group, tally.keys])),
    groups,
    control,
  }
}

describe('groups', () => {
  it('are namespaces and subjects of the config first, then raw namespaces, then patterns; control data is apart', () => {
    const { found, groups, control } = count(['namespace', 'model'])
    expect(found).toEqual({
      'detail:product:*': 4,
      'list:product:*': 2,
      'list:category:*': 1,
      'detail:@fn.getUser:*': 1,
      'wrong:product:*': 1,
      'shop:v1:list': 1,
      'legacy:user:*': 1,
      'sessions:*': 1,
      'bull:emails:*': 2,
    })
    expect(control.keys).toBe(2)
    const declared = groups
      .filter(({ identity }) => identity.declaration.declared)
      .map(({ identity }) => identity.group)
    expect(declared.sort()).toEqual([
      'detail:product:*',
      'legacy:user:*',
      'list:category:*',
      'list:product:*',
      'sessions:*',
    ])
  })

  it.each<[GroupBy[], Record<string, number>]>([
    [['namespace'], { 'detail:*': 5, 'list:*': 3, 'wrong:*': 1 }],
    [['model'], { '*:product:*': 7, '*:category:*': 1, '*:@fn.getUser:*': 1 }],
    [['tenant'], { '*:(no tenant):*': 8, '*:7:*': 2, '*:8:*': 1 }],
    [['version'], { 'v1:*': 8, 'v1.2:*': 1 }],
    [
      ['namespace', 'tenant'],
      { 'detail:*:(no tenant):*': 2, 'detail:*:7:*': 2, 'detail:*:8:*': 1, 'list:*:(no tenant):*': 3 },
    ],
  ])('by %j', (by, expected) => {
    expect(count(by).found).toMatchObject(expected)
  })

  it('by pattern and by type know nothing of the config but its control data', () => {
    expect(count(['pattern']).found).toMatchObject({ 'shop:v1:detail:product:*': 1, 'bull:emails:*': 2, 'sess:abc': 1 })
    expect(count(['type']).found).toEqual({ string: database.length - 2 })
    expect(count(['namespace'], null).control.keys).toBe(0)
  })

  it('hold a declaration only where one is sure: a TTL by row is none', () => {
    const { groups } = count(['namespace', 'model'])
    const of = (group: string) => groups.find(({ identity }) => identity.group === group)?.identity.declaration
    expect(of('detail:product:*')).toMatchObject({ expectsTtl: false, longestTtlMs: null })
    expect(of('list:category:*')).toMatchObject({ expectsTtl: true, longestTtlMs: 300_000 * 1.01 + 1000 })
    expect(of('wrong:product:*')).toMatchObject({ declared: false, expectsTtl: false })
  })

  it('keep every count when there are more of them than the table holds', () => {
    const many = Array.from({ length: 25_000 }, (_, i) =>
      keys.build(address('detail', 'product', `t${i % 20_000}`, String(i))),
    )
    const heavy = Array.from({ length: 5000 }, (_, i) => keys.build(address('detail', 'product', 'big', String(i))))
    const { groups } = count(
      ['tenant'],
      shop,
      many.flatMap((key, i) => (i < heavy.length ? [key, heavy[i] as string] : [key])),
    )
    expect(groups.reduce((sum, { tally }) => sum + tally.keys, 0)).toBe(30_000)
    expect(groups.length).toBeLessThanOrEqual(10_001)
    expect(groups.find(({ identity }) => identity.tenant === 'big')?.tally.keys).toBe(5000)
    expect(groups.some(({ identity }) => identity.group === REST_GROUP)).toBe(true)
  })

  it('print safely whatever a name decodes to', () => {
    const { groups } = count(['namespace', 'model'], shop, ['shop:v1:list:%1B%5B31m%E2%80%AE:x'])
    expect(groups[0]?.identity.subject).toBe('\x1b[31m\u202e')
    expect(groups[0]?.identity.group).toBe('list:\\x1B[31m\\u{202E}:*')
  })
})
