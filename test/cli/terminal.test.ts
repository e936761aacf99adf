// On a terminal: the bar, Ctrl-C while it is drawn, and terminals that do not say how wide they are. `script` gives one.

import { spawn } from 'node:child_process'
import { once } from 'node:events'
import { afterAll, beforeAll, describe, expect, it } from 'vitest'
import { type App, startRows } from './app.ts'
import { cleanEnvironment, commandLine, until } from './spawned.ts'

let app: App
beforeAll(async () => {
  app = await startRows(20_000)
})
afterAll(() => app?.stop())

/** Runs it on a terminal of its own; `columns` 0: one that was never told its size. */
function onTerminal(argv: readonly string[], columns: number, env: Record<string, string> = {}) {
  const words = commandLine(argv)
    .map((word) => `'${word}'`)
    .join(' ')
  const size = columns === 0 ? '' : `stty cols ${columns} rows 24; `
  const child = spawn('script', ['-qefc', `${size}exec ${words}`, '/dev/null'], {
    cwd: app.project.folder,
    env: cleanEnvironment({ REDIS_URL: app.redis.url, TERM: 'xterm-256color', ...env }),
    stdio: ['ignore', 'pipe', 'pipe'],
  })
  let shown = ''
  child.stdout.on('data', (chunk) => {
    shown += chunk
  })
  return { shown: () => shown, ended: once(child, 'close').then(([exitCode]) => exitCode as number) }
}

describe.runIf(process.platform === 'linux')('on a terminal', () => {
  it('warm draws a bar, and its report keeps to the width', async () => {
    await app.redis.call('FLUSHALL')
    const run = onTerminal(['warm', '--rate', '20000'], 80)
    expect(await run.ended).toBe(0)
    expect(run.shown()).toMatch(/█+░* \d+ %/)
    const [report = ''] = run.shown().split('\x1b[0K').slice(-1)
    const lines = report.split('\n').map((line) => line.replace(/\x1b\[[\d;?]*[a-zA-Z]/g, '').trimEnd())
    expect(lines.join('\n')).toContain('✓ 20,000 of 20,000 entries written')
    expect(Math.max(...lines.map((line) => line.length))).toBeLessThanOrEqual(80)
  })

  it('Ctrl-C while the bar is drawn: the report, the cursor, no lock', async () => {
    await app.redis.call('FLUSHALL')
    const run = onTerminal(['warm', '--rate', '2000', '--batch', '100'], 100)
    await until(async () => (await app.entries()) >= 500)
    const { holder } = JSON.parse(String(await app.redis.call('GET', 'world~lock:warm:city')))
    process.kill(Number(String(holder).split(':').pop()), 'SIGINT')
    expect(await run.ended).toBe(130)
    expect(run.shown()).toContain('interrupted: stopped where it was')
    expect(run.shown().lastIndexOf('\x1b[?25h')).toBeGreaterThan(run.shown().lastIndexOf('\x1b[?25l'))
    expect(await app.locks()).toEqual([])
  })

  it('a terminal without a width gets no bar, and the same facts', async () => {
    await app.redis.call('FLUSHALL')
    const run = onTerminal(['warm'], 0)
    expect(await run.ended).toBe(0)
    expect(run.shown()).toContain('20,000 of 20,000 entries written')
    expect(run.shown()).not.toContain('\x1b[1A')
  })

  it('stats leaves out columns that have no room, and names them', async () => {
    const narrow = onTerminal(['stats'], 60, { NO_COLOR: '1' })
    expect(await narrow.ended).toBe(0)
    expect(narrow.shown()).toMatch(/no room for: .*TTL p95/)
    const wide = onTerminal(['stats'], 200)
    expect(await wide.ended).toBe(0)
    expect(wide.shown()).toContain('\x1b[1m')
    expect(wide.shown()).not.toContain('no room')
  })
})
