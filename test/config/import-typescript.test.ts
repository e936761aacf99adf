// TypeScript configs of the kinds that real projects have. The packages are written by the test: what matters is how each is made.
import { readdirSync, symlinkSync } from 'node:fs'
import { join } from 'node:path'
import { describe, expect, it, vi } from 'vitest'
import { importConfig } from '../../src/config/import-config.ts'
import { project } from './project.ts'

const PACKAGES = {
  'node_modules/compiled/package.json': '{ "name": "compiled", "main": "i.js" }',
  'node_modules/compiled/i.js':
    "Object.defineProperty(exports, '__esModule', { value: true }); exports.default = 'inner'; exports.named = 'named'",
  'node_modules/dynamic/package.json': '{ "name": "dynamic", "main": "i.js" }',
  'node_modules/dynamic/i.js': "const all = {}; all['na' + 'me'] = 'found'; module.exports = all",
  'node_modules/modern/package.json': '{ "name": "modern", "type": "module", "exports": { "import": "./i.js" } }',
  'node_modules/modern/i.js': "export const top = await Promise.resolve(7); export default (x) => 'modern ' + x",
}

/** An alias of tsconfig, a `.js` specifier, a decorated class with `!` fields, packages of each kind. */
const CONFIG = `
import { basename } from 'path'
import compiled, { named } from 'compiled'
import { name } from 'dynamic'
import modern, { top } from 'modern'
import { Product } from '@/entities/product'
import { pool } from './src/db.js'
export default { compiled, named, name, modern: modern('x'), top, columns: Product.columns, pool, base: basename('/a/b') } satisfies object
`
const SOURCES = {
  'cache.config.ts': CONFIG,
  'tsconfig.json':
    '{ "compilerOptions": { "target": "ES2022", "experimentalDecorators": true, "paths": { "@/*": ["./src/*"] } } } // a comment',
  'src/entities/product.ts': `
    function Column(): PropertyDecorator { return (target, key) => { ((target.constructor as any).columns ??= []).push(key) } }
    export class Product { declare static columns: string[]; @Column() id!: number; @Column() name!: string }`,
  'src/db.ts': 'enum Pool { Small = 5 }\nexport const pool: number = Pool.Small',
}

const load = (root: string, file = 'cache.config.ts') => importConfig(join(root, file))

describe('a TypeScript config', () => {
  it('loads in a package of ES modules, seeing packages as `import` gives them', async () => {
    const root = project({ ...PACKAGES, ...SOURCES, 'package.json': '{ "type": "module" }' })
    const before = readdirSync(root, { recursive: true })
    expect(await load(root)).toEqual({
      compiled: { default: 'inner', named: 'named' },
      named: 'named',
      name: 'found',
      modern: 'modern x',
      top: 7,
      columns: ['id', 'name'],
      pool: 5,
      base: 'b',
    })
    expect(readdirSync(root, { recursive: true })).toEqual(before)
  })

  it.each([['{}'], ['{ "type": "commonjs" }']])(
    'loads in a package %s, seeing packages as compiled code would',
    async (manifest) => {
      const root = project({ ...PACKAGES, ...SOURCES, 'package.json': manifest })
      expect(await load(root)).toMatchObject({
        compiled: 'inner',
        named: 'named',
        name: 'found',
        modern: 'modern x',
        top: 7,
        columns: ['id', 'name'],
        pool: 5,
      })
    },
  )

  it('loads as .mts and .cts, and with baseUrl, #imports and JSON', async () => {
    const root = project({
      'package.json': '{ "imports": { "#settings": "./src/settings.ts" } }',
      'tsconfig.json': '{ "compilerOptions": { "baseUrl": ".", "resolveJsonModule": true } }',
      'src/settings.ts': "export const ttl: string = '5m'",
      'src/names.json': '{ "a": 1 }',
      'a.config.mts':
        "import { ttl } from '#settings'; import names from 'src/names.json'; export default { ttl, names, top: await Promise.resolve(1) }",
      'b.config.cts': "import settings = require('./src/settings'); export = { ttl: settings.ttl as string }",
    })
    expect(await load(root, 'a.config.mts')).toEqual({ ttl: '5m', names: { a: 1 }, top: 1 })
    expect(await load(root, 'b.config.cts')).toEqual({ ttl: '5m' })
  })

  it('knows where each of its files is', async () => {
    const root = project({
      'package.json': '{ "type": "module" }',
      'cache.config.ts':
        "import { below } from './below/place.ts'; export default { here: import.meta.filename as string, below }",
      'below/place.ts': 'export const below = { folder: import.meta.dirname, url: import.meta.url, file: __filename }',
    })
    const file = join(root, 'below/place.ts')
    expect(await load(root)).toEqual({
      here: join(root, 'cache.config.ts'),
      below: { folder: join(root, 'below'), url: `file://${file}`, file },
    })
  })

  it('runs imports in their order: what is set first is seen by what comes later', async () => {
    const root = project({
      'package.json': '{ "type": "module" }',
      'node_modules/reads/package.json': '{ "type": "module", "exports": "./i.js" }',
      'node_modules/reads/i.js': 'export const seen = globalThis.cachectlTestOrder',
      'first.ts': 'Object.assign(globalThis, { cachectlTestOrder: 1 }); export {}',
      'cache.config.ts': "import './first.ts'; import { seen } from 'reads'; export default { seen }",
    })
    expect(await load(root)).toEqual({ seen: 1 })
  })

  it("finds this very package as 'cachectl', whatever is installed beside the config", async () => {
    const root = project({
      'cache.config.ts':
        "import { defineConfig, EXIT } from 'cachectl'; export default defineConfig({ prefix: 'a', version: EXIT.partial })",
    })
    expect(await load(root)).toEqual({ prefix: 'a', version: 3 })
  })

  it('takes TypeScript of its own workspace, each file finding its own packages', async () => {
    const root = project({
      'package.json': '{ "private": true }',
      'packages/db/package.json': '{ "name": "@acme/db", "type": "module", "main": "src/index.ts" }',
      'packages/db/src/index.ts': "import { v } from 'only-here'; export const db: string = v",
      'packages/db/node_modules/only-here/package.json': '{ "type": "module", "exports": "./i.js" }',
      'packages/db/node_modules/only-here/i.js': "export const v = 'of db'",
      'packages/app/package.json': '{ "type": "module" }',
      'packages/app/node_modules/@acme/.keep': '',
      'packages/app/cache.config.ts': "import { db } from '@acme/db'; export default { db }",
    })
    symlinkSync(join(root, 'packages/db'), join(root, 'packages/app/node_modules/@acme/db'))
    expect(await load(root, 'packages/app/cache.config.ts')).toEqual({ db: 'of db' })
  })

  it('may have cycles, lazy imports, and be a promise or a function', async () => {
    const root = project({
      'package.json': '{ "type": "module" }',
      'a.ts': "import { b } from './b.ts'; export const a = (): string => 'a'; export const both = () => a() + b()",
      'b.ts': "import { a } from './a.ts'; export const b = () => a().toUpperCase()",
      'cache.config.ts':
        "import { both } from './a.ts'; export default async () => ({ both: both(), os: (await import('node:os')).EOL, late: (await import('./late.ts')).late })",
      'late.ts': 'export const late = 1',
      'promise.ts': 'export default Promise.resolve({ prefix: 1 as number })',
    })
    expect(await load(root)).toEqual({ both: 'aA', os: '\n', late: 1 })
    expect(await load(root, 'promise.ts')).toEqual({ prefix: 1 })
  })

  it("prints to stderr what it prints, so that the command's own output stays its own", async () => {
    const root = project({ 'cache.config.ts': "process.stdout.write('noise'); export default { prefix: 'a' }" })
    const out = vi.spyOn(process.stdout, 'write').mockReturnValue(true)
    const err = vi.spyOn(process.stderr, 'write').mockReturnValue(true)
    await load(root)
    const [printed, redirected] = [out.mock.calls.join(), err.mock.calls.join()]
    process.stdout.write('after')
    const after = out.mock.calls.join()
    vi.restoreAllMocks()
    expect({ printed, redirected, after }).toEqual({ printed: '', redirected: 'noise', after: 'after' })
  })
})

