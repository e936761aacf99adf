// Writes a first config file, never over one that is there.
import { existsSync, readFileSync, writeFileSync } from 'node:fs'
import { basename, join } from 'node:path'
import { CONFIG_PLACES } from '../config/find-config.ts'
import { initTemplate } from '../config/init-template.ts'
import { CachectlError } from '../core/errors.ts'

export interface InitOptions {
  cwd: string
  /** replace the file that is there */
  force: boolean
}

export interface InitReport {
  ok: true
  /** path of the file that was written */
  file: string
  replaced: boolean
  prefix: string
}

/** @throws CachectlError REFUSED when this folder has a config already, USAGE when it cannot be written to */
export function initConfig({ cwd, force }: InitOptions): InitReport {
  const file = join(cwd, 'cache.config.ts')
  const present = CONFIG_PLACES.map((place) => join(cwd, place)).find((path) => existsSync(path))
  if (present !== undefined && !force) {
    const hint =
      present === file
        ? 'look at it with `cachectl config show`, or replace it with --force'
        : 'mend that file, or write a cache.config.ts, which would count instead of it, with --force'
    throw new CachectlError('REFUSED', `${present} is there already`, { hint })
  }
  const prefix = prefixOf(cwd)
  try {
    writeFileSync(file, initTemplate(prefix), { flag: force ? 'w' : 'wx' })
  } catch (error) {
    throw new CachectlError('USAGE', `cannot write ${file}: ${(error as Error).message}`, {
      hint: 'run it in a folder that you may write to',
      cause: error,
    })
  }
  return { ok: true, file, replaced: present === file, prefix }
}

/** The name of the package, or of the folder, as far as it can stand in keys. */
function prefixOf(cwd: string): string {
  const prefixIn = (name: string) => /[A-Za-z][A-Za-z0-9_.-]{0,31}/.exec(name.replace(/^@[^/]*\//, ''))?.[0]
  return prefixIn(packageName(cwd)) ?? prefixIn(basename(cwd)) ?? 'app'
}

function packageName(cwd: string): string {
  try {
    const { name } = JSON.parse(readFileSync(join(cwd, 'package.json'), 'utf8')) as { name?: unknown }
    return typeof name === 'string' ? name : ''
  } catch {
    return ''
  }
}
