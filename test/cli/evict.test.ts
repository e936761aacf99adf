// `evict` from the command line: what it says before and behind, what it asks and refuses, how it ends when it is stopped.
import { PassThrough } from 'node:stream'
import { afterAll, beforeAll, beforeEach, describe, expect, it } from 'vitest'
import { run as runProgram } from '../../src/cli/program.ts'
import type { TestRedis } from '../servers.ts'
import { openProjects, type Projects } from './in-folder.ts'
import { type Project, until } from './spawned.ts'
import { cachectl, testIo } from './test-io.ts'

const config = (more = '', budget = 'budget: { maxMemory: "1mb" },') => `export default {
  prefix: 'shop', tenant: { label: 'org' }, ${more} ${budget}
  namespaces: { detail: { ttl: '1h', budget: { maxKeys: 100, policy: 'ttl' } }, list: { ttl: '5m', budget: { maxKeys: 1000 } }, count: { ttl: '1m' } },
  models: { product: { source: null, namespace: 'detail', tenant: false }, order: { source: null, namespace: 'detail', tenant: true } },
}`

let open: Projects
let redis: TestRedis
let project: Project
let production: Project
beforeAll(async () => {
  open = await openProjects(config)
  ;({ redis, project, production } = open)
})
afterAll(() => open.close())
beforeEach(() => redis.call('FLUSHALL'))

const run = (argv: readonly string[], more: Parameters<typeof cachectl>[1] = {}) => cachectl(argv, open.given(more))
const keysOf = async (part: string) => (await redis.call('KEYS', `*${part}*`)) as string[]

/** The TTL grows with the number. */
async function fill(count: number, start = 'shop:v1:detail:product:'): Promise<void> {
  const all = Array.from({ length: count }, (_, i) =>
    redis.call('SET', `${start}${i}`, 'x', 'PX', 1_000_000 + i * 1000),
  )
  await Promise.all(all)
}

