// Cached methods over a real Redis: cache.method, and standard decorators in code that esbuild and tsc have compiled.
import { spawn } from 'node:child_process'
import { mkdtempSync, rmSync, symlinkSync } from 'node:fs'
import { createRequire } from 'node:module'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { fileURLToPath } from 'node:url'
import { build } from 'esbuild'
import { afterAll, beforeAll, beforeEach, describe, expect, test } from 'vitest'
import { cached, cachedMethod } from '../../src/cache/methods.ts'
import { startRedis, type TestRedis } from '../servers.ts'
import { closeSurfaces, openSurfaces } from './open-surfaces.ts'

const root = fileURLToPath(new URL('../..', import.meta.url))
const tsc = createRequire(import.meta.url).resolve('typescript/bin/tsc')
let redis: TestRedis
let dir: string
beforeAll(async () => {
  redis = await startRedis()
  dir = mkdtempSync(join(tmpdir(), 'cachectl-methods-'))
  symlinkSync(join(root, 'node_modules'), join(dir, 'node_modules'))
})
afterAll(async () => {
  await closeSurfaces()
  await redis.stop()
  rmSync(dir, { recursive: true, force: true })
})
beforeEach(async () => {
  await closeSurfaces()
  await redis.call('FLUSHALL')
})
const open = () => openSurfaces(redis.url)

class Users {
  loads = 0
  table = 'users'
  async getUser(id: number): Promise<string> {
    return `${this.table} ${id} ${++this.loads}`
  }
  async other(id: number): Promise<number> {
    return id
  }
}

describe('cache.method', () => {
  test('of an object: that object’s calls are cached, `this` is the object', async () => {
    const cache = open()
    const users = new Users()
    const getUser = cache.method('user_data', users, 'getUser', { ttl: '1h' })
    expect([await users.getUser(7), await users.getUser(7), await getUser(7)]).toEqual(Array(3).fill('users 7 1'))
    expect(await getUser.key(7)).toBe('shop:v1:user_data:@fn.Users.getUser:7')
    await getUser.invalidate(7)
    expect(await users.getUser(7)).toBe('users 7 2')
    expect(await getUser.refresh(7)).toBe('users 7 3')
    expect(await cachedMethod(users, 'getUser').get(7)).toBe('users 7 3')
    await getUser.invalidateAll()
    expect(await getUser.get(7)).toBeUndefined()
    // others are as they were
    expect(await new Users().getUser(7)).toBe('users 7 1')
    expect(Object.keys(users)).toEqual(['loads', 'table'])
  })

  test('of a prototype, all objects of the class; `key` may use `this`', async () => {
    const cache = open()
    class Rows extends Users {
      override async getUser(id: number): Promise<string> {
        return super.getUser(id)
      }
    }
    cache.method('user_data', Rows.prototype, 'getUser', {
      key(this: Rows, id) {
        return [this.table, id]
      },
    })
    const [a, b, c] = [new Rows(), new Rows(), new Rows()]
    c.table = 'rows'
    expect([await a.getUser(7), await b.getUser(7), await c.getUser(7)]).toEqual(['users 7 1', 'users 7 1', 'rows 7 1'])
    expect(await cachedMethod(c, 'getUser').key(7)).toBe('shop:v1:user_data:@fn.Rows.getUser:rows:7')
  })

  test('in a constructor, for each object', async () => {
    const cache = open()
    class Cities extends Users {
      constructor() {
        super()
        cache.method<Cities, 'getUser'>('user_data', this, 'getUser')
      }
    }
    expect([await new Cities().getUser(7), await new Cities().getUser(7)]).toEqual(['users 7 1', 'users 7 1'])
    expect(await cachedMethod(new Cities(), 'getUser').key(7)).toBe('shop:v1:user_data:@fn.Users.getUser:7')
  })

  test('what is refused', () => {
    const cache = open()
    const refused = (work: () => unknown, message: string) => expect(work).toThrow(message)
    const plain = { getUser: async (id: number) => id }
    refused(() => cache.method('user_data', plain, 'getUser'), 'is of no class')
    refused(() => cache.method('user_data', new Users(), 'getUsers' as never), 'has no method getUsers')
    refused(() => cache.method('user_data', new Users(), 'table' as never), 'has no method table')
    refused(
      () => cache.method('user_data', Object.freeze(new Users()), 'getUser'),
      'does not let its method getUser be replaced',
    )
    refused(() => cache.method('nope' as never, new Users(), 'getUser'), 'no namespace called `nope`')
    refused(() => cachedMethod(new Users(), 'getUser'), 'getUser is no cached method')
    class A extends Users {
      override getUser = async (id: number) => `${id}`
    }
    refused(() => cache.method('user_data', new A(), 'getUser'), 'a minifier')
    const users = new Users()
    cache.method('user_data', users, 'getUser')
    refused(() => cache.method('user_data', users, 'getUser'), 'is cached already')
    cache.method('user_data', plain, 'getUser', { class: 'plain' })
    refused(
      () => cache.method('user_data', { getUser: async () => 1 }, 'getUser', { class: 'plain' }),
      'two different functions',
    )
  })
})

