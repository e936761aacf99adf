import { inspect } from 'node:util'
import { describe, expect, it, test } from 'vitest'
import { endpointOf, parseServerUrl, redactUrl } from '../../../src/adapters/redis/server-url.ts'
import { resolveConfig } from '../../../src/config/resolve.ts'
import { CachectlError } from '../../../src/core/errors.ts'

const server = { path: null, username: null, password: null, database: 0, tls: false }

describe('URLs of several servers', () => {
  test.each([
    [
      'redis://a:7000,b:7001,c',
      [
        ['a', 7000],
        ['b', 7001],
        ['c', 6379],
      ],
      server,
    ],
    [
      'redis://a:7000,redis://b:7001',
      [
        ['a', 7000],
        ['b', 7001],
      ],
      server,
    ],
    [
      'rediss://u:p@a,rediss://b/',
      [
        ['a', 6379],
        ['b', 6379],
      ],
      { ...server, username: 'u', password: 'p', tls: true },
    ],
    [
      'redis://:p,w@a,[::1]:7000',
      [
        ['a', 6379],
        ['::1', 7000],
      ],
      { ...server, password: 'p,w' },
    ],
  ])('%s are nodes of a Cluster', (url, hosts, shared) => {
    expect(parseServerUrl(url)).toEqual({
      kind: 'nodes',
      nodes: hosts.map(([host, port]) => ({ ...shared, host, port })),
    })
  })

  it('name Sentinels with what each side asks for', () => {
    expect(
      parseServerUrl('redis+sentinel://u:p%2C@a,b:5000,[::1]/my%20master/3?sentinelUsername=su&sentinelPassword=s%23w'),
    ).toEqual({
      kind: 'sentinel',
      name: 'my master',
      sentinels: [
        ['a', 26379],
        ['b', 5000],
        ['::1', 26379],
      ].map(([host, port]) => ({ ...server, username: 'su', password: 's#w', host, port })),
      server: { ...server, host: 'primary', port: 6379, username: 'u', password: 'p,', database: 3 },
    })
    expect(parseServerUrl('rediss+sentinel://a/m')).toMatchObject({
      sentinels: [{ tls: true, password: null }],
      server: { tls: true },
    })
  })

  test.each([
    ['redis://a,', 'redis://'],
    ['redis://:CANARY@a,redis://:other@b', 'redis://user:password@a:7000,b:7000'],
    ['redis://a/1,redis://b/2', 'redis: { default, … }'],
    ['redis://a,rediss://b', 'redis://user:password@a:7000,b:7000'],
    ['redis+sentinel://a', 'redis+sentinel://host:26379,host:26379/mymaster'],
    ['redis+sentinel:///m', 'redis://'],
    ['redis+sentinel://a/m/0/x', 'mymaster'],
    ['redis+sentinel://a/m/x', 'host:6379/0'],
    ['redis+sentinel://:CAN/ARY@a/m', '%2F'],
    ['redis+sentinel://:CAN@ARY@a/m', '%40'],
    ['redis+sentinel://:CAN#ARY@a/m', '%23'],
    ['redis+sentinel://user:CANARY@a/%', '%25'],
    ['redis+sentinel://CANARY@a/m', 'redis://:password@host'],
  ])('%s is refused with the way out, and without a secret', (url, hint) => {
    let error: unknown
    try {
      parseServerUrl(url)
    } catch (thrown) {
      error = thrown
    }
    expect(error).toBeInstanceOf(CachectlError)
    expect((error as CachectlError).hint).toContain(hint)
    expect(inspect(error) + endpointOf(url) + redactUrl(url)).not.toMatch(/CAN|ARY/)
  })

  it('are shown without their secrets', () => {
    expect(redactUrl('redis://:p@a:7000,b:7001/')).toBe('redis://***@a:7000,b:7001/0')
    expect(endpointOf('redis://:p@a:7000,b:7001')).toBe('a:7000')
    const sentinel = 'rediss+sentinel://u:p@a,b/m/2?sentinelPassword=secret'
    expect(redactUrl(sentinel)).toBe('rediss+sentinel://***@a:26379,b:26379/m/2')
    expect(endpointOf(sentinel)).toBe('m of Sentinel a:26379, b:26379')
  })

  test.each([
    [{ cluster: ['redis://:p@a:7000', 'redis://b:7001'] }, 'redis://:p@a:7000,redis://b:7001'],
    [{ url: 'redis://a' }, 'redis://a'],
    [
      { sentinels: ['a', 'redis://b:1', { host: '::1', port: 2 }, { host: 'c' }], name: 'm/x' },
      'redis+sentinel://a,b:1,[::1]:2,c/m%2Fx/0',
    ],
    [
      { sentinels: ['rediss://a:1'], name: 'm', username: 'u@', password: 'p/w', database: 2, sentinelPassword: 's&w' },
      'rediss+sentinel://u%40:p%2Fw@a:1/m/2?sentinelPassword=s%26w',
    ],
  ])('%j of a config is %s', (redis, url) => {
    const { config } = resolveConfig({ prefix: 'shop', redis }, { name: 'c', file: '/c', redis: null, env: null })
    expect(config?.redis).toEqual({ url, from: 'c', tls: null })
    expect(() => parseServerUrl(url)).not.toThrow()
  })
})
