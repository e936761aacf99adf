// What the channel does when the network or the server misbehaves.
import { once } from 'node:events'
import { createServer, type Socket } from 'node:net'
import type { Redis } from 'ioredis'
import { afterEach, beforeEach, describe, expect, it } from 'vitest'
import { type ChannelOptions, openChannel } from '../../../src/adapters/redis/channel.ts'
import { connect } from '../../../src/adapters/redis/client.ts'
import type { Lane, Reply } from '../../../src/ports.ts'
import { randomFromSeed, seed } from '../../seed.ts'
import { startRedis, type TestRedis } from '../../servers.ts'
import { type FaultProxy, startFaultProxy } from './fault-proxy.ts'

describe(`channel (SEED=${seed})`, () => {
  let server: TestRedis
  let proxy: FaultProxy
  let lane: Lane
  let redis: Redis

  async function open(options: Partial<ChannelOptions> = {}, port = proxy.port): Promise<Lane> {
    const target = { url: `redis://127.0.0.1:${port}`, from: 'test', tls: null }
    redis = await connect(target, { connectTimeoutMs: 5_000, replyTimeoutMs: 5_000, dedicated: true })
    lane = await openChannel(redis, { endpoint: 'the proxy', replyTimeoutMs: 5_000, ...options })
    return lane
  }

  function echoes(count: number, sizeBytes: number): Promise<readonly Reply[]> {
    const page = lane.page()
    for (let i = 0; i < count; i += 1) page.add('ECHO', 'x'.repeat(sizeBytes))
    return lane.run(page)
  }

  beforeEach(async () => {
    server = await startRedis({ port: 0 })
    proxy = await startFaultProxy({ port: server.port as number })
  })
  afterEach(async () => {
    lane.close()
    await proxy.stop()
    await server.stop()
  })

  it('says of each page what is known when the connection is cut in the middle of a reply', async () => {
    const random = randomFromSeed(seed)
    for (let run = 0; run < 25; run += 1) {
      await open()
      // ECHO of 10 bytes answers 17.
      const cut = Math.floor(random() * 17 * 300)
      const pages = [echoes(100, 10), echoes(100, 10), echoes(100, 10)]
      proxy.cutAfter(cut)
      const outcomes = await Promise.allSettled(pages)
      const whole = Math.floor(cut / 17)
      outcomes.forEach((outcome, index) => {
        const answered = Math.min(100, Math.max(0, whole - 100 * index))
        if (answered === 100) {
          expect(outcome.status, `cut at ${cut}`).toBe('fulfilled')
          return
        }
        const message =
          answered === 0
            ? 'whether the 100 commands'
            : `${answered} were answered, whether the other ${100 - answered} were`
        expect(outcome, `cut at ${cut}`).toMatchObject({
          reason: { code: 'REDIS_UNREACHABLE', message: expect.stringContaining(message) },
        })
      })
      expect(lane.closed).toBe(true)
      proxy.cutAfter(Number.POSITIVE_INFINITY)
    }
  })

  it('reads replies that come in small pieces', async () => {
    await open()
    for (const bytes of [1, 2, 7]) {
      proxy.slice(bytes)
      expect((await echoes(60, 20)).map((reply) => String(reply).length)).toEqual(Array(60).fill(20))
    }
  })

  it('gives up within the deadline when bytes are held back, and keeps only what the socket took', async () => {
    await open({ replyTimeoutMs: 400 })
    proxy.hold()
    const pages = Array.from({ length: 40 }, () => echoes(1, 1_000_000))
    await new Promise(setImmediate)
    // The kernel's buffers take some; what is in this process is one page at most, and the rest has not been handed over.
    expect(redis.stream.writableLength).toBeLessThan(1_100_000)
    const started = performance.now()
    const outcomes = await Promise.allSettled(pages)
    expect(performance.now() - started).toBeLessThan(1_500)
    const messages = outcomes.map((outcome) => String((outcome as PromiseRejectedResult).reason))
    for (const message of messages) expect(message).toContain('no reply from the proxy for 400 ms')
    expect(messages[0]).toContain('is unknown')
    expect(messages[39]).toContain('none of the 1 commands of this page was sent')
  })

  it('goes on when a full socket takes bytes again', async () => {
    await open()
    proxy.hold()
    const pages = Array.from({ length: 40 }, () => echoes(1, 500_000))
    await new Promise(setImmediate)
    proxy.release()
    for (const page of pages) expect(((await page)[0] as Buffer).length).toBe(500_000)
  })

  it('does not blame the server for a pause of its own process', async () => {
    // Past the proxy, which lives in this process too.
    await open({ replyTimeoutMs: 200 }, server.port as number)
    const page = echoes(1, 10)
    await new Promise(setImmediate)
    const until = performance.now() + 600
    while (performance.now() < until);
    expect(await page).toHaveLength(1)
    await new Promise(setImmediate)
    expect(lane.closed).toBe(false)
  })

  it('closes on bytes that nobody asked for', async () => {
    await open()
    proxy.inject(Buffer.from(':1\r\n'))
    while (!lane.closed) await new Promise(setImmediate)
    await expect(echoes(1, 1)).rejects.toMatchObject({
      code: 'REDIS_PROTOCOL',
      message: expect.stringMatching(/a reply to nothing that was asked; none of/),
    })
  })

  it('closes on bytes that are no reply, and on a reply over the limit', async () => {
    await open({ maxReplyBytes: 1_000 })
    expect(await echoes(2, 1_000)).toHaveLength(2)
    await expect(echoes(1, 1_001)).rejects.toMatchObject({ code: 'REDIS_PROTOCOL' })
    await open()
    const page = echoes(3, 10)
    proxy.inject(Buffer.from('>2\r\n'))
    await expect(page).rejects.toMatchObject({ code: 'REDIS_PROTOCOL', message: expect.stringContaining('">2') })
  })

  it('leaves nothing behind of the connection once it is closed', async () => {
    await open()
    expect(await echoes(1, 1)).toHaveLength(1)
    lane.close()
    while (Number(((await server.call('CLIENT', 'LIST', 'TYPE', 'normal')) as string).trim().split('\n').length) > 1) {
      await new Promise(setImmediate)
    }
    expect(redis.status).not.toBe('ready')
  })
})

