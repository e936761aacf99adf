// Runs a TypeScript config on any Node, without TypeScript installed and without writing a file. esbuild bundles the project's own files:
// it knows tsconfig paths, `.js` specifiers of `.ts` files, decorators. What the bundle takes from packages is in typescript-packages.ts.
import { readFileSync } from 'node:fs'
import { createRequire, SourceMap } from 'node:module'
import { dirname, extname, isAbsolute, join, relative, resolve } from 'node:path'
import { pathToFileURL } from 'node:url'
import type { BuildFailure, BuildOptions, Plugin } from 'esbuild'
import { CachectlError } from '../core/errors.ts'
import { ASKING, compileBeside, PackageRuntime, packagesPlugin, RUNTIME } from './typescript-packages.ts'

type Esbuild = typeof import('esbuild')

const META = '__cachectlMeta'
const MOST_SHOWN = 5
const WAY_OUT = 'mend the file, or compile it to JavaScript (a .mjs or .cjs file) and name that with --config'

/** What the config exports, by name. */
export type Exports = Readonly<Record<string, unknown>>

/**
 * Bundles and runs the file.
 * @throws CachectlError CONFIG_LOAD when it cannot be bundled; whatever the config itself throws, with the stack of its own files
 */
export async function importTypeScript(file: string): Promise<Exports> {
  const { code, map } = await bundle(file)
  const wrapped = `module.exports = async (${RUNTIME}, require) => {"use strict";\n${code}\n}`
  try {
    const run = compileBeside(file, wrapped) as (runtime: PackageRuntime, require: NodeJS.Require) => Promise<void>
    const runtime = new PackageRuntime()
    await run(runtime, createRequire(file))
    return runtime.exports
  } catch (error) {
    if (error instanceof Error && error.stack !== undefined) error.stack = originalPlaces(error.stack, file, map)
    throw error
  }
}

/** The stack with places of the bundle, which bears the name of the config, as places of the files it was made of. */
function originalPlaces(stack: string, file: string, map: string): string {
  const sourceMap = new SourceMap(JSON.parse(map))
  const places = new RegExp(`${file.replace(/[.*+?^${}()|[\]\\]/g, '\\$&')}:(\\d+):(\\d+)`, 'g')
  return stack.replace(places, (place, line: string, column: string) => {
    // both count from 0 there, and our own first line is not in it
    const entry = sourceMap.findEntry(Number(line) - 2, Number(column) - 1)
    if (!('originalSource' in entry)) return place
    return `${resolve(dirname(file), entry.originalSource)}:${entry.originalLine + 1}:${entry.originalColumn + 1}`
  })
}

/** The file and the project's own files that it imports, as one. @throws CachectlError CONFIG_LOAD with every place that is wrong */
export async function bundle(file: string): Promise<{ code: string; map: string }> {
  const esbuild = requireEsbuild(file)
  try {
    const { outputFiles } = await esbuild.build(buildOptions(file))
    const text = (extension: string) => outputFiles.find(({ path }) => path.endsWith(extension))?.text ?? ''
    return { code: text('.js'), map: text('.map') }
  } catch (error) {
    throw await cannotBundle(esbuild, file, error)
  } finally {
    await esbuild.stop()
  }
}

function buildOptions(file: string, first: Plugin[] = []): BuildOptions & { write: false } {
  return {
    stdin: {
      contents: `import * as config from ${JSON.stringify(file)};${RUNTIME}.exports = config`,
      resolveDir: dirname(file),
    },
    absWorkingDir: dirname(file),
    bundle: true,
    write: false,
    // the one format that has top-level await; with every package behind the plugin, no import and no export is left in it
    format: 'esm',
    platform: 'node',
    target: 'node20',
    define: { 'import.meta': META, __filename: `${META}Filename`, __dirname: `${META}Dirname` },
    sourcemap: 'external',
    // never written: a name for the map to be relative to
    outfile: join(dirname(file), 'cachectl-bundle.js'),
    logLevel: 'silent',
    plugins: [...first, packagesPlugin(), fileNamesPlugin()],
  }
}

function requireEsbuild(file: string): Esbuild {
  try {
    // `import` would read through its 100 kB once more, for the names of its exports: 30 ms instead of 10
    return createRequire(import.meta.url)('esbuild')
  } catch (cause) {
    const message = `esbuild, which reads ${file}, is not installed here`
    throw new CachectlError('CONFIG_LOAD', message, {
      hint: 'install with optional packages, or compile the file to JavaScript and name that with --config',
      cause,
    })
  }
}

/** Gives each file its own `import.meta`, `__filename` and `__dirname`, on its first line so that line numbers stay. */
function fileNamesPlugin(): Plugin {
  return {
    name: 'file-names',
    setup(build) {
      build.onLoad({ filter: /\.[cm]?[jt]sx?$/, namespace: 'file' }, ({ path }) => {
        const source = readFileSync(path, 'utf8')
        if (!/\b(?:import\s*\.\s*meta|__filename|__dirname)\b/.test(source)) return undefined
        const folder = JSON.stringify(dirname(path))
        const filename = JSON.stringify(path)
        const meta = `{ url: ${JSON.stringify(pathToFileURL(path).href)}, filename: ${filename}, dirname: ${folder} }`
        const names = `const ${META} = ${meta}, ${META}Filename = ${filename}, ${META}Dirname = ${folder};`
        const loader = extname(path).slice(1).replace(/^[cm]/, '') as 'js' | 'ts' | 'jsx' | 'tsx'
        return { contents: names + source.replace(/^#!/, '//'), loader }
      })
    },
  }
}

async function cannotBundle(esbuild: Esbuild, file: string, error: unknown): Promise<unknown> {
  const { errors } = error as Partial<BuildFailure>
  if (!Array.isArray(errors) || errors.length === 0) return error
  const importers = await findImporters(esbuild, file)
  const folder = dirname(file)
  const shown = errors.slice(0, MOST_SHOWN).flatMap(({ location, text }) => {
    if (!location) return [`  ${text}`]
    const chain = importChain(importers, resolve(folder, location.file)).map(
      (path) => `    imported by ${relative(folder, path)}`,
    )
    return [`  ${location.file}:${location.line}:${location.column + 1}: ${text}`, ...chain]
  })
  if (errors.length > MOST_SHOWN) shown.push(`  and ${errors.length - MOST_SHOWN} more`)
  return new CachectlError('CONFIG_LOAD', `cannot load ${file}:\n${shown.join('\n')}`, {
    hint: /\.[cm]?ts$/.test(file) ? WAY_OUT : 'mend the file',
    cause: error,
  })
}

/** Which file first imported which. A build of its own, for every import then takes a question to esbuild. */
async function findImporters(esbuild: Esbuild, file: string): Promise<Map<string, string>> {
  const importers = new Map<string, string>()
  const plugin: Plugin = {
    name: 'importers',
    setup(build) {
      build.onResolve({ filter: /^/, namespace: 'file' }, async ({ path, kind, importer, resolveDir, pluginData }) => {
        if (pluginData === ASKING) return undefined
        const found = await build.resolve(path, { kind, importer, resolveDir, namespace: 'file', pluginData: ASKING })
        if (isAbsolute(importer) && !importers.has(found.path)) importers.set(found.path, importer)
        return undefined
      })
    },
  }
  await esbuild.build(buildOptions(file, [plugin])).catch(() => undefined)
  return importers
}

function importChain(importers: ReadonlyMap<string, string>, file: string): string[] {
  const chain: string[] = []
  for (let at = importers.get(file); at !== undefined && !chain.includes(at) && at !== file; at = importers.get(at))
    chain.push(at)
  return chain
}
