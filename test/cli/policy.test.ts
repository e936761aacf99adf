// `policy check` and `policy apply` from the command line: exit codes, what is asked, what is shown.
import { afterAll, beforeAll, beforeEach, describe, expect, it } from 'vitest'
import { RAW } from '../ops/fixture.ts'
import { startRedis, type TestRedis } from '../servers.ts'
import { createProject, type Project } from './spawned.ts'
import { cachectl } from './test-io.ts'

let redis: TestRedis
let projects: Record<'shared' | 'alone' | 'silent' | 'production', Project>
const project = (more: string) => createProject({ 'cache.config.mjs': `export default { prefix: 'shop', ${more} }` })

beforeAll(async () => {
  redis = await startRedis({ port: 0 })
  projects = {
    shared: project("server: { maxmemory: '64mb', policy: 'volatile-lru' }"),
    alone: project("server: { maxmemory: '64mb', policy: 'allkeys-lru' }"),
    silent: project(''),
    production: project("server: { policy: 'volatile-lru' }, env: 'production'"),
  }
})
afterAll(async () => {
  for (const one of Object.values(projects)) one.remove()
  await redis.stop()
})
beforeEach(async () => {
  await redis.call('CONFIG', 'SET', 'maxmemory', 0)
  await redis.call('CONFIG', 'SET', 'maxmemory-policy', 'noeviction')
  await redis.call('FLUSHALL')
})

const run = (name: keyof typeof projects, ...argv: string[]) =>
  cachectl(argv, { cwd: projects[name].folder, env: { CACHECTL_REDIS: redis.url, NO_COLOR: '1' } })
const policy = async () => ((await redis.call('CONFIG', 'GET', 'maxmemory-policy')) as string[])[1]

describe('policy check', () => {
  it('drift is 6, in step is 0, and the next command is named', async () => {
    const drift = await run('shared', 'policy', 'check')
    expect(drift.exitCode).toBe(6)
    expect(drift.stdout).toMatch(/maxmemory-policy +volatile-lru +noeviction +differs/)
    expect(drift.stdout).toMatch(/maxmemory +64 MB +no limit +differs/)
    expect(drift.stdout).toContain('next: cachectl policy apply --dry-run')
    expect(await run('shared', 'policy', 'check', '-q')).toMatchObject({
      exitCode: 6,
      stdout: '',
      stderr: 'policy check: 2 settings differ\n',
    })
    expect(await run('shared', 'policy', 'apply', '--yes', '-q')).toMatchObject({ exitCode: 0, stdout: '', stderr: '' })
    expect(await run('shared', 'policy', 'check', '-q')).toMatchObject({ exitCode: 0, stdout: '', stderr: '' })
    expect(JSON.parse((await run('shared', 'policy', 'check', '--json')).stdout)).toMatchObject({
      command: 'policy check',
      ok: true,
      drift: 0,
    })
  })

  it('without `server` it says what to write', async () => {
    expect(await run('silent', 'policy', 'check')).toMatchObject({
      exitCode: 2,
      stderr: expect.stringContaining("server: { maxmemory: '0b', policy: 'noeviction', samples: 5 }"),
    })
    expect((await cachectl(['policy', 'check', '--redis', redis.url], { cwd: '/' })).exitCode).toBe(2)
  })
})

