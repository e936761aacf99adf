// The script that gives a key its TTL: against a model of what it is to do, and beside writers that replace entries meanwhile.
import { afterAll, beforeAll, describe, expect, it } from 'vitest'
import { decodeHeader, encodeEntry, lifetimeFields } from '../../src/core/entry.ts'
import { type ExpiryMode, expireCommand, expiryOutcome } from '../../src/core/expiry.ts'
import type { Lane, Store } from '../../src/ports.ts'
import { randomFromSeed, seed } from '../seed.ts'
import { startRedis, type TestRedis } from '../servers.ts'
import { openTestStore } from './fixture.ts'

let server: TestRedis
let store: Store
beforeAll(async () => {
  server = await startRedis()
  store = openTestStore(server)
})
afterAll(async () => {
  await store.close()
  await server.stop()
})

const HOUR = 3_600_000

function entry(freshUntilMs: number | null, graceMs: number, value: unknown = { n: 1 }): string | Buffer {
  return encodeEntry(value, {
    incarnation: 'abcdefghijklmnop',
    createdAtMs: 1_700_000_000_000,
    freshUntilMs,
    graceMs,
    deltaMs: 3,
    writer: 'test',
    sourceVersion: '7',
    tags: [{ tag: 'tag:a', stamp: 's' }],
    compressAboveBytes: null,
  })
}

async function lifeOf(key: string): Promise<{ fresh: number | null; grace: number; value: string } | null> {
  if (String(await server.call('TYPE', key)) !== 'string') return null
  const bytes = Buffer.from(String(await server.call('GET', key)))
  const decoded = decodeHeader(bytes)
  if (!decoded.ok) return null
  return { fresh: decoded.header.freshUntilMs, grace: decoded.header.graceMs, value: bytes.toString().slice(76) }
}

interface Case {
  kind: 'fresh' | 'stale' | 'over' | 'never' | 'text' | 'hash' | 'broken'
  graceMs: number
  freshUntilMs: number | null
  hadMs: number | null
  mode: ExpiryMode
  ttlMs: number
}

async function make(key: string, { kind, freshUntilMs, graceMs, hadMs }: Case): Promise<void> {
  if (kind === 'hash') await server.call('HSET', key, 'f', 'v')
  else if (kind === 'text') await server.call('SET', key, 'x'.repeat(100))
  else if (kind === 'broken') await server.call('SET', key, `cctl1${'?'.repeat(80)}`)
  else await server.call('SET', key, entry(freshUntilMs, graceMs))
  if (hadMs !== null) await server.call('PEXPIRE', key, hadMs)
}

/** What is to become of it: its TTL from now on, and the times in its header. */
function model({ kind, freshUntilMs, graceMs, hadMs, mode, ttlMs }: Case, nowMs: number) {
  const asItWas = { outcome: 'as it was', ttlMs: hadMs, fresh: freshUntilMs, grace: graceMs }
  if (hadMs !== null && (mode === 'missing' || (mode === 'shorten' && hadMs <= ttlMs))) return asItWas
  const changed = { outcome: 'changed', ttlMs, fresh: freshUntilMs, grace: graceMs }
  const isEntry = kind === 'fresh' || kind === 'stale' || kind === 'over'
  if (mode !== 'set' || !isEntry || freshUntilMs === null || freshUntilMs + graceMs >= nowMs + ttlMs) return changed
  if (kind === 'fresh') return { ...changed, outcome: 'fresh for longer', fresh: nowMs + ttlMs - graceMs }
  if (nowMs < freshUntilMs + graceMs)
    return { ...changed, outcome: 'stale for longer', grace: nowMs + ttlMs - freshUntilMs }
  return hadMs !== null && hadMs <= ttlMs ? asItWas : changed
}

