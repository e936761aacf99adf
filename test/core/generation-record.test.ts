// The script of bumps on a real server: once an operation, two for two, over the memory limit, whatever is in the place of records.
import { afterAll, beforeAll, beforeEach, describe, expect, it } from 'vitest'
import { WHEN_FULL } from '../../src/core/control-script.ts'
import { BUMP, readBumped, readRecords, recordName } from '../../src/core/generation-record.ts'
import { bumpsKey, generationsKey, revisionKey } from '../../src/core/key.ts'
import { startRedis, type TestRedis } from '../servers.ts'

const KEYS = [generationsKey('shop'), revisionKey('shop'), bumpsKey('shop')] as const
const [HASH, REVISION, RECORDS] = KEYS

let server: TestRedis
beforeAll(async () => {
  server = await startRedis()
})
afterAll(() => server.stop())
beforeEach(() => server.call('FLUSHALL'))

let made = 0
const token = () => `token${++made}`

async function bump(op: string, scopes: readonly string[], script = BUMP) {
  const fields = scopes.flatMap((scope) => [scope, token()])
  const reply = await server.call('EVAL', script, 3, ...KEYS, op, `ops@host:${made}`, token(), token(), ...fields)
  return readBumped(reply) ?? []
}
const hash = async (field: string) => server.call('HGET', HASH, field)
const records = async (field: string) => readRecords(String(await server.call('HGET', RECORDS, field)))

describe('a bump', () => {
  it('changes token, epoch and revision, and says which was before', async () => {
    const [first] = await bump('a', ['global'])
    expect(first).toEqual({ token: await hash('global'), before: null, generation: 1, repeated: false })
    const [epoch, revision] = [await hash('epoch'), await server.call('GET', REVISION)]
    const [second] = await bump('b', ['global'])
    expect(second).toEqual({ token: await hash('global'), before: first?.token, generation: 2, repeated: false })
    expect([await hash('epoch'), await server.call('GET', REVISION)]).not.toEqual([epoch, revision])
  })

  it('is recorded: newest first, by the clock of the server', async () => {
    const before = Date.now()
    const bumped = [await bump('a', ['global', 'namespace:list']), await bump('b', ['global'])]
    const found = await records('global')
    expect(found.map(({ op, token, before, generation }) => ({ op, token, before, generation }))).toEqual([
      { op: 'b', token: bumped[1]?.[0]?.token, before: bumped[0]?.[0]?.token, generation: 2 },
      { op: 'a', token: bumped[0]?.[0]?.token, before: null, generation: 1 },
    ])
    expect(found.every(({ by }) => by.startsWith('ops@host:'))).toBe(true)
    for (const { sinceMs } of found) expect(Math.abs(sinceMs - before)).toBeLessThan(5_000)
    expect(await records('namespace:list')).toHaveLength(1)
  })

  const NO_MEMORY = BUMP.replace("string.find('\\n' .. lines, '\\n' .. ARGV[1] .. ' ', 1, true)", 'nil')
  const sentAgain = async (script: string) => {
    const first = await bump('a', ['global', 'subject:x'], script)
    await bump('b', ['global'], script)
    const revision = await server.call('GET', REVISION)
    const [current] = [await hash('global')]
    const again = await bump('a', ['global', 'subject:x'], script)
    return {
      first,
      again,
      same: current === (await hash('global')) && revision === (await server.call('GET', REVISION)),
    }
  }
  it('that is sent again is not made again, also when somebody else has bumped since, and answers as at first', async () => {
    const { first, again, same } = await sentAgain(BUMP)
    expect(same).toBe(true)
    expect(again).toEqual(first.map((one) => ({ ...one, repeated: true })))
  })
  it('that is sent again is made twice by one that does not look for its operation', async () => {
    expect(NO_MEMORY).not.toBe(BUMP)
    expect((await sentAgain(NO_MEMORY)).same).toBe(false)
  })

  it('that is sent again when records are lost is made again, under another token than ever', async () => {
    const [first] = await bump('a', ['global'])
    const [second] = await bump('b', ['global'])
    await server.call('DEL', RECORDS)
    const [again] = await bump('a', ['global'])
    expect(again).toMatchObject({ before: second?.token, repeated: false })
    expect([first?.token, second?.token]).not.toContain(again?.token)
  })

  it('beside others makes a generation of its own', async () => {
    const all = await Promise.all(Array.from({ length: 30 }, (_, i) => bump(`op${i}`, ['namespace:list'])))
    const tokens = all.map(([one]) => one?.token)
    expect(new Set(tokens).size).toBe(30)
    expect(new Set(all.map(([one]) => one?.generation)).size).toBe(30)
    expect(tokens).toContain(await hash('namespace:list'))
  })

  it('goes on from what was bumped without a record', async () => {
    await server.call('HSET', HASH, 'global', 'old')
    expect(await bump('a', ['global'])).toMatchObject([{ before: 'old', generation: 2 }])
  })

  it.each([
    ['a string', ['SET', RECORDS, 'x']],
    ['a list', ['RPUSH', RECORDS, 'x']],
    ['lines that are none', ['HSET', RECORDS, 'global', 'what is this\n\n(((%%% %d+']],
  ])('is made whatever is in the place of records: %s', async (_, command) => {
    await server.call(...command)
    const [bumped] = await bump('a', ['global'])
    expect(bumped?.token).toBe(await hash('global'))
    expect((await records('global'))[0]).toMatchObject({ op: 'a', token: bumped?.token })
  })

  it('is made on a server that is full, by flag or without, and not as it stands', async () => {
    const knowsFlags = await server.call('EVAL', '#!lua flags=allow-oom\nreturn 1', 0).catch(() => null)
    await server.call('CONFIG', 'SET', 'maxmemory', '1')
    try {
      await expect(bump('naive', ['global'])).rejects.toThrow('OOM')
      for (const start of knowsFlags ? WHEN_FULL : WHEN_FULL.slice(1)) {
        const [bumped] = await bump(start, ['global'], start + BUMP)
        expect(bumped?.token).toBe(await hash('global'))
      }
    } finally {
      await server.call('CONFIG', 'SET', 'maxmemory', '0')
    }
  })
})

describe('records', () => {
  it('are kept of twenty generations before the current one', async () => {
    for (let i = 0; i < 30; i++) await bump(`op${i}`, ['global'])
    const found = await records('global')
    expect(found.map(({ op }) => op)).toEqual(Array.from({ length: 21 }, (_, i) => `op${29 - i}`))
    expect(found[0]?.generation).toBe(30)
  })

  it('are kept of a thousand scopes', async () => {
    for (let i = 0; i < 21; i++)
      await bump(
        `op${i}`,
        Array.from({ length: 50 }, (_, n) => `tenant:${i * 50 + n}`),
      )
    expect(await server.call('HLEN', RECORDS)).toBe(1_000)
    expect(await records('tenant:1049')).toHaveLength(1)
    expect(await hash('tenant:0')).not.toBeNull()
  })

  it('hold names that can stand in a line', () => {
    expect(recordName('ops@web 1\n:7\u202e')).toBe('ops@web_1_:7_')
    expect(recordName('')).toBe('_')
    expect(recordName('x'.repeat(200))).toHaveLength(80)
  })
})
