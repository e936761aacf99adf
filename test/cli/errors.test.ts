// What a tired operator sees when something is wrong: the right exit code, one clear message, the next step, and no secret.
import { mkdtemp, rm, writeFile } from 'node:fs/promises'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { afterAll, beforeAll, describe, expect, it } from 'vitest'
import { freePort, startRedis, type TestRedis } from '../servers.ts'
import { cachectl } from './test-io.ts'

const CANARY = 'c4nary-s3cret'

let folder: string
let redis: TestRedis
let guarded: TestRedis
let tls: TestRedis

beforeAll(async () => {
  folder = await mkdtemp(join(tmpdir(), 'cachectl-cli-'))
  ;[redis, guarded, tls] = await Promise.all([
    startRedis({ port: 0 }),
    startRedis({ port: 0, args: ['--requirepass', CANARY] }),
    startRedis({ tls: true }),
  ])
})
afterAll(async () => {
  await Promise.all([redis.stop(), guarded.stop(), tls.stop(), rm(folder, { recursive: true, force: true })])
})

async function config(name: string, text: string): Promise<string> {
  const file = join(folder, name)
  await writeFile(file, text)
  return file
}

const GOOD = `export default { redis: process.env.SHOP_REDIS, prefix: 'shop', version: 1, models: { product: { source: null } } }`

interface Case {
  what: string
  argv: () => string[] | Promise<string[]>
  env?: () => Record<string, string>
  exitCode: number
  says: RegExp
  next: RegExp
}

const CASES: Case[] = [
  {
    what: 'no config and no Redis',
    argv: () => ['stats'],
    exitCode: 2,
    says: /no (config|Redis)|cache\.config/,
    next: /--redis|cachectl init/,
  },
  {
    what: 'an unset URL',
    argv: async () => ['stats', '-c', await config('unset.config.mjs', GOOD)],
    exitCode: 2,
    says: /Redis|URL/,
    next: /cron does not read your shell profile/,
  },
  {
    what: 'a missing argument of a command within a command',
    argv: () => ['lock', 'release'],
    exitCode: 2,
    says: /missing required argument/,
    next: /`cachectl lock release --help`/,
  },
  {
    what: 'a dead port',
    argv: async () => ['stats', '--redis', `redis://127.0.0.1:${await freePort()}`],
    exitCode: 10,
    says: /127\.0\.0\.1:\d+/,
    next: /the URL is from --redis/,
  },
  {
    what: 'a socket that is not there',
    argv: () => ['stats', '--redis', 'unix:/nowhere/redis.sock'],
    exitCode: 10,
    says: /nowhere/,
    next: /./,
  },
  {
    what: 'a wrong password',
    argv: () => ['stats', '--redis', `redis://:${CANARY}-wrong@127.0.0.1:${guarded.port}`],
    exitCode: 11,
    says: /password/i,
    next: /the URL is from --redis/,
  },
  {
    what: 'no password',
    argv: () => ['stats', '--redis', `redis://127.0.0.1:${guarded.port}`],
    exitCode: 11,
    says: /password|auth/i,
    next: /./,
  },
  {
    what: 'a plain URL for a TLS port',
    argv: () => ['stats', '--redis', `redis://127.0.0.1:${tls.port}`],
    exitCode: 11,
    says: /TLS/,
    next: /rediss:/,
  },
  {
    what: 'a TLS URL for a plain port',
    argv: () => ['stats', '--redis', `rediss://127.0.0.1:${redis.port}`],
    exitCode: 11,
    says: /TLS/,
    next: /redis:/,
  },
  {
    what: 'a certificate nobody vouches for',
    argv: () => ['stats', '--redis', `rediss://localhost:${tls.port}`],
    exitCode: 11,
    says: /certificate/i,
    next: /ca/,
  },
  {
    what: 'a password that breaks the URL',
    argv: () => ['stats', '--redis', `redis://:${CANARY}/#@127.0.0.1:6379`],
    exitCode: 2,
    says: /URL/,
    next: /%2F|%23|percent/,
  },
  {
    what: 'a database that is not there',
    argv: () => ['stats', '--redis', `redis://127.0.0.1:${redis.port}/99`],
    exitCode: 2,
    says: /no database/,
    next: /./,
  },
  { what: 'an unknown command', argv: () => ['wram'], exitCode: 2, says: /unknown command 'wram'/, next: /warm/ },
  {
    what: 'an unknown flag',
    argv: () => ['warm', '--stratgy', 'all'],
    exitCode: 2,
    says: /unknown option '--stratgy'/,
    next: /--strategy/,
  },
  {
    what: 'a choice that is none',
    argv: () => ['warm', '--strategy', 'newest'],
    exitCode: 2,
    says: /newest/,
    next: /./,
  },
  { what: 'a limit that is no number', argv: () => ['warm', '--limit', '1e3'], exitCode: 2, says: /1e3/, next: /./ },
  { what: 'a duration without a unit', argv: () => ['stats', '--deadline', '90'], exitCode: 2, says: /90/, next: /./ },
  { what: 'a missing argument', argv: () => ['get'], exitCode: 2, says: /missing required argument 'key'/, next: /./ },
  {
    what: 'a config file that is not there',
    argv: () => ['warm', '-c', '/nowhere/cache.config.ts'],
    exitCode: 2,
    says: /nowhere/,
    next: /./,
  },
  {
    what: 'an unknown model',
    argv: async () => ['warm', 'prodct', '-c', await config('good.config.mjs', GOOD)],
    env: () => ({ SHOP_REDIS: redis.url }),
    exitCode: 2,
    says: /prodct/,
    next: /product/,
  },
  {
    what: 'a bare glob',
    argv: async () => ['stats', 'shop:*', '-c', await config('good.config.mjs', GOOD)],
    env: () => ({ SHOP_REDIS: redis.url }),
    exitCode: 2,
    says: /shop:\*/,
    next: /pattern:'shop:\*'/,
  },
  {
    what: '--full with --sample',
    argv: () => ['stats', '--full', '--sample', '10', '--redis', redis.url],
    exitCode: 2,
    says: /exclude each other/,
    next: /./,
  },
  {
    what: 'warm without a config',
    argv: () => ['warm', '--redis', redis.url],
    exitCode: 2,
    says: /config/,
    next: /init|--config/,
  },
]

