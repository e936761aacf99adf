// A private server on a unix socket: a real Redis or Valkey that keeps no files and ends with the process that asked for it.
import { type ChildProcess, spawn } from 'node:child_process'
import { once } from 'node:events'
import { mkdtemp, rm, writeFile } from 'node:fs/promises'
import { connect as connectSocket } from 'node:net'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { createInterface } from 'node:readline'
import { setTimeout as delay } from 'node:timers/promises'
import { CachectlError } from '../../core/errors.ts'
import { printable } from '../../core/printable.ts'
import { type FindServerOptions, findServer } from './find-server.ts'
import type { ServerBinary } from './server-binary.ts'

export interface EmbeddedServer {
  /** `unix:/tmp/cachectl-x/redis.sock`, or `redis://127.0.0.1:<port>` where a port was asked for */
  url: string
  /** of the Redis server itself */
  pid: number
  /** the folder, mode 0700, that holds the socket and nothing else */
  dir: string
  /** Ends the server and removes its folder; a second call waits for the first. */
  stop(): Promise<void>
}

export interface EmbeddedOptions extends FindServerOptions {
  /** more arguments of redis-server; these win over the ones given here */
  args?: readonly string[]
  /** listens on this port of the loopback interface as well */
  port?: number
  /** The server outlives this process; it ends by its pid, or by `stop`. */
  detach?: boolean
  /** a Sentinel, which keeps what it knows in a file of its folder */
  sentinel?: boolean
}

const READY_WITHIN_MS = 15_000
const STOP_WITHIN_MS = 5_000
/** A unix socket's path has room for 107 bytes on Linux and 103 on macOS, and is cut silently on some systems. */
const SOCKET_PATH_BYTES = 100

/**
 * Starts a private server; finds or fetches its binary first.
 * @throws CachectlError REDIS_BINARY_MISSING; REDIS_UNREACHABLE when it does not start, with what it said
 */
export async function startServer(options: EmbeddedOptions = {}): Promise<EmbeddedServer> {
  const binary = await findServer(options)
  const dir = await mkdtemp(join(socketBase(), 'cachectl-'))
  const socketPath = join(dir, 'redis.sock')
  const args = serverArguments(dir, socketPath, options)
  if (options.sentinel) {
    const file = join(dir, 'sentinel.conf')
    await writeFile(file, '')
    args.unshift(file)
    args.push('--sentinel')
  }
  const server = options.detach ? launchDetached(binary, args) : launchGuarded(binary, args, dir)
  const stop = single(async () => {
    await server.stop()
    await rm(dir, { recursive: true, force: true })
  })
  try {
    const pid = await server.pid
    await answers(socketPath, server, options.signal)
    server.release()
    const url = options.port ? `redis://127.0.0.1:${options.port}` : `unix:${socketPath}`
    return { url, pid, dir, stop }
  } catch (error) {
    await stop()
    if (error instanceof CachectlError || options.signal?.aborted) throw error
    const said = printable(server.output().trim().split('\n').slice(-5).join('\n'))
    throw new CachectlError(
      'REDIS_UNREACHABLE',
      `the private server ${binary.path} did not start: ${said || String(error)}`,
      {
        hint: 'set REDIS_URL to a server that runs, or CACHECTL_REDIS_SERVER to another redis-server',
      },
    )
  }
}

function serverArguments(dir: string, socketPath: string, options: EmbeddedOptions): string[] {
  const listen = [
    '--port',
    String(options.port ?? 0),
    '--bind',
    '127.0.0.1',
    '--unixsocket',
    socketPath,
    '--unixsocketperm',
    '700',
  ]
  const keepNothing = ['--save', '', '--appendonly', 'no', '--dir', dir]
  return [...listen, ...keepNothing, '--daemonize', 'no', '--loglevel', 'warning', ...(options.args ?? [])]
}

function socketBase(): string {
  const longest = join(tmpdir(), 'cachectl-XXXXXX', 'redis.sock')
  return Buffer.byteLength(longest) < SOCKET_PATH_BYTES ? tmpdir() : '/tmp'
}

interface Launched {
  pid: Promise<number>
  /** the last it printed */
  output(): string
  exited(): boolean
  /** From here on it keeps nobody waiting: a process that forgets `stop` still ends, and the pipe's end then stops the server. */
  release(): void
  stop(): Promise<void>
}

