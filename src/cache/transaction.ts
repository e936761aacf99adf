// Invalidations within a database transaction: kept until it has committed, dropped when it rolls back. `c` of `cache.transaction` stands on a kernel of this file.
import { AsyncLocalStorage } from 'node:async_hooks'
import { CachectlError } from '../core/errors.ts'
import { mergeChanges } from './change.ts'
import type { Change, Kernel } from './kernel.ts'
import { createTransactionKernel } from './transaction-kernel.ts'

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
  /** keys of raw namespaces, deleted when it commits */
  readonly rawKeys: Set<string>
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
    const drops = !committed && outcome === null
    await apply(outer, drops ? scope.again : [...scope.changes, ...scope.again], drops ? [] : [...scope.rawKeys])
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
    kernel: createTransactionKernel(outer, {
      dirty: () => dirty,
      ended: () => scope.ended,
      keep(change) {
        scope.changes.push(change)
        scope.taint()
      },
      keepRaw(key) {
        scope.rawKeys.add(key)
        scope.taint()
      },
      hasRaw: (key) => scope.rawKeys.has(key),
    }),
    changes: [],
    rawKeys: new Set(),
    again: [],
    started: false,
    ended: false,
    taint() {
      dirty = true
      scopes.get(outer)?.taint()
    },
  }
  scopes.set(scope.kernel, scope)
  return scope
}

async function apply(kernel: Kernel, changes: readonly Change[], rawKeys: readonly string[]): Promise<void> {
  // The caller must not take a committed transaction for a failed one, and run it again: nothing of this rejects.
  const made = [
    ...mergeChanges(changes).map((change) => kernel.invalidate(change)),
    ...rawKeys.map((key) => kernel.command('UNLINK', key)),
  ]
  for (const settled of await Promise.allSettled(made)) if (settled.status === 'rejected') kernel.report(settled.reason)
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
