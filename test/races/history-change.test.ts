// Guarantee 5: a Redis of another history, restarted from an older file or empty, or replaced by its replica, has lost invalidations that were applied.
// Nothing that was written under the old one is trusted.
import { mkdtemp, rm } from 'node:fs/promises'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { setTimeout as pause } from 'node:timers/promises'
import { afterAll, beforeAll, describe, expect, it } from 'vitest'
import { freePort, startRedis, type TestRedis } from '../servers.ts'
import * as outage from './outage.ts'
import type { OpenOptions } from './process.ts'
import { closeCaches, type Given, openCaches, type Scene, startWorkers, TRIALS, type Worker } from './processes.ts'
import { startProxy, type TestProxy } from './proxy.ts'

let scene: Scene
let dir: string
let proxies: [TestProxy, TestProxy]
let first: Worker
let second: Worker

beforeAll(async () => {
  const [redis, truth, workers] = await Promise.all([startRedis(), startRedis(), startWorkers(2)])
  scene = { redis, truth, workers }
  ;[first, second] = workers as [Worker, Worker]
  dir = await mkdtemp(join(tmpdir(), 'races-'))
  proxies = [await startProxy(join(dir, '0'), redis.url), await startProxy(join(dir, '1'), redis.url)]
})
afterAll(async () => {
  await Promise.all(scene.workers.map((worker) => worker.kill()))
  await Promise.all(proxies.map((proxy) => proxy.close()))
  await Promise.all([scene.redis.stop(), scene.truth.stop()])
  await rm(dir, { recursive: true })
})

/** Long enough for all trials at once on a busy machine: what is told within it is told as applied. */
const DEADLINE_MS = 5_000
const readInTime = (worker: Worker, trial: number) => outage.readInTime(worker, trial, 20, DEADLINE_MS)
const usesRedis = (worker: Worker) => outage.usesRedis(worker, DEADLINE_MS)

const throughProxies = (more: Partial<OpenOptions> = {}): Given => {
  return (process) => ({ url: (proxies[process] as TestProxy).url, deadlineMs: DEADLINE_MS, ...more })
}

const trials = Array.from({ length: TRIALS }, (_, trial) => trial)
const readAll = (worker: Worker) => Promise.all(trials.map(async (trial) => (await worker.read(trial, 0)).value))
const writeAll = (worker: Worker) => Promise.all(trials.map(async (trial) => (await worker.write(trial)).status))
const versions = (version: number) => trials.map((trial) => ({ of: trial, version }))

