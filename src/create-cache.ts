// createCache: the library over one config, with everything that it is made of.
import { type Cache as CacheOf, createCacheOf } from './cache/cache.ts'
import type { Config, Duration, StandardNamespace } from './config/define-config.ts'
import { describeProblems } from './config/problems.ts'
import { resolveConfig } from './config/resolve.ts'
import type { ResolvedConfig } from './config/resolved.ts'
import { CachectlError } from './core/errors.ts'
import { parseDuration } from './core/units.ts'
import { createHttp, type Http } from './http/create-http.ts'
import { openKernel } from './open-kernel.ts'

export interface CacheOptions {
  /** how long a call waits for Redis before it goes on without it (`'150ms'`) */
  deadline?: Duration
  /** how long what is in the memory of a process is trusted without a word of Redis (`'5s'`) */
  heartbeat?: Duration
  /** loaders at once in this process while Redis is away (64) */
  sourceConcurrency?: number
  /** calls reject where Redis is away, instead of going on without it (false) */
  strict?: boolean
  /** Whether a value that cannot be cached is given, counted and told to `onError`, instead of thrown (`env` of the config, or NODE_ENV is `production`) */
  production?: boolean
  /** What goes wrong and changes nothing for the caller: Redis is away, a background load failed, an entry could not be written. */
  onError?(error: unknown): void
}

export type Cache<Models extends string = string, Namespaces extends string = string> = CacheOf<
  Models,
  Namespaces | StandardNamespace,
  Http<Namespaces | StandardNamespace>
>

/**
 * The cache of this config. Opens nothing: the first call connects.
 * @throws CachectlError CONFIG_INVALID with all problems at once, REDIS_URL_UNSET, REDIS_URL_INVALID, USAGE
 */
export function createCache<
  const Models extends string = never,
  const Namespaces extends string = never,
  const Label extends string = never,
>(config: Config<Models, Namespaces, Label>, options: CacheOptions = {}): Cache<Models, Namespaces> {
  const { deadline, heartbeat, ...settings } = options
  const kernel = openKernel(resolved(config), {
    ...settings,
    ...(deadline === undefined ? {} : { deadlineMs: parseDuration(deadline) }),
    ...(heartbeat === undefined ? {} : { heartbeatMs: parseDuration(heartbeat) }),
  })
  return createCacheOf({ kernel, http: createHttp }) as Cache<Models, Namespaces>
}

function resolved(written: unknown): ResolvedConfig {
  const { config, problems } = resolveConfig(written, {
    name: 'the config',
    file: 'the config',
    redis: null,
    env: process.env.CACHECTL_ENV === 'production' ? 'production' : null,
  })
  if (config !== null) return config
  throw new CachectlError('CONFIG_INVALID', describeProblems('the config', problems))
}
