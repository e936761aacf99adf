import { mkdirSync, rmdirSync } from 'node:fs'
import { connect, createServer } from 'node:net'
import { afterAll, afterEach, beforeAll, beforeEach, describe, expect, it } from 'vitest'
import { openStore } from '../../src/adapters/redis/store.ts'
import { FINDINGS } from '../../src/core/diagnose.ts'
import { CachectlError } from '../../src/core/errors.ts'
import { CHECKS } from '../../src/core/findings/checks.ts'
import { generationsKey } from '../../src/core/key.ts'
import { safeJson } from '../../src/core/printable.ts'
import type { OperationContext } from '../../src/ops/context.ts'
import { type DoctorOptions, type DoctorReport, doctor, unreachableDoctor } from '../../src/ops/doctor.ts'
import type { Store } from '../../src/ports.ts'
import { startRedis, type TestRedis } from '../servers.ts'
import { startCluster } from '../topologies.ts'
import {
  countReads,
  doctorConfig,
  entryOf,
  healthyCache,
  INCARNATION,
  keyOf,
  putEntry,
  rowsSource,
} from './doctor-cache.ts'
import { SITUATIONS } from './doctor-situations.ts'
import { contextOf, hostileKeys, RAW } from './fixture.ts'

const defaults: DoctorOptions = { full: false, withinMs: 5_000, touch: true, source: true }
const opened: Store[] = []
const open = (url: string, connectTimeoutMs = 2_000): Store => {
  const store = openStore({ url, from: 'test', tls: null }, { connectTimeoutMs, replyTimeoutMs: 10_000 })
  opened.push(store)
  return store
}
afterEach(async () => {
  for (const store of opened.splice(0)) await store.close()
})

/** As the command does: what it cannot reach is a finding too. */
async function look(
  url: string,
  more: Partial<OperationContext> = {},
  options: Partial<DoctorOptions> = {},
): Promise<DoctorReport> {
  const context = contextOf(open(url), { config: doctorConfig(url), ...more })
  return doctor(context, { ...defaults, ...options }).catch((thrown: unknown) => {
    if (!(thrown instanceof CachectlError)) throw thrown
    return unreachableDoctor(context, { url, from: 'test' }, thrown)
  })
}
const found = ({ findings }: DoctorReport): string[] => findings.map(({ id }) => id)
const saw = (report: DoctorReport, id: string) => report.checks.find((check) => check.id === id)

let server: TestRedis
beforeAll(async () => {
  server = await startRedis({ port: 0 })
})
afterAll(() => server.stop())
beforeEach(() => healthyCache(server))

describe('doctor on a healthy cache', () => {
  it('finds nothing that needs attention, and has looked at everything', async () => {
    const report = await look(server.url)
    expect(report.findings.filter(({ severity }) => severity !== 'info')).toEqual([])
    expect(report).toMatchObject({ ok: true, complete: true, exitCode: 0, health: { status: 'healthy' } })
    expect(report.checks.filter(({ made }) => !made)).toEqual([])
    expect(report.checks.map(({ id }) => id)).toEqual(Object.keys(CHECKS))
    for (const { findings, notLookedAt } of report.troubles) expect([...findings, ...notLookedAt]).toEqual([])
  })

  it('leaves nothing behind: no key, no value, no idle time of entries and strangers, no refusal', async () => {
    await server.call('SET', 'sess:1', 'x')
    const keys = ((await server.call('KEYS', '*')) as string[]).sort()
    const state = async () => {
      const lines = ['--', String(await server.call('DBSIZE')), String(await server.call('ACL', 'LOG'))]
      for (const key of keys) {
        // Control data is read as each read of the library reads it.
        if (!key.startsWith('shop~')) lines.push(`${key} ${await server.call('OBJECT', 'IDLETIME', key)}`)
        lines.push(`${key} ${await server.call('OBJECT', 'ENCODING', key)}`)
      }
      return lines
    }
    const dumps = async () => Promise.all(keys.map(async (key) => String(await server.call('DUMP', key))))
    const values = await dumps()
    const age = async (seconds: number) => {
      const script =
        "local d = redis.call('DUMP', KEYS[1]) local t = redis.call('PTTL', KEYS[1]) redis.call('RESTORE', KEYS[1], math.max(t, 0), d, 'REPLACE', 'IDLETIME', ARGV[1])"
      for (const key of keys) await server.call('EVAL', script, 1, key, seconds)
    }
    await age(5_000)
    const before = await state()
    const report = await look(server.url, {}, { touch: false })
    expect(report.health.status).toBe('healthy')
    const idle = (lines: readonly string[]) => lines.map((line) => line.replace(/ 500[0-9]$/, ' 5000'))
    expect(idle(await state())).toEqual(idle(before))
    expect(await dumps()).toEqual(values)
    // Said where it was not looked, because looking would have left a trace.
    const entries = saw(report, 'entries')
    if (entries?.made === false) expect(entries.saw).toMatch(/look used/)
  })
})

