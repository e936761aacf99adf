// What every report begins with.
import type { RedisIdentity } from '../ports.ts'
import type { OperationContext } from './context.ts'

export interface ReportBase {
  ok: boolean
  complete: boolean
  dryRun: false
  /** ISO 8601, UTC */
  startedAt: string
  durationMs: number
  redis: RedisIdentity
}

/** Starts the clock; what it returns gives the head of the finished report. */
export async function beginReport({ clock, store }: OperationContext): Promise<(complete?: boolean) => ReportBase> {
  const startedAtMs = clock.now()
  const redis = await store.identity()
  return (complete = true) => ({
    ok: complete,
    complete,
    dryRun: false,
    startedAt: new Date(startedAtMs).toISOString(),
    durationMs: clock.now() - startedAtMs,
    redis,
  })
}