describe('decorators', () => {
  const entry = (name: string) => join(root, `test/fixtures/decorators/${name}.ts`)
  const tsFlags = [
    '--ignoreConfig',
    '--module',
    'nodenext',
    '--lib',
    'es2023,esnext.decorators',
    '--types',
    'node',
    '--strict',
    '--skipLibCheck',
    '--rewriteRelativeImportExtensions',
    '--rootDir',
    root,
  ] // prettier-ignore

  const byEsbuild = async (name: string) => {
    const outfile = join(dir, `${name}-esbuild.mjs`)
    await build({
      entryPoints: [entry(name)],
      outfile,
      bundle: true,
      packages: 'external',
      platform: 'node',
      format: 'esm',
      target: 'node20',
      tsconfigRaw: { compilerOptions: name === 'legacy' ? { experimentalDecorators: true } : {} },
    }) // prettier-ignore
    return outfile
  }
  const byTsc = async (name: string, target: string) => {
    const outDir = join(dir, `${name}-${target}`)
    const flags = [
      ...tsFlags,
      '--target',
      target,
      '--outDir',
      outDir,
      ...(name === 'legacy' ? ['--experimentalDecorators'] : []),
    ]
    const { output, status } = await run([tsc, ...flags, entry(name)])
    expect(output).toBe('')
    expect(status).toBe(0)
    return join(outDir, `test/fixtures/decorators/${name}.js`)
  }

  test.each([
    ['esbuild', () => byEsbuild('service')],
    ['tsc, ES2022', () => byTsc('service', 'es2022')],
  ])('compiled by %s', async (_, compile) => {
    const { output, status } = await run([await compile()], { REDIS_URL: redis.url })
    expect(status).toBe(0)
    expect(JSON.parse(output)).toEqual({
      find: ['users 7 1', 'users 7 1', 'users 7 1', 'order of users 7 1'],
      findKey: 'shop:v1:user_data:@fn.Repository.find:7',
      row: ['users 7 2', 'users 7 2', 'orders 7 3'],
      rowKey: 'shop:v1:user_data:@fn.Repository.row:orders:7',
      count: [4, 4],
      countKey: 'shop:v1:user_data:@fn.Users.count:',
      secret: ['secret 7 5', 'secret 7 5'],
      invalidated: 'applied',
      after: ['users 7 6', 'orders 7 3'],
      refreshed: ['orders 7 7', 'orders 7 7', 'orders 7 7'],
    })
  })

  test('experimental decorators are told apart', async () => {
    const { output } = await run([await byEsbuild('legacy')])
    expect(JSON.parse(output).error).toMatchObject({
      code: 'USAGE',
      message: expect.stringContaining('applied as an experimental one'),
      hint: expect.stringContaining('cache.method'),
    })
  })

  test('what is refused: another kind, no cache, a class that cannot be told, two of one name', async () => {
    const cache = open()
    const context = (kind: string, name: string | symbol = 'find') => ({ kind, name, static: false }) as never
    const method = async (id: number) => id
    expect(() => cache.cached('user_data')(method, context('getter'))).toThrow('applied to a getter')
    const loose = cache.cached('user_data')(method, context('method'))
    await expect(loose.call(undefined, 7)).rejects.toThrow('the class of the cached method find cannot be told')
    const noCache = cached(() => ({ cached: () => {} }) as never, 'user_data')(method, context('method'))
    await expect(noCache.call(undefined, 7)).rejects.toThrow('@cached was given no cache')
    const named = cache.cached('user_data', { class: 'Users', name: 'byId' })
    expect(await named(method, context('method', Symbol('x'))).call(undefined, 7)).toBe(7)
    await expect(named(async (id: number) => id, context('method')).call(undefined, 7)).rejects.toThrow(
      'two different functions',
    )
    await expect(
      cache
        .cached('nope' as never, { class: 'Users' })(method, context('method'))
        .call(undefined, 7),
    ).rejects.toThrow('`nope`')
  })
})

async function run(
  args: readonly string[],
  env: Record<string, string> = {},
): Promise<{ output: string; status: number | null }> {
  const child = spawn(process.execPath, args, { cwd: root, env: { ...process.env, ...env } })
  let output = ''
  for (const stream of [child.stdout, child.stderr]) stream.on('data', (chunk) => (output += chunk))
  const status = await new Promise<number | null>((resolve) => child.once('close', resolve))
  return { output, status }
}
