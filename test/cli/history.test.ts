// `history` from the command line: tables within 80 columns, lines that go on, nothing raw from whoever wrote to the journal.
import { mkdtempSync, rmSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { afterAll, beforeAll, beforeEach, describe, expect, it } from 'vitest'
import { RAW } from '../ops/fixture.ts'
import { startRedis, type TestRedis } from '../servers.ts'
import { createProject, type Project, cachectl as spawnedCachectl, start, until } from './spawned.ts'
import { cachectl } from './test-io.ts'

const CONFIG = `export default {
  prefix: 'shop',
  namespaces: { detail: { ttl: '1h' } },
  models: { product: { source: { kind: 'rows', reads: 'page', strategies: ['all'], async *select() { yield [{ id: 1, row: { id: 1 }, version: '1', tenant: null }] } },
    namespace: 'detail', tenant: false, warm: { strategy: 'all' } } },
}`

let redis: TestRedis
let project: Project
let state: string
beforeAll(async () => {
  redis = await startRedis({ port: 0 })
  project = createProject({ 'cache.config.mjs': CONFIG })
})
afterAll(async () => {
  project.remove()
  await redis.stop()
})
beforeEach(async () => {
  await redis.call('FLUSHALL')
  state = mkdtempSync(join(tmpdir(), 'cachectl-state-'))
  return () => rmSync(state, { recursive: true, force: true })
})

const env = () => ({ CACHECTL_REDIS: redis.url, XDG_STATE_HOME: state, NO_COLOR: '1' })
const run = (argv: readonly string[], given: Parameters<typeof cachectl>[1] = {}) =>
  cachectl(argv, { cwd: project.folder, env: env(), ...given })

async function record(fields: Record<string, string>): Promise<void> {
  await redis.call('XADD', 'shop~journal', '*', ...Object.entries(fields).flat())
}
const intent = { op: 'x1', phase: 'intent', verb: 'invalidate', what: '["product","tag:sale"]', who: 'ops@web-1:12' }
const result = {
  ...intent,
  phase: 'result',
  ms: '1234',
  ok: 'false',
  complete: 'false',
  exit: '3',
  counts: '{"deleted":7,"alreadyGone":2}',
}

describe('history', () => {
  it('shows what warm did, in the report of warm as well', async () => {
    const warmed = await run(['warm', '--json'])
    expect(JSON.parse(warmed.stdout)).toMatchObject({ ok: true, journal: 'redis' })
    const { exitCode, stdout, stderr } = await run(['history'])
    expect([exitCode, stderr]).toEqual([0, ''])
    expect(stdout).toMatch(
      /^began +command +result +what .*\n\d{4}-\d\d-\d\d \d\d:\d\d:\d\dZ +warm +done +model:product \(all\) +1 written, /,
    )
    expect(JSON.parse((await run(['history', '--json'])).stdout)).toMatchObject({
      command: 'history',
      ok: true,
      entries: [{ verb: 'warm', state: 'done', exitCode: 0, counts: { written: 1 } }],
    })
  })

  it('says why something is missing, with --quiet in one line', async () => {
    await redis.call('SET', 'shop~journal', 'text')
    expect(await run(['history', '-q'])).toEqual({
      exitCode: 3,
      stdout: '',
      stderr: expect.stringMatching(/^history: .*shop~journal is no stream.*\n$/),
    })
  })

  it('a dry run leaves nothing', async () => {
    expect(JSON.parse((await run(['warm', '--dry-run', '--json'])).stdout)).toMatchObject({ journal: 'none' })
    expect(await redis.call('EXISTS', 'shop~journal')).toBe(0)
    expect((await run(['history'])).stdout).toMatch(/^Nothing is in the journal of shop/)
  })

  it('fits 80 columns on a terminal, says what had no room, and cuts nothing when it is piped', async () => {
    await record(intent)
    await record(result)
    await record({ ...intent, op: 'x2', what: JSON.stringify(['pattern:'.padEnd(250, 'x')]), verb: 'version prune' })
    const wide = await run(['history'], { stdoutIsTty: true })
    for (const line of wide.stdout.split('\n')) expect(line.length, line).toBeLessThanOrEqual(80)
    expect(wide.stdout).toMatch(/no room for: config, took, counts/)
    expect(wide.stdout).toMatch(/no result: interrupted\?/)
    expect(wide.stdout).toMatch(/exit 3/)
    const piped = (await run(['history'])).stdout
    expect(piped).toContain('x'.repeat(242))
    expect(piped).toContain('7 deleted, 2 already gone')
    expect(piped).toContain('ops@web-1:12')
  })

  it('shows nothing raw, whatever was written to the journal', async () => {
    const nasty = '\x1b[2J\r\n\u202e\u0007\\'
    await record({
      ...result,
      op: nasty,
      verb: nasty,
      what: JSON.stringify([nasty]),
      who: nasty,
      counts: JSON.stringify({ [nasty]: 1 }),
    })
    await record({ ...intent, what: nasty, config: nasty })
    await record({ anything: nasty })
    for (const argv of [['history'], ['history', '--json'], ['history', '-o', 'ndjson']]) {
      const { exitCode, stdout } = await run(argv)
      expect(exitCode).toBe(0)
      expect(stdout.replaceAll('\n', '')).not.toMatch(RAW)
    }
    expect((await run(['history'])).stdout).toMatch(/Left out: 1 in the journal that cachectl did not write/)
  })

  it('a run that was killed is shown as such, and the same command again completes it', async () => {
    const slow = createProject({
      'cache.config.mjs': CONFIG.replace(
        'yield [',
        'if (process.env.SLOW) await new Promise((go) => setTimeout(go, 60_000)); yield [',
      ),
    })
    try {
      const warming = start(['warm'], { cwd: slow.folder, env: { ...env(), SLOW: '1' } })
      await until(async () => (await redis.call('XLEN', 'shop~journal')) === 1)
      expect((await run(['history'])).stdout).toMatch(/warm +running/)
      warming.child.kill('SIGKILL')
      await warming.ended
      expect((await run(['history'])).stdout).toMatch(
        /warm +no result: interrupted\?[\s\S]*The same command again\ncompletes its work/,
      )
      await redis.call('DEL', ...((await redis.call('KEYS', 'shop~lock*')) as string[]), 'none')
      expect((await run(['warm'])).exitCode).toBe(0)
      expect((await run(['history'])).stdout).toMatch(/warm +done[\s\S]*warm +no result/)
    } finally {
      slow.remove()
    }
  })

  it('tells what stands in the local file only, and about which server', async () => {
    await redis.call('ACL', 'SETUSER', 'default', '-xadd')
    try {
      const warmed = await run(['warm'])
      expect(warmed.exitCode).toBe(0)
      expect(warmed.stderr).toContain(join(state, 'cachectl/journal/shop.ndjson'))
    } finally {
      await redis.call('ACL', 'SETUSER', 'default', '+xadd')
    }
    const { stdout } = await run(['history'], { stdoutIsTty: true })
    expect(stdout).toMatch(/warm +done, local/)
    expect(stdout).toContain(`127.0.0.1:${redis.port}/0`)
  })

  it('refuses what it cannot do, and says how it is done', async () => {
    expect(await run(['history', 'product'])).toMatchObject({ exitCode: 2 })
    expect(await run(['history', '-f', '--json'])).toMatchObject({
      exitCode: 2,
      stderr: expect.stringContaining('-o ndjson'),
    })
    expect(await run(['history', '--since', 'soon'])).toMatchObject({ exitCode: 2 })
    const nowhere = await run(['history'], { cwd: state })
    expect(nowhere).toMatchObject({ exitCode: 2, stderr: expect.stringContaining('cachectl init') })
    await redis.call('SET', 'shop~journal', 'x')
    expect(await run(['history', '-q'])).toMatchObject({ exitCode: 3, stdout: '' })
  })
})

describe('history -f', () => {
  it('writes a line as it comes; Ctrl-C ends it at once', async () => {
    await record(intent)
    const following = start(['history', '-f'], { cwd: project.folder, env: env() })
    await until(() => following.stdout().includes('invalidate'))
    await record(result)
    await until(() => following.stdout().includes('7 deleted'))
    const startedMs = performance.now()
    following.child.kill('SIGINT')
    const { exitCode, stdout, stderr } = await following.ended
    expect(performance.now() - startedMs).toBeLessThan(250 + 500)
    expect([exitCode, stderr]).toEqual([130, ''])
    expect(stdout.trimEnd().split('\n')).toHaveLength(2)
  })

  it('ndjson: a document a line; a reader that goes away is no error', async () => {
    const following = start(['history', '-f', '-o', 'ndjson'], { cwd: project.folder, env: env() })
    const writing = setInterval(() => void record(intent), 20)
    try {
      await until(() => following.stdout().includes('\n'))
      expect(JSON.parse(following.stdout().split('\n')[0] ?? '')).toMatchObject({ op: 'x1', state: 'interrupted' })
      following.child.stdout?.destroy()
      expect(await following.ended).toMatchObject({ exitCode: 0, stderr: '' })
    } finally {
      clearInterval(writing)
    }
  })

  it('--deadline ends it too', async () => {
    const { exitCode } = await spawnedCachectl(['history', '-f', '--deadline', '300ms'], {
      cwd: project.folder,
      env: env(),
    })
    expect(exitCode).toBe(3)
  })
})
