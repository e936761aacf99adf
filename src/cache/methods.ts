// Cached methods: `cache.method` for an object that is there, and standard decorators (`@cached`) for classes. Their entries are those of `Class.method`.
import { CachectlError } from '../core/errors.ts'
import { refuseUnknown } from '../core/option-names.ts'
import { printable } from '../core/printable.ts'
import {
  type AnyFunction,
  type AnyOptions,
  type CachedFunction,
  checkFunction,
  createHandle,
  FUNCTION_OPTIONS,
  type FunctionOptions,
  type Handle,
  nameOf,
  type Registered,
} from './functions.ts'
import type { Surface } from './surface.ts'

/** Only arguments are in the key, unless `key: function (...args) { … }` puts something of `this` into it. */
export interface MethodOptions<Args extends readonly unknown[], Result, This>
  extends FunctionOptions<Args, Result, This> {
  /** instead of the name of the class that defines the method; needed where code is minified, and for private methods */
  class?: string
}

// biome-ignore-start lint/suspicious/noExplicitAny: bounds that every method fulfils
type AsyncMethod = (this: any, ...args: any[]) => Promise<any>
/** Names of the methods that give promises. */
export type MethodName<Owner> = { [Name in keyof Owner]: Owner[Name] extends AsyncMethod ? Name : never }[keyof Owner] &
  string
type ArgumentsOf<Method> = Method extends (this: any, ...args: infer Args) => unknown ? Args : never
type ResultOf<Method> = Method extends (this: any, ...args: any[]) => infer Result ? Awaited<Result> : never

/** A standard decorator of methods that give promises; the types that its options name must be the method's. */
export type MethodDecorator<Args extends readonly unknown[], Result, This> = <
  Method extends (this: This, ...args: [...Args, ...any[]]) => Promise<Result>,
>(
  method: Method,
  context: ClassMethodDecoratorContext<This, Method>,
) => Method

/** Anything with the `cached` of a cache. */
export interface HasCached<Namespace extends string> {
  /** `@cache.cached('user_data', { ttl: '1h' })` */
  cached<Args extends unknown[] = any[], Result = any, This = any>(
    namespace: Namespace,
    options?: MethodOptions<Args, Result, This>,
  ): MethodDecorator<Args, Result, This>
}
// biome-ignore-end lint/suspicious/noExplicitAny: bounds that every method fulfils

export interface Methods<Namespace extends string = string> extends HasCached<Namespace> {
  /**
   * Replaces a method of this object (or of `Class.prototype`) by one whose results are cached; gives it, bound to the object.
   * @throws CachectlError USAGE where there is no such method, it has no class to be named by, or another function has its name
   */
  method<Owner extends object, Name extends MethodName<Owner>>(
    namespace: Namespace,
    owner: Owner,
    name: Name,
    options?: MethodOptions<ArgumentsOf<Owner[Name]>, ResultOf<Owner[Name]>, Owner>,
  ): CachedFunction<ArgumentsOf<Owner[Name]>, ResultOf<Owner[Name]>>
}

const METHOD_OPTIONS: ReadonlySet<string> = new Set([...FUNCTION_OPTIONS, 'class'])

interface Seat {
  surface: Surface
  registered: Registered
}

/** What is behind the `cached` of each cache. */
const seats = new WeakMap<object, Seat>()
/** The handle of each cached method, which may depend on `this` for its name. */
const handles = new WeakMap<object, (self: unknown) => Handle>()

export function createMethods(surface: Surface, registered: Registered): Methods {
  const seat: Seat = { surface, registered }
  const cachedHere = ((namespace, options = {}) => decorator(() => seat, namespace, options)) as Methods['cached']
  seats.set(cachedHere, seat)
  return {
    cached: cachedHere,
    method: (namespace, owner, name, options = {}) =>
      replaceMethod(seat, namespace, owner, name, options as AnyOptions & { class?: string }) as never,
  }
}

/** `@cached(() => cache, 'user_data', { ttl: '1h' })`, where the class is defined before the cache is made; the cache is asked for at each call. */
// biome-ignore lint/suspicious/noExplicitAny: what options do not name is the method's
export function cached<Namespace extends string, Args extends unknown[] = any[], Result = any, This = any>(
  cache: HasCached<Namespace> | (() => HasCached<Namespace>),
  namespace: NoInfer<Namespace>,
  options: MethodOptions<Args, Result, This> = {},
): MethodDecorator<Args, Result, This> {
  const seatOf = () => {
    const { cached: own } = 'cached' in cache ? cache : cache()
    const seat = seats.get(own)
    if (seat === undefined)
      throw new CachectlError('USAGE', '@cached was given no cache', { hint: 'give what createCache made' })
    return seat
  }
  return decorator(seatOf, namespace, options)
}

