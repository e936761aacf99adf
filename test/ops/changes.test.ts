// What targets come to: which way each is invalidated, with a tenant and with `protect`; and which keys are meant, held to a naive model.
import fc from 'fast-check'
import { describe, expect, it } from 'vitest'
import type { ResolvedConfig } from '../../src/config/resolved.ts'
import { createKeys } from '../../src/core/key.ts'
import { parseTarget } from '../../src/core/target.ts'
import { type Aim, courseOf, decideFor } from '../../src/ops/changes.ts'
import { checkAim, isEverything } from '../../src/ops/invalidate-plan.ts'
import { awkwardName, runs } from '../core/arbitrary.ts'
import { seed } from '../seed.ts'
import { hostileKeys, testConfig } from './fixture.ts'

const source = { kind: 'test', reads: 'page', hasTenants: true, strategies: [], async *select() {} }
const shop = (protect: string[] = []): ResolvedConfig =>
  testConfig('redis://127.0.0.1', {
    protect,
    models: {
      product: { source: { ...source, hasTenants: false }, namespace: 'detail', tenant: false, related: ['city'] },
      city: { source: { ...source, hasTenants: false }, namespace: 'detail', tenant: false },
      order: { source, namespace: 'detail', tenant: true },
    },
  })

const aimOf = (config: ResolvedConfig, texts: string[], more: Partial<Aim> = {}): Aim => ({
  targets: texts.map((text) => parseTarget(text, config)),
  tenant: null,
  foreign: false,
  ...more,
})

const ALL_OF = 'shop:v1:*'

describe('the way a target is invalidated', () => {
  const scope = (kind: string, more: object = {}) => expect.objectContaining({ kind, ...more })
  it.each<[string, string | null, object | 'walked']>([
    ['all', null, { scopes: [scope('global')] }],
    ['all', '7', { scopes: [scope('tenant', { tenant: '7' })] }],
    ['tenant:7', null, { scopes: [scope('tenant', { tenant: '7' })] }],
    ['namespace:list', null, { scopes: [scope('namespace', { namespace: 'list' })] }],
    ['namespace:list', '7', 'walked'],
    ['namespace:old', null, 'walked'],
    ['subject:a', null, { scopes: [scope('subject', { subject: 'a' }), scope('subject', { subject: '@fn.a' })] }],
    ['subject:a', '7', { scopes: [scope('tenant-subject'), scope('tenant-subject')] }],
    ['subject:a:1', null, 'walked'],
    ['tag:a', null, { stamps: ['tag:a'], scopes: [] }],
    ['tag:a', '7', { stamps: ['tenant:7:tag:a'] }],
    ['city', null, { scopes: [scope('subject', { subject: 'city' }), scope('subject', { subject: 'product' })] }],
    ['product', null, { scopes: [scope('subject', { subject: 'product' })], fences: ['product'] }],
    ['order', '7', { scopes: [scope('tenant-subject', { tenant: '7', subject: 'order' })] }],
    [
      'product:42',
      null,
      { entries: [expect.objectContaining({ rest: ['42'] })], stamps: expect.arrayContaining(['lists:product']) },
    ],
    ['order:42', '7', { entries: [expect.objectContaining({ rest: ['42'], tenant: '7' })] }],
    [
      'key:shop:v1:detail:product:42',
      null,
      { entries: [expect.objectContaining({ subject: 'product' })], fences: ['product'] },
    ],
    ['key:shop:v1:detail:order:org_7:42', '7', { entries: [expect.objectContaining({ tenant: '7' })] }],
    ['key:shop:v1:detail:order:org_7:42', '8', 'walked'],
    ['key:shop:v1:detail:product:42', '8', 'walked'],
    ['key:legacy:1', null, 'walked'],
    ['pattern:shop:v1:*', null, 'walked'],
  ])('%s, of tenant %s', (text, tenant, expected) => {
    const config = shop()
    const course = courseOf(aimOf(config, [text], { tenant }), config)
    expect(course.notes).toEqual([])
    if (expected === 'walked') expect(course).toMatchObject({ change: null, swept: [], walked: [{ text }] })
    else expect(course).toMatchObject({ change: expected, swept: [{ text }], walked: [] })
  })

  it.each([
    ['all', ALL_OF],
    ['namespace:list', 'shop:v1:list:*'],
    ['tenant:7', '*:org_7:keep'],
    ['product', 'shop:v1:detail:product:1'],
    ['city', 'shop:v1:detail:product:1'],
    ['subject:a', '*:@fn.a:*'],
    ['key:shop:v1:detail:product:42', '*:42'],
  ])('%s is walked where `protect` may spare something of it: %s', (text, pattern) => {
    const config = shop([pattern])
    const course = courseOf(aimOf(config, [text]), config)
    expect(course).toMatchObject({
      change: null,
      walked: [{ text }],
      notes: [expect.stringContaining('`protect` has')],
    })
  })

  it.each([
    ['namespace:list', 'shop:v1:detail:*'],
    ['product', 'shop:v1:detail:city:*'],
    ['key:shop:v1:detail:product:42', 'shop:v1:detail:product:43'],
    ['all', 'bull:*'],
    ['tenant:7', 'sess:*'],
  ])('%s is not where `protect` is about others: %s', (text, pattern) => {
    const config = shop([pattern])
    expect(courseOf(aimOf(config, [text]), config)).toMatchObject({ walked: [], notes: [] })
  })

  it('a tag cannot spare single entries', () => {
    const config = shop([ALL_OF])
    expect(() => courseOf(aimOf(config, ['tag:a']), config)).toThrow(expect.objectContaining({ code: 'REFUSED' }))
  })

  it('another tenant than the one that is named is a mistake', () => {
    const config = shop()
    const aim = { ...aimOf(config, ['tenant:7'], { tenant: '8' }), allTenants: false, byTag: true }
    expect(() => checkAim(aim, config)).toThrow(/is not tenant 8/)
  })
})

