// `version` from the command line: what it says, what it refuses, its exit codes, and what is true when it is stopped.
import { afterAll, beforeAll, beforeEach, describe, expect, it } from 'vitest'
import { run as runProgram } from '../../src/cli/program.ts'
import { type Account, emptyAccount, isBalanced } from '../../src/core/account.ts'
import { RAW } from '../ops/fixture.ts'
import type { TestRedis } from '../servers.ts'
import { openProjects, type Projects } from './in-folder.ts'
import { createProject, type Project, until } from './spawned.ts'
import { cachectl, testIo } from './test-io.ts'

const config = (more = '') => `export default {
  prefix: 'shop', version: 2, tenant: { label: 'org' }, ${more}
  namespaces: { list: { ttl: '5m' }, detail: { ttl: '1h' } },
  models: { product: { source: null, namespace: 'detail', tenant: false }, order: { source: null, namespace: 'detail', tenant: true } },
}`

let open: Projects
let redis: TestRedis
let production: Project
beforeAll(async () => {
  open = await openProjects(config)
  ;({ redis, production } = open)
})
afterAll(() => open.close())
beforeEach(() => redis.call('FLUSHALL'))

const run = (argv: readonly string[], more: Parameters<typeof cachectl>[1] = {}) =>
  cachectl(['version', ...argv], open.given(more))
const json = async (argv: readonly string[], more: Parameters<typeof cachectl>[1] = {}) => {
  const ended = await run([...argv, '--json'], more)
  return { ...ended, report: JSON.parse(ended.stdout) }
}
const token = (field: string) => redis.call('HGET', 'shop~generations', field)
const account = (report: Account) =>
  Object.fromEntries(
    Object.keys(emptyAccount()).map((field) => [field, report[field as keyof Account]]),
  ) as unknown as Account

async function fill(count: number, start = 'shop:v2:list:x:'): Promise<void> {
  for (let from = 0; from < count; from += 5_000) {
    const some = Array.from({ length: Math.min(5_000, count - from) }, (_, i) => [`${start}${from + i}`, 'x'])
    await redis.call('MSET', ...some.flat())
  }
}

describe('version', () => {
  it('alone shows', async () => {
    await fill(3)
    const { exitCode, stdout, stderr } = await run([])
    expect([exitCode, stderr]).toEqual([0, ''])
    expect(stdout).toMatch(/prefix shop\n\nscope +version +gen\..*\nglobal +v2 +0 +- .* 3 /)
    expect((await run(['show'])).stdout.replace(/\d+ m?s/g, '')).toBe(stdout.replace(/\d+ m?s/g, ''))
  })

  it('help begins with three examples', async () => {
    for (const argv of [[], ['show'], ['bump'], ['prune']])
      expect((await run([...argv, '--help'])).stdout).toMatch(/^Examples:\n( {2}cachectl version.*\n){3}/)
    expect((await cachectl(['--version'], open.given())).stdout).toMatch(/^\d+\.\d+\.\d+\n$/)
  })

  it('has its fields in JSON', async () => {
    await fill(2)
    await run(['bump', 'namespace:list', '--yes'])
    const { report } = await json([])
    expect(report).toMatchObject({ command: 'version', ok: true, complete: true, dryRun: false, prefix: 'shop' })
    expect(report.scopes[1]).toMatchObject({
      scope: 'namespace:list',
      version: null,
      generation: 1,
      token: await token('namespace:list'),
      since: expect.stringMatching(/Z$/),
      by: expect.stringMatching(/@.*:\d+$/),
      keys: 0,
      bytes: 0,
      previous: [
        { generation: 0, token: null, since: null, keys: 2, bytes: expect.any(Number), noTtlKeys: 2, drainedAt: null },
      ],
    })
  })

  it('shows nothing raw, within 80 columns', async () => {
    await redis.call(
      'HSET',
      'shop~generations',
      'tenant:\u202eevil',
      'tok',
      'global',
      'g\u001b[31m',
      'code:1',
      '\u001b[31mlong ago',
    )
    await redis.call('HSET', 'shop~bumps:{shop~generations}', 'tenant:x', 'op tok - 1 1700000000000 \u001b[2J')
    await redis.call('MSET', 'shop:v1:list:x:1', 'x', 'shop:v2~a:list:x:\u001b', 'x', 'shop:v2~a:list:x:1', 'x')
    for (let i = 0; i < 60; i++)
      await redis.call('HSET', 'shop~generations', `tenant:a-rather-long-name-${i}`, `aaaaaaaaaaaaa${i}`)
    for (const argv of [[], ['show', 'tenant:\u202eevil'], ['--json']]) {
      const { stdout, exitCode } = await run(argv, { stdoutIsTty: true })
      expect(exitCode).toBe(0)
      expect(stdout).not.toMatch(RAW)
      if (argv.length === 0) expect(stdout).toContain('more: --json has all')
      if (!argv.includes('--json')) for (const line of stdout.split('\n')) expect(line.length).toBeLessThanOrEqual(80)
    }
  })

  it.each([
    [['bump'], 'name one of global, namespace:<name>, model:<name>, subject:<name> or tenant:<id>'],
    [['bump', 'all'], 'write `global`'],
    [['bump', 'product:42'], "cachectl invalidate 'product:42'"],
    [['bump', 'order'], '--org <id>, or say --all-tenants'],
    [['show', 'pattern:*'], 'generations are of'],
    [['prune', 'key:x'], 'generations are of'],
    [['prune', '--wait', '5'], 'has no unit'],
  ])('%j is exit 2', async (argv, text) => {
    const { exitCode, stderr } = await run(argv)
    expect(exitCode).toBe(2)
    expect(stderr).toContain(text)
  })

  it('needs a config', async () => {
    const bare = createProject({})
    const { exitCode, stderr } = await run([], { cwd: bare.folder })
    bare.remove()
    expect(exitCode).toBe(2)
    expect(stderr).toContain('there is no cache.config.* here or above')
  })
})

