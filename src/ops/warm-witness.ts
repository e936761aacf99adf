// What may undo a warm run behind its back: looked at before and after, so that exit 0 means that nothing did.
import { EXIT } from '../core/errors.ts'
import type { ControlState, RedisIdentity, ServerInfo, Store } from '../ports.ts'
import type { WarmProblem } from './warm-report.ts'

export interface Witness {
  identity: RedisIdentity
  /** null where INFO is refused */
  info: ServerInfo | null
}

export async function witness(store: Store): Promise<Witness> {
  const identity = await store.identity()
  return { identity, info: await store.info().catch(() => null) }
}

/** `changed`: the control state was seen to change in between, whatever it is now. */
export function compareWitnesses(
  before: Witness & { state: ControlState },
  after: Witness & { state: ControlState },
  changed: boolean,
): WarmProblem[] {
  const problems: WarmProblem[] = []
  const add = (message: string, hint = 'run it again') =>
    problems.push({ model: null, code: 'INCOMPLETE', message, hint, exitCode: EXIT.partial })
  if (after.identity.runId !== before.identity.runId) add('Redis was restarted while warming')
  else if (after.identity.replicationId !== before.identity.replicationId)
    add(
      after.identity.mode === 'cluster'
        ? 'the masters changed while warming: one was restarted, promoted, added or emptied'
        : 'another server was promoted while warming',
    )
  if (after.state.incarnation !== before.state.incarnation)
    add('the control data was lost while warming (FLUSHALL, eviction or failover): what was written before is dead')
  else if (changed || after.state.epoch !== before.state.epoch)
    add('a wide invalidation or version bump came while warming: what was written before it may be dead')
  const [evictedBefore, evictedAfter] = [before.info?.evictedKeys ?? null, after.info?.evictedKeys ?? null]
  if (evictedBefore === null || evictedAfter === null)
    add('INFO is refused, so evictions cannot be ruled out', 'give the user the right to run INFO (+info)')
  else if (evictedAfter > evictedBefore)
    add(
      `Redis evicted ${evictedAfter - evictedBefore} keys while warming: its memory is full`,
      'warm less (--limit), shorten TTLs, or give Redis more memory',
    )
  return problems
}
