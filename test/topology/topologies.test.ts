// The kit of topologies: it is what the tests of others stand on.
import { expect, it } from 'vitest'
import { startCluster, startSentinel } from '../topologies.ts'

it('a Cluster: slots move with their keys, and a replica takes over from an agreed and from a killed master', async () => {
  const cluster = await startCluster({ masters: 3, replicas: 1 })
  try {
    const slot = await cluster.slotOf('{a}1')
    const from = await cluster.ownerOf(slot)
    for (let key = 1; key <= 3; key++) await from.call('SET', `{a}${key}`, key)
    const to = cluster.masters[(cluster.masters.indexOf(from) + 1) % 3] as typeof from
    await cluster.beginMove(slot, to)
    await cluster.moveKeys(slot, to, 1)
    const answers = await Promise.all(
      [1, 2, 3].map((key) => from.call('GET', `{a}${key}`).catch((error: Error) => error.message.split(' ')[0])),
    )
    expect(answers).toContain('ASK')
    await cluster.moveKeys(slot, to)
    await cluster.endMove(slot, to)
    expect(await cluster.ownerOf(slot)).toBe(to)
    expect(await to.call('DBSIZE')).toBe(3)
    expect(await cluster.moveSlotOfKey('{a}1')).not.toBe(to)
    const owner = await cluster.ownerOf(slot)
    const next = await cluster.failover(owner)
    await expect.poll(() => cluster.ownerOf(slot).then((node) => node.id), { timeout: 20_000 }).toBe(next.id)
    expect(await next.call('GET', '{a}2')).toBe('2')
    const victim = await cluster.ownerOf(0)
    await cluster.kill(victim)
    await expect
      .poll(
        () =>
          cluster
            .ownerOf(0)
            .then((node) => node.pid)
            .catch(() => 0),
        { timeout: 20_000 },
      )
      .not.toBe(0)
    await cluster.settled()
  } finally {
    await cluster.stop()
  }
})

it('a Sentinel set: another primary on demand, and when the primary is killed', async () => {
  const set = await startSentinel({ replicas: 1 })
  try {
    const first = await set.primary()
    await first.call('SET', 'a', 1)
    // Replication is asynchronous: only what a replica has said to have survives a failover for sure.
    await first.call('WAIT', 1, 10_000)
    const second = await set.failover()
    expect(second).not.toBe(first)
    expect(await second.call('GET', 'a')).toBe('1')
    const third = await set.killPrimary()
    expect(third).not.toBe(second)
    expect(await third.call('GET', 'a')).toBe('1')
  } finally {
    await set.stop()
  }
})
