// Gets a server where there is none: with apt's packages unpacked into a folder of the user's, or with Homebrew.
import { execFile } from 'node:child_process'
import { constants } from 'node:fs'
import { access, mkdir, mkdtemp, readdir, rename, rm, symlink } from 'node:fs/promises'
import { join } from 'node:path'
import { promisify } from 'node:util'
import { printable } from '../../core/printable.ts'
import { type Env, missing, onPath, type ServerBinary, unpacked, works } from './server-binary.ts'

export const FETCH_WITHIN_MS = 180_000
/** The server is part of these packages in Debian and Ubuntu: one binary that goes by the name it is called by. */
const PACKAGES = [
  { name: 'redis-tools', server: 'redis-server', from: 'redis-check-rdb' },
  { name: 'valkey-tools', server: 'valkey-server', from: 'valkey-check-rdb' },
] as const

/** Gets one of the servers `names` into `folder`. @throws CachectlError REDIS_BINARY_MISSING */
export async function fetchServer(
  folder: string,
  names: readonly string[],
  options: { env: Env; onNote?: (message: string) => void; signal?: AbortSignal },
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

type Run = (command: string, ...args: readonly string[]) => Promise<{ stdout: string; stderr: string }>

function runner(env: Env, signal: AbortSignal): Run {
  return async (command, ...args) => {
    const options = { env: { ...env, LC_ALL: 'C', DEBIAN_FRONTEND: 'noninteractive' }, signal, maxBuffer: 16 << 20 }
    return promisify(execFile)(command, args, options)
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
  // Of an earlier package of this run.
  const lists = join(work, 'lists')
  const fresh = await access(lists).then(
    () => true,
    () => false,
  )
  if (fresh) settings.push(`Dir::State::lists=${lists}`)
  const apt = (...args: readonly string[]) =>
    run('apt-get', ...settings.flatMap((setting) => ['-o', setting]), '-qq', ...args)
  const download = async () => {
    await apt('-y', '--download-only', '--reinstall', '--no-install-recommends', 'install', name)
    const files = (await readdir(archives)).filter((file) => file.endsWith('.deb'))
    // Where the package is installed and cannot be downloaded, apt is content with nothing.
    if (!files.some((file) => file.startsWith(`${name}_`))) throw new Error(`apt has no ${name} to download`)
    return files.map((file) => join(archives, file))
  }
  try {
    return await download()
  } catch (error) {
    if (fresh) throw error
    // The system's package lists are absent (as in containers) or name files that the mirror no longer has.
    note('reading the package lists first')
    settings.push(`Dir::State::lists=${lists}`)
    await mkdir(join(lists, 'partial'), { recursive: true })
    const { stderr } = await apt('update')
    return await download().catch((last: unknown) => {
      throw new Error([reason(last), ...(/^[EW]: .*/m.exec(stderr) ?? [])].join('; '))
    })
  }
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

async function fetchWithHomebrew(
  names: readonly string[],
  run: Run,
  note: (message: string) => void,
): Promise<ServerBinary> {
  const formula = names.includes('redis-server') ? 'redis' : 'valkey'
  note(`no ${names.join(' or ')} on the PATH: running \`brew install ${formula}\``)
  await run('brew', 'install', formula)
  const path = join((await run('brew', '--prefix', formula)).stdout.trim(), 'bin', `${formula}-server`)
  if (!(await works({ path, env: {} }))) throw new Error(`${path} does not run`)
  return { path, env: {} }
}
