// stdout is the answer and nothing else, whatever the config prints and whenever; --quiet, colours, files.
import { readFileSync } from 'node:fs'
import { join } from 'node:path'
import { afterAll, beforeAll, describe, expect, it } from 'vitest'
import { freePort, startRedis, type TestRedis } from '../servers.ts'
import { cachectl, createProject, type Project, type SpawnOptions, shell } from './spawned.ts'

/** Prints by every way there is, at load, later, and after the work is done. */
const NOISY = `
import { defineConfig, fn } from 'cachectl'
const noise = (when: string) => {
  if (process.env.SILENT) return
  console.log('NOISE log ' + when)
  console.table([when])
  process.stdout.write('NOISE write ' + when + '\\n')
}
noise('load')
setTimeout(() => noise('later'), 1)
process.once('beforeExit', () => noise('end'))
export default defineConfig({
  redis: process.env.REDIS_URL,
  prefix: 'shop',
  namespaces: { detail: { ttl: '1h' } },
  models: {
    product: {
      source: fn({ updatedAt: 'change', rows: async function* () { for (let id = 1; id <= 1200; id++) { if (id % 400 === 0) noise('row'); yield { id, name: 'p' + id, change: 1 } } } }),
      namespace: 'detail',
      tenant: false,
      ttl: (row: { id: number }) => { if (row.id === 7) noise('ttl'); return row.id === 13 && process.env.BAD_ROW ? 'soon' : '1h' },
      warm: { strategy: 'all' },
    },
  },
})
`
const ESCAPE = '\x1b'

let redis: TestRedis
let project: Project
let deadUrl: string
beforeAll(async () => {
  redis = await startRedis({ port: 0 })
  deadUrl = `redis://127.0.0.1:${await freePort()}`
  project = createProject({ 'cache.config.ts': NOISY })
})
afterAll(async () => {
  project?.remove()
  await redis?.stop()
})

const run = (argv: readonly string[], { env = {}, ...more }: SpawnOptions = {}) =>
  cachectl(argv, { cwd: project.folder, env: { REDIS_URL: redis.url, ...env }, ...more })

/** Command lines with their exit codes, once the products are there. */
const COMMANDS: [string, number][] = [
  ['warm', 0],
  ['warm --dry-run', 0],
  ['warm nothing', 2],
  ['stats', 0],
  ['stats --by pattern --largest 3', 0],
  ['keys product --limit 3', 0],
  ['keys product:77777', 0],
  ['get shop:v1:detail:product:1', 0],
  ['get shop:v1:detail:product:77777', 3],
  ['why shop:v1:detail:product:1', 0],
  ['why shop:v1:detail:product:77777', 0],
  ['config show', 0],
  ['config check', 0],
  ['init', 4],
  ['', 2],
]

describe('--json', () => {
  it.each([...COMMANDS, ['stats --redis DEAD', 10], ['keys all --redis DEAD', 10]] as [string, number][])(
    '%s: one document, exit %i',
    async (words, exitCode) => {
      const argv = words
        .split(' ')
        .filter(Boolean)
        .map((word) => (word === 'DEAD' ? deadUrl : word))
      const ended = await run([...argv, '--json'])
      expect({ exitCode: ended.exitCode, stderr: ended.exitCode === exitCode ? '' : ended.stderr }).toEqual({
        exitCode,
        stderr: '',
      })
      const document = JSON.parse(ended.stdout)
      expect([ended.stdout.at(0), ended.stdout.slice(-2)]).toEqual(['{', '}\n'])
      expect(document.ok).toBe(exitCode === 0 || (argv[0] === 'get' && exitCode === 3))
      expect(ended.stdout).not.toContain('NOISE')
      if (argv.length > 0 && argv[0] !== 'init') expect(ended.stderr).toContain('NOISE write load')
    },
  )

  it('warm --output ndjson: every line parses, the last is the report', async () => {
    const { stdout, exitCode } = await run(['warm', '--refresh', '-o', 'ndjson'], { env: { BAD_ROW: '1' } })
    expect(exitCode).toBe(3)
    const lines = stdout
      .trimEnd()
      .split('\n')
      .map((line) => JSON.parse(line))
    const events = lines.map(({ event }) => event)
    expect(events[0]).toBe('start')
    expect(events.slice(0, -1)).not.toContain('report')
    expect(events).toContain('row-error')
    expect(lines.at(-1)).toMatchObject({ event: 'report', command: 'warm', totals: { failed: 1, written: 1199 } })
  })
})

describe('--quiet', () => {
  const silent = (text: string) => text.split('\n').filter((line) => line !== '' && !/NOISE|^[┌├│└]/.test(line))

  it.each(COMMANDS.filter(([words]) => words !== ''))(
    '%s: nothing when all is well, else a line',
    async (words, exitCode) => {
      const ended = await run([...words.split(' '), '--quiet'])
      expect(ended.exitCode).toBe(exitCode)
      expect(ended.stdout).toBe('')
      expect(silent(ended.stderr)).toHaveLength(exitCode === 0 ? 0 : 1)
    },
  )

  it('rows that fail are a line, too', async () => {
    const ended = await run(['warm', '--refresh', '--quiet'], { env: { BAD_ROW: '1' } })
    expect({ exitCode: ended.exitCode, stdout: ended.stdout }).toEqual({ exitCode: 3, stdout: '' })
    expect(silent(ended.stderr)).toEqual([expect.stringMatching(/^warm: .*1 row/)])
  })
})

describe('colours', () => {
  const COLOURED = ['stats', 'why shop:v1:detail:product:1', 'config check', 'warm', 'config show']

  it.each(COLOURED)('%s: none in files and pipes, unless FORCE_COLOR asks for them', async (words) => {
    const file = join(project.folder, 'out.txt')
    const line = `cd '${project.folder}' && cachectl ${words} >'${file}' 2>&1`
    const told = async (env: Record<string, string>) => {
      await shell(line, { REDIS_URL: redis.url, SILENT: '1', ...env })
      return readFileSync(file, 'utf8')
    }
    expect(await told({})).not.toContain(ESCAPE)
    expect(await told({ FORCE_COLOR: '1' })).toContain(ESCAPE)
  })

  it('NO_COLOR and --no-color go before FORCE_COLOR, and JSON has none', async () => {
    const stats = async (argv: string[], env: Record<string, string>) => (await run(['stats', ...argv], { env })).stdout
    expect(await stats([], { FORCE_COLOR: '1', NO_COLOR: '1' })).not.toContain(ESCAPE)
    expect(await stats([], { FORCE_COLOR: '0' })).not.toContain(ESCAPE)
    expect(await stats(['--no-color'], { FORCE_COLOR: '1' })).not.toContain(ESCAPE)
    expect(await stats(['--json'], { FORCE_COLOR: '1' })).not.toContain(ESCAPE)
  })
})
