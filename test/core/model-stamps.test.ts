import { describe, expect, it } from 'vitest'
import type { DeclaredCache, DeclaredModel } from '../../src/core/declared.ts'
import { stampName } from '../../src/core/key.ts'
import {
  dependantsOf,
  describeStamp,
  detailStamps,
  explainStamp,
  listStamps,
  parentsOf,
  shownStamps,
  staleListStamps,
  staleModelStamps,
  staleRowStamps,
} from '../../src/core/model-stamps.ts'
import { shop } from './declared-fixture.ts'

const base = shop.models.category as DeclaredModel
const model = (name: string, related: string[], tenant = true): DeclaredModel => ({
  ...base,
  name,
  subject: name,
  related,
  tenant,
})
const cacheOf = (...models: DeclaredModel[]): DeclaredCache => ({
  ...shop,
  models: Object.fromEntries(models.map((one) => [one.name, one])),
})
const names = (found: ReturnType<typeof parentsOf>) =>
  found.map(({ model: { name }, ownTenant }) => `${name}${ownTenant ? ' own' : ''}`)

describe('what depends on what', () => {
  const [leaf, middle, root] = [model('leaf', ['middle']), model('middle', ['root']), model('root', [])]

  it('is followed to the end, in both directions', () => {
    const cache = cacheOf(leaf, middle, root)
    expect(names(parentsOf(cache, leaf))).toEqual(['middle own', 'root own'])
    expect(names(dependantsOf(cache, root))).toEqual(['middle own', 'leaf own'])
    expect(names(parentsOf(cache, root))).toEqual([])
  })

  it('is of the same tenant only where all between have tenants, on each way', () => {
    const shared = model('middle', ['root'], false)
    expect(names(parentsOf(cacheOf(leaf, shared, root), leaf))).toEqual(['middle', 'root'])
    const both = model('leaf', ['root', 'middle'])
    expect(names(parentsOf(cacheOf(both, shared, root), both))).toEqual(['root', 'middle'])
    expect(names(dependantsOf(cacheOf(both, shared, root), root)).sort()).toEqual(['leaf', 'middle'])
    expect(detailStamps(cacheOf(both, shared, root), both, '7')).toEqual(['rows:root', 'rows:middle'])
  })

  it('may go in circles', () => {
    const [one, two] = [model('one', ['two']), model('two', ['one'])]
    const cache = cacheOf(one, two)
    expect(names(parentsOf(cache, one))).toEqual(['two own', 'one own'])
    expect(names(dependantsOf(cache, one))).toEqual(['two own', 'one own'])
  })

  it('deletes each stamp that somebody holds, in the tenant and without', () => {
    const cache = cacheOf(leaf, middle, root)
    const held = [...detailStamps(cache, leaf, '7'), ...listStamps(cache, root, 'new', '7')]
    expect(held).toEqual([
      'tenant:7:rows:middle',
      'tenant:7:rows:root',
      'tenant:7:lists:root',
      'tenant:7:lists:root%3Anew',
    ])
    expect(staleRowStamps(root, '7')).toEqual(['tenant:7:rows:root', 'rows:root'])
    expect(staleListStamps(root, ['new'], '7')).toEqual(['tenant:7:lists:root%3Anew', 'lists:root%3Anew'])
    expect(staleRowStamps(model('root', [], false), '7')).toEqual(['rows:root'])
    const shown = shownStamps(cache, middle, '7')
    for (const of of [middle, root])
      expect(staleModelStamps(of, null).filter((name) => shown.includes(name))).toHaveLength(1)
  })
})

describe('what a stamp that is gone means', () => {
  it.each([
    [stampName('tag', 'org:7', null), 'the tag org:7 was invalidated'],
    [stampName('tag', 'a', 't:1'), 'the tag a of tenant t:1 was invalidated'],
    [stampName('rows', 'category', null), 'a row of category was invalidated'],
    [stampName('rows', 'category', '7'), 'a row of category of tenant 7 was invalidated'],
    [stampName('rows', 'post:12', null), 'row 12 of post was invalidated'],
    [stampName('rows', 'post:*', null), 'post was invalidated'],
    [stampName('lists', 'city', null), 'the lists of city were invalidated'],
    [stampName('lists', 'city:byCountry', '7'), 'the list byCountry of city of tenant 7 was invalidated'],
    ['whatever', 'whatever was invalidated'],
    ['', ' was invalidated'],
    ['%zz:x', '%zz:x was invalidated'],
  ])('%s', (name, words) => expect(explainStamp(name)).toBe(words))
})

describe('what an entry that holds a stamp depends on', () => {
  it.each([
    [stampName('tag', 'org:7', null), 'tag', 'org:7'],
    [stampName('tag', 'a', 't:1'), 'tag', 'a of tenant t:1'],
    [stampName('rows', 'category', '7'), 'rows', 'rows of category of tenant 7'],
    [stampName('rows', 'post:12', null), 'rows', 'row 12 of post'],
    [stampName('rows', 'post:*', null), 'rows', 'post as a whole'],
    [stampName('lists', 'city', null), 'lists', 'lists of city'],
    [stampName('lists', 'city:byCountry', null), 'lists', 'list byCountry of city'],
    ['whatever', null, 'whatever'],
    ['tag', 'tag', ''],
    ['', null, ''],
  ])('%s', (name, kind, text) => expect(describeStamp(name)).toEqual({ kind, text }))
})
