import { describe, expect, it } from 'vitest'
import { createKeys, readGenerations } from '../../src/core/key.ts'
import { nearKeys } from '../../src/core/near-keys.ts'
import { aConfig, aModel, aNamespace } from '../resolved.ts'

const source = null as never
const cache = aConfig(
  'redis://x',
  [aModel('product', source), aModel('order', source, { subject: 'orders', tenant: true, version: '1.2' })],
  {
    namespaces: {
      detail: aNamespace('detail'),
      list: aNamespace('list'),
      old: aNamespace('old', { format: 'raw', keyPattern: 'old:*' }),
    },
  },
)
const { generations } = readGenerations([['namespace:detail', 'n1']])
const keys = createKeys({ prefix: 'shop', tenantLabel: 'org' }, generations)
const near = (text: string) => nearKeys(text, keys.parse(text), { cache, keys, versions: ['1', '2'] })
const names = (text: string) => near(text).map(({ key }) => key)

describe('near keys', () => {
  it('of a key: its current generation first, then other versions and namespaces, never raw ones', () => {
    expect(near('shop:v1:detail:product:1')).toEqual([
      { key: 'shop:v1:detail~n1:product:1', how: 'of the current generation' },
      { key: 'shop:v1:detail~n1:@fn.product:1', how: 'of the function product' },
      { key: 'shop:v2:detail~n1:product:1', how: 'in version v2' },
      { key: 'shop:v1:list:product:1', how: 'in namespace list' },
    ])
    expect(names('shop:v1:detail~old:product:1')).toContain('shop:v1:detail:product:1')
  })

  it('of another tenant, of a name beside the subject, of a slip', () => {
    expect(names('shop:v1:list:product:org_7:1')).toContain('shop:v1:list:product:1')
    expect(near('shop:v1:list:order:org_7:1')).toContainEqual({
      key: 'shop:v1.2:list:orders:org_7:1',
      how: 'of order, whose subject is orders',
    })
    expect(near('shop:v1:list:prodcut:1')).toContainEqual({ key: 'shop:v1:list:product:1', how: 'of product' })
  })

  it('keeps a digest as it is', () => {
    expect(names('shop:v1:list:product:#qS79ghCTc-WPmiBW3uAegA')).toContain(
      'shop:v2:list:product:#qS79ghCTc-WPmiBW3uAegA',
    )
  })

  it.each([
    ['product:42', 'shop:v1:detail~n1:product:42'],
    ['shop:detail:product:42', 'shop:v1:detail~n1:product:42'],
    ['detail:product:42', 'shop:v1:detail~n1:product:42'],
    ['shop:v1:detail:product:a b', 'shop:v1:detail~n1:product:a%20b'],
    ['shop:v1:detail:product:a%3ab', 'shop:v1:detail~n1:product:a%3Ab'],
    ['list:orders:org_7:all', 'shop:v1.2:list:orders:org_7:all'],
    [`shop:v1:list:product:${'a'.repeat(201)}`, 'shop:v1:list:product:#qS79ghCTc-WPmiBW3uAegA'],
  ])('what was typed as %s', (typed, key) => expect(names(typed)[0]).toBe(key))

  it.each([
    '',
    ':',
    'bull:1',
    'shop',
    'shop:',
    'shop:v1',
    'shop:v1:',
    'a:'.repeat(5_000),
    'shop:v1:nowhere:x:y y',
    '\ud800:a',
    'product:\ud800',
    'shop:v1:detail:product:\ud800',
  ])('nothing for %j, and no exception', (typed) => expect(near(typed)).toEqual([]))
})
