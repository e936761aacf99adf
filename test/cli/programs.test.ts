// The three programs themselves: versions, help, how they end, and where little is allowed.
import { spawnSync } from 'node:child_process'
import { chmodSync, mkdtempSync, readFileSync, rmSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { afterAll, beforeAll, describe, expect, it } from 'vitest'
import { startRedis, type TestRedis } from '../servers.ts'
import { cachectl, cleanEnvironment, createProject, type Project, ROOT, shell } from './spawned.ts'

const VERSION = JSON.parse(readFileSync(join(ROOT, 'package.json'), 'utf8')).version

let redis: TestRedis
let project: Project
beforeAll(async () => {
  redis = await startRedis({ port: 0 })
  project = createProject({})
})
afterAll(async () => {
  project?.remove()
  await redis?.stop()
})

const config = (before = '', more = '') => `import { defineConfig, fn } from 'cachectl'
${before}
export default defineConfig({ redis: process.env.REDIS_URL, prefix: 'shop', tenant: { label: 'org' },
  namespaces: { detail: { ttl: '1h' } },
  models: { product: { source: fn({ tenant: 'org', rows: () => [1, 2, 3, 4].map((id) => ({ id, org: id % 2 === 0 ? '7' : '8' })) }),
    namespace: 'detail', warm: { strategy: 'all' } } } ${more} })`

describe('version and help', () => {
  it.each([
    ['cachectl', '--version'],
    ['cachectl', '-V'],
    ['warm-cache', '--version'],
    ['cache-stats', '-V'],
  ] as const)('%s %s', async (program, flag) => {
    const { exitCode, stdout, stderr } = await cachectl([flag], { program })
    expect({ exitCode, stdout, stderr }).toEqual({ exitCode: 0, stdout: `${VERSION}\n`, stderr: '' })
  })

  it('npx finds the program of a clone, without a registry', () => {
    const cache = mkdtempSync(join(tmpdir(), 'npx-'))
    const env = { ...cleanEnvironment(), npm_config_cache: cache, npm_config_offline: 'true' }
    const { status, stdout } = spawnSync('npx', ['cachectl', '--version'], { cwd: ROOT, env, encoding: 'utf8' })
    rmSync(cache, { recursive: true, force: true })
    expect({ status, stdout }).toEqual({ status: 0, stdout: `${VERSION}\n` })
  })

  const commands = [
    ...['warm', 'stats', 'keys', 'get', 'why', 'init', 'config', 'config show', 'config check'],
    ...['invalidate', 'expire', 'version', 'version show', 'version bump', 'version prune', 'doctor', 'history'],
    ...['evict', 'policy', 'policy check', 'policy apply', 'lock', 'lock show', 'lock release'],
  ]
  it.each(commands)('%s --help begins with examples and fits 80 columns', async (words) => {
    const { exitCode, stdout, stderr } = await cachectl([...words.split(' '), '--help'])
    expect({ exitCode, stderr }).toEqual({ exitCode: 0, stderr: '' })
    const lines = stdout.split('\n')
    expect(lines[0]).toBe('Examples:')
    expect(
      lines
        .slice(1, 4)
        .every((line) => line.includes(`cachectl ${words.split(' ')[0]}`) || line.startsWith("  'cachectl")),
    ).toBe(true)
    expect(Math.max(...lines.map((line) => line.length))).toBeLessThanOrEqual(80)
  })

  it('--help names every command, and fits 80 columns', async () => {
    const { stdout } = await cachectl(['--help'])
    for (const name of new Set(commands.map((words) => words.split(' ')[0] as string)))
      expect(stdout).toMatch(new RegExp(`^  ${name} `, 'm'))
    expect(Math.max(...stdout.split('\n').map((line) => line.length))).toBeLessThanOrEqual(80)
  })

  it.each([[[]], [['config']], [['help', 'nothing']]])(
    '%j: help on stderr, and exit 2, because nothing was done',
    async (argv) => {
      const { exitCode, stdout, stderr } = await cachectl(argv)
      expect({ exitCode, stdout }).toEqual({ exitCode: 2, stdout: '' })
      expect(stderr).toMatch(/Usage: cachectl/)
      expect(stderr).toMatch(/error: no (such )?command.*\n {2}next: /)
    },
  )
})

describe('the short programs', () => {
  it('warm-cache is cachectl warm, cache-stats is cachectl stats', async () => {
    const cwd = createProject({ 'cache.config.ts': config() })
    const options = { cwd: cwd.folder, env: { REDIS_URL: redis.url } }
    const warmed = await cachectl(['--json'], { program: 'warm-cache', ...options })
    expect(JSON.parse(warmed.stdout)).toMatchObject({ command: 'warm', totals: { written: 4 } })
    const told = await cachectl(['--json'], { program: 'cache-stats', ...options })
    expect(JSON.parse(told.stdout)).toMatchObject({ command: 'stats', total: { keys: 4 } })
    cwd.remove()
  })
})

describe('a tenant by the label of the config', () => {
  it.each([[['--tenant', '7']], [['--org', '7']], [['--org=7']], [['--tenant=7']]])('%j', async (flags) => {
    const file = project.write('tenants.config.ts', config())
    const options = { env: { REDIS_URL: redis.url } }
    await redis.call('FLUSHALL')
    const warmed = await cachectl(['warm', ...flags, '--json', '--config', file], options)
    expect(JSON.parse(warmed.stdout)).toMatchObject({ ok: true, models: [{ tenant: '7', written: 2 }] })
    if (flags[0]?.startsWith('--tenant')) return
    await cachectl(['warm', '--config', file], options)
    const keys = await cachectl(['keys', 'product', ...flags, '--config', file], options)
    expect(keys.stdout.trimEnd().split('\n').sort()).toEqual([
      'shop:v1:detail:product:org_7:2',
      'shop:v1:detail:product:org_7:4',
    ])
    const { groups } = JSON.parse((await cachectl(['stats', ...flags, '--json', '--config', file], options)).stdout)
    expect(groups.map(({ keys }: { keys: number }) => keys)).toEqual([2])
  })

  it('another label is an unknown flag', async () => {
    const file = project.write('tenants.config.ts', config())
    const { exitCode, stderr } = await cachectl(['stats', '--shop', '7', '--config', file], {
      env: { REDIS_URL: redis.url },
    })
    expect(exitCode).toBe(2)
    expect(stderr).toContain("unknown option '--shop'")
  })

  it('with a config that is wrong, that is said, not that the label is unknown', async () => {
    const file = project.write('wrong.config.ts', config('', ', modles: {}'))
    const { exitCode, stderr } = await cachectl(['stats', '--org', '7', '--config', file], {
      env: { REDIS_URL: redis.url },
    })
    expect(exitCode).toBe(2)
    expect(stderr).toContain('modles')
  })
})

describe('a config that keeps the process alive', () => {
  /** Who waited for such a client would wait for ever; a busy machine takes its seconds to begin. */
  const NEVER_MS = 30_000
  const ALIVE = {
    'a timer': 'setInterval(() => {}, 1000)',
    'a server': "import { createServer } from 'node:net'; createServer().listen(0, '127.0.0.1')",
    'a TCP connection':
      "import { connect } from 'node:net'; connect(new URL(process.env.REDIS_URL!).port as never, '127.0.0.1')",
  }
  it.each(Object.entries(ALIVE))('%s: it ends all the same, and -v names it', async (name, code) => {
    const file = project.write('alive.config.ts', config(code))
    const options = { env: { REDIS_URL: redis.url } }
    const kept = await cachectl(['stats', '--config', file], options)
    expect({ exitCode: kept.exitCode, stderr: kept.stderr }).toEqual({ exitCode: 0, stderr: '' })
    expect(kept.tookMs).toBeLessThan(NEVER_MS)
    const told = await cachectl(['warm', 'nothing', '--verbose', '--config', file], options)
    expect(told.exitCode).toBe(2)
    expect(told.stderr).toContain(`left open: ${name}`)
  })

  it('a client that never closes does not keep it either', async () => {
    const source = `{ kind: 'own', reads: 'page', hasTenants: false, strategies: ['all'], async *select() { yield [] }, close: () => new Promise(() => {}) }`
    const text = config().replace(/fn\(\{.*\}\)\) \}\)/, source)
    expect(text).toContain('close: ()')
    const { exitCode, tookMs } = await cachectl(['stats', '--config', project.write('own.config.ts', text)], {
      env: { REDIS_URL: redis.url },
    })
    expect(exitCode).toBe(0)
    expect(tookMs).toBeLessThan(NEVER_MS)
  })
})

