import fc from 'fast-check'
import { describe, expect, it } from 'vitest'
import {
  createKeys,
  EPOCH_FIELD,
  fenceKey,
  type Generations,
  generationsKey,
  INCARNATION_FIELD,
  isControlKey,
  leaseKey,
  lockKey,
  readGenerations,
  type Scope,
  scopeField,
  tenantSubjectScope,
} from '../../src/core/key.ts'
import { awkwardName, runs } from './arbitrary.ts'

const shop = createKeys({ prefix: 'shop', tenantLabel: 'org' })

describe('control data', () => {
  it('lies outside the prefix', () => {
    const names = [
      generationsKey('shop'),
      fenceKey('shop', 'a b'),
      leaseKey('shop', 'shop:v1:a:b:c'),
      lockKey('shop', 'warm:product:org 1'),
    ]
    expect(names).toEqual([
      'shop~generations',
      'shop~fence:a%20b',
      'shop~lease:{shop:v1:a:b:c}',
      'shop~lock:warm:product:org%201',
    ])
    for (const name of names) {
      expect(isControlKey('shop', name) && isControlKey('shop', Buffer.from(name))).toBe(true)
      expect(shop.parse(name)).toBeNull()
      expect(isControlKey('sho', name) || isControlKey('shopp', Buffer.from(name))).toBe(false)
    }
    expect(isControlKey('shop', 'shop:v1')).toBe(false)
    expect(isControlKey('shop', Buffer.from('sho'))).toBe(false)
  })

  it('gives generations back by the fields that scopes have', () => {
    const scope: fc.Arbitrary<Scope> = fc.oneof(
      fc.constant({ kind: 'global' } as const),
      fc.record({ kind: fc.constant('namespace' as const), namespace: awkwardName }),
      fc.record({ kind: fc.constant('subject' as const), subject: awkwardName }),
      fc.record({ kind: fc.constant('tenant' as const), tenant: awkwardName }),
      fc.record({ kind: fc.constant('tenant-subject' as const), tenant: awkwardName, subject: awkwardName }),
    )
    fc.assert(
      fc.property(scope, scope, (bumped, other) => {
        const { incarnation, generations } = readGenerations([
          [INCARNATION_FIELD, 'i'],
          [EPOCH_FIELD, 'e'],
          ['unknown:of:later', 'x'],
          [scopeField(bumped), 't'],
        ])
        expect(incarnation).toBe('i')
        expect(tokenOf(generations, bumped)).toBe('t')
        expect(tokenOf(generations, other)).toBe(scopeField(other) === scopeField(bumped) ? 't' : null)
        expect(JSON.stringify(bumped) === JSON.stringify(other)).toBe(scopeField(other) === scopeField(bumped))
      }),
      runs(1000),
    )
    expect(readGenerations([]).incarnation).toBeNull()
  })
})

function tokenOf(generations: Generations, scope: Scope): string | null {
  switch (scope.kind) {
    case 'global':
      return generations.global
    case 'namespace':
      return generations.namespaces.get(scope.namespace) ?? null
    case 'subject':
      return generations.subjects.get(scope.subject) ?? null
    case 'tenant':
      return generations.tenants.get(scope.tenant) ?? null
    case 'tenant-subject':
      return generations.tenantSubjects.get(tenantSubjectScope(scope.tenant, scope.subject)) ?? null
  }
}
