// What may undo a warm run behind its back: looked at before and after, so that exit 0 means that nothing did.
import { EXIT } from '../core/errors.ts'
import { numberField, parseInfo } from '../core/info-text.ts'
import { isErrorReply } from '../core/reply.ts'
import type { ControlState, RedisIdentity, Store } from '../ports.ts'
import { areInStep, countReplicas, type Replicas } from './replicas-in-step.ts'
import type { WarmProblem } from './warm-report.ts'

export interface Witness {
  identity: RedisIdentity
  /** keys that each master has evicted since it started; null where one does not say */
  evicted: ReadonlyMap<string, number> | null
  replicas: Replicas
  settled: ReturnType<Store['settling']>
}

export async function witness(store: Store): Promise<Witness> {
  const settled = store.settling()
  const identity = await store.identity()
  return {
    identity,
    evicted: await evictedKeys(store).catch(() => null),
    replicas: await countReplicas(store).catch(() => null),
    settled,
  }
}

async function evictedKeys(store: Store): Promise<ReadonlyMap<string, number> | null> {
  const counts = new Map<string, number>()
  for (const { master, reply } of await store.callEach('INFO', 'stats')) {
    const count = isErrorReply(reply) ? null : numberField(parseInfo(String(reply)), 'evicted_keys')
    if (count === null) return null
    counts.set(master, count)
  }
  return counts
}

/** Null: replicas have what was written, so that one that takes over has it. */
export async function problemOfReplicas(store: Store, before: Witness): Promise<WarmProblem | null> {
  // Another one is seen by its identity.
  if ((await before.settled()) === 'unknown')
    return problem('no Sentinel answers any more: who is the primary now nobody can say')
  if (await areInStep(store, before.replicas)) return null
  return problem('a replica left while warming without having all of it, and may be the next primary')
}

/** `changed`: the control state was seen to change in between, whatever it is now. */
export function compareWitnesses(
  before: Witness & { state: ControlState },
  after: Witness & { state: ControlState },
  changed: boolean,
): WarmProblem[] {
  const problems: WarmProblem[] = []
  const add = (message: string, hint?: string) => problems.push(problem(message, hint))
  const change = changeOfServers(before.identity, after.identity)
  if (change !== null) add(change)
  if (after.state.incarnation !== before.state.incarnation)
    add('the control data was lost while warming (FLUSHALL, eviction or failover): what was written before is dead')
  else if (changed || after.state.epoch !== before.state.epoch)
    add('a wide invalidation or version bump came while warming: what was written before it may be dead')
  const evicted = evictedSince(before.evicted, after.evicted)
  if (evicted === null)
    add('INFO is refused, so evictions cannot be ruled out', 'give the user the right to run INFO (+info)')
  else if (evicted > 0)
    add(
      `Redis evicted ${evicted} keys while warming: its memory is full`,
      'warm less (--limit), shorten TTLs, or give Redis more memory',
    )
  return problems
}

function problem(message: string, hint = 'run it again'): WarmProblem {
  return { model: null, code: 'INCOMPLETE', message, hint, exitCode: EXIT.partial }
}

/** Null: the entries are where they were. A master that gave all its slots away, with their keys, has left nothing behind. */
function changeOfServers(before: RedisIdentity, after: RedisIdentity): string | null {
  const joined = (name: 'runId' | 'replicationId') => {
    const known = new Set(before[name]?.split(' '))
    return (
      (after[name]?.split(' ') ?? []).some((id) => !known.has(id)) || (after[name] === null) !== (before[name] === null)
    )
  }
  const [runs, histories] = [joined('runId'), joined('replicationId')]
  if (!runs && !histories) return null
  if (after.mode === 'cluster') return 'the masters changed while warming: one was restarted, promoted or added'
  if (after.endpoint !== before.endpoint)
    return `another server was promoted while warming: ${after.endpoint} instead of ${before.endpoint}`
  return runs ? 'Redis was restarted while warming' : 'another server was promoted while warming'
}

/** Of the masters that were there all the time: those that came meanwhile are told of as such. */
function evictedSince(before: Witness['evicted'], after: Witness['evicted']): number | null {
  if (before === null || after === null) return null
  let evicted = 0
  for (const [master, count] of after) evicted += Math.max(0, count - (before.get(master) ?? count))
  return evicted
}
