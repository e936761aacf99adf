// Direct use of the cache: get, set, getOrSet and the rest, by namespace and path.
import { CachectlError } from '../core/errors.ts'
import { refuseUnknown } from '../core/option-names.ts'
import { CALL_OPTIONS, checkAs, READ_OPTIONS, TOUCH_OPTIONS } from './call-options.ts'
import { createPlaces, type Path } from './direct-place.ts'
import type { Found, Invalidated, Place, Policy } from './kernel.ts'
import { NOT_INVALIDATED, SWITCHED_OFF } from './off-kernel.ts'
import { asLoad, type CallOptions, type LoaderContext, loaderContext, namespaceOf, policyOf } from './policy.ts'
import { createRaw, type Raw } from './raw.ts'
import type { StandardSchema } from './standard-schema.ts'
import type { Surface } from './surface.ts'
import { loadValidated, readValidated, refreshValidated } from './validation.ts'

export type { Path } from './direct-place.ts'

/** A value with where it came from. */
export interface Hit<T> {
  /** `miss`: nothing was there that is good; `getOrSet` loaded the value then */
  hit: 'fresh' | 'stale' | 'miss'
  value: T
  tier: 'l1' | 'l2' | 'source' | null
}

type Loader<T> = (context: LoaderContext) => T | Promise<T>
type OutputOf<O, T> = O extends { schema: StandardSchema<infer Output> } ? Output : T

export interface Direct<Namespace extends string> {
  /** undefined: nothing is there that is good (or undefined itself, cached: ask with `as: 'hit'`) */
  get<T = unknown, O extends CallOptions = CallOptions>(
    namespace: Namespace,
    path: Path,
    options: O & { as: 'hit' },
  ): Promise<Hit<OutputOf<O, T> | undefined>>
  get<T = unknown, O extends CallOptions = CallOptions>(
    namespace: Namespace,
    path: Path,
    options?: O,
  ): Promise<OutputOf<O, T> | undefined>
  /** One answer a path, in their order, in one round trip. */
  getMany<T = unknown>(namespace: Namespace, paths: readonly Path[], options?: CallOptions): Promise<(T | undefined)[]>
  has(namespace: Namespace, path: Path, options?: CallOptions): Promise<boolean>
  /**
   * False: it was not written, because Redis is away (what was there is invalidated) or, in production, because it would not come back equal.
   * @throws CachectlError USAGE for a value that would not come back equal, outside production
   */
  set(namespace: Namespace, path: Path, value: unknown, options?: CallOptions): Promise<boolean>
  setMany(
    namespace: Namespace,
    entries: Iterable<readonly [path: Path, value: unknown]>,
    options?: CallOptions,
  ): Promise<boolean>
  delete(namespace: Namespace, path: Path): Promise<Invalidated>
  /** A new TTL for what is there; false: nothing is. */
  touch(namespace: Namespace, path: Path, options?: Pick<CallOptions, 'ttl' | 'grace'>): Promise<boolean>
  /** What is there, or what the loader gives: once over all processes. A miss has the shape of a hit. Rejects with what the loader throws. */
  getOrSet<T>(namespace: Namespace, path: Path, load: Loader<T>, options: CallOptions & { as: 'hit' }): Promise<Hit<T>>
  getOrSet<T>(namespace: Namespace, path: Path, load: Loader<T>, options?: CallOptions): Promise<T>
  /**
   * What the loader reads now, whatever is there, and that is cached: `set` for a value that comes from a source. What is invalidated while the loader runs is
   * not brought back by it. Rejects with what the loader throws.
   */
  refresh<T>(namespace: Namespace, path: Path, load: Loader<T>, options?: CallOptions): Promise<T>
  /** One call of the loader for all that is missing: it gives a value a path, in their order. */
  getOrSetMany<T>(
    namespace: Namespace,
    paths: readonly Path[],
    load: (missing: readonly Path[], context: (path: Path) => LoaderContext) => readonly T[] | Promise<readonly T[]>,
    options?: CallOptions,
  ): Promise<T[]>
  /** The key under which the entry is now. */
  key(namespace: Namespace, path: Path): Promise<string>
}

