// Invalidations within a database transaction: kept until it has committed, dropped when it rolls back. `c` of `cache.transaction` stands on a kernel of this file.
import { AsyncLocalStorage } from 'node:async_hooks'
import { CachectlError } from '../core/errors.ts'
import { mergeChanges } from './change.ts'
import type { Change, Found, Invalidated, Kernel, LoadControl, Place, Policy } from './kernel.ts'

// biome-ignore lint/suspicious/noExplicitAny: a database's own type of result, which passes through
type Result = any

/**
 * What runs work in a transaction: a function that does (`(work) => pool.inTransaction(work)`), or anything with `$transaction(work)` (Prisma) or
 * `transaction(work)` (Drizzle, Knex, TypeORM, Sequelize). It commits when the work resolves and rolls back when it rejects.
 */
export type Transactional<Tx> =
  | ((work: (tx: Tx) => Promise<Result>) => Promise<Result>)
  | { $transaction(work: (tx: Tx) => Promise<Result>): Promise<Result> }
  | { transaction(work: (tx: Tx) => Promise<Result>): Promise<Result> }

interface Scope {
  /** what surfaces outside of any transaction stand on */
  readonly root: Kernel
  readonly kernel: Kernel
  /** made when it commits */
  readonly changes: Change[]
  /** made already, because they came from outside of `c`; made again at the end, however that is: the transaction may have hidden their row from a reader */
  readonly again: Change[]
  /** the work has begun, so the database has begun its transaction */
  started: boolean
  ended: boolean
  /** of this and of every transaction around it */
  taint(): void
}

/** The transaction in which the code runs. */
const current = new AsyncLocalStorage<Scope>()
const scopes = new WeakMap<Kernel, Scope>()

/**
 * Runs work in a transaction of `db`, with a cache whose invalidations are applied after the commit. Work that throws drops them. Where the work
 * resolves and `db` rejects, the commit failed or nobody knows whether it did: they are applied, which costs misses at worst.
 * @param handle makes the cache that the work is given
 * @throws what the work or `db` throws; never because Redis is away: the transaction has committed by then
 */
export async function runTransaction<C, Tx, R>(
  kernel: Kernel,
  db: Transactional<Tx>,
  handle: (kernel: Kernel) => C,
  work: (cache: C, tx: Tx) => R | Promise<R>,
): Promise<R> {
  const begin = beginOf(db)
  // A db that knows this cache (a Prisma client with our extension) calls us again for the very transaction that is being opened for `work`.
  const opening = current.getStore()
  const root = scopes.get(kernel)?.root ?? kernel
  const around = opening?.root === root && !opening.started && !opening.ended ? opening : null
  const scope = createScope(root, around?.kernel ?? kernel)
  let outcome: { value: R } | null = null
  let committed = false
  try {
    await current.run(scope, () =>
      begin(async (tx) => {
        scope.started = true
        outcome = null // a db may try again after a conflict
        const value = await work(handle(scope.kernel), tx)
        outcome = { value }
        return value
      }),
    )
    committed = true
  } finally {
    scope.ended = true
    const outer = around !== null && !around.started ? kernel : (around?.kernel ?? kernel)
    await apply(outer, committed || outcome !== null ? [...scope.changes, ...scope.again] : scope.again)
  }
  if (outcome === null) {
    throw new CachectlError('USAGE', 'the transaction ended without its work having been done', {
      hint: 'give a function that runs the work it is given in a transaction, and awaits it',
    })
  }
  return (outcome as { value: R }).value
}

/**
 * The kernel for surfaces outside of `c`. What they invalidate while a transaction is under way around them is made at once, because nobody knows whether
 * their write belongs to it, and again when it has ended, because a reader may have put the old row back meanwhile.
 */
export function carryTransactions(kernel: Kernel): Kernel {
  const carried: Kernel = {
    ...kernel,
    invalidate(change) {
      const scope = current.getStore()
      if (scope?.root === carried && !scope.ended) scope.again.push(change)
      return kernel.invalidate(change)
    },
  }
  return carried
}