describe('a TypeScript config that cannot load', () => {
  const failure = (root: string, file?: string) =>
    load(root, file).then(
      () => null,
      (error: { code: string; message: string; hint: string }) => error,
    )

  it('says where a syntax error is, who imported the file, and the way out', async () => {
    const root = project({
      'cache.config.ts': "import './src/mid'\nexport default {}",
      'src/mid.ts': "import { leaf } from '../leaf/leaf.js'\nexport { leaf }",
      'leaf/leaf.ts': '// first\nexport const leaf: = 1',
    })
    const error = await failure(root)
    expect(error).toMatchObject({ code: 'CONFIG_LOAD', hint: expect.stringContaining('compile it to JavaScript') })
    expect(error?.message.replaceAll(root, '')).toBe(
      'cannot load /cache.config.ts:\n  leaf/leaf.ts:2:20: Unexpected "="\n    imported by src/mid.ts\n    imported by cache.config.ts',
    )
  })

  it('names every file that is not there', async () => {
    const root = project({ 'cache.config.ts': "import a from './a'; import b from './b.js'; export default { a, b }" })
    const error = await failure(root)
    expect(error?.message).toContain('cache.config.ts:1:15: Could not resolve "./a"')
    expect(error?.message).toContain('Could not resolve "./b.js"')
  })

  it('names a package that is not installed', async () => {
    for (const type of ['module', 'commonjs']) {
      const root = project({
        'package.json': `{ "type": "${type}" }`,
        'cache.config.ts': "import a from 'not-there'; export default { a }",
      })
      const error = await failure(root)
      expect(error).toMatchObject({
        code: 'CONFIG_LOAD',
        message: expect.stringMatching(/Cannot find (?:package|module) 'not-there'/),
        hint: expect.stringContaining('install the package'),
      })
    }
  })

  it('says what it throws, and in which line of which file', async () => {
    const root = project({
      'package.json': '{ "type": "module" }',
      'cache.config.ts': "import { secret } from './secret.ts'\nexport default { secret }",
      'secret.ts':
        "interface A { a: 1 }\n\nexport const secret: A = read()\nfunction read(): A {\n  throw new TypeError('no vault')\n}",
      'text.ts': "throw 'only text'",
      'rejects.ts': "export default Promise.reject(new Error('later'))",
    })
    expect((await failure(root))?.message.replace(root, '')).toMatch(
      /^cannot load \/cache.config.ts: TypeError: no vault\n {2}at secret.ts:5:9\n {2}at secret.ts:3:26(?:\n|$)/,
    )
    expect((await failure(root, 'text.ts'))?.message).toContain('it throws only text')
    expect((await failure(root, 'rejects.ts'))?.message).toContain('later')
  })

  it('asks for a default export', async () => {
    const root = project({ 'cache.config.ts': 'export const config = {}', 'empty.ts': '// nothing' })
    expect(await failure(root)).toMatchObject({
      code: 'CONFIG_LOAD',
      message: expect.stringContaining('has no default export; it exports config'),
    })
    expect((await failure(root, 'empty.ts'))?.message).toMatch(/has no default export$/)
  })
})
