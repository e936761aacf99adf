import { existsSync } from 'node:fs'
import { chmod, chown, mkdir, mkdtemp, readdir, stat, symlink, writeFile } from 'node:fs/promises'
import { join } from 'node:path'
import { afterAll, beforeAll, describe, expect, test } from 'vitest'
import { findServer } from '../../../src/adapters/redis/find-server.ts'
import { createPrograms, type Programs, type RunOptions, until, withTemporaryFolder } from '../../programs.ts'

let programs: Programs

beforeAll(async () => {
  programs = await createPrograms()
})

afterAll(() => programs.remove())

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
    const folder = await mkdtemp(join(programs.folder, 'home-'))
    if (user !== undefined) await chown(folder, user, user)
    return folder
  }

  /** What a run said last: its server, fetched or found. */
  async function fetched(options: RunOptions): Promise<{ url?: unknown; notes: string[] }> {
    const program = await programs.run(body, { ...options, env: { PATH: programs.bin, ...options.env } })
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
    const killed = await programs.run(body, { env: { PATH: programs.bin, HOME }, group: true })
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
    const failure = await findServer({ env: { PATH: programs.bin, HOME, APT_CONFIG } }).catch((error: unknown) => error)
    expect(failure).toMatchObject({ code: 'REDIS_BINARY_MISSING', exitCode: 10 })
    if (debian) expect((failure as Error).message).toContain('127.0.0.1:9')
  })

  test('a folder that others may write is not trusted with a binary', async () => {
    const HOME = await home()
    const open = join(HOME, '.cache/cachectl')
    await mkdir(join(open, 'redis-server/usr/bin'), { recursive: true })
    await writeFile(join(open, 'redis-server/usr/bin/redis-server'), '#!/bin/sh\necho server v=0\n', { mode: 0o755 })
    const tools = await mkdtemp(join(programs.folder, 'tools-'))
    await symlink('/bin/sh', join(tools, 'sh'))
    const planted = { path: join(open, 'redis-server/usr/bin/redis-server') }
    await chmod(open, 0o700)
    expect(await findServer({ env: { PATH: tools, HOME } })).toMatchObject(planted)
    await chmod(open, 0o777)
    await withTemporaryFolder(join(programs.folder, 'other'), () =>
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
