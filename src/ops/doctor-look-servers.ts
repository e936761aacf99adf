// The look of `doctor` at the servers themselves, before any key.
import type { CheckId } from '../core/findings/checks.ts'
import { printable } from '../core/printable.ts'
import { formatBytes, formatCount, formatDuration, formatPercent } from '../core/units.ts'
import type { ServerInfo } from '../ports.ts'
import { NotMade } from './doctor-checks.ts'
import type { Look } from './doctor-look.ts'
import * as servers from './doctor-servers.ts'

/** @throws what is a bug */
export async function lookAtServers({ checks, checked, context, info, infos, masters, redis }: Look): Promise<void> {
  const { clock, config, signal, store } = context
  const several = infos.length > 1
  await checks.make('latency', async () => {
    checked.latency = await servers.pingMasters(masters, signal)
    const { p50Ms, p99Ms, pings } = checked.latency
    return `p50 ${p50Ms.toFixed(2)} ms, p99 ${p99Ms.toFixed(2)} ms of ${pings} pings`
  })
  await checks.make('clock', async () => {
    checked.clock = await servers.compareClocks(masters, clock)
    return checked.clock.skewMs === 0 ? 'they agree' : `${formatDuration(Math.abs(checked.clock.skewMs))} apart`
  })
  const told = infos.every(({ fields }) => fields.size > 0)
  const byInfo = (id: CheckId, work: () => string) =>
    checks.make(id, () => {
      if (!told) throw new NotMade('INFO is refused')
      return work()
    })
  await byInfo('memory', () => memoryText(info))
  await byInfo('persistence', () => (several ? `${infos.length} servers` : 'no save failed that INFO knows of'))
  await byInfo('hits', () => {
    if (info.hits === null || info.misses === null) throw new NotMade('INFO does not say')
    const lookups = info.hits + info.misses
    return lookups === 0
      ? 'no lookups yet'
      : `${formatPercent(info.hits / lookups)} of ${formatCount(lookups)} lookups hit`
  })
  await byInfo('databases', () => {
    checked.databases = servers.otherDatabases(infos, redis.database)
    return `${checked.databases.others.length} others have keys`
  })
  await byInfo('replication', () => {
    const { facts, replicas } = servers.replicationOf(infos)
    checked.replication = facts
    return `${formatCount(replicas)} ${replicas === 1 ? 'replica' : 'replicas'}`
  })
  await checks.make('clients', async () => {
    const { facts, clients } = await servers.largeBuffers(store)
    checked.clients = facts
    return `${formatCount(clients)} connected`
  })
  await checks.make('slowlog', async () => {
    checked.slowlog = await servers.slowCommands(store, config?.prefix ?? null)
    return `${formatCount(checked.slowlog.entries)} ${config === null ? 'entries' : 'entries of this prefix'}`
  })
}

function memoryText({ usedMemoryBytes: used, maxMemoryBytes: max, policy }: ServerInfo): string {
  const limit = max === null ? 'unknown' : max === 0 ? 'no limit' : formatBytes(max)
  return `${used === null ? 'unknown' : formatBytes(used)} of ${limit} (${printable(policy ?? 'policy unknown')})`
}
