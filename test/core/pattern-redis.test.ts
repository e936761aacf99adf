import { Redis } from 'ioredis'
import { afterAll, beforeAll, describe, expect, it } from 'vitest'
import { compileGlob, escapeGlob } from '../../src/core/pattern.ts'
import { randomFromSeed, seed } from '../seed.ts'
import { startRedis, type TestRedis } from '../servers.ts'

describe('a real Redis', () => {
  let server: TestRedis
  let client: Redis

  beforeAll(async () => {
    server = await startRedis()
    client = new Redis({ path: `${server.dir}/redis.sock` })
  })

  afterAll(async () => {
    client.disconnect()
    await server.stop()
  })

  /** Keys that the server says the pattern matches, of those that are there. */
  async function compare(
    patterns: readonly Buffer[],
    keys: readonly Buffer[],
  ): Promise<{ wrong: string[]; matched: number }> {
    await client.flushall()
    await Promise.all(keys.map((key) => client.set(key, '')))
    const replies = (await Promise.all(patterns.map((pattern) => client.callBuffer('KEYS', pattern)))) as Buffer[][]
    const wrong: string[] = []
    let matched = 0
    for (const [index, pattern] of patterns.entries()) {
      const found = new Set(replies[index]?.map((key) => key.toString('hex')))
      matched += found.size
      const matches = compileGlob(pattern)
      for (const key of keys) {
        if (matches(key) !== found.has(key.toString('hex')))
          wrong.push(`${pattern.toString('hex')} on ${key.toString('hex')}`)
      }
    }
    return { wrong, matched }
  }

  it('agrees on 20,000 random cases and more', async () => {
    const random = randomFromSeed(seed)
    const next = (n: number) => Math.floor(random() * n)
    const pick = <T>(list: readonly T[]): T => list[next(list.length)] as T
    const alphabet = ['a', 'b', 'c', ':', '-', '^', ']', '[', '*', '?', '\\', 'é', '\x00', '\n'].map((text) =>
      Buffer.from(text),
    )
    const byte = () => (next(3) === 0 ? Buffer.of(next(256)) : pick(alphabet))
    const piece = (): Buffer => {
      const literal = () => Buffer.concat(Array.from({ length: next(3) }, byte))
      return pick([
        () => Buffer.from('*'),
        () => Buffer.from('?'),
        () => literal(),
        () => Buffer.concat([Buffer.from('\\'), byte()]),
        () =>
          Buffer.concat([
            Buffer.from(pick(['[', '[^', '['])),
            literal(),
            Buffer.from(pick([']', ']', '', 'a-c]', '^]', '\\]'])),
          ]),
        () => Buffer.concat([Buffer.from('['), byte(), Buffer.from('-'), byte(), Buffer.from(pick([']', '']))]),
        () => Buffer.from('[\\'),
      ])()
    }
    const rounds = 12 * Number(process.env.PROOF ?? 1)
    let matched = 0
    for (let round = 0; round < rounds; round++) {
      const keys = Array.from({ length: 50 }, () => Buffer.concat(Array.from({ length: next(6) }, byte)))
      const patterns = Array.from({ length: 150 }, () => Buffer.concat(Array.from({ length: 1 + next(5) }, piece)))
      const result = await compare(patterns, keys)
      expect(result.wrong, `SEED=${seed}`).toEqual([])
      matched += result.matched
    }
    // 90,000 cases of which a fair part matches, or the comparison says nothing
    expect(matched).toBeGreaterThan(rounds * 50 * 150 * 0.02)
  })

  it('agrees that escaped text is literal, where raw text is not', async () => {
    const random = randomFromSeed(seed)
    const next = (n: number) => Math.floor(random() * n)
    const texts = Array.from({ length: 300 }, () =>
      Array.from({ length: 1 + next(4) }, () => '*?[]\\^-ab'[next(9)]).join(''),
    )
    const keys = texts.map((text) => Buffer.from(text))
    const distinct = [...new Set(texts)]
    expect(
      (
        await compare(
          distinct.map((text) => Buffer.from(escapeGlob(text))),
          keys,
        )
      ).matched,
    ).toBe(distinct.length)
    expect(
      (
        await compare(
          distinct.map((text) => Buffer.from(text)),
          keys,
        )
      ).matched,
    ).not.toBe(distinct.length)
  })

  it('finds a keyspace of edges as the server does', async () => {
    const edges = [
      '',
      '*',
      '**',
      '***',
      '?',
      '[',
      '[^',
      '[^]',
      '[]',
      '[]]',
      '[^]]',
      '[a',
      '[a-',
      '[a-]',
      '[a-]]',
      '[\\',
      '[\\]',
      '\\',
      '\\\\',
      '*\\',
      'a*',
      '*a',
      'a**',
      '[^a]*',
      '[--a]',
      '[a\\-z]',
      '[\xff-a]',
      '[a-\xff]',
      '[\x80-\xff]',
    ]
    const buffers = edges.map((edge) => Buffer.from(edge, 'latin1'))
    const keys = [...buffers, ...Array.from({ length: 256 }, (_, code) => Buffer.of(code)), Buffer.from('aa')]
    expect((await compare(buffers, keys)).wrong).toEqual([])
  })
})