/** The cached method of an object, as what `cache.fn` gives: `cachedMethod(users, 'getUser').invalidate(7)`. @throws CachectlError USAGE */
export function cachedMethod<Owner extends object, Name extends MethodName<Owner>>(
  owner: Owner,
  name: Name,
): CachedFunction<ArgumentsOf<Owner[Name]>, ResultOf<Owner[Name]>> {
  const method: unknown = owner[name]
  const handle = typeof method === 'function' ? handles.get(method) : undefined
  if (handle === undefined) {
    throw new CachectlError('USAGE', `${printable(String(name))} is no cached method of this object`, {
      hint: 'decorate it with @cached as the last decorator to be applied (the topmost), or use cache.method',
    })
  }
  return bound(handle(owner), owner) as never
}

function bound(handle: Handle, self: unknown): CachedFunction<unknown[], unknown> {
  return Object.assign((...args: unknown[]) => handle.call(self, args), handle.results(self))
}

function decorator<Args extends readonly unknown[], Result, This>(
  seatOf: () => Seat,
  namespace: string,
  options: MethodOptions<Args, Result, This>,
): MethodDecorator<Args, Result, This> {
  refuseUnknown(options, METHOD_OPTIONS, '@cached')
  return (method, context) => {
    checkContext(method, context)
    let last: { seat: Seat; handle: Handle } | null = null
    let className: string | null = null
    const handleOf = (self: unknown): Handle => {
      const seat = seatOf()
      if (last?.seat === seat) return last.handle
      className ??= nameOf(options.class ?? definingClass(self, context.name, wrapper), options.class !== undefined)
      const name = `${className}.${options.name ?? String(context.name)}`
      const handle = createHandle(seat.surface, seat.registered, {
        namespace,
        name,
        fn: method,
        options: options as AnyOptions,
      })
      last = { seat, handle }
      return handle
    }
    const wrapper = wrap(handleOf)
    return wrapper as unknown as typeof method
  }
}

function wrap(handleOf: (self: unknown) => Handle): AnyFunction {
  const wrapper: AnyFunction = async function (this: unknown, ...args) {
    return handleOf(this).call(this, args)
  }
  handles.set(wrapper, handleOf)
  return wrapper
}

function checkContext(method: unknown, context: unknown): asserts context is ClassMethodDecoratorContext {
  // what `experimentalDecorators` passes: the prototype, the name, a descriptor
  if (typeof context !== 'object' || context === null || !('kind' in context)) {
    throw new CachectlError('USAGE', '@cached is a standard decorator, and was applied as an experimental one', {
      hint: 'turn `experimentalDecorators` off in tsconfig.json, or use cache.method(namespace, this, name) in the constructor',
    })
  }
  if (context.kind !== 'method' || typeof method !== 'function')
    throw new CachectlError('USAGE', `@cached is for methods, and was applied to a ${context.kind}`)
}

/** The name of the class whose own method this is: the same for instances of all its subclasses. */
function definingClass(self: unknown, name: string | symbol, method: AnyFunction): string {
  const holder = holderOf(self, (object) => Object.getOwnPropertyDescriptor(object, name)?.value === method)
  const className = holder === null ? '' : typeof holder === 'function' ? holder.name : holder.constructor.name
  if (className !== '') return className
  throw new CachectlError('USAGE', `the class of the cached method ${printable(String(name))} cannot be told`, {
    hint: "name it: `@cached(…, { class: 'UserService' })`",
  })
}

function holderOf(self: unknown, holds: (object: object) => boolean): object | null {
  let object: object | null = self === null || self === undefined ? null : Object(self)
  while (object !== null && !holds(object)) object = Object.getPrototypeOf(object)
  return object
}

function replaceMethod(
  { surface, registered }: Seat,
  namespace: string,
  owner: object,
  property: string,
  options: AnyOptions & { class?: string },
): CachedFunction<unknown[], unknown> {
  refuseUnknown(options, METHOD_OPTIONS, 'cache.method')
  if ((typeof owner !== 'object' && typeof owner !== 'function') || owner === null)
    throw new CachectlError('USAGE', 'cache.method was given no object', {
      hint: "write `cache.method('user_data', users, 'getUser')`",
    })
  const holder = holderOf(owner, (object) => Object.hasOwn(object, property))
  const descriptor = holder === null ? undefined : Object.getOwnPropertyDescriptor(holder, property)
  const method: unknown = descriptor?.value
  checkFunction(method, `cache.method: the object has no method ${printable(String(property))}`)
  const fn = method as AnyFunction
  if (handles.has(fn)) throw new CachectlError('USAGE', `the method ${printable(property)} is cached already`)
  const className = options.class ?? (typeof holder === 'function' ? holder.name : holder?.constructor?.name)
  if (className === undefined || className === 'Object') {
    throw new CachectlError('USAGE', `the object with the method ${printable(property)} is of no class`, {
      hint: "name it: `cache.method(namespace, users, 'getUser', { class: 'users' })`",
    })
  }
  const name = `${nameOf(className, options.class !== undefined)}.${options.name ?? property}`
  const handle = createHandle(surface, registered, { namespace, name, fn, options })
  const replaced = Reflect.defineProperty(owner, property, {
    configurable: true,
    writable: true,
    enumerable: descriptor?.enumerable ?? false,
    value: wrap(() => handle),
  })
  if (!replaced)
    throw new CachectlError('USAGE', `the object does not let its method ${printable(property)} be replaced`)
  return bound(handle, owner)
}
