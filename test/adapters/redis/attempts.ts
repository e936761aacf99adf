// Attempts to connect, for tests: how they failed, and that no failure holds the password that all of them carry.
import { inspect } from 'node:util'
import type { Redis } from 'ioredis'
import { expect } from 'vitest'
import { type ConnectOptions, connect } from '../../../src/adapters/redis/client.ts'
import type { RedisTarget } from '../../../src/config/resolved.ts'
import { CachectlError } from '../../../src/core/errors.ts'

export const CANARY = 'cAnArY-f00d'
export const LIMITS: ConnectOptions = { connectTimeoutMs: 5_000, replyTimeoutMs: 2_000 }

/** Every failed attempt of a test file. */
export const failures: unknown[] = []

export const target = (url: string, tls: RedisTarget['tls'] = null): RedisTarget => ({ url, from: 'test', tls })
export const withUser = (url: string, user = '') => url.replace('//', `//${user}:${CANARY}@`)

/** How an attempt failed, and how long that took. */
export async function attempt(url: string, options: Partial<ConnectOptions> & { tls?: RedisTarget['tls'] } = {}) {
  const { tls = null, ...limits } = options
  const begin = performance.now()
  try {
    const redis = await connect(target(url, tls), { ...LIMITS, ...limits })
    redis.disconnect()
  } catch (error) {
    failures.push(error)
    expect(error).toBeInstanceOf(CachectlError)
    const { code, exitCode, message, hint } = error as CachectlError
    return { code, exitCode, message, hint, tookMs: performance.now() - begin }
  }
  throw new Error('it connected')
}

export async function withClient<T>(
  url: string,
  use: (redis: Redis) => Promise<T>,
  options: Partial<ConnectOptions> & { tls?: RedisTarget['tls'] } = {},
) {
  const { tls = null, ...limits } = options
  const redis = await connect(target(url, tls), { ...LIMITS, ...limits })
  try {
    return await use(redis)
  } finally {
    redis.disconnect()
  }
}

/** Looks everywhere in the failures so far. */
export function expectNoSecrets(): void {
  for (const failure of failures) {
    const { message, stack, hint, cause } = failure as CachectlError
    const everything = [
      message,
      stack,
      hint,
      inspect(cause),
      inspect(failure, { depth: 12, showHidden: true }),
      JSON.stringify(failure),
    ]
    expect(everything.join('\n')).not.toContain(CANARY)
  }
}

export async function until(condition: () => Promise<boolean>): Promise<void> {
  const deadline = performance.now() + 10_000
  while (!(await condition())) if (performance.now() > deadline) throw new Error('it did not come to that')
}
