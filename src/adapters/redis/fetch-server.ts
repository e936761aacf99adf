// Finds a redis-server (or valkey-server): on the PATH, fetched before, or fetched now into the user's cache folder.
import { execFile } from 'node:child_process'
import { constants } from 'node:fs'
import { access, lstat, mkdir, mkdtemp, readdir, rename, rm, stat, symlink } from 'node:fs/promises'
import { tmpdir } from 'node:os'
import { delimiter, join } from 'node:path'
import { promisify } from 'node:util'
import { CachectlError } from '../../core/errors.ts'
import { printable } from '../../core/printable.ts'

export interface FindServerOptions {
  /** only this one; any of the two without it */
  binary?: 'redis-server' | 'valkey-server'
  /** PATH, HOME, XDG_CACHE_HOME, and CACHECTL_REDIS_SERVER: the path of a binary to use; those of this process without it */
  env?: Readonly<Record<string, string | undefined>>
  /** what is being done that takes a while, one line each */
  onNote?: (message: string) => void
  signal?: AbortSignal
}

export interface ServerBinary {
  path: string
  /** what it needs in its environment to find its libraries */
  env: Readonly<Record<string, string>>
}

type Env = Readonly<Record<string, string | undefined>>

const FETCH_WITHIN_MS = 180_000
/** The server is part of these packages in Debian and Ubuntu: one binary that goes by the name it is called by. */
const PACKAGES = [
  { name: 'redis-tools', server: 'redis-server', from: 'redis-check-rdb' },
  { name: 'valkey-tools', server: 'valkey-server', from: 'valkey-check-rdb' },
] as const

/**
 * @throws CachectlError REDIS_BINARY_MISSING with the line to type, when there is none and none can be fetched
 */
export async function findServer(options: FindServerOptions = {}): Promise<ServerBinary> {
  const env = options.env ?? process.env
  if (env.CACHECTL_REDIS_SERVER) {
    if (await works({ path: env.CACHECTL_REDIS_SERVER, env: {} })) return { path: env.CACHECTL_REDIS_SERVER, env: {} }
    throw missing(`CACHECTL_REDIS_SERVER names ${env.CACHECTL_REDIS_SERVER}, which does not run`)
  }
  const names = options.binary ? [options.binary] : ['redis-server', 'valkey-server']
  for (const name of names) {
    const path = await onPath(name, env)
    if (path) return { path, env: {} }
  }
  const folder = await cacheFolder(env)
  for (const name of names) {
    const cached = await unpacked(join(folder, name), name)
    if (cached && (await works(cached))) return cached
  }
  return fetchServer(folder, names, { ...options, env })
}

async function fetchServer(
  folder: string,
  names: readonly string[],
  options: FindServerOptions & { env: Env },
): Promise<ServerBinary> {
  const deadline = AbortSignal.timeout(FETCH_WITHIN_MS)
  const signal = options.signal ? AbortSignal.any([options.signal, deadline]) : deadline
  const run = runner(options.env, signal)
  const note = options.onNote ?? (() => {})
  try {
    if ((await onPath('apt-get', options.env)) && (await onPath('dpkg-deb', options.env))) {
      return await fetchWithApt(folder, names, run, note)
    }
    if (await onPath('brew', options.env)) return await fetchWithHomebrew(names, run, note)
  } catch (error) {
    options.signal?.throwIfAborted()
    if (deadline.aborted) throw missing(`getting a Redis server took longer than ${FETCH_WITHIN_MS / 60_000} minutes`)
    throw missing(`no ${names.join(' or ')} on the PATH, and getting one failed: ${reason(error)}`)
  }
  throw missing(`no ${names.join(' or ')} on the PATH, and neither apt-get nor brew to get one with`)
}

function missing(message: string): CachectlError {
  return new CachectlError('REDIS_BINARY_MISSING', message)
}

type Run = (command: string, ...args: readonly string[]) => Promise<string>

function runner(env: Env, signal: AbortSignal): Run {
  return async (command, ...args) => {
    const options = { env: { ...env, LC_ALL: 'C', DEBIAN_FRONTEND: 'noninteractive' }, signal, maxBuffer: 16 << 20 }
    return (await promisify(execFile)(command, args, options)).stdout
  }
}

/** What a failed program said last: apt marks its errors with `E:`. */
function reason(error: unknown): string {
  const { stderr, message } = error as { stderr?: string; message?: string }
  const lines = (stderr ?? '').trim().split('\n')
  return printable(lines.find((line) => line.startsWith('E:')) ?? (lines.at(-1) || (message ?? String(error))))
}

/** As root or not: all that apt writes goes to folders of ours, and nothing is installed. */
async function fetchWithApt(
  folder: string,
  names: readonly string[],
  run: Run,
  note: (message: string) => void,
): Promise<ServerBinary> {
  await removeLeftovers(folder)
  const work = await mkdtemp(join(folder, 'fetch-'))
  try {
    let failure: unknown
    for (const { name, server, from } of PACKAGES.filter((one) => names.includes(one.server))) {
      note(`no ${server} on the PATH: getting ${name} with apt, once, into ${folder} (nothing is installed)`)
      try {
        const root = join(work, server)
        for (const file of await downloadPackages(name, work, run, note)) await run('dpkg-deb', '-x', file, root)
        await access(join(root, 'usr/bin', from), constants.X_OK)
        await rm(join(root, 'usr/bin', server), { force: true })
        await symlink(from, join(root, 'usr/bin', server))
        const fetched = await unpacked(root, server)
        if (!fetched || !(await works(fetched))) throw new Error(`the ${server} in ${name} does not run here`)
        return await keep(root, join(folder, server), server)
      } catch (error) {
        failure ??= error
      }
    }
    throw failure
  } finally {
    await rm(work, { recursive: true, force: true })
  }
}

