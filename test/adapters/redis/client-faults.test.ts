import { execFile } from 'node:child_process'
import { type AddressInfo, connect as connectSocket, createServer, type Server, type Socket } from 'node:net'
import { fileURLToPath } from 'node:url'
import { promisify } from 'node:util'
import { Redis } from 'ioredis'
import { afterAll, beforeAll, describe, expect, test } from 'vitest'
import { connect } from '../../../src/adapters/redis/client.ts'
import { describeError } from '../../../src/adapters/redis/errors.ts'
import { endpointOf } from '../../../src/adapters/redis/server-url.ts'
import { freePort, startRedis, type TestRedis } from '../../servers.ts'
import { attempt, expectNoSecrets, failures, LIMITS, target, until, withClient, withUser } from './attempts.ts'

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
  expect(failures.length).toBeGreaterThan(3)
  expectNoSecrets()
})

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