describe('what doctor finds on a real server', () => {
  it.each(SITUATIONS.map((situation) => [situation.finding, situation] as const))(
    '%s',
    async (id, { make, config, context = {}, user }) => {
      const undo = await make(server)
      let url = server.url
      if (user) {
        await server.call('ACL', 'SETUSER', 'ops', 'reset', 'on', '>secret', ...user)
        url = url.replace('redis://', 'redis://ops:secret@')
      }
      const report = await look(url, { config: (config ?? doctorConfig)(url), ...context })
      if (typeof undo === 'function') undo()
      expect(found(report)).toContain(id)
      const rule = FINDINGS.find((one) => one.id === id)
      expect(report.exitCode).toBe(report.findings.some(({ severity }) => severity === 'critical') ? 6 : 0)
      for (const trouble of report.troubles)
        expect(trouble.findings.includes(id)).toBe(rule?.troubles.includes(trouble.trouble) ?? false)
    },
  )

  it('all that a small machine can be brought to', () => {
    const elsewhere = ['save-failed', 'latency', 'replica', 'replica-behind', 'replica-cut-off', 'writes-alone']
    const unreachable = ['unreachable', 'no-answer', 'login-refused', 'tls-failed']
    // They take most of a machine's memory, or minutes of expiry; test/core/diagnose.test.ts has their borders.
    const tooLarge = ['memory-unbounded', 'fragmentation', 'swapping', 'expired-backlog']
    const made = [...SITUATIONS.map(({ finding }) => finding), ...elsewhere, ...unreachable, ...tooLarge]
    expect(made.sort()).toEqual(FINDINGS.map(({ id }) => id).sort())
  })

  it('latency', async () => {
    const way = await startSlowWay(server.port as number, 12)
    const report = await look(way.url)
    way.close()
    expect(found(report)).toContain('latency')
  })

  it('save-failed', async () => {
    const redis = await startRedis({ args: ['--enable-protected-configs', 'yes'] })
    try {
      await healthyCache(redis)
      const folder = `${redis.dir}/gone`
      mkdirSync(folder)
      await redis.call('CONFIG', 'SET', 'dir', folder)
      rmdirSync(folder)
      await redis.call('BGSAVE').catch(() => {})
      await waitFor(async () => /rdb_last_bgsave_status:err/.test(String(await redis.call('INFO', 'persistence'))))
      expect(found(await look(redis.url))).toContain('save-failed')
      await redis.call('CONFIG', 'SET', 'dir', redis.dir)
    } finally {
      await redis.stop()
    }
  })

  it('replica, replica-cut-off, replica-behind, writes-alone', async () => {
    const primary = await startRedis({ port: 0 })
    const replica = await startRedis({ port: 0 })
    try {
      await healthyCache(primary)
      await replica.call('REPLICAOF', '127.0.0.1', String(primary.port))
      await waitFor(async () => /master_link_status:up/.test(String(await replica.call('INFO', 'replication'))))
      await waitFor(async () => /state=online/.test(String(await primary.call('INFO', 'replication'))))
      expect(found(await look(replica.url))).toContain('replica')
      expect(found(await look(primary.url))).toContain('writes-alone')
      await primary.call('CONFIG', 'SET', 'min-replicas-to-write', '1')
      expect(found(await look(primary.url))).not.toContain('writes-alone')
      await primary.call('CONFIG', 'SET', 'min-replicas-to-write', '0')
      process.kill(replica.pid, 'SIGSTOP')
      await primary.call('SET', 'x', 'x'.repeat(2 * 1024 ** 2), 'PX', 60_000)
      const behind = await look(primary.url)
      process.kill(replica.pid, 'SIGCONT')
      expect(found(behind)).toContain('replica-behind')
    } finally {
      await primary.stop()
    }
    await waitFor(async () => /master_link_status:down/.test(String(await replica.call('INFO', 'replication'))))
    expect(found(await look(replica.url))).toContain('replica-cut-off')
    await replica.stop()
  })
})

/** Passes all replies on, each a little later. */
async function startSlowWay(port: number, lateMs: number): Promise<{ url: string; close(): void }> {
  const way = createServer((near) => {
    const far = connect(port, '127.0.0.1')
    for (const socket of [near, far]) socket.on('error', () => {})
    near.pipe(far)
    near.on('close', () => far.destroy())
    far.on('data', (bytes) => setTimeout(() => near.write(bytes), lateMs))
  }).listen(0, '127.0.0.1')
  await new Promise((resolve) => way.once('listening', resolve))
  return { url: `redis://127.0.0.1:${(way.address() as { port: number }).port}`, close: () => void way.close() }
}

