// 3,000 keys and values with control, bidi, binary and invisible bytes: nothing raw reaches a terminal, a file or a JSON reader.
import { tmpdir } from 'node:os'
import { afterAll, beforeAll, describe, expect, it } from 'vitest'
import { hostileKeys, RAW } from '../ops/fixture.ts'
import { randomFromSeed, seed } from '../seed.ts'
import { startRedis, type TestRedis } from '../servers.ts'
import { cachectl, createProject, type Project, type SpawnOptions } from './spawned.ts'
import { cachectl as runInProcess } from './test-io.ts'

const CONFIG = `import { defineConfig } from 'cachectl'
export default defineConfig({ redis: process.env.REDIS_URL, prefix: 'shop', tenant: { label: 'org' },
  namespaces: { list: { ttl: '5m' }, detail: { ttl: '1h' }, old: { ttl: '1m', format: 'raw', key: 'legacy:*' } } })`

const SAMPLE = 300

let redis: TestRedis
let project: Project
let keys: Buffer[]

const NASTY = '\x1b[31m\x07\r\n\0\u202e\u2028\u2029\u200b\x7f\u009b2J\ufeff\u{e0041}'

/** The same as it can be typed: arguments hold no NUL. */
const NASTY_WORDS = NASTY.replace('\0', '')

beforeAll(async () => {
  redis = await startRedis({ port: 0 })
  project = createProject({ 'cache.config.ts': CONFIG })
  const long = [1, 2, 3, 4].map((n) => Buffer.from(`shop:v1:list:${`${NASTY}${n}`.repeat(500)}`.slice(0, 10_000)))
  keys = [...new Map([...hostileKeys(), ...long].map((key) => [key.toString('latin1'), key])).values()]
  await Promise.all(keys.map((key, index) => write(key, index)))
  expect(await redis.call('DBSIZE')).toBe(keys.length)
})
afterAll(async () => {
  project?.remove()
  await redis?.stop()
})

/** Each type of Redis, with the same hostile bytes in names and values. */
function write(key: Buffer, index: number): Promise<unknown> {
  const text = `${NASTY}${index}`
  const bytes = Buffer.concat([Buffer.from(text), Buffer.from([0xff, 0xc0, 0x80])])
  switch (index % 9) {
    case 0:
      return redis.call('HSET', key, text, bytes, '__proto__', text)
    case 1:
      return redis.call('RPUSH', key, text, bytes)
    case 2:
      return redis.call('SADD', key, text, bytes)
    case 3:
      return redis.call('ZADD', key, 1, text, 2, bytes)
    case 4:
      return redis.call('XADD', key, '*', text, bytes)
    case 5:
      return redis.call('SET', key, bytes)
    case 6:
      return redis.call('SET', key, JSON.stringify({ [text]: text }), 'PX', 600_000)
    case 7:
      // What looks like an entry of ours and is none.
      return redis.call('SET', key, Buffer.concat([Buffer.from('cc1'), bytes]))
    default:
      return redis.call('SET', key, text)
  }
}

function expectNothingRaw<T extends { stdout: string; stderr: string }>(ended: T): T {
  expect(RAW.exec(ended.stdout)).toBeNull()
  expect(RAW.exec(ended.stderr)).toBeNull()
  return ended
}

const run = async (argv: readonly string[], options?: SpawnOptions) => expectNothingRaw(await cachectl(argv, options))
const inProcess = async (argv: readonly string[]) =>
  expectNothingRaw(await runInProcess(argv, { cwd: tmpdir(), env: { REDIS_URL: redis.url } }))

const here = () => ({ cwd: project.folder, env: { REDIS_URL: redis.url } })

