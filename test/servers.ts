// Real Redis servers for tests: each its own, on loopback or a unix socket, stopped by its own process id.
import { readFileSync } from 'node:fs'
import { createServer } from 'node:net'
import { fileURLToPath } from 'node:url'
import { Redis } from 'ioredis'
import { startServer } from '../src/adapters/redis/embedded.ts'

export interface TestRedisOptions {
  /** arguments of redis-server */
  args?: readonly string[]
  /** listens on this port of the loopback interface; 0 takes a free one. Without it and without `tls`: a unix socket only. */
  port?: number
  /** `port` speaks TLS with the certificate of this name in test/fixtures/tls (`server` for true) */
  tls?: boolean | 'server' | 'other-name' | 'expired'
  /** that of CACHECTL_TEST_SERVER, or any, where it is not said */
  binary?: TestBinary
  sentinel?: boolean
}

export type TestBinary = 'redis-server' | 'valkey-server'

export interface TestRedis {
  /** `redis://127.0.0.1:<port>`, `rediss://localhost:<port>`, or the unix socket where there is no port */
  url: string
  /** plain, whatever `url` is */
  socketUrl: string
  port: number | null
  pid: number
  dir: string
  /** One command over the unix socket, as the default user (with the password of `--requirepass` in `args`, if any). */
  call(...args: readonly (string | number | Buffer)[]): Promise<unknown>
  stop(): Promise<void>
}

/** `CACHECTL_TEST_SERVER=valkey-server` runs any test file on Valkey. */
export const TEST_BINARY = process.env.CACHECTL_TEST_SERVER as TestBinary | undefined

/** The text of a file in test/fixtures/tls, e.g. `ca.crt`. */
export function tlsFixture(name: string): string {
  return readFileSync(tlsFile(name), 'utf8')
}

let startOther: (() => Promise<TestRedis>) | null = null

/** From here on, in this test file, whoever asks for any server gets one of these; who asks for arguments, TLS or a binary gets what they ask for. */
export function startInstead(start: () => Promise<TestRedis>): void {
  startOther = start
}

/** Starts a server; the caller stops it. */
export async function startRedis(options: TestRedisOptions = {}): Promise<TestRedis> {
  if (startOther !== null && Object.keys(options).every((name) => name === 'port')) return startOther()
  const wanted = options.port ?? (options.tls ? 0 : null)
  const port = wanted === 0 ? await freePort() : wanted
  const args = [...(options.tls ? tlsArguments(options.tls, port as number) : []), ...(options.args ?? [])]
  const binary = options.binary ?? TEST_BINARY
  const server = await startServer({
    args,
    ...(port === null || options.tls ? {} : { port }),
    ...(binary ? { binary } : {}),
    ...(options.sentinel ? { sentinel: true } : {}),
  })
  const socket = `${server.dir}/redis.sock`
  const password = args[args.indexOf('--requirepass') + 1]
  const admin = new Redis({
    path: socket,
    lazyConnect: true,
    ...(args.includes('--requirepass') && password ? { password } : {}),
  })
  admin.on('error', () => {})
  const url = options.tls ? `rediss://localhost:${port}` : server.url
  const call = (name: string | number | Buffer, ...rest: (string | number | Buffer)[]) =>
    admin.call(String(name), ...rest)
  const stop = async () => {
    admin.disconnect()
    await server.stop()
  }
  return {
    url,
    socketUrl: `unix:${socket}`,
    port,
    pid: server.pid,
    dir: server.dir,
    call: call as TestRedis['call'],
    stop,
  }
}

/** A port of the loopback interface that was free a moment ago. */
export async function freePort(): Promise<number> {
  const probe = createServer().listen(0, '127.0.0.1')
  await new Promise((resolve) => probe.once('listening', resolve))
  const { port } = probe.address() as { port: number }
  await new Promise((resolve) => probe.close(resolve))
  return port
}

function tlsArguments(tls: true | string, port: number): string[] {
  const name = tls === true ? 'server' : tls
  const files = [
    '--tls-cert-file',
    tlsFile(`${name}.crt`),
    '--tls-key-file',
    tlsFile(`${name}.key`),
    '--tls-ca-cert-file',
    tlsFile('ca.crt'),
  ]
  return ['--tls-port', String(port), '--tls-auth-clients', 'no', ...files]
}

function tlsFile(name: string): string {
  return fileURLToPath(new URL(`./fixtures/tls/${name}`, import.meta.url))
}
