// Finds a redis-server (or valkey-server): on the PATH, fetched before, or fetched now into the user's cache folder.
import { constants } from 'node:fs'
import { access, lstat, mkdir, readdir, rm, stat } from 'node:fs/promises'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { FETCH_WITHIN_MS, fetchServer } from './fetch-server.ts'
import { type Env, missing, onPath, type ServerBinary, unpacked, works } from './server-binary.ts'

export interface FindServerOptions {
  /** only this one; any of the two without it */
  binary?: 'redis-server' | 'valkey-server'
  /** PATH, HOME, XDG_CACHE_HOME, and CACHECTL_REDIS_SERVER: the path of a binary to use; those of this process without it */
  env?: Readonly<Record<string, string | undefined>>
  /** what is being done that takes a while, one line each */
  onNote?: (message: string) => void
  signal?: AbortSignal
}

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
  await removeLeftovers(folder)
  for (const name of names) {
    const cached = await unpacked(join(folder, name), name)
    if (cached && (await works(cached))) return cached
  }
  return fetchServer(folder, names, { ...options, env })
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

/** Folders of runs that were killed: theirs would have ended within the deadline. */
async function removeLeftovers(folder: string): Promise<void> {
  for (const name of await readdir(folder)) {
    if (!name.startsWith('fetch-')) continue
    const path = join(folder, name)
    const { mtimeMs } = await stat(path).catch(() => ({ mtimeMs: Number.POSITIVE_INFINITY }))
    if (Date.now() - mtimeMs > 2 * FETCH_WITHIN_MS) await rm(path, { recursive: true, force: true })
  }
}
