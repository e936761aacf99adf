// The package as others get it: what is in it, what its doors load, and that its types are right for a project that uses them.
import { execFile } from 'node:child_process'
import { readFileSync } from 'node:fs'
import { fileURLToPath } from 'node:url'
import { promisify } from 'node:util'
import { publint } from 'publint'
import { describe, expect, it } from 'vitest'

const run = promisify(execFile)
const root = fileURLToPath(new URL('../..', import.meta.url))
const manifest = JSON.parse(readFileSync(`${root}/package.json`, 'utf8'))

describe('the package', () => {
  it('is as npm and bundlers expect it', async () => {
    const { messages } = await publint({ pkgDir: root, strict: true })
    expect(messages).toEqual([])
  })

  it('holds the programs, the build and the docs of a package, and nothing else', async () => {
    const { stdout } = await run('npm', ['pack', '--dry-run', '--json', '--ignore-scripts'], { cwd: root })
    const packed = JSON.parse(stdout)
    const { files } = Array.isArray(packed) ? packed[0] : Object.values(packed)[0]
    const paths: string[] = files.map(({ path }: { path: string }) => path)
    for (const path of ['bin/cachectl.js', 'bin/main.js', 'dist/index.js', 'dist/index.d.ts', 'README.md', 'LICENSE']) {
      expect(paths).toContain(path)
    }
    expect(
      paths.filter((path) => !/^(bin|dist)\/|^(README|CHANGELOG)\.md$|^LICENSE$|^package\.json$/.test(path)),
    ).toEqual([])
  })

  it('runs no scripts when it is installed', () => {
    expect(Object.keys(manifest.scripts).filter((name) => /^(pre|post)?(install|prepare|pack)/.test(name))).toEqual([])
  })

  it('opens its library door without the command line', async () => {
    const code = `
      const library = await import('cachectl')
      console.log(JSON.stringify(Object.keys(library)))`
    const { stdout } = await run(process.execPath, ['--input-type=module', '-e', code], { cwd: root })
    expect(JSON.parse(stdout)).toEqual(
      expect.arrayContaining(['defineConfig', 'sql', 'fn', 'file', 'CachectlError', 'EXIT']),
    )
    const opened = await run(process.execPath, ['--input-type=module', '-e', "await import('cachectl')"], {
      cwd: root,
      env: { ...process.env, NODE_DEBUG: 'esm' },
    })
    expect(opened.stderr).toContain('dist/index.js')
    for (const name of ['commander', 'cosmiconfig', 'chalk', 'ora', 'cli-table3'])
      expect(opened.stderr).not.toContain(`node_modules/${name}/`)
  })

  it.each([
    ['test/fixtures/consumer/cache.config.ts', '--skipLibCheck false'],
    // PGlite's own types do not stand a check of libraries
    ['cache.config.ts', '--skipLibCheck --allowJs --checkJs false'],
  ])('has types that %s compiles with', async (file, more) => {
    const tsc = fileURLToPath(import.meta.resolve('typescript/bin/tsc'))
    const flags = `--ignoreConfig --noEmit --strict --module nodenext --target es2023 --types node ${more}`
    await run(process.execPath, [tsc, ...flags.split(' '), file], { cwd: root }).catch(({ stdout }) =>
      expect(stdout).toBe(''),
    )
  })
})
