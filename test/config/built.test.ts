// The built loader under Node itself: in vitest, `import()` of a JavaScript config would be Vite's.
import { spawnSync } from 'node:child_process'
import { chmodSync } from 'node:fs'
import { describe, expect, it } from 'vitest'
import { project } from './project.ts'

const SCRIPT = `
const { createRequire } = await import('node:module')
const { loadConfig } = await import(${JSON.stringify(new URL('../../dist/config/load.js', import.meta.url).href)})
const loaded = await loadConfig({ cwd: process.cwd(), env: process.env, flags: {} }).catch(({ code, message }) => ({ code, message }))
const esbuild = Object.keys(createRequire(import.meta.url).cache).some((path) => path.includes('/esbuild/'))
console.log(JSON.stringify({ prefix: loaded.config?.prefix, code: loaded.code, message: loaded.message, esbuild }))
`

/** Runs in the folder with nothing in the environment but PATH: as from cron, and in a container without HOME. */
function load(cwd: string): { prefix?: string; code?: string; message?: string; esbuild: boolean } {
  const env = { PATH: process.env.PATH ?? '', TMPDIR: '/nowhere' }
  const { stdout, stderr } = spawnSync(process.execPath, ['--input-type=module', '-e', SCRIPT], {
    cwd,
    env,
    encoding: 'utf8',
  })
  expect(stderr.replace(/^noise\n/, '')).toBe('')
  return JSON.parse(stdout)
}

describe('the built loader', () => {
  it.each([
    ['cache.config.json', '{ "prefix": "shop" }', '{}'],
    ['cache.config.yaml', 'prefix: shop', '{}'],
    ['cache.config.mjs', "console.log('noise'); export default { prefix: await 'shop' }", '{}'],
    ['cache.config.cjs', "module.exports = { prefix: 'shop' }", '{}'],
    ['cache.config.js', "exports.__esModule = true; exports.default = { prefix: 'shop' }", '{}'],
    ['cache.config.js', "export default () => ({ prefix: 'shop' })", '{ "type": "module" }'],
  ])('loads %s %s without esbuild', (name, text, manifest) => {
    expect(load(project({ 'package.json': manifest, [name]: text }))).toMatchObject({ prefix: 'shop', esbuild: false })
  })

  it('loads TypeScript where nothing may be written, and keeps stdout clean', () => {
    const root = project({ 'cache.config.ts': "console.log('noise'); export default { prefix: 'shop' as string }" })
    chmodSync(root, 0o555)
    const loaded = load(root)
    // who is not root could not remove it otherwise
    chmodSync(root, 0o755)
    expect(loaded).toEqual({ prefix: 'shop', esbuild: true })
  })

  it('says where a JavaScript config, or what it imports, has a syntax error', () => {
    const root = project({
      'cache.config.mjs': "export { a as default } from './a.mjs'",
      'a.mjs': 'export const a = {\n  prefix: ,\n}',
    })
    expect(load(root)).toMatchObject({
      code: 'CONFIG_LOAD',
      message: expect.stringContaining('a.mjs:2:11: Unexpected ","\n    imported by cache.config.mjs'),
    })
  })
})
