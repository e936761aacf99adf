// Redis URLs: read into options, shown to people without their secrets.
import type { RedisTarget } from '../../config/resolved.ts'

export interface RedisAddress {
  host: string | null
  port: number | null
  /** of a unix socket */
  path: string | null
  username: string | null
  password: string | null
  database: number
  tls: boolean
}

export function parseRedisUrl(url: string, tls: RedisTarget['tls']): RedisAddress {
  throw new Error(`being written: ${url.length} ${tls}`)
}

/** `127.0.0.1:6379`, `unix:/run/redis.sock`: for people, never with user or password. */
export function endpointOf(url: string): string {
  throw new Error(`being written: ${url.length}`)
}

export function redactUrl(url: string): string {
  throw new Error(`being written: ${url.length}`)
}
