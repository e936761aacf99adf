// The few lines of a kernel that L1 needs: reads on a tracked lane, kept as the interface says, or as a naive one would.
import { setTimeout as sleep } from 'node:timers/promises'
import { openBus } from '../../src/adapters/redis/bus.ts'
import { openStore } from '../../src/adapters/redis/store.ts'
import { createNear } from '../../src/cache/near.ts'
import { NearStore } from '../../src/cache/near-store.ts'
import type { Near, NearEntry } from '../../src/cache/tiers.ts'
import type { EntryHeader } from '../../src/core/entry.ts'
import { stampKey } from '../../src/core/key.ts'
import type { Bus, Lane, Store } from '../../src/ports.ts'
import { aConfig, aNamespace } from '../resolved.ts'

export interface ReaderOptions {
  heartbeatMs?: number
  /** `late expect`: what was invalidated while it was read is kept; `no clear`: copies outlive a lost connection */
  mutant?: 'late expect' | 'no clear'
  /** ms between the reply and `keep`, at most */
  pauseMs?: number
  l1?: { maxEntries: number; maxBytes: number } | null
}

export interface Seen {
  tier: 'l1' | 'l2'
  value: string | null
}

export interface NearReader {
  near: Near
  store: Store
  lane: Lane
  bus(): Bus | null
  errors: Error[]
  /** times that generations were to be read again */
  bumps(): number
  /** Reads `shop:v1:detail:{name}`, with the stamps of these names. */
  read(name: string, stamps?: readonly string[]): Promise<Seen>
  /** A new lane, as a kernel attaches it whose connection was lost. */
  reattach(): Promise<void>
  close(): Promise<void>
}

export const keyOf = (name: string) => `shop:v1:detail:thing:${name}`

export function aHeader(given: Partial<EntryHeader> = {}): EntryHeader {
  return {
    format: 1,
    codec: 'text',
    incarnation: 'abcdefgh-_ABCD12',
    createdAtMs: Date.now(),
    freshUntilMs: null,
    graceMs: 0,
    deltaMs: 0,
    writer: 'test',
    sourceVersion: null,
    tags: [],
    payloadBytes: 0,
    ...given,
  }
}

export function anEntry(value: unknown, given: Partial<EntryHeader> = {}): NearEntry {
  return { header: aHeader(given), value, sizeBytes: 100 }
}

export async function openReader(url: string, options: ReaderOptions = {}): Promise<NearReader> {
  const { heartbeatMs = 400, mutant, pauseMs = 0, l1 = { maxEntries: 1_000, maxBytes: 1e6 } } = options
  if (mutant === 'no clear') NearStore.prototype.clear = () => {}
  const target = { url, from: 'the test', tls: null }
  const timeouts = { connectTimeoutMs: 2_000, replyTimeoutMs: 2_000 }
  const store = openStore(target, timeouts)
  const [master] = await store.masters()
  const errors: Error[] = []
  let bus: Bus | null = null
  let bumps = 0
  const near = createNear({
    config: aConfig(url, [], { namespaces: { detail: aNamespace('detail', { l1 }) }, heartbeatMs }),
    clock: { now: Date.now },
    openBus: (wanted, listener) => {
      bus = openBus(target, { ...wanted, ...timeouts }, listener)
      return bus
    },
    report: (error) => errors.push(error),
  })
  near.onBumped(() => bumps++)
  const reader: NearReader = {
    near,
    store,
    lane: (await master?.lane()) as Lane,
    errors,
    bus: () => bus,
    bumps: () => bumps,
    async read(name, stamps = []) {
      const key = keyOf(name)
      const found = near.find('detail', key)
      if (found !== null) return { tier: 'l1', value: found.value as string }
      const stampKeys = stamps.map((stamp) => stampKey('shop', stamp))
      let expected = near.expect()
      const page = reader.lane.page()
      page.add('CLIENT', 'CACHING', 'YES')
      page.add('MGET', key, ...stampKeys)
      const [, values] = (await reader.lane.run(page)) as [unknown, readonly (Buffer | null)[]]
      if (pauseMs > 0) await sleep(Math.random() * pauseMs)
      if (mutant === 'late expect') expected = near.expect()
      const value = values[0] === null || values[0] === undefined ? null : String(values[0])
      const tags = stamps.map((tag, index) => ({ tag, stamp: String(values[index + 1]) }))
      if (value !== null) near.keep(expected, 'detail', key, anEntry(value, { tags }))
      return { tier: 'l2', value }
    },
    async reattach() {
      reader.lane = (await master?.lane()) as Lane
      await near.attach(reader.lane)
    },
    async close() {
      await near.close()
      await store.close()
    },
  }
  await near.attach(reader.lane)
  return reader
}
