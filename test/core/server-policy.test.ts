import { describe, expect, it } from 'vitest'
import { managedService } from '../../src/core/managed-redis.ts'
import { diskEffects, effectsOf, keysOf, overLimit, type Resident } from '../../src/core/policy-effects.ts'
import {
  compareSettings,
  exactSize,
  isHigher,
  serverSnippet,
  settingsOfConfig,
  settingsOfInfo,
  settingText,
  shownSetting,
  type WantedServer,
} from '../../src/core/server-policy.ts'
import { parseSize } from '../../src/core/units.ts'

const NOTHING: WantedServer = { maxMemoryBytes: null, policy: null, samples: null, lazyfree: null, persistence: null }
const REDIS = settingsOfConfig([
  ['maxmemory', '1048576'],
  ['maxmemory-policy', 'noeviction'],
  ['maxmemory-samples', '5'],
  ['maxmemory-clients', '0'],
  ['lazyfree-lazy-eviction', 'no'],
  ['lazyfree-lazy-expire', 'yes'],
  ['save', '3600 1'],
  ['appendonly', 'no'],
])

describe('settings against the config', () => {
  const names = (wanted: Partial<WantedServer>, actual = REDIS) =>
    compareSettings({ ...NOTHING, ...wanted }, actual).map(({ setting, state }) => [setting, state])

  it('compares what the config says and nothing else', () => {
    expect(names({})).toEqual([])
    expect(names({ maxMemoryBytes: 1048576, policy: 'allkeys-lru', samples: 10 })).toEqual([
      ['maxmemory-samples', 'drift'],
      ['maxmemory-policy', 'drift'],
      ['maxmemory', 'same'],
    ])
  })

  it('raises the limit first and lowers it last', () => {
    const order = (maxMemoryBytes: number, limit: string) =>
      compareSettings(
        { ...NOTHING, maxMemoryBytes, policy: 'volatile-lru' },
        settingsOfConfig([
          ['maxmemory', limit],
          ['maxmemory-policy', 'noeviction'],
        ]),
      ).map(({ setting }) => setting)
    expect(order(2000, '1000')).toEqual(['maxmemory', 'maxmemory-policy'])
    expect(order(0, '1000')).toEqual(['maxmemory', 'maxmemory-policy'])
    expect(order(500, '1000')).toEqual(['maxmemory-policy', 'maxmemory'])
    expect(order(500, '0')).toEqual(['maxmemory-policy', 'maxmemory'])
    expect([isHigher(0, 0), isHigher(5, 0), isHigher(0, 5), isHigher(5, null)]).toEqual([false, false, true, false])
  })

  it('background freeing is what the server knows of it; any snapshots are snapshots', () => {
    expect(names({ lazyfree: true })).toEqual([
      ['lazyfree-lazy-eviction', 'drift'],
      ['lazyfree-lazy-expire', 'same'],
    ])
    expect(names({ persistence: 'rdb' })).toEqual([
      ['save', 'same'],
      ['appendonly', 'same'],
    ])
    expect(names({ persistence: 'rdb+aof' })).toEqual([
      ['save', 'same'],
      ['appendonly', 'drift'],
    ])
    expect(names({ persistence: 'none' })).toEqual([
      ['save', 'drift'],
      ['appendonly', 'same'],
    ])
  })

  it('knows less by INFO, and says so', () => {
    const info = settingsOfInfo(
      new Map([
        ['maxmemory', '1048576'],
        ['maxmemory_policy', 'noeviction'],
        ['aof_enabled', '1'],
      ]),
    )
    expect(
      names({ maxMemoryBytes: 1048576, policy: 'noeviction', samples: 5, lazyfree: true, persistence: 'aof' }, info),
    ).toEqual([
      ...['eviction', 'expire', 'server-del', 'user-del', 'user-flush'].map((what) => [
        `lazyfree-lazy-${what}`,
        'unknown',
      ]),
      ['maxmemory-samples', 'unknown'],
      ['maxmemory-policy', 'same'],
      ['maxmemory', 'same'],
      ['save', 'unknown'],
      ['appendonly', 'same'],
    ])
    expect(names({ policy: 'noeviction' }, settingsOfInfo(new Map()))).toEqual([['maxmemory-policy', 'unknown']])
  })

  it('is shown for people, and written as the server and the config take it', () => {
    expect([
      shownSetting('maxmemory', 0),
      shownSetting('maxmemory', 1048576),
      shownSetting('save', ''),
      shownSetting('appendonly', null),
    ]).toEqual(['no limit', '1 MB', 'never', 'unknown'])
    expect([settingText(true), settingText(0), settingText('')]).toEqual(['yes', '0', ''])
    expect(serverSnippet(REDIS)).toBe("server: { maxmemory: '1mb', policy: 'noeviction', samples: 5 }")
    for (const bytes of [0, 1, 1023, 1024, 1536, 3 * 1024 ** 3, 123456789])
      expect(parseSize(exactSize(bytes))).toBe(bytes)
  })

  it('what a hostile server says is escaped', () => {
    const hostile = settingsOfConfig([
      ['maxmemory-policy', '\x1b[2J'],
      ['save', '\u202e'],
      ['maxmemory', 'x'],
    ])
    expect(shownSetting('maxmemory-policy', hostile.get('maxmemory-policy') ?? null)).toBe('\\x1B[2J')
    expect(shownSetting('save', hostile.get('save') ?? null)).toBe('\\u{202E}')
  })
})

