import { spawn } from 'node:child_process'
import { once } from 'node:events'
import { existsSync } from 'node:fs'
import { chmod, chown, mkdir, mkdtemp, readdir, readFile, rm, stat, symlink, writeFile } from 'node:fs/promises'
import { connect as connectSocket } from 'node:net'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { fileURLToPath } from 'node:url'
import { Redis } from 'ioredis'
import ts from 'typescript'
import { afterAll, beforeAll, describe, expect, test } from 'vitest'
import { type EmbeddedOptions, type EmbeddedServer, startServer } from '../../../src/adapters/redis/embedded.ts'
import { findServer } from '../../../src/adapters/redis/find-server.ts'

/** Programs run from here, as plain JavaScript: another user than ours may have no way into the project's folder. */
let programs: string
/** the only folder on the PATH of those programs: everything of this machine but its Redis servers */
let bin: string

beforeAll(async () => {
  programs = await mkdtemp(join(tmpdir(), 'programs-'))
  await chmod(programs, 0o755)
  await compile('core', 'adapters/redis')
  bin = join(programs, 'bin')
  await mkdir(bin)
  for (const folder of ['/usr/local/bin', '/usr/bin', '/bin', '/usr/sbin', '/sbin']) {
    for (const name of await readdir(folder).catch(() => [])) {
      if (!/^(redis|valkey)/.test(name)) await symlink(join(folder, name), join(bin, name)).catch(() => {})
    }
  }
})

afterAll(() => rm(programs, { recursive: true, force: true }))

async function compile(...folders: readonly string[]): Promise<void> {
  await writeFile(join(programs, 'package.json'), '{"type":"module"}')
  const compilerOptions = {
    module: ts.ModuleKind.ESNext,
    target: ts.ScriptTarget.ES2023,
    rewriteRelativeImportExtensions: true,
  }
  for (const folder of folders) {
    const from = fileURLToPath(new URL(`../../../src/${folder}/`, import.meta.url))
    await mkdir(join(programs, folder), { recursive: true })
    for (const name of await readdir(from)) {
      if (!name.endsWith('.ts')) continue
      const { outputText } = ts.transpileModule(await readFile(join(from, name), 'utf8'), { compilerOptions })
      await writeFile(join(programs, folder, name.replace(/\.ts$/, '.js')), outputText)
    }
  }
}

interface RunOptions {
  env?: Record<string, string>
  user?: number
  group?: boolean
}

/** Runs `body` in a process of its own, with `startServer` and `say` in scope; resolves when it has said something, or has ended. */
async function run(body: string, { env = {}, user, group = false }: RunOptions = {}) {
  const file = join(programs, `${Math.random().toString(36).slice(2)}.js`)
  const head = `import { startServer } from './adapters/redis/embedded.js'\nconst say = (what) => process.stdout.write(JSON.stringify(what) + '\\n')\n`
  await writeFile(file, head + body)
  const ids = user === undefined ? {} : { uid: user, gid: user }
  const child = spawn(process.execPath, [file], {
    cwd: '/',
    env: { PATH: process.env.PATH ?? '', ...env },
    detached: group,
    ...ids,
  })
  let stdout = ''
  let stderr = ''
  child.stderr.on('data', (chunk) => {
    stderr += chunk
  })
  const ended = once(child, 'close')
  const said = new Promise<void>((resolve) => {
    child.stdout.on('data', (chunk) => {
      stdout += chunk
      if (stdout.includes('\n')) resolve()
    })
  })
  return {
    child,
    ended,
    /** the lines said so far, once there is one */
    async answers(): Promise<{ url: string; pid: number; dir: string; [name: string]: unknown }[]> {
      await Promise.race([said, ended])
      if (!stdout.includes('\n')) throw new Error(`it said nothing: ${stderr}`)
      return stdout
        .trim()
        .split('\n')
        .map((line) => JSON.parse(line))
    },
    stderr: () => stderr,
  }
}

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

