// How a bundled TypeScript config gets its packages: as Node itself gives them to the file that imports them, in the form that file
// would see. esbuild bundles what Node could not run: aliases of tsconfig.json, and workspace packages that are TypeScript.
import { readFileSync } from 'node:fs'
import { createRequire, isBuiltin, Module } from 'node:module'
import { dirname, extname, join, sep } from 'node:path'
import type { OnResolveArgs, Plugin, PluginBuild } from 'esbuild'

/** By this name the bundle knows its `PackageRuntime`; no config can mean it. */
export const RUNTIME = '__cachectlRuntime'

const ownRequire = createRequire(import.meta.url)

type Namespace = Record<string, unknown>

/** What the bundle calls. */
export class PackageRuntime {
  exports: Namespace = {}
  readonly #loaded = new Map<string, Namespace>()

  /** Imports a package for `loaded`, which cannot wait. */
  async load(from: string, name: string): Promise<void> {
    const key = `${from}\n${name}`
    if (this.#loaded.has(key)) return
    const importFrom = compileBeside(from, 'module.exports = (name) => import(name)') as (
      name: string,
    ) => Promise<Namespace>
    const namespace = await importFrom(ownFile(name) ?? name)
    // Node finds the names of a CommonJS module's exports by reading its text, and misses some; a bundler or tsc would see them all
    const inner = namespace.default
    const missed = typeof inner === 'object' || typeof inner === 'function' ? inner : null
    this.#loaded.set(key, { ...missed, ...namespace, default: inner, __esModule: true })
  }

  loaded(from: string, name: string): Namespace | undefined {
    return this.#loaded.get(`${from}\n${name}`)
  }

  require(from: string, name: string): unknown {
    return createRequire(from)(ownFile(name) ?? name)
  }
}

/** Runs CommonJS code as if it stood in this file, so that its `import()` looks where the file's would. */
export function compileBeside(file: string, code: string): unknown {
  const module = new Module(file) as Module & { _compile(code: string, file: string): void }
  module.filename = file
  module._compile(code, file)
  return module.exports
}

/** `import 'cachectl'` is this very package, so that its classes are the same ones, and so that a config needs no install of its own. */
function ownFile(name: string): string | null {
  return name === 'cachectl' || name.startsWith('cachectl/') ? ownRequire.resolve(name) : null
}

/** How a bundled file takes a package: `wait` imports it in advance, for an ES module, which `require` may not find or not be able to give. */
interface Taking {
  from: string
  name: string
  wait: boolean
}

/**
 * An import of a package becomes up to three modules that esbuild makes up. `import` gives all names and the default of `value`, which esbuild
 * takes for CommonJS and so reads only when it runs; where it must be waited for, `import` has `wait` before it.
 */
export function packagesPlugin(): Plugin {
  return {
    name: 'packages',
    setup(build) {
      const isPackage = rememberPackages(build)
      build.onResolve({ filter: /^[^./]/, namespace: 'file' }, async (args) => {
        if (args.pluginData === ASKING || !(await isPackage(args))) return undefined
        if (args.kind === 'dynamic-import') return { path: ownFile(args.path) ?? args.path, external: true }
        const imported = args.kind === 'import-statement'
        const taking: Taking = {
          from: args.importer,
          name: args.path,
          wait: imported && mustWait(args.importer, args.path),
        }
        return { path: JSON.stringify(taking), namespace: imported ? 'import' : 'value' }
      })
      build.onResolve({ filter: /^(?:wait|value)$/, namespace: 'import' }, (args) => ({
        path: args.importer,
        namespace: args.path,
      }))
      build.onLoad({ filter: /^/, namespace: 'import' }, ({ path }) => {
        const { wait } = JSON.parse(path) as Taking
        return {
          contents: `${wait ? 'import "wait";' : ''}export * from "value"; import value from "value"; export default value`,
        }
      })
      build.onLoad({ filter: /^/, namespace: 'wait' }, ({ path }) => ({ contents: `await ${call('load', path)}` }))
      build.onLoad({ filter: /^/, namespace: 'value' }, ({ path }) => {
        const { wait } = JSON.parse(path) as Taking
        return { contents: `module.exports = ${call(wait ? 'loaded' : 'require', path)}` }
      })
    },
  }
}

function call(method: 'load' | 'loaded' | 'require', path: string): string {
  const { from, name } = JSON.parse(path) as Taking
  return `${RUNTIME}.${method}(${JSON.stringify(from)}, ${JSON.stringify(name)})`
}

/** Marks the question how esbuild itself would resolve a path. */
export const ASKING = Symbol('asking esbuild')

/** Whether a name leads into a node_modules folder, or nowhere: then Node says so, better than we could. Asked once a folder and name. */
function rememberPackages(build: PluginBuild): (args: OnResolveArgs) => Promise<boolean> {
  const answers = new Map<string, Promise<boolean>>()
  return async ({ path, kind, importer, resolveDir }) => {
    if (isBuiltin(path) || ownFile(path) !== null) return true
    const key = `${resolveDir}\n${path}`
    const ask = async () => {
      const found = await build.resolve(path, { kind, importer, resolveDir, namespace: 'file', pluginData: ASKING })
      return found.errors.length > 0 || found.external || found.path.includes(`${sep}node_modules${sep}`)
    }
    const answer = answers.get(key) ?? ask()
    answers.set(key, answer)
    return answer
  }
}

/** An ES module sees packages as `import` gives them; a CommonJS one as `require` does, if it can. */
function mustWait(importer: string, name: string): boolean {
  if (isEsModule(importer)) return true
  if (isBuiltin(name)) return false
  try {
    return isEsModule(ownFile(name) ?? createRequire(importer).resolve(name))
  } catch {
    return true
  }
}

function isEsModule(file: string): boolean {
  const extension = extname(file)
  if (extension === '.mts' || extension === '.mjs') return true
  if (extension === '.cts' || extension === '.cjs') return false
  for (let folder = dirname(file); ; folder = dirname(folder)) {
    try {
      return (JSON.parse(readFileSync(join(folder, 'package.json'), 'utf8')) as { type?: unknown }).type === 'module'
    } catch {
      // none here, or none that can be read: the next one up counts
    }
    if (dirname(folder) === folder) return false
  }
}
