// cache.fn: a function whose results are cached by its arguments, with what can be done to one result or to all.
import type { Duration } from '../config/define-config.ts'
import { CachectlError } from '../core/errors.ts'
import { idText } from '../core/key.ts'
import { optionNames, refuseUnknown } from '../core/option-names.ts'
import { printable } from '../core/printable.ts'
import { argumentsRest, type KeyParts, partsRest } from './arguments-key.ts'
import { CALL_OPTIONS } from './call-options.ts'
import { currentContext, runWithContext } from './current-context.ts'
import { envelopeNamespace } from './envelope-namespace.ts'
import type { Invalidated, Load, LoadControl, Place, Policy } from './kernel.ts'
import { type CallOptions, type LoaderContext, loaderContext, policyOf, stampsOf, ttlMsOf } from './policy.ts'
import type { Surface } from './surface.ts'
import { loadValidated, type ReadVersion, readValidated, refreshValidated, type SourceVersion } from './validation.ts'

/** A shorter name, that nobody gave as an option, is a minifier's. */
const SHORTEST_NAME = 3

/** Options of a function with these arguments and this result. Those that are functions are told both. */
export interface FunctionOptions<Args extends readonly unknown[], Result, This = unknown>
  extends Omit<CallOptions, 'ttl' | 'tags' | 'validateWith'> {
  /** instead of the function's own name; needed where code is minified */
  name?: string
  /** what tells one call from another, instead of all arguments */
  key?: (this: This, ...args: Args) => KeyParts
  /** how long a result is fresh: `'10m'`, `'never'`, or by the result, where there is one (`negativeTtl` says it of null) */
  ttl?: Duration | 'never' | ((result: NonNullable<Result>, ...args: Args) => Duration | 'never')
  /** `invalidate({ tag })` makes the results with it unreachable; by the result, if need be */
  tags?: readonly string[] | ((result: Result, ...args: Args) => readonly string[])
  /** true: this result is given, not cached */
  skip?: (result: Result, ...args: Args) => boolean
  /** the source's version (`updated_at`) now: a result of an older one is loaded anew (docs/validation.md) */
  validateWith?: (this: This, ...args: Args) => SourceVersion | Promise<SourceVersion>
}

/** What can be done to the cached results of a function. */
export interface CachedResults<Args extends readonly unknown[], Result> {
  /** Makes the result for these arguments unreachable. */
  invalidate(...args: Args): Promise<Invalidated>
  /** All results of this function: of the tenant, in a tenant's handle or work; of all tenants otherwise. */
  invalidateAll(): Promise<Invalidated>
  /** The key under which the result for these arguments is now. */
  key(...args: Args): Promise<string>
  /** What is cached for these arguments; undefined where nothing is. Nothing is loaded. */
  get(...args: Args): Promise<Result | undefined>
  /** Runs the function, whatever is cached, and caches what it gives. */
  refresh(...args: Args): Promise<Result>
}

export interface CachedFunction<Args extends readonly unknown[], Result> extends CachedResults<Args, Result> {
  (...args: Args): Promise<Result>
}

// biome-ignore lint/suspicious/noExplicitAny: of functions that differ in everything
export type AnyFunction = (this: any, ...args: any[]) => unknown
// biome-ignore lint/suspicious/noExplicitAny: options of any of them
export type AnyOptions = FunctionOptions<any[], any, any>

/** Functions by subject, shared by all handles of a cache: no two of them may write the same keys. */
export type Registered = Map<string, AnyFunction>

export interface Functions<Namespace extends string = string> {
  /**
   * The function with its results cached in this namespace.
   * @throws CachectlError USAGE where it has no name of its own, or another function of this cache has it
   */
  fn<Fn extends (...args: never[]) => unknown>(
    namespace: Namespace,
    fn: Fn,
    options?: FunctionOptions<Parameters<Fn>, Awaited<ReturnType<Fn>>>,
  ): CachedFunction<Parameters<Fn>, Awaited<ReturnType<Fn>>>
  /** Of the load that the calling code runs in, within a cached function or method: `cache.context()?.ttl('5m')`; undefined outside of loads. */
  context(): LoaderContext | undefined
}

/** What a cached function does, for any `this`. */
export interface Handle {
  call(self: unknown, args: readonly unknown[]): Promise<unknown>
  results(self: unknown): CachedResults<unknown[], unknown>
}

/** Beside those of any call. */
type OwnOptions = Omit<AnyOptions, keyof CallOptions>
export const FUNCTION_OPTIONS: ReadonlySet<string> = new Set([
  ...CALL_OPTIONS,
  ...optionNames<OwnOptions>({ name: true, key: true, skip: true }),
])

export function createFunctions(surface: Surface, registered: Registered): Functions {
  return {
    context: currentContext,
    fn(namespace, fn, options = {}) {
      checkFunction(fn, 'cache.fn(namespace, function, options)')
      refuseUnknown(options, FUNCTION_OPTIONS, 'cache.fn')
      const name = nameOf(options.name ?? fn.name, options.name !== undefined)
      const handle = createHandle(surface, registered, { namespace, name, fn, options: options as AnyOptions })
      const cached = (...args: unknown[]) => handle.call(undefined, args)
      Object.defineProperty(cached, 'name', { value: name })
      return Object.assign(cached, handle.results(undefined)) as never
    },
  }
}