async function until(condition: () => boolean | Promise<boolean>, withinMs = 5_000): Promise<void> {
  const deadline = performance.now() + withinMs
  while (!(await condition())) {
    if (performance.now() > deadline) throw new Error(`it did not come to that within ${withinMs} ms`)
    await new Promise(setImmediate)
  }
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
    await withTemporaryFolder(join('x'.repeat(60), 'y'.repeat(60)), () =>
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
    await withTemporaryFolder('own', async (folder) => {
      await expect(startServer({ signal: AbortSignal.abort(new Error('no more')) })).rejects.toThrow('no more')
      expect(await readdir(folder)).toEqual([])
    })
  })

  test('ends within seconds of its owner, also when that is killed', async () => {
    const owner = await run('say(await startServer()); setInterval(() => {}, 1000)')
    const [server] = await owner.answers()
    if (!server) throw new Error('no server')
    expect(await answers(server.dir)).toBe(true)
    owner.child.kill('SIGKILL')
    await until(() => !alive(server.pid) && !existsSync(server.dir))
  })

  test('does not keep an owner waiting that forgets it', async () => {
    const owner = await run('say(await startServer())')
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
    const owner = await run(body, { group: true })
    const [server] = await owner.answers()
    // As a terminal does it: to the whole process group.
    process.kill(-(owner.child.pid as number), 'SIGINT')
    await until(async () => (await owner.answers()).length === 2)
    expect(await answers(server?.dir ?? '')).toBe(true)
    owner.child.kill('SIGKILL')
    await until(() => !alive(server?.pid ?? 0))
  })

  test('outlives its owner where that is asked for, and ends by its process id', async () => {
    const owner = await run('say(await startServer({ detach: true }))')
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

async function withTemporaryFolder<T>(path: string, use: (folder: string) => Promise<T>): Promise<T> {
  const before = process.env.TMPDIR
  const folder = join(programs, path)
  await mkdir(folder, { recursive: true })
  process.env.TMPDIR = folder
  try {
    return await use(folder)
  } finally {
    if (before === undefined) delete process.env.TMPDIR
    else process.env.TMPDIR = before
  }
}

describe('where no server is on the PATH', () => {
  const NOBODY = 65_534
  const debian = existsSync('/etc/debian_version')
  const root = process.getuid?.() === 0
  /** Starts a server, proves that it runs, and stops it. */
  const body = `
    const server = await startServer({ onNote: (note) => say({ note }) })
    say(server)
    await server.stop()`

  async function home(user?: number): Promise<string> {
    const folder = await mkdtemp(join(programs, 'home-'))
    if (user !== undefined) await chown(folder, user, user)
    return folder
  }

  /** What a run said last: its server, fetched or found. */
  async function fetched(options: RunOptions): Promise<{ url?: unknown; notes: string[] }> {
    const program = await run(body, { ...options, env: { PATH: bin, ...options.env } })
    const [code] = await program.ended
    if (code !== 0) throw new Error(program.stderr())
    const lines = await program.answers()
    return { url: lines.at(-1)?.url, notes: lines.flatMap(({ note }) => (typeof note === 'string' ? [note] : [])) }
  }

  test.runIf(debian)('one is fetched with apt, once, and the system is left as it was', async () => {
    const HOME = await home()
    const before = await stat('/var/lib/dpkg/status')
    const first = await fetched({ env: { HOME } })
    expect(first).toMatchObject({
      url: expect.stringMatching(/^unix:/),
      notes: [expect.stringContaining('with apt, once')],
    })
    expect(await fetched({ env: { HOME } })).toMatchObject({ url: expect.stringMatching(/^unix:/), notes: [] })
    expect(await readdir(join(HOME, '.cache/cachectl'))).toEqual(['redis-server'])
    expect((await stat('/var/lib/dpkg/status')).mtimeMs).toBe(before.mtimeMs)
  })

  test.runIf(debian)('as an ordinary user, without package lists', async () => {
    const user = root ? { user: NOBODY } : {}
    const HOME = await home(user.user)
    const APT_CONFIG = join(HOME, 'apt.conf')
    await mkdir(join(HOME, 'lists'))
    await writeFile(APT_CONFIG, `Dir::State::lists "${join(HOME, 'lists')}";`)
    const first = await fetched({ env: { HOME, APT_CONFIG }, ...user })
    expect(first).toMatchObject({
      url: expect.stringMatching(/^unix:/),
      notes: [expect.any(String), expect.stringContaining('lists')],
    })
  })

  test.runIf(debian)('two runs at once, after one that was killed on the way', async () => {
    const HOME = await home()
    const cache = join(HOME, '.cache/cachectl')
    const killed = await run(body, { env: { PATH: bin, HOME }, group: true })
    await until(async () => (await readdir(cache).catch(() => [])).some((name) => name.startsWith('fetch-')), 20_000)
    process.kill(-(killed.child.pid as number), 'SIGKILL')
    await killed.ended
    expect(existsSync(join(cache, 'redis-server'))).toBe(false)
    const both = await Promise.all([fetched({ env: { HOME } }), fetched({ env: { HOME } })])
    expect(both).toMatchObject([{ url: expect.stringMatching(/^unix:/) }, { url: expect.stringMatching(/^unix:/) }])
    expect((await readdir(cache)).filter((name) => !name.startsWith('fetch-'))).toEqual(['redis-server'])
  })

  test('without anything to fetch one with, it says what to type', async () => {
    const empty = await home()
    const failure = await findServer({ env: { PATH: empty, HOME: empty } }).catch((error: unknown) => error)
    expect(failure).toMatchObject({
      code: 'REDIS_BINARY_MISSING',
      exitCode: 10,
      hint: expect.stringContaining('apt-get install'),
    })
    expect((failure as { hint: string }).hint).toContain('REDIS_URL')
  })

  test('where nothing can be downloaded, it says so', async () => {
    const HOME = await home()
    const APT_CONFIG = join(HOME, 'apt.conf')
    const lists = `Dir::State::lists "${join(HOME, 'lists')}";`
    await writeFile(
      APT_CONFIG,
      `${lists} Acquire::http::Proxy "http://127.0.0.1:9"; Acquire::https::Proxy "http://127.0.0.1:9"; Acquire::Retries "0";`,
    )
    const failure = await findServer({ env: { PATH: bin, HOME, APT_CONFIG } }).catch((error: unknown) => error)
    expect(failure).toMatchObject({ code: 'REDIS_BINARY_MISSING', exitCode: 10 })
    if (debian) expect((failure as Error).message).toContain('127.0.0.1:9')
  })

  test('a folder that others may write is not trusted with a binary', async () => {
    const HOME = await home()
    const open = join(HOME, '.cache/cachectl')
    await mkdir(join(open, 'redis-server/usr/bin'), { recursive: true })
    await writeFile(join(open, 'redis-server/usr/bin/redis-server'), '#!/bin/sh\necho server v=0\n', { mode: 0o755 })
    const tools = await mkdtemp(join(programs, 'tools-'))
    await symlink('/bin/sh', join(tools, 'sh'))
    const planted = { path: join(open, 'redis-server/usr/bin/redis-server') }
    await chmod(open, 0o700)
    expect(await findServer({ env: { PATH: tools, HOME } })).toMatchObject(planted)
    await chmod(open, 0o777)
    await withTemporaryFolder('other', () =>
      expect(findServer({ env: { PATH: tools, HOME } })).rejects.toMatchObject({ code: 'REDIS_BINARY_MISSING' }),
    )
  })

  test('CACHECTL_REDIS_SERVER names one, and must work', async () => {
    const { path } = await findServer()
    expect(await findServer({ env: { PATH: '', CACHECTL_REDIS_SERVER: path } })).toEqual({ path, env: {} })
    await expect(findServer({ env: { PATH: '', CACHECTL_REDIS_SERVER: '/bin/true' } })).rejects.toMatchObject({
      code: 'REDIS_BINARY_MISSING',
    })
  })
})
