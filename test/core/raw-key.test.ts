import fc from 'fast-check'
import { expect, it } from 'vitest'
import { compileRawKey, type RawKey, rawKeyParts, spellRawKey } from '../../src/core/raw-key.ts'
import { runs } from './arbitrary.ts'

it.each([
  ['{subject}:v{version}:{rest}', 'user:v12:a:b', { subject: 'user', version: '12', tenant: null, rest: 'a:b' }],
  ['{subject}:v{version}:{rest}', 'user:12:a', null],
  ['app.{tenant}/{subject}-{rest}', 'app.t1/user-7-8', { subject: 'user', version: null, tenant: 't1', rest: '7-8' }],
  ['app.{tenant}/{subject}-{rest}', 'appxt1/user-7', null],
  ['sess:*', 'sess:abc', { subject: null, version: null, tenant: null, rest: null }],
  ['sess:*', 'session:abc', null],
])('%s reads %s', (pattern, key, expected) => {
  expect(compileRawKey(pattern)(Buffer.from(key))).toEqual(expected)
})

const parts = (given: Partial<RawKey>): RawKey => ({ subject: null, version: null, tenant: null, rest: null, ...given })

it.each([
  ['{subject}:v{version}:{rest}', { subject: 'user', version: '12', rest: 'a:b' }, 'user:v12:a:b'],
  ['app.{tenant}/{subject}-{rest}', { tenant: 't1', subject: 'user', rest: '7-8' }, 'app.t1/user-7-8'],
  ['sess:*', { rest: 'sess:abc' }, 'sess:abc'],
  // text with a meaning for String.replace and for globs stays itself
  ['{subject}:{rest}', { subject: "$&$'", rest: '*[x]?' }, "$&$':*[x]?"],
])('%s of %o is %s', (pattern, given, key) => {
  expect(spellRawKey(pattern, parts(given))).toBe(key)
  expect(compileRawKey(pattern)(Buffer.from(key))).toEqual(pattern.includes('{') ? parts(given) : parts({}))
})

it.each([
  ['{subject}:v{version}:{rest}', { subject: 'user', rest: 'a' }, 'needs a version'],
  ['{subject}:v{version}:{rest}', { subject: 'a:v1:b', version: '2', rest: 'c' }, 'cannot be the subject'],
  ['app.{tenant}/{subject}-{rest}', { tenant: 't', subject: 'user-7', rest: '8' }, 'cannot be the subject'],
  ['{subject}:{rest}', { subject: 'a', rest: '' }, 'needs a rest'],
  ['{subject}:{rest}', { subject: 'a', rest: '\ud800' }, 'half a surrogate pair'],
  ['sess:*', { rest: 'other:abc' }, 'is not like sess:*'],
  ['sess:*', { rest: '' }, 'is not like sess:*'],
])('%s refuses %o', (pattern, given, message) => {
  expect(() => spellRawKey(pattern, parts(given))).toThrow(message)
})

it('names the parts of a template, and none of a glob', () => {
  expect([...rawKeyParts('{subject}:v{version}:{rest}')]).toEqual(['subject', 'version', 'rest'])
  expect([...rawKeyParts('sess:*')]).toEqual([])
})

it('never spells two sets of parts as one key', () => {
  const text = fc.string({ minLength: 1, maxLength: 4, unit: fc.constantFrom('a', ':', 'v', '1', '-') })
  const spelled = (one: RawKey) => {
    try {
      return spellRawKey('{subject}:v{version}-{rest}', one)
    } catch {
      return null
    }
  }
  const some = fc.record({ subject: text, version: text, tenant: fc.constant(null), rest: text })
  fc.assert(
    fc.property(some, some, (a, b) => {
      const key = spelled(a)
      expect(key !== null && key === spelled(b)).toBe(key !== null && JSON.stringify(a) === JSON.stringify(b))
    }),
    runs(2000),
  )
})