describe('evict', () => {
  it('shows what goes on stderr, what went on stdout, and is done', async () => {
    await fill(300)
    await fill(300, 'shop:v1:count:product:')
    const { exitCode, stdout, stderr } = await run(['evict', '--yes'])
    expect({ exitCode, stderr }).toMatchObject({ exitCode: 0 })
    expect(stderr).toMatch(/^127\.0\.0\.1:\d+\/0 primary, \w+ [\d.]+ \(from CACHECTL_REDIS\)\n/)
    expect(stderr).toMatch(/namespace:detail +ttl +100 +300, 2\d(\.\d)? KB +200, 1\d(\.\d)? KB/)
    expect(stderr).toContain(
      'first to go of namespace:detail:\n  shop:v1:detail:product:0\n  shop:v1:detail:product:1\n',
    )
    expect(stderr).toMatch(/These 200 keys \(1\d(\.\d)? KB\) will be deleted\.\n$/)
    expect(stdout).toMatch(/namespace:detail +ttl +100 +300, .* +200, .* +100, /)
    expect(stdout).toMatch(/✓ 200 keys \(1\d(\.\d)? KB\) evicted in .*; every limit is kept\n$/)
    for (const line of `${stdout}${stderr}`.split('\n')) expect(line.length).toBeLessThanOrEqual(100)
    expect((await keysOf(':detail:')).length).toBe(100)
    expect(await run(['evict', '--yes', '-q'])).toEqual({ exitCode: 0, stdout: '', stderr: '' })
  })

  it('--check says what is over, exits 6, and changes nothing', async () => {
    await fill(101)
    const check = await run(['evict', '--check'])
    expect(check.exitCode).toBe(6)
    expect(check.stdout).toContain('✗ over the limit: namespace:detail\n  next: cachectl evict --dry-run\n')
    expect(await run(['evict', '--check', '-q'])).toEqual({
      exitCode: 6,
      stdout: '',
      stderr: 'evict: over the limit: namespace:detail\n',
    })
    expect((await keysOf('')).length).toBe(101)
    expect((await run(['evict', '--check', 'namespace:list'])).stdout).toContain('✓ every limit is kept\n')
    expect((await run(['evict', '--check', '--to', '110%'])).exitCode).toBe(2)
    await redis.call('DEL', 'shop:v1:detail:product:0')
    expect((await run(['evict', '--check', '-q'])).exitCode).toBe(0)
    expect((await run(['evict', '--check', '-q', '--to', '90'])).exitCode).toBe(6)
  })

  it('--dry-run shows each policy beside the others, with ten that would go first', async () => {
    await fill(130)
    const { exitCode, stdout, stderr } = await run(['evict', '--dry-run'])
    expect({ exitCode, stderr }).toEqual({ exitCode: 0, stderr: '' })
    expect(stdout).toMatch(/namespace:detail +ttl \* +30 +2\.\d KB +16m \d+s left +17m \d+s left/)
    expect(stdout).toMatch(/namespace:detail +lru +30 +2\.\d KB +idle /)
    expect(stdout).toMatch(/namespace:detail +random +30 +2\.\d KB\n/)
    expect(stdout.match(/^ {2}shop:v1:detail:product:\d$/gm)).toHaveLength(10)
    expect(stdout).toMatch(/Dry run: nothing was changed. 30 keys \(2\.\d KB\) would go\.\n$/)
    expect((await keysOf('')).length).toBe(130)
  })

  it('gives one document with --json, with the fields that scripts rely on', async () => {
    await fill(150)
    const { stdout } = await run(['evict', '--yes', '--json'])
    const report = JSON.parse(stdout)
    expect(report).toMatchObject({
      command: 'evict',
      ok: true,
      complete: true,
      dryRun: false,
      exitCode: 0,
      redis: { database: 0, role: 'primary', from: 'CACHECTL_REDIS' },
      matched: 50,
      deleted: 50,
      outdated: 0,
      alreadyGone: 0,
      protected: 0,
      failed: 0,
      unknown: 0,
      remaining: 0,
      journal: 'redis',
    })
    expect(
      report.namespaces.map((row: Record<string, unknown>) => [row.target, row.namespace, row.policy, row.budget]),
    ).toEqual([
      ['namespace:detail', 'detail', 'ttl', { maxKeys: 100, maxBytes: null }],
      ['namespace:list', 'list', 'lru', { maxKeys: 1000, maxBytes: null }],
      ['all', null, 'lru', { maxKeys: null, maxBytes: 1_048_576 }],
    ])
    expect(report.namespaces[0]).toMatchObject({ before: { keys: 150 }, evicted: { keys: 50 }, after: { keys: 100 } })
    expect(await run(['history', '--json', '--limit', '1']).then(({ stdout: told }) => told)).toContain('"evict"')
  })
})

