// Entries of a tag are counted before they go, by what stands in them; limits hold for them.
import { afterAll, beforeAll, beforeEach, describe, expect, it } from 'vitest'
import { encodeEntry } from '../../src/core/entry.ts'
import { stampKey } from '../../src/core/key.ts'
import { fillKeys } from '../keyspace.ts'
import { startRedis, type TestRedis } from '../servers.ts'
import { openVerbs, type Verbs } from './verbs-world.ts'

let server: TestRedis
let verbs: Verbs
beforeAll(async () => {
  server = await startRedis()
  verbs = openVerbs(server)
})
afterAll(async () => {
  await verbs.close()
  await server.stop()
})

const entry = (...tags: string[]) =>
  encodeEntry('v', {
    incarnation: 'abcdefghijklmnop',
    createdAtMs: Date.now(),
    freshUntilMs: Date.now() + 3_600_000,
    graceMs: 0,
    deltaMs: 1,
    writer: 'test',
    sourceVersion: null,
    tags: tags.map((tag) => ({ tag, stamp: 's1' })),
    compressAboveBytes: null,
  }) as Buffer
const of = (head: string, count: number) => Array.from({ length: count }, (_, index) => `shop:v1:${head}${index}`)
const MANY = Array.from({ length: 40 }, (_, index) => `tag:other-with-a-long-name-${index}`)

beforeEach(async () => {
  await server.call('FLUSHALL')
  await server.call('HSET', 'shop~generations', 'incarnation', 'abcdefghijklmnop', 'epoch', 'e')
  await server.call('SET', 'shop~revision:{shop~generations}', 'r')
  for (const tag of ['tag:sale', 'tag:news', ...MANY]) await server.call('SET', stampKey('shop', tag), 's1')
  await fillKeys(server, of('detail:product:', 150), () => entry('tag:sale', 'tag:news'))
  await fillKeys(server, of('list:product:all:page_', 250), () => entry('tag:news'))
  await fillKeys(server, of('count:product:', 50), () => entry())
  await fillKeys(server, ['legacy:1', 'sess:1', 'shop:v1:detail:product:text'], () => 'no entry')
})

const json = async (...argv: string[]) => {
  const ran = await verbs.run(['invalidate', ...argv, '--json'])
  return { ...ran, report: JSON.parse(ran.stdout) }
}

describe('a look before', () => {
  it.each([
    [['tag:sale'], 150],
    [['tag:news'], 400],
    [['tag:none'], 0],
    [['tag:sale', 'namespace:list'], 400],
    [['tag:sale', 'tag:news'], 400],
  ])('%s: %i keys', async (targets, keys) => {
    const { report, exitCode } = await json(...targets, '--dry-run')
    expect(exitCode).toBe(0)
    expect(report).toMatchObject({ matched: keys, remaining: keys, preview: { method: 'full' } })
  })

  it('says that nothing has it', async () => {
    const { stdout } = await verbs.run(['invalidate', 'tag:none', '--dry-run'])
    expect(stdout).toContain('Nothing matches tag:none.')
  })

  it('says that entries are looked into', async () => {
    for (const target of ['tag:sale', 'product:42', 'product'])
      expect((await verbs.run(['invalidate', target, '--dry-run'])).stdout).toContain('is looked into')
    expect((await verbs.run(['invalidate', 'namespace:list', '--dry-run'])).stdout).not.toContain('is looked into')
  })

  it('counts what has more tags than are read at first, by all of them', async () => {
    await fillKeys(server, of('detail:order:org_1:', 5), () => entry(...MANY, 'tag:sale'))
    await fillKeys(server, of('detail:order:org_2:', 5), () => entry(...MANY))
    expect((await json('tag:sale', '--dry-run')).report.matched).toBe(155)
  })
})

it('what has more tags than are read at first goes as well, and what lacks this one stays', async () => {
  await fillKeys(server, of('detail:order:org_1:', 5), () => entry(...MANY, 'tag:sale'))
  await fillKeys(server, of('detail:order:org_2:', 5), () => entry(...MANY))
  expect((await json('tag:sale', '--yes')).report).toMatchObject({ matched: 155, deleted: 155, complete: true })
  expect(await server.call('EXISTS', ...of('detail:order:org_2:', 5))).toBe(5)
})

describe('limits', () => {
  it.each([
    ['--max-keys', '149'],
    ['--max-percent', '20'],
  ])('%s %s: refused, and nothing is done', async (flag, limit) => {
    const { exitCode, report } = await json('tag:sale', '--yes', flag, limit)
    expect({ exitCode, code: report.error.code }).toEqual({ exitCode: 4, code: 'REFUSED' })
    expect(report.error.message).toMatch(/^150 keys are /)
    expect(await server.call('GET', stampKey('shop', 'tag:sale'))).not.toBeNull()
  })

  it.each([
    ['--max-keys', '150'],
    ['--max-percent', '90'],
  ])('%s %s: it is done, and as many as were counted go', async (flag, limit) => {
    const { exitCode, report } = await json('tag:sale', '--yes', flag, limit)
    expect(exitCode).toBe(0)
    expect(report).toMatchObject({ matched: 150, deleted: 150, preview: { keys: 150 } })
  })

  it('with --yes alone nobody looks', async () => {
    expect((await json('tag:sale', '--yes')).report).toMatchObject({ deleted: 150, preview: null })
  })
})
