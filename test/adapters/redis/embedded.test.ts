import { existsSync } from 'node:fs'
import { readdir, rm, stat } from 'node:fs/promises'
import { connect as connectSocket } from 'node:net'
import { join } from 'node:path'
import { Redis } from 'ioredis'
import { afterAll, beforeAll, describe, expect, test } from 'vitest'
import { type EmbeddedOptions, type EmbeddedServer, startServer } from '../../../src/adapters/redis/embedded.ts'
import { createPrograms, type Programs, until, withTemporaryFolder } from '../../programs.ts'

let programs: Programs

beforeAll(async () => {
  programs = await createPrograms()
})

afterAll(() => programs.remove())

async function withServer<T>(
  use: (server: EmbeddedServer, redis: Redis) => Promise<T>,
  options: EmbeddedOptions = {},
): Promise<T> {
  const server = await startServer(options)
  const redis = new Redis({ path: join(server.dir, 'redis.sock') })
  redis.on('error', () => {})
  try {
    return await use(server, redis)
  } finally {
    redis.disconnect()
    await server.stop()
  }
}

function answers(dir: string): Promise<boolean> {
  return new Promise((resolve) => {
    const socket = connectSocket(join(dir, 'redis.sock'))
    const done = (result: boolean) => {
      socket.destroy()
      resolve(result)
    }
    socket.once('error', () => done(false))
    socket.once('close', () => done(false))
    socket.once('data', (chunk) => done(chunk.toString().startsWith('+PONG')))
    socket.write('PING\r\n')
  })
}

const alive = (pid: number): boolean => {
  try {
    return process.kill(pid, 0)
  } catch {
    return false
  }
}

describe('a private server', () => {
  test('listens on a unix socket of its own folder only, keeps nothing, and is gone when it is stopped', async () => {
    const server = await withServer(async (running, redis) => {
      const config = async (name: string) => ((await redis.config('GET', name)) as string[])[1]
      expect([await config('port'), await config('save'), await config('appendonly')]).toEqual(['0', '', 'no'])
      expect(running.url).toBe(`unix:${join(running.dir, 'redis.sock')}`)
      expect((await stat(running.dir)).mode & 0o777).toBe(0o700)
      expect(/process_id:(\d+)/.exec(await redis.info('server'))?.[1]).toBe(String(running.pid))
      await redis.set('k', 'v')
      expect(await readdir(running.dir)).toEqual(['redis.sock'])
      return running
    })
    await server.stop()
    expect(existsSync(server.dir)).toBe(false)
    expect(alive(server.pid)).toBe(false)
  })

  test('its socket has a short path, wherever the temporary folder is', async () => {
    await withTemporaryFolder(join(programs.folder, 'x'.repeat(60), 'y'.repeat(60)), () =>
      withServer(async ({ dir }, redis) => {
        expect(Buffer.byteLength(join(dir, 'redis.sock'))).toBeLessThan(100)
        expect(await redis.ping()).toBe('PONG')
      }),
    )
  })

  test('says why it did not start', async () => {
    await expect(startServer({ args: ['--no-such-setting', '1'] })).rejects.toMatchObject({
      code: 'REDIS_UNREACHABLE',
      message: expect.stringMatching(/did not start.*no-such-setting/s),
    })
  })

  test('leaves nothing when whoever wants it changes their mind', async () => {
    const folder = join(programs.folder, 'own')
    await withTemporaryFolder(folder, async () => {
      await expect(startServer({ signal: AbortSignal.abort(new Error('no more')) })).rejects.toThrow('no more')
      expect(await readdir(folder)).toEqual([])
    })
  })

  test('ends within seconds of its owner, also when that is killed', async () => {
    const owner = await programs.run('say(await startServer()); setInterval(() => {}, 1000)')
    const [server] = await owner.answers()
    if (!server) throw new Error('no server')
    expect(await answers(server.dir)).toBe(true)
    owner.child.kill('SIGKILL')
    await until(() => !alive(server.pid) && !existsSync(server.dir))
  })

  test('does not keep an owner waiting that forgets it', async () => {
    const owner = await programs.run('say(await startServer())')
    const [server] = await owner.answers()
    expect(await owner.ended).toEqual([0, null])
    await until(() => !alive(server?.pid ?? 0) && !existsSync(server?.dir ?? ''))
  })

  test('outlasts a Ctrl-C that its owner handles', async () => {
    const body = `
      const server = await startServer()
      process.once('SIGINT', () => say('interrupted'))
      say(server)
      setInterval(() => {}, 1000)`
    const owner = await programs.run(body, { group: true })
    const [server] = await owner.answers()
    // As a terminal does it: to the whole process group.
    process.kill(-(owner.child.pid as number), 'SIGINT')
    await until(async () => (await owner.answers()).length === 2)
    expect(await answers(server?.dir ?? '')).toBe(true)
    owner.child.kill('SIGKILL')
    await until(() => !alive(server?.pid ?? 0))
  })

  test('outlives its owner where that is asked for, and ends by its process id', async () => {
    const owner = await programs.run('say(await startServer({ detach: true }))')
    const [server] = await owner.answers()
    if (!server) throw new Error('no server')
    try {
      expect(await owner.ended).toEqual([0, null])
      expect(await answers(server.dir)).toBe(true)
    } finally {
      process.kill(server.pid)
    }
    await until(async () => !(await answers(server.dir)))
    await rm(server.dir, { recursive: true, force: true })
  })
})
