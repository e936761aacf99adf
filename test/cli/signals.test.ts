// Ctrl-C, SIGTERM and deadlines: at once, with a true report, the lock given back, and the way to go on.
import { createServer, type Server } from 'node:net'
import { afterAll, beforeAll, describe, expect, it } from 'vitest'
import { freePort } from '../servers.ts'
import { type App, startRows } from './app.ts'
import { cachectl, createProject, type Project, type Running, start, until } from './spawned.ts'

const SIGNALS = [
  { signal: 'SIGINT', exitCode: 130, code: 'INTERRUPTED' },
  { signal: 'SIGTERM', exitCode: 143, code: 'TERMINATED' },
] as const

/** Slow enough to be in the middle for many seconds. */
const SLOWLY = ['--rate', '2000', '--batch', '100']

let app: App
beforeAll(async () => {
  app = await startRows(30_000)
})
afterAll(() => app?.stop())

async function warmingUp(argv: readonly string[]): Promise<Running> {
  await app.redis.call('FLUSHALL')
  const run = app.start(['warm', ...SLOWLY, ...argv])
  await until(async () => (await app.entries()) >= 500)
  return run
}

describe.each(SIGNALS)('$signal in the middle of warm', ({ signal, exitCode, code }) => {
  it(`ends with ${exitCode}, a true report and the way to go on`, async () => {
    const run = await warmingUp(['--json'])
    run.child.kill(signal)
    const killedMs = performance.now()
    await until(() => performance.now() - killedMs > 250)
    const stopped = await app.entries()
    const ended = await run.ended
    expect(performance.now() - killedMs).toBeLessThan(5_000)
    expect(ended.exitCode).toBe(exitCode)
    const report = JSON.parse(ended.stdout)
    expect(report).toMatchObject({ command: 'warm', ok: false, complete: false, exitCode })
    expect(report.problems).toEqual([expect.objectContaining({ code, hint: expect.stringMatching(/run .* again/) })])
    expect(await app.entries()).toBe(stopped)
    expect(report.totals.written).toBe(stopped)
    expect(await app.locks()).toEqual([])
  })

  it('tells a person the same', async () => {
    const run = await warmingUp([])
    run.child.kill(signal)
    const { stdout, exitCode: code } = await run.ended
    expect(code).toBe(exitCode)
    const there = await app.entries()
    expect(stdout).toContain(`${there.toLocaleString('en')} entries written`)
    expect(stdout).toMatch(/(interrupted|terminated): .*\n {2}next: run the same command again; what is done is kept\n/)
  })
})

it('goes on where it was', async () => {
  const run = await warmingUp(['--json'])
  run.child.kill('SIGINT')
  await run.ended
  const there = await app.entries()
  const { exitCode, stdout } = await app.run(['warm', '--json'])
  expect(exitCode).toBe(0)
  expect(JSON.parse(stdout).totals).toMatchObject({
    written: app.rows - there,
    skipped: { present: there },
  })
})

it('a deadline ends a run like Ctrl-C, with exit 3', async () => {
  await app.redis.call('FLUSHALL')
  const { exitCode, stdout } = await app.run(['warm', ...SLOWLY, '--json', '--deadline', '5s'])
  expect(exitCode).toBe(3)
  expect(JSON.parse(stdout)).toMatchObject({
    complete: false,
    totals: { written: await app.entries() },
    problems: [{ code: 'DEADLINE' }],
  })
})

describe('what never answers', () => {
  const FOR_EVER = 'await new Promise((resolve) => setTimeout(resolve, 1e9))'
  const SOURCES = {
    'a function': `fn({ rows: async function* () { yield { id: 1 }; console.error('hanging'); ${FOR_EVER} } })`,
    'a source of the user': `{ kind: 'own', reads: 'page', hasTenants: false, strategies: ['all'],
      async *select() { console.error('hanging'); ${FOR_EVER} } }`,
  }
  let project: Project
  beforeAll(() => {
    project = createProject({})
  })
  afterAll(() => project.remove())

  async function hanging(source: string, before = ''): Promise<Running> {
    await app.redis.call('FLUSHALL')
    const config = project.write(
      'cache.config.ts',
      `import { defineConfig, fn } from 'cachectl'
      ${before}
      export default defineConfig({ redis: process.env.REDIS_URL, prefix: 'shop', namespaces: { detail: { ttl: '1h' } },
        models: { product: { source: ${source}, namespace: 'detail', tenant: false, warm: { strategy: 'all' } } } })`,
    )
    const run = start(['warm', '--batch', '1', '--config', config], { env: { REDIS_URL: app.redis.url } })
    await until(() => run.stderr().includes('hanging'))
    return run
  }

  it.each([
    ['a function', 1_000],
    ['a source of the user', 6_000],
  ] as const)('%s does not keep Ctrl-C waiting', async (source, withinMs) => {
    const run = await hanging(SOURCES[source])
    run.child.kill('SIGINT')
    const killedMs = performance.now()
    const { exitCode, stderr, stdout } = await run.ended
    expect(performance.now() - killedMs).toBeLessThan(withinMs)
    expect(exitCode).toBe(130)
    expect(stdout + stderr).toMatch(/interrupted: .*\n {2}next: run the same command again/)
  })

  it('a config does not either', async () => {
    const run = await hanging('null', `console.error('hanging'); ${FOR_EVER}`)
    run.child.kill('SIGTERM')
    const killedMs = performance.now()
    const { exitCode, stderr } = await run.ended
    expect(performance.now() - killedMs).toBeLessThan(1_000)
    expect(exitCode).toBe(143)
    expect(stderr).toContain('terminated: ')
  })

  it('a second Ctrl-C ends it at once', async () => {
    const run = await hanging(SOURCES['a source of the user'])
    run.child.kill('SIGINT')
    const killedMs = performance.now()
    // Signals that are under way together are one: the second is sent until it is heard.
    const again = setInterval(() => run.child.kill('SIGINT'), 100)
    const { signal } = await run.ended
    clearInterval(again)
    expect(signal).toBe('SIGINT')
    expect(performance.now() - killedMs).toBeLessThan(1_000)
  })
})

describe('a host that takes connections and never answers', () => {
  let silent: Server
  let url: string
  beforeAll(async () => {
    const port = await freePort()
    silent = createServer((socket) => void socket.on('error', () => {}))
    await new Promise<void>((resolve) => silent.listen(port, '127.0.0.1', resolve))
    url = `redis://127.0.0.1:${port}`
  })
  afterAll(() => void silent.close())

  it.each([
    ['SIGINT', 130],
    ['SIGTERM', 143],
  ] as const)('%s ends with %i', async (signal, code) => {
    const connected = new Promise((resolve) => silent.once('connection', resolve))
    const run = start(['stats', '--json', '--redis', url])
    await connected
    run.child.kill(signal)
    const killedMs = performance.now()
    const { exitCode, stdout, stderr } = await run.ended
    expect(performance.now() - killedMs).toBeLessThan(4_000)
    expect(exitCode).toBe(code)
    expect(JSON.parse(stdout)).toMatchObject({ ok: false, error: { exitCode: code } })
    expect(stderr).toMatch(/^error: .*\n {2}next: .*\n$/)
  })

  it('a deadline ends it with 3', async () => {
    const { exitCode, tookMs, stderr } = await cachectl(['keys', 'all', '--redis', url, '--deadline', '300ms'])
    expect(exitCode).toBe(3)
    expect(stderr).toContain('the deadline passed')
    expect(tookMs).toBeLessThan(4_500)
  })
})
