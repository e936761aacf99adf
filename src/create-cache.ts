// createCache: the library over one config, with everything that it is made of.
import { type Cache as CacheOf, createCacheOf } from './cache/cache.ts'
import { durationOption } from './cache/call-options.ts'
import type { Config, Duration, StandardNamespace } from './config/define-config.ts'
import { describeProblems } from './config/problems.ts'
import { resolveConfig } from './config/resolve.ts'
import type { ResolvedConfig } from './config/resolved.ts'
import { CachectlError } from './core/errors.ts'
import { optionNames, refuseUnknown, shownKind } from './core/option-names.ts'
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
  /** false: nothing is cached and no connection opened, every read goes to its source (true, unless `CACHECTL_CACHE` is `off`) */
  enabled?: boolean
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
  checkOptions(options)
  const { deadline, heartbeat, ...settings } = options
  const kernel = openKernel(resolved(config), {
    ...settings,
    ...(deadline === undefined ? {} : { deadlineMs: durationOption('deadline', deadline) }),
    ...(heartbeat === undefined ? {} : { heartbeatMs: durationOption('heartbeat', heartbeat) }),
  })
  return createCacheOf({ kernel, http: createHttp }) as Cache<Models, Namespaces>
}

/** @throws CachectlError USAGE */
function checkOptions(options: CacheOptions): void {
  refuseUnknown(options, OPTIONS, 'createCache')
  const { sourceConcurrency = 1, onError } = options
  if (!(Number.isSafeInteger(sourceConcurrency) && sourceConcurrency >= 1))
    throw usage(`\`sourceConcurrency\` is ${shownKind(sourceConcurrency)}`, 'give a whole number from 1 on')
  for (const name of ['strict', 'production', 'enabled'] as const) {
    const given = options[name]
    if (given !== undefined && typeof given !== 'boolean')
      throw usage(`\`${name}\` is ${shownKind(given)}`, 'give true or false')
  }
  if (onError !== undefined && typeof onError !== 'function')
    throw usage('`onError` is no function', 'write `onError: (error) => log(error)`')
}

const OPTIONS = optionNames<CacheOptions>({
  deadline: true,
  heartbeat: true,
  sourceConcurrency: true,
  strict: true,
  production: true,
  enabled: true,
  onError: true,
})

function usage(message: string, hint: string): CachectlError {
  return new CachectlError('USAGE', message, { hint })
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
