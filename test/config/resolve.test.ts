import fc from 'fast-check'
import { describe, expect, it } from 'vitest'
import { resolveConfig } from '../../src/config/resolve.ts'
import type { ResolvedConfig } from '../../src/config/resolved.ts'
import type { Source } from '../../src/ports.ts'
import { seed } from '../seed.ts'

const OPTIONS = { name: 'cache.config.ts', file: '/p/cache.config.ts', redis: null, env: null }
const source: Source = {
  kind: 'test',
  reads: 'page',
  strategies: ['all', 'recent', 'ids'],
  async *select() {},
  load: async () => [],
  list: async () => [],
  count: async () => 0,
  distinct: async () => [],
}

function resolved(config: unknown, options = {}): ResolvedConfig {
  const { config: result, problems } = resolveConfig(config, { ...OPTIONS, ...options })
  expect(problems).toEqual([])
  return result as ResolvedConfig
}

/** Each problem as one line: path, message, suggestion. */
function problemsOf(config: unknown): string[] {
  const { config: result, problems } = resolveConfig(config, OPTIONS)
  expect(result).toBeNull()
  return problems.map(({ path, message, suggestion }) =>
    [path, message, ...(suggestion ? [suggestion] : [])].join(' | '),
  )
}

/** The problems of a config that would be right without this part. */
const problemsWith = (part: object) => problemsOf({ prefix: 'shop', ...part })
const ofModel = (model: object, rest: object = {}) =>
  problemsWith({ ...rest, models: { product: { source, ...model } } })

