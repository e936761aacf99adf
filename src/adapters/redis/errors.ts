// What a failed connection or an error reply of Redis means to a person.
import { CachectlError } from '../../core/errors.ts'

/** Anything that ioredis, a socket or a lane threw, and error replies (`{ error, code }` too), as an error that names the cause. */
export function describeError(error: unknown, endpoint: string): CachectlError {
  if (error instanceof CachectlError) return error
  return new CachectlError('REDIS_REPLY', `${endpoint}: ${error instanceof Error ? error.message : String(error)}`)
}
