import { afterAll, beforeAll, describe, expect, it } from 'vitest'
import { assertNotTooOld, infoIdentity, parseInfo, serverInfo } from '../../../src/adapters/redis/info.ts'
import { openStore, type StoreOptions } from '../../../src/adapters/redis/store.ts'
import type { Master, Store } from '../../../src/ports.ts'
import { startRedis, type TestRedis, tlsFixture } from '../../servers.ts'

const options = { connectTimeoutMs: 2_000, replyTimeoutMs: 1_000 }

describe('store', () => {
  let server: TestRedis
  const opened: Store[] = []
  const open = (url = server.url, more: Partial<StoreOptions> = {}): Store => {
    const store = openStore({ url, from: '--redis', tls: null }, { ...options, ...more })
    opened.push(store)
    return store
  }
  const connections = async (): Promise<number> =>
    String(await server.call('CLIENT', 'LIST', 'TYPE', 'normal'))
      .trim()
      .split('\n').length

  beforeAll(async () => {
    server = await startRedis({ port: 0 })
    await server.call('CONFIG', 'SET', 'maxmemory', '100mb')
  })
  afterAll(async () => {
    for (const store of opened) await store.close()
    await server.stop()
  })

  it('says who the server is', async () => {
    const info = String(await server.call('INFO'))
    expect(await open(`redis://user@127.0.0.1:${server.port}/3`.replace('user@', '')).identity()).toEqual({
      endpoint: `127.0.0.1:${server.port}`,
      database: 3,
      role: 'primary',
      mode: 'standalone',
      version: expect.stringMatching(/^(Redis|Valkey) \d+\.\d+/),
      runId: /run_id:(\w+)/.exec(info)?.[1],
      replicationId: /master_replid:(\w+)/.exec(info)?.[1],
      from: '--redis',
    })
    expect((await open(server.url, { embedded: true }).identity()).mode).toBe('embedded')
  })

  it('reads INFO, and the size of its own database', async () => {
    const store = open(`redis://127.0.0.1:${server.port}/5`)
    await store.call('SET', 'a', 1)
    await store.call('SET', 'b', 1)
    const info = await store.info()
    expect(info).toMatchObject({ maxMemoryBytes: 104_857_600, policy: 'noeviction', keys: 2, evictedKeys: 0 })
    expect(info.usedMemoryBytes).toBeGreaterThan(500_000)
    expect(info.connectedClients).toBeGreaterThan(0)
    expect(info.fields.get('cmdstat_set')).toMatch(/^calls=/)
  })

  it('answers calls as lanes do, whatever ioredis makes of them', async () => {
    const store = open()
    expect(await store.call('set', 'a', 'OK')).toBe('OK')
    expect(await store.call('get', 'a')).toEqual(Buffer.from('OK'))
    expect(await store.call('hset', 'h', 'f', 1)).toBe(1)
    expect(await store.call('hgetall', 'h')).toEqual([Buffer.from('f'), Buffer.from('1')])
    expect(await store.call('get', 'none')).toBeNull()
    await expect(store.call('get', 'h')).rejects.toMatchObject({ name: 'CachectlError', message: /WRONGTYPE/ })
  })

  it('knows what the server knows', async () => {
    const store = open()
    for (const command of ['unlink', 'UNLINK', 'memory|usage', 'scan', 'client|list']) {
      expect(await store.supports(command), command).toBe(true)
    }
    for (const command of ['nonesuch', 'memory|nonesuch', 'nonesuch|usage', '']) {
      expect(await store.supports(command), command).toBe(false)
    }
  })

  it('works for a user who may do next to nothing, with null for what it may not know', async () => {
    await server.call('ACL', 'SETUSER', 'small', 'on', '>pw', '~*', '+get', '+ping', '+select')
    const store = open(`redis://small:pw@127.0.0.1:${server.port}`)
    expect(await store.identity()).toMatchObject({ role: 'unknown', version: null, runId: null, replicationId: null })
    expect(await store.info()).toMatchObject({ usedMemoryBytes: null, policy: null, keys: null, hits: null })
    expect(await store.supports('unlink')).toBe(false)
    expect(await store.masters()).toHaveLength(1)
    await expect(store.call('SET', 'a', 1)).rejects.toMatchObject({ code: 'REDIS_ACL', exitCode: 11 })
  })

  it('opens another connection when the one it had was lost, and one for all who ask at once', async () => {
    const before = await connections()
    const store = open()
    await Promise.all(Array.from({ length: 20 }, () => store.call('PING')))
    expect(await connections()).toBe(before + 1)
    await server.call('CLIENT', 'KILL', 'TYPE', 'normal')
    const until = performance.now() + 5_000
    let answer: unknown = null
    while (answer !== 'PONG' && performance.now() < until) answer = await store.call('PING').catch(() => null)
    expect(answer).toBe('PONG')
    await store.close()
  })

  it('gives up on a server that stalls, and is of use again when the server is', async () => {
    const store = open()
    await store.call('SET', 'a', 1)
    process.kill(server.pid, 'SIGSTOP')
    const started = performance.now()
    try {
      await expect(store.call('GET', 'a')).rejects.toMatchObject({ code: 'REDIS_TIMEOUT', exitCode: 10 })
      expect(performance.now() - started).toBeLessThan(options.replyTimeoutMs * 2)
    } finally {
      process.kill(server.pid, 'SIGCONT')
    }
    expect(await store.call('GET', 'a')).toEqual(Buffer.from('1'))
  })

  it.each(['auto', 'plain'] as const)('closes the lanes that were forgotten (%s)', async (channel) => {
    const before = await connections()
    const store = open(server.url, { channel })
    const [master] = (await store.masters()) as readonly [Master]
    const lanes = await Promise.all([master.lane(), master.lane({ noTouch: true }), master.lane()])
    for (const lane of lanes) {
      const page = lane.page()
      page.add('PING')
      expect(await lane.run(page)).toEqual(['PONG'])
    }
    expect(await connections()).toBe(before + 4)
    await store.close()
    await store.close()
    expect(lanes.map((lane) => lane.closed)).toEqual([true, true, true])
    while ((await connections()) > before) await new Promise(setImmediate)
    await expect(store.call('PING')).rejects.toMatchObject({ code: 'REDIS_UNREACHABLE' })
    await expect(master.lane()).rejects.toMatchObject({ code: 'REDIS_UNREACHABLE' })
  })

  it('opens lanes on the database of the URL', async () => {
    const [master] = (await open(`redis://127.0.0.1:${server.port}/9`).masters()) as readonly [Master]
    const lane = await master.lane()
    const page = lane.page()
    page.add('SET', 'here', 1)
    page.add('DBSIZE')
    expect(await lane.run(page)).toEqual(['OK', 1])
    expect(await open(`redis://127.0.0.1:${server.port}/9`).call('DBSIZE')).toBe(1)
    expect(await open().call('EXISTS', 'here')).toBe(0)
  })

  it('opens lanes over TLS', async () => {
    const secure = await startRedis({ tls: true })
    const target = { url: secure.url, from: 'test', tls: { ca: tlsFixture('ca.crt') } }
    const store = openStore(target, options)
    const [master] = (await store.masters()) as readonly [Master]
    const lane = await master.lane()
    const pages = Array.from({ length: 20 }, (_, index) => {
      const page = lane.page()
      page.add('ECHO', 'x'.repeat(index * 10_000))
      return lane.run(page)
    })
    const replies = await Promise.all(pages)
    expect(replies.map(([reply]) => (reply as Buffer).length)).toEqual(replies.map((_, index) => index * 10_000))
    await store.close()
    await secure.stop()
  })

  it('opens nothing before it is asked something, and says why it cannot', async () => {
    const before = await connections()
    open()
    expect(await connections()).toBe(before)
    const nowhere = open('redis://127.0.0.1:1')
    await expect(nowhere.call('PING')).rejects.toMatchObject({ code: 'REDIS_UNREACHABLE' })
    await expect(nowhere.masters()).rejects.toMatchObject({ code: 'REDIS_UNREACHABLE' })
    expect(() => open('redis://:a/b@host')).toThrow(expect.objectContaining({ code: 'REDIS_URL_INVALID' }))
  })

  it('does not take a node that has not been joined to its Cluster for a server', async () => {
    const node = await startRedis({ args: ['--cluster-enabled', 'yes'] })
    const store = open(node.url)
    await expect(store.masters()).rejects.toMatchObject({
      message: expect.stringContaining('serves no slots'),
      exitCode: 10,
    })
    await store.close()
    await node.stop()
  })
})

