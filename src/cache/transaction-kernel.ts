// What `c` of a transaction stands on: it keeps invalidations instead of making them, and never writes a value.
import { CachectlError } from '../core/errors.ts'
import type { Change, Found, Kernel, LoadControl, Place, Policy } from './kernel.ts'
import { createLoadControl, runLoader } from './load-control.ts'

export interface Kept {
  /** something was invalidated in it, or in a transaction within it */
  dirty(): boolean
  ended(): boolean
  keep(change: Change): void
  /** a key of a raw namespace */
  keepRaw(key: string): void
  hasRaw(key: string): boolean
}

const NEVER = new AbortController().signal

/**
 * Reads are served from the cache until the transaction has invalidated something; from then on all come from their source, because which entries show its
 * uncommitted rows is unknown. Nothing that was loaded within it is ever written: it may be rolled back, or be older than it looks (REPEATABLE READ).
 */
export function createTransactionKernel(outer: Kernel, kept: Kept): Kernel {
  const invalidate: Kernel['invalidate'] = async (change) => {
    // The work did not await it: late is better than never.
    if (kept.ended()) return outer.invalidate(change)
    kept.keep(change)
    return { status: 'queued', acknowledged: { processes: 0, of: 0, lapsed: false }, deleted: null }
  }
  const forget = async (places: readonly Place[]): Promise<false> => {
    await invalidate({ entries: places, fences: [...new Set(places.map(({ subject }) => subject))] })
    return false
  }
  const read = async (places: readonly Place[], policy: Policy): Promise<Found[]> => {
    const found = kept.dirty() ? [] : await outer.read(places, policy)
    if (!kept.dirty()) return found
    return Promise.all(places.map(async (place) => foundAt(await outer.key(place).catch(() => ''), undefined, null)))
  }
  const loadMany: Kernel['loadMany'] = async (places, policy, load) => {
    const found = await read(places, policy)
    const missing = found.flatMap(({ hit }, index) => (hit === 'fresh' ? [] : [index]))
    if (missing.length === 0) return found
    const values = (await runUncached(policy, (control) => load(missing, () => control))) as readonly unknown[]
    missing.forEach((index, at) => {
      found[index] = foundAt((found[index] as Found).key, values[at], 'source')
    })
    return found
  }
  const load: Kernel['load'] = async (place, policy, loader) => {
    const [found] = await loadMany([place], policy, async (_, control) => [await loader(control(0))])
    return found as Found
  }
  return {
    ...outer,
    near: (place, policy) => (kept.dirty() ? null : outer.near(place, policy)),
    read,
    readOne: async (place, policy) => (await read([place], policy))[0] as Found,
    load,
    loadMany,
    async refresh(place, policy, loader) {
      await forget([place])
      return load(place, policy, loader)
    },
    write: (writes) => forget(writes.map(({ place }) => place)),
    touch: async (place, policy) => (kept.dirty() ? false : outer.touch(place, policy)),
    invalidate,
    scan(match) {
      if (kept.ended()) return outer.scan(match)
      throw new CachectlError('USAGE', 'SCAN is not possible within a transaction')
    },
    // What raw namespaces send: a write within the transaction is a deletion after it.
    async command(name, key = '', ...rest) {
      if (kept.ended()) return outer.command(name, key, ...rest)
      if (name === 'GET') return kept.hasRaw(String(key)) ? null : outer.command(name, key)
      if (name !== 'SET' && name !== 'UNLINK')
        throw new CachectlError('USAGE', `${name} is not possible within a transaction`)
      kept.keepRaw(String(key))
      return name === 'SET' ? 'OK' : 0
    },
  }
}

/** The value is not cached, so what its loader says of it means nothing. */
function runUncached(policy: Policy, load: (control: LoadControl) => unknown): Promise<unknown> {
  return runLoader(async (signal) => load(createLoadControl(signal, null).control), policy.hardTimeoutMs, NEVER)
}

function foundAt(key: string, value: unknown, tier: 'source' | null): Found {
  return { hit: 'miss', value, tier, key, createdAtMs: null, freshUntilMs: null, sourceVersion: null }
}