describe('channel to a server of our own making', () => {
  it('never hangs or crashes on what a hostile server sends', async () => {
    const random = randomFromSeed(seed)
    const alphabet = Buffer.from('+-:$*_>%0123456789\r\n\r\nOK')
    const sockets: Socket[] = []
    const hostile = createServer((socket) => {
      sockets.push(socket)
      socket.on('error', () => {})
      socket.on('data', (bytes) => {
        // The connection is set up with well-formed answers to whatever is asked; what comes then is noise.
        const asked = bytes.toString('latin1').match(/^\*\d+\r$/gm)?.length ?? 0
        if (bytes.includes('NOISE')) {
          socket.write(
            Buffer.from(Array.from({ length: 80 }, () => alphabet[Math.floor(random() * alphabet.length)] as number)),
          )
          return
        }
        socket.write('+OK\r\n'.repeat(asked))
      })
    })
    hostile.listen(0, '127.0.0.1')
    await once(hostile, 'listening')
    const { port } = hostile.address() as { port: number }
    const target = { url: `redis://127.0.0.1:${port}`, from: 'test', tls: null }
    for (let run = 0; run < 60; run += 1) {
      const redis = await connect(target, { connectTimeoutMs: 2_000, replyTimeoutMs: 2_000, dedicated: true })
      const lane = await openChannel(redis, { endpoint: 'hostile', replyTimeoutMs: 100 })
      const page = lane.page()
      for (let i = 0; i < 30; i += 1) page.add('NOISE')
      await expect(lane.run(page)).rejects.toMatchObject({ code: expect.stringMatching(/^REDIS_(PROTOCOL|TIMEOUT)$/) })
      expect(lane.closed).toBe(true)
    }
    for (const socket of sockets) socket.destroy()
    await new Promise((resolve) => hostile.close(resolve))
  })
})
