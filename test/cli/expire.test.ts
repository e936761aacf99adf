// `expire` from the command line: what it says before and behind, what it refuses, and what is true when it is stopped.
import { tmpdir } from 'node:os'
import { afterAll, beforeAll, beforeEach, describe, expect, it } from 'vitest'
import { run as runProgram } from '../../src/cli/program.ts'
import { randomFromSeed, seed } from '../seed.ts'
import type { TestRedis } from '../servers.ts'
import { openProjects, type Projects } from './in-folder.ts'
import { type Project, until } from './spawned.ts'
import { cachectl, testIo } from './test-io.ts'

const config = (more = '') => `export default {
  prefix: 'shop', tenant: { label: 'org' }, protect: ['shop:v1:list:kept:*'], ${more}
  namespaces: { list: { ttl: '5m', jitter: 0 }, detail: { ttl: '1h', grace: '5m', jitter: 0 } },
  models: { product: { source: null, namespace: 'detail', tenant: false }, order: { source: null, namespace: 'detail', tenant: true } },
}`

const HOUR = 3_600_000

let open: Projects
let redis: TestRedis
let production: Project
beforeAll(async () => {
  open = await openProjects(config)
  ;({ redis, production } = open)
})
afterAll(() => open.close())
beforeEach(() => redis.call('FLUSHALL'))

const run = (argv: readonly string[], more: Parameters<typeof cachectl>[1] = {}) => cachectl(argv, open.given(more))
const json = async (argv: readonly string[]) => {
  const ended = await run([...argv, '--json'])
  return { ...ended, report: JSON.parse(ended.stdout) }
}

async function fill(count: number, start = 'shop:v1:list:product:'): Promise<void> {
  for (let from = 0; from < count; from += 5_000) {
    const some = Array.from({ length: Math.min(5_000, count - from) }, (_, i) => [`${start}${from + i}`, 'x'])
    await redis.call('MSET', ...some.flat())
  }
}

async function withTtl(): Promise<number> {
  const info = String(await redis.call('INFO', 'keyspace'))
  return Number(/expires=(\d+)/.exec(info)?.[1] ?? 0)
}

