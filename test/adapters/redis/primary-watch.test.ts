// What connections to a Sentinel set learn of another primary while the old one lives, and what is said of changes then.
import { execFile } from 'node:child_process'
import { promisify } from 'node:util'
import { afterAll, afterEach, beforeAll, expect, it } from 'vitest'
import { openStore } from '../../../src/adapters/redis/store.ts'
import type { Lane, Reply, Store } from '../../../src/ports.ts'
import { startRedis, type TestRedis } from '../../servers.ts'
import { startSentinel, type TestSentinel } from '../../topologies.ts'

let set: TestSentinel
const opened: Store[] = []
const open = (): Store => {
  const target = { url: set.url, from: 'test', tls: null }
  const store = openStore(target, { connectTimeoutMs: 10_000, replyTimeoutMs: 10_000 })
  opened.push(store)
  return store
}

beforeAll(async () => {
  set = await startSentinel()
}, 60_000)
afterEach(async () => {
  for (const store of opened.splice(0)) await store.close()
})
afterAll(() => set.stop())

const ask = async (lane: Lane, ...command: readonly string[]): Promise<Reply> => {
  const page = lane.page()
  page.add(...command)
  return (await lane.run(page))[0] ?? null
}

it('a lane that is fixed ends when another one is named, and a change of before has moved; the next is settled after a while', async () => {
  const [watching, asking] = [open(), open()]
  const lane = await watching.lane({ fixed: true })
  const other = await asking.lane()
  const [settled, settledOfOther] = [watching.settling(), asking.settling()]
  expect(await ask(lane, 'SET', 'a', '1')).toBe('OK')
  const taken = await set.promote()
  const namedMs = performance.now()
  await expect.poll(() => lane.closed, { timeout: 20_000 }).toBe(true)
  expect(await settled()).toBe('moved')
  // Who does not watch is still at the old one, which takes what it is told; it is told behind it.
  expect(await ask(other, 'SET', 'a', '2')).toBe('OK')
  expect(await taken.old.call('GET', 'a')).toBe('2')
  expect(await settledOfOther()).toBe('moved')
  await expect.poll(() => other.closed).toBe(true)
  const next = asking.settling()
  await asking.call('SET', 'a', '3')
  expect(await taken.primary.call('GET', 'a')).toBe('3')
  expect(await next()).toBe('settled')
  // Named for less than that by all of them, it might not be the primary of everybody yet.
  expect(performance.now() - namedMs).toBeGreaterThan(1_500)
  await taken.end()
}, 60_000)

it('without a Sentinel that answers a lane goes on, and of a change nothing is known', async () => {
  const store = open()
  const lane = await store.lane({ fixed: true })
  const settled = store.settling()
  for (const { pid } of set.sentinels) process.kill(pid, 'SIGSTOP')
  try {
    // For longer than anybody trusts what was said before.
    const untilMs = performance.now() + 2_500
    while (performance.now() < untilMs) expect(await ask(lane, 'SET', 'a', '4')).toBe('OK')
    expect(await settled()).toBe('unknown')
    expect(lane.closed).toBe(false)
  } finally {
    for (const { pid } of set.sentinels) process.kill(pid, 'SIGCONT')
  }
  await expect.poll(() => store.settling()(), { timeout: 20_000 }).toBe('settled')
}, 60_000)

/** Loses its connection to the primary, and its Sentinels with it, while it waits for their word. */
const LOSES_ALL = `
import { openStore } from '${new URL('../../../src/adapters/redis/store.ts', import.meta.url)}'
const { url, pids } = JSON.parse(process.env.SENTINELS)
const store = openStore({ url, from: 'test', tls: null }, { connectTimeoutMs: 10_000, replyTimeoutMs: 10_000 })
const lane = await store.lane({ fixed: true })
// Their connections are kept from the first question on.
await store.settling()()
await new Promise((resolve) => setTimeout(resolve, 300))
const settled = store.settling()
for (const pid of pids) process.kill(pid, 'SIGSTOP')
lane.close()
console.log(await settled())
await store.close()`

it('who waits for the word of the Sentinels does not end for it, when nothing else keeps the process', async () => {
  const pids = set.sentinels.map(({ pid }) => pid)
  const SENTINELS = JSON.stringify({ url: set.url, pids })
  try {
    const args = ['--import', 'tsx', '--input-type=module', '-e', LOSES_ALL]
    const { stdout } = await promisify(execFile)(process.execPath, args, { env: { ...process.env, SENTINELS } })
    expect(stdout.trim()).toBe('unknown')
  } finally {
    for (const pid of pids) process.kill(pid, 'SIGCONT')
  }
}, 60_000)

/** As who sets Sentinels up anew: they forget under which epoch the primary became one. */
const monitorAnew = async ({ port }: TestRedis): Promise<void> => {
  for (const sentinel of set.sentinels) await sentinel.call('SENTINEL', 'REMOVE', set.name)
  for (const sentinel of set.sentinels)
    await sentinel.call('SENTINEL', 'MONITOR', set.name, '127.0.0.1', port as number, 2)
}

it('Sentinels that were set up anew are believed after a while, and when they are told of another server', async () => {
  const store = open()
  await store.lane({ fixed: true })
  expect(await store.settling()()).toBe('settled')
  await monitorAnew(await set.primary())
  // Its epoch is older than that of before, which a Sentinel that was cut off would name as well.
  await expect.poll(() => store.settling()(), { timeout: 30_000 }).toBe('settled')
  const lane = await store.lane({ fixed: true })
  const other = await startRedis({ port: 0 })
  try {
    await monitorAnew(other)
    // Under the same epoch.
    await expect.poll(() => lane.closed, { timeout: 30_000 }).toBe(true)
    await store.call('SET', 'b', '5')
    expect(await other.call('GET', 'b')).toBe('5')
  } finally {
    await other.stop()
  }
}, 90_000)
