import { spawnSync } from 'node:child_process'
import { existsSync, readFileSync } from 'node:fs'
import { createRequire } from 'node:module'
import { join } from 'node:path'
import { fileURLToPath } from 'node:url'
import { Chalk } from 'chalk'
import { describe, expect, it } from 'vitest'
import { parseServerUrl, redactUrl } from '../../src/adapters/redis/server-url.ts'
import { ENVIRONMENT } from '../../src/config/environment.ts'
import { initTemplate } from '../../src/config/init-template.ts'
import { readConfig } from '../../src/config/load.ts'
import type { ResolvedConfig } from '../../src/config/resolved.ts'
import { optionPaths } from '../../src/config/schema.ts'
import { checkConfig } from '../../src/ops/config-check.ts'
import { showConfig } from '../../src/ops/config-show.ts'
import { initConfig } from '../../src/ops/init.ts'
import { renderConfig, renderConfigCheck } from '../../src/render/config.ts'
import { project } from '../config/project.ts'

const ROOT = fileURLToPath(new URL('../..', import.meta.url))
const plain = new Chalk({ level: 0 })
const read = (cwd: string, env: Record<string, string> = {}) => readConfig({ cwd, env, flags: {} })
const check = async (cwd: string, env?: Record<string, string>) =>
  checkConfig(await read(cwd, env), ({ url, tls }) => parseServerUrl(url, tls))

describe('init', () => {
  it('writes a config that passes its own check, with a prefix of the package', async () => {
    const root = project({ 'package.json': '{ "name": "@acme/my-shop" }' })
    const file = join(root, 'cache.config.ts')
    expect(initConfig({ cwd: root, force: false })).toEqual({ ok: true, file, replaced: false, prefix: 'my-shop' })
    expect(await check(root)).toEqual({
      ok: true,
      file,
      problems: [],
      notes: [
        expect.objectContaining({ path: 'redis' }),
        expect.objectContaining({ path: 'models.product.source', message: expect.stringContaining('no database') }),
      ],
      models: 1,
      namespaces: 5,
      notWarmed: [],
    })
  })

  it('type-checks in a strict project', () => {
    const root = project({
      'package.json': '{ "type": "module" }',
      'cache.config.ts': initTemplate('shop'),
      'tsconfig.json': JSON.stringify({
        extends: join(ROOT, 'tsconfig.json'),
        compilerOptions: {
          paths: { cachectl: [join(ROOT, 'src/index.ts')] },
          typeRoots: [join(ROOT, 'node_modules/@types')],
        },
        include: ['cache.config.ts'],
      }),
    })
    const tsc = createRequire(import.meta.url).resolve('typescript/bin/tsc')
    const { stdout, status } = spawnSync(process.execPath, [tsc, '--noEmit', '-p', root], { encoding: 'utf8' })
    expect({ stdout, status }).toEqual({ stdout: '', status: 0 })
  })

  it('never writes over a config, in whatever form, unless told to', () => {
    for (const name of ['cache.config.ts', 'cache.config.json', '.config/cache.config.mjs']) {
      const root = project({ [name]: 'mine' })
      expect(() => initConfig({ cwd: root, force: false })).toThrow(
        expect.objectContaining({ code: 'REFUSED', exitCode: 4 }),
      )
      expect(readFileSync(join(root, name), 'utf8')).toBe('mine')
      expect(existsSync(join(root, 'cache.config.ts'))).toBe(name === 'cache.config.ts')
      expect(initConfig({ cwd: root, force: true }).replaced).toBe(name === 'cache.config.ts')
    }
  })

  it('says that it cannot write, and finds a prefix in any name', () => {
    expect(() => initConfig({ cwd: '/nope', force: false })).toThrow(expect.objectContaining({ code: 'USAGE' }))
    expect(initConfig({ cwd: project({ 'package.json': '{ "name": 5 }' }), force: false }).prefix).toMatch(
      /^cachectl-config-/,
    )
    expect(initConfig({ cwd: project({ 'package.json': '{ "name": "@x/2:café" }' }), force: false }).prefix).toBe('caf')
  })
})

