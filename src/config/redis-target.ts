// Which Redis is meant: flags before the environment before the file.
import { CachectlError } from '../core/errors.ts'
import { type Environment, variable } from './environment.ts'
import type { RedisTarget } from './resolved.ts'

/**
 * The Redis that a flag or the environment names, before any file; null where they name none.
 * @throws CachectlError USAGE for an empty --redis
 */
export function namedRedis(flag: string | undefined, env: Environment): RedisTarget | null {
  if (flag === '')
    throw new CachectlError('USAGE', '--redis is empty', {
      hint: 'is the variable set that stands behind it? cron does not read your shell profile',
    })
  if (flag !== undefined) return { url: flag, from: '--redis', tls: null }
  if (env.CACHECTL_EMBEDDED === '1') return { url: 'embedded', from: 'CACHECTL_EMBEDDED', tls: null }
  const url = variable(env, 'CACHECTL_REDIS')
  return url === null ? null : { url, from: 'CACHECTL_REDIS', tls: null }
}

/** `REDIS_URL`, which counts by itself only where there is no config file. */
export function plainRedis(env: Environment): RedisTarget | null {
  const url = variable(env, 'REDIS_URL')
  return url === null ? null : { url, from: 'REDIS_URL', tls: null }
}

/**
 * The Redis of what was loaded, for a command that needs one.
 * @throws CachectlError REDIS_URL_UNSET
 */
export function requireRedis(loaded: { redis: RedisTarget | null; file: string | null }): RedisTarget {
  if (loaded.redis) {
    const unset = Object.entries(loaded.redis.named?.others ?? {}).find(([, { url }]) => url === '')
    if (unset)
      throw new CachectlError('REDIS_URL_UNSET', `\`redis.${unset[0]}\` of ${loaded.file} is undefined or empty`)
    return loaded.redis
  }
  if (loaded.file === null) {
    throw new CachectlError('REDIS_URL_UNSET', 'no Redis is named: there is no config file, and REDIS_URL is not set', {
      hint: 'name it with --redis redis://localhost:6379 or REDIS_URL, or run `cachectl init`',
    })
  }
  throw new CachectlError('REDIS_URL_UNSET', `no Redis is named: \`redis\` of ${loaded.file} is undefined or empty`)
}
