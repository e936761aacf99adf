// Where the config file is. Only looks: nothing is run before it is known which file counts.
import { accessSync, constants, existsSync, statSync } from 'node:fs'
import { dirname, join, relative, resolve } from 'node:path'
import { CachectlError } from '../core/errors.ts'

const NAMES = ['ts', 'mts', 'js', 'mjs', 'cjs', 'json', 'yaml', 'yml'].map((extension) => `cache.config.${extension}`)
/** Where a config is looked for in a folder, in this order; then in its package.json. */
export const CONFIG_PLACES: readonly string[] = [...NAMES, ...NAMES.map((name) => `.config/${name}`)]

/**
 * The file that is named, or the nearest one from this folder up to that of the package.json around it; outside of a package only here,
 * for a config is code, and folders like /tmp are anyone's. Null: there is none.
 * @throws CachectlError CONFIG_NOT_FOUND when a named file is not there, CONFIG_LOAD when a file is there and cannot be read
 */
export async function findConfig(cwd: string, named: string | null): Promise<string | null> {
  if (named !== null) return namedFile(cwd, named)
  const { cosmiconfig, defaultLoaders } = await import('cosmiconfig')
  // A loader that fails with ENOENT or EACCES would make cosmiconfig go on as if its file were not there: files are loaded later, by us.
  const found = () => 'found'
  const extensions = NAMES.map((name) => name.slice('cache.config'.length))
  const explorer = cosmiconfig('cachectl', {
    searchPlaces: [...CONFIG_PLACES, 'package.json'],
    searchStrategy: insidePackage(cwd) ? 'project' : 'none',
    ignoreEmptySearchPlaces: false,
    cache: false,
    loaders: {
      ...Object.fromEntries(extensions.map((extension) => [extension, found])),
      '.json': jsonLoader(defaultLoaders['.json']),
    },
  })
  const result = await explorer.search(cwd)
  if (result !== null) return result.filepath
  refuseUnreadable(cwd)
  return null
}

type JsonLoader = (file: string, text: string) => unknown

/** A package.json counts where it has a `cachectl` in it; one that is broken has no config. */
function jsonLoader(load: JsonLoader): JsonLoader {
  return (file, text) => {
    if (!file.endsWith('package.json')) return 'found'
    try {
      return load(file, text)
    } catch {
      return {}
    }
  }
}

function namedFile(cwd: string, named: string): string {
  const file = resolve(cwd, named)
  const stat = statSync(file, { throwIfNoEntry: false })
  if (stat === undefined)
    throw new CachectlError('CONFIG_NOT_FOUND', `there is no config file ${file}`, {
      hint: 'look at --config and CACHECTL_CONFIG',
    })
  if (stat.isDirectory())
    throw new CachectlError('CONFIG_NOT_FOUND', `${file} is a folder`, { hint: 'name the config file in it' })
  refuseUnreadable(dirname(file), [relative(dirname(file), file)])
  return file
}

function insidePackage(folder: string): boolean {
  if (existsSync(join(folder, 'package.json'))) return true
  return dirname(folder) !== folder && insidePackage(dirname(folder))
}

/** cosmiconfig takes a file that it may not read for one that is not there. */
function refuseUnreadable(folder: string, names: readonly string[] = CONFIG_PLACES): void {
  const file = names.map((name) => join(folder, name)).find((path) => existsSync(path) && !isReadable(path))
  if (file !== undefined)
    throw new CachectlError('CONFIG_LOAD', `cannot read ${file}: this user may not`, {
      hint: 'give the user that runs cachectl the right to read it',
    })
}

function isReadable(file: string): boolean {
  try {
    accessSync(file, constants.R_OK)
    return true
  } catch {
    return false
  }
}
