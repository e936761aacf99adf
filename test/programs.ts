// Programs in processes of their own, as plain JavaScript in a folder that every user may read: the project's may be closed to them.
import { type ChildProcess, spawn } from 'node:child_process'
import { once } from 'node:events'
import { chmod, mkdir, mkdtemp, readdir, readFile, rm, symlink, writeFile } from 'node:fs/promises'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { fileURLToPath } from 'node:url'
import ts from 'typescript'

export interface Programs {
  folder: string
  /** a folder for the PATH: everything of this machine but its Redis servers */
  bin: string
  /** Runs `body` in a process of its own, with `startServer` and `say` in scope. */
  run(body: string, options?: RunOptions): Promise<Program>
  remove(): Promise<void>
}

export interface RunOptions {
  env?: Record<string, string>
  user?: number
  group?: boolean
}

export interface Program {
  child: ChildProcess
  /** its exit code and signal */
  ended: Promise<unknown[]>
  /** the lines said so far, once there is one */
  answers(): Promise<{ url: string; pid: number; dir: string; [name: string]: unknown }[]>
  stderr(): string
}

export async function createPrograms(): Promise<Programs> {
  const folder = await mkdtemp(join(tmpdir(), 'programs-'))
  await chmod(folder, 0o755)
  await writeFile(join(folder, 'package.json'), '{"type":"module"}')
  for (const part of ['core', 'adapters/redis']) await compile(part, join(folder, part))
  const bin = join(folder, 'bin')
  await mkdir(bin)
  for (const from of ['/usr/local/bin', '/usr/bin', '/bin', '/usr/sbin', '/sbin']) {
    for (const name of await readdir(from).catch(() => [])) {
      if (!/^(redis|valkey)/.test(name)) await symlink(join(from, name), join(bin, name)).catch(() => {})
    }
  }
  const running = new Set<ChildProcess>()
  const start = async (body: string, options?: RunOptions) => {
    const program = await run(folder, body, options)
    running.add(program.child)
    return program
  }
  const remove = async () => {
    for (const child of running) child.kill('SIGKILL')
    await rm(folder, { recursive: true, force: true })
  }
  return { folder, bin, run: start, remove }
}

async function compile(part: string, to: string): Promise<void> {
  const from = fileURLToPath(new URL(`../src/${part}/`, import.meta.url))
  const compilerOptions = {
    module: ts.ModuleKind.ESNext,
    target: ts.ScriptTarget.ES2023,
    rewriteRelativeImportExtensions: true,
  }
  await mkdir(to, { recursive: true })
  for (const name of await readdir(from)) {
    if (!name.endsWith('.ts')) continue
    const { outputText } = ts.transpileModule(await readFile(join(from, name), 'utf8'), { compilerOptions })
    await writeFile(join(to, name.replace(/\.ts$/, '.js')), outputText)
  }
}

async function run(folder: string, body: string, { env = {}, user, group = false }: RunOptions = {}): Promise<Program> {
  const file = join(folder, `${Math.random().toString(36).slice(2)}.js`)
  const head = `import { startServer } from './adapters/redis/embedded.js'\nconst say = (what) => process.stdout.write(JSON.stringify(what) + '\\n')\n`
  await writeFile(file, head + body)
  const ids = user === undefined ? {} : { uid: user, gid: user }
  const child = spawn(process.execPath, [file], {
    cwd: '/',
    env: { PATH: process.env.PATH ?? '', ...env },
    detached: group,
    ...ids,
  })
  let stdout = ''
  let stderr = ''
  child.stderr.on('data', (chunk) => {
    stderr += chunk
  })
  const ended = once(child, 'close')
  const said = new Promise<void>((resolve) => {
    child.stdout.on('data', (chunk) => {
      stdout += chunk
      if (stdout.includes('\n')) resolve()
    })
  })
  return {
    child,
    ended,
    async answers() {
      await Promise.race([said, ended])
      if (!stdout.includes('\n')) throw new Error(`it said nothing: ${stderr}`)
      return stdout
        .trim()
        .split('\n')
        .map((line) => JSON.parse(line))
    },
    stderr: () => stderr,
  }
}

/** Waits for a condition, with a bound. */
export async function until(condition: () => boolean | Promise<boolean>, withinMs = 5_000): Promise<void> {
  const deadline = performance.now() + withinMs
  while (!(await condition())) {
    if (performance.now() > deadline) throw new Error(`it did not come to that within ${withinMs} ms`)
    await new Promise(setImmediate)
  }
}

/** The temporary folder of this process is `folder` meanwhile. */
export async function withTemporaryFolder<T>(folder: string, use: () => Promise<T>): Promise<T> {
  const before = process.env.TMPDIR
  await mkdir(folder, { recursive: true })
  process.env.TMPDIR = folder
  try {
    return await use()
  } finally {
    if (before === undefined) delete process.env.TMPDIR
    else process.env.TMPDIR = before
  }
}
