import fc from 'fast-check'
import { describe, expect, it } from 'vitest'
import { COUNTER_FIELDS, type CountedGroup, counterGroup, readCounterField } from '../../src/core/counter-fields.ts'
import { awkwardName, runs } from './arbitrary.ts'

const group = (more: Partial<CountedGroup> = {}): CountedGroup => ({
  namespace: 'list',
  subject: 'city',
  tenant: null,
  severalTenants: false,
  ...more,
})

describe('fields of counters', () => {
  it('are spelled as the contract says', () => {
    expect(counterGroup(group())).toBe('list:city:')
    expect(counterGroup(group({ tenant: '7' }))).toBe('list:city:7')
    expect(counterGroup(group({ severalTenants: true }))).toBe('list:city:*')
    expect(counterGroup(group({ subject: null, severalTenants: true }))).toBe('list:*:*')
    expect(counterGroup(group({ subject: '*', tenant: '*' }))).toBe('list:%2A:%2A')
    expect(counterGroup(group({ subject: '@http.GET./api/cities', tenant: 'a:b' }))).toBe(
      'list:@http.GET./api/cities:a%3Ab',
    )
  })

  it('come back as they were, whatever the names are', () => {
    const named = fc.record({
      namespace: awkwardName,
      subject: awkwardName,
      tenant: fc.option(awkwardName),
      severalTenants: fc.constant(false),
    })
    const summed = fc.record({
      namespace: awkwardName,
      subject: fc.option(awkwardName),
      tenant: fc.constant(null),
      severalTenants: fc.constant(true),
    })
    fc.assert(
      fc.property(fc.oneof(named, summed), fc.constantFrom(...COUNTER_FIELDS), (of, counted) => {
        const name = counterGroup(of)
        fc.pre(name !== null)
        expect(readCounterField(`${name}:${counted}`)).toEqual({ group: of, counted })
      }),
      runs(1000),
    )
  })

  it('are not made of names that no key can have, or that are too long to be kept', () => {
    expect(counterGroup(group({ subject: '' }))).toBeNull()
    expect(counterGroup(group({ tenant: '\ud800' }))).toBeNull()
    expect(counterGroup(group({ tenant: 'x'.repeat(600) }))).toBeNull()
  })

  it.each([
    '',
    'list',
    'list:city:7',
    'list:city:7:l3',
    'list:city:7:l1:more',
    ':city:7:l1',
    'list::7:l1',
    'list:*:7:l1',
    'list:*::l1',
    'li st:city:7:l1',
    'list:%61:7:l1',
    'list:city:%zz:l1',
    '*:city:7:l1',
  ])('that nobody writes are not read: %j', (field) => expect(readCounterField(field)).toBeNull())
})
