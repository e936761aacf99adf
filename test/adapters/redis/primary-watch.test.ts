// What connections to a Sentinel set learn of another primary while the old one lives, and what is said of changes then.
import { afterAll, afterEach, beforeAll, expect, it } from 'vitest'
import { openStore } from '../../../src/adapters/redis/store.ts'
import type { Lane, Reply, Store } from '../../../src/ports.ts'
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
