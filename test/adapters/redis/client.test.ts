import { createServer as createHttpServer } from 'node:http'
import { type AddressInfo, connect as connectSocket, createServer, type Server } from 'node:net'
import { fileURLToPath } from 'node:url'
import { inspect } from 'node:util'
import type { Redis } from 'ioredis'
import { afterAll, beforeAll, describe, expect, test } from 'vitest'
import { freePort, startRedis, type TestRedis, tlsFixture } from '../../servers.ts'
import { attempt, CANARY, expectNoSecrets, failures, LIMITS, withClient, withUser } from './attempts.ts'

const cleanups: (() => unknown)[] = []
let server: TestRedis
let secure: TestRedis

beforeAll(async () => {
  server = await startRedis({ port: 0 })
  secure = await startRedis({ tls: true })
  cleanups.push(server.stop, secure.stop)
})

afterAll(async () => {
  for (const cleanup of cleanups) await cleanup()
})

async function listen(listening: Server): Promise<number> {
  await new Promise<void>((resolve) => listening.listen(0, '127.0.0.1', resolve))
  cleanups.push(() => listening.close())
  return (listening.address() as AddressInfo).port
}

describe('connects', () => {
  const self = async (redis: Redis) => {
    const clients = String(await redis.client('LIST')).split('\n')
    return clients.find((line) => / cmd=client/.test(line))
  }

  test('over TCP, as cachectl, in the database of the URL', async () => {
    const client = await withClient(`${server.url}/3`, self)
    expect(client).toMatch(/ name=cachectl .* db=3 /)
  })

  test('over a unix socket', async () => {
    expect(await withClient(`${server.socketUrl}?db=2`, self)).toMatch(/ flags=U db=2 /)
  })

  test('over TLS, with the CA as text or as a file, and with a client certificate', async () => {
    const ca = tlsFixture('ca.crt')
    const file = fileURLToPath(new URL('../../fixtures/tls/ca.crt', import.meta.url))
    expect(await withClient(secure.url, (redis) => redis.ping(), { tls: { ca } })).toBe('PONG')
    expect(
      await withClient(secure.url.replace('localhost', '127.0.0.1'), (redis) => redis.ping(), { tls: { ca: file } }),
    ).toBe('PONG')
    const mutual = await startRedis({ tls: true, args: ['--tls-auth-clients', 'yes'] })
    cleanups.push(mutual.stop)
    const tls = { ca, cert: tlsFixture('client.crt'), key: tlsFixture('client.key') }
    expect(await withClient(mutual.url, (redis) => redis.ping(), { tls })).toBe('PONG')
    const refused = await attempt(mutual.url, { tls: { ca } })
    expect(refused).toMatchObject({ code: 'REDIS_TLS', message: expect.stringContaining('client certificate') })
    expect(await attempt(mutual.url.replace('rediss', 'redis'))).toMatchObject({ code: 'REDIS_TLS' })
  })

  test('as a user who may neither PING nor ask for INFO, and who has another password than the default user', async () => {
    await server.call('ACL', 'SETUSER', 'reader', 'on', `>${CANARY}`, '~*', '+get')
    expect(await withClient(withUser(server.url, 'reader'), (redis) => redis.get('absent'))).toBeNull()
  })

  test('with a password where none is asked for', async () => {
    expect(await withClient(withUser(server.url), (redis) => redis.ping())).toBe('PONG')
  })

  test('the password is nowhere in the client', async () => {
    const text = await withClient(withUser(server.url, 'reader'), async (redis) =>
      inspect(redis, { depth: 12, showHidden: true }),
    )
    expect(text).not.toContain(CANARY)
  })
})