describe('what a policy does to whom', () => {
  const cache: Resident = { name: 'shop', kind: 'cache', keys: 100, withoutTtl: 0, bytes: 100_000 }
  const control: Resident = { name: 'shop~*', kind: 'control', keys: 4, withoutTtl: 4, bytes: 400 }
  const queue: Resident = { name: 'BullMQ', kind: 'queue', keys: 10, withoutTtl: 10, bytes: 1000 }
  const sessions: Resident = { name: 'connect-redis', kind: 'session', keys: 5, withoutTtl: 0, bytes: 500 }
  const texts = (policy: string, residents: Resident[], more: object = {}) =>
    effectsOf({ policy, maxMemoryBytes: 1e6, usedBytes: 1000, residents, otherDatabases: [], ...more }).map(
      ({ severity, text }) => `${severity}: ${text}`,
    )

  it('allkeys-lru is right for a cache alone, and not beside others', () => {
    expect(texts('allkeys-lru', [cache, control])).toEqual([expect.stringMatching(/^ok: allkeys-lru is right here/)])
    const shared = texts('allkeys-lru', [cache, queue, sessions])
    expect(shared).toEqual([
      'warning: BullMQ (queue): any of its 10 keys may be evicted, with or without a TTL: jobs get lost',
      expect.stringMatching(/^warning: connect-redis \(sessions\): any of its 5 keys .* people are logged out$/),
      expect.stringMatching(/^ok: allkeys-lru is for a cache that has the server to itself.*volatile-lru/),
    ])
    expect(texts('allkeys-lru', [cache], { otherDatabases: [{ database: 3, keys: 1, withoutTtl: 1 }] })[0]).toMatch(
      /^warning: database 3: any of its 1 key may/,
    )
  })

  it('volatile-lru spares keys without TTL, and only those', () => {
    const shared = texts('volatile-lru', [{ ...cache, withoutTtl: 7 }, control, queue, sessions])
    expect(shared).toEqual([
      expect.stringMatching(/^warning: shop \(this cache\): 7 of 100 keys have no TTL and are never evicted/),
      expect.stringMatching(/^warning: connect-redis \(sessions\): 5 of 5 keys have a TTL and may be evicted/),
      'ok: BullMQ (queue): none of its 10 keys has a TTL, so none is evicted',
    ])
    expect(texts('volatile-ttl', [{ ...cache, withoutTtl: 100 }])[0]).toMatch(
      /no key has a TTL: volatile-ttl finds nothing/,
    )
  })

  it('noeviction makes writes fail; without a limit no policy does anything; over the limit it happens at once', () => {
    expect(texts('noeviction', [cache])).toEqual([expect.stringMatching(/every write that needs memory fails/)])
    expect(texts('volatile-lru', [cache], { maxMemoryBytes: 0 })[0]).toMatch(/no maxmemory: volatile-lru has no effect/)
    const over = { maxMemoryBytes: 500_000, usedBytes: 550_000 }
    expect(texts('allkeys-lru', [cache], over)[0]).toMatch(/so much is evicted at once, about 50 keys/)
    expect(texts('noeviction', [cache], over)[0]).toMatch(/writes fail at once/)
    expect([overLimit(0, 5), overLimit(3, 5), overLimit(5, 3), overLimit(null, 3)]).toEqual([0, 2, 0, null])
    expect(keysOf(1, [])).toBeNull()
  })

  it('less on disk is a danger for those who need it', () => {
    expect(diskEffects([cache])).toMatchObject([{ severity: 'ok' }])
    expect(diskEffects([cache, queue])).toMatchObject([
      { severity: 'warning', text: expect.stringMatching(/BullMQ.*restart.*jobs get lost/) },
    ])
  })
})

describe('managed services', () => {
  const changes = [
    { setting: 'maxmemory-policy', wanted: 'volatile-lru' },
    { setting: 'maxmemory', wanted: 1024 ** 3 },
  ] as const

  it.each([
    [
      'shop.abc123.0001.euw1.cache.amazonaws.com:6379',
      'Amazon ElastiCache',
      /modify-cache-parameter-group.*ParameterName=maxmemory-policy,ParameterValue=volatile-lru/,
    ],
    ['shop.serverless.euw1.cache.amazonaws.com:6379', 'Amazon ElastiCache Serverless', /modify-serverless-cache/],
    [
      'the Cluster of clustercfg.shop.abc.memorydb.eu-west-1.amazonaws.com:6379',
      'Amazon MemoryDB',
      /memorydb update-parameter-group/,
    ],
    ['shop.redis.cache.windows.net:6380', 'Azure', /az redis update .*maxmemory-policy=volatile-lru/],
    ['eu1-shop-123.upstash.io:6379', 'Upstash', /Eviction/],
    ['redis-123.c1.eu-west-1-3.ec2.cloud.redislabs.com:123', 'Redis Cloud', /Data eviction policy/],
  ])('%s is %s', (endpoint, name, instruction) => {
    const service = managedService([endpoint], '', changes)
    expect(service?.name).toBe(name)
    expect(service?.instructions.join('\n')).toMatch(instruction)
  })

  it('is told by the text of the refusal, too, and otherwise unknown', () => {
    expect(managedService(['10.0.0.3:6379'], 'ERR not supported by Memorystore', changes)?.instructions[0]).toMatch(
      /gcloud redis instances update/,
    )
    expect(
      managedService(['10.0.0.3:6379', 'cache.amazonaws.com.evil.example:1'], "ERR unknown command 'CONFIG'", changes),
    ).toBeNull()
  })
})