describe('errors', () => {
  it('no command at all: the help, what is missing, exit 2', async () => {
    const { exitCode, stdout, stderr } = await cachectl([], { cwd: folder })
    expect({ exitCode, stdout }).toEqual({ exitCode: 2, stdout: '' })
    expect(stderr).toMatch(/^Usage: cachectl /)
    expect(stderr).toMatch(/\nerror: no command was given\n {2}next: one of those above: cachectl <command>\n$/)
  })

  for (const { what, argv, env, exitCode, says, next } of CASES) {
    it(`${what}: exit ${exitCode}`, async () => {
      const words = await argv()
      const given = { cwd: folder, env: { ...env?.() } }
      const restore = setEnvironment(given.env)
      try {
        const plain = await cachectl(words, given)
        expect({ exitCode: plain.exitCode, stdout: plain.stdout }).toEqual({ exitCode, stdout: '' })
        expect(plain.stderr).toMatch(says)
        expect(plain.stderr).toMatch(next)
        expect(plain.stderr).toMatch(/^error: .+\n {2}next: .+\n$/s)
        expect(plain.stderr).not.toContain(CANARY)
        expect(plain.stderr.split('\n').length).toBeLessThan(8)

        const json = await cachectl([...words, '--json'], given)
        expect(json.exitCode).toBe(exitCode)
        const { ok, error } = JSON.parse(json.stdout)
        expect(ok).toBe(false)
        expect(error).toMatchObject({
          exitCode,
          code: expect.stringMatching(/^[A-Z_]+$/),
          message: expect.any(String),
          hint: expect.any(String),
        })
        expect(json.stderr).toBe(plain.stderr)

        const quiet = await cachectl([...words, '--quiet'], given)
        expect(quiet.stdout).toBe('')
        expect(quiet.stderr.split('\n').filter(Boolean).length).toBeLessThanOrEqual(
          plain.stderr.split('\n').filter(Boolean).length - 1,
        )
      } finally {
        restore()
      }
    })
  }

  it('tells all mistakes of a config at once', async () => {
    const file = await config(
      'wrong.config.mjs',
      `export default { redis: 'redis://127.0.0.1', prefix: 'shop', namespaces: { detail: { ttl: 300 } }, modles: {} }`,
    )
    const { exitCode, stdout: told } = await cachectl(['config', 'check', '-c', file])
    expect(exitCode).toBe(2)
    const { exitCode: warmExit, stderr } = await cachectl(['warm', '-c', file])
    expect(warmExit).toBe(2)
    for (const text of [told, stderr]) {
      expect(text).toMatch(/namespaces\.detail\.ttl/)
      expect(text).toMatch(/'300s'|5m/)
      expect(text).toMatch(/modles/)
      expect(text).toMatch(/models/)
    }
  })
})

/** Configs read `process.env` itself. */
function setEnvironment(values: Record<string, string>): () => void {
  const before = Object.keys(values).map((name) => [name, process.env[name]] as const)
  Object.assign(process.env, values)
  return () => {
    for (const [name, value] of before)
      value === undefined ? delete process.env[name] : Object.assign(process.env, { [name]: value })
  }
}