describe('expire', () => {
  it('says what will be, asks, and without a terminal refuses with the command that would pass', async () => {
    await fill(2_000)
    await fill(3, 'shop:v1:list:kept:')
    const { exitCode, stdout, stderr } = await run(['expire', 'namespace:list', '--missing-only', '--ttl', '24h'])
    expect([exitCode, stdout]).toEqual([4, ''])
    expect(stderr).toMatch(/^127\.0\.0\.1:\d+\/0 primary, .*\n2,000 keys, /)
    expect(stderr).toContain('3 more match and are protected: they stay')
    expect(stderr).toContain('They have no TTL, and will end in 1 d.')
    expect(stderr).toContain('all of them will end in the same moment: --jitter 10% or --over 5m')
    expect(stderr).toContain('next: to do it: cachectl expire namespace:list --missing-only --ttl 24h --yes')
    expect(await withTtl()).toBe(0)
    const done = await run(['expire', 'namespace:list', '--missing-only', '--ttl', '24h', '--jitter', '10%', '--yes'])
    expect(done.exitCode).toBe(0)
    expect(done.stdout).toMatch(
      /^2,003 keys matched: 2,000 changed, 3 protected\n✓ namespace:list: they end in 21h 36m to 1 d \(took .*\)\n$/,
    )
    expect(await withTtl()).toBe(2_000)
    const again = await run(['expire', 'namespace:list', '--missing-only', '--ttl', '24h', '--yes'])
    expect(again.stdout).toContain('namespace:list: nothing had to be changed')
  })

  it('a dry run is the plan, and --json the same as one document', async () => {
    await fill(10)
    const plan = await run(['expire', 'all', '--over', '30m', '--dry-run'])
    expect(plan.exitCode).toBe(0)
    expect(plan.stdout).toContain('They will end at random within 30 m; none lives longer than it would.')
    expect(plan.stdout).toMatch(/Dry run: nothing was changed\.\n$/)
    const { report, exitCode } = await json(['expire', 'all', '--from-config', '-n'])
    expect(exitCode).toBe(0)
    expect(report).toMatchObject({ command: 'expire', dryRun: true, matched: 10, remaining: 10, changed: 0, ttl: null })
    expect(await withTtl()).toBe(0)
    const done = await json(['expire', 'all', '--from-config', '-y'])
    expect(done.report).toMatchObject({
      ok: true,
      dryRun: false,
      changed: 10,
      journal: 'redis',
      exitCode: 0,
      bytes: null,
    })
    expect((await run(['history'])).stdout).toMatch(/expire +done +all, TTL of the config +10 changed/)
  })

  it('-q says nothing, and where nothing matches it names what there is', async () => {
    await fill(10)
    expect(await run(['expire', 'all', '--ttl', '1h', '-y', '-q'])).toEqual({ exitCode: 0, stdout: '', stderr: '' })
    const none = await run(['expire', 'pattern:shop:v1:lst:*', '--ttl', '1h', '-n'])
    expect(none.stdout).toContain('Nothing matches pattern:shop:v1:lst:*.\n  here are: list:product:* (10)')
    const all = await run(['expire', 'all', '--ttl', '1h', '--missing-only', '-n'])
    expect(all.stdout).toContain('all: all of about 10 keys have a TTL already.')
  })

  it.each<[string, string, RegExp]>([
    ['no target', 'expire --ttl 1h', /no target is named/],
    ['no time', 'expire all', /how long are the keys to live/],
    ['never', 'expire all --ttl never', /Keys without end are what this command mends/],
    ['a bare number', 'expire all --ttl 60', /60s/],
    ['nothing', 'expire all --ttl 0s', /cachectl invalidate/],
    ['a jitter without unit', 'expire all --ttl 1h --jitter 0.1', /0% to 50%/],
    ['two spreads', 'expire all --ttl 1h --jitter 5% --over 1m', /exclude each other/],
    ['a time beside the config', 'expire all --ttl 1h --from-config', /leave out --ttl/],
    ['a bare pattern', 'expire shop:* --ttl 1h', /pattern:/],
    ['a tag', 'expire tag:a --ttl 1h', /cachectl invalidate 'tag:a'/],
    ['rows of tenants', 'expire order --ttl 1h', /--org <id>, or say --all-tenants/],
    ['what is outside', 'expire pattern:bull:* --ttl 1h', /--foreign/],
  ])('refuses %s with exit 2', async (_, line, said) => {
    await fill(10)
    const { exitCode, stderr, stdout } = await run([...line.split(' '), '--yes'])
    expect([exitCode, stdout]).toEqual([2, ''])
    expect(stderr).toMatch(said)
    expect(await withTtl()).toBe(0)
  })

  it('what is as good as deleting all of it needs more than a yes', async () => {
    await fill(200)
    const short = await run(['expire', 'all', '--ttl', '10s', '--yes'])
    expect(short.exitCode).toBe(4)
    expect(short.stderr).toContain('--confirm=shop --max-percent=100')
    expect(await withTtl()).toBe(0)
    expect((await run(['expire', 'all', '--ttl', '1h', '--yes'])).exitCode).toBe(0)
    expect((await run(['expire', 'all', '--ttl', '1h', '--yes'], { cwd: production.folder })).exitCode).toBe(4)
    expect((await run(['expire', 'all', '--ttl', '1h', '--yes', '--max-keys', '10'])).exitCode).toBe(4)
    const confirmed = ['expire', 'all', '--ttl', '10s', '--confirm=shop', '--max-percent=100']
    expect((await run(confirmed)).exitCode).toBe(0)
  })

  it('without a config: patterns with --foreign, never queues and locks', async () => {
    await fill(5, 'app:')
    await redis.call('HSET', 'bull:mail:meta', 'a', 'b')
    const away = open.given({ cwd: tmpdir() })
    const here = (argv: readonly string[]) => cachectl(argv, away)
    expect((await here(['expire', 'pattern:app:*', '--ttl', '1h', '-y'])).exitCode).toBe(4)
    const done = await here(['expire', 'pattern:*', '--foreign', '--ttl', '1h', '-y', '--json'])
    expect(JSON.parse(done.stdout)).toMatchObject({ changed: 5, protected: 1, journal: 'none', exitCode: 0 })
    expect(await redis.call('PTTL', 'bull:mail:meta')).toBe(-1)
  })
})

describe(`stopped in the middle (seed ${seed})`, () => {
  const random = randomFromSeed(seed)
  it.each(Array.from({ length: 6 }, (_, i) => i))(
    'by SIGINT or SIGTERM, trial %i: the report is what was done; again completes it',
    async () => {
      await fill(5_000)
      const [name, exitCode] = random() < 0.5 ? (['SIGINT', 130] as const) : (['SIGTERM', 143] as const)
      const after = Math.floor(random() * 4_000)
      const test = testIo(open.given())
      const ended = runProgram(['expire', 'all', '--ttl', '1h', '-y', '--rate', '5000', '--json'], test.io)
      await until(async () => (await withTtl()) > after)
      test.signal(name)
      expect(await ended).toBe(exitCode)
      const report = JSON.parse(test.stdout())
      expect(report).toMatchObject({ ok: false, complete: false, exitCode, changed: await withTtl() })
      expect(report.matched).toBe(report.changed + report.remaining + report.alreadyGone)
      const { report: again } = await json(['expire', 'all', '--ttl', '1h', '-y', '--missing-only', '--rate', 'max'])
      expect(again).toMatchObject({ ok: true, changed: 5_000 - report.changed })
      expect(Number(await redis.call('PTTL', 'shop:v1:list:product:7'))).toBeLessThanOrEqual(HOUR)
    },
  )
})
