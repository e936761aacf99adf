// The source behind the caches of trials: a counter for each, on a server of its own.
import { Redis } from 'ioredis'
import type { Truth } from './trial.ts'

export interface OpenedTruth extends Truth {
  close(): void
}

export function openTruth(url: string): OpenedTruth {
  const redis = new Redis({ path: url.replace(/^unix:/, ''), enableAutoPipelining: true })
  return {
    read: async (trial) => Number((await redis.get(`${trial}`)) ?? 0),
    write: (trial) => redis.incr(`${trial}`),
    close: () => redis.disconnect(),
  }
}
