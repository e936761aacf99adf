// `lock` from the command line: exit codes that scripts act on, a question, and nothing raw.
import { afterAll, beforeAll, beforeEach, describe, expect, it } from 'vitest'
import { RAW } from '../ops/fixture.ts'
import { startRedis, type TestRedis } from '../servers.ts'
import { createProject, type Project } from './spawned.ts'
import { cachectl } from './test-io.ts'

const CONFIG = `export default { prefix: 'shop', namespaces: { detail: { ttl: '1h' } } }`
const VALUE = JSON.stringify({ holder: 'web-1:4711', since: '2026-11-21T03:04:05.678Z', token: 'x' })

let redis: TestRedis
let project: Project
beforeAll(async () => {
  redis = await startRedis({ port: 0 })
  project = createProject({ 'cache.config.mjs': CONFIG })
})
afterAll(async () => {
  project.remove()
  await redis.stop()
})
beforeEach(() => redis.call('FLUSHALL'))

const run = (...argv: string[]) =>
  cachectl(argv, { cwd: project.folder, env: { CACHECTL_REDIS: redis.url, NO_COLOR: '1' } })

describe('lock show', () => {
  it('exits 0 for a lock that is held, 3 for one that is not', async () => {
    expect(await run('lock', 'show')).toEqual({ exitCode: 0, stdout: 'no lock is held\n', stderr: '' })
    expect(await run('lock', 'show', 'warm:a')).toEqual({ exitCode: 3, stdout: 'warm:a is not held\n', stderr: '' })
    await redis.call('SET', 'shop~lock:warm:a', VALUE, 'PX', 20_000)
    await redis.call('SET', 'shop~lock:\x1b[2J', '\u202e')
    const { exitCode, stdout } = await run('lock', 'show')
    expect(exitCode).toBe(0)
    expect(stdout).toMatch(/^lock +held by +since +for +lapses in\n/)
    expect(stdout).toMatch(/^\\x1B\[2J +unknown +unknown +- +never$/m)
    expect(stdout).toMatch(/^warm:a +web-1:4711 +2026-11-21T03:04:05Z +.* 20 s$/m)
    expect(RAW.exec(stdout)).toBeNull()
    expect((await run('lock', 'show', 'warm:a', '-q')).exitCode).toBe(0)
    expect(JSON.parse((await run('lock', 'show', 'warm:b', '--json')).stdout)).toMatchObject({
      command: 'lock show',
      locks: [],
    })
  })
})

describe('lock release', () => {
  it('says who holds it and what will become of that run; without a terminal it needs --yes', async () => {
    await redis.call('SET', 'shop~lock:warm:a', VALUE, 'PX', 20_000)
    const asked = await run('lock', 'release', 'warm:a')
    expect([asked.exitCode, asked.stdout]).toEqual([4, ''])
    expect(asked.stderr).toContain('warm:a is held by web-1:4711 since 2026-11-21T03:04:05Z')
    expect(asked.stderr).toContain('stops within seconds, with exit 5')
    expect(asked.stderr).toContain('next: to do it: cachectl lock release warm:a --yes')
    expect((await run('lock', 'release', 'warm:a', '-n')).stdout).toMatch(
      /lapses in 20 s .*\nDry run: nothing was changed/,
    )
    expect(await redis.call('EXISTS', 'shop~lock:warm:a')).toBe(1)
    const done = await run('lock', 'release', 'warm:a', '--yes')
    expect([done.exitCode, done.stdout]).toEqual([0, '✓ warm:a is released; it was held by web-1:4711\n'])
    expect(await redis.call('EXISTS', 'shop~lock:warm:a')).toBe(0)
    expect((await run('history')).stdout).toMatch(/lock release +done +warm:a, holder: web-1:4711 +1 released/)
  })

  it('what is not held needs no release, and what is no lock gets none', async () => {
    const absent = await run('lock', 'release', 'warm:a')
    expect([absent.exitCode, absent.stdout]).toEqual([
      0,
      'warm:a is not held: there is nothing to release. See what is: cachectl lock show\n',
    ])
    await redis.call('HSET', 'shop~lock:h', 'a', 'b')
    expect(await run('lock', 'release', 'h', '--yes')).toMatchObject({ exitCode: 2, stdout: '' })
    expect((await run('lock', 'release', '--yes')).exitCode).toBe(2)
    expect((await run('lock')).exitCode).toBe(2)
  })

  it('a user who may run no scripts is told what is missing', async () => {
    await redis.call('SET', 'shop~lock:warm:a', VALUE)
    await redis.call('ACL', 'SETUSER', 'limited', 'on', '>pw', '~*', '&*', '+@all', '-eval')
    const url = redis.url.replace('://', '://limited:pw@')
    const ended = await cachectl(['lock', 'release', 'warm:a', '-y'], {
      cwd: project.folder,
      env: { CACHECTL_REDIS: url, NO_COLOR: '1' },
    })
    expect(ended).toMatchObject({ exitCode: 11, stdout: '' })
    expect(ended.stderr).toMatch(/eval/i)
    expect(await redis.call('EXISTS', 'shop~lock:warm:a')).toBe(1)
  })
})
