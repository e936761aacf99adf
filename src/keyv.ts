// A storage adapter for Keyv (5) and what stands on it: entries under our keys and in our envelope, so that the CLI sees them.
import { EventEmitter } from 'node:events'
import type { Cache } from './cache/cache.ts'
import { createKeyvStore, type KeyvStore } from './cache/keyv-store.ts'
import { namespaceOf } from './cache/policy.ts'
import { surfaceOf } from './cache/surface-of.ts'
import { defineConfig } from './config/define-config.ts'
import { CachectlError } from './core/errors.ts'
import { createCache } from './create-cache.ts'

export type KeyvCachectlOptions<Namespace extends string = string> =
  | {
      /** of the application; stays open when Keyv disconnects. A tenant's handle keeps all in that tenant. */
      cache: Pick<Cache<never, Namespace>, 'key' | 'close'>
      /** of the config: its TTL is that of what Keyv sets without one */
      namespace: NoInfer<Namespace>
    }
  | {
      /** of a Redis of which nothing else is known; `disconnect` closes the connection */
      url: string
      /** first segment of the keys (`'keyv'`) */
      prefix?: string
      /** second segment of the keys (`'keyv'`); what is set without a TTL stays */
      namespace?: string
    }

/**
 * `new Keyv({ store: new KeyvCachectl({ cache, namespace: 'sessions' }), namespace: 'users' })`: entries have the subject `@keyv.users`.
 * One store for each Keyv, because a Keyv writes its own namespace into its store. Emits `error`.
 */
export class KeyvCachectl<Namespace extends string = string> extends EventEmitter {
  /** Keyv's own, which Keyv sets */
  namespace: string | undefined
  /** Keyv iterates over stores of dialects that it knows */
  readonly opts: { dialect: 'redis' } & Record<string, unknown> = { dialect: 'redis' }
  readonly #store: KeyvStore
  readonly #close: () => Promise<void>

  /** @throws CachectlError USAGE for a namespace that is not declared, or is raw */
  constructor(options: KeyvCachectlOptions<Namespace>) {
    super()
    const given: { cache?: unknown; url?: unknown } = options ?? {}
    if ((given.cache === undefined) === (given.url === undefined))
      throw new CachectlError('USAGE', 'KeyvCachectl needs a cache or a URL', {
        hint: "write `new KeyvCachectl({ cache, namespace: 'sessions' })`",
      })
    const cache = 'cache' in options ? options.cache : this.#open(options)
    const surface = surfaceOf(cache)
    const namespace = namespaceOf(surface.kernel.config, options.namespace ?? OWN)
    if (namespace.format === 'raw')
      throw new CachectlError('USAGE', `the namespace ${namespace.name} is raw, and Keyv's entries have an envelope`, {
        hint: 'name another namespace',
      })
    this.#store = createKeyvStore(surface, namespace)
    this.#close = 'cache' in options ? async () => {} : () => cache.close()
  }

  /** undefined: not there, or not readable now */
  async get<Value>(key: string): Promise<Value | undefined> {
    const [value] = await this.#store.get(this.namespace, [key])
    return value as Value | undefined
  }

  /** In one round trip. */
  async getMany<Value>(keys: string[]): Promise<(Value | undefined)[]> {
    return (await this.#store.get(this.namespace, keys)) as (Value | undefined)[]
  }

  /** `ttl` in milliseconds. False: not written, because Redis is away or, in production, because the value would not come back equal. */
  async set(key: string, value: unknown, ttl?: number): Promise<boolean> {
    return this.#store.set(this.namespace, key, value, ttl)
  }

  /** Whether it was there. */
  async delete(key: string): Promise<boolean> {
    return this.#store.delete(this.namespace, [key])
  }

  /** Whether any of them was there. */
  async deleteMany(keys: string[]): Promise<boolean> {
    return this.#store.delete(this.namespace, keys)
  }

  async has(key: string): Promise<boolean> {
    return (await this.#store.has(this.namespace, [key]))[0] === true
  }

  async hasMany(keys: string[]): Promise<boolean[]> {
    return this.#store.has(this.namespace, keys)
  }

  /** Everything of this Keyv namespace, at once and in all processes. */
  async clear(): Promise<void> {
    await this.#store.clear(this.namespace)
  }

  async *iterator<Value>(namespace?: string): AsyncGenerator<[string, Value], void> {
    for await (const [key, value] of this.#store.entries(namespace ?? this.namespace)) yield [key, value as Value]
  }

  async disconnect(): Promise<void> {
    await this.#close()
  }

  #open({ url, prefix = OWN, namespace = OWN }: { url: string; prefix?: string; namespace?: string }) {
    const config = defineConfig({ redis: url, prefix, namespaces: { [namespace]: { ttl: 'never' } } })
    // without a listener, `error` would end the process
    const onError = (error: unknown) => this.listenerCount('error') > 0 && this.emit('error', error)
    return createCache(config, { onError })
  }
}

const OWN = 'keyv'
