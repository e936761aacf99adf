import fc from 'fast-check'
import { describe, expect, it } from 'vitest'
import { compileGlob } from '../../src/core/pattern.ts'
import { printable } from '../../src/core/printable.ts'
import { createShaper } from '../../src/core/shape.ts'
import { createShapeTable } from '../../src/core/shape-table.ts'

const seed = Number(process.env.SEED ?? Date.now() % 1_000_000)

const shapeOf = (key: string): string => {
  const shaper = createShaper()
  shaper.shape(Buffer.from(key), new Map())
  return Buffer.from(shaper.bytes.subarray(0, shaper.length)).toString().replaceAll('\0', '*')
}

interface Count {
  keys: number
}
const count = (keys: Iterable<Buffer | string>): { pattern: string | null; value: Count }[] => {
  const table = createShapeTable<Count>({
    create: () => ({ keys: 0 }),
    merge: (into, from) => {
      into.keys += from.keys
    },
    weight: (value) => value.keys,
  })
  for (const key of keys) table.at(Buffer.from(key as string)).keys++
  return table.finish()
}
const patterns = (keys: Iterable<Buffer | string>): Record<string, number> =>
  Object.fromEntries(count(keys).map(({ pattern, value }) => [String(pattern), value.keys]))

describe('the shape of a key', () => {
  it.each([
    ['user:1234:cart', 'user:*:cart'],
    ['session:3f2a9c1b7d', 'session:*'],
    ['session:550e8400-e29b-41d4-a716-446655440000', 'session:*'],
    ['a-550e8400-e29b-41d4-a716-446655440000-b', 'a-*-b'],
    ['sha:9e107d9d372bb6826bd81d3542a419d6', 'sha:*'],
    ['user:alice@example.com:cart', 'user:*:cart'],
    ['report:2024-10-05', 'report:*'],
    ['report:20241005T1200', 'report:*'],
    ['s:V1StGXR8_Z5jdHi6B-myT', 's:*'],
    ['ulid:01ARZ3NDEKTSV4RRFFQ69G5FAV', 'ulid:*'],
    ['key:000000001234', 'key:*'],
    ['memtier-1234', 'memtier-*'],
    ['user42', 'user*'],
    ['/api/cities/42?page=3', '/api/cities/*?page=*'],
    ['{user:1}:cart', '{user:*}:cart'],
    ['ip:10.0.0.1', 'ip:*'],
    ['product:v2:detail:7', 'product:v2:detail:*'],
    ['getUserDataByOrg:all', 'getUserDataByOrg:all'],
    ['laravel_cache:users.index', 'laravel_cache:users.index'],
    ['ttl:24h', 'ttl:24h'],
    ['l1', 'l1'],
    ['::', '::'],
    ['', ''],
    [`${'x'.repeat(300)}:tail`, '*:tail'],
    ['binary:a\x01b:tail', 'binary:*:tail'],
  ])('%s is %s', (key, shape) => {
    expect(shapeOf(key)).toBe(shape)
  })
})

describe('patterns of keys', () => {
  it('fold names that vary, and keep those that are few or heavy', () => {
    const keys: string[] = []
    for (let i = 0; i < 5000; i++) {
      const name = [...String(i)].map((digit) => 'abcdefghij'[Number(digit)]).join('x')
      keys.push(`user:${name}y:cart`, `user:${name}y:profile`, `bull:emails:${i}`, `flat-${name}`)
    }
    keys.push(
      'bull:emails:id',
      'bull:emails:meta',
      ...['red', 'green', 'blue'].flatMap((colour) => Array(50).fill(`paint:${colour}`)),
    )
    expect(patterns(keys)).toEqual({
      'user:*:cart': 5000,
      'user:*:profile': 5000,
      'bull:emails:*': 5000,
      'bull:emails:id': 1,
      'bull:emails:meta': 1,
      'flat-*': 5000,
      'paint:red': 50,
      'paint:green': 50,
      'paint:blue': 50,
    })
  })

  it('keep a heavy tenant apart from the many light ones', () => {
    const keys = Array.from({ length: 20_000 }, (_, i) =>
      i % 4 === 0
        ? `t:acme:${i}`
        : `t:${'qwrtzpsdfg'[i % 10]}${'klmnbvcxyq'[(i >> 3) % 10]}${'hjklmnbvcx'[(i >> 6) % 10]}${'aeiouyaeio'[(i >> 9) % 10]}:${i}`,
    )
    expect(patterns(keys)).toEqual({ 't:acme:*': 5000, 't:*:*': 15_000 })
  })

  it('are globs that match all that they count, whatever the bytes, and can be printed as they are', () => {
    const separator = fc.constantFrom(':', '/', '-', '_', '.', '|', '')
    const part = fc.oneof(
      fc.constantFrom('user', 'cart', 'list', 'café', '[x]', 'a*b', 'a\\b', 'ü?', '\u202e', '\x1b[31m'),
      fc.integer({ min: 0, max: 1e6 }).map(String),
      fc.uuid(),
      fc.base64String({ maxLength: 30 }),
      fc.uint8Array({ maxLength: 12 }).map((bytes) => Buffer.from(bytes).toString('latin1')),
    )
    const text = fc.array(fc.tuple(part, separator), { maxLength: 6 }).map((parts) => parts.flat().join(''))
    const key = fc.oneof(
      text.map((k) => Buffer.from(k)),
      fc.uint8Array({ maxLength: 260 }).map((bytes) => Buffer.from(bytes)),
    )
    fc.assert(
      fc.property(fc.array(key, { minLength: 1, maxLength: 60 }), (keys) => {
        const found = count(keys)
        expect(found.reduce((sum, { value }) => sum + value.keys, 0)).toBe(keys.length)
        const globs = found.map(({ pattern }) => ({ pattern, matches: compileGlob(pattern ?? '*') }))
        for (const { pattern } of globs) expect(printable(pattern ?? '')).toBe(pattern)
        for (const bytes of keys)
          if (!globs.some(({ matches }) => matches(bytes)))
            expect.fail(`${printable(bytes)} in none of ${globs.map((g) => g.pattern).join('  ')}`)
      }),
      { seed, numRuns: 300 },
    )
  })

  it('take bounded memory, and lose no count, of keys that have nothing in common', () => {
    let state = 42
    const random = (): number => {
      state = (Math.imul(state, 1103515245) + 12345) & 0x7fffffff
      return state / 0x7fffffff
    }
    const word = (): string =>
      Array.from(
        { length: 2 + Math.floor(random() * 6) },
        () => 'abcdefghijklmnopqrstuvwxyz'[Math.floor(random() * 26)],
      ).join('')
    const keys = Array.from({ length: 60_000 }, () =>
      Array.from({ length: 1 + Math.floor(random() * 8) }, word).join(':-/_.|'[Math.floor(random() * 6)]),
    )
    const heavy = Array.from({ length: 20_000 }, (_, i) => `orders:open:${i}`)
    const found = count(keys.flatMap((key, i) => (i % 3 === 0 ? [key, heavy[i / 3] as string] : [key])))
    expect(found.reduce((sum, { value }) => sum + value.keys, 0)).toBe(80_000)
    expect(found.length).toBeLessThan(4096)
    expect(found.find(({ pattern }) => pattern === 'orders:open:*')?.value.keys).toBe(20_000)
  })
})
