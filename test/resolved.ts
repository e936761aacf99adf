// Configs for tests of operations: what `resolve` would make of a file, written down directly.
import type { ResolvedConfig, ResolvedModel, ResolvedNamespace } from '../src/config/resolved.ts'
import type { Source } from '../src/ports.ts'

export function aNamespace(name: string, given: Partial<ResolvedNamespace> = {}): ResolvedNamespace {
  return {
    name,
    ttlMs: 600_000,
    graceMs: 60_000,
    jitter: 0,
    compressAboveBytes: null,
    budget: null,
    format: 'envelope',
    keyPattern: null,
    versionKey: null,
    negativeTtlMs: null,
    softTimeoutMs: null,
    hardTimeoutMs: null,
    beta: 1,
    l1: null,
    redis: 'default',
    ...given,
  }
}

export function aModel(name: string, source: Source, given: Partial<ResolvedModel> = {}): ResolvedModel {
  return {
    name,
    subject: name,
    source,
    namespace: 'detail',
    version: '1',
    tenant: false,
    fields: null,
    exclude: [],
    related: [],
    ttl: undefined,
    graceMs: 60_000,
    jitter: 0,
    key: null,
    join: [],
    validateMs: null,
    critical: false,
    enabled: true,
    warm: { strategy: 'all', limit: null, sinceMs: null, ids: null },
    lists: [],
    ...given,
  }
}

export function aConfig(
  url: string,
  models: readonly ResolvedModel[],
  given: Partial<ResolvedConfig> = {},
): ResolvedConfig {
  return {
    file: 'cache.config.ts',
    redis: { url, from: 'the test', tls: null },
    prefix: 'shop',
    version: '1',
    tenantLabel: models.some((model) => model.tenant) ? 'org' : null,
    env: 'development',
    namespaces: { detail: aNamespace('detail'), list: aNamespace('list'), count: aNamespace('count') },
    models: Object.fromEntries(models.map((model) => [model.name, model])),
    budget: null,
    server: null,
    protect: [],
    heartbeatMs: 5_000,
    ...given,
  }
}