describe('resolveConfig', () => {
  it('fills in every default', () => {
    const config = resolved({ prefix: 'shop', models: { product: { source } } })
    expect(config).toMatchObject({
      redis: null,
      prefix: 'shop',
      version: '1',
      tenantLabel: null,
      env: 'development',
      budget: null,
      server: null,
      protect: [],
      heartbeatMs: 5_000,
    })
    expect(config.namespaces.detail).toEqual({
      name: 'detail',
      ttlMs: 900_000,
      graceMs: 0,
      jitter: 0.1,
      compressAboveBytes: 4096,
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
    })
    expect(Object.keys(config.namespaces)).toEqual(['detail'])
    expect(config.models.product).toEqual({
      name: 'product',
      subject: 'product',
      source,
      namespace: 'detail',
      version: '1',
      tenant: false,
      fields: null,
      exclude: [],
      related: [],
      ttl: undefined,
      graceMs: 0,
      jitter: 0.1,
      key: null,
      join: [],
      validateMs: null,
      critical: false,
      enabled: true,
      warm: null,
      lists: [],
    })
  })

  it('reads what the library goes by: L1, negative TTL, timeouts, beta, validation', () => {
    const config = resolved({
      prefix: 'shop',
      defaults: { negativeTtl: '30s', timeout: { soft: '100ms' }, beta: 0 },
      namespaces: {
        detail: { l1: true, timeout: { hard: '5s' }, negativeTtl: false },
        near: { l1: { maxEntries: 5, maxMemory: '1mb' }, beta: 2 },
        off: { l1: false },
      },
      models: {
        product: { source, validate: 'always' },
        other: { source, validate: '30s' },
        none: { source, validate: false },
      },
    })
    const { detail, near, off } = config.namespaces
    expect(detail).toMatchObject({ negativeTtlMs: null, softTimeoutMs: 100, hardTimeoutMs: 5_000, beta: 0 })
    expect(detail?.l1).toEqual({ maxEntries: 10_000, maxBytes: 64 * 1024 * 1024 })
    expect(near).toMatchObject({ negativeTtlMs: 30_000, beta: 2, l1: { maxEntries: 5, maxBytes: 1024 * 1024 } })
    expect(off?.l1).toBeNull()
    expect(Object.values(config.models).map((model) => model.validateMs)).toEqual([0, 30_000, null])
  })

  it('turns units into milliseconds and bytes, and takes the nearest default', () => {
    const config = resolved({
      prefix: 'shop',
      version: 3,
      tenant: { label: 'org' },
      defaults: { ttl: '10m', jitter: 0.2, grace: '1m', compress: { above: '1kb' } },
      namespaces: {
        detail: { ttl: '1h', budget: { maxKeys: 5, maxMemory: '64mb' } },
        forever: { ttl: 'never', compress: false },
        sessions: { format: 'raw', key: 'sess:*', versionKey: 'sess_version' },
      },
      models: {
        category: { source: null, tenant: false },
        product: {
          source,
          tenant: true,
          version: 2,
          subject: 'item',
          grace: '5s',
          ttl: 'never',
          related: ['category'],
          warm: { strategy: 'recent', limit: 10, since: '7d' },
          lists: {
            byColour: { by: ['colour'], count: true },
            all2: { namespace: 'forever', count: 'forever', values: [], by: ['x'] },
          },
        },
      },
      budget: { maxMemory: '512mb' },
      server: { maxmemory: '2gb', policy: 'volatile-lru' },
    })
    expect(config.namespaces).toMatchObject({
      detail: {
        ttlMs: 3_600_000,
        graceMs: 60_000,
        jitter: 0.2,
        compressAboveBytes: 1024,
        budget: { maxKeys: 5, maxBytes: 64 * 1024 ** 2, policy: 'lru' },
      },
      forever: { ttlMs: null, graceMs: 0, compressAboveBytes: null },
      sessions: { ttlMs: null, format: 'raw', keyPattern: 'sess:*', versionKey: 'sess_version' },
      list: { ttlMs: 600_000 },
      count: { ttlMs: 600_000 },
    })
    expect(config.models.product).toMatchObject({
      subject: 'item',
      version: '3.2',
      tenant: true,
      ttl: null,
      graceMs: 0,
      warm: { strategy: 'recent', limit: 10, sinceMs: 7 * 86_400_000, ids: null },
      lists: [
        {
          name: 'byColour',
          by: ['colour'],
          pageSize: 20,
          pages: 1,
          top: 50,
          values: null,
          namespace: 'list',
          countNamespace: 'count',
        },
        { name: 'all2', namespace: 'forever', countNamespace: 'forever', values: [] },
      ],
    })
    expect(config.models.category?.version).toBe('3')
    expect(config.budget).toEqual({ maxKeys: null, maxBytes: 512 * 1024 ** 2 })
    expect(config.server).toEqual({
      maxMemoryBytes: 2 * 1024 ** 3,
      policy: 'volatile-lru',
      samples: null,
      lazyfree: null,
      persistence: null,
    })
  })

  it('is frozen, names without a prototype', () => {
    const config = resolved({ prefix: 'shop', models: { constructor: { source, lists: { a: {} } } } })
    expect(() => Object.assign(config, { prefix: 'x' })).toThrow(TypeError)
    const model = config.models.constructor as unknown as { name: string; lists: unknown[] }
    expect(() => Object.assign(model, { subject: 'x' })).toThrow(TypeError)
    expect(() => model.lists.push(1)).toThrow(TypeError)
    expect(() => Object.assign(config.namespaces, { x: 1 })).toThrow(TypeError)
    expect(model.name).toBe('constructor')
    expect((config.models as Record<string, unknown>).toString).toBeUndefined()
  })

  it('reads Redis from the file, and lets flags and environment come first', () => {
    const url = 'redis://:secret@h:1/0'
    expect(resolved({ prefix: 'a', redis: url }).redis).toEqual({ url, from: 'cache.config.ts', tls: null })
    const tls = { ca: new TextEncoder().encode('PEM'), servername: 'h' }
    expect(resolved({ prefix: 'a', redis: { url: 'rediss://h', tls } }).redis?.tls).toEqual({
      ca: 'PEM',
      servername: 'h',
    })
    const flag = { url: 'redis://flag', from: '--redis', tls: null }
    expect(resolved({ prefix: 'a', redis: url }, { redis: flag }).redis).toEqual(flag)
    for (const redis of [undefined, '', { url: undefined }, { url: '' }])
      expect(resolved({ prefix: 'a', redis }).redis).toBeNull()
    expect(resolved({ prefix: 'a', env: 'development' }, { env: 'production' }).env).toBe('production')
  })

  it("asks a row for its TTL, and takes the namespace's where it gives none", () => {
    const answers: Record<string, unknown> = { a: '5m', b: 'never', c: undefined, d: null }
    const config = resolved({ prefix: 'a', models: { m: { source, ttl: (row: { id: string }) => answers[row.id] } } })
    const ttl = config.models.m?.ttl as (row: object) => number | null
    expect(['a', 'b', 'c', 'd', 'a'].map((id) => ttl({ id }))).toEqual([300_000, null, 900_000, 900_000, 300_000])
    answers.a = 300
    expect(() => ttl({ id: 'a' })).toThrow('the `ttl` of model m gave a number')
    answers.a = '0s'
    expect(() => ttl({ id: 'a' })).toThrow('gave no time at all')
    answers.a = '5 parsecs'
    expect(() => ttl({ id: 'a' })).toThrow('is not a duration')
  })

  it('takes whether rows have tenants from the source', () => {
    const models = { m: { source: { ...source, hasTenants: true } } }
    expect(resolved({ prefix: 'a', tenant: { label: 'org' }, models }).models.m?.tenant).toBe(true)
  })
})

