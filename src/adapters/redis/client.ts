// A ready ioredis client for one server, opened within one deadline.
import type { Redis } from 'ioredis'
import type { RedisTarget } from '../../config/resolved.ts'

export interface ConnectOptions {
  connectTimeoutMs: number
  replyTimeoutMs: number
  readOnly?: boolean
  dedicated?: boolean
}

export async function connect(target: RedisTarget, options: ConnectOptions): Promise<Redis> {
  throw new Error(`being written: ${target.from} ${options.connectTimeoutMs}`)
}
