// The package as others get it: what is in it, what its doors load, and that its types are right for a project that uses them.
import { execFile } from 'node:child_process'
import { existsSync, readFileSync } from 'node:fs'
import { fileURLToPath } from 'node:url'
import { promisify } from 'node:util'
import { publint } from 'publint'
import { afterAll, beforeAll, describe, expect, it } from 'vitest'
import { type Consumer, openConsumer } from './consumer.ts'

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

  it.each([
    ['cachectl', ['createCache', 'defineConfig', 'sql', 'fn', 'file', 'CachectlError', 'EXIT']],
    ['cachectl/keyv', ['KeyvCachectl']],
    ['cachectl/prisma', ['cachePrisma']],
    ['cachectl/drizzle', ['cacheDrizzle']],
  ])('opens its door %s without the command line', async (door, names) => {
    const code = `console.log(JSON.stringify(Object.keys(await import('${door}'))))`
    const { stdout, stderr } = await run(process.execPath, ['--input-type=module', '-e', code], {
      cwd: root,
      env: { ...process.env, NODE_DEBUG: 'esm' },
    })
    expect(JSON.parse(stdout)).toEqual(expect.arrayContaining(names))
    expect(stderr).toContain('/dist/')
    for (const name of ['commander', 'cosmiconfig', 'chalk', 'ora', 'cli-table3', 'esbuild'])
      expect(stderr).not.toContain(`node_modules/${name}/`)
  })

  it('has a door for each file that is built to be one', () => {
    const files = Object.values<string | { types: string; default: string }>(manifest.exports)
    for (const file of files) {
      const paths = typeof file === 'string' ? [file] : [file.types, file.default]
      for (const path of paths) expect(existsSync(`${root}/${path}`), path).toBe(true)
      if (typeof file !== 'string') expect(Object.keys(file)[0]).toBe('types')
    }
    expect(manifest.sideEffects).toBe(false)
  })

  // PGlite's own types do not stand a check of libraries
  it('has types that the config of the demo compiles with', async () => {
    const tsc = fileURLToPath(import.meta.resolve('typescript/bin/tsc'))
    const flags =
      '--ignoreConfig --noEmit --strict --module nodenext --target es2023 --types node --skipLibCheck --allowJs --checkJs false'
    await run(process.execPath, [tsc, ...flags.split(' '), 'cache.config.ts'], { cwd: root }).catch(({ stdout }) =>
      expect(stdout).toBe(''),
    )
  })
})

describe('a project with the packed tarball', () => {
  let consumer: Consumer
  beforeAll(async () => {
    consumer = await openConsumer(['@types/node', 'keyv'])
  })
  afterAll(() => consumer?.remove())

  it('opens every door with nothing but what the package depends on', async () => {
    const doors = Object.keys(manifest.exports).filter((door) => !door.endsWith('.json'))
    const code = doors.map((door) => `await import('cachectl${door.slice(1)}')`).join('\n')
    const { stderr } = await run(process.execPath, ['--input-type=module', '-e', code], { cwd: consumer.dir })
    expect(stderr).toBe('')
  })

  it('has doors that know each other: a Keyv store takes the cache of the other door', async () => {
    const code = `
      import { createCache } from 'cachectl'
      import { KeyvCachectl } from 'cachectl/keyv'
      const cache = createCache({ redis: 'redis://127.0.0.1:1', prefix: 'shop', namespaces: { sessions: {} } })
      console.log(typeof new KeyvCachectl({ cache, namespace: 'sessions' }).get)
      await cache.close()`
    const { stdout } = await run(process.execPath, ['--input-type=module', '-e', code], { cwd: consumer.dir })
    expect(stdout).toBe('function\n')
  })

  // wrong names and types are in the fixture, each under a line that expects the error
  it.each(['nodenext', 'bundler'] as const)(
    'compiles with module %s, in both layouts of the config',
    async (module) => {
      expect(await consumer.compile(module, ['cache.config.ts', 'app.ts', 'inline.ts'])).toBe('')
    },
    180_000,
  )
})
