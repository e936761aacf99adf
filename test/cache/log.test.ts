import { subscribe, unsubscribe } from 'node:diagnostics_channel'
import { mkdtemp, readFile, rm } from 'node:fs/promises'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { afterAll, afterEach, beforeAll, beforeEach, describe, expect, it, vi } from 'vitest'
import type { Kernel, Place, Policy } from '../../src/cache/kernel.ts'
import { type CacheEvents, createEvents } from '../../src/cache/log.ts'
import { policyOf } from '../../src/cache/policy.ts'
import { watchCounters } from '../../src/cache/watched-kernel.ts'
import { openKernel } from '../../src/open-kernel.ts'
import { testConfig } from '../ops/fixture.ts'
import { startRedis, type TestRedis } from '../servers.ts'

const CHANNELS = ['read', 'load', 'write', 'invalidate', 'error']
type Told = { channel: string } & Record<string, unknown>

/** Everything that is published until `stop`. */
function listen(): { told: Told[]; stop(): void } {
  const told: Told[] = []
  const hear = (event: unknown, name: string | symbol): void => {
    told.push({ channel: String(name), ...(event as object) })
  }
  for (const name of CHANNELS) subscribe(`cachectl:${name}`, hear)
  return { told, stop: () => CHANNELS.forEach((name) => void unsubscribe(`cachectl:${name}`, hear)) }
}

const place: Place = { namespace: 'detail', subject: 'city', version: '1', tenant: '7', rest: ['42'] }
const read = {
  namespace: 'detail',
  subject: 'city',
  tenant: '7',
  key: 'shop:v1:detail:city:org_7:42',
  durationMs: 0.12345,
}

/** One of each kind. */
function tell(events: CacheEvents): void {
  events.read({ ...read, hit: 'fresh', tier: 'l1' })
  events.read({ ...read, hit: 'stale', tier: 'l2' })
  events.read({ ...read, hit: 'miss', tier: 'source', key: 'a\u202eb\x1b[31m' })
  events.load({ ...read, entries: 1, durationMs: 12, error: null })
  events.load({ ...read, key: null, entries: 3, durationMs: 12, error: new Error('away\x07') })
  events.write({ ...read, outcome: 'set' })
  const acknowledged = { processes: 2, of: 2, lapsed: false }
  const change = {
    entries: Array.from({ length: 30 }, () => place),
    stamps: ['tag:org%3A7'],
    scopes: [{ kind: 'subject', subject: 'city' } as const],
    pattern: { glob: 'shop:*', tenant: null },
  }
  events.invalidate({ change, status: 'applied', acknowledged, deleted: 1, durationMs: 3 })
  events.error(Object.assign(new Error('lost'), { code: 'REDIS_UNREACHABLE' }))
}

