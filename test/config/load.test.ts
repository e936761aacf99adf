import { chmodSync, mkdirSync } from 'node:fs'
import { join } from 'node:path'
import { describe, expect, it } from 'vitest'
import { type LoadOptions, loadConfig, readConfig } from '../../src/config/load.ts'
import { requireRedis } from '../../src/config/redis-target.ts'
import { project } from './project.ts'

const JSON_CONFIG = '{ "prefix": "shop", "redis": "redis://file" }'
const load = (cwd: string, options: Partial<LoadOptions> = {}) => loadConfig({ cwd, env: {}, flags: {}, ...options })
const failure = (cwd: string, options?: Partial<LoadOptions>) =>
  load(cwd, options).then(
    () => null,
    (error) => ({ code: error.code, message: error.message, hint: error.hint }),
  )

describe('finding the config', () => {
  it.each([
    ['cache.config.json', JSON_CONFIG],
    ['cache.config.yaml', 'prefix: shop\nredis: redis://file\n'],
    ['cache.config.yml', 'prefix: shop\nredis: redis://file\n'],
    ['cache.config.mjs', "export default { prefix: await 'shop', redis: 'redis://file' }"],
    ['cache.config.cjs', "module.exports = { prefix: 'shop', redis: 'redis://file' }"],
    ['cache.config.ts', "export default { prefix: 'shop', redis: 'redis://file' }"],
    ['cache.config.mts', "export default { prefix: 'shop', redis: 'redis://file' }"],
    ['.config/cache.config.ts', "export default { prefix: 'shop', redis: 'redis://file' }"],
    ['package.json', `{ "cachectl": ${JSON_CONFIG} }`],
  ])('takes %s, searched and named', async (name, text) => {
    const root = project({ [name]: text })
    const expected = {
      config: { prefix: 'shop' },
      file: join(root, name),
      redis: { url: 'redis://file', from: name.replace('.config/', '') },
    }
    expect(await load(root)).toMatchObject(expected)
    expect(await load('/', { file: join(root, name) })).toMatchObject(expected)
    expect(await load(root, { file: name })).toMatchObject(expected)
    expect(await load(root, { env: { CACHECTL_CONFIG: name } })).toMatchObject(expected)
  })

  it.each([
    ['{ "type": "module" }', "export default { prefix: 'shop' }"],
    ['{ "type": "commonjs" }', "module.exports = { prefix: 'shop' }"],
    ['{ "type": "commonjs" }', "exports.__esModule = true; exports.default = { prefix: 'shop' }"],
  ])('takes cache.config.js in a package %s', async (manifest, text) => {
    expect((await load(project({ 'package.json': manifest, 'cache.config.js': text }))).config?.prefix).toBe('shop')
  })

  it('goes up to the package around it, and not beyond', async () => {
    const root = project({
      'cache.config.json': JSON_CONFIG,
      'app/package.json': '{}',
      'app/src/deep/x.txt': '',
      'plain/deep/x.txt': '',
    })
    expect((await load(join(root, 'app/src/deep'))).file).toBeNull()
    expect((await load(join(root, 'plain/deep'))).file).toBeNull()
    const packaged = project({ 'package.json': '{}', 'cache.config.json': JSON_CONFIG, 'src/deep/x.txt': '' })
    expect((await load(join(packaged, 'src/deep'))).file).toBe(join(packaged, 'cache.config.json'))
  })

  it('does not run what does not count', async () => {
    const root = project({ 'cache.config.json': JSON_CONFIG, 'cache.config.yaml': '{{{', 'package.json': '{ broken' })
    expect((await load(root)).config?.prefix).toBe('shop')
  })

  it('says that a named file is not there, or is none', async () => {
    const root = project({ 'a.toml': '', 'folder/x': '' })
    expect(await failure(root, { file: 'nope.ts' })).toMatchObject({
      code: 'CONFIG_NOT_FOUND',
      message: `there is no config file ${join(root, 'nope.ts')}`,
    })
    expect(await failure(root, { env: { CACHECTL_CONFIG: 'nope.ts' } })).toMatchObject({ code: 'CONFIG_NOT_FOUND' })
    expect(await failure(root, { file: 'folder' })).toMatchObject({
      code: 'CONFIG_NOT_FOUND',
      message: expect.stringContaining('is a folder'),
    })
    expect(await failure(root, { file: 'a.toml' })).toMatchObject({
      code: 'CONFIG_LOAD',
      hint: expect.stringContaining('.yaml'),
    })
  })

  it.skipIf(process.getuid?.() === 0)(
    'does not take a file that it may not read for one that is not there',
    async () => {
      const root = project({ 'cache.config.json': JSON_CONFIG })
      chmodSync(join(root, 'cache.config.json'), 0)
      expect(await failure(root)).toMatchObject({
        code: 'CONFIG_LOAD',
        message: expect.stringContaining('this user may not'),
      })
    },
  )

  it('does not go past a config that fails with an error of the file system', async () => {
    const root = project({
      'cache.config.ts': "import { readFileSync } from 'node:fs'\nexport default { ca: readFileSync('/nope/ca.pem') }",
      'cache.config.json': JSON_CONFIG,
    })
    expect(await failure(root)).toMatchObject({ code: 'CONFIG_LOAD', message: expect.stringContaining('ENOENT') })
  })
})