describe('version bump', () => {
  it('without a terminal is refused without --yes, and names the command that would pass', async () => {
    await fill(3)
    const { exitCode, stderr, stdout } = await run(['bump', 'namespace:list'])
    expect([exitCode, stdout]).toEqual([4, ''])
    expect(stderr).toContain('cachectl version bump namespace:list --yes')
    expect(await token('namespace:list')).toBeNull()
  })

  it('global and production need the prefix', async () => {
    await fill(3)
    expect((await run(['bump', 'global', '--yes'])).stderr).toContain('--confirm=shop')
    expect((await run(['bump', 'global', '--confirm=other'])).exitCode).toBe(4)
    expect(await token('global')).toBeNull()
    expect((await run(['bump', 'global', '--confirm=shop'])).exitCode).toBe(0)
    expect((await run(['bump', 'namespace:list', '--yes'], { cwd: production.folder })).exitCode).toBe(4)
  })

  it('of more than half of the database needs to hear so', async () => {
    await fill(300)
    const { exitCode, stderr } = await run(['bump', 'namespace:list', '--yes'])
    expect(exitCode).toBe(4)
    expect(stderr).toContain('--max-percent=')
    expect((await run(['bump', 'namespace:list', '--yes', '--max-percent=100'])).exitCode).toBe(0)
  })

  it('says what was, what is, and who has heard', async () => {
    await fill(3)
    const { stdout, stderr } = await run(['bump', 'product', '--yes'])
    expect(stderr).toContain('model:product: a new generation')
    expect(stdout).toContain(`model:product: none → ${await token('subject:product')}`)
    expect(stdout).toMatch(/✓ product bumped in/)
    const { report } = await json(['bump', 'namespace:list', '--yes'])
    expect(report).toMatchObject({ command: 'version bump', ok: true, applied: true, outdated: 3, journal: 'redis' })
    expect(isBalanced(account(report))).toBe(true)
  })

  it('quiet says nothing', async () => {
    expect(await run(['bump', 'namespace:list', '--yes', '-q'])).toEqual({ exitCode: 0, stdout: '', stderr: '' })
    const refused = await run(['bump', 'namespace:list', '-q'])
    expect(refused.stderr.trimEnd().split('\n')).toHaveLength(1)
  })

  it('stands in the journal', async () => {
    await run(['bump', 'namespace:list', '--yes'])
    const { stdout } = await cachectl(['history', '--json'], open.given())
    expect(JSON.parse(stdout).entries[0]).toMatchObject({
      verb: 'version bump',
      what: ['namespace:list'],
      ok: true,
      exitCode: 0,
    })
  })

  it('is exit 10 where Redis is away, 11 where it may not', async () => {
    const env = { ...open.given().env, CACHECTL_REDIS: 'redis://127.0.0.1:1' }
    expect((await run(['bump', 'namespace:list', '--yes'], { env })).exitCode).toBe(10)
    await redis.call(
      'ACL',
      'SETUSER',
      'reader',
      'on',
      '>x',
      '~*',
      '+@read',
      '+ping',
      '+info',
      '+dbsize',
      '+time',
      '+scan',
    )
    const url = redis.url.replace('redis://', 'redis://reader:x@')
    const { exitCode, stderr } = await run(['bump', 'namespace:list', '--yes'], {
      env: { ...env, CACHECTL_REDIS: url },
    })
    expect([exitCode, stderr.includes('eval')]).toEqual([11, true])
    expect(await token('namespace:list')).toBeNull()
  })
})

