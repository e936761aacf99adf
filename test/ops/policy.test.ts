import { spawn } from 'node:child_process'
import { once } from 'node:events'
import { mkdtempSync, readFileSync, rmSync, writeFileSync } from 'node:fs'
import { connect as connectTo, createServer, type Socket } from 'node:net'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { afterAll, beforeAll, beforeEach, describe, expect, it } from 'vitest'
import { findServer } from '../../src/adapters/redis/find-server.ts'
import { openStore } from '../../src/adapters/redis/store.ts'
import { addAccounts, isBalanced } from '../../src/core/account.ts'
import { CachectlError } from '../../src/core/errors.ts'
import type { OperationContext } from '../../src/ops/context.ts'
import { readJournal } from '../../src/ops/journal-read.ts'
import { applyPolicy } from '../../src/ops/policy-apply.ts'
import { checkPolicy } from '../../src/ops/policy-check.ts'
import { lookAround } from '../../src/ops/policy-neighbours.ts'
import { dangerOf, isNothingToDo, isRefused, planPolicy } from '../../src/ops/policy-plan.ts'
import type { PolicyApplyReport } from '../../src/ops/policy-report.ts'
import { readSettings } from '../../src/ops/policy-settings.ts'
import type { Store } from '../../src/ports.ts'
import { freePort, startRedis, TEST_BINARY, type TestRedis } from '../servers.ts'
import { startCluster } from '../topologies.ts'
import { contextOf, openTestStore, testConfig } from './fixture.ts'

let redis: TestRedis
let store: Store
beforeAll(async () => {
  redis = await startRedis({ port: 0 })
  store = openTestStore(redis)
})
afterAll(async () => {
  await store.close()
  await redis.stop()
})
beforeEach(async () => {
  await redis.call('CONFIG', 'SET', 'maxmemory', 0)
  await redis.call('CONFIG', 'SET', 'maxmemory-policy', 'noeviction')
  await redis.call('FLUSHALL')
})

const TIMEOUTS = { connectTimeoutMs: 2_000, replyTimeoutMs: 5_000 }

type Server = Record<string, unknown>
const WANTED: Server = { maxmemory: '64mb', policy: 'volatile-lru' }
const having = (server: Server | undefined, more: Partial<OperationContext> = {}, config: object = {}) =>
  contextOf(store, { config: testConfig(redis.url, { ...config, ...(server ? { server } : {}) }), ...more })
const setting = async (name: string, server = redis) => ((await server.call('CONFIG', 'GET', name)) as string[])[1]

async function apply(
  context: OperationContext,
  options = { persist: false, dryRun: false },
): Promise<PolicyApplyReport> {
  const report = await applyPolicy(context, await planPolicy(context, options), options)
  expect(isBalanced(addAccounts([report]))).toBe(true)
  return report
}

/** A server with a config file: the first word of its command line. */
async function startConfigured(file: string): Promise<{ url: string; stop(): Promise<void> }> {
  const port = await freePort()
  const { path, env } = await findServer(TEST_BINARY ? { binary: TEST_BINARY } : {})
  const child = spawn(path, [file, '--port', String(port), '--bind', '127.0.0.1', '--save', ''], {
    env: { ...process.env, ...env },
    stdio: 'ignore',
  })
  const url = `redis://127.0.0.1:${port}`
  const probe = openStore({ url, from: 'test', tls: null }, TIMEOUTS)
  await expect.poll(() => probe.call('PING').catch(() => null), { timeout: 10_000 }).toBe('PONG')
  await probe.close()
  const stop = async () => {
    child.kill('SIGKILL')
    await once(child, 'exit')
  }
  return { url, stop }
}

/** Between a client and a server: `meddle` sees what is sent, and answers in the place of the server where it gives text. */
async function startMeddler(port: number, meddle: (sent: string) => string | 'silence' | null) {
  const sockets = new Set<Socket>()
  const server = createServer((client) => {
    const upstream = connectTo(port, '127.0.0.1')
    for (const socket of [client, upstream]) sockets.add(socket.on('error', () => {}))
    client.on('data', (bytes) => {
      const answer = meddle(bytes.toString('latin1'))
      if (answer === null) upstream.write(bytes)
      else if (answer !== 'silence') client.write(answer)
    })
    upstream.pipe(client)
    client.on('close', () => upstream.destroy())
  }).listen(0, '127.0.0.1')
  await once(server, 'listening')
  const { port: own } = server.address() as { port: number }
  const stop = async () => {
    for (const socket of sockets) socket.destroy()
    server.close()
  }
  return { url: `redis://127.0.0.1:${own}`, stop }
}

