// The replicas of a server that may stand in for it: what INFO replication says of them.

export interface Replica {
  host: string
  port: number
}

/** Seconds since a replica last spoke to its primary, which it does each second: Redis' own min-replicas-max-lag. */
const MAX_LAG_SECONDS = 10

/** Those that are connected and in step, the one that has read most of the history first. */
export function replicasOf(replication: ReadonlyMap<string, string>): readonly Replica[] {
  return [...replication]
    .filter(([name]) => /^slave\d+$/.test(name))
    .map(([, text]) => new Map(text.split(',').map((part) => part.split('=', 2) as [string, string])))
    .filter((fields) => fields.get('state') === 'online' && Number(fields.get('lag') ?? 0) <= MAX_LAG_SECONDS)
    .sort((a, b) => Number(b.get('offset') ?? 0) - Number(a.get('offset') ?? 0))
    .flatMap((fields) => {
      const host = fields.get('ip')
      return host ? [{ host, port: Number(fields.get('port')) }] : []
    })
}
