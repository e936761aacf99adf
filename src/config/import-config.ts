// What a config file gives: the value of its default export, or of its JSON or YAML, whatever it takes to get it.
import { readFileSync } from 'node:fs'
import { basename, dirname, extname, relative } from 'node:path'
import { fileURLToPath, pathToFileURL } from 'node:url'
import { CachectlError } from '../core/errors.ts'

/**
 * The config as written in the file. A default export may be a promise or a function that makes the config.
 * @throws CachectlError CONFIG_LOAD
 */
export async function importConfig(file: string): Promise<unknown> {
  if (basename(file) === 'package.json') return (readJson(file) as { cachectl?: unknown }).cachectl
  switch (extname(file)) {
    case '.json':
      return readJson(file)
    case '.yaml':
    case '.yml':
      return readYaml(file)
    case '.js':
    case '.mjs':
    case '.cjs':
      return run(file, () => import(pathToFileURL(file).href))
    case '.ts':
    case '.mts':
    case '.cts':
      return run(file, async () => (await import('./import-typescript.ts')).importTypeScript(file))
  }
  throw new CachectlError('CONFIG_LOAD', `${file} is no kind of config file`, {
    hint: 'name a file that ends in .ts, .mts, .js, .mjs, .cjs, .json, .yaml or .yml',
  })
}

function readJson(file: string): unknown {
  const text = readFileSync(file, 'utf8').replace(/^\uFEFF/, '')
  try {
    return JSON.parse(text)
  } catch (error) {
    const { message } = error as SyntaxError
    const [before, position] = /^(.*) (?:in JSON )?at position (\d+)/.exec(message)?.slice(1) ?? [message]
    const lines = text.slice(0, position === undefined ? text.length : Number(position)).split('\n')
    throw cannotLoad(file, `${before}, in line ${lines.length}, column ${(lines.at(-1)?.length ?? 0) + 1}`, error, MEND)
  }
}

async function readYaml(file: string): Promise<unknown> {
  const { defaultLoaders } = await import('cosmiconfig')
  try {
    return defaultLoaders['.yaml'](file, readFileSync(file, 'utf8'))
  } catch (error) {
    throw cannotLoad(file, (error as Error).message, error, MEND)
  }
}

async function run(file: string, load: () => Promise<Record<string, unknown>>): Promise<unknown> {
  const restore = sendStdoutToStderr()
  try {
    const exports = await load()
    const value = defaultExport(file, exports)
    return await (typeof value === 'function' ? value() : value)
  } catch (error) {
    if (error instanceof CachectlError) throw error
    if (error instanceof SyntaxError) await explainSyntaxError(file)
    throw cannotLoad(file, describeThrown(error, file), error)
  } finally {
    restore()
  }
}

/** Node does not tell where a module that it imports has a syntax error. @throws CachectlError that does, where esbuild finds one */
async function explainSyntaxError(file: string): Promise<void> {
  const { bundle } = await import('./import-typescript.ts')
  await bundle(file)
}

/** What a config prints must not stand in the answer of the command, which may be JSON. */
function sendStdoutToStderr(): () => void {
  const { write } = process.stdout
  process.stdout.write = process.stderr.write.bind(process.stderr)
  return () => {
    process.stdout.write = write
  }
}

/** `export default`, `module.exports`, and what compilers make of the one in terms of the other. */
function defaultExport(file: string, exports: Record<string, unknown>): unknown {
  const value = exports.default
  const inner =
    typeof value === 'object' && value !== null && '__esModule' in value
      ? (value as { default?: unknown }).default
      : value
  // a file that exports nothing may be CommonJS, whose exports are there and empty
  const nothing = inner === undefined || (isPlain(inner) && Object.keys(inner).length === 0)
  if (!nothing) return inner
  const names = Object.keys(exports).filter((name) => !['default', '__esModule', 'module.exports'].includes(name))
  const instead = names.length > 0 ? `; it exports ${names.slice(0, 5).join(', ')}` : ''
  throw new CachectlError('CONFIG_LOAD', `${file} has no default export${instead}`, {
    hint: 'write `export default defineConfig({ … })` in it',
  })
}

function isPlain(value: unknown): value is object {
  return typeof value === 'object' && value !== null && !(value instanceof Promise)
}

/** What was thrown, and where in the project's own files. */
function describeThrown(thrown: unknown, file: string): string {
  if (!(thrown instanceof Error))
    return `it throws ${typeof thrown === 'string' ? thrown : `a value that is no Error (${typeof thrown})`}`
  const what = thrown.name === 'Error' ? thrown.message : `${thrown.name}: ${thrown.message}`
  const lines = (thrown.stack ?? '').split('\n')
  // a SyntaxError has its place before its message: `file:///path/cache.config.js:3`
  const places = lines.flatMap(
    (line, index) =>
      /^\s+at (?:.*\()?(.*?:\d+:\d+)\)?$/.exec(line)?.[1] ??
      (index === 0 ? (/^((?:file:|\/).*:\d+)$/.exec(line)?.[1] ?? []) : []),
  )
  const own = places
    .map(pathOf)
    .filter((place) => place.startsWith('/') && !place.includes('/node_modules/') && !place.startsWith(OWN_FOLDER))
  const shown = [...new Set(own.map((place) => `  at ${relative(dirname(file), place)}`))]
  return [what, ...shown.slice(0, 3)].join('\n')
}

const OWN_FOLDER = fileURLToPath(new URL('.', import.meta.url))

function pathOf(place: string): string {
  return place.startsWith('file:') ? place.replace(/^file:\/\/(?=\/)/, '') : place
}

const MEND = 'mend the file'

function cannotLoad(file: string, why: string, cause: unknown, hint = hintFor(cause)): CachectlError {
  return new CachectlError('CONFIG_LOAD', `cannot load ${file}: ${why}`, { hint, cause })
}

function hintFor(cause: unknown): string | undefined {
  const code = (cause as { code?: unknown } | null)?.code
  if (code !== 'ERR_MODULE_NOT_FOUND' && code !== 'MODULE_NOT_FOUND') return undefined
  return 'install the package or mend the path; in production, look whether it is a development dependency'
}
