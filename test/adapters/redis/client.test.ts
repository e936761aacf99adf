import { execFile } from 'node:child_process'
import { createServer as createHttpServer } from 'node:http'
import { type AddressInfo, connect as connectSocket, createServer, type Server, type Socket } from 'node:net'
import { fileURLToPath } from 'node:url'
import { inspect, promisify } from 'node:util'
import { Redis } from 'ioredis'
import { afterAll, beforeAll, describe, expect, test } from 'vitest'
import { type ConnectOptions, connect } from '../../../src/adapters/redis/client.ts'
import { describeError } from '../../../src/adapters/redis/errors.ts'
import { endpointOf } from '../../../src/adapters/redis/url.ts'
import type { RedisTarget } from '../../../src/config/resolved.ts'
import { CachectlError } from '../../../src/core/errors.ts'
import { freePort, startRedis, type TestRedis, tlsFixture } from '../../servers.ts'

const CANARY = 'cAnArY-f00d'
const LIMITS: ConnectOptions = { connectTimeoutMs: 5_000, replyTimeoutMs: 2_000 }

/** Every failed attempt of this file: what none of them may say is looked for at its end. */
const failures: unknown[] = []
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

const target = (url: string, tls: RedisTarget['tls'] = null): RedisTarget => ({ url, from: 'test', tls })
const withUser = (url: string, user = '') => url.replace('//', `//${user}:${CANARY}@`)

/** How an attempt failed, and how long that took. */
async function attempt(url: string, options: Partial<ConnectOptions> & { tls?: RedisTarget['tls'] } = {}) {
  const { tls = null, ...limits } = options
  const begin = performance.now()
  try {
    const redis = await connect(target(url, tls), { ...LIMITS, ...limits })
    redis.disconnect()
  } catch (error) {
    failures.push(error)
    expect(error).toBeInstanceOf(CachectlError)
    const { code, exitCode, message, hint } = error as CachectlError
    return { code, exitCode, message, hint, tookMs: performance.now() - begin }
  }
  throw new Error('it connected')
}

