// The cache as an application has it: one object of all surfaces, for everybody or for one tenant.
import { AsyncLocalStorage } from 'node:async_hooks'
import { CachectlError } from '../core/errors.ts'
import { idText } from '../core/key.ts'
import { createDirect, type Direct } from './direct.ts'
import { createFragments, type Fragment } from './fragments.ts'
import { createFunctions, type Functions, type Registered } from './functions.ts'
import { changeOf, type InvalidationTarget } from './invalidation-targets.ts'
import type { Invalidated, Kernel } from './kernel.ts'
import { createMethods, type Methods } from './methods.ts'
import { createModels, type ModelCache } from './models.ts'
import { stampsOf } from './policy.ts'
import type { Surface } from './surface.ts'
import { keepSurface } from './surface-of.ts'
import { runTransaction, type Transactional } from './transaction.ts'
import type { SourceVersion } from './validation.ts'

/** All surfaces, with the names of a config. `Http` is that of src/http, which is made outside of this layer. */
export interface Cache<Model extends string = string, Namespace extends string = string, Http = unknown>
  extends Direct<Namespace>,
    Functions<Namespace>,
    Methods<Namespace> {
  readonly fragment: Fragment<Namespace>
  readonly http: Http
  /** @throws CachectlError USAGE for a name that the config has not, KEY_INVALID for a tenant's model without tenant */
  model(name: Model): ModelCache
  /** Makes all that the target covers unreachable, in every process. */
  invalidate(target: InvalidationTarget<Model, Namespace>): Promise<Invalidated>
  /** Invalidates the row's entry unless it is of this version of the row or a later one. */
  invalidateOnChange(model: Model, id: string | number | bigint, updatedAt?: SourceVersion): Promise<Invalidated>
  /** What varies on this user, in every namespace; for its logout, and when its rights change. */
  user(id: string | number): { invalidate(): Promise<Invalidated> }
  /** The same cache, every key in this tenant. */
  tenant(id: string | number): Cache<Model, Namespace, Http>
  /** Runs a request's whole work in this tenant: calls on handles without one are in it. */
  runWithTenant<T>(id: string | number, work: () => T): T
  /**
   * Runs work in a transaction of the database. Invalidations on the cache that it is given are applied after the commit, and dropped on rollback;
   * what it reads after the first of them comes from the source.
   */
  transaction<Tx, R>(
    db: Transactional<Tx>,
    work: (cache: Cache<Model, Namespace, Http>, tx: Tx) => R | Promise<R>,
  ): Promise<R>
  /** Waits for what is under way, and closes the connections. */
  close(): Promise<void>
}

export interface CacheParts<Http> {
  kernel: Kernel
  http(surface: Surface): Http
}

/** Of the work under way, by the kernel that it was begun on: two caches of a process do not mix. */
const tenants = new AsyncLocalStorage<ReadonlyMap<unknown, string>>()

export function createCacheOf<Http>({ kernel, http }: CacheParts<Http>): Cache<string, string, Http> {
  const registered: Registered = new Map()
  const root = kernel
  const handle = (on: Kernel, own: string | null): Cache<string, string, Http> => {
    const surface: Surface = {
      kernel: on,
      tenant: () => own ?? tenants.getStore()?.get(root) ?? null,
    }
    const models = createModels(surface)
    const cache: Cache<string, string, Http> = {
      ...createDirect(surface),
      ...createFunctions(surface, registered),
      ...createMethods(surface, registered),
      fragment: createFragments(surface),
      http: http(surface),
      model: models.model,
      invalidate: async (target) => {
        checkTarget(target)
        if (!('model' in target)) return on.invalidate(changeOf(on, target, surface.tenant()))
        const model = models.model(target.model)
        return target.id === undefined ? model.invalidateAll() : model.invalidate(target.id)
      },
      invalidateOnChange: async (name, id, updatedAt) => models.model(name).invalidateOnChange(id, updatedAt),
      user: (id) => ({
        invalidate: async () => on.invalidate({ stamps: stampsOf([`user:${idText(id)}`], surface.tenant()) }),
      }),
      tenant: (id) => handle(on, tenantText(root, id)),
      runWithTenant(id, work) {
        checkWork(work, 'runWithTenant')
        return tenants.run(new Map([...(tenants.getStore() ?? []), [root, tenantText(root, id)]]), work)
      },
      async transaction(db, work) {
        checkWork(work, 'transaction')
        return runTransaction(on, db, (inner) => handle(inner, own), work)
      },
      close: () => root.close(),
    }
    return keepSurface(cache, surface)
  }
  return handle(kernel, null)
}

function tenantText(kernel: Kernel, id: string | number): string {
  if (kernel.config.tenantLabel === null)
    throw new CachectlError('USAGE', 'the config has no tenants', { hint: "write `tenant: { label: 'org' }` in it" })
  if ((typeof id !== 'string' && typeof id !== 'number') || id === '')
    throw new CachectlError('KEY_INVALID', 'the tenant is no text and no number', { hint: 'give its id' })
  return idText(id)
}

function checkWork(work: unknown, of: string): void {
  if (typeof work === 'function') return
  throw new CachectlError('USAGE', `${of} was given no work to do`, { hint: 'give it a function' })
}

const TARGETS = ['key', 'tag', 'model', 'tenant', 'namespace', 'subject', 'pattern']

function checkTarget(target: unknown): void {
  const names = typeof target === 'object' && target !== null ? Object.keys(target).filter((name) => name !== 'id') : []
  const aimed = names.length === 1 && TARGETS.includes(names[0] as string)
  if (aimed && (names[0] === 'model' || !Object.hasOwn(target as object, 'id'))) return
  throw new CachectlError('USAGE', 'invalidate was given no target', { hint: `give one of: ${TARGETS.join(', ')}` })
}
