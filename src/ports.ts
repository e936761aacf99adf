// What the parts are to each other. Types only: no file below src/cache or src/ops knows more of Redis or of a database than this.
import type { CachectlError } from './core/errors.ts'

export type * from './ports/bus.ts'
export type * from './ports/guarded-writes.ts'
export type * from './ports/redis.ts'
export type * from './ports/source.ts'

/** Milliseconds since the epoch, by the clock of this machine. Never used to order events of two machines. */
export interface Clock {
  now(): number
}

/** A number in [0, 1). Passed in, so that a run can be repeated from its seed. */
export type Random = () => number

/** What happens while an operation runs; renderers turn it into a bar, a line, NDJSON, or nothing. */
export type ProgressEvent =
  | { event: 'note'; level: 'info' | 'warn'; message: string }
  | { event: 'start'; task: string; unit: string; total: number | null }
  | { event: 'progress'; task: string; done: number; total: number | null; detail?: string }
  | { event: 'end'; task: string; done: number; durationMs: number }
  | { event: 'row-error'; task: string; id: string; message: string }
  | { event: 'failure'; error: CachectlError }

export type Emit = (event: ProgressEvent) => void