async function waitFor(condition: () => Promise<boolean>): Promise<void> {
  const deadlineMs = performance.now() + 15_000
  while (!(await condition())) {
    if (performance.now() > deadlineMs) throw new Error(`it did not come to that: ${condition}`)
    await new Promise((resolve) => setTimeout(resolve, 10))
  }
}

describe('what doctor does not say', () => {
  it('makes server checks only where there is no config', async () => {
    const report = await look(server.url, { config: null })
    expect(report.checks.filter(({ made }) => made).map(({ id }) => id)).toEqual(
      expect.arrayContaining([
        'connection',
        'latency',
        'clock',
        'memory',
        'persistence',
        'replication',
        'slowlog',
        'keys',
      ]),
    )
    expect(saw(report, 'entries')).toMatchObject({ made: false, saw: expect.stringContaining('cache.config') })
    expect(report).toMatchObject({ ok: true, prefix: null, acl: null })
  })

  it('says what a user may not look at, and looks at the rest', async () => {
    await server.call('ACL', 'SETUSER', 'blind', 'reset', 'on', '>secret', '+ping', '+info', '~*')
    const report = await look(server.url.replace('redis://', 'redis://blind:secret@'))
    expect(report).toMatchObject({ ok: true, complete: true, exitCode: 0 })
    const made = report.checks.filter((check) => check.made).map(({ id }) => id)
    expect(made).toEqual([
      'connection',
      'latency',
      'memory',
      'policy',
      'databases',
      'persistence',
      'replication',
      'hits',
    ])
    for (const check of report.checks) expect(check.saw).not.toBe('')
  })

  it('a group that is asked for and always missed is no group that nobody reads', async () => {
    for (let id = 0; id < 100; id++) await putEntry(server, keyOf('product', `page_${id}`, null, 'list'), [{ id }])
    expect(found(await look(server.url))).toContain('never-read')
    await countReads(server, { 'list:product::miss': 5 })
    expect(found(await look(server.url))).not.toContain('never-read')
  })

  it('no generation is called dead that was bumped during the walk', async () => {
    for (let id = 0; id < 200; id++) await putEntry(server, keyOf('product', id), { id })
    let bumped: Promise<unknown> | null = null
    const report = await look(server.url, {
      emit: (event) => {
        if (event.event === 'progress')
          bumped ??= server.call('HSET', generationsKey('shop'), 'namespace:detail', 'new')
      },
    })
    await bumped
    // Judged by what was there before the walk, half of what is there now would be dead or alive wrongly.
    expect(saw(report, 'generations')).toMatchObject({ made: false, saw: expect.stringContaining('bumped') })
    expect(found(report)).not.toContain('dead-keys')
  })

  it('no entry is called stale that was invalidated, or made anew, while its row was loaded', async () => {
    const changing = rowsSource({ 1: '2', 2: '2', 3: '2' }, async () => {
      await server.call('DEL', keyOf('product', 1))
      await putEntry(server, keyOf('product', 2), { id: 2 }, { ageMs: 0 })
    })
    const report = await look(server.url, { config: doctorConfig(server.url, {}, changing) })
    const [stale] = report.findings.filter(({ id }) => id === 'stale-rows')
    expect(stale?.evidence).toContain(`${keyOf('product', 3)} `)
    expect(stale?.evidence).not.toMatch(/product:[12] /)
    expect(stale?.next).toBe('cachectl invalidate product:3')
  })

  it('a source that fails is a check that was not made', async () => {
    const failing = rowsSource({}, async () => {
      throw new Error('the database is away')
    })
    const report = await look(server.url, { config: doctorConfig(server.url, {}, failing) })
    expect(saw(report, 'source')).toMatchObject({ made: false, saw: expect.stringContaining('the database is away') })
    expect(report.exitCode).toBe(0)
  })

  it('stops where it is told to, with what it has', async () => {
    const stop = new AbortController()
    const report = await look(server.url, {
      signal: stop.signal,
      emit: (event) => event.event === 'start' && stop.abort(new Error('stopped')),
    })
    expect(report.complete).toBe(false)
    expect(saw(report, 'latency')?.made).toBe(true)
    expect(saw(report, 'entries')?.made).toBe(false)
  })

  it('a connection that is lost meanwhile is a finding, and an exit code', async () => {
    const redis = await startRedis({ port: 0 })
    await healthyCache(redis)
    const report = await look(redis.url, {
      emit: (event) => event.event === 'start' && process.kill(redis.pid, 'SIGKILL'),
    })
    await redis.stop().catch(() => {})
    expect(found(report)).toContain('unreachable')
    expect(report).toMatchObject({ ok: false, exitCode: 10 })
    expect(saw(report, 'entries')).toMatchObject({ made: false, saw: 'the connection was lost before' })
  })

  it('nothing raw of what is in Redis', async () => {
    for (const key of hostileKeys().slice(0, 600))
      await server.call('SET', key, Buffer.from([0x1b, 0x5b, 0x33, 0x31, 0xff]))
    await server.call(
      'XADD',
      'shop~journal',
      '*',
      'op',
      '\x1b[31m',
      'verb',
      '\x1b[2J',
      'who',
      '\u202e',
      'what',
      '["\x07"]',
      'phase',
      'intent',
    )
    await server.call('HSET', 'shop~processes', 'p', '{"seenAt":1,"heartbeatMs":1,"host":"\x1b[31m","pid":1}')
    const report = await look(server.url)
    expect(safeJson(report)).not.toMatch(RAW)
    for (const { evidence, next } of report.findings) expect(`${evidence}${next}`).not.toMatch(RAW)
    for (const check of report.checks) expect(check.saw).not.toMatch(RAW)
  })
})