describe('logs and events', () => {
  let folder: string
  let file: string
  beforeAll(async () => {
    folder = await mkdtemp(join(tmpdir(), 'log-'))
  })
  afterAll(() => rm(folder, { recursive: true, force: true }))
  beforeEach(() => {
    file = join(folder, `${Math.random()}.log`)
  })

  const lines = async (count: number): Promise<Record<string, unknown>[]> => {
    const all = async () => (await readFile(file, 'utf8').catch(() => '')).split('\n').filter(Boolean)
    await expect.poll(async () => (await all()).length).toBe(count)
    return (await all()).map((line) => JSON.parse(line))
  }

  it('are off where nobody asks for them', () => {
    for (const CACHECTL_LOG of [undefined, '', '  ']) {
      const events = createEvents('shop', { CACHECTL_LOG }, '/nonexistent/log')
      expect(events.watched).toBe(false)
      tell(events)
    }
  })

  it('are lines of JSON, without anything raw, in their order, from the first on', async () => {
    const events = createEvents('shop', { CACHECTL_LOG: 'debug' }, file)
    expect(events.watched).toBe(true)
    tell(events)
    const told = await lines(8)
    expect(told.map(({ msg, level }) => [msg, level])).toEqual([
      ['HIT', 20],
      ['STALE', 20],
      ['MISS', 20],
      ['LOAD', 20],
      ['LOAD FAILED', 40],
      ['SET', 20],
      ['INVALIDATE', 30],
      ['ERROR', 40],
    ])
    expect(told[0]).toMatchObject({ name: 'cachectl', prefix: 'shop', key: read.key, tier: 'l1', ms: 0.123 })
    expect(told[2]).toMatchObject({ key: 'a\\u{202E}b\\x1B[31m', tier: 'source' })
    expect(told[4]).toMatchObject({ key: 'detail:city:7', entries: 3, error: 'away\\x07' })
    expect(told[6]).toMatchObject({
      stamps: ['tag:org%3A7'],
      scopes: ['subject:city'],
      pattern: 'shop:*',
      status: 'applied',
      deleted: 1,
    })
    expect(told[6]?.entries).toEqual([...Array.from({ length: 20 }, () => 'detail:city:7:42'), 'and 10 more'])
    expect(told[7]).toMatchObject({ error: 'lost', code: 'REDIS_UNREACHABLE' })
    expect(await readFile(file, 'utf8')).not.toMatch(/[\u202e\x1b\x07]/)
  })

  it.each([
    ['info', ['LOAD FAILED', 'INVALIDATE', 'ERROR']],
    ['WARN', ['LOAD FAILED', 'ERROR']],
  ])('at %s leave out what is below', async (level, messages) => {
    tell(createEvents('shop', { CACHECTL_LOG: level }, file))
    expect((await lines(messages.length)).map(({ msg }) => msg)).toEqual(messages)
  })

  it('keep what happens before the logger is there, but not without end', async () => {
    const events = createEvents('shop', { CACHECTL_LOG: 'debug' }, file)
    for (let i = 0; i < 5000; i++) events.write({ ...read, outcome: 'set' })
    expect(await lines(1000)).toHaveLength(1000)
  })

  it('warn of a level that there is not, and of a place that cannot be written, and go on', async () => {
    const warned: string[] = []
    const hear = (warning: Error): void => void warned.push(warning.message)
    process.on('warning', hear)
    const unknown = createEvents('shop', { CACHECTL_LOG: 'verb\u202eose' }, file)
    expect(unknown.watched).toBe(false)
    tell(unknown)
    tell(createEvents('shop', { CACHECTL_LOG: 'debug' }, join(folder, 'no', 'such', 'folder')))
    await expect.poll(() => warned.length).toBe(2)
    process.off('warning', hear)
    expect(warned[0]).toBe('CACHECTL_LOG is `verb\\u{202E}ose`, and nothing is logged: it may be debug, info or warn')
    expect(warned[1]).toContain('cachectl cannot log')
  })

  it('are published with the prefix while somebody listens, and only then', () => {
    const events = createEvents('shop', {})
    tell(events)
    const { told, stop } = listen()
    expect(events.watched).toBe(true)
    tell(events)
    stop()
    tell(events)
    expect(events.watched).toBe(false)
    expect(told.map(({ channel }) => channel.slice(9))).toEqual(
      'read read read load load write invalidate error'.split(' '),
    )
    expect(told.every(({ prefix }) => prefix === 'shop')).toBe(true)
    expect(told[0]).toEqual({ channel: 'cachectl:read', prefix: 'shop', ...read, hit: 'fresh', tier: 'l1' })
  })

  describe('of a kernel', () => {
    let server: TestRedis
    let kernel: Kernel
    let policy: Policy
    let listening: ReturnType<typeof listen>
    beforeAll(async () => {
      server = await startRedis()
    })
    afterAll(() => server.stop())
    beforeEach(async () => {
      await server.call('FLUSHALL')
      const config = testConfig(server.url)
      kernel = openKernel(config, { deadlineMs: 5_000 })
      policy = policyOf(config.namespaces.detail as NonNullable<typeof config.namespaces.detail>)
      listening = listen()
    })
    afterEach(async () => {
      listening.stop()
      await kernel.close()
    })
    const told = () =>
      listening.told.map(({ channel, hit, tier, key, entries, status, error }) => ({
        ...{ at: channel.slice(9), key },
        ...(hit === undefined ? {} : { hit, tier }),
        ...(entries === undefined ? {} : { entries, failed: error !== null }),
        ...(status === undefined ? {} : { status }),
      }))
    const city = (id: string): Place => ({ ...place, tenant: null, rest: [id] })

    it('say what was read, loaded and invalidated, and change nothing of it', async () => {
      const loaded = await kernel.load(city('1'), policy, async () => ({ id: 1 }))
      const again = await kernel.load(city('1'), policy, async () => expect.fail('it was there'))
      expect([loaded.value, again.value]).toEqual([{ id: 1 }, { id: 1 }])
      await kernel.loadMany([city('1'), city('2'), city('3')], policy, (missing) => missing.map((id) => ({ id })))
      await kernel.invalidate({ entries: [city('1')] })
      const [gone] = await kernel.read([city('1')], policy)
      expect(gone?.hit).toBe('miss')
      await kernel.refresh(city('2'), policy, () => 2)
      const failure = new Error('away')
      await expect(kernel.load(city('9'), policy, () => Promise.reject(failure))).rejects.toBe(failure)
      const key = (id: string) => `shop:v1:detail:city:${id}`
      // writes are told when Redis has answered, which nobody waits for
      const writes = () => told().filter(({ at }) => at === 'write')
      await vi.waitFor(() => expect(writes().length).toBeGreaterThanOrEqual(4), 5_000)
      expect(new Set(writes().map((write) => write.key))).toEqual(new Set([key('1'), key('2'), key('3')]))
      expect(told().filter(({ at }) => at !== 'write')).toEqual([
        { at: 'load', key: key('1'), entries: 1, failed: false },
        { at: 'read', key: key('1'), hit: 'miss', tier: 'source' },
        { at: 'read', key: key('1'), hit: 'fresh', tier: 'l2' },
        { at: 'load', key: null, entries: 2, failed: false },
        { at: 'read', key: key('1'), hit: 'fresh', tier: 'l2' },
        { at: 'read', key: key('2'), hit: 'miss', tier: 'source' },
        { at: 'read', key: key('3'), hit: 'miss', tier: 'source' },
        { at: 'invalidate', key: undefined, status: 'applied' },
        { at: 'read', key: key('1'), hit: 'miss', tier: null },
        { at: 'load', key: key('2'), entries: 1, failed: false },
        { at: 'load', key: key('9'), entries: 1, failed: true },
      ])
      const timed = listening.told.filter(({ channel }) => channel !== 'cachectl:write')
      expect(timed.every(({ durationMs }) => typeof durationMs === 'number' && durationMs >= 0)).toBe(true)
    })

    it('say nothing when nobody listens', async () => {
      listening.stop()
      await kernel.load(city('1'), policy, () => 1)
      await kernel.invalidate({ entries: [city('1')] })
      expect(listening.told).toEqual([])
    })

    it('say what became of values, where it is counted', () => {
      const counted: unknown[][] = []
      const inner = { count: (...args: unknown[]) => void counted.push(args), group: () => ({ count: () => {} }) }
      const counters = watchCounters(inner, { prefix: 'shop', tenantLabel: 'org' }, createEvents('shop', {}))
      counters.count('l1', place)
      counters.count('set', place)
      counters.count('refused', { namespace: 'detail', subject: 'city', tenant: null }, 2)
      counters.count('uncacheable', { ...place, tenant: '' })
      expect(counted.map(([event]) => event)).toEqual(['l1', 'set', 'refused', 'uncacheable'])
      expect(listening.told.map(({ channel, outcome, key }) => [channel, outcome, key])).toEqual([
        ['cachectl:write', 'set', 'shop:v1:detail:city:org_7:42'],
        ['cachectl:write', 'refused', null],
        ['cachectl:write', 'uncacheable', null],
      ])
    })
  })
})