describe('a config that is wrong', () => {
  it('is told with all its problems', async () => {
    const root = project({
      'cache.config.json':
        '{ "prefix": "a:b", "defaults": { "ttl": 300 }, "redis": { "url": "redis://u:secret@h", "x": 1 } }',
    })
    const file = join(root, 'cache.config.json')
    expect(await failure(root)).toMatchObject({
      code: 'CONFIG_INVALID',
      message: [
        `${file} has 3 problems:`,
        '  redis.x is no option; there are: url, cluster, sentinels, name, username, password, database, sentinelUsername, sentinelPassword, tls',
        '  prefix "a:b" cannot be a name; begin with a letter; use letters, digits, `_`, `-` and `.`, at most 64 of them',
        "  defaults.ttl 300 is a bare number; write '300s' or '5m', or '300ms' for milliseconds",
      ].join('\n'),
    })
    const reading = await readConfig({ cwd: root, env: {}, flags: {} })
    expect(reading).toMatchObject({
      config: null,
      file,
      problems: [{ path: 'redis.x' }, { path: 'prefix' }, { path: 'defaults.ttl' }],
    })
  })

  it.each([
    ['cache.config.json', '{\n  "prefix": "a",,\n}', 'in line 2, column 17'],
    ['cache.config.json', '', 'in line 1'],
    ['cache.config.yaml', 'a: [1', 'YAML Error'],
    ['cache.config.mjs', "throw new Error('boom')", 'boom'],
    ['cache.config.mjs', 'export const a = 1', 'has no default export; it exports a'],
    ['cache.config.mjs', "import 'not-there-at-all'", 'not-there-at-all'],
  ])('does not load: %s %j', async (name, text, expected) => {
    expect(await failure(project({ [name]: text }))).toMatchObject({
      code: 'CONFIG_LOAD',
      message: expect.stringContaining(expected),
    })
  })

  it('is empty', async () => {
    expect(await failure(project({ 'cache.config.yaml': '' }))).toMatchObject({
      code: 'CONFIG_INVALID',
      message: expect.stringContaining('the config is empty'),
    })
  })
})

