// The kernel of a cache that is switched off: nothing is asked of Redis, nothing is kept, and whoever reads gets what the source has now.
import { setMaxListeners } from 'node:events'
import { CachectlError } from '../core/errors.ts'
import { closedError } from './applying.ts'
import { createControlMirror } from './control-mirror.ts'
import { createFlights } from './flights.ts'
import type { Invalidated, Kernel } from './kernel.ts'
import type { LeadContext } from './lead.ts'
import { createGate } from './load-control.ts'
import { createLoading } from './loading.ts'
import { createReport } from './report.ts'

type OffKernelOptions = Pick<LeadContext, 'config' | 'clock' | 'random' | 'counters' | 'production'> & {
  /** loaders at once */
  sourceConcurrency: number
  onError(error: unknown): void
}

/** What every way to Redis ends with. */
export const SWITCHED_OFF = new CachectlError('REDIS_UNREACHABLE', 'the cache is switched off', {
  hint: 'unset CACHECTL_CACHE, and leave `enabled: false` out of the options of createCache',
})

/** Nothing was invalidated: what other processes have cached is there. */
export const NOT_INVALIDATED: Invalidated = {
  status: 'off',
  acknowledged: { processes: 0, of: 0, lapsed: false },
  deleted: null,
}

/** `close` waits so long for loads under way. */
const CLOSE_WITHIN_MS = 2_000

/** Reads as where Redis is away: one load of an entry at a time, and a bounded number of all. */
export function createOffKernel(options: OffKernelOptions): Kernel {
  const { config, clock, random, counters, production } = options
  const closing = new AbortController()
  setMaxListeners(0, closing.signal)
  const refuse = () => Promise.reject(SWITCHED_OFF)
  const told = createReport(options.onError)
  const report = (error: unknown): void => {
    if (error !== SWITCHED_OFF) told(error)
  }
  const context: LeadContext = {
    config,
    clock,
    random,
    counters,
    production,
    report,
    writer: '',
    link: { up: false, run: refuse, runEarly: refuse, distrust: () => {}, close: () => {} },
    reader: { look: refuse, lookOne: refuse, mirror: refuse, judge: () => null },
    flights: createFlights(),
    near: null,
    closing: closing.signal,
    deadlineMs: 0,
    gate: createGate(options.sourceConcurrency),
  }
  const { near, read, readOne, load, loadMany, refresh, forgetUnleased, settled } = createLoading(
    context,
    createControlMirror(config),
    false,
  )
  return {
    config,
    clock,
    random,
    counters,
    production,
    report,
    writer: context.writer,
    near,
    read,
    readOne,
    load,
    loadMany,
    refresh,
    write: async () => false,
    touch: async () => false,
    async invalidate() {
      if (closing.signal.aborted) throw closedError()
      // What is under way here began before.
      forgetUnleased()
      return NOT_INVALIDATED
    },
    key: refuse,
    command: refuse,
    commands: refuse,
    async *scan() {},
    async close() {
      await settled(CLOSE_WITHIN_MS)
      closing.abort(new CachectlError('REDIS_UNREACHABLE', 'the cache has been closed'))
    },
  }
}