describe('version prune', () => {
  const dead = async (count: number) => {
    await fill(count)
    await fill(20, 'shop:v2:detail:x:')
    await redis.call('HSET', 'shop~generations', 'incarnation', 'x', 'namespace:list', 'tok')
  }

  it('shows, asks, deletes, and says what it did', async () => {
    await dead(10)
    expect((await run(['prune'])).exitCode).toBe(4)
    const dry = await run(['prune', '-n'])
    expect(dry.stdout).toContain('10 keys')
    expect(dry.stdout).toContain('Dry run: nothing was changed.')
    const { stdout, exitCode } = await run(['prune', '--yes'])
    expect(exitCode).toBe(0)
    expect(stdout).toMatch(/^10 dead keys: 10 deleted, about .*\n✓ pruned in .*\n$/)
    expect((await run(['prune', '--yes', '-q'])).stdout).toBe('')
    expect((await redis.call('KEYS', 'shop:*')) as string[]).toHaveLength(20)
  })

  it('has its fields in JSON', async () => {
    await dead(10)
    const { report } = await json(['prune', '--yes'])
    const fields =
      'targets applied matched deleted outdated alreadyGone protected failed unknown remaining bytes acknowledged journal'
    for (const field of fields.split(' ')) expect(report).toHaveProperty(field)
    expect(isBalanced(account(report))).toBe(true)
  })

  it('that is interrupted tells what it did, and goes on when it is repeated', async () => {
    await dead(4_000)
    const test = testIo(open.given())
    const running = runProgram(['version', 'prune', '--yes', '--max-percent=100', '--rate=2000', '--json'], test.io)
    await until(async () => ((await redis.call('DBSIZE')) as number) < 3_500)
    test.signal('SIGINT')
    expect(await running).toBe(130)
    const report = JSON.parse(test.stdout())
    expect(isBalanced(account(report))).toBe(true)
    expect(report).toMatchObject({ ok: false, complete: false, stopped: { code: 'INTERRUPTED' } })
    const left = ((await redis.call('KEYS', 'shop:v2:list:*')) as string[]).length
    expect(report.deleted).toBe(4_000 - left)
    const { stdout } = await cachectl(['history', '--json'], open.given())
    expect(JSON.parse(stdout).entries[0]).toMatchObject({
      verb: 'version prune',
      exitCode: 130,
      counts: { deleted: report.deleted },
    })
    expect((await json(['prune', '--yes', '--max-percent=100'])).report).toMatchObject({ ok: true, deleted: left })
  })

  it('works on a full server', async () => {
    await dead(10)
    await redis.call('CONFIG', 'SET', 'maxmemory', '1')
    try {
      expect((await json(['prune', '--yes'])).report).toMatchObject({ ok: true, deleted: 10, journal: 'local' })
    } finally {
      await redis.call('CONFIG', 'SET', 'maxmemory', '0')
    }
  })

  it('asks processes of older versions, and says what came of it', async () => {
    await dead(1)
    await redis.call('HSET', 'shop~generations', 'code:1', '2026-01-01T00:00:00Z')
    await fill(5, 'shop:v1:list:x:')
    const { stdout, stderr } = await run(['prune', '--yes', '--wait', '300ms'])
    expect(stderr).toContain('but perhaps those of v1: before they are touched, its processes are asked for')
    expect(stderr).toContain('asked whether processes of v1 live')
    expect(stdout).toContain('6 deleted')
    expect(stdout).toContain('v1: no process of it has answered; a later run takes it off the list of versions')
  })
})