describe('failures in the background', () => {
  it.each([
    ['an exception', "throw new Error('lost')"],
    ['a rejection', "void Promise.reject(new Error('lost'))"],
  ])('%s ends a run with its report, exit 1 and no lock left', async (_, code) => {
    const hanging = `rows: async () => { setTimeout(() => { ${code} }, 10); await new Promise((r) => setTimeout(r, 1e6)); return`
    const text = config().replace('rows: () =>', hanging).replace("'8' })) })", "'8' })) } })")
    const file = project.write('failing.config.ts', text)
    const ended = await cachectl(['warm', '--json', '--config', file], { env: { REDIS_URL: redis.url } })
    expect(ended.exitCode).toBe(1)
    expect(JSON.parse(ended.stdout)).toMatchObject({ command: 'warm', ok: false, problems: [{ code: 'UNEXPECTED' }] })
    expect(ended.stderr).toMatch(/^unexpected error: nobody caught: lost\n {2}next: .*\n$/)
    expect(await redis.call('KEYS', 'shop~lock:*')).toEqual([])
  })
})

/** What makes an ordinary user of root, where that one can reach Node and the checkout. */
function asNobody(): string[] {
  const before = ['setpriv', '--reuid', '65534', '--regid', '65534', '--clear-groups']
  const [setpriv = '', ...rest] = before
  const look = [process.execPath, '-e', `require('fs').accessSync(${JSON.stringify(join(ROOT, 'dist/index.js'))})`]
  const reaches = process.getuid?.() === 0 && spawnSync(setpriv, [...rest, ...look]).status === 0
  return reaches ? before : []
}

describe('where little is allowed', () => {
  it('an ordinary user, a folder that is read-only, no HOME, no temporary folder: a TypeScript config works', async () => {
    const bare = createProject({ 'cache.config.ts': config() })
    chmodSync(bare.folder, 0o555)
    const before = asNobody()
    for (const argv of [
      ['config', 'check'],
      ['stats', '--json'],
      ['warm', '--json'],
    ]) {
      const env = { REDIS_URL: redis.url, HOME: undefined, TMPDIR: '/nowhere' }
      const { exitCode, stderr } = await cachectl(argv, { cwd: bare.folder, env, before })
      expect({ argv, exitCode, stderr }).toEqual({ argv, exitCode: 0, stderr: '' })
    }
    chmodSync(bare.folder, 0o755)
    bare.remove()
  })

  it('standard streams that are closed are no reason to fail', async () => {
    const { exitCode } = await shell(`cachectl stats --redis ${redis.url} <&- >&- 2>&-`)
    expect(exitCode).toBe(0)
  })
})
