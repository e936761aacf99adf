// What the health table judges by, out of a finished count.
import type { ResolvedConfig } from '../config/resolved.ts'
import type { ConfigFacts, Facts } from '../core/diagnose.ts'
import { NOTHING_KNOWN } from '../core/findings/facts.ts'
import type { Group } from '../core/groups.ts'
import { numberField } from '../core/info-text.ts'
import { printable } from '../core/printable.ts'
import type { RedisIdentity, ServerInfo } from '../ports.ts'
import type { Counted } from './stats.ts'
import type { RateNow } from './stats-server.ts'

export interface FactSources {
  config: ResolvedConfig | null
  redis: RedisIdentity
  info: ServerInfo
  counted: Counted
  now: RateNow | null
  /** groups of all keys, by model: only those can tell that a model has none */
  tellsEveryModel: boolean
}

export function collectFacts({ config, redis, info, counted, now, tellsEveryModel }: FactSources): Facts {
  const { total } = counted.summary
  return {
    ...serverFacts(redis, info, now),
    keys: total.keys,
    noTtlKeys: total.noTtlKeys,
    bytesKnown: total.bytes !== null,
    largest: counted.counter.largest[0] ?? null,
    config: config === null ? null : configFacts(config, counted, tellsEveryModel),
  }
}

/** Without a look at any key. */
export function serverFacts(redis: RedisIdentity, info: ServerInfo, now: RateNow | null): Facts {
  const stalePercent = numberField(info.fields, 'expired_stale_perc')
  return {
    ...NOTHING_KNOWN,
    usedMemoryBytes: info.usedMemoryBytes,
    maxMemoryBytes: info.maxMemoryBytes,
    systemMemoryBytes: numberField(info.fields, 'total_system_memory'),
    policy: info.policy === null ? null : printable(info.policy),
    hits: info.hits,
    misses: info.misses,
    hitRateNow: now === null || now.hits + now.misses === 0 ? null : now.hits / (now.hits + now.misses),
    lookupsNow: now === null ? 0 : now.hits + now.misses,
    uptimeMs: info.uptimeSeconds === null ? null : info.uptimeSeconds * 1000,
    evictedKeys: info.evictedKeys,
    expiredKeys: info.expiredKeys,
    expiredStaleRatio: stalePercent === null ? null : stalePercent / 100,
    fragmentationRatio: info.fragmentationRatio,
    connectedClients: info.connectedClients,
    maxClients: numberField(info.fields, 'maxclients'),
    failedSaves: failedSaves(info.fields),
    replica: redis.role === 'replica',
  }
}

/** Fields of INFO by which the last save failed, as they stand there. */
export function failedSaves(fields: ReadonlyMap<string, string>): string[] {
  return ['rdb_last_bgsave_status', 'aof_last_bgrewrite_status', 'aof_last_write_status']
    .filter((name) => fields.get(name) === 'err')
    .map((name) => `${name} is err`)
}

function configFacts(
  config: ResolvedConfig,
  { groups, method, summary }: Counted,
  tellsEveryModel: boolean,
): ConfigFacts {
  // Of a sample the counts are scaled like those of the groups.
  const counted = groups.reduce((sum, group) => sum + group.tally.keys, 0)
  const scale = counted === 0 ? 1 : summary.total.keys / counted
  const affected = (of: (group: Group) => number) =>
    groups.flatMap((group) =>
      of(group) > 0
        ? [
            {
              group: group.identity.group,
              namespace: group.identity.namespace,
              keys: Math.round(of(group) * scale),
            },
          ]
        : [],
    )
  const undeclared = groups.filter((group) => !group.identity.declaration.declared)
  const subjects = new Set(groups.map((group) => group.identity.subject))
  const tells = tellsEveryModel && method === 'full'
  return {
    undeclaredKeys: Math.round(undeclared.reduce((sum, group) => sum + group.tally.keys, 0) * scale),
    undeclaredExample: undeclared[0]?.identity.group ?? null,
    withoutTtl: affected(({ identity, tally }) => (identity.declaration.expectsTtl ? tally.noTtl : 0)),
    overTtl: affected(({ tally }) => tally.overTtl),
    emptyModels: tells
      ? Object.values(config.models).flatMap((model) =>
          model.enabled && !subjects.has(model.subject) ? [model.name] : [],
        )
      : [],
  }
}