describe('what takes everything', () => {
  it.each([
    'all',
    'pattern:*',
    'pattern:?*',
    'pattern:[^x]*',
    'pattern:shop*',
    'pattern:shop:*',
    'pattern:shop:v*',
    'pattern:shop:v1:*',
    'pattern:*:v1:*',
    'pattern:sh?p:*:*',
    'pattern:***',
  ])('%s', (text) => {
    const config = shop()
    expect(isEverything(aimOf(config, [text]), config)).toBe(true)
    expect(isEverything(aimOf(config, [text], { tenant: '7' }), config)).toBe(false)
  })

  it.each([
    'product',
    'namespace:list',
    'pattern:shop:v1:list:*',
    'pattern:shop:v2:*',
    'pattern:*:org_7:*',
    'pattern:shop:?',
    'pattern:x*',
  ])('not %s', (text) => {
    const config = shop()
    expect(isEverything(aimOf(config, [text]), config)).toBe(false)
  })
})

describe(`which keys are meant (SEED=${seed})`, () => {
  const config = shop(['*keep*', 'sess:*'])
  const { build, parse } = createKeys({ prefix: 'shop', tenantLabel: 'org' })
  const head = fc.constantFrom(
    'shop:',
    'shop~',
    'shop',
    'legacy:',
    'sess:',
    'bull:q:',
    'cart:',
    '',
    'shop:v1:list:',
    'shop:v1:detail:product:',
  )
  const bytes = fc.uint8Array({ maxLength: 24 }).map((array) => Buffer.from(array))
  const wild = fc
    .tuple(head, fc.oneof(bytes, fc.constantFrom(...hostileKeys())))
    .map(([start, rest]) => Buffer.concat([Buffer.from(start), rest]))
  const entryKey = fc
    .record({
      namespace: fc.constantFrom('list', 'detail', 'count'),
      subject: fc.constantFrom('product', 'city', '@fn.a', 'keep'),
      version: fc.constantFrom('1', '2', '1.2'),
      tenant: fc.option(fc.constantFrom('7', '*', '8')),
      rest: fc.array(awkwardName, { minLength: 1, maxLength: 3 }),
    })
    .map((address) => Buffer.from(build(address)))
  const targets = [
    'all',
    'namespace:list',
    'namespace:old',
    'tenant:7',
    'tenant:*',
    'pattern:*',
    'pattern:*:7*',
    'pattern:cart:*',
    'subject:a',
  ]

  function isNamed(text: string, parsed: ReturnType<typeof parse>, target: string): boolean {
    const value = target.slice(target.indexOf(':') + 1)
    const of: Record<string, () => boolean> = {
      all: () => text.startsWith('shop:'),
      namespace: () => (value === 'old' ? parsed === null && text.startsWith('legacy:') : parsed?.namespace === value),
      tenant: () => parsed?.tenant === value,
      subject: () => parsed !== null && ['a', '@fn.a'].includes(parsed.subject),
      pattern: () => value === '*' || (value === '*:7*' ? text.includes(':7') : text.startsWith('cart:')),
    }
    return (of[target.split(':')[0] as string] as () => boolean)()
  }

  /** By the words of the contract, one after the other. */
  function naive(key: Buffer, target: string, tenant: string | null, foreign: boolean): string {
    const text = key.toString('latin1')
    const parsed = parse(key)
    const raw = parsed === null && text.startsWith('legacy:')
    const inside = text.startsWith('shop:')
    if (text.startsWith('shop~')) return 'pass'
    if (tenant !== null && parsed?.tenant !== tenant) return 'pass'
    if (!isNamed(text, parsed, target)) return 'pass'
    if (!inside && !raw && !foreign) return 'pass'
    if (text.includes('keep') || text.startsWith('sess:')) return 'protect'
    return !inside && !raw && text.startsWith('bull:') ? 'protect' : 'act'
  }

  it('as the naive model says, of any key', () => {
    fc.assert(
      fc.property(
        fc.oneof(wild, entryKey),
        fc.constantFrom(...targets),
        fc.option(fc.constantFrom('7', '*')),
        fc.boolean(),
        (key, target, tenant, foreign) => {
          const decide = decideFor(aimOf(config, [target], { tenant, foreign }), config)
          expect(decide(key)).toBe(naive(key, target, tenant, foreign))
        },
      ),
      runs(3_000),
    )
  })

  it('of several targets, each is meant', () => {
    fc.assert(
      fc.property(fc.oneof(wild, entryKey), fc.subarray(targets, { minLength: 1 }), (key, some) => {
        const each = some.map((target) => decideFor(aimOf(config, [target]), config)(key))
        const expected = each.find((decision) => decision !== 'pass') ?? 'pass'
        expect(decideFor(aimOf(config, some), config)(key)).toBe(expected)
      }),
      runs(500),
    )
  })
})
