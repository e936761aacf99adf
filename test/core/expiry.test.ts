import { describe, expect, it } from 'vitest'
import {
  configuredLife,
  drawTtl,
  expireCommand,
  keyedRandom,
  knowsExpiryFlags,
  type LifeConfig,
  ttlRange,
} from '../../src/core/expiry.ts'
import { aConfig, aModel, aNamespace } from '../resolved.ts'
import { randomFromSeed, seed } from '../seed.ts'

const HOUR = 3_600_000

describe(`drawn TTLs (seed ${seed})`, () => {
  const random = randomFromSeed(seed)
  const draw = (expiry: Parameters<typeof drawTtl>[0]) => Array.from({ length: 2_000 }, () => drawTtl(expiry, random))

  it('jitter only shortens, and by no more than it says', () => {
    const drawn = draw({ ttlMs: HOUR, jitter: 0.1, overMs: 0 })
    expect(Math.max(...drawn)).toBeLessThanOrEqual(HOUR)
    expect(Math.min(...drawn)).toBeGreaterThanOrEqual(HOUR * 0.9)
    expect(new Set(drawn).size).toBeGreaterThan(1_000)
    expect(new Set(draw({ ttlMs: HOUR, jitter: 0, overMs: 0 }))).toEqual(new Set([HOUR]))
  })

  it('spreads evenly over the time: no tenth of it gets twice its part', () => {
    const drawn = draw({ ttlMs: 0, jitter: 0, overMs: HOUR })
    const tenths = Array.from({ length: 10 }, (_, i) => drawn.filter((ms) => Math.floor((ms / HOUR) * 10) === i).length)
    expect(Math.max(...tenths)).toBeLessThan(300)
    expect(Math.min(...tenths)).toBeGreaterThan(120)
    expect(Math.min(...drawn)).toBeGreaterThanOrEqual(1)
    expect(Math.min(...draw({ ttlMs: HOUR, jitter: 0, overMs: HOUR }))).toBeGreaterThanOrEqual(HOUR)
  })

  it('draws evenly by key, the same for a key each time, and others with another seed', () => {
    const keys = Array.from({ length: 10_000 }, (_, i) => Buffer.from(`shop:v1:list:product:all:page_${i}:size_20`))
    const of = keyedRandom(seed)
    const drawn = keys.map(of)
    const tenths = Array.from({ length: 10 }, (_, i) => drawn.filter((value) => Math.floor(value * 10) === i).length)
    expect(Math.min(...tenths)).toBeGreaterThan(850)
    expect(Math.max(...tenths)).toBeLessThan(1_150)
    expect(keys.map(of)).toEqual(drawn)
    const others = keys.map(keyedRandom(seed + 1))
    expect(others.filter((value, i) => Math.abs(value - (drawn[i] as number)) < 0.01).length).toBeLessThan(500)
  })

  it('never draws outside of the range that is told', () => {
    for (let trial = 0; trial < 500; trial++) {
      const expiry = {
        ttlMs: Math.ceil(random() * 5_000),
        jitter: random() / 2,
        overMs: random() < 0.5 ? 0 : Math.ceil(random() * 5_000),
      }
      if (expiry.overMs > 0) expiry.jitter = 0
      const { fromMs, toMs } = ttlRange(expiry)
      const drawn = [drawTtl(expiry, random), drawTtl(expiry, () => 0), drawTtl(expiry, () => 1 - 2 ** -53)]
      for (const ms of drawn) {
        expect(ms).toBeGreaterThanOrEqual(fromMs)
        expect(ms).toBeLessThanOrEqual(toMs)
        expect(Number.isSafeInteger(ms)).toBe(true)
      }
    }
  })
})

describe('what the config says', () => {
  const source = { kind: 'test', reads: 'page', strategies: [], async *select() {} } as never
  const config: LifeConfig = aConfig(
    'redis://x',
    [
      aModel('plain', source),
      aModel('own', source, { ttl: 5_000, graceMs: 7, jitter: 0.3 }),
      aModel('never', source, { ttl: null }),
      aModel('rows', source, { ttl: () => 1 }),
    ],
    {
      namespaces: {
        detail: aNamespace('detail', { jitter: 0.1 }),
        list: aNamespace('list', { ttlMs: null }),
        old: aNamespace('old', { format: 'raw', keyPattern: 'old:*' }),
      },
    },
  )
  it.each([
    ['detail', 'plain', { kind: 'time', ttlMs: 600_000, graceMs: 60_000, jitter: 0 }],
    ['detail', '@fn.a', { kind: 'time', ttlMs: 600_000, graceMs: 60_000, jitter: 0.1 }],
    ['detail', 'own', { kind: 'time', ttlMs: 5_000, graceMs: 7, jitter: 0.3 }],
    ['detail', 'never', { kind: 'never' }],
    ['detail', 'rows', { kind: 'row' }],
    ['list', 'own', { kind: 'never' }],
    ['old', null, { kind: 'time', ttlMs: 600_000, graceMs: 0, jitter: 0 }],
    ['nowhere', 'own', { kind: 'undeclared' }],
    ['__proto__', 'own', { kind: 'undeclared' }],
  ])('%s:%s', (namespace, subject, life) => expect(configuredLife(config, namespace, subject)).toEqual(life))
})

it('takes PEXPIRE alone where the server knows its flags, and a script for what needs one', () => {
  const of = (mode: 'set' | 'shorten' | 'missing', flags: boolean) =>
    expireCommand(Buffer.from('k'), { ttlMs: 9, mode, nowMs: 1, flags }).map(String).join(' ')
  expect(of('missing', true)).toBe('PEXPIRE k 9 NX')
  expect(of('shorten', true)).toBe('PEXPIRE k 9 LT')
  expect(of('set', true)).toMatch(/^EVAL /)
  expect(of('missing', false)).toMatch(/^EVAL .* 1 k 9 missing 1$/s)
  expect(['Redis 7.0.15', 'Valkey 8.0.1', 'Redis 10.1.0', 'Redis 6.2.14', null, 'x'].map(knowsExpiryFlags)).toEqual([
    true,
    true,
    true,
    false,
    false,
    false,
  ])
})
