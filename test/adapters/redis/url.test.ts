import { inspect } from 'node:util'
import fc from 'fast-check'
import { describe, expect, test } from 'vitest'
import { endpointOf, redactUrl } from '../../../src/adapters/redis/server-url.ts'
import { parseRedisUrl } from '../../../src/adapters/redis/url.ts'
import { CachectlError } from '../../../src/core/errors.ts'

const seed = process.env.SEED ? { seed: Number(process.env.SEED) } : {}
const plain = { host: null, port: 6379, path: null, username: null, password: null, database: 0, tls: false }

function failure(url: string): CachectlError {
  try {
    parseRedisUrl(url)
  } catch (error) {
    expect(error).toBeInstanceOf(CachectlError)
    expect((error as CachectlError).code).toBe('REDIS_URL_INVALID')
    return error as CachectlError
  }
  throw new Error('it was read')
}

describe('parseRedisUrl', () => {
  test.each([
    ['redis://db.example.com', { host: 'db.example.com' }],
    ['redis://db.example.com/', { host: 'db.example.com' }],
    ['valkey://h:7000/2', { host: 'h', port: 7000, database: 2 }],
    ['REDISS://h', { host: 'h', tls: true }],
    [
      'rediss://user:p%40ss%2Fw%23rd@h:6380/15',
      { host: 'h', port: 6380, username: 'user', password: 'p@ss/w#rd', database: 15, tls: true },
    ],
    ['redis://:secret@h', { host: 'h', password: 'secret' }],
    ['redis://user:a:b:c@h', { host: 'h', username: 'user', password: 'a:b:c' }],
    ['redis://nopass:@h', { host: 'h', username: 'nopass', password: '' }],
    ['redis://:@h', { host: 'h' }],
    ['redis://[::1]', { host: '::1' }],
    [
      'redis://u:p@[2001:db8::1]:7000/3',
      { host: '2001:db8::1', port: 7000, username: 'u', password: 'p', database: 3 },
    ],
    ['redis://h?db=4', { host: 'h', database: 4 }],
    ['redis://h/4?db=4&family=6', { host: 'h', database: 4 }],
    ['redis://h?username=u&password=p%23w', { host: 'h', username: 'u', password: 'p#w' }],
    ['  redis://h\n', { host: 'h' }],
    ['/run/redis.sock', { path: '/run/redis.sock', port: 0 }],
    ['unix:/run/redis.sock?db=2', { path: '/run/redis.sock', port: 0, database: 2 }],
    ['unix:///run/redis.sock', { path: '/run/redis.sock', port: 0 }],
    ['redis+unix:///run/redis.sock', { path: '/run/redis.sock', port: 0 }],
    ['redis+socket:///run/a%20b.sock', { path: '/run/a b.sock', port: 0 }],
    ['redis-socket:///run/x@y.sock', { path: '/run/x@y.sock', port: 0 }],
    [
      'unix://user:pw@/run/redis.sock?db=1',
      { path: '/run/redis.sock', port: 0, username: 'user', password: 'pw', database: 1 },
    ],
  ])('reads %s', (url, expected) => {
    expect(parseRedisUrl(url)).toEqual({ ...plain, ...expected })
  })

  test('TLS settings turn TLS on, and are refused on a unix socket', () => {
    expect(parseRedisUrl('redis://h', {}).tls).toBe(true)
    expect(() => parseRedisUrl('unix:/run/redis.sock', {})).toThrow('no TLS')
  })

  test.each([
    ['redis://user:p@ss/w#rd@host', '%23'],
    ['redis://user:CANARY#w@host', '%23'],
    ['redis://user:CANARY/w@host', '%2F'],
    ['redis://user:CAN@ARY@host', '%40'],
    ['redis://user:CANARY?w@host', '%3F'],
    ['redis://user:50%CANARY@host', '%25'],
    ['redis://user:CANARY/w', 'percent-encode'],
    ['redis://CANARY:6379:6379', 'brackets'],
    ['redis://user:CANARY\\@[host', 'percent-encode'],
    ['redis://host:0', '6379'],
    ['redis://host:65536', '6379'],
    ['redis://host:CANARY', '6379'],
    ['redis://host/CANARY', 'host:6379/0'],
    ['redis://host/-1', 'host:6379/0'],
    ['redis://host/1?db=2', 'host:6379/0'],
    ['redis://host/1/2', 'host:6379/0'],
    ['redis://', 'redis://'],
    ['redis://:6379', 'redis://'],
    ['redis://user:CANARY@', 'redis://'],
    ['redis://user:CANARY@:6379', 'redis://'],
    ['redis://CANARY@host', 'redis://:password@host'],
    ['redis://::1', '[::1]'],
    ['localhost:6379', 'redis://localhost:6379'],
    ['CANARY@localhost:6379', 'redis://'],
    ['http://user:CANARY@host', 'redis://'],
    ['redis:host', 'redis://'],
    ['unix:CANARY', 'unix:/path'],
    ['', 'redis://'],
    ['$REDIS_URL', 'redis://'],
  ])('refuses %s with the way out, and without repeating it', (url, hint) => {
    const error = failure(url)
    expect(error.hint).toContain(hint)
    expect(inspect(error)).not.toContain('CANARY')
    expect(`${error.message}${error.hint}`).not.toContain('w#rd')
    expect(endpointOf(url) + redactUrl(url)).not.toMatch(/CAN|ARY|w#rd/)
  })

  test('any user and password come back, percent-encoded, from any place they may stand in', () => {
    const word = fc.string({ unit: 'binary', minLength: 1 })
    fc.assert(
      fc.property(word, word, fc.nat(99), (username, password, database) => {
        const user = encodeURIComponent(username)
        const secret = encodeURIComponent(password)
        const expected = { ...plain, host: 'h.example', port: 7001, username, password, database }
        expect(parseRedisUrl(`redis://${user}:${secret}@h.example:7001/${database}`)).toEqual(expected)
        expect(parseRedisUrl(`redis://h.example:7001?username=${user}&password=${secret}&db=${database}`)).toEqual(
          expected,
        )
      }),
      { numRuns: 500, ...seed },
    )
  })

  test('any password that is not encoded is read right or refused; it never ends up in a message', () => {
    const password = fc
      .array(fc.constantFrom(...'aZ0#/@:?%[]&=\\ .-'), { maxLength: 8 })
      .map((parts) => `CANARY${parts.join('')}`)
    fc.assert(
      fc.property(password, (secret) => {
        const url = `redis://user:${secret}@h.example:7001/1`
        expect(endpointOf(url) + redactUrl(url)).not.toContain('CANARY')
        try {
          expect(parseRedisUrl(url)).toMatchObject({ host: 'h.example', port: 7001, database: 1 })
        } catch (error) {
          expect(error).toBeInstanceOf(CachectlError)
          expect(inspect(error)).not.toContain('CANARY')
        }
      }),
      { numRuns: 2_000, ...seed },
    )
  })

  test('the URL class, which this file does without, takes a piece of the password for the host', () => {
    expect(new URL('redis://user:p@ss/w#rd@host').hostname).toBe('ss')
  })
})

describe('for people', () => {
  test.each([
    ['redis://h', 'h:6379', 'redis://h:6379/0'],
    ['rediss://u:CANARY@h:1/2?password=CANARY', 'h:1', 'rediss://***@h:1/2'],
    ['redis://h?password=CANARY', 'h:6379', 'redis://***@h:6379/0'],
    ['redis://[::1]:7000', '[::1]:7000', 'redis://[::1]:7000/0'],
    ['unix://u:CANARY@/run/r.sock?db=3', 'unix:/run/r.sock', 'unix:/run/r.sock?db=3'],
    ['/run/\u001b[31m.sock', 'unix:/run/\\x1B[31m.sock', 'unix:/run/\\x1B[31m.sock'],
  ])('%j', (url, endpoint, redacted) => {
    expect(endpointOf(url)).toBe(endpoint)
    expect(redactUrl(url)).toBe(redacted)
  })
})