describe('before it deletes', () => {
  it('budgets of the config need --yes and nothing typed, in production too; limits of a command line are asked about', async () => {
    await fill(150)
    for (const cwd of [project.folder, production.folder]) {
      const refused = await run(['evict'], { cwd })
      expect(refused.exitCode).toBe(4)
      expect(refused.stderr).toContain('next: to do it: cachectl evict --yes\n')
    }
    expect((await keysOf('')).length).toBe(150)
    expect((await run(['evict', '--yes', '-q'], { cwd: production.folder })).exitCode).toBe(0)
    expect((await keysOf(':detail:')).length).toBe(100)
    const asked = await run(['evict', 'namespace:detail', '--max-keys', '90', '--yes'], { cwd: production.folder })
    expect(asked.exitCode).toBe(4)
    expect(asked.stderr).toContain('to do it: cachectl evict namespace:detail --max-keys 90 --yes --confirm=shop\n')
    const all = await run(['evict', 'all', '--max-keys', '90', '--yes'])
    expect(all.exitCode).toBe(4)
    expect(all.stderr).toContain('it takes everything, so shop must be named')
    const passed = ['evict', 'all', '--max-keys', '90', '--yes', '--confirm=shop', '--policy', 'random', '-q']
    expect(await run(passed)).toMatchObject({ exitCode: 0, stderr: '' })
    expect((await keysOf('shop:')).length).toBe(90)
  })

  it('more than half of the database is refused, whoever says yes', async () => {
    await fill(400)
    const refused = await run(['evict', '--yes'])
    expect(refused.exitCode).toBe(4)
    expect(refused.stderr).toMatch(/300 keys are 75 % of the database, more than --max-percent 50/)
    expect(refused.stderr).toContain('next: to do it: cachectl evict --yes --max-percent=75\n')
    expect((await keysOf('')).length).toBe(400)
    expect((await run(['evict', '--yes', '--max-percent=75', '-q'])).exitCode).toBe(0)
  })

  it('somebody at a terminal is asked, and can say no', async () => {
    await fill(120)
    const answer = async (text: string) => {
      const stdin = Object.assign(new PassThrough(), { isTTY: true })
      const test = testIo(open.given({ stdin, stderrIsTty: true }))
      const ended = runProgram(['evict'], test.io)
      await until(() => test.stderr().includes('Go on? [y/N]'))
      stdin.end(`${text}\n`)
      return { exitCode: await ended, stderr: test.stderr() }
    }
    expect((await answer('n')).exitCode).toBe(4)
    expect((await keysOf('')).length).toBe(120)
    expect((await answer('y')).exitCode).toBe(0)
    expect((await keysOf(':detail:')).length).toBe(100)
  })

  it.each([
    [['evict', '--max-keys', '5'], /limits are given, and nothing that they are for/],
    [['evict', 'product'], /`product` has no budget of its own/],
    [['evict', 'order', '--max-keys', '5'], /holds rows of tenants/],
    [['evict', '--tenant', '7'], /budgets of the config are for all tenants together/],
    [['evict', '--check', '--dry-run'], /exclude each other/],
    [['evict', 'tag:x', '--max-keys', '5'], /tag/],
    [['evict', 'shop:*', '--max-keys', '5'], /looks like a pattern/],
    [['evict', '--policy', 'fifo'], /Allowed choices are lru, lfu, random, ttl/],
    [['evict', '--max-memory', '64'], /has no unit/],
  ])('%j is a usage error', async (argv, message) => {
    const { exitCode, stderr } = await run(argv)
    expect(stderr).toMatch(message)
    expect(exitCode).toBe(2)
  })
})

it('says what is in the way: nothing that matches, or protected keys alone', async () => {
  await fill(20, 'sess:')
  const empty = await run(['evict', 'pattern:shop:v9:*', '--max-keys', '5', '--yes'])
  expect(empty).toMatchObject({ exitCode: 0 })
  expect(empty.stdout).toContain('! nothing matches pattern:shop:v9:*; see what is there with: cachectl stats\n')
  const spared = await run(['evict', 'pattern:sess:*', '--max-keys', '5', '--foreign', '--yes'])
  expect(spared.exitCode).toBe(3)
  expect(spared.stdout).toContain('! 20 keys of pattern:sess:* are protected: they count, and never go\n')
  expect(spared.stdout).toContain('  next: raise the limit, or take keys out of `protect`\n')
  expect((await keysOf('sess:')).length).toBe(20)
})

it('stopped by Ctrl-C, it says what was done and ends with 130; the same command does the rest', async () => {
  await fill(4000)
  const test = testIo(open.given())
  const ended = runProgram(['evict', '--yes', '--max-percent', '100', '--rate', '500', '--json'], test.io)
  await until(async () => (await keysOf(':detail:')).length < 4000)
  test.signal('SIGINT')
  expect(await ended).toBe(130)
  const report = JSON.parse(test.stdout())
  const there = (await keysOf(':detail:')).length
  expect(report).toMatchObject({ ok: false, complete: false, exitCode: 130, matched: 3900, deleted: 4000 - there })
  expect(report.deleted + report.remaining).toBe(3900)
  expect(there).toBeGreaterThan(100)
  expect((await run(['evict', '--yes', '--max-percent', '100', '-q'])).exitCode).toBe(0)
  expect((await keysOf(':detail:')).length).toBe(100)
})

it('keys are shown escaped, and nothing raw reaches a terminal or a document', async () => {
  await fill(150, 'shop:v1:detail:\x1b[31m\u202e:')
  for (const argv of [
    ['evict', '--dry-run'],
    ['evict', '--dry-run', '--json'],
    ['evict', 'all', '--max-keys', '9', '--dry-run'],
  ]) {
    const { stdout, stderr } = await run(argv)
    expect(`${stdout}${stderr}`).not.toMatch(/[\x00-\x09\x0b-\x1f\x7f-\x9f\u202a-\u202e]/)
  }
})
