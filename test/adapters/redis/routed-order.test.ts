// The order of commands on a lane to several servers: a delete that stands behind a fill is done behind it, also where the fill had to be sent again.
import { afterAll, beforeAll, beforeEach, expect, it } from 'vitest'
import { isErrorReply } from '../../../src/core/reply.ts'
import type { CommandArgument, Lane, Reply, Store } from '../../../src/ports.ts'
import { openTestStore } from '../../ops/fixture.ts'
import { type ClusterNode, startCluster, type TestCluster } from '../../topologies.ts'

const ENTRY = 'shop:v1:detail:product:{42}'
const LEASE = 'lease:{42}'

let cluster: TestCluster
let store: Store
beforeAll(async () => {
  cluster = await startCluster()
  store = openTestStore(cluster.masters[0] as ClusterNode)
})
afterAll(async () => {
  await store.close()
  await cluster.stop()
})
beforeEach(() => cluster.flush())

/** As the library fills an entry: in a script over the entry and its lease, which wants both at one place. */
const FILL = ['EVAL', "redis.call('SET', KEYS[1], 'old') return redis.call('DEL', KEYS[2])", 2, ENTRY, LEASE]
const DELETE = ['UNLINK', ENTRY]

type Send = (commands: readonly (readonly CommandArgument[])[]) => Promise<readonly Reply[]>

/** Fill and delete in one page while their slot is at two places, so that the fill is answered TRYAGAIN; then the slot arrives. Whether the entry is there. */
async function isLeft(send: Send): Promise<boolean> {
  const slot = await cluster.slotOf(ENTRY)
  const from = await cluster.ownerOf(slot)
  const to = cluster.masters.find((node) => node !== from) as ClusterNode
  await from.call('SET', ENTRY, 'older')
  await from.call('SET', LEASE, 'token')
  await cluster.beginMove(slot, to)
  await from.call('MIGRATE', '127.0.0.1', to.port, '', 0, 5_000, 'KEYS', LEASE)
  const refusals = async () =>
    Number(/errorstat_TRYAGAIN:count=(\d+)/.exec(String(await from.call('INFO', 'errorstats')))?.[1] ?? 0)
  const before = await refusals()
  const answers = send([FILL, DELETE])
  await expect.poll(refusals, { interval: 5, timeout: 10_000 }).toBeGreaterThan(before)
  await cluster.moveKeys(slot, to)
  await cluster.endMove(slot, to)
  for (const answer of await answers) expect(isErrorReply(answer)).toBe(false)
  return (await to.call('EXISTS', ENTRY)) === 1
}

const onLane = (lane: Lane, commands: readonly (readonly CommandArgument[])[]): Promise<readonly Reply[]> => {
  const page = lane.page()
  for (const args of commands) page.add(...args)
  return lane.run(page)
}

/** What is refused is sent again, and nothing else: each command is done once. */
async function sendOnce(lane: Lane, commands: readonly (readonly CommandArgument[])[]): Promise<readonly Reply[]> {
  return Promise.all(commands.map(async (command) => (await onLane(lane, [command]))[0] ?? null))
}

it('a delete is sent again behind a fill that was', async () => {
  const lane = await store.lane()
  expect(await isLeft((commands) => onLane(lane, commands))).toBe(false)
  lane.close()
})

it('a lane that sends only what was refused leaves what was deleted', async () => {
  const lane = await store.lane()
  expect(await isLeft((commands) => sendOnce(lane, commands))).toBe(true)
  lane.close()
})
