// What an eviction policy means for everybody who lives on a server, in sentences.
import type { NeighbourKind } from './known-shapes.ts'
import { formatBytes, formatCount } from './units.ts'

/** Keys that belong together: those of the cache, those of a neighbour, the rest. */
export interface Resident {
  /** `BullMQ`, `shop`, `others`, or a glob of `protect` */
  name: string
  kind: NeighbourKind | 'cache' | 'control' | 'protected' | 'other'
  keys: number
  withoutTtl: number
  /** null where the server does not say */
  bytes: number | null
}

export interface Effect {
  severity: 'ok' | 'warning'
  text: string
}

export interface PolicySituation {
  /** null: unknown */
  policy: string | null
  /** of one server; 0: no limit; null: unknown */
  maxMemoryBytes: number | null
  /** of the server that is nearest to its limit, as far as it counts for eviction */
  usedBytes: number | null
  residents: readonly Resident[]
  /** databases of the same servers that were not looked into: the policy is the server's, not the database's */
  otherDatabases: readonly { database: number; keys: number; withoutTtl: number }[]
}

const LOSS: Readonly<Record<Resident['kind'], string>> = {
  queue: 'jobs get lost',
  session: 'people are logged out',
  lock: 'two may do what only one should',
  limit: 'what was counted begins anew',
  protected: 'the config protects them from cachectl, and nothing protects them from the server',
  other: 'what that breaks only their owner knows',
  cache: '',
  control: '',
}

const KINDS: Readonly<Record<Resident['kind'], string>> = {
  queue: ' (queue)',
  session: ' (sessions)',
  lock: '',
  limit: '',
  protected: ' (protect)',
  other: ' (unknown)',
  cache: ' (this cache)',
  control: ' (its control data)',
}

export function residentName({ name, kind }: Pick<Resident, 'name' | 'kind'>): string {
  return `${name}${KINDS[kind]}`
}

/** Who is there besides the cache. */
export function neighboursOf(residents: readonly Resident[]): Resident[] {
  return residents.filter(({ kind, keys }) => kind !== 'cache' && kind !== 'control' && keys > 0)
}

/** What is good and what is dangerous about it, the worst first. */
export function effectsOf(situation: PolicySituation): Effect[] {
  const { policy, maxMemoryBytes } = situation
  const effects = [...limitEffects(situation)]
  if (policy?.startsWith('allkeys-')) effects.push(...allkeysEffects(situation))
  else if (policy?.startsWith('volatile-')) effects.push(...volatileEffects(situation))
  else if (policy === 'noeviction' && maxMemoryBytes !== 0)
    effects.push(
      warning(
        'noeviction: when the server is full, every write that needs memory fails (OOM). The cache then answers from its sources; queues take no jobs. Right for a server of queues and sessions alone',
      ),
    )
  return effects.sort((a, b) => Number(b.severity === 'warning') - Number(a.severity === 'warning'))
}

function allkeysEffects({ policy, residents, otherDatabases }: PolicySituation): Effect[] {
  const neighbours = neighboursOf(residents)
  const others = otherDatabases.filter(({ keys }) => keys > 0)
  if (neighbours.length === 0 && others.length === 0)
    return [
      ok(`${policy} is right here: the cache has the server to itself, and any key may go, with or without a TTL`),
    ]
  return [
    ...neighbours.map((one) =>
      warning(
        `${residentName(one)}: any of its ${keysText(one.keys)} may be evicted, with or without a TTL: ${LOSS[one.kind]}`,
      ),
    ),
    ...others.map(({ database, keys }) =>
      warning(
        `database ${database}: any of its ${keysText(keys)} may be evicted: the policy is the server's, not the database's`,
      ),
    ),
    ok(
      `${policy} is for a cache that has the server to itself. Where others share it, volatile-lru evicts only keys with a TTL, as entries of a cache are`,
    ),
  ]
}