/** The package files of `name` and of the libraries that it needs and this system lacks. */
async function downloadPackages(
  name: string,
  work: string,
  run: Run,
  note: (message: string) => void,
): Promise<string[]> {
  const archives = join(work, name, 'archives')
  await mkdir(join(archives, 'partial'), { recursive: true })
  await mkdir(join(work, 'lists/partial'), { recursive: true })
  // Locks are for who installs. Root's apt would hand the download to the user _apt, who has no access to our folder.
  const settings = [
    'Debug::NoLocking=1',
    'APT::Sandbox::User=root',
    'Acquire::Retries=2',
    'Acquire::http::Timeout=30',
    'Acquire::https::Timeout=30',
    `Dir::Cache=${join(work, name)}`,
    `Dir::Cache::archives=${archives}`,
    `Dir::State::extended_states=${join(work, 'extended_states')}`,
  ]
  const lists = [...settings, `Dir::State::lists=${join(work, 'lists')}`]
  const options = (all: readonly string[]) => all.flatMap((setting) => ['-o', setting])
  const download = (all: readonly string[]) =>
    run(
      'apt-get',
      ...options(all),
      '-qq',
      '-y',
      '--download-only',
      '--reinstall',
      '--no-install-recommends',
      'install',
      name,
    )
  try {
    await download(settings)
  } catch {
    // The system's package lists are absent (as in containers) or name files that the mirror no longer has.
    note('reading the package lists (half a minute at most on a usual line)')
    await run('apt-get', ...options(lists), '-qq', 'update')
    await download(lists)
  }
  const files = await readdir(archives)
  return files.filter((file) => file.endsWith('.deb')).map((file) => join(archives, file))
}

/** Moves the unpacked server to its place in one step; where another run was first, its server is the one to use. */
async function keep(root: string, place: string, server: string): Promise<ServerBinary> {
  const earlier = await unpacked(place, server)
  if (earlier && !(await works(earlier))) await rename(place, `${root}-broken`).catch(() => {})
  await rename(root, place).catch((error: NodeJS.ErrnoException) => {
    if (error.code !== 'ENOTEMPTY' && error.code !== 'EEXIST') throw error
  })
  return (await unpacked(place, server)) as ServerBinary
}

/** Folders of runs that were killed: theirs would have ended within the deadline. */
async function removeLeftovers(folder: string): Promise<void> {
  for (const name of await readdir(folder)) {
    if (!name.startsWith('fetch-')) continue
    const path = join(folder, name)
    const { mtimeMs } = await stat(path).catch(() => ({ mtimeMs: Number.POSITIVE_INFINITY }))
    if (Date.now() - mtimeMs > 2 * FETCH_WITHIN_MS) await rm(path, { recursive: true, force: true })
  }
}

async function fetchWithHomebrew(
  names: readonly string[],
  run: Run,
  note: (message: string) => void,
): Promise<ServerBinary> {
  const formula = names.includes('redis-server') ? 'redis' : 'valkey'
  note(`no ${names.join(' or ')} on the PATH: running \`brew install ${formula}\``)
  await run('brew', 'install', formula)
  const path = join((await run('brew', '--prefix', formula)).trim(), 'bin', `${formula}-server`)
  if (!(await works({ path, env: {} }))) throw new Error(`${path} does not run`)
  return { path, env: {} }
}

/** The server in an unpacked tree, with the folders of its libraries; null where there is none. */
async function unpacked(root: string, server: string): Promise<ServerBinary | null> {
  const path = join(root, 'usr/bin', server)
  if (!(await executable(path))) return null
  const folders: string[] = []
  for (const base of [join(root, 'usr/lib'), join(root, 'lib')]) {
    const inside = await readdir(base, { withFileTypes: true }).catch(() => [])
    folders.push(base, ...inside.filter((entry) => entry.isDirectory()).map((entry) => join(base, entry.name)))
  }
  return { path, env: { LD_LIBRARY_PATH: folders.join(delimiter) } }
}

async function works(binary: ServerBinary): Promise<boolean> {
  const options = { env: { ...binary.env }, timeout: 10_000 }
  return promisify(execFile)(binary.path, ['--version'], options).then(
    ({ stdout }) => /server v=/i.test(stdout),
    () => false,
  )
}

async function onPath(name: string, env: Env): Promise<string | null> {
  for (const folder of (env.PATH ?? '').split(delimiter)) {
    if (folder && (await executable(join(folder, name)))) return join(folder, name)
  }
  return null
}

async function executable(path: string): Promise<boolean> {
  return access(path, constants.X_OK).then(
    () => true,
    () => false,
  )
}

/** The user's cache folder; without a HOME that can be written, one of the user's own under the temporary folder. */
async function cacheFolder(env: Env): Promise<string> {
  const base = env.XDG_CACHE_HOME || (env.HOME ? join(env.HOME, '.cache') : null)
  const uid = process.getuid?.() ?? 0
  for (const folder of [base && join(base, 'cachectl'), join(tmpdir(), `cachectl-cache-${uid}`)]) {
    if (!folder) continue
    try {
      await mkdir(folder, { recursive: true, mode: 0o700 })
      await access(folder, constants.W_OK)
      // A binary is run from here: in a shared temporary folder somebody else may have made it first.
      const { uid: owner, mode } = await lstat(folder)
      if (owner === uid && (mode & 0o022) === 0) return folder
    } catch {}
  }
  throw missing(
    'no redis-server on the PATH, and no folder to keep a fetched one in (HOME and the temporary folder cannot be written)',
  )
}
