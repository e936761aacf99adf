// What tests of operations share: a context on a real server, a config, keys as hostile as bytes can be.
import { openStore } from '../../src/adapters/redis/store.ts'
import { resolveConfig } from '../../src/config/resolve.ts'
import type { ResolvedConfig } from '../../src/config/resolved.ts'
import type { OperationContext } from '../../src/ops/context.ts'
import type { Store } from '../../src/ports.ts'
import type { TestRedis } from '../servers.ts'

export function openTestStore(server: TestRedis): Store {
  return openStore({ url: server.url, from: 'test', tls: null }, { connectTimeoutMs: 2_000, replyTimeoutMs: 10_000 })
}

export function contextOf(store: Store, more: Partial<OperationContext> = {}): OperationContext {
  return {
    config: null,
    store,
    clock: { now: Date.now },
    random: Math.random,
    emit: () => {},
    signal: new AbortController().signal,
    stateDir: null,
    ...more,
  }
}

export function testConfig(url: string, more: Record<string, unknown> = {}): ResolvedConfig {
  const source = { kind: 'test', reads: 'page', strategies: [], async *select() {} }
  const written = {
    redis: url,
    prefix: 'shop',
    tenant: { label: 'org' },
    namespaces: {
      list: { ttl: '5m' },
      detail: { ttl: '1h', grace: '5m' },
      count: { ttl: '1m' },
      old: { ttl: '1m', format: 'raw', key: 'legacy:*' },
    },
    models: {
      product: { source, namespace: 'detail', tenant: false },
      city: { source, namespace: 'detail', tenant: false },
    },
    ...more,
  }
  const { config, problems } = resolveConfig(written, {
    name: 'cache.config.ts',
    file: '/cache.config.ts',
    redis: null,
    env: null,
  })
  if (config === null) throw new Error(JSON.stringify(problems))
  return config
}

/** 3,000 keys with control, bidi, invalid and invisible bytes, and characters that globs, JSON and shells know. */
export function hostileKeys(): Buffer[] {
  const nasty = [
    '\x1b[31m',
    '\x07',
    '\r\n',
    '\0',
    '\u202e',
    '\u2028',
    '\u200b',
    '\x7f',
    '\u009b2J',
    '\\',
    '\\x1b',
    '"',
    "'",
    '*',
    '[',
    '?',
    '{',
    '}',
    '~',
    '%1B',
    '\u{e0041}',
    '👩‍👩‍👧',
    'é',
    '\ufeff',
  ]
  return Array.from({ length: 3000 }, (_, i) => {
    const parts = [nasty[i % nasty.length], nasty[(i >> 3) % nasty.length], String(i), nasty[(i * 7) % nasty.length]]
    const text = Buffer.from(
      `${i % 5 === 0 ? 'shop:v1:list:' : i % 5 === 1 ? 'shop~' : ''}${parts.join(i % 2 === 0 ? ':' : '')}`,
    )
    return i % 3 === 0 ? Buffer.concat([text, Buffer.from([0xff, 0xc0, i & 0xff, 0x80])]) : text
  })
}

/** Everything that must reach neither a terminal nor a file raw; line breaks aside. */
export const RAW =
  /[\x00-\x09\x0b-\x1f\x7f-\x9f\u061c\u200b-\u200f\u2028-\u202e\u2060-\u206f\ufeff\u{e0000}-\u{e007f}]/u