describe('problems', () => {
  it('are all reported at once', () => {
    expect(
      problemsOf({ prefx: 'shop', namespaces: { list: { ttl: 300 } }, models: { product: { source, list: {} } } }),
    ).toEqual([
      'prefx | is no option | did you mean `prefix`?',
      "namespaces.list.ttl | 300 is a bare number | write '300s' or '5m', or '300ms' for milliseconds",
      'models.product.list | is no option | did you mean `lists`?',
      "prefix | is missing | write the first segment of all keys: `prefix: 'shop'`",
    ])
  })

  it.each([
    [undefined, ['the config is empty']],
    [null, ['is null, not an object']],
    [[], ['is an array, not an object']],
    ['x', ['is text, not an object']],
  ])('%j is no config', (config, expected) => {
    expect(problemsOf(config).map((line) => line.split(' | ').slice(1).join())).toEqual(
      expected.map((text) => text.replace('the config ', '')),
    )
  })

  it.each<[object, string]>([
    [
      { defaults: { ttl: 'never' } },
      "defaults.ttl | 'never' is for the `ttl` of a namespace or a model only | write '5m' or the like",
    ],
    [{ defaults: { grace: 'never' } }, "defaults.grace | 'never' is for"],
    [{ defaults: { ttl: '0s' } }, "defaults.ttl | '0s' is no time at all"],
    [{ defaults: { ttl: '5x' } }, 'defaults.ttl | "5x" is not a duration'],
    [{ defaults: { ttl: '300' } }, 'defaults.ttl | "300" has no unit'],
    [{ defaults: { ttl: true } }, 'defaults.ttl | is a boolean, not a duration'],
    [{ defaults: { ttl: '99999999d' } }, 'defaults.ttl | "99999999d" is too long'],
    [{ defaults: { ttl: Number.MAX_VALUE } }, 'defaults.ttl | 1.7976931348623157e+308 is a bare number'],
    [
      { defaults: { jitter: 10 } },
      'defaults.jitter | 10 is not from 0 to 0.5, a share of the TTL | for 10 % write 0.1',
    ],
    [{ defaults: { jitter: Number.NaN } }, 'defaults.jitter | NaN is not'],
    [
      { defaults: { compress: { above: 4096 } } },
      "defaults.compress.above | 4096 is a bare number | write '4096b', '4096kb' or '4096mb'",
    ],
    [
      { defaults: { compress: { above: '9999999999tb' } } },
      'defaults.compress.above | "9999999999tb" is too large a size',
    ],
    [{ version: 1e21 }, 'version | 1e+21 is not a whole number from 1 to'],
    [{ version: 1.5 }, 'version | 1.5 is not a whole number'],
    [{ version: 'v1' }, 'version | is text, not a whole number'],
    [{ env: 'prod' }, 'env | "prod" is none of production, development'],
    [{ env: 'prodution' }, "did you mean 'production'?"],
    [{ prefix: 'a:b' }, 'prefix | "a:b" cannot be a name'],
    [{ prefix: 'é' }, 'cannot be a name'],
    [{ prefix: 5 }, 'prefix | is a number, not text'],
    [{ tenant: {} }, 'tenant.label | is missing'],
    [{ tenant: { label: 'my_org' } }, "tenant.label | holds `_`, which ends the label in keys | write 'my-org'"],
    [{ redis: 6379 }, 'redis | is a number, not a URL'],
    [{ redis: 'embedded' }, 'redis | a private server is never started because of a file'],
    [{ redis: { cluster: [] } }, "redis.cluster | is empty | name a node or more: `['redis://a:7000']`"],
    [{ redis: { cluster: [undefined] } }, 'redis.cluster[0] | is undefined'],
    [{ redis: { sentinels: [], name: 'm' } }, 'redis.sentinels | is empty'],
    [{ redis: { sentinels: ['a'] } }, 'redis.name | is missing | write what the Sentinels call the primary'],
    [{ redis: { sentinels: [{ port: 1 }], name: 'm' } }, 'redis.sentinels[0].host | is missing'],
    [
      { redis: { sentinels: [{ host: 'a', port: 0 }], name: 'm' } },
      'redis.sentinels[0].port | 0 is not a whole number',
    ],
    [{ redis: { url: 'redis://a', cluster: ['redis://b'] } }, 'redis | has `url` and `cluster` | leave one of them'],
    [{ redis: { url: 'redis://a', password: 'x' } }, 'redis.password | is for Sentinels | write it in the URL'],
    [{ redis: { sentinels: ['a'], name: 'm', username: 'u' } }, 'redis.password | is missing: there is a `username`'],
    [{ redis: { default: 'redis://a', url: 'redis://b' } }, 'redis.url | is an option of one server, not a name'],
    [{ redis: { default: 'redis://a', 're ports': 'redis://b' } }, 'redis["re ports"] | "re ports" cannot be a name'],
    [{ redis: { default: 'redis://a', reports: 7 } }, 'redis.reports | is a number, not a URL'],
    [
      { redis: { default: 'redis://a', reports: { urll: 'x' } } },
      'redis.reports.urll | is no option | did you mean `url`?',
    ],
    [
      { redis: { default: 'redis://a', reports: 'redis://b' }, namespaces: { stats: { redis: 'report' } } },
      "namespaces.stats.redis | `report` is no server of `redis` | did you mean 'reports'?",
    ],
    [
      { redis: 'redis://a', namespaces: { stats: { redis: 'reports' } } },
      'namespaces.stats.redis | `reports` is no server of `redis` | there is one server, without a name',
    ],
    [{ redis: { url: 'redis://h', tls: { ca: 'x' } } }, 'redis.tls | is set, but the URL is one without TLS'],
    [{ redis: { url: 'rediss://h', tls: { cert: 'x' } } }, 'needs both `cert` and `key`'],
    [
      { budget: { maxMemory: '3gb' }, server: { maxmemory: '2gb' } },
      'budget.maxMemory | is more than the memory of the server',
    ],
    [{ server: { policy: 'lru' } }, 'server.policy | "lru" is none of'],
    [{ server: { samples: 0 } }, 'server.samples | 0 is not a whole number from 1 to 64'],
    [{ server: { lazyfree: 'yes' } }, 'server.lazyfree | is text, not `true` or `false`'],
    [
      { server: { persistence: 'rbd' } },
      'server.persistence | "rbd" is none of none, rdb, aof, rdb+aof | did you mean \'rdb\'?',
    ],
    [{ protect: ['*'.repeat(3).replaceAll('*', '*a').repeat(10)] }, 'protect[0] | '],
    [{ protect: [''] }, 'protect[0] | is empty'],
    [{ protect: 'bull:*' }, 'protect | is text, not an array'],
    [
      { heartbeat: '61s' },
      "heartbeat | '61s' is too long: invalidations may have to wait for it | write '60s' or less",
    ],
    [{ heartbeat: 5 }, 'heartbeat | 5 is a bare number'],
    [{ namespaces: { model: {} } }, 'namespaces.model | `model` is a word of targets'],
    [{ namespaces: { 'a b': {} } }, 'namespaces["a b"] | "a b" cannot be a name'],
    [{ namespaces: { a: undefined } }, 'namespaces.a | is undefined'],
    [{ namespaces: { a: { budget: {} } } }, 'namespaces.a.budget | has no limit'],
    [{ namespaces: { a: { budget: { maxKeys: 0 } } } }, 'namespaces.a.budget.maxKeys | 0 is not a whole number from 1'],
    [{ namespaces: { a: { ttl: 'never', grace: '5m' } } }, 'namespaces.a.grace | has no meaning'],
    [{ namespaces: { a: { format: 'raw' } } }, 'namespaces.a.key | is missing'],
    [{ namespaces: { a: { key: 'x:*' } } }, 'namespaces.a.key | is only for raw namespaces'],
    [
      { namespaces: { a: { format: 'raw', key: '{subjet}:{rest}' } } },
      'namespaces.a.key | `{subjet}` is no part of a key',
    ],
    [
      { namespaces: { a: { format: 'raw', key: '*' } } },
      "can match keys that begin with `shop:`, which are cachectl's own",
    ],
    [{ namespaces: { a: { format: 'raw', key: 'shop~*' } } }, 'begin with `shop~`'],
    [
      { namespaces: { a: { format: 'raw', key: 'x:*' }, b: { format: 'raw', key: 'x:y*' } } },
      'namespaces.b.key | can match the same keys as `x:*` of a',
    ],
    [{ tenant: { label: 'org' }, models: { org: { source, tenant: true } } }, 'tenant.label | `org` is also a model'],
    [{ models: { list: { source } } }, 'models.list | `list` is also a namespace'],
    [{ models: { key: { source } } }, 'models.key | `key` is a word of targets'],
    [{ models: { a: { source }, b: { source, subject: 'a' } } }, 'models.b.subject | `a` is also the subject of a'],
    [JSON.parse('{"models":{"__proto__":{"source":null}}}'), 'models.__proto__ | cannot be a name'],
    [JSON.parse('{"__proto__":{"prefix":"x"}}'), '__proto__ | is no option'],
  ])('of the config: %j', (part, expected) => {
    const found = problemsWith(part)
    expect(found).toHaveLength(1)
    expect(found[0]).toContain(expected)
  })

  it.each<[object, string]>([
    [{ source: undefined }, 'models.product.source | is missing'],
    [{ source: () => [] }, 'models.product.source | is a function, not a source; write `fn(…)` around it'],
    [{ source: 'postgres://secret@h' }, 'models.product.source | is text, not a source'],
    [{ source: {} }, 'models.product.source | is an object, but no source'],
    [{ source: null, warm: { strategy: 'all' } }, 'models.product.warm | needs a source'],
    [{ namespace: 'detial' }, 'models.product.namespace | there is no namespace `detial` | did you mean `detail`?'],
    [{ subject: '@fn.x' }, 'cannot be a name'],
    [{ tenant: true }, 'models.product.tenant | needs a label for tenants'],
    [
      { source: { ...source, hasTenants: true } },
      'models.product.tenant | is not set, but the rows of its source name a tenant',
    ],
    [{ related: ['produkt'] }, 'models.product.related[0] | there is no model `produkt` | did you mean `product`?'],
    [{ fields: ['a'], exclude: ['a'] }, 'models.product.exclude | `a` is also in `fields`'],
    [{ key: 'slug' }, 'models.product.key | is text, not a function of the row'],
    [{ join: { c: { model: 'nope', on: 'x' } } }, 'models.product.join.c.model | there is no model `nope`'],
    [{ join: { c: { model: 'product' } } }, 'models.product.join.c.on | is missing'],
    [{ warm: {} }, 'models.product.warm.strategy | is missing | write one of all, recent, ids'],
    [
      { warm: { strategy: 'popular' } },
      'models.product.warm.strategy | the source (test) cannot do `popular` | it can: all, recent, ids',
    ],
    [{ warm: { strategy: 'ids' } }, 'models.product.warm.ids | is missing'],
    [{ warm: { strategy: 'all', ids: [1] } }, 'models.product.warm.ids | is only for strategy `ids`'],
    [
      { warm: { strategy: 'ids', ids: [2 ** 60] } },
      'models.product.warm.ids[0] | 1152921504606847000 is not a whole number',
    ],
    [{ warm: { strategy: 'all', since: 7 } }, "models.product.warm.since | 7 is a bare number | write '7s', or '7ms'"],
    [{ lists: { all: {} } }, 'models.product.lists.all | `all` is what a list without a name is called'],
    [{ lists: { a: { size: 0 } } }, 'models.product.lists.a.size | 0 is not'],
    [{ lists: { a: { top: 5 } } }, 'models.product.lists.a.top | needs columns in `by`'],
    [
      { lists: { a: { by: ['x'], top: 5, values: [{ x: 1 }] } } },
      'models.product.lists.a.top | and `values` exclude each other',
    ],
    [
      { lists: { a: { by: ['x'], values: [{ y: 1 }] } } },
      'models.product.lists.a.values[0] | needs exactly the columns of `by`: x',
    ],
    [{ lists: { a: { by: ['x'], where: { x: 1 } } } }, 'models.product.lists.a.where | `x` is also in `by`'],
    [{ lists: { a: { where: { x: {} } } } }, 'models.product.lists.a.where.x | is an object, not text'],
    [{ lists: { a: { count: 'nope' } } }, 'models.product.lists.a.count | there is no namespace `nope`'],
    [
      { source: { ...source, list: undefined }, lists: { a: {} } },
      'models.product.lists.a | the source (test) cannot list rows',
    ],
    [{ source: { ...source, distinct: undefined }, lists: { a: { by: ['x'] } } }, 'cannot find the values of x'],
  ])('of a model: %j', (part, expected) => {
    const found = ofModel(part)
    expect(found).toHaveLength(1)
    expect(found[0]).toContain(expected)
  })

  it('ask for the tenant where the source does not tell', () => {
    expect(ofModel({}, { tenant: { label: 'org' } })).toEqual([
      'models.product.tenant | is missing: do the rows of this model belong to tenants? | write `tenant: true` or `tenant: false`',
    ])
  })

  it('never repeat a value that may be a secret', () => {
    const secret = 'p4ssw0rd'
    const places = [
      { redis: [secret] },
      { models: secret },
      { models: { a: { source: secret } } },
      { redis: { url: `redis://${secret}@h`, tls: { ca: 5, key: [secret] } } },
    ]
    for (const part of places) expect(problemsWith(part).join()).not.toContain(secret)
  })

  it(`never throw, whatever the config is (seed ${seed})`, () => {
    const keys = fc.constantFrom(
      'prefix',
      'redis',
      'url',
      'tls',
      'models',
      'namespaces',
      'source',
      'lists',
      'by',
      'values',
      'join',
      'warm',
      'ttl',
      'budget',
      '__proto__',
      'constructor',
      'a',
    )
    const { any } = fc.letrec((tie) => ({
      any: fc.oneof(
        { depthSize: 'large' },
        fc.constantFrom(
          null,
          undefined,
          true,
          0,
          -1,
          1e300,
          Number.NaN,
          1n,
          '',
          'x',
          '5m',
          Symbol('s'),
          () => 1,
          new Date(0),
        ),
        fc.string(),
        tie('object'),
        fc.array(tie('any'), { maxLength: 3 }),
      ),
      object: fc.dictionary(keys, tie('any'), { maxKeys: 6, noNullPrototype: false }),
    }))
    fc.assert(
      fc.property(any, (value) => {
        const { config, problems } = resolveConfig(value, OPTIONS)
        expect(config === null).toBe(problems.length > 0)
      }),
      { seed, numRuns: 2000 },
    )
  })
})