export function createDirect(surface: Surface): Direct<string> {
  const { kernel } = surface
  const raw = createRaw(surface)
  /** Policies of calls without options, which are most. */
  const plain = new Map<string, Policy>()
  const isRaw = (name: string) => !plain.has(name) && namespaceOf(kernel.config, name).format === 'raw'
  const placeIn = createPlaces(kernel.config)
  const place = (name: string, path: Path) => {
    if (isRaw(name)) throw rawRefused(name)
    return placeIn(name, path, surface.tenant())
  }
  /** @param of the call whose options they are */
  const policy = (name: string, of: string, options?: CallOptions, names = CALL_OPTIONS): Policy => {
    if (options !== undefined) {
      refuseUnknown(options, names, of)
      return policyOf(namespaceOf(kernel.config, name), options, surface.tenant())
    }
    const known = plain.get(name) ?? policyOf(namespaceOf(kernel.config, name))
    plain.set(name, known)
    return known
  }

  /** Of one entry, whose answer may say where it came from. */
  const readPolicy = (name: string, of: string, options?: CallOptions & { as?: 'hit' }): Policy => {
    checkAs(options?.as)
    return policy(name, of, options, READ_OPTIONS)
  }

  /** A version is compared with that of the source first. */
  const nearby = (at: Place, wanted: Policy, version: CallOptions['validateWith']): Found | null =>
    version === undefined ? kernel.near(at, wanted) : null

  const getOrSet = async (name: string, path: Path, load: Loader<unknown>, options?: CallOptions & { as?: 'hit' }) => {
    checkLoader(load)
    if (isRaw(name)) return raw.getOrSet(name, path, load, options)
    const tenant = surface.tenant()
    const at = placeIn(name, path, tenant)
    const wanted = readPolicy(name, 'getOrSet', options)
    const version = options?.validateWith
    const found =
      nearby(at, wanted, version) ?? (await loadValidated(kernel, at, wanted, asLoad(load, tenant), version))
    return options?.as === 'hit' ? hitOf(found) : found.value
  }

  return {
    get: async (name: string, path: Path, options?: CallOptions & { as?: 'hit' }) => {
      if (isRaw(name)) return raw.get(name, path, options) as never
      const at = placeIn(name, path, surface.tenant())
      const wanted = readPolicy(name, 'get', options)
      const version = options?.validateWith
      const found = nearby(at, wanted, version) ?? (await readValidated(kernel, at, wanted, version))
      return (options?.as === 'hit' ? hitOf(found) : found.value) as never
    },
    async getMany<T>(name: string, paths: readonly Path[], options?: CallOptions) {
      checkMany(paths, options)
      if (isRaw(name)) return Promise.all(paths.map((path) => raw.get(name, path, options) as Promise<T>))
      const found = await kernel.read(
        paths.map((path) => place(name, path)),
        policy(name, 'getMany', options),
      )
      return found.map(({ value }) => value as T | undefined)
    },
    async has(name, path, options) {
      if (isRaw(name)) return raw.has(name, path)
      const wanted = policy(name, 'has', options)
      return (await readValidated(kernel, place(name, path), wanted, options?.validateWith)).hit !== 'miss'
    },
    async set(name, path, value, options) {
      if (isRaw(name)) return raw.set(name, path, value, options)
      return kernel.write([{ place: place(name, path), policy: policy(name, 'set', options), value }])
    },
    async setMany(name, entries, options) {
      const pairs = pairsOf(entries)
      if (isRaw(name)) return setManyRaw(raw, name, pairs, options)
      const life = policy(name, 'setMany', options)
      return kernel.write(pairs.map(([path, value]) => ({ place: place(name, path), policy: life, value })))
    },
    async delete(name, path) {
      if (!isRaw(name)) return kernel.invalidate({ entries: [place(name, path)] })
      try {
        const deleted = Number(await raw.delete(name, path))
        return { status: 'applied', acknowledged: { processes: 0, of: 0, lapsed: false }, deleted }
      } catch (error) {
        if (error === SWITCHED_OFF) return NOT_INVALIDATED
        throw error
      }
    },
    touch: async (name, path, options) =>
      kernel.touch(place(name, path), policy(name, 'touch', options, TOUCH_OPTIONS)),
    getOrSet: getOrSet as Direct<string>['getOrSet'],
    async refresh<T>(name: string, path: Path, load: Loader<T>, options?: CallOptions) {
      checkLoader(load)
      const at = place(name, path)
      const loader = asLoad(load, surface.tenant())
      const wanted = policy(name, 'refresh', options)
      return (await refreshValidated(kernel, at, wanted, loader, options?.validateWith)).value as T
    },
    async getOrSetMany<T>(
      name: string,
      paths: readonly Path[],
      load: (missing: readonly Path[], context: (path: Path) => LoaderContext) => readonly T[] | Promise<readonly T[]>,
      options?: CallOptions,
    ) {
      checkLoader(load)
      checkMany(paths, options)
      const tenant = surface.tenant()
      const places = paths.map((path) => place(name, path))
      const found = await kernel.loadMany(places, policy(name, 'getOrSetMany', options), async (missing, control) => {
        const wanted = missing.map((index) => paths[index] as Path)
        const values = await load(wanted, (path) =>
          loaderContext(control(missing[indexIn(wanted, path)] as number), tenant),
        )
        checkLoaded(values, wanted.length)
        return values
      })
      return found.map(({ value }) => value as T)
    },
    key: (name, path) => kernel.key(place(name, path)),
  }
}

