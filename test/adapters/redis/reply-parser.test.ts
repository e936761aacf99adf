import { once } from 'node:events'
import { connect } from 'node:net'
import { afterAll, beforeAll, describe, expect, it } from 'vitest'
import { ReplyFormatError, ReplyParser } from '../../../src/adapters/redis/reply-parser.ts'
import type { Reply } from '../../../src/ports.ts'
import { randomFromSeed, seed } from '../../seed.ts'
import { startRedis, type TestRedis } from '../../servers.ts'

const CASES = 10_000 * Number(process.env.PROOF ?? 1)

/** Parses a whole stream by looking for one reply after the other: plain, and blind to splits. */
function reference(stream: Buffer): Reply[] {
  let at = 0
  const line = (): string => {
    const end = stream.indexOf('\r\n', at)
    const text = stream.toString('utf8', at + 1, end)
    at = end + 2
    return text
  }
  const one = (): Reply => {
    const type = String.fromCharCode(stream[at] as number)
    const text = line()
    if (type === '+') return text
    if (type === '-') return { error: text, code: text.split(' ')[0] as string }
    if (type === ':') return Number(text)
    if (text === '-1') return null
    if (type === '*') return Array.from({ length: Number(text) }, one)
    const bytes = stream.subarray(at, at + Number(text))
    at += bytes.length + 2
    return bytes
  }
  const replies: Reply[] = []
  while (at < stream.length) replies.push(one())
  return replies
}

/** Copies of Buffers, so that pieces of the pushed bytes compare by content. */
const plain = (reply: Reply): unknown =>
  Buffer.isBuffer(reply) ? `bytes ${reply.toString('latin1')}` : Array.isArray(reply) ? reply.map(plain) : reply

/** Escaped as in JSON, one a word. */
const HOSTILE = String.raw`
  $99999999999\r\n $536870913\r\n $99999999999999999999\r\n *-2\r\n $-5\r\n $-0001x :+5\r\n :+ :\r\n :-\r\n :1\r5 :12a\r\n :1.5\r\n
  :--1\r\n $\r\n $3\r\nabcde $3\r\nabc\rX $+3\r\n *4000000000\r\n *99999999\r\n *1\r\n*1\r\n*1\r\n*1\r\n*1\r\n*1\r\n *1\r\n*1\r\n*1\r\n*1\r\n*1\r\n*0\r\n
  +O\rK\r\n HTTP/1.1\u0020400\r\n \r\n _\r\n #t\r\n ,1.5\r\n %1\r\n ~1\r\n >1\r\n !3\r\nabc\r\n =7\r\ntxt:abc\r\n`
  .trim()
  .split(/\s+/)
  .map((word) => JSON.parse(`"${word}"`) as string)
  .concat(`+${'x'.repeat(70_000)}`, `-${'x'.repeat(70_000)}\r\n`, `:${'1'.repeat(20)}`)

interface Outcome {
  replies: unknown[]
  error: unknown
}

function parse(pieces: Iterable<Buffer>, maxReplyBytes?: number): Outcome {
  const replies: unknown[] = []
  const parser = new ReplyParser((reply) => replies.push(plain(reply)), maxReplyBytes)
  try {
    for (const piece of pieces) parser.push(piece)
    return { replies, error: null }
  } catch (error) {
    return { replies, error }
  }
}

const same = (a: Outcome, b: Outcome): boolean =>
  (a.error === null) === (b.error === null) && JSON.stringify(a.replies) === JSON.stringify(b.replies)

function* pieces(stream: Buffer, size: () => number): Generator<Buffer> {
  for (let at = 0; at < stream.length; ) {
    const end = at + size()
    // A copy: what lies behind a piece must not be readable.
    yield Buffer.from(stream.subarray(at, end))
    at = end
  }
}

const EVERY_KIND = `
  FLUSHALL | SET a 1 | SET a 2 NX | GET a | GET nope | INCR a | INCR b | DECRBY b 900 | PTTL a | TTL nope | TYPE a | PING
  SET max 9223372036854775806 | INCR max | SET min -9223372036854775807 | DECR min | ECHO "" | MEMORY USAGE a | TIME
  NONSENSE x | LPUSH l 1 2 3 | GET l | LRANGE l 0 -1 | LRANGE nope 0 -1 | MGET a nope l
  WATCH a | MULTI | SET a 5 | GET l | LRANGE l 0 -1 | LRANGE nope 0 -1 | GET nope | EXEC | MULTI | NONSENSE | EXEC
  SCAN 0 COUNT 100 | SCAN 0 MATCH none* | SETRANGE big 3000 x | GET big | EVAL "return {1,{2,{}}}" 0
  EVAL "return redis.error_reply('MY fault')" 0 | SET bin "\\r\\n$5\\r\\n:1" | GET bin | SET u "\\xff\\x00\\xd0" | GET u`

/** What a real server says to commands that give every kind of reply. */
async function record(port: number): Promise<Buffer> {
  const socket = connect(port, '127.0.0.1')
  await once(socket, 'connect')
  const chunks: Buffer[] = []
  socket.on('data', (chunk: Buffer) => chunks.push(chunk))
  const commands = EVERY_KIND.trim().split(/\s*[|\n]\s*/)
  // QUIT is what ends it: a Redis 8 that is flushing in the background drops a client that has hung up, with all that it is owed.
  socket.write(`${[...commands, ...commands, 'QUIT'].join('\r\n')}\r\n`)
  await once(socket, 'close')
  return Buffer.concat(chunks)
}

