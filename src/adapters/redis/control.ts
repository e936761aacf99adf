// The control data of one prefix: incarnation, generations, fences, locks. Laid down in docs/contract.md.

import { CHANGE_CONTROL } from '../../core/control-script.ts'
import { CachectlError } from '../../core/errors.ts'
import {
  EPOCH_FIELD,
  generationsKey,
  INCARNATION_FIELD,
  lockKey,
  readGenerations,
  revisionKey,
} from '../../core/key.ts'
import { RELEASE, RENEW } from '../../core/lease-script.ts'
import { replyPairs } from '../../core/reply.ts'
import type { BulkLane, Control, ControlState, Lock, LockHolder, Reply, Store } from '../../ports.ts'
import { newToken, openBulkLane } from './bulk.ts'

/** `codes`: fields of the versions of the code whose entries are written (`codeVersionFields`), which `read` registers. */
export function openControl(store: Store, prefix: string, codes: readonly string[] = []): Control {
  return {
    read: () => readState(store, prefix, codes),
    lock: (name, holder, ttlMs) => takeLock(store, lockKey(prefix, name), holder, ttlMs),
    async bulk(): Promise<BulkLane> {
      return openBulkLane(await store.lane(), prefix)
    },
  }
}

async function readState(store: Store, prefix: string, codes: readonly string[]): Promise<ControlState> {
  const hash = generationsKey(prefix)
  let fields = replyPairs(await store.call('HGETALL', hash))
  const missing = codes.filter((field) => !fields.has(field))
  if (!fields.has(INCARNATION_FIELD) || missing.length > 0) {
    const since = new Date().toISOString()
    const made = [EPOCH_FIELD, newToken(), INCARNATION_FIELD, newToken(), ...missing.flatMap((field) => [field, since])]
    await makeFields(store, prefix, made)
    fields = replyPairs(await store.call('HGETALL', hash))
  }
  const { incarnation, generations } = readGenerations(fields)
  return { incarnation: incarnation ?? '', epoch: fields.get(EPOCH_FIELD) ?? '', generations }
}

/** Those that are not there, with a new revision. */
async function makeFields(store: Store, prefix: string, made: readonly string[]): Promise<void> {
  const [hash, revision] = [generationsKey(prefix), revisionKey(prefix)]
  try {
    await store.call('EVAL', CHANGE_CONTROL, 2, hash, revision, 'HSETNX', newToken(), ...made)
  } catch (thrown) {
    if (!(thrown instanceof CachectlError && thrown.code === 'REDIS_ACL')) throw thrown
    // Where scripts are refused, the revision behind the change: whoever finds it reads the hash anew.
    for (let at = 0; at + 1 < made.length; at += 2)
      await store.call('HSETNX', hash, made[at] as string, made[at + 1] as string)
    await store.call('SET', revision, newToken())
  }
}

async function takeLock(store: Store, key: string, holder: string, ttlMs: number): Promise<Lock | LockHolder> {
  const value = JSON.stringify({ holder, since: new Date().toISOString(), token: newToken() })
  if ((await store.call('SET', key, value, 'NX', 'PX', ttlMs)) === null) return lockHolder(store, key)
  const lost = new AbortController()
  const renew = async () => {
    try {
      const renewed = await ifOurs(store, key, value, RENEW, [ttlMs], () => store.call('PEXPIRE', key, ttlMs))
      if (!renewed) lost.abort(lockLost(key))
    } catch {
      // One renewal may fail; the lock outlives two of them. A Redis that stays away ends the run by its own error.
    }
  }
  const timer = setInterval(() => void renew(), ttlMs / 3)
  timer.unref()
  return {
    held: true,
    signal: lost.signal,
    async release() {
      clearInterval(timer)
      if (!lost.signal.aborted) await ifOurs(store, key, value, RELEASE, [], () => store.call('DEL', key))
    },
  }
}

/**
 * Does it if the lock is still ours. Where scripts are refused, in two steps: between them the lock may become somebody else's, which
 * costs double work and nothing else.
 */
async function ifOurs(
  store: Store,
  key: string,
  value: string,
  script: string,
  args: readonly number[],
  act: () => Promise<Reply>,
): Promise<boolean> {
  try {
    return (await store.call('EVAL', script, 1, key, value, ...args)) === 1
  } catch (thrown) {
    if (!(thrown instanceof CachectlError && thrown.code === 'REDIS_ACL')) throw thrown
    if (String(await store.call('GET', key)) !== value) return false
    return (await act()) === 1
  }
}

async function lockHolder(store: Store, key: string): Promise<LockHolder> {
  const [value, ttl] = await Promise.all([store.call('GET', key), store.call('PTTL', key)])
  let told: { holder?: unknown; since?: unknown } = {}
  try {
    told = JSON.parse(String(value)) ?? {}
  } catch {
    // Somebody else's value, or it lapsed between the two calls: all that is known is that it is held.
  }
  return {
    held: false,
    holder: typeof told.holder === 'string' ? told.holder : 'unknown',
    since: typeof told.since === 'string' ? told.since : 'unknown',
    expiresInMs: typeof ttl === 'number' && ttl >= 0 ? ttl : null,
  }
}

function lockLost(key: string): CachectlError {
  return new CachectlError(
    'LOCKED',
    `the lock ${key} was lost: this run was stopped for longer than the lock lives, or somebody took it`,
  )
}
