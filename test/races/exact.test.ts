// A large key space with hostile names: one namespace goes, by its name or by a pattern, and of all the others not a byte changes.
import type { Redis } from 'ioredis'
import { afterAll, beforeAll, describe, expect, it } from 'vitest'
import { createKeys } from '../../src/core/key.ts'
import { runIn } from '../cli/in-folder.ts'
import { createProject, type Project } from '../cli/spawned.ts'
import { contentOf, fillKeys, keysOf, openBytes } from '../keyspace.ts'
import { RAW } from '../ops/fixture.ts'
import { randomFromSeed, seed } from '../seed.ts'
import { startRedis, type TestRedis } from '../servers.ts'
import { PROOF } from './processes.ts'

/** `npm run proof`: 1,000,000. */
const KEYS = PROOF === 1 ? 40_000 : 100_000 * PROOF
const NAMESPACES = ['n0', 'n1', 'n2', 'n3', 'n4']
const CONFIG = `
import { defineConfig } from 'cachectl'
export default defineConfig({
  redis: process.env.REDIS_URL,
  prefix: 'shop',
  namespaces: { ${NAMESPACES.map((name) => `${name}: { ttl: '1h' }`).join(', ')} },
})
`

let server: TestRedis
let redis: Redis
let project: Project

beforeAll(async () => {
  server = await startRedis()
  redis = openBytes(server)
  project = createProject({ 'cache.config.ts': CONFIG })
  expect(await fillKeys(server, hostileSpace(), 40)).toBeGreaterThan(KEYS * 0.9)
}, 300_000)
afterAll(async () => {
  project.remove()
  redis.disconnect()
  await server.stop()
})

const NASTY = [
  '\x1b[31m',
  '\n',
  '\r\n',
  '\0',
  '\u202e',
  '*',
  '[^x]',
  '?',
  '\\',
  '{',
  '}',
  '~',
  '%1B',
  '"',
  "'",
  ' ',
  'é',
  '\u009b2J',
]

/** Half of the names are as entries have them; the rest are bytes that nobody writes on purpose. */
function* hostileSpace(): Generator<Buffer> {
  const random = randomFromSeed(seed)
  const { build } = createKeys({ prefix: 'shop', tenantLabel: null })
  const pick = <T>(of: readonly T[]): T => of[Math.floor(random() * of.length)] as T
  for (let index = 0; index < KEYS; index++) {
    const namespace = pick(NAMESPACES)
    const rest = `${pick(NASTY)}${index}${pick(NASTY)}`
    const chance = random()
    if (chance < 0.5)
      yield Buffer.from(build({ namespace, subject: `s${index % 7}`, version: '1', tenant: null, rest: [rest] }))
    else if (chance < 0.7) yield Buffer.from(`shop:v1:${namespace}:${rest}`)
    else if (chance < 0.9) {
      const noise = Buffer.from(Array.from({ length: 8 }, () => Math.floor(random() * 256)))
      yield Buffer.concat([Buffer.from(`shop:v1:${namespace}:${index}`), noise])
    } else yield Buffer.from(`${pick(['shop', 'Shop:', 'shop::v1:', ' shop:v1:', 'shop:v1'])}${namespace}:${rest}`)
  }
}

const run = async (argv: readonly string[]) => {
  const ran = await runIn(project.folder, argv, { REDIS_URL: server.url, XDG_STATE_HOME: server.dir })
  expect(ran.stdout + ran.stderr).not.toMatch(RAW)
  return ran
}

describe(`${KEYS.toLocaleString('en')} keys with hostile names (seed ${seed})`, () => {
  const keys = createKeys({ prefix: 'shop', tenantLabel: null })
  const isControl = (key: Buffer) => key.subarray(0, 5).toString() === 'shop~'

  it.each<[string, (key: Buffer) => boolean]>([
    ['namespace:n3', (key) => keys.parse(key)?.namespace === 'n3'],
    ['pattern:shop:v1:n1:*', (key) => key.subarray(0, 11).toString('latin1') === 'shop:v1:n1:'],
  ])('%s: exactly these go', { timeout: 600_000 }, async (target, isMeant) => {
    const meant = [...(await keysOf(redis))].filter((key) => isMeant(Buffer.from(key, 'latin1'))).length
    expect(meant).toBeGreaterThan(KEYS * 0.08)
    const others = (key: Buffer) => !isMeant(key) && !isControl(key)
    const before = await contentOf(redis, others)
    const preview = JSON.parse((await run(['invalidate', target, '--exact', '-n', '--json'])).stdout)
    expect(preview).toMatchObject({ matched: meant, remaining: meant, preview: { keys: meant, method: 'full' } })
    const { exitCode, stdout } = await run(['invalidate', target, '--yes', '--rate', 'max', '--json'])
    expect(exitCode).toBe(0)
    expect(JSON.parse(stdout)).toMatchObject({
      ok: true,
      complete: true,
      applied: true,
      matched: meant,
      deleted: meant,
      alreadyGone: 0,
      failed: 0,
      unknown: 0,
      remaining: 0,
      outdated: 0,
    })
    expect(await contentOf(redis, isMeant)).toMatchObject({ keys: 0 })
    expect(await contentOf(redis, others)).toEqual(before)
  })
})