async function through(meddle: Parameters<typeof startMeddler>[1], replyTimeoutMs = 5_000): Promise<PolicyApplyReport> {
  const meddler = await startMeddler(redis.port as number, meddle)
  const own = openStore({ url: meddler.url, from: 'test', tls: null }, { connectTimeoutMs: 2_000, replyTimeoutMs })
  try {
    return await apply(having(WANTED, { store: own }))
  } finally {
    await own.close()
    await meddler.stop()
  }
}

describe('policy check', () => {
  it('0 where all is as the config says, 6 where it is not', async () => {
    expect(await checkPolicy(having(WANTED))).toMatchObject({ ok: false, drift: 2, unknown: 0, exitCode: 6 })
    await redis.call('CONFIG', 'SET', 'maxmemory', 64 * 1024 ** 2)
    expect(await checkPolicy(having(WANTED))).toMatchObject({
      drift: 1,
      exitCode: 6,
      masters: [
        {
          source: 'config',
          settings: [{ setting: 'maxmemory-policy', actual: 'noeviction', state: 'drift' }, { state: 'same' }],
        },
      ],
    })
    await redis.call('CONFIG', 'SET', 'maxmemory-policy', 'volatile-lru')
    expect(await checkPolicy(having(WANTED))).toMatchObject({ ok: true, complete: true, drift: 0, exitCode: 0 })
  })

  it('without `server` in the config it says what to write: what the server has', async () => {
    await redis.call('CONFIG', 'SET', 'maxmemory', 64 * 1024 ** 2)
    for (const none of [undefined, {}])
      await expect(checkPolicy(having(none))).rejects.toMatchObject({
        code: 'CONFIG_INVALID',
        hint: expect.stringContaining("server: { maxmemory: '64mb', policy: 'noeviction', samples: 5 }"),
      })
    await expect(checkPolicy(contextOf(store))).rejects.toMatchObject({ code: 'CONFIG_NOT_FOUND', exitCode: 2 })
  })

  it('reads INFO where CONFIG is refused, and does not call unknown settings right', async () => {
    for (const refuse of [['ACL', 'SETUSER', 'default', '-config'], null] as const) {
      const own = await startRedis(refuse ? {} : { args: ['--rename-command', 'CONFIG', ''] })
      if (refuse) await own.call(...refuse)
      const ownStore = openTestStore(own)
      const context = (server: Server) => contextOf(ownStore, { config: testConfig(own.url, { server }) })
      const policy = { policy: 'noeviction' }
      expect(await checkPolicy(context(policy))).toMatchObject({ exitCode: 0, masters: [{ source: 'info' }] })
      const some = await checkPolicy(context({ ...policy, samples: 5 }))
      expect(some).toMatchObject({ ok: false, complete: false, drift: 0, unknown: 1, exitCode: 3 })
      expect(some.masters[0]?.refusal?.message).toMatch(refuse ? /NOPERM/ : /unknown command/)
      expect(some.masters[0]?.refusal?.message).not.toMatch(/args beginning/)
      expect(await checkPolicy(context({ policy: 'allkeys-lru', samples: 5 }))).toMatchObject({ drift: 1, exitCode: 6 })
      await ownStore.close()
      await own.stop()
    }
  })

  it('asks each master of a Cluster', async () => {
    const cluster = await startCluster()
    const clusterStore = openStore({ url: cluster.urls.join(','), from: 'test', tls: null }, TIMEOUTS)
    try {
      const config = testConfig(redis.url, { server: { policy: 'volatile-lru' } })
      const context = contextOf(clusterStore, { config })
      expect(await checkPolicy(context)).toMatchObject({ drift: 3, exitCode: 6 })
      const report = await apply(context)
      expect(report).toMatchObject({ ok: true, matched: 3, deleted: 3, exitCode: 0 })
      expect(new Set(report.masters.map(({ master }) => master)).size).toBe(3)
      expect(await checkPolicy(context)).toMatchObject({ drift: 0, exitCode: 0 })
    } finally {
      await clusterStore.close()
      await cluster.stop()
    }
  })
})

