// What `stats` says is what is there: sums, the lookups it adds to INFO, and keys that look as unused as before.
import { afterAll, beforeAll, describe, expect, it } from 'vitest'
import { type App, startRows } from './app.ts'
import { cachectl, until } from './spawned.ts'

const FOREIGN = 400
const PROBE = 'world:v1:detail:city:7'

let app: App
beforeAll(async () => {
  app = await startRows(20_000)
  expect((await app.run(['warm', '--quiet'])).exitCode).toBe(0)
  for (let i = 0; i < FOREIGN; i++)
    await app.redis.call('SET', `sess:${i.toString(16).padStart(8, '0')}`, 'x', 'PX', 900_000)
  await app.redis.call('SET', 'world:v1:gone:thing:1', 'not in the config')
})
afterAll(() => app?.stop())

interface Told {
  groups: { group: string; keys: number; bytes: number; share: number }[]
  total: { keys: number; bytes: number }
  control: { keys: number }
  scan: { hitsAdded: number; missesAdded: number; visited: number; headersRead: number }
}

async function stats(...argv: string[]): Promise<Told> {
  const { exitCode, stdout } = await app.run(['stats', '--json', ...argv])
  expect(exitCode).toBe(0)
  return JSON.parse(stdout)
}

async function info(name: string): Promise<number> {
  return Number(new RegExp(`${name}:(\\d+)`).exec(String(await app.redis.call('INFO', 'stats')))?.[1])
}

const sum = (numbers: number[]) => numbers.reduce((total, n) => total + n, 0)

describe('the sum of the groups', () => {
  it.each([
    [[]],
    [['--by', 'namespace']],
    [['--by', 'tenant']],
    [['--by', 'version']],
    [['--by', 'pattern']],
    [['--by', 'type']],
    [['--top', '1']],
  ])('is DBSIZE less control keys: %j', async (argv) => {
    const { groups, total, control } = await stats(...argv)
    const size = Number(await app.redis.call('DBSIZE'))
    const ours = (await app.controlKeys()).length
    expect(ours).toBeGreaterThan(0)
    expect(control.keys).toBe(ours)
    expect(total.keys).toBe(size - ours)
    expect(sum(groups.map(({ keys }) => keys))).toBe(size - ours)
    expect(sum(groups.map(({ bytes }) => bytes))).toBe(total.bytes)
    expect(sum(groups.map(({ share }) => share))).toBeCloseTo(1, 6)
  })

  it('without a config every key is one of the groups', async () => {
    const { exitCode, stdout } = await cachectl(['stats', '--json', '--redis', app.redis.url])
    expect(exitCode).toBe(0)
    const { groups, control } = JSON.parse(stdout) as Told
    expect(sum(groups.map(({ keys }) => keys)) + control.keys).toBe(Number(await app.redis.call('DBSIZE')))
  })
})

describe('the traces that it leaves', () => {
  it.each([[[]], [['--by', 'type']], [['--age']], [['--sample', '2000']], [['--interval', '1s']]])(
    'are exactly the lookups that it tells: %j',
    async (argv) => {
      const before = [await info('keyspace_hits'), await info('keyspace_misses')]
      const { scan } = await stats(...argv)
      const after = [await info('keyspace_hits'), await info('keyspace_misses')]
      expect([scan.hitsAdded, scan.missesAdded]).toEqual(after.map((count, i) => count - (before[i] ?? 0)))
      expect(scan.hitsAdded).toBeGreaterThan(0)
      if (argv[0] === '--age') expect(scan.headersRead).toBeGreaterThan(0)
    },
  )

  it('no key looks used: OBJECT IDLETIME goes on', async () => {
    expect(await app.redis.call('EXISTS', PROBE)).toBe(1)
    await app.redis.call('GET', PROBE)
    const idle = async () => Number(await app.redis.call('OBJECT', 'IDLETIME', PROBE))
    await until(async () => (await idle()) >= 3)
    const before = await idle()
    await stats('--full', '--by', 'type')
    await app.run(['keys', 'city', '--json'])
    expect(await idle()).toBeGreaterThanOrEqual(before)
    // What does read a value is seen at once.
    await app.run(['get', PROBE])
    expect(await idle()).toBeLessThan(before)
  })
})