/**
 * Runs between us and the server: its standard input is a pipe that we hold, so that its end, however we die (also by
 * SIGKILL), ends the server and removes the folder. In its own session: Ctrl-C is for us to handle, and the server must outlast it.
 * SIGKILL for the server as well: it keeps nothing that a slower end could save.
 */
const GUARD = `
const { spawn } = require('node:child_process')
const { rmSync } = require('node:fs')
const [dir, command, ...args] = process.argv.slice(1)
const server = spawn(command, args, { stdio: ['ignore', 2, 2] })
const stop = () => server.kill('SIGKILL')
const ended = (code) => {
  rmSync(dir, { recursive: true, force: true })
  process.exitCode = code ?? 1
  process.stdin.destroy()
}
server.on('error', (error) => { console.error(error.message); ended(1) })
server.on('exit', ended)
process.stdin.on('end', stop).on('error', stop).resume()
for (const signal of ['SIGTERM', 'SIGINT', 'SIGHUP']) process.on(signal, stop)
process.stdout.on('error', stop)
if (server.pid) console.log(server.pid)
`

function launchGuarded(binary: ServerBinary, args: readonly string[], dir: string): Launched {
  const guard = spawn(process.execPath, ['-e', GUARD, '--', dir, binary.path, ...args], {
    cwd: '/',
    // Without our NODE_OPTIONS: a loader meant for this process would slow or break the guard.
    env: { ...process.env, ...binary.env, NODE_OPTIONS: '' },
    stdio: ['pipe', 'pipe', 'pipe'],
    detached: true,
  })
  guard.stdin.on('error', () => {})
  const pid = new Promise<number>((resolve, reject) => {
    createInterface(guard.stdout).once('line', (line) => resolve(Number(line)))
    guard.once('error', reject)
    guard.once('close', () => reject(new Error('it ended at once')))
  })
  const launched = describeChild(guard, pid)
  return { ...launched, stop: () => end(guard, () => guard.stdin.end()) }
}

function launchDetached(binary: ServerBinary, args: readonly string[]): Launched {
  const server = spawn(binary.path, args, {
    cwd: '/',
    env: { ...process.env, ...binary.env },
    stdio: 'ignore',
    detached: true,
  })
  const pid = new Promise<number>((resolve, reject) => {
    server.once('error', reject)
    server.once('spawn', () => resolve(server.pid as number))
  })
  return { ...describeChild(server, pid), stop: () => end(server, () => server.kill('SIGKILL')) }
}

function describeChild(child: ChildProcess, pid: Promise<number>): Omit<Launched, 'stop'> {
  let output = ''
  child.stderr?.on('data', (chunk: Buffer) => {
    output = (output + chunk.toString()).slice(-4_096)
  })
  pid.catch(() => {})
  const release = () => {
    for (const handle of [child, child.stdin, child.stdout, child.stderr])
      (handle as { unref?(): void } | null)?.unref?.()
  }
  return { pid, release, output: () => output, exited: () => child.exitCode !== null || child.signalCode !== null }
}

async function end(child: ChildProcess, ask: () => void): Promise<void> {
  if (child.pid === undefined || child.exitCode !== null || child.signalCode !== null) return
  child.ref()
  const exited = once(child, 'exit')
  ask()
  const patience = setTimeout(() => child.kill('SIGKILL'), STOP_WITHIN_MS)
  await exited
  clearTimeout(patience)
}

/** Resolves when the server answers a PING: any reply but LOADING, since one that asks for a password runs too. */
async function answers(socketPath: string, server: Launched, signal: AbortSignal | undefined): Promise<void> {
  const deadline = performance.now() + READY_WITHIN_MS
  for (;;) {
    signal?.throwIfAborted()
    if (server.exited()) throw new Error('it ended at once')
    const reply = await firstBytes(socketPath)
    if (/^[+-](?!LOADING)/.test(reply)) return
    if (performance.now() > deadline) throw new Error(`it did not answer for ${READY_WITHIN_MS / 1000} s`)
    await delay(5)
  }
}

function firstBytes(socketPath: string): Promise<string> {
  return new Promise((resolve) => {
    const socket = connectSocket(socketPath)
    const done = (reply: string) => {
      socket.destroy()
      resolve(reply)
    }
    socket.setTimeout(1_000, () => done(''))
    socket.once('error', () => done(''))
    socket.once('close', () => done(''))
    socket.once('data', (chunk) => done(chunk.toString('latin1')))
    socket.write('PING\r\n')
  })
}

function single(task: () => Promise<void>): () => Promise<void> {
  let running: Promise<void> | null = null
  return () => {
    running ??= task()
    return running
  }
}
