// The resolved config as data that can be shown: no secrets, no functions. Opens nothing.
import type { RedisTarget, ResolvedConfig, ResolvedModel } from '../config/resolved.ts'

export type Shown = null | boolean | number | string | readonly Shown[] | { readonly [key: string]: Shown }

export interface ConfigShowReport {
  ok: true
  config: { readonly [key: string]: Shown }
}

/** `redact` gives the URL without user and password. */
export function showConfig(config: ResolvedConfig, redact: (url: string) => string): ConfigShowReport {
  const { file, redis, models, ...rest } = config
  const shown = {
    file,
    redis: redis && showRedis(redis, redact),
    ...rest,
    models: Object.fromEntries(Object.entries(models).map(([name, model]) => [name, showModel(model)])),
  }
  return { ok: true, config: plain(shown) as ConfigShowReport['config'] }
}

function showRedis({ url, from, tls, named }: RedisTarget, redact: (url: string) => string): object {
  const hidden =
    tls &&
    Object.fromEntries(Object.entries(tls).map(([name, value]) => [name, name === 'servername' ? value : '(set)']))
  const shown = { url: url === 'embedded' ? url : redact(url), from, tls: hidden }
  if (!named) return shown
  const others = Object.entries(named.others).map(([name, other]) => [
    name,
    other.url === '' ? null : showRedis(other, redact),
  ])
  return { default: shown, ...Object.fromEntries(others) }
}

function showModel({ source, ttl, ...model }: ResolvedModel): object {
  return {
    ...model,
    source: source && { kind: source.kind, strategies: source.strategies },
    ttlMs: ttl === undefined ? '(of the namespace)' : ttl,
  }
}

function plain(value: unknown): Shown {
  if (typeof value === 'function') return '[function]'
  if (Array.isArray(value)) return value.map(plain)
  if (typeof value === 'object' && value !== null)
    return Object.fromEntries(Object.entries(value).map(([key, one]) => [key, plain(one)]))
  return value as Shown
}