function createScope(root: Kernel, outer: Kernel): Scope {
  let dirty = false
  const scope: Scope = {
    root,
    kernel: createTransactionKernel(
      outer,
      (change) => keep(change),
      () => dirty,
    ),
    changes: [],
    again: [],
    started: false,
    ended: false,
    taint() {
      dirty = true
      scopes.get(outer)?.taint()
    },
  }
  const keep = async (change: Change): Promise<Invalidated> => {
    if (scope.ended) return outer.invalidate(change) // not awaited by the work: late is better than never
    scope.changes.push(change)
    scope.taint()
    return { status: 'queued', acknowledged: { processes: 0, of: 0, lapsed: false }, deleted: null }
  }
  scopes.set(scope.kernel, scope)
  return scope
}

/**
 * Reads are served from the cache until the transaction has invalidated something; from then on all come from their source, because which entries show its
 * uncommitted rows is unknown. Nothing that was loaded within it is ever written: it may be rolled back, or be older than it looks (REPEATABLE READ).
 */
function createTransactionKernel(
  outer: Kernel,
  keep: (change: Change) => Promise<Invalidated>,
  dirty: () => boolean,
): Kernel {
  const read = async (places: readonly Place[], policy: Policy): Promise<Found[]> => {
    const found = dirty() ? await missesOf(outer, places) : await outer.read(places, policy)
    return dirty() ? missesOf(outer, places) : found
  }
  const forget = async (places: readonly Place[]): Promise<false> => {
    await keep({ entries: places, fences: [...new Set(places.map(({ subject }) => subject))] })
    return false
  }
  return {
    ...outer,
    read,
    async load(place, policy, load) {
      const [found] = (await read([place], policy)) as [Found]
      return found.hit === 'fresh' ? found : loadedAs(found, await load(uncached(policy)))
    },
    async loadMany(places, policy, load) {
      const found = await read(places, policy)
      const missing = found.flatMap(({ hit }, index) => (hit === 'fresh' ? [] : [index]))
      if (missing.length === 0) return found
      const values = (await load(missing, () => uncached(policy))) as readonly unknown[]
      missing.forEach((index, at) => {
        found[index] = loadedAs(found[index] as Found, values[at])
      })
      return found
    },
    async refresh(place, policy, load) {
      await forget([place])
      const [miss] = (await missesOf(outer, [place])) as [Found]
      return loadedAs(miss, await load(uncached(policy)))
    },
    write: (writes) => forget(writes.map(({ place }) => place)),
    touch: async (place, policy) => (dirty() ? false : outer.touch(place, policy)),
    invalidate: keep,
  }
}

function missesOf(kernel: Kernel, places: readonly Place[]): Promise<Found[]> {
  return Promise.all(places.map(async (place) => loadedAs({ key: await kernel.key(place) }, undefined, null)))
}

function loadedAs({ key }: { key: string }, value: unknown, tier: 'source' | null = 'source'): Found {
  return { hit: 'miss', value, tier, key, createdAtMs: null, freshUntilMs: null, sourceVersion: null }
}

/** For loaders whose value is not cached: what they say of it means nothing. */
function uncached(policy: Policy): LoadControl {
  const nothing = () => {}
  const signal =
    policy.hardTimeoutMs === null ? new AbortController().signal : AbortSignal.timeout(policy.hardTimeoutMs)
  return {
    signal,
    stale: null,
    ttlMs: nothing,
    graceMs: nothing,
    stamps: nothing,
    skip: nothing,
    sourceVersion: nothing,
  }
}

async function apply(kernel: Kernel, changes: readonly Change[]): Promise<void> {
  for (const change of mergeChanges(changes)) {
    // The caller must not take a committed transaction for a failed one, and run it again.
    await kernel.invalidate(change).catch((error) => kernel.report(error))
  }
}

function beginOf<Tx>(db: Transactional<Tx>): (work: (tx: Tx) => Promise<Result>) => Promise<Result> {
  const methods = db as { $transaction?: unknown; transaction?: unknown } | null | undefined
  for (const name of ['$transaction', 'transaction'] as const) {
    if (typeof methods?.[name] === 'function') return (work) => (methods as Record<string, Result>)[name](work)
  }
  if (typeof db === 'function') return db // last: a Knex instance is a function, and has `transaction`
  throw new CachectlError('USAGE', 'cache.transaction was given nothing that runs a transaction', {
    hint: 'give a Prisma client, a Drizzle database, or a function that runs the work it is given in a transaction',
  })
}
