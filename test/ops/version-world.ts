// What tests of versions share: caches of two versions of the code on one real server, and the context of a command.

import { fn } from '../../src/adapters/sources/fn.ts'
import { resolveConfig } from '../../src/config/resolve.ts'
import type { ResolvedConfig } from '../../src/config/resolved.ts'
import { type Account, emptyAccount } from '../../src/core/account.ts'
import { type Cache, createCache } from '../../src/create-cache.ts'
import { type OpenedContext, openContext } from '../../src/ops/context.ts'
import { versionBump } from '../../src/ops/version-bump.ts'
import { planVersionBump, type VersionBumpOptions } from '../../src/ops/version-bump-plan.ts'
import { planVersionPrune, type VersionPruneOptions, versionPrune } from '../../src/ops/version-prune.ts'
import type { ProgressEvent, Store } from '../../src/ports.ts'
import type { TestRedis } from '../servers.ts'

export interface WorldOptions {
  version?: number
  l1?: boolean
  protect?: readonly string[]
  signal?: AbortSignal
  /** stands between the command and the server */
  store?: (store: Store) => Store
}

export function writtenConfig(url: string, { version = 2, l1 = false, protect = [] }: WorldOptions = {}) {
  const source = fn({
    rows: async function* () {
      for (let id = 1; id <= 40; id++) yield { id, name: `city ${id}` }
    },
  })
  const orders = fn({ tenant: 'org_id', rows: async function* () {} })
  return {
    redis: url,
    prefix: 'shop',
    version,
    tenant: { label: 'org' },
    protect: [...protect],
    namespaces: {
      list: { ttl: '5m', ...(l1 ? { l1: { maxEntries: 100, maxMemory: '1mb' } } : {}) },
      detail: { ttl: '1h', jitter: 0 },
      page: { ttl: 'never' as const },
      feed: {
        format: 'raw' as const,
        key: 'feed:{subject}:v{version}:{rest}',
        versionKey: 'feed_version:{subject}',
        ttl: '5m',
      },
      other: { format: 'raw' as const, key: 'other:*', ttl: '5m' },
    },
    models: {
      city: { source, namespace: 'detail', tenant: false, warm: { strategy: 'all' as const } },
      tour: { source, namespace: 'detail', tenant: false, related: ['city'] },
      order: { source: orders, namespace: 'detail', tenant: true },
    },
  } as const
}

export function resolved(url: string, options: WorldOptions = {}): ResolvedConfig {
  const { config, problems } = resolveConfig(writtenConfig(url, options), {
    name: 'the config',
    file: 'the config',
    redis: null,
    env: null,
  })
  if (config === null) throw new Error(JSON.stringify(problems))
  return config
}

const opened: (() => Promise<unknown>)[] = []

export async function closeWorld(): Promise<void> {
  for (const close of opened.splice(0).reverse()) await close()
}

export function openCache(server: TestRedis, options: WorldOptions = {}): Cache {
  const cache = createCache(writtenConfig(server.url, options) as never, { deadline: '2s' }) as unknown as Cache
  opened.push(() => cache.close())
  return cache
}

export async function openCommand(
  server: TestRedis,
  options: WorldOptions = {},
): Promise<OpenedContext & { events: ProgressEvent[] }> {
  const config = resolved(server.url, options)
  const events: ProgressEvent[] = []
  const context = await openContext({
    loaded: { config, redis: config.redis, file: 'the config' },
    emit: (event) => void events.push(event),
    signal: options.signal ?? new AbortController().signal,
  })
  opened.push(() => context.close())
  return { ...context, store: options.store?.(context.store) ?? context.store, events }
}

export async function bump(context: OpenedContext, target: string, more: Partial<VersionBumpOptions> = {}) {
  return versionBump(context, await planVersionBump(context, { target, tenant: null, allTenants: false, ...more }))
}

export async function prune(context: OpenedContext, more: Partial<VersionPruneOptions> = {}) {
  return versionPrune(
    context,
    await planVersionPrune(context, { targets: [], tenant: null, waitMs: 100, ...more }),
    'max',
  )
}

export async function keysOf(server: TestRedis, pattern = 'shop:*'): Promise<string[]> {
  return ((await server.call('KEYS', pattern)) as string[]).sort()
}

/** The account in a report. */
export function accountOf(report: Account): Account {
  const fields = Object.keys(emptyAccount()) as (keyof Account)[]
  return Object.fromEntries(fields.map((field) => [field, report[field]])) as unknown as Account
}
