import fc from 'fast-check'
import { describe, expect, it } from 'vitest'
import {
  createKeys,
  type EntryAddress,
  type Generations,
  isControlKey,
  tenantSubjectScope,
} from '../../src/core/key.ts'
import { compileGlob, escapeGlob } from '../../src/core/pattern.ts'
import { printable } from '../../src/core/printable.ts'
import { awkwardName, awkwardText, runs } from './arbitrary.ts'

const version = fc.constantFrom('1', '2', '1.2', '10', '0', '12345.67890')
const segment = fc.oneof(
  { weight: 4, arbitrary: awkwardName },
  {
    weight: 2,
    arbitrary: fc.constantFrom(
      'org_1',
      'org%5F1',
      'org%255F1',
      'org',
      'org_',
      'my_org_1',
      'my%5Forg_1',
      '#',
      '#AAAAAAAAAAAAAAAAAAAAAA',
      'page_1',
      'all',
    ),
  },
  { weight: 1, arbitrary: fc.string({ minLength: 1, maxLength: 1200, unit: 'binary' }) },
)
const address: fc.Arbitrary<EntryAddress> = fc.record({
  namespace: awkwardName,
  subject: awkwardName,
  version,
  tenant: fc.option(awkwardName),
  rest: fc.array(segment, { maxLength: 4 }),
})
const label = fc.constantFrom('org', 'my_org', 'o:rg', 'o%5Frg', 'é')
const token = fc.stringMatching(/^[A-Za-z0-9_-]{1,12}$/)

function generationsFor({ namespace, subject, tenant }: EntryAddress): fc.Arbitrary<Generations> {
  const map = (name: string) => fc.option(token).map((text) => new Map(text === null ? [] : [[name, text] as const]))
  return fc.record({
    global: fc.option(token),
    namespaces: map(namespace),
    subjects: map(subject),
    tenants: map(tenant ?? 'none'),
    tenantSubjects: map(tenantSubjectScope(tenant ?? 'none', subject)),
  })
}

const shop = createKeys({ prefix: 'shop', tenantLabel: 'org' })

describe('any key', () => {
  it('is read back as it was built, from text and from bytes, and its parts make it', () => {
    const cases = fc
      .tuple(label, address)
      .chain(([tenantLabel, where]) => fc.tuple(fc.constant(tenantLabel), fc.constant(where), generationsFor(where)))
    fc.assert(
      fc.property(cases, ([tenantLabel, where, generations]) => {
        const keys = createKeys({ prefix: 'shop', tenantLabel }, generations)
        const plainKeys = createKeys({ prefix: 'shop', tenantLabel })
        const key = keys.build(where)
        const parsed = keys.parse(key)
        expect(parsed).toEqual(keys.parse(Buffer.from(key)))
        expect(parsed).toEqual({
          ...where,
          rest: parsed?.digest ? [] : where.rest,
          digest: parsed?.digest ?? null,
          tokens: {
            global: generations.global,
            namespace: generations.namespaces.get(where.namespace) ?? null,
            subject: generations.subjects.get(where.subject) ?? null,
            tenant: where.tenant === null ? null : (generations.tenants.get(where.tenant) ?? null),
            tenantSubject:
              where.tenant === null
                ? null
                : (generations.tenantSubjects.get(tenantSubjectScope(where.tenant, where.subject)) ?? null),
          },
        })
        expect(keys.head(where) + keys.rest(where.tenant, where.rest)).toBe(key)
        if (parsed) expect(keys.plain(parsed)).toBe(plainKeys.build(where))
        // no key holds what a glob, a hash tag, a shell or a terminal would take for its own
        expect(key).toBe(printable(key))
        expect(key).not.toMatch(/[\s*?[\]{}&\\]/)
        expect(compileGlob(key)(key)).toBe(true)
        expect(escapeGlob(key)).toBe(key)
        expect(isControlKey('shop', key)).toBe(false)
      }),
      runs(1000),
    )
  })

  it('is one address only', () => {
    const small = fc.record({
      namespace: fc.constantFrom('a', 'a_b', 'a%5Fb'),
      subject: fc.constantFrom('a', 'b'),
      version: fc.constantFrom('1', '1.2'),
      tenant: fc.option(fc.constantFrom('1', '1:', '1%3A')),
      rest: fc.array(fc.constantFrom('org_1', 'org%5F1', 'org%255F1', 'org', '1', ':', '%3A', '%', '1:org_1'), {
        maxLength: 3,
      }),
    })
    for (const pairOf of [small, address]) {
      fc.assert(
        fc.property(fc.array(pairOf, { minLength: 20, maxLength: 20 }), (addresses) => {
          const byKey = new Map<string, string>()
          for (const where of addresses) {
            const key = shop.build(where)
            const text = JSON.stringify([where.namespace, where.subject, where.version, where.tenant, where.rest])
            expect(byKey.get(key) ?? text).toBe(text)
            byKey.set(key, text)
          }
        }),
        runs(150),
      )
    }
  })

  it('is the only text that is read as its address', () => {
    const edit = fc.record({
      at: fc.nat(),
      cut: fc.nat(3),
      insert: fc.oneof(awkwardText, fc.constantFrom('%2', '%61', '%3a', '%ED%A0%80', '~', '::', ':org_', '#')),
    })
    fc.assert(
      fc.property(address, edit, (where, { at, cut, insert }) => {
        const key = shop.build(where)
        const place = at % (key.length + 1)
        const other = key.slice(0, place) + insert + key.slice(place + cut)
        const parsed = shop.parse(other)
        if (parsed === null) return
        const { tokens } = parsed
        const generations: Generations = {
          global: tokens.global,
          namespaces: new Map(tokens.namespace ? [[parsed.namespace, tokens.namespace]] : []),
          subjects: new Map(tokens.subject ? [[parsed.subject, tokens.subject]] : []),
          tenants: new Map(tokens.tenant ? [[parsed.tenant ?? '', tokens.tenant]] : []),
          tenantSubjects: new Map(
            tokens.tenantSubject
              ? [[tenantSubjectScope(parsed.tenant ?? '', parsed.subject), tokens.tenantSubject]]
              : [],
          ),
        }
        const rebuilt = createKeys({ prefix: 'shop', tenantLabel: 'org' }, generations)
        expect(parsed.digest === null ? rebuilt.build(parsed) : `${rebuilt.head(parsed)}#${parsed.digest}`).toBe(other)
      }),
      runs(1000),
    )
  })

  it('is never read from any bytes but with a result or null', () => {
    fc.assert(
      fc.property(fc.uint8Array({ maxLength: 60 }), (noise) => {
        const bytes = Buffer.concat([Buffer.from('shop:v1:a:b:'), noise])
        const parsed = shop.parse(bytes)
        if (parsed)
          expect(
            Buffer.from(shop.build(parsed)).equals(bytes) ||
              parsed.digest !== null ||
              Object.values(parsed.tokens).some(Boolean),
          ).toBe(true)
        expect(shop.parse(noise)).toBeNull()
      }),
      runs(1000),
    )
  })
})
