// What an operation is given. Opened late, closed in reverse, once.
import type { ResolvedConfig } from '../config/resolved.ts'
import type { Clock, Emit, Random, Store } from '../ports.ts'

export interface OperationContext {
  /** null: any Redis, without a config */
  config: ResolvedConfig | null
  store: Store
  clock: Clock
  random: Random
  emit: Emit
  signal: AbortSignal
}