describe('which Redis counts', () => {
  const file = { 'cache.config.json': JSON_CONFIG }
  it.each<[string, Record<string, string>, Partial<LoadOptions>, string | null, string | null]>([
    [
      'the flag',
      file,
      { flags: { redis: 'redis://flag' }, env: { CACHECTL_REDIS: 'redis://env', CACHECTL_EMBEDDED: '1' } },
      'redis://flag',
      '--redis',
    ],
    ['embedded by the environment', file, { env: { CACHECTL_EMBEDDED: '1' } }, 'embedded', 'CACHECTL_EMBEDDED'],
    ['no embedded by anything but 1', file, { env: { CACHECTL_EMBEDDED: '0' } }, 'redis://file', 'cache.config.json'],
    [
      'CACHECTL_REDIS before the file',
      file,
      { env: { CACHECTL_REDIS: 'redis://env' } },
      'redis://env',
      'CACHECTL_REDIS',
    ],
    [
      'the file before REDIS_URL',
      file,
      { env: { REDIS_URL: 'redis://plain', CACHECTL_REDIS: '' } },
      'redis://file',
      'cache.config.json',
    ],
    [
      'nothing: REDIS_URL is not read by the file',
      { 'cache.config.json': '{ "prefix": "a" }' },
      { env: { REDIS_URL: 'redis://plain' } },
      null,
      null,
    ],
    ['REDIS_URL without a file', {}, { env: { REDIS_URL: 'redis://plain' } }, 'redis://plain', 'REDIS_URL'],
    [
      'the flag without a file',
      {},
      { flags: { redis: 'redis://flag' }, env: { REDIS_URL: 'redis://plain' } },
      'redis://flag',
      '--redis',
    ],
    ['nothing at all', {}, {}, null, null],
  ])('%s', async (_, files, options, url, from) => {
    const loaded = await load(project(files), options)
    expect([loaded.redis?.url ?? null, loaded.redis?.from ?? null]).toEqual([url, from])
    if (url === null)
      expect(() => requireRedis(loaded)).toThrow(expect.objectContaining({ code: 'REDIS_URL_UNSET', exitCode: 2 }))
    else expect(requireRedis(loaded)).toBe(loaded.redis)
  })

  it('refuses an empty --redis, and an unknown CACHECTL_ENV', async () => {
    const root = project(file)
    expect(await failure(root, { flags: { redis: '' } })).toMatchObject({ code: 'USAGE', message: '--redis is empty' })
    expect(await failure(root, { env: { CACHECTL_ENV: 'prod' } })).toMatchObject({ code: 'USAGE' })
    expect((await load(root, { env: { CACHECTL_ENV: 'production' } })).config?.env).toBe('production')
  })
})

describe('.env', () => {
  it('is read before the config, and never over a variable that is set', async () => {
    const names = ['CACHECTL_TEST_A', 'CACHECTL_TEST_B'] as const
    const root = project({
      '.env': 'CACHECTL_TEST_A=from-file\nCACHECTL_TEST_B="also"\nCACHECTL_REDIS=redis://dotenv\n',
      '.config/cache.config.ts':
        'export default { prefix: process.env.CACHECTL_TEST_A, redis: process.env.CACHECTL_TEST_B }',
    })
    const before = { ...process.env }
    process.env.CACHECTL_TEST_A = 'set'
    try {
      const loaded = await load(root, { env: process.env })
      expect(loaded.config?.prefix).toBe('set')
      expect(loaded.redis).toMatchObject({ url: 'redis://dotenv', from: 'CACHECTL_REDIS' })
      expect(process.env.CACHECTL_TEST_B).toBe('also')
    } finally {
      for (const name of [...names, 'CACHECTL_REDIS']) {
        if (before[name] === undefined) delete process.env[name]
        else process.env[name] = before[name]
      }
    }
  })

  it('may be a folder, and is not read without a config', async () => {
    const root = project({ 'cache.config.json': JSON_CONFIG })
    mkdirSync(join(root, '.env'))
    expect((await load(root)).config?.prefix).toBe('shop')
    expect((await load(project({ '.env': 'REDIS_URL=redis://dotenv' }))).redis).toBeNull()
  })
})