describe(`what a key is given (seed ${seed})`, () => {
  const random = randomFromSeed(seed)
  const pick = <T>(...choices: T[]): T => choices[Math.floor(random() * choices.length)] as T
  const nowMs = Date.now()

  it('300 keys of every kind, in every mode, with and without the flags of PEXPIRE', async () => {
    for (let trial = 0; trial < 300; trial++) {
      const key = `k${trial}`
      const kind = pick<Case['kind']>('fresh', 'stale', 'over', 'never', 'text', 'hash', 'broken')
      const graceMs = pick(0, 60_000, 20 * HOUR)
      const until = { fresh: nowMs + pick(1_000, HOUR, 30 * HOUR), stale: nowMs - 1, over: nowMs - graceMs - 60_000 }
      const freshUntilMs = kind in until ? until[kind as keyof typeof until] : null
      const hadMs = pick(null, 10_000, 5 * HOUR)
      const mode = pick<ExpiryMode>('set', 'shorten', 'missing')
      const given: Case = { kind, graceMs, freshUntilMs, hadMs, mode, ttlMs: pick(5_000, HOUR, 10 * HOUR) }
      await make(key, given)
      const before = await lifeOf(key)
      const { ttlMs } = given
      const command = expireCommand(Buffer.from(key), { ttlMs, mode, nowMs, flags: pick(true, false) })
      const outcome = expiryOutcome(await store.call(...command))
      const wanted = model(given, nowMs)
      const said = `trial ${trial}: ${JSON.stringify(given)}`
      expect(outcome, said).toBe(wanted.outcome)
      expect(Math.abs(Number(await server.call('PTTL', key)) - (wanted.ttlMs ?? -1)), said).toBeLessThan(2_000)
      const expected = before === null ? null : { fresh: wanted.fresh, grace: wanted.grace, value: before.value }
      expect(await lifeOf(key), said).toEqual(expected)
    }
  })

  it('a key that is not there stays away', async () => {
    for (const mode of ['set', 'shorten', 'missing'] as const)
      for (const flags of [true, false])
        expect(
          expiryOutcome(await store.call(...expireCommand(Buffer.from('none'), { ttlMs: 9, mode, nowMs, flags }))),
        ).toBe('as it was')
    expect(await server.call('EXISTS', 'none')).toBe(0)
  })
})

describe('beside writers that replace entries', () => {
  type Expire = (key: string, nowMs: number) => Promise<unknown>
  const TTL = 10 * HOUR

  /** How many of the entries that were written last say another time than their writer or the expiry gave them. */
  const mixedUp = async (expire: Expire, lane: Lane): Promise<number> => {
    let mixed = 0
    for (let round = 0; round < 150; round++) {
      const nowMs = Date.now()
      const [first, second] = [nowMs + HOUR, nowMs + 20 * HOUR]
      await server.call('SET', 'raced', entry(first, 0, 'old'))
      const page = lane.page()
      page.add('SET', 'raced', entry(second, 0, 'new'))
      await Promise.all([expire('raced', nowMs), lane.run(page)])
      // The new entry is good for longer than its TTL is to be: nothing has to be changed in it.
      const life = await lifeOf('raced')
      if (life?.fresh !== second) mixed++
    }
    return mixed
  }
  const atOnce: Expire = (key, nowMs) =>
    store.call(...expireCommand(Buffer.from(key), { ttlMs: TTL, mode: 'set', nowMs, flags: true }))
  /** The naive way: the header is read, and then written. */
  const inTwoSteps: Expire = async (key, nowMs) => {
    const decoded = decodeHeader(Buffer.from(String(await store.call('GET', key))))
    if (!decoded.ok || (decoded.header.freshUntilMs ?? 0) >= nowMs + TTL) return
    await store.call('SETRANGE', key, 48, lifetimeFields(0, nowMs + TTL).freshUntil)
    await store.call('PEXPIRE', key, TTL)
  }

  it('no entry is given the times of another one; read and written in two steps, some are', async () => {
    const [master] = await store.masters()
    const lane = (await master?.lane()) as Lane
    try {
      expect(await mixedUp(atOnce, lane)).toBe(0)
      expect(await mixedUp(inTwoSteps, lane)).toBeGreaterThan(0)
    } finally {
      lane.close()
    }
  })
})
