// Where responses are: different requests have different keys, the same in other words the same; and the pure rules of headers.
import fc from 'fast-check'
import { describe, expect, test } from 'vitest'
import { createKeys } from '../../src/core/key.ts'
import { pack, unpack } from '../../src/http/captured.ts'
import { cacheControlOf, notModified } from '../../src/http/conditional.ts'
import { httpRules } from '../../src/http/options.ts'
import { wantedEntry } from '../../src/http/request-entry.ts'
import { cacheControl, judgeResponse, keptHeaders } from '../../src/http/response-rules.ts'
import { aConfig } from '../resolved.ts'
import { seed } from '../seed.ts'

const config = aConfig('redis://localhost', [], { tenantLabel: 'org' })
const keys = createKeys({ prefix: 'shop', tenantLabel: 'org' })
interface Asked {
  host: string
  secure: boolean
  path: string
  query: [string, string][]
  language: string | null
  user: string | null
  tenant: string | null
}
const rules = httpRules<[Asked]>(config, {
  namespace: 'list',
  vary: { query: ['a', 'b_c', '__proto__', 'a_b'], headers: ['accept-language'], user: (asked) => asked.user },
})

async function keyOf(asked: Asked): Promise<string> {
  const query = asked.query.map(([name, value]) => `${name}=${encodeURIComponent(value)}`).join('&')
  const facts = {
    ...asked,
    method: 'GET',
    query,
    header: (name: string) => (name === 'accept-language' ? (asked.language ?? undefined) : undefined),
  }
  const entry = await wantedEntry({ kernel: { config } as never, tenant: () => asked.tenant }, rules, facts, '/x', [
    asked,
  ])
  if (entry.bypass !== null) throw new Error(entry.bypass)
  return keys.build(entry.place)
}

const text = fc.constantFrom('a', 'b', 'a_b', 'a:b', '%41', '/x', '@user_a', 'org_1', 'null', '=', '&', '#', 'ü', '1')
const asked = fc.record<Asked>({
  host: fc.constantFrom('a', 'b', 'a_b', '@path_/x', '__proto__'),
  secure: fc.boolean(),
  path: fc.constantFrom('/x', '/x/', '/y', '/x/@user_a', '/a_b'),
  query: fc.array(fc.tuple(fc.constantFrom('a', 'b_c', '__proto__', 'a_b'), fc.oneof(text, fc.constant(''))), {
    maxLength: 4,
  }),
  language: fc.option(text),
  user: fc.option(text),
  tenant: fc.option(text),
})
/** What makes two requests the same: the order of parameters of different names does not. */
const canonical = ({ query, ...rest }: Asked) =>
  JSON.stringify([rest, [...query].sort(([a], [b]) => (a < b ? -1 : a > b ? 1 : 0))])

test(`two requests have one key if and only if they are the same, seed ${seed}`, async () => {
  const known = new Map<string, string>()
  await fc.assert(
    fc.asyncProperty(asked, async (one) => {
      const key = await keyOf(one)
      const same = known.get(key)
      known.set(key, canonical(one))
      return same === undefined || same === canonical(one)
    }),
    { seed, numRuns: 20_000 },
  )
  expect(known.size).toBeGreaterThan(1_000)
  const all = new Set(known.values())
  expect(all.size).toBe(known.size)
})

describe('rules', () => {
  test.each<[string, Record<string, string>]>([
    ['', {}],
    ['max-age=60, Private', { 'max-age': '60', private: '' }],
    ['private="set-cookie, x", no-cache', { private: 'set-cookie, x', 'no-cache': '' }],
    [',,=,a=', { a: '' }],
    ['s-maxage="10"', { 's-maxage': '10' }],
  ])('Cache-Control %s', (header, expected) => {
    expect(Object.fromEntries(cacheControl(header))).toEqual(expected)
  })

  test('hostile header values take no time', () => {
    const began = performance.now()
    for (const piece of ['"', 'a=', '",', 'W/"', ' ,', '\\"']) {
      cacheControl(piece.repeat(8_000))
      notModified((name) => (name === 'if-none-match' ? piece.repeat(8_000) : undefined), 200, [['ETag', '"x"']])
    }
    expect(performance.now() - began).toBeLessThan(1_000)
  })

  test('s-maxage comes before max-age, both before Expires', () => {
    const judged = (headers: [string, string][]) => judgeResponse(200, headers, rules, 0)
    expect(judged([['Cache-Control', 's-maxage=5, max-age=60']])).toEqual({
      cacheable: true,
      ttlMs: 5_000,
      grace: true,
    })
    expect(
      judged([
        ['Cache-Control', 'max-age=60'],
        ['Expires', '0'],
      ]),
    ).toMatchObject({ ttlMs: 60_000 })
    expect(judged([['Expires', new Date(7_000).toUTCString()]])).toMatchObject({ ttlMs: 7_000 })
    expect(judged([['Cache-Control', 'must-revalidate']])).toEqual({ cacheable: true, ttlMs: null, grace: false })
  })

  test('headers of the connection are not kept, nor those that Connection names', () => {
    const kept = keptHeaders([
      ['Connection', 'close, X-Hop'],
      ['X-Hop', '1'],
      ['Keep-Alive', 'timeout=5'],
      ['Transfer-Encoding', 'chunked'],
      ['Date', 'now'],
      ['X-Kept', '1'],
      ['X-Kept', '2'],
    ])
    expect(kept).toEqual([
      ['X-Kept', '1'],
      ['X-Kept', '2'],
    ])
  })

  test('max-age is the whole life, so that Age can be taken from it; none without end is longer than a year', () => {
    const audience = { private: false, public: false, revalidate: false }
    expect(cacheControlOf({ createdAtMs: 0, freshUntilMs: 60_000, nowMs: 45_000 }, audience)).toBe('max-age=60')
    expect(cacheControlOf({ createdAtMs: 0, freshUntilMs: 60_000, nowMs: 60_000 }, audience)).toBe('max-age=0')
    expect(cacheControlOf({ createdAtMs: 0, freshUntilMs: null, nowMs: 9 }, { ...audience, private: true })).toBe(
      'private, max-age=31536000',
    )
  })

  test('what is packed comes back; anything else is none', () => {
    const captured = { status: 200, headers: [['X', '\n"ü']] as const, removed: [], body: Buffer.from([10, 0, 255]) }
    expect(unpack(pack(captured))).toEqual(captured)
    for (const other of [
      null,
      undefined,
      'text',
      {},
      Buffer.alloc(0),
      Buffer.from('{}\n'),
      Buffer.from('null\n'),
      Buffer.from('{"http":1'),
    ])
      expect(unpack(other)).toBeNull()
  })
})