describe('says at once what is wrong', () => {
  // The last number: connections that the server saw. One without a password may come to look what the port speaks.
  test.each([
    [
      'a wrong password',
      () => server,
      (url: string) => withUser(url, 'nobody'),
      'REDIS_AUTH',
      /refused the user or the password/,
      1,
    ],
    ['no right to SELECT', () => server, (url: string) => withUser(`${url}/1`, 'reader'), 'REDIS_ACL', /SELECT/, 1],
    [
      'TLS to a plain port',
      () => server,
      (url: string) => withUser(url).replace('redis:', 'rediss:'),
      'REDIS_TLS',
      /does not speak TLS/,
      2,
    ],
    [
      'plain to a TLS port',
      () => secure,
      (url: string) => withUser(url).replace('rediss:', 'redis:'),
      'REDIS_TLS',
      /speaks TLS/,
      3,
    ],
    ['a CA that is not trusted', () => secure, (url: string) => withUser(url), 'REDIS_TLS', /not trusted/, 1],
  ])('%s: under a second, without a retry', async (_, where, url, code, message, most) => {
    const before = await connections(where())
    const failure = await attempt(url(where().url))
    expect(failure).toMatchObject({ code, exitCode: 11, message: expect.stringMatching(message) })
    expect(failure.tookMs).toBeLessThan(1_000)
    expect((await connections(where())) - before).toBeLessThanOrEqual(most)
  })

  test('no password, a wrong one, and one for a server without AUTH', async () => {
    const guarded = await startRedis({ port: 0, args: ['--requirepass', 'sesame'] })
    const odd = await startRedis({ port: 0, args: ['--rename-command', 'AUTH', ''] })
    cleanups.push(guarded.stop, odd.stop)
    expect(await attempt(guarded.url)).toMatchObject({
      code: 'REDIS_AUTH',
      message: expect.stringContaining('asks for a password'),
    })
    expect(await attempt(withUser(guarded.url))).toMatchObject({ code: 'REDIS_AUTH' })
    // This server repeats the arguments of commands that it does not know.
    expect(await attempt(withUser(odd.url))).toMatchObject({
      code: 'REDIS_AUTH',
      message: expect.stringContaining('unknown command'),
    })
  })

  test.each(['other-name', 'expired'] as const)('a certificate that is %s', async (name) => {
    const wrong = await startRedis({ tls: name })
    cleanups.push(wrong.stop)
    const failure = await attempt(withUser(wrong.url), { tls: { ca: tlsFixture('ca.crt') } })
    expect(failure).toMatchObject({ code: 'REDIS_TLS', exitCode: 11 })
    expect(failure.message).toContain(name === 'expired' ? 'has expired' : 'redis.example.com')
    expect(failure.hint).not.toMatch(/rejectUnauthorized|insecure/i)
    expect(failure.tookMs).toBeLessThan(1_000)
  })

  test.each([
    ['a dead port', async () => `redis://u:${CANARY}@127.0.0.1:${await freePort()}`, /nothing listens/],
    ['an unknown host', () => `redis://u:${CANARY}@no-such-host.invalid`, /cannot be found/],
    ['a socket that is not there', () => `unix://u:${CANARY}@/nowhere/redis.sock`, /no such socket/],
  ])('%s is exit 10', async (_, url, message) => {
    const failure = await attempt(await url())
    expect(failure).toMatchObject({ code: 'REDIS_UNREACHABLE', exitCode: 10, message: expect.stringMatching(message) })
    expect(failure.tookMs).toBeLessThan(LIMITS.connectTimeoutMs)
  })

  test('a web server, plain or asked with TLS', async () => {
    const port = await listen(createHttpServer((_, response) => response.end()))
    expect(await attempt(`redis://:${CANARY}@127.0.0.1:${port}`)).toMatchObject({
      code: 'REDIS_UNREACHABLE',
      message: expect.stringMatching(/no Redis server: it answered "HTTP\/1.1 400/),
    })
    expect(await attempt(`rediss://:${CANARY}@127.0.0.1:${port}`)).toMatchObject({ code: 'REDIS_TLS' })
  })

  test('something that hangs up', async () => {
    const port = await listen(createServer((socket) => socket.destroy()))
    const message = expect.stringContaining('closed the connection')
    expect(await attempt(`redis://:${CANARY}@127.0.0.1:${port}`)).toMatchObject({ code: 'REDIS_UNREACHABLE', message })
    expect(await attempt(`rediss://:${CANARY}@127.0.0.1:${port}`)).toMatchObject({ code: 'REDIS_UNREACHABLE', message })
  })

  test('something that says nothing, within the connect deadline', async () => {
    const port = await listen(createServer(() => {}))
    for (const scheme of ['redis', 'rediss']) {
      const failure = await attempt(`${scheme}://:${CANARY}@127.0.0.1:${port}`, { connectTimeoutMs: 600 })
      expect(failure).toMatchObject({
        code: 'REDIS_TIMEOUT',
        exitCode: 10,
        message: expect.stringContaining('within 600 ms'),
      })
      expect(failure.tookMs).toBeLessThan(1_000)
    }
  })

  test('a database that is not there', async () => {
    expect(await attempt(`${server.url}/99`)).toMatchObject({
      code: 'REDIS_URL_INVALID',
      exitCode: 2,
      message: expect.stringContaining('no database'),
    })
  })

  test('a server that is full', async () => {
    const full = await startRedis({ port: 0, args: ['--maxclients', '1'] })
    const guest = connectSocket(full.port as number, '127.0.0.1')
    cleanups.push(() => guest.destroy(), full.stop)
    await new Promise((resolve) => guest.once('connect', resolve))
    for (const url of [full.url, withUser(full.url)]) {
      expect(await attempt(url)).toMatchObject({
        code: 'REDIS_UNREACHABLE',
        message: expect.stringContaining('maxclients'),
      })
    }
  })
})

test('no failure of this file holds the password, wherever one looks', () => {
  expect(failures.length).toBeGreaterThan(20)
  expectNoSecrets()
})

async function connections(redis: TestRedis): Promise<number> {
  return Number(/total_connections_received:(\d+)/.exec(String(await redis.call('INFO', 'stats')))?.[1])
}