describe('doctor on a Cluster', () => {
  it('looks at all masters', async () => {
    const cluster = await startCluster()
    const url = cluster.urls.join(',').replaceAll(',redis://', ',')
    const store = open(url)
    const config = { ...doctorConfig(url), server: null }
    const lane = await store.lane()
    const page = lane.page()
    for (let id = 0; id < 300; id++) page.add('SET', keyOf('product', id), entryOf({ id }), 'PX', 600_000)
    page.add('HSET', generationsKey('shop'), 'incarnation', INCARNATION)
    await lane.run(page)
    const { masters } = cluster
    await masters[2]?.call('CONFIG', 'SET', 'maxmemory', '1gb', 'maxmemory-policy', 'volatile-ttl')
    for (const [full, headersRead] of [
      [true, 300],
      [false, 200],
    ] as const) {
      const report = await look(url, { config }, { full })
      expect(report.findings.filter(({ severity }) => severity !== 'info')).toEqual([])
      expect(report).toMatchObject({
        exitCode: 0,
        redis: { mode: 'cluster' },
        scan: { method: 'full', headersRead },
      })
      expect(report.scan?.visited).toBeGreaterThanOrEqual(301)
    }
    // What is wrong with one of them is found, and named.
    const wanted = {
      ...config,
      server: { maxMemoryBytes: null, policy: 'noeviction', samples: null, lazyfree: null, persistence: null },
    }
    const drift = (await look(url, { config: wanted })).findings.find(({ id }) => id === 'policy-drift')
    expect(drift?.evidence).toBe(
      `127.0.0.1:${masters[2]?.port}: maxmemory-policy is volatile-ttl, the config says noeviction`,
    )
    lane.close()
    await cluster.stop()
  }, 30_000)
})

describe('why doctor cannot look at a server', () => {
  it.each([
    ['unreachable', async () => 'redis://127.0.0.1:1'],
    ['unreachable', async () => 'redis://no-such-host.invalid:6379'],
    ['login-refused', async () => server.url.replace('redis://', 'redis://nobody:wrong@')],
    ['tls-failed', async () => server.url.replace('redis://', 'rediss://')],
  ])('%s', async (id, urlOf) => {
    const report = await look(await urlOf())
    expect(found(report)).toEqual([id])
    expect(report.exitCode).toBe(id === 'unreachable' ? 10 : 11)
    expect(report.findings[0]?.evidence).not.toBe('')
  })

  it('no-answer: it takes connections, and is silent', async () => {
    const redis = await startRedis({ port: 0 })
    process.kill(redis.pid, 'SIGSTOP')
    const error = await open(redis.url, 300)
      .identity()
      .catch((thrown: unknown) => thrown)
    process.kill(redis.pid, 'SIGCONT')
    await redis.stop()
    const report = unreachableDoctor(
      { config: null, clock: Date },
      { url: redis.url, from: 'test' },
      error as CachectlError,
    )
    expect(found(report)).toEqual(['no-answer'])
    expect(report.exitCode).toBe(10)
  })

  it('unreachable: it has as many clients as it takes', async () => {
    const redis = await startRedis({ port: 0 })
    await redis.call('CONFIG', 'SET', 'maxclients', '1')
    const report = await look(redis.url)
    await redis.stop()
    expect(report.findings[0]).toMatchObject({ id: 'unreachable', evidence: expect.stringContaining('maxclients') })
  })
})