describe('policy apply', () => {
  it('sets what differs, reads it back, and tells the journal', async () => {
    const context = having({ ...WANTED, samples: 10, lazyfree: true, persistence: 'none' })
    const report = await apply(context)
    expect(report).toMatchObject({
      ok: true,
      complete: true,
      dryRun: false,
      exitCode: 0,
      journal: 'redis',
      remaining: 0,
      failed: 0,
    })
    expect(
      await Promise.all(
        ['maxmemory', 'maxmemory-policy', 'maxmemory-samples', 'lazyfree-lazy-user-del'].map((name) => setting(name)),
      ),
    ).toEqual([String(64 * 1024 ** 2), 'volatile-lru', '10', 'yes'])
    const { entries } = await readJournal(context, { limit: null, since: null, match: () => true })
    expect(entries).toMatchObject([{ verb: 'policy apply', state: 'done' }])
    expect(entries[0]?.what).toContain('maxmemory no limit -> 64 MB')
    // Again: nothing is to be done, and nothing is written down.
    const again = await planPolicy(context, { persist: false })
    expect(isNothingToDo(again)).toBe(true)
    expect(await apply(context)).toMatchObject({ ok: true, deleted: 0, journal: 'none' })
    expect(await redis.call('XLEN', 'shop~journal')).toBe(2)
  })

  it('a dry run changes nothing, and has all in remaining', async () => {
    const report = await apply(having(WANTED), { persist: false, dryRun: true })
    expect(report).toMatchObject({ dryRun: true, matched: 2, remaining: 2, deleted: 0, journal: 'none', exitCode: 0 })
    expect(await setting('maxmemory-policy')).toBe('noeviction')
    expect(await redis.call('EXISTS', 'shop~journal')).toBe(0)
  })

  it('goes on where one setting is refused, rolls nothing back, and says what is set', async () => {
    const context = having(WANTED)
    const plan = await planPolicy(context, { persist: false })
    // A policy that this server does not know.
    for (const change of plan.masters[0]?.changes ?? [])
      if (change.setting === 'maxmemory-policy') change.wanted = 'allkeys-none'
    const report = await applyPolicy(context, plan, { dryRun: false })
    expect(report).toMatchObject({ ok: false, complete: false, deleted: 1, failed: 1, exitCode: 3 })
    expect(report.masters[0]?.settings.map(({ setting: name, outcome }) => [name, outcome])).toEqual([
      ['maxmemory-policy', 'failed'],
      ['maxmemory', 'done'],
    ])
    expect(await setting('maxmemory')).toBe(String(64 * 1024 ** 2))
    expect(isBalanced(addAccounts([report]))).toBe(true)
  })

  it('works on a full server: to raise the limit is the way out', async () => {
    const state = mkdtempSync(join(tmpdir(), 'cachectl-state-'))
    await redis.call('SET', 'bull:1', 'x'.repeat(10_000))
    await redis.call('CONFIG', 'SET', 'maxmemory', 1000)
    const report = await apply(having(WANTED, { stateDir: state }))
    rmSync(state, { recursive: true })
    expect(report).toMatchObject({ ok: true, journal: 'local' })
    expect(report.masters[0]?.settings[0]).toMatchObject({ setting: 'maxmemory', outcome: 'done' })
    expect(await redis.call('SET', 'x', '1')).toBe('OK')
  })

  it('where CONFIG is refused nothing is tried: 11 for want of a right, 3 otherwise', async () => {
    for (const [refuse, exitCode] of [
      [['ACL', 'SETUSER', 'default', '-config'], 11],
      [null, 3],
    ] as const) {
      const own = await startRedis(refuse ? {} : { args: ['--rename-command', 'CONFIG', ''] })
      if (refuse) await own.call(...refuse)
      const ownStore = openTestStore(own)
      const context = contextOf(ownStore, { config: testConfig(own.url, { server: { policy: 'allkeys-lru' } }) })
      const plan = await planPolicy(context, { persist: false })
      expect(isRefused(plan)).toBe(true)
      const report = await applyPolicy(context, plan, { dryRun: false })
      expect(report).toMatchObject({ ok: false, failed: 1, exitCode, journal: 'none' })
      if (refuse) expect(report.problems[0]?.hint).toMatch(/ACL SETUSER .*config\|set/)
      await ownStore.close()
      await own.stop()
    }
  })

  it('--persist writes the file of the server, or says that there is none', async () => {
    expect(await apply(having(WANTED), { persist: true, dryRun: false })).toMatchObject({
      ok: false,
      exitCode: 3,
      deleted: 2,
      masters: [{ persisted: { done: false, reason: expect.stringMatching(/without a config file/) } }],
    })
    const folder = mkdtempSync(join(tmpdir(), 'cachectl-conf-'))
    const file = join(folder, 'redis.conf')
    writeFileSync(file, '# mine\n')
    const configured = await startConfigured(file)
    const ownStore = openStore({ url: configured.url, from: 'test', tls: null }, TIMEOUTS)
    const context = contextOf(ownStore, { config: testConfig(configured.url, { server: WANTED }) })
    expect(await apply(context, { persist: true, dryRun: false })).toMatchObject({
      ok: true,
      masters: [{ persisted: { done: true, file } }],
    })
    expect(readFileSync(file, 'utf8')).toMatch(/# mine\n[\s\S]*maxmemory-policy volatile-lru/)
    await ownStore.close()
    await configured.stop()
    rmSync(folder, { recursive: true })
  })
})

const LIES = /SET\r\n\$16\r\nmaxmemory-policy/

describe('faults in the middle', () => {
  it('a server that says OK and does not do it is found out by reading back', async () => {
    const report = await through((sent) => (LIES.test(sent) ? '+OK\r\n' : null))
    expect(report).toMatchObject({ ok: false, deleted: 1, failed: 1, exitCode: 3 })
    expect(report.masters[0]?.settings[0]).toMatchObject({
      outcome: 'failed',
      reason: 'the server took it, and has noeviction',
    })
    // Who believes what it is answered reports both as done.
    const meddler = await startMeddler(redis.port as number, (sent) => (LIES.test(sent) ? '+OK\r\n' : null))
    const naive = openStore({ url: meddler.url, from: 'test', tls: null }, TIMEOUTS)
    expect(await naive.call('CONFIG', 'SET', 'maxmemory-policy', 'volatile-lru')).toBe('OK')
    await naive.close()
    await meddler.stop()
    expect(await setting('maxmemory-policy')).toBe('noeviction')
  })

  it('what was sent and not answered is unknown, what came after it was not done', async () => {
    const report = await through((sent) => (/SET\r\n\$16\r\nmaxmemory-policy/.test(sent) ? 'silence' : null), 300)
    expect(report).toMatchObject({ ok: false, deleted: 0, unknown: 1, remaining: 1, exitCode: 10 })
    expect(await setting('maxmemory')).toBe('0')
  })

  it('stopped before its turn: nothing is set, and all is remaining', async () => {
    const stop = new AbortController()
    const context = having(WANTED, { signal: stop.signal })
    const plan = await planPolicy(context, { persist: false })
    stop.abort(new CachectlError('INTERRUPTED', 'interrupted'))
    const report = await applyPolicy(context, plan, { dryRun: false })
    expect(report).toMatchObject({ ok: false, remaining: 2, deleted: 0, exitCode: 130 })
    expect(await setting('maxmemory-policy')).toBe('noeviction')
    await expect(planPolicy(context, { persist: false })).rejects.toMatchObject({ code: 'INTERRUPTED' })
  })
})

describe('who lives there', () => {
  async function neighbours(): Promise<void> {
    const fill = `for i = 1, 200 do
      redis.call('SET', 'bull:emails:' .. i, string.rep('x', 2000))
      redis.call('SET', 'sess:' .. i, string.rep('x', 2000), 'EX', 1000)
      redis.call('SET', 'shop:v1:detail:product:' .. i, string.rep('x', 2000), 'EX', 1000)
    end`
    await redis.call('EVAL', fill, 0)
  }

  it('is told by shape, prefix and protect, with what has no TTL, and other databases by number', async () => {
    await neighbours()
    await redis.call('SET', 'shop~x', '1')
    await redis.call('SET', 'mine:1', '1')
    await redis.call('SET', 'legacy:1', '1')
    await redis.call('SET', Buffer.from([0xff, 0xfe]), '1')
    await redis.call('SELECT', 5)
    await redis.call('SET', 'elsewhere', '1')
    await redis.call('SELECT', 0)
    const context = having(WANTED, {}, { protect: ['mine:*'] })
    const { residents, ...around } = await lookAround(context, await readSettings(context))
    expect(around).toMatchObject({ method: 'full', otherDatabases: [{ database: 5, keys: 1, withoutTtl: 1 }] })
    const told = residents.map(({ name, kind, keys, withoutTtl }) => [name, kind, keys, withoutTtl]).sort()
    expect(told).toEqual(
      [
        ['BullMQ', 'queue', 200, 200],
        ['connect-redis', 'session', 200, 0],
        ['shop', 'cache', 201, 1],
        ['shop~*', 'control', 1, 1],
        ['mine:*', 'protected', 1, 1],
        ['others', 'other', 1, 1],
      ].sort(),
    )
    expect(residents.find(({ name }) => name === 'BullMQ')?.bytes).toBeGreaterThan(400_000)
  })

  it('asks for the name where somebody else could lose keys, and only there', async () => {
    const because = async (server: Server) => {
      const context = having(server)
      return dangerOf(context, await planPolicy(context, { persist: false })).because ?? null
    }
    const [allkeys, limit] = ['allkeys-lru', '64mb']
    expect(await because({ policy: allkeys, maxmemory: limit })).toBeNull()
    await neighbours()
    expect(await because({ policy: allkeys, maxmemory: limit })).toMatch(/BullMQ, connect-redis|connect-redis, BullMQ/)
    expect(await because({ policy: 'volatile-lru', maxmemory: limit })).toBeNull()
    await redis.call('CONFIG', 'SET', 'maxmemory-policy', allkeys)
    expect(await because({ policy: allkeys })).toBeNull()
    expect(await because({ policy: allkeys, maxmemory: limit })).toMatch(/BullMQ/)
    await redis.call('CONFIG', 'SET', 'maxmemory', 32 * 1024 ** 2)
    expect(await because({ policy: allkeys, maxmemory: limit })).toBeNull()
    expect(await because({ policy: allkeys, samples: 7 })).toBeNull()
  })

  it.each([
    ['volatile-lru', 200],
    ['allkeys-lru', 'fewer'],
  ])('%s: what is said of a queue is what the server does', async (policy, left) => {
    await neighbours()
    const used = Number(/used_memory:(\d+)/.exec(String(await redis.call('INFO', 'memory')))?.[1])
    const context = having({ policy, maxmemory: `${used + 500_000}b` })
    const plan = await planPolicy(context, { persist: false })
    const said = plan.effects.filter(({ text }) => text.startsWith('BullMQ')).map(({ severity }) => severity)
    expect(said).toEqual([left === 200 ? 'ok' : 'warning'])
    expect(await applyPolicy(context, plan, { dryRun: false })).toMatchObject({ ok: true })
    await redis
      .call(
        'EVAL',
        "for i = 1, 4000 do redis.call('SET', 'shop:v1:list:x:' .. i, string.rep('x', 2000), 'EX', 1000) end",
        0,
      )
      .catch(() => {})
    for (let i = 0; i < 400; i++) await redis.call('SET', `shop:v1:count:x:${i}`, 'x'.repeat(2000), 'EX', 1000)
    const survivors = ((await redis.call('KEYS', 'bull:*')) as string[]).length
    if (left === 200) expect(survivors).toBe(200)
    else expect(survivors).toBeLessThan(200)
  })

  it('says how much a lower limit evicts at once', async () => {
    await neighbours()
    const used = Number(/used_memory:(\d+)/.exec(String(await redis.call('INFO', 'memory')))?.[1])
    const context = having({ policy: 'volatile-lru', maxmemory: `${used - 300_000}b` })
    const plan = await planPolicy(context, { persist: false })
    expect(plan.evicts).toBeGreaterThan(50)
    expect(plan.evicts).toBeLessThan(400)
    expect(plan.effects[0]).toMatchObject({
      severity: 'warning',
      text: expect.stringMatching(/evicted at once, about \d+ keys/),
    })
    const danger = dangerOf(context, plan)
    expect(danger.share).toBeGreaterThan(0)
  })
})