function volatileEffects({ policy, residents, otherDatabases }: PolicySituation): Effect[] {
  const all = [...residents, ...otherDatabases]
  const evictable = all.reduce((sum, { keys, withoutTtl }) => sum + keys - withoutTtl, 0)
  const found = all.some(({ keys }) => keys > 0)
  const effects =
    found && evictable === 0
      ? [warning(`no key has a TTL: ${policy} finds nothing to evict, and writes fail when the server is full`)]
      : []
  for (const one of residents) {
    const { kind, keys, withoutTtl } = one
    const withTtl = keys - withoutTtl
    // Control data is small and has no TTL where it is to stay.
    if (keys === 0 || kind === 'control') continue
    if (kind === 'cache') {
      if (withoutTtl > 0)
        effects.push(
          warning(
            `${residentName(one)}: ${formatCount(withoutTtl)} of ${keysText(keys)} have no TTL and are never evicted: \`cachectl expire all --from-config --missing-only\` gives them one`,
          ),
        )
      else effects.push(ok(`${residentName(one)}: all of its ${keysText(keys)} have a TTL, and may be evicted`))
    } else if (withTtl > 0)
      effects.push(
        warning(
          `${residentName(one)}: ${formatCount(withTtl)} of ${keysText(keys)} have a TTL and may be evicted: ${LOSS[kind]}`,
        ),
      )
    else effects.push(ok(`${residentName(one)}: none of its ${keysText(keys)} has a TTL, so none is evicted`))
  }
  for (const { database, keys, withoutTtl } of otherDatabases)
    if (keys > withoutTtl)
      effects.push(
        warning(
          `database ${database}: ${formatCount(keys - withoutTtl)} of ${keysText(keys)} have a TTL and may be evicted, too`,
        ),
      )
  return effects
}

function* limitEffects({ policy, maxMemoryBytes, usedBytes, residents }: PolicySituation): Generator<Effect> {
  if (maxMemoryBytes === 0)
    yield warning(
      `there is no maxmemory: ${policy ?? 'the policy'} has no effect, and the server grows until the system ends it`,
    )
  const over = overLimit(maxMemoryBytes, usedBytes)
  if (over === null || over === 0) return
  const head = `${formatBytes(usedBytes ?? 0)} are in use, ${formatBytes(over)} more than the limit`
  if (policy === 'noeviction') yield warning(`${head}: writes fail at once, until so much is deleted`)
  else {
    const keys = keysOf(over, residents)
    yield warning(`${head}: so much is evicted at once${keys === null ? '' : `, about ${keysText(keys)}`}`)
  }
}

/** What it means that a server keeps less on disk than before. */
export function diskEffects(residents: readonly Resident[]): Effect[] {
  const neighbours = neighboursOf(residents)
  if (neighbours.length === 0) return [ok('less is kept on disk: after a restart the cache may begin cold')]
  return neighbours.map((one) =>
    warning(
      `${residentName(one)}: less is kept on disk, and a restart may lose its ${keysText(one.keys)}: ${LOSS[one.kind]}`,
    ),
  )
}

/** 0: within it. */
export function overLimit(maxMemoryBytes: number | null, usedBytes: number | null): number | null {
  if (maxMemoryBytes === null || usedBytes === null) return null
  return maxMemoryBytes === 0 ? 0 : Math.max(0, usedBytes - maxMemoryBytes)
}

/** About how many keys hold so many bytes. */
export function keysOf(bytes: number, residents: readonly Resident[]): number | null {
  const sized = residents.filter((one) => one.bytes !== null && one.keys > 0)
  const keys = sized.reduce((sum, one) => sum + one.keys, 0)
  const total = sized.reduce((sum, one) => sum + (one.bytes ?? 0), 0)
  return total === 0 ? null : Math.min(keys, Math.ceil((bytes / total) * keys))
}

export function keysText(keys: number): string {
  return `${formatCount(keys)} ${keys === 1 ? 'key' : 'keys'}`
}

function warning(text: string): Effect {
  return { severity: 'warning', text }
}

function ok(text: string): Effect {
  return { severity: 'ok', text }
}