describe('INFO', () => {
  it('is read as far as it goes', () => {
    const fields = parseInfo(
      '# Server\r\nredis_version:7.2.4\r\nvalkey_version:8.0.1\r\nrole:slave\r\nurl:a:b:c\r\n\r\nmaxmemory:0\r\nused_memory:\r\n',
    )
    expect(fields.get('url')).toBe('a:b:c')
    expect(infoIdentity(fields)).toEqual({
      role: 'replica',
      version: 'Valkey 8.0.1',
      runId: null,
      replicationId: null,
    })
    expect(serverInfo(fields, 7)).toMatchObject({ maxMemoryBytes: 0, usedMemoryBytes: null, keys: 7, policy: null })
  })

  it('tells a Redis that is too old, and takes others at their word', () => {
    const check = (text: string) => () => assertNotTooOld(parseInfo(text), 'h:1')
    for (const old of ['5.0.14', '4.0.0', '2.8.24'])
      expect(check(`redis_version:${old}\r\n`)).toThrow(`h:1 is Redis ${old}: cachectl needs Redis 6.0 or later`)
    for (const fine of [
      'redis_version:6.0.16',
      'redis_version:10.0.0',
      'redis_version:4.0.0\r\nkvrocks_version:2.9.0',
      '',
    ])
      expect(check(fine)).not.toThrow()
  })
})
