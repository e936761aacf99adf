// A project of somebody else: the packed tarball in its node_modules, with what the package depends on, and the files of the fixture.
import { execFile } from 'node:child_process'
import { cp, mkdir, mkdtemp, rm, symlink, writeFile } from 'node:fs/promises'
import { tmpdir } from 'node:os'
import { dirname, join } from 'node:path'
import { fileURLToPath } from 'node:url'
import { promisify } from 'node:util'

const run = promisify(execFile)
const root = fileURLToPath(new URL('../..', import.meta.url))

export interface Consumer {
  dir: string
  /** Errors of the compiler, as it prints them; '' for none. */
  compile(module: 'nodenext' | 'bundler', files: readonly string[]): Promise<string>
  remove(): Promise<void>
}

/** `packages`: beside those that the package depends on. */
export async function openConsumer(packages: readonly string[]): Promise<Consumer> {
  const dir = await mkdtemp(join(tmpdir(), 'cachectl-consumer-'))
  const modules = join(dir, 'node_modules')
  const { stdout } = await run('npm', ['pack', '--json', '--ignore-scripts', '--pack-destination', dir], { cwd: root })
  const packed = JSON.parse(stdout)
  const { filename } = Array.isArray(packed) ? packed[0] : Object.values<{ filename: string }>(packed)[0]
  await mkdir(join(modules, 'cachectl'), { recursive: true })
  await run('tar', ['-xzf', join(dir, filename), '-C', join(modules, 'cachectl'), '--strip-components=1'])
  const { default: manifest } = await import(join(modules, 'cachectl/package.json'), { with: { type: 'json' } })
  for (const name of [...Object.keys(manifest.dependencies), ...packages]) {
    await mkdir(dirname(join(modules, name)), { recursive: true })
    await symlink(join(root, 'node_modules', name), join(modules, name))
  }
  await cp(join(root, 'test/fixtures/consumer'), dir, { recursive: true })
  await writeFile(join(dir, 'package.json'), JSON.stringify({ name: 'consumer', private: true, type: 'module' }))
  return {
    dir,
    compile: (module, files) => compile(dir, module, files),
    remove: () => rm(dir, { recursive: true, force: true }),
  }
}

async function compile(dir: string, module: 'nodenext' | 'bundler', files: readonly string[]): Promise<string> {
  const ofModule = module === 'bundler' ? { module: 'preserve', moduleResolution: 'bundler' } : { module: 'nodenext' }
  const compilerOptions = {
    ...ofModule,
    strict: true,
    noEmit: true,
    target: 'es2023',
    types: ['node'],
    skipLibCheck: false,
  }
  const project = join(dir, `tsconfig.${module}.json`)
  await writeFile(project, JSON.stringify({ compilerOptions, files }))
  const tsc = fileURLToPath(import.meta.resolve('typescript/bin/tsc'))
  return run(process.execPath, [tsc, '-p', project], { cwd: dir }).then(
    () => '',
    ({ stdout, stderr }: { stdout: string; stderr: string }) => stdout + stderr,
  )
}
