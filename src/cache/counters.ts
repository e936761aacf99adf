// How often a process read, missed, loaded and failed, by namespace, subject and tenant, until it is flushed to Redis.

export type CountedEvent = 'l1' | 'l2' | 'stale' | 'miss' | 'set' | 'load' | 'error' | 'uncacheable' | 'refused'

export interface CountedPlace {
  namespace: string
  subject: string
  tenant: string | null
}

export interface Counters {
  /** `amount`: how many (1); of `load`: with how many milliseconds it took */
  count(event: CountedEvent, place: CountedPlace, amount?: number, loadMs?: number): void
}