/** @throws CachectlError USAGE when another function has the name, the namespace is not declared, or an option is none */
export function createHandle(
  surface: Surface,
  registered: Registered,
  { namespace, name, fn, options }: { namespace: string; name: string; fn: AnyFunction; options: AnyOptions },
): Handle {
  const subject = `@fn.${name}`
  const policyNow = policies(surface, namespace, options)
  register(registered, subject, name, fn)
  const placeOf = (self: unknown, args: readonly unknown[]): Place => ({
    namespace,
    subject,
    version: surface.kernel.config.version,
    tenant: surface.tenant(),
    rest: options.key ? partsRest(options.key.apply(self, args as unknown[]), name) : argumentsRest(args, name),
  })
  const loadOf =
    (self: unknown, args: readonly unknown[], tenant: string | null): Load =>
    async (control) => {
      const result = await runWithContext(loaderContext(control, tenant), () => fn.apply(self, args as unknown[]))
      tell(control, options, result, args, tenant, surface)
      return result
    }
  const versionOf = (self: unknown, args: readonly unknown[]): ReadVersion | undefined =>
    options.validateWith && (() => options.validateWith?.apply(self, args as unknown[]))

  return {
    async call(self, args) {
      const place = placeOf(self, args)
      const load = loadOf(self, args, place.tenant)
      return (await loadValidated(surface.kernel, place, policyNow(place.tenant), load, versionOf(self, args))).value
    },
    results: (self) => ({
      invalidate: async (...args) => surface.kernel.invalidate({ entries: [placeOf(self, args)] }),
      invalidateAll: async () => {
        const tenant = surface.tenant()
        const scope =
          tenant === null
            ? ({ kind: 'subject', subject } as const)
            : ({ kind: 'tenant-subject', tenant, subject } as const)
        return surface.kernel.invalidate({ scopes: [scope] })
      },
      key: async (...args) => surface.kernel.key(placeOf(self, args)),
      get: async (...args) => {
        const place = placeOf(self, args)
        return (await readValidated(surface.kernel, place, policyNow(place.tenant), versionOf(self, args))).value
      },
      refresh: async (...args) => {
        const place = placeOf(self, args)
        const load = loadOf(self, args, place.tenant)
        const { value } = await refreshValidated(
          surface.kernel,
          place,
          policyNow(place.tenant),
          load,
          versionOf(self, args),
        )
        return value
      },
    }),
  }
}

/** @throws CachectlError USAGE for what is no function */
export function checkFunction(fn: unknown, usage: string): void {
  if (typeof fn !== 'function') throw new CachectlError('USAGE', `there is no function in ${usage}`)
}

/** The name as keys hold it. `given` by the caller, or taken from code. @throws CachectlError USAGE, KEY_INVALID */
export function nameOf(name: unknown, given: boolean): string {
  const hint = "name it: `async function getUser(id) { … }`, or `{ name: 'getUser' }`"
  if (typeof name !== 'string' || name === '') throw new CachectlError('USAGE', 'the function has no name', { hint })
  // `a` may be another function in the next build, and would be given this one's results
  if (!given && name.length < SHORTEST_NAME) {
    throw new CachectlError('USAGE', `\`${name}\` looks like the name that a minifier gave to a function`, {
      hint: "give it a name that stays, with `{ name: 'getUser' }`",
    })
  }
  return idText(name)
}

function register(registered: Registered, subject: string, name: string, fn: AnyFunction): void {
  const known = registered.get(subject)
  if (known !== undefined && known !== fn) {
    throw new CachectlError('USAGE', `two different functions of this cache are called ${printable(name)}`, {
      hint: 'wrap a function once, not within another one that runs again and again; give one of two another `name`',
    })
  }
  registered.set(subject, fn)
}

/** The policy of each tenant: what is told by the result is left to the load. */
function policies(surface: Surface, namespace: string, options: AnyOptions): (tenant: string | null) => Policy {
  checkOptions(options)
  const { ttl, tags, ...others } = options
  const { config } = surface.kernel
  const base = policyOf(envelopeNamespace(config, namespace), {
    ...(others as CallOptions),
    ...(ttl === undefined || typeof ttl === 'function' ? {} : { ttl }),
  })
  if (!Array.isArray(tags) || tags.length === 0) return () => base
  let last = { tenant: null as string | null, policy: { ...base, stamps: stampsOf(tags, null) } }
  return (tenant) => {
    if (tenant !== last.tenant) last = { tenant, policy: { ...base, stamps: stampsOf(tags, tenant) } }
    return last.policy
  }
}

function checkOptions(options: AnyOptions): void {
  for (const name of ['key', 'skip', 'validateWith'] as const) {
    const option: unknown = options[name]
    if (option !== undefined && typeof option !== 'function')
      throw new CachectlError('USAGE', `the option \`${name}\` of a cached function is no function`)
  }
  const { tags } = options
  if (tags !== undefined && typeof tags !== 'function' && !Array.isArray(tags))
    throw new CachectlError('USAGE', 'the option `tags` of a cached function is neither a list nor a function')
}

/** What the options say of a result. A mistake in them costs the entry, in production; elsewhere it is thrown. */
function tell(
  control: LoadControl,
  { ttl, tags, skip }: AnyOptions,
  result: unknown,
  args: readonly unknown[],
  tenant: string | null,
  { kernel }: Surface,
): void {
  try {
    if (skip?.(result, ...args)) control.skip()
    if (typeof tags === 'function') control.stamps(stampsOf(tags(result, ...args), tenant))
    // how long nothing is cached is not the result's to say, but `negativeTtl`'s
    if (typeof ttl === 'function' && result !== null && result !== undefined)
      control.ttlMs(ttlMsOf(ttl(result as NonNullable<unknown>, ...args)))
  } catch (error) {
    if (!kernel.production) throw error
    kernel.report(error)
    control.skip()
  }
}