async function withClient<T>(
  url: string,
  use: (redis: Redis) => Promise<T>,
  options: Partial<ConnectOptions> & { tls?: RedisTarget['tls'] } = {},
) {
  const { tls = null, ...limits } = options
  const redis = await connect(target(url, tls), { ...LIMITS, ...limits })
  try {
    return await use(redis)
  } finally {
    redis.disconnect()
  }
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

describe('waits for what passes', () => {
  test('a server that is loading, and says so', async () => {
    const args = ['--loading-process-events-interval-bytes', '1024']
    // Redis before 7 has no such setting, and lets everyone use DEBUG.
    const slow = await startRedis({ port: 0, args: [...args, '--enable-debug-command', 'local'] }).catch(() =>
      startRedis({ port: 0, args }),
    )
    cleanups.push(slow.stop)
    await slow.call('DEBUG', 'POPULATE', 2_000)
    await slow.call('CONFIG', 'SET', 'key-load-delay', 500)
    const reloaded = slow.call('DEBUG', 'RELOAD')
    await until(async () => (await rawReply(slow.port as number)).startsWith('-LOADING'))
    const failure = await attempt(slow.url, { connectTimeoutMs: 300 })
    expect(failure).toMatchObject({
      code: 'REDIS_UNREACHABLE',
      exitCode: 10,
      message: expect.stringContaining('loading its data'),
    })
    const notes: string[] = []
    expect(
      await withClient(slow.url, (redis) => redis.dbsize(), {
        onNote: (note) => notes.push(note),
        connectTimeoutMs: 20_000,
      }),
    ).toBe(2_000)
    expect(notes).toEqual([expect.stringContaining('loading its data')])
    await reloaded
  })

  test('a server that is held up by a script', async () => {
    const busy = await startRedis({ port: 0, args: ['--lua-time-limit', '20'] })
    cleanups.push(busy.stop)
    const script = Promise.resolve(busy.call('EVAL', 'while true do end', 0)).catch(() => {})
    await until(async () => (await rawReply(busy.port as number)).startsWith('-BUSY'))
    expect(await attempt(busy.url, { connectTimeoutMs: 300 })).toMatchObject({
      code: 'REDIS_TIMEOUT',
      message: expect.stringContaining('script'),
    })
    const connected = withClient(busy.url, (redis) => redis.ping())
    const killer = connectSocket(busy.port as number, '127.0.0.1')
    killer.end('SCRIPT KILL\r\n')
    expect(await connected).toBe('PONG')
    await script
  })
})

describe('never waits for ever, never sends twice', () => {
  test('a stopped server: connecting and calling end by their deadlines', async () => {
    const stopped = await startRedis({ port: 0 })
    cleanups.push(stopped.stop)
    await withClient(
      stopped.url,
      async (redis) => {
        process.kill(stopped.pid, 'SIGSTOP')
        try {
          const begin = performance.now()
          const error = await redis.set('k', 'v').then(
            () => null,
            (thrown: unknown) => describeError(thrown, endpointOf(stopped.url)),
          )
          expect(error).toMatchObject({ code: 'REDIS_TIMEOUT', message: expect.stringContaining('unknown') })
          expect(performance.now() - begin).toBeLessThan(1_000)
          expect(await attempt(withUser(stopped.url), { connectTimeoutMs: 300 })).toMatchObject({
            code: 'REDIS_TIMEOUT',
            exitCode: 10,
          })
        } finally {
          process.kill(stopped.pid, 'SIGCONT')
        }
      },
      { replyTimeoutMs: 300 },
    )
  })

  test('a write whose reply is lost fails at once and runs once, and the next command connects anew', async () => {
    const proxy = await cuttingProxy()
    await withClient(`redis://127.0.0.1:${proxy.port}`, async (redis) => {
      proxy.cut()
      const begin = performance.now()
      const error = await redis.incr('once').then(
        () => null,
        (thrown: unknown) => describeError(thrown, 'the proxy'),
      )
      expect(error).toMatchObject({ code: 'REDIS_UNREACHABLE', message: expect.stringContaining('unknown') })
      expect(performance.now() - begin).toBeLessThan(LIMITS.replyTimeoutMs)
      expect(await redis.get('once')).toBe('1')
    })
  })

  test('ioredis on its own runs that write twice', async () => {
    const proxy = await cuttingProxy()
    const naive = new Redis(proxy.port, '127.0.0.1')
    naive.on('error', () => {})
    try {
      await naive.ping()
      proxy.cut()
      expect(await naive.incr('twice')).toBe(2)
    } finally {
      naive.disconnect()
    }
  })

  test('a lost connection is opened again while the server is away for a moment; a dedicated one is not', async () => {
    const port = await freePort()
    const first = await startRedis({ port })
    cleanups.push(first.stop)
    const shared = await connect(target(first.url), LIMITS)
    const dedicated = await connect(target(first.url), { ...LIMITS, dedicated: true })
    cleanups.push(
      () => shared.disconnect(),
      () => dedicated.disconnect(),
    )
    const ended = new Promise((resolve) => dedicated.once('end', resolve))
    await first.stop()
    await ended
    const answer = shared.ping()
    const second = await startRedis({ port })
    cleanups.push(second.stop)
    expect(await answer).toBe('PONG')
    const error = await dedicated.ping().catch((thrown: unknown) => describeError(thrown, endpointOf(first.url)))
    expect(error).toMatchObject({ code: 'REDIS_UNREACHABLE' })
  })

  test('where the server stays away, the deadline of a connection ends it, with the reason', async () => {
    const gone = await startRedis({ port: 0 })
    cleanups.push(gone.stop)
    const redis = await connect(target(withUser(gone.url)), { ...LIMITS, connectTimeoutMs: 500 })
    cleanups.push(() => redis.disconnect())
    await gone.stop()
    const begin = performance.now()
    const error = await redis.ping().catch((thrown: unknown) => describeError(thrown, endpointOf(gone.url)))
    failures.push(error)
    expect(error).toMatchObject({ code: 'REDIS_UNREACHABLE', exitCode: 10 })
    expect(performance.now() - begin).toBeLessThan(LIMITS.replyTimeoutMs)
  })

  test.each([
    ['REDIS_AUTH', () => withUser(server.url, 'nobody')],
    ['REDIS_TLS', () => withUser(secure.url)],
    ['REDIS_UNREACHABLE', () => 'unix:/nowhere/redis.sock'],
    ['PONG', () => server.url],
  ])('a process that got %s ends by itself and prints nothing else', async (outcome, url) => {
    const program = fileURLToPath(new URL('../../fixtures/programs/connect-and-end.ts', import.meta.url))
    const env = { ...process.env, TARGET: url() }
    const { stdout, stderr } = await promisify(execFile)(process.execPath, ['--import', 'tsx', program], {
      env,
      timeout: 10_000,
    })
    expect(stdout).toBe(outcome)
    expect(stderr).toBe('')
  })
})

test('no failure of this file holds the password, wherever one looks', () => {
  expect(failures.length).toBeGreaterThan(20)
  for (const failure of failures) {
    const { message, stack, hint, cause } = failure as CachectlError
    const everything = [
      message,
      stack,
      hint,
      inspect(cause),
      inspect(failure, { depth: 12, showHidden: true }),
      JSON.stringify(failure),
    ]
    expect(everything.join('\n')).not.toContain(CANARY)
  }
})

async function connections(redis: TestRedis): Promise<number> {
  return Number(/total_connections_received:(\d+)/.exec(String(await redis.call('INFO', 'stats')))?.[1])
}

async function until(condition: () => Promise<boolean>): Promise<void> {
  const deadline = performance.now() + 10_000
  while (!(await condition())) if (performance.now() > deadline) throw new Error('it did not come to that')
}

/** What a server answers to PING, to a connection of its own. */
function rawReply(port: number): Promise<string> {
  return new Promise((resolve, reject) => {
    const socket = connectSocket(port, '127.0.0.1')
    socket.once('error', reject)
    socket.once('data', (chunk) => {
      socket.destroy()
      resolve(chunk.toString())
    })
    socket.write('PING\r\n')
  })
}

/** Passes everything on to `server`, until `cut`: then the next reply is held back and its connection closed, once. */
async function cuttingProxy(): Promise<{ port: number; cut(): void }> {
  let cutting = false
  const open = new Set<Socket>()
  const port = await listen(
    createServer((near) => {
      const far = connectSocket(server.port as number, '127.0.0.1')
      open.add(near).add(far)
      near.pipe(far)
      far.on('data', (chunk) => {
        if (!cutting) return near.write(chunk)
        cutting = false
        near.destroy()
        return far.destroy()
      })
      for (const socket of [near, far]) socket.on('error', () => {}).on('close', () => near.destroy())
    }),
  )
  cleanups.push(() => {
    for (const socket of open) socket.destroy()
  })
  return {
    port,
    cut() {
      cutting = true
    },
  }
}