describe(`reply parser (SEED=${seed})`, () => {
  let server: TestRedis
  let stream: Buffer
  let expected: unknown[]

  beforeAll(async () => {
    server = await startRedis({ port: 0 })
    stream = await record(server.port as number)
    expected = reference(stream).map(plain)
  })
  afterAll(() => server.stop())

  it('has a stream with every kind of reply before it', () => {
    const text = stream.toString('latin1')
    for (const kind of [
      '+OK',
      '+QUEUED',
      '+string',
      '-ERR ',
      '-WRONGTYPE',
      '-EXECABORT',
      ':-',
      '$-1',
      '$0',
      '*0',
      '*2\r\n$1\r\n0\r\n*',
    ]) {
      expect(text).toContain(kind)
    }
    expect(expected.length).toBeGreaterThan(80)
  })

  it('reads a recorded stream the same in pieces of every size', () => {
    for (let size = 1; size <= 700; size += 1) {
      expect(parse(pieces(stream, () => size))).toEqual({ replies: expected, error: null })
    }
  })

  it('reads it the same at random splits', () => {
    const random = randomFromSeed(seed)
    const expectedText = JSON.stringify(expected)
    for (let run = 0; run < CASES / 10; run += 1) {
      const longest = 2 ** (1 + random() * 12)
      const outcome = parse(pieces(stream, () => 1 + Math.floor(random() * longest)))
      expect(outcome.error).toBeNull()
      expect(JSON.stringify(outcome.replies) === expectedText, `run ${run}`).toBe(true)
    }
  })

  it('gives the whole replies of a truncated stream and waits for the rest', () => {
    for (let end = 0; end < stream.length; end += 7) {
      const { replies, error } = parse([Buffer.from(stream.subarray(0, end))])
      expect(error).toBeNull()
      expect(replies).toEqual(expected.slice(0, replies.length))
      expect(replies.length).toBeLessThan(expected.length)
    }
  })

  it('refuses or reads bytes that were changed, and never does anything else', () => {
    const random = randomFromSeed(seed + 1)
    let refused = 0
    for (let run = 0; run < CASES; run += 1) {
      const changed = Buffer.from(stream.subarray(0, 1_000))
      for (let i = 0; i <= random() * 3; i += 1)
        changed[Math.floor(random() * changed.length)] = Math.floor(random() * 256)
      const whole = parse([changed])
      const split = parse(pieces(changed, () => 1 + Math.floor(random() * 200)))
      // What is read must not hang on where the stream was cut.
      expect(same(split, whole), `run ${run}`).toBe(true)
      if (whole.error === null) continue
      refused += 1
      expect(whole.error).toBeInstanceOf(ReplyFormatError)
    }
    expect(refused).toBeGreaterThan(CASES / 20)
  })

  it('refuses or waits on random bytes', () => {
    const random = randomFromSeed(seed + 2)
    const alphabet = Buffer.from('+-:$*0123456789\r\n\r\n\r\nOKQ ')
    for (let run = 0; run < CASES; run += 1) {
      const noise = Buffer.from(
        Array.from({ length: 64 }, () => alphabet[Math.floor(random() * alphabet.length)] as number),
      )
      const whole = parse([noise], 1_000)
      const split = parse(
        pieces(noise, () => 1 + Math.floor(random() * 9)),
        1_000,
      )
      expect(same(split, whole), `run ${run}`).toBe(true)
      if (whole.error !== null) expect(whole.error).toBeInstanceOf(ReplyFormatError)
    }
  })

  it.each(HOSTILE.map((hostile) => [hostile.slice(0, 40), hostile] as const))('refuses %j', (_, hostile) => {
    for (const size of hostile.length > 1_000 ? [1_024, 100_000] : [1, 3, 100_000]) {
      const { replies, error } = parse(pieces(Buffer.from(`:1\r\n${hostile}`), () => size))
      expect(replies).toEqual([1])
      expect(error).toBeInstanceOf(ReplyFormatError)
    }
  })

  it('bounds one reply as a whole, not each of its parts, and the next one anew', () => {
    const bulk = (size: number): string => `$${size}\r\n${'x'.repeat(size)}\r\n`
    const allowed = `*2\r\n${bulk(400)}${bulk(400)}`
    expect(parse([Buffer.from(allowed + allowed + bulk(1_000))], 1_000).replies).toHaveLength(3)
    expect(parse([Buffer.from(`*2\r\n${bulk(600)}${bulk(600)}`)], 1_000).error).toBeInstanceOf(ReplyFormatError)
    expect(parse([Buffer.from('*63\r\n')], 1_000).error).toBeInstanceOf(ReplyFormatError)
  })

  it('takes a large bulk string in small pieces without copying what it has over and over', () => {
    const size = 64 * 1024 * 1024
    let length = 0
    const parser = new ReplyParser((reply) => {
      length = (reply as Buffer).length
    })
    const piece = Buffer.alloc(4_096, 0x61)
    const started = performance.now()
    parser.push(Buffer.from(`$${size}\r\n`))
    for (let sent = 0; sent < size; sent += piece.length) parser.push(piece)
    parser.push(Buffer.from('\r\n'))
    expect(length).toBe(size)
    // Joining all at each piece would move 500 GB.
    expect(performance.now() - started).toBeLessThan(5_000)
  })
})
