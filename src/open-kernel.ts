// The composition root of the library: a kernel over the adapters, from a resolved config.
import { openBus } from './adapters/redis/bus.ts'
import { openStore } from './adapters/redis/store.ts'
import { type CounterDelta, counterCommands, createCounters } from './cache/counters.ts'
import { createKernel } from './cache/create-kernel.ts'
import type { Kernel } from './cache/kernel.ts'
import { failedReply } from './cache/link.ts'
import { createEvents } from './cache/log.ts'
import { createNear } from './cache/near.ts'
import { createOffKernel } from './cache/off-kernel.ts'
import { carryTransactions } from './cache/transaction.ts'
import { watchCounters, watchKernel } from './cache/watched-kernel.ts'
import { type Environment, variable } from './config/environment.ts'
import { requireRedis } from './config/redis-target.ts'
import type { ResolvedConfig } from './config/resolved.ts'
import { CachectlError } from './core/errors.ts'
import { printable } from './core/printable.ts'
import type { Clock, Random } from './ports.ts'

export interface KernelSettings {
  /** how long a call waits for Redis before it goes on without (150) */
  deadlineMs?: number
  /** how long copies in memory are trusted here without a word of Redis; that of the config, at most */
  heartbeatMs?: number
  /** loaders at once while Redis is away (64) */
  sourceConcurrency?: number
  /** rejects where Redis is away, instead of going on without it (false) */
  strict?: boolean
  /** values that cannot be cached are given, counted and reported, not thrown (of the config, or NODE_ENV) */
  production?: boolean
  /** false: no connection is opened, and every read goes to its source (true) */
  enabled?: boolean
  onError?(error: unknown): void
  clock?: Clock
  random?: Random
}

const DEADLINE_MS = 150
const SOURCE_CONCURRENCY = 64
/** Of a connection: behind a call's deadline, which is over long before. */
const CONNECT_TIMEOUT_MS = 2_000
const REPLY_TIMEOUT_MS = 2_000
const CLOCK: Clock = { now: Date.now }

/** Opens nothing yet: the first call does. @throws CachectlError REDIS_URL_UNSET, REDIS_URL_INVALID */
export function openKernel(config: ResolvedConfig, settings: KernelSettings = {}): Kernel {
  const { clock = CLOCK, random = Math.random } = settings
  const events = createEvents(config.prefix, process.env)
  const onError = (error: unknown): void => {
    events.error(error)
    settings.onError?.(error)
  }
  const sourceConcurrency = settings.sourceConcurrency ?? SOURCE_CONCURRENCY
  const production = settings.production ?? (config.env === 'production' || process.env.NODE_ENV === 'production')
  if (settings.enabled === false || isSwitchedOff(process.env)) {
    const counters = { count: () => {}, group: () => ({ count: () => {} }) }
    const off = createOffKernel({ config, clock, random, counters, production, sourceConcurrency, onError })
    return carryTransactions(watchKernel(off, events))
  }
  const target = requireRedis({ redis: config.redis, file: config.file ?? 'the config' })
  if (target.url === 'embedded')
    throw new CachectlError('REDIS_URL_INVALID', 'the library does not start a private server', {
      hint: 'name a server that runs: redis://localhost:6379',
    })
  const timeouts = { connectTimeoutMs: CONNECT_TIMEOUT_MS, replyTimeoutMs: REPLY_TIMEOUT_MS }
  const store = openStore(target, timeouts)
  const near = createNear({
    config,
    clock,
    openBus: (options, listener) => openBus(target, { ...options, ...timeouts }, listener),
    report: onError,
    ...(settings.heartbeatMs === undefined ? {} : { heartbeatMs: settings.heartbeatMs }),
  })
  const counters = createCounters({ flush: (minute, deltas) => flush(minute, deltas), clock, onError })
  const kernel = createKernel({
    config,
    clock,
    counters: watchCounters(counters, { prefix: config.prefix, tenantLabel: config.tenantLabel }, events),
    near,
    onError,
    random,
    store,
    deadlineMs: settings.deadlineMs ?? DEADLINE_MS,
    sourceConcurrency,
    production,
    strict: settings.strict ?? false,
  })
  const flush = async (minute: number, deltas: readonly CounterDelta[]): Promise<boolean> => {
    if (!kernel.isUp()) return false
    const failed = failedReply(await kernel.commands(counterCommands(config.prefix, minute, deltas)))
    if (failed) throw failed
    return true
  }
  const closing = {
    ...kernel,
    async close() {
      await kernel.close(() => counters.close())
      await store.close()
    },
  }
  return carryTransactions(watchKernel(closing, events))
}

/** The word of whoever operates the application: for an incident, or a run without a cache. */
function isSwitchedOff(environment: Environment): boolean {
  const asked = variable(environment, 'CACHECTL_CACHE')?.trim().toLowerCase() ?? 'on'
  if (asked !== 'on' && asked !== 'off')
    process.emitWarning(`CACHECTL_CACHE is \`${printable(asked)}\`, and the cache is on: it may be on or off`)
  return asked === 'off'
}