function hitOf({ hit, value, tier }: Found): Hit<never> {
  return { hit, value: value as never, tier }
}

function checkLoader(load: unknown): void {
  if (typeof load === 'function') return
  throw new CachectlError('USAGE', 'the loader is no function', {
    hint: 'write `() => value`; options come behind the loader',
  })
}

function checkMany(paths: unknown, options: object = {}): void {
  if (!Array.isArray(paths))
    throw new CachectlError('USAGE', 'the paths are no list', { hint: "write [['dashboard', 7], ['dashboard', 8]]" })
  for (const name of ['validateWith', 'as'])
    if (name in options)
      throw new CachectlError('USAGE', `\`${name}\` is of one entry, and this call is of several`, {
        hint: 'call get or getOrSet for each',
      })
}

function pairsOf(entries: Iterable<readonly [Path, unknown]>): (readonly [Path, unknown])[] {
  const pairs = typeof entries === 'object' && Symbol.iterator in (entries ?? {}) ? [...entries] : null
  if (pairs?.every(Array.isArray)) return pairs
  throw new CachectlError('USAGE', 'the entries are no list of pairs', { hint: "write [[['dashboard', 7], value], …]" })
}

function indexIn(wanted: readonly Path[], path: Path): number {
  const index = wanted.indexOf(path)
  if (index >= 0) return index
  throw new CachectlError('USAGE', 'a context was asked for by a path that is not one of the missing', {
    hint: 'give the very path that the loader was given',
  })
}

function checkLoaded(values: unknown, wanted: number): void {
  if (Array.isArray(values) && values.length === wanted) return
  const got = Array.isArray(values) ? `${values.length} values` : 'no list'
  throw new CachectlError('USAGE', `the loader was asked for ${wanted} values and gave ${got}`, {
    hint: 'give one value for each path, in their order; undefined for what does not exist',
  })
}

async function setManyRaw(
  raw: Raw,
  name: string,
  pairs: readonly (readonly [Path, unknown])[],
  options: CallOptions | undefined,
): Promise<boolean> {
  const written = await Promise.all(pairs.map(([path, value]) => raw.set(name, path, value, options)))
  return written.every(Boolean)
}

function rawRefused(namespace: string): CachectlError {
  return new CachectlError('USAGE', `${namespace} is a raw namespace: it has get, has, set, delete and getOrSet`, {
    hint: 'other software writes its keys, so nothing more is known of its entries',
  })
}
