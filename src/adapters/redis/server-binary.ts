// A server binary: where it is, what it needs to run, and that it does.
import { execFile } from 'node:child_process'
import { constants } from 'node:fs'
import { access, readdir } from 'node:fs/promises'
import { delimiter, join } from 'node:path'
import { promisify } from 'node:util'
import { CachectlError } from '../../core/errors.ts'

export interface ServerBinary {
  path: string
  /** what it needs in its environment to find its libraries */
  env: Readonly<Record<string, string>>
}

export type Env = Readonly<Record<string, string | undefined>>

/** The server in an unpacked tree, with the folders of its libraries; null where there is none. */
export async function unpacked(root: string, server: string): Promise<ServerBinary | null> {
  const path = join(root, 'usr/bin', server)
  if (!(await executable(path))) return null
  const folders: string[] = []
  for (const base of [join(root, 'usr/lib'), join(root, 'lib')]) {
    const inside = await readdir(base, { withFileTypes: true }).catch(() => [])
    folders.push(
      base,
      ...inside.filter((entry) => entry.name.includes('-linux-')).map((entry) => join(base, entry.name)),
    )
  }
  return { path, env: { LD_LIBRARY_PATH: folders.join(delimiter) } }
}

export async function works(binary: ServerBinary): Promise<boolean> {
  const options = { env: { ...binary.env }, timeout: 10_000 }
  return promisify(execFile)(binary.path, ['--version'], options).then(
    ({ stdout }) => /server v=/i.test(stdout),
    () => false,
  )
}

export async function onPath(name: string, env: Env): Promise<string | null> {
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

export function missing(message: string): CachectlError {
  return new CachectlError('REDIS_BINARY_MISSING', message)
}