describe('another history', () => {
  /** A server that keeps its file, on a port of its own. */
  const startKept = (port: number) =>
    startRedis({ port, args: ['--dir', dir, '--dbfilename', 'kept.rdb', '--repl-diskless-sync-delay', '0'] })

  const overRestart = async (mutant: OpenOptions['mutant'], l1: boolean): Promise<unknown[][]> => {
    const port = await freePort()
    let kept = await startKept(port)
    await openCaches({ ...scene, redis: kept }, { url: kept.url, deadlineMs: DEADLINE_MS, mutant, l1 })
    await Promise.all(scene.workers.map(readAll))
    await kept.call('SAVE')
    expect(await writeAll(first)).toEqual(trials.map(() => 'applied'))
    expect(await readAll(second)).toEqual(versions(1))
    await kept.stop()
    await Promise.all(scene.workers.map((worker) => readInTime(worker, 1)))
    kept = await startKept(port)
    await Promise.all(scene.workers.map(usesRedis))
    const seen = await Promise.all(scene.workers.map(readAll))
    await closeCaches(scene)
    await kept.stop()
    await rm(join(dir, 'kept.rdb'))
    return seen
  }

  for (const l1 of [false, true]) {
    it(`restarted from an older file${l1 ? ', with L1' : ''}`, async () => {
      for (const seen of await overRestart(null, l1)) expect(seen).toEqual(versions(1))
    })
  }
  it('and a cache that does not ask for the history is caught', async () => {
    expect(await overRestart('any history', false)).toContainEqual(versions(0))
  })

  it('restarted empty', async () => {
    const port = await freePort()
    let server = await startRedis({ port })
    await openCaches({ ...scene, redis: server }, { url: server.url, deadlineMs: DEADLINE_MS })
    await Promise.all(scene.workers.map(readAll))
    await server.stop()
    await Promise.all(scene.workers.map((worker) => readInTime(worker, 1)))
    expect((await first.write(1)).status).toBe('queued')
    server = await startRedis({ port })
    await Promise.all(scene.workers.map(usesRedis))
    for (const worker of scene.workers) expect((await worker.read(1, 0)).value).toEqual({ of: 1, version: 1 })
    await closeCaches(scene)
    await server.stop()
  })

  const inSync = async (replica: TestRedis) => {
    const link = async () => /master_link_status:(\w+)/.exec(String(await replica.call('INFO', 'replication')))?.[1]
    await expect.poll(link, { timeout: 10_000 }).toBe('up')
  }

  const overFailover = async (mutant: OpenOptions['mutant']): Promise<unknown[][]> => {
    const port = await freePort()
    const primary = await startRedis({ port, args: ['--repl-diskless-sync-delay', '0'] })
    const replica = await startRedis()
    for (const proxy of proxies) proxy.lead(primary.socketUrl)
    await openCaches({ ...scene, redis: primary }, throughProxies({ mutant }))
    await Promise.all(scene.workers.map(readAll))
    await replica.call('REPLICAOF', '127.0.0.1', port)
    await inSync(replica)
    // What is invalidated from now on never comes to the replica.
    await replica.call('REPLICAOF', 'NO', 'ONE')
    expect(await writeAll(first)).toEqual(trials.map(() => 'applied'))
    for (const proxy of proxies) proxy.lead(replica.socketUrl)
    await pause(50)
    await Promise.all(scene.workers.map(usesRedis))
    const seen = await Promise.all(scene.workers.map(readAll))
    await closeCaches(scene)
    for (const proxy of proxies) proxy.lead(scene.redis.socketUrl)
    await Promise.all([primary.stop(), replica.stop()])
    return seen
  }

  it('replaced by a replica that lacks the last invalidations', async () => {
    for (const seen of await overFailover(null)) expect(seen).toEqual(versions(1))
  })
  it('and a cache that takes the replica for the primary is caught', async () => {
    expect(await overFailover('any history')).toContainEqual(versions(0))
  })

  /** What the first process reads at the new primary, of what the second has invalidated at the old one since. */
  const overTwoPrimaries = async (mutant: OpenOptions['mutant']): Promise<unknown[]> => {
    const port = await freePort()
    const primary = await startRedis({ port, args: ['--repl-diskless-sync-delay', '0'] })
    const replica = await startRedis()
    for (const proxy of proxies) proxy.lead(primary.socketUrl)
    await openCaches({ ...scene, redis: primary }, throughProxies({ mutant }))
    await Promise.all(scene.workers.map(readAll))
    await replica.call('REPLICAOF', '127.0.0.1', port)
    await inSync(replica)
    await replica.call('REPLICAOF', 'NO', 'ONE')
    proxies[0].lead(replica.socketUrl)
    await pause(50)
    await usesRedis(first)
    await readAll(first)
    expect(await writeAll(second)).toEqual(trials.map(() => 'applied'))
    proxies[1].lead(replica.socketUrl)
    await pause(50)
    await usesRedis(second)
    const seen = await readAll(first)
    await closeCaches(scene)
    for (const proxy of proxies) proxy.lead(scene.redis.socketUrl)
    await Promise.all([primary.stop(), replica.stop()])
    return seen
  }

  it('beside which the old primary goes on for a while: what was invalidated there is invalidated at the new one', async () => {
    expect(await overTwoPrimaries(null)).toEqual(versions(1))
  })
  it('and a cache that forgets what it did at the old one is caught', async () => {
    expect(await overTwoPrimaries('no backlog')).toEqual(versions(0))
  })

  it('flipped to a replica and promoted back', async () => {
    const port = await freePort()
    const other = await startRedis({ port, args: ['--repl-diskless-sync-delay', '0'] })
    await openCaches(scene, { deadlineMs: DEADLINE_MS })
    await Promise.all(scene.workers.map(readAll))
    await scene.redis.call('REPLICAOF', '127.0.0.1', port)
    expect((await first.write(1)).status).toBe('queued')
    expect((await readInTime(first, 1)).value).toEqual({ of: 1, version: 1 })
    await pause(500)
    expect((await readInTime(first, 1)).value).toEqual({ of: 1, version: 1 })
    await readInTime(second, 1)
    await scene.redis.call('REPLICAOF', 'NO', 'ONE')
    await Promise.all(scene.workers.map(usesRedis))
    for (const worker of scene.workers) expect((await worker.read(1, 0)).value).toEqual({ of: 1, version: 1 })
    await closeCaches(scene)
    await other.stop()
  })
})