describe.each(['with a config', 'without a config'])('%s', (which) => {
  const options = () => (which === 'with a config' ? here() : { env: { REDIS_URL: redis.url } })

  it.each([
    [['stats']],
    [['stats', '--by', 'pattern', '--top', '1000', '--largest', '50']],
    [['keys', 'all', '--verbose', '--age']],
  ])('%j shows nothing raw', async (argv) => {
    const table = await run(argv, options())
    expect(table.exitCode).toBe(0)
    if (argv.includes('--largest') || argv[0] === 'keys') expect(table.stdout).toMatch(/\\x1B|\\u\{202E\}/)
    const json = await run([...argv, '--json'], options())
    expect(json.stderr).toBe('')
    expect(() => JSON.parse(json.stdout)).not.toThrow()
    if (argv[0] === 'stats') expect(JSON.parse(json.stdout).total.keys).toBeGreaterThanOrEqual(keys.length - 700)
  })
})

it('keys -o ndjson: a line a key, all of them, each once', async () => {
  const { stdout } = await run(['keys', 'pattern:*', '-o', 'ndjson', '--redis', redis.url])
  const lines = stdout
    .trimEnd()
    .split('\n')
    .map((line) => JSON.parse(line))
  expect(lines.length).toBe(keys.length)
  expect(new Set(lines.map(({ key }) => key)).size).toBe(keys.length)
})

it(`get and why take what keys prints, of every type (seed ${seed})`, async () => {
  const { stdout } = await run(['keys', 'pattern:*', '--redis', redis.url])
  const printed = stdout.trimEnd().split('\n')
  expect(printed).toHaveLength(keys.length)
  const random = randomFromSeed(seed)
  const sample = printed
    .map((key) => ({ key, at: random() }))
    .sort((a, b) => a.at - b.at)
    .slice(0, SAMPLE)
    .map(({ key }) => key)
  const longest = printed.reduce((a, b) => (a.length > b.length ? a : b))
  const types = new Set<string>()
  for (const key of [...sample, longest]) {
    for (const words of [
      ['get', key],
      ['why', key],
    ]) {
      const table = await inProcess([...words, '--redis', redis.url])
      expect(table.exitCode, words.join(' ')).toBe(0)
      const json = JSON.parse((await inProcess([...words, '--json', '--redis', redis.url])).stdout)
      expect(json).toMatchObject(words[0] === 'get' ? { key, found: true } : { key, exists: true })
      types.add(json.about?.type ?? json.type)
    }
  }
  expect([...types].sort()).toEqual(['hash', 'list', 'set', 'stream', 'string', 'zset'])
})

it('get and why do the same as programs', async () => {
  const { stdout } = await run(['keys', 'all', '--limit', '2'], here())
  for (const key of stdout.trimEnd().split('\n')) {
    for (const words of [
      ['get', key],
      ['why', key],
      ['get', key, '--json'],
      ['why', key, '--json'],
    ]) {
      expect((await run(words, here())).exitCode).toBe(0)
    }
  }
})

it.each([
  ['a key for get', ['get', `nothing${NASTY_WORDS}`], 3],
  ['a key for why', ['why', `nothing${NASTY_WORDS}`], 0],
  ['a pattern', ['keys', `pattern:nothing${NASTY_WORDS}*`], 0],
  ['a model', ['keys', `model${NASTY_WORDS}`], 2],
  ['a namespace', ['stats', `namespace:${NASTY_WORDS}`], 2],
  ['a tenant', ['stats', '--tenant', NASTY_WORDS], null],
  ['a command', [`wa${NASTY_WORDS}rm`], 2],
  ['a flag', ['warm', `--x${NASTY_WORDS}`], 2],
  ['a choice', ['stats', '--by', NASTY_WORDS], 2],
  ['a duration', ['stats', '--deadline', NASTY_WORDS], 2],
  ['a file', ['stats', '--config', `/nowhere/${NASTY_WORDS}.ts`], 2],
  ['a URL', ['stats', '--redis', `redis://${NASTY_WORDS}`], null],
] as [string, string[], number | null][])('what was typed is not printed raw either: %s', async (_, argv, exitCode) => {
  const { stdout, stderr, exitCode: code } = await inProcess(argv)
  if (exitCode !== null) expect(code, stderr).toBe(exitCode)
  const json = await inProcess([...argv, '--json'])
  expect(() => JSON.parse(json.stdout), stdout).not.toThrow()
})