describe('config check', () => {
  it('lists every problem, a bad URL among them, and repeats no secret', async () => {
    const root = project({ 'cache.config.json': '{ "prefix": "shop", "version": 0, "redis": "redis://:pa/ss@h" }' })
    const report = await check(root, { CACHECTL_REDIS: 'redis://:se/cret@h' })
    expect(report).toMatchObject({ ok: false, problems: [{ path: 'version' }, { path: 'redis' }] })
    const text = renderConfigCheck(report, plain)
    expect(text).toContain('✗ version 0 is not a whole number')
    expect(text).toContain('(from CACHECTL_REDIS)')
    expect(text).toContain('2 problems')
    expect(text).not.toMatch(/se\/cret|pa\/ss/)
  })

  it('counts what there is, and says what a bare warm leaves out', async () => {
    const root = project({
      'cache.config.json':
        '{ "prefix": "shop", "redis": "redis://h", "models": { "a": { "source": null }, "b": { "source": null, "enabled": false } } }',
    })
    const report = await check(root)
    expect(report).toMatchObject({
      ok: true,
      models: 2,
      namespaces: 1,
      notWarmed: [
        { model: 'a', reason: 'has no source' },
        { model: 'b', reason: 'not enabled' },
      ],
    })
    expect(renderConfigCheck(report, plain)).toContain('Not warmed by `warm`: a (has no source), b (not enabled)')
    expect(renderConfigCheck(report, plain)).toContain(': 2 models, 1 namespace')
  })

  it('needs a config', async () => {
    await expect(check(project({}))).rejects.toMatchObject({ code: 'CONFIG_NOT_FOUND' })
  })
})

describe('config show', () => {
  const shown = async () => {
    const root = project({
      'cache.config.ts': `export default {
        prefix: 'shop', redis: { url: 'rediss://user:s3cret@h:7000/2', tls: { ca: 'PEM', cert: 'C', key: 'K3Y', servername: 's' } },
        namespaces: { detail: { ttl: 'never' }, list: { budget: { maxMemory: '64mb' } } },
        models: { product: { source: { kind: 'sql', strategies: ['all'], select() {}, list() {}, password: 's3cret' }, key: (row) => row.slug, lists: { byX: { by: ['x'], values: [{ x: 'a\\u001b[31m' }] } } } },
      }`,
    })
    return showConfig((await read(root)).config as ResolvedConfig, redactUrl)
  }

  it('is the resolved config without secrets and functions', async () => {
    const report = await shown()
    expect(report.config).toMatchObject({
      prefix: 'shop',
      redis: {
        url: 'rediss://***@h:7000/2',
        from: 'cache.config.ts',
        tls: { ca: '(set)', cert: '(set)', key: '(set)', servername: 's' },
      },
      namespaces: { detail: { ttlMs: null }, list: { budget: { maxBytes: 64 * 1024 ** 2 } } },
      models: { product: { source: { kind: 'sql', strategies: ['all'] }, key: '[function]' } },
    })
    expect(JSON.stringify(report)).not.toMatch(/s3cret|K3Y|PEM/)
  })

  it('reads as lines of settings, escaped', async () => {
    const text = renderConfig(await shown(), plain)
    expect(text).toContain('redis:\n  url: rediss://***@h:7000/2\n  from: cache.config.ts')
    expect(text).toContain('  detail:\n    name: detail\n    ttl: never')
    expect(text).toContain('maxMemory: 64 MB')
    expect(text).not.toContain('\u001b')
    expect(text).toContain('x: a\\x1B[31m')
  })
})

describe('what the docs are held to', () => {
  it('lists every option once, and every variable with its meaning', () => {
    const paths = optionPaths()
    expect(new Set(paths).size).toBe(paths.length)
    expect(paths).toEqual(
      expect.arrayContaining([
        'prefix',
        'redis',
        'models.*.lists.*.by',
        'models.*.warm.strategy',
        'namespaces.*.budget.maxKeys',
        'models.*.join.*.on',
      ]),
    )
    for (const [name, meaning] of Object.entries(ENVIRONMENT)) expect([name, meaning.length > 10]).toEqual([name, true])
  })
})
