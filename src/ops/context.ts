// What an operation is given, and the one place that opens it: late, and closed in reverse, once.

import { openBus } from '../adapters/redis/bus.ts'
import { openControl } from '../adapters/redis/control.ts'
import { startServer } from '../adapters/redis/embedded.ts'
import { parseServerUrl } from '../adapters/redis/server-url.ts'
import { openStore } from '../adapters/redis/store.ts'
import { requireRedis } from '../config/redis-target.ts'
import type { RedisTarget, ResolvedConfig } from '../config/resolved.ts'
import { codeVersionFields } from '../core/code-version.ts'
import { CachectlError } from '../core/errors.ts'
import type { Bus, BusListener, Clock, Control, Emit, Random, Store } from '../ports.ts'

export { redactUrl } from '../adapters/redis/server-url.ts'

/** Whether the URL can be one, without opening it. @throws CachectlError REDIS_URL_INVALID */
export function checkTarget({ url, tls, named }: RedisTarget): void {
  parseServerUrl(url, tls)
  for (const other of Object.values(named?.others ?? {})) if (other.url !== '') checkTarget(other)
}

export const CONNECT_TIMEOUT_MS = 5_000
export const REPLY_TIMEOUT_MS = 10_000
const CLOSE_TIMEOUT_MS = 2_000

export interface OperationContext {
  /** null: any Redis, without a config */
  config: ResolvedConfig | null
  store: Store
  clock: Clock
  random: Random
  emit: Emit
  signal: AbortSignal
  /** where files of this user may be kept that outlive a run; null: nowhere */
  stateDir: string | null
}

export interface OpenedContext extends OperationContext {
  /** @throws CachectlError CONFIG_NOT_FOUND without a config: it names the prefix */
  control(): Control
  /** Listens on these channels; the caller closes it. */
  bus(channels: readonly string[], listener: BusListener): Bus
  close(): Promise<void>
}

export interface ContextOptions {
  loaded: { config: ResolvedConfig | null; redis: RedisTarget | null; file: string | null }
  emit: Emit
  signal: AbortSignal
  clock?: Clock
  random?: Random
  stateDir?: string | null
}

export async function openContext(options: ContextOptions): Promise<OpenedContext> {
  const { loaded, emit, signal, clock, random, stateDir = null } = options
  const { config } = loaded
  const redis = requireRedis(loaded)
  const closers: (() => Promise<void>)[] = []
  const embedded = redis.url === 'embedded'
  const target = embedded ? await startEmbedded(redis, emit, closers) : redis
  const timeouts = { connectTimeoutMs: CONNECT_TIMEOUT_MS, replyTimeoutMs: REPLY_TIMEOUT_MS }
  const store = openStore(target, { ...timeouts, embedded })
  closers.push(() => store.close())
  closers.push(async () => {
    await Promise.allSettled(Object.values(config?.models ?? {}).map(async ({ source }) => source?.close?.()))
  })
  return {
    config,
    store,
    clock: clock ?? { now: Date.now },
    random: random ?? Math.random,
    emit,
    signal,
    stateDir,
    control() {
      if (!config)
        throw new CachectlError('CONFIG_NOT_FOUND', 'there is no cache.config.* here or above: it says what to load')
      return openControl(store, config.prefix, codeVersionFields(config))
    },
    bus: (channels, listener) => openBus(target, { channels, tracking: false, ...timeouts }, listener),
    async close() {
      for (const close of closers.reverse().splice(0)) await within(CLOSE_TIMEOUT_MS, close)
    },
  }
}

/** Somebody else's pool that does not end, or fails to, must keep neither the rest open nor the command running. */
async function within(ms: number, close: () => Promise<void>): Promise<void> {
  let timer: NodeJS.Timeout | undefined
  const late = new Promise<void>((resolve) => {
    timer = setTimeout(resolve, ms)
  })
  await Promise.race([close().catch(() => undefined), late])
  clearTimeout(timer)
}

async function startEmbedded(redis: RedisTarget, emit: Emit, closers: (() => Promise<void>)[]): Promise<RedisTarget> {
  const server = await startServer({ onNote: (message) => emit({ event: 'note', level: 'info', message }) })
  closers.push(() => server.stop())
  return { ...redis, url: server.url }
}
