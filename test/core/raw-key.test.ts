import { expect, it } from 'vitest'
import { compileRawKey } from '../../src/core/raw-key.ts'

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