describe('policy apply', () => {
  it('a dry run shows the plan on stdout, and changes nothing', async () => {
    await redis.call('SET', 'bull:emails:1', 'x')
    const { exitCode, stdout, stderr } = await run('shared', 'policy', 'apply', '-n')
    expect([exitCode, stderr]).toEqual([0, ''])
    expect(stdout).toMatch(/maxmemory-policy +noeviction -> volatile-lru/)
    expect(stdout).toMatch(/BullMQ \(queue\) +1 +1 /)
    expect(stdout).toMatch(/- BullMQ \(queue\): none of its 1 key has a TTL, so none is evicted/)
    expect(stdout).toMatch(/Dry run: 2 settings are to be set; nothing was changed/)
    for (const line of stdout.split('\n')) expect(line.length, line).toBeLessThanOrEqual(80)
    expect(await policy()).toBe('noeviction')
  })

  it('is refused without a yes where nobody can be asked, and prints the command that passes', async () => {
    const refused = await run('shared', 'policy', 'apply')
    expect(refused.exitCode).toBe(4)
    expect(refused.stderr).toContain('cachectl policy apply --yes')
    expect(await policy()).toBe('noeviction')
    const done = await run('shared', 'policy', 'apply', '--yes')
    expect(done).toMatchObject({ exitCode: 0, stdout: expect.stringContaining('✓ 2 of 2 settings changed') })
    expect(await policy()).toBe('volatile-lru')
    expect((await run('shared', 'policy', 'apply')).stdout).toContain(
      'Nothing to do: the server is set as the config says',
    )
  })

  it('allkeys-* beside a queue needs the name, a yes is not enough; alone it does not', async () => {
    await redis.call('SET', 'bull:emails:1', 'x')
    const refused = await run('alone', 'policy', 'apply', '--yes')
    expect(refused.exitCode).toBe(4)
    expect(refused.stderr).toMatch(/keys of BullMQ may be evicted then, so shop must be named/)
    expect(refused.stderr).toMatch(/any of its 1 key may be evicted/)
    expect(refused.stderr).toContain('cachectl policy apply --yes --confirm=shop')
    expect(await policy()).toBe('noeviction')
    expect((await run('alone', 'policy', 'apply', '--yes', '--confirm', 'shop')).exitCode).toBe(0)
    expect(await policy()).toBe('allkeys-lru')
    await redis.call('CONFIG', 'SET', 'maxmemory-policy', 'noeviction')
    await redis.call('FLUSHALL')
    expect((await run('alone', 'policy', 'apply', '--yes')).exitCode).toBe(0)
  })

  it('production needs the name always', async () => {
    expect((await run('production', 'policy', 'apply', '--yes')).exitCode).toBe(4)
    expect((await run('production', 'policy', 'apply', '--confirm=shop')).exitCode).toBe(0)
  })

  it('--json: one document, also of a refusal; what hostile keys are called shows nowhere raw', async () => {
    await redis.call('SET', '\x1b[2Jbull', 'x')
    await redis.call('SET', 'bull:\x1b[2J', 'x')
    const done = await run('shared', 'policy', 'apply', '--yes', '--json')
    expect(JSON.parse(done.stdout)).toMatchObject({
      command: 'policy apply',
      ok: true,
      matched: 2,
      deleted: 2,
      journal: 'redis',
      masters: [
        {
          settings: [
            { setting: 'maxmemory-policy', from: 'noeviction', to: 'volatile-lru', outcome: 'done' },
            { to: 67108864 },
          ],
        },
      ],
    })
    for (const text of [done.stdout, done.stderr]) expect(text.replaceAll('\n', '')).not.toMatch(RAW)
    await redis.call('CONFIG', 'SET', 'maxmemory', 0)
    expect(JSON.parse((await run('shared', 'policy', 'apply', '--json')).stdout)).toMatchObject({
      ok: false,
      error: { code: 'REFUSED', exitCode: 4 },
    })
  })

  it('where CONFIG is refused it says what to do, and asks nothing', async () => {
    const own = await startRedis({ port: 0, args: ['--rename-command', 'CONFIG', ''] })
    const given = { cwd: projects.shared.folder, env: { CACHECTL_REDIS: own.url, NO_COLOR: '1' } }
    const { exitCode, stdout } = await cachectl(['policy', 'apply'], given)
    expect(exitCode).toBe(3)
    expect(stdout).toMatch(/This server refuses CONFIG[\s\S]*parameter group/)
    expect(stdout).toMatch(/0 of 2 settings changed.*2 failed/)
    const check = await cachectl(['policy', 'check'], given)
    expect(check).toMatchObject({ exitCode: 6, stdout: expect.stringMatching(/refuses CONFIG GET/) })
    await own.stop()
  })
})
