// What is to be known about the figures of `stats`: what they leave out, and why.
import { formatCount } from '../core/units.ts'
import type { RedisIdentity } from '../ports.ts'
import type { Counted } from './stats.ts'

export function notesOf(
  redis: RedisIdentity,
  { ages, complete, counter, method, rates, summary, visited }: Counted,
): string[] {
  const notes: string[] = []
  if (!complete) notes.push(`stopped after ${visited} keys: the figures are those of what was seen until then`)
  if (method === 'sample' && redis.mode === 'cluster')
    notes.push(
      'in a Cluster SCAN goes slot by slot, so its first keys are no random sample: the estimates have no known error',
    )
  if (!ages.allowed)
    notes.push(
      'ages are unknown: this server cannot read headers without making keys look used (Redis 7.2 can); --age reads them all the same',
    )
  if (counter.unsized > 0 && summary.total.bytes !== null)
    notes.push(
      `the server refused to tell the size of ${counter.unsized} keys: they are taken to be like the others of their group`,
    )
  if (rates !== null && rates.refused !== null) notes.push(`hit rates of groups are unknown: ${rates.refused}`)
  if (rates !== null && rates.unplaced > 0)
    notes.push(
      `${formatCount(rates.unplaced)} reads of the last hour are in no group: their processes had too many tenants or subjects to tell apart`,
    )
  return notes
}
