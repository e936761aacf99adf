// The programs as people run them: in processes of their own, with the environment of a cron job and nothing of this one's.
import { type ChildProcess, spawn } from 'node:child_process'
import { once } from 'node:events'
import { mkdtempSync, realpathSync, rmSync, symlinkSync, writeFileSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { fileURLToPath } from 'node:url'

export const ROOT = fileURLToPath(new URL('../..', import.meta.url))
const MODULES = join(ROOT, 'node_modules')

export interface SpawnOptions {
  program?: 'cachectl' | 'warm-cache' | 'cache-stats'
  cwd?: string
  /** beside PATH, HOME and TMPDIR; undefined takes one of them away */
  env?: Record<string, string | undefined>
  input?: string
  /** what stands before node, e.g. `setpriv` */
  before?: readonly string[]
}

export interface Ended {
  exitCode: number | null
  signal: NodeJS.Signals | null
  stdout: string
  stderr: string
  tookMs: number
}

export interface Running {
  child: ChildProcess
  stdout(): string
  stderr(): string
  ended: Promise<Ended>
}

/** The command line, for shells. */
export function commandLine(argv: readonly string[], program = 'cachectl'): string[] {
  return [process.execPath, join(ROOT, 'bin', `${program}.js`), ...argv]
}

export function cleanEnvironment(more: Record<string, string | undefined> = {}): NodeJS.ProcessEnv {
  return { PATH: process.env.PATH, HOME: tmpdir(), TMPDIR: tmpdir(), ...more }
}

const running = new Set<ChildProcess>()
process.once('exit', () => {
  for (const child of running) child.kill('SIGKILL')
})

export function start(argv: readonly string[], options: SpawnOptions = {}): Running {
  const { program, cwd = tmpdir(), env, input, before = [] } = options
  const [command = '', ...rest] = [...before, ...commandLine(argv, program)]
  const startedMs = performance.now()
  const child = spawn(command, rest, { cwd, env: cleanEnvironment(env), stdio: 'pipe' })
  running.add(child)
  const written = { stdout: [] as Buffer[], stderr: [] as Buffer[] }
  child.stdout.on('data', (chunk: Buffer) => written.stdout.push(chunk))
  child.stderr.on('data', (chunk: Buffer) => written.stderr.push(chunk))
  child.stdin.on('error', () => {})
  child.stdin.end(input)
  const text = (name: 'stdout' | 'stderr') => Buffer.concat(written[name]).toString()
  const ended = once(child, 'close').then(([exitCode, signal]) => {
    running.delete(child)
    return { exitCode, signal, stdout: text('stdout'), stderr: text('stderr'), tookMs: performance.now() - startedMs }
  })
  return { child, stdout: () => text('stdout'), stderr: () => text('stderr'), ended }
}

/** Runs it to its end. */
export function cachectl(argv: readonly string[], options?: SpawnOptions): Promise<Ended> {
  return start(argv, options).ended
}

/** A bash line, with `cachectl` as a function in it. */
export async function shell(line: string, env: Record<string, string | undefined> = {}): Promise<Ended> {
  const startedMs = performance.now()
  const [node, script] = commandLine([])
  const child = spawn('bash', ['-c', `cachectl() { "${node}" "${script}" "$@"; }\n${line}`], {
    cwd: tmpdir(),
    env: cleanEnvironment(env),
    stdio: ['ignore', 'pipe', 'pipe'],
  })
  const [stdout, stderr] = [child.stdout, child.stderr].map(async (stream) => {
    const chunks: Buffer[] = []
    for await (const chunk of stream) chunks.push(chunk as Buffer)
    return Buffer.concat(chunks).toString()
  }) as [Promise<string>, Promise<string>]
  const [exitCode, signal] = await once(child, 'close')
  return { exitCode, signal, stdout: await stdout, stderr: await stderr, tookMs: performance.now() - startedMs }
}

export interface Project {
  folder: string
  write(name: string, text: string): string
  remove(): void
}

/** A folder with files as an application has them: `pg` and the like are there, `cachectl` is not. */
export function createProject(files: Record<string, string>): Project {
  const folder = realpathSync(mkdtempSync(join(tmpdir(), 'cachectl-app-')))
  symlinkSync(MODULES, join(folder, 'node_modules'))
  const write = (name: string, text: string) => {
    writeFileSync(join(folder, name), text)
    return join(folder, name)
  }
  for (const [name, text] of Object.entries(files)) write(name, text)
  return { folder, write, remove: () => rmSync(folder, { recursive: true, force: true }) }
}

/** Waits for a condition, with a bound. Looks every few milliseconds. */
export async function until<T>(
  condition: () => T | Promise<T>,
  withinMs = 10_000,
): Promise<Exclude<T, false | null | undefined>> {
  const deadlineMs = performance.now() + withinMs
  for (;;) {
    const value = await condition()
    if (value) return value as Exclude<T, false | null | undefined>
    if (performance.now() > deadlineMs) throw new Error(`it did not come to that within ${withinMs} ms: ${condition}`)
    await new Promise((resolve) => setTimeout(resolve, 5))
  }
}
