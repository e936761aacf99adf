// 100,000 keys: readers that go away, and Ctrl-C in the middle of reading.
import { afterAll, beforeAll, describe, expect, it } from 'vitest'
import { startRedis, type TestRedis } from '../servers.ts'
import { cachectl, shell, start, until } from './spawned.ts'

const KEYS = 100_000
/** Enough for a walk of seconds, so that it can be stopped in the middle. */
const MANY_KEYS = 600_000

let redis: TestRedis
let larger: TestRedis
beforeAll(async () => {
  const options = { port: 0, args: ['--enable-debug-command', 'yes'] }
  ;[redis, larger] = await Promise.all([startRedis(options), startRedis(options)])
  await Promise.all([
    redis.call('DEBUG', 'POPULATE', KEYS, 'session', 50),
    larger.call('DEBUG', 'POPULATE', MANY_KEYS, 'session', 50),
  ])
})
afterAll(async () => {
  await Promise.all([redis?.stop(), larger?.stop()])
})

describe('a reader that goes away', () => {
  it.each([
    ['keys all -o ndjson', /^\{"key":"session:\d+",/],
    ['keys all', /^session:\d+$/],
    ['keys all --json', /^\{"command":"keys","keys":\[$/],
    ['stats', /^=== Redis Cache Statistics ===/],
    ['stats --largest 1000', /^=== Redis Cache Statistics ===/],
    ['--help', /^Usage: cachectl/],
  ])('%s | head -1: silent, exit 0, at once', async (words, first) => {
    const line = `cachectl ${words} --redis ${redis.url} | head -1; echo "\${PIPESTATUS[0]}" >&2`
    const { stdout, stderr, tookMs } = await shell(line)
    expect(stdout.trimEnd()).toMatch(first)
    expect(stderr).toBe('0\n')
    // `stats` counts before it writes a line.
    expect(tookMs).toBeLessThan(words.startsWith('stats') ? 5_000 : 2_000)
  })

  it('that never read: the same', async () => {
    const { stderr } = await shell(`cachectl keys all --redis ${redis.url} | true; echo "\${PIPESTATUS[0]}" >&2`)
    expect(stderr).toBe('0\n')
  })

  it('of the messages does not stop the answer', async () => {
    const line = `cachectl get session:1 --redis ${redis.url} 2> >(true); echo $?`
    const { stdout } = await shell(line)
    expect(stdout).toMatch(/^"value:1.*"\n0\n$/)
  })
})

describe.runIf(process.platform === 'linux')('a disk that is full', () => {
  it.each(['stats', 'keys all', 'keys all --json', '--help', 'get session:1 --json'])(
    '%s: exit 3, and why',
    async (words) => {
      const { exitCode, stderr } = await shell(`cachectl ${words} --redis ${redis.url} >/dev/full`)
      expect(exitCode).toBe(3)
      expect(stderr).toMatch(/error: cannot write the answer: ENOSPC.*\n {2}next: .*\n$/)
    },
  )

  it('for messages does not stop the answer', async () => {
    const { exitCode, stdout } = await shell(`cachectl get session:1 --redis ${redis.url} 2>/dev/full`)
    expect({ exitCode, stdout: stdout.slice(0, 8) }).toEqual({ exitCode: 0, stdout: '"value:1' })
  })
})

describe('Ctrl-C in the middle of', () => {
  async function interrupted(argv: readonly string[]) {
    const hits = async () => Number(/keyspace_hits:(\d+)/.exec(String(await larger.call('INFO', 'stats')))?.[1])
    const before = await hits()
    const run = start([...argv, '--redis', larger.url])
    await until(async () => (await hits()) > before + 3_000)
    run.child.kill('SIGINT')
    const killedMs = performance.now()
    const ended = await run.ended
    expect(performance.now() - killedMs).toBeLessThan(2_000)
    expect(ended.exitCode).toBe(130)
    return ended
  }

  it('stats: what was seen is told as incomplete', async () => {
    const { stdout } = await interrupted(['stats', '--full', '--json'])
    const { ok, complete, scan, total, method } = JSON.parse(stdout)
    expect({ ok, complete, method }).toEqual({ ok: false, complete: false, method: 'sample' })
    expect(scan.visited).toBeLessThan(MANY_KEYS)
    expect(Math.abs(total.keys - MANY_KEYS)).toBeLessThan(MANY_KEYS / 20)
  })

  it('stats, for people', async () => {
    const { stdout } = await interrupted(['stats', '--full'])
    expect(stdout).toMatch(/stopped early/)
    expect(stdout).toMatch(/note: stopped after \d+ keys/)
  })

  it('stats --quiet: one line', async () => {
    const { stdout, stderr } = await interrupted(['stats', '--full', '--quiet'])
    expect({ stdout, stderr }).toEqual({ stdout: '', stderr: 'error: interrupted: stopped where it was\n' })
  })

  it('keys: the list says that it is not whole', async () => {
    const { stdout, stderr } = await interrupted(['keys', 'all', '--verbose'])
    const keys = stdout.trimEnd().split('\n').length
    expect(keys).toBeLessThan(MANY_KEYS)
    expect(stderr).toContain(`after ${keys.toLocaleString('en')} keys: there may be more`)
  })

  it('keys --json: one document that says so', async () => {
    const { stdout } = await interrupted(['keys', 'all', '--json'])
    const { keys, complete, ok, error } = JSON.parse(stdout)
    expect({ ok, complete, code: error.code }).toEqual({ ok: false, complete: false, code: 'INTERRUPTED' })
    expect(error.message).toContain(`after ${keys.length.toLocaleString('en')} keys`)
  })

  it('keys -o ndjson: whole lines, the last one says so', async () => {
    const { stdout } = await interrupted(['keys', 'all', '-o', 'ndjson'])
    const lines = stdout
      .trimEnd()
      .split('\n')
      .map((line) => JSON.parse(line))
    expect(lines.pop()).toMatchObject({ ok: false, error: { code: 'INTERRUPTED', exitCode: 130 } })
    expect(lines.every(({ key }) => /^session:\d+$/.test(key))).toBe(true)
  })
})

it('keys --json is a report like the others', async () => {
  const { stdout, exitCode } = await cachectl(['keys', 'all', '--limit', '3', '--json', '--redis', redis.url])
  expect(exitCode).toBe(0)
  expect(JSON.parse(stdout)).toMatchObject({
    command: 'keys',
    ok: true,
    complete: true,
    dryRun: false,
    startedAt: expect.any(String),
    durationMs: expect.any(Number),
    redis: { endpoint: `127.0.0.1:${redis.port}` },
    keys: [1, 2, 3].map(() => ({
      key: expect.stringMatching(/^session:/),
      ttlMs: null,
      bytes: expect.any(Number),
      ageMs: null,
    })),
  })
})
