// Which entries a budget lets go first: their order under each policy.
import { hashBytes } from './shape.ts'

export const EVICTION_POLICIES = ['lru', 'lfu', 'random', 'ttl'] as const
export type EvictionPolicy = (typeof EVICTION_POLICIES)[number]

/** What the server said of a key; null where it was not asked, or refuses. */
export interface KeyFacts {
  /** OBJECT IDLETIME: whole seconds */
  idleSeconds: number | null
  /** OBJECT FREQ: 0 to 255, logarithmic */
  frequency: number | null
  /** milliseconds; -1 without TTL */
  pttlMs: number | null
}

/** An order in which entries go: the lowest value first. */
export interface EvictionOrder {
  readonly policy: EvictionPolicy
  /** Null where the policy cannot be told from these facts. `atMs`: when they were measured. */
  value(facts: KeyFacts, key: Uint8Array, atMs: number): number | null
  /** How much a value may grow without the key having been used, or its TTL changed: clocks tick in between. */
  readonly slack: number
  /** What the policy goes by, out of a value: idle milliseconds, frequency, or remaining milliseconds; null: none, and for `random`. */
  measure(value: number, atMs: number): number | null
}

/** The LRU clock of Redis has 24 bits of seconds: no key can be idle for longer. */
const LONGEST_IDLE_S = 2 ** 24
/** Beyond this (69 years) a TTL is as good as none. */
const NO_TTL_MS = 2 ** 41 - 1
const LIFE_RANKS = 2 ** 12
const HASH_RANKS = 2 ** 16

/**
 * Values are whole numbers under 2^53, of what the policy goes by, then of what breaks ties: shorter life first, then a hash of the name.
 * They speak of instants (last use, expiry) and not of time that has passed, so a key has the same value whenever it is measured,
 * until it is used or its TTL is changed: then it has a higher one.
 */
export function createOrder(policy: EvictionPolicy, run: { startedAtMs: number; seed: number }): EvictionOrder {
  const { startedAtMs, seed } = run
  const startedS = Math.floor(startedAtMs / 1000)
  const lifeOf = ({ pttlMs }: KeyFacts, atMs: number) =>
    pttlMs === null || pttlMs < 0 ? NO_TTL_MS : Math.min(NO_TTL_MS - 1, Math.max(0, pttlMs + atMs - startedAtMs))
  const tail = (facts: KeyFacts, key: Uint8Array, atMs: number) =>
    lifeRank(lifeOf(facts, atMs)) * HASH_RANKS + (nameHash(key, 0) >>> 16)
  const ranks = LIFE_RANKS * HASH_RANKS

  switch (policy) {
    case 'lru':
      return {
        policy,
        value(facts, key, atMs) {
          if (facts.idleSeconds === null) return null
          const usedS = Math.floor(atMs / 1000) - startedS - Math.min(facts.idleSeconds, LONGEST_IDLE_S)
          return (usedS + LONGEST_IDLE_S) * ranks + tail(facts, key, atMs)
        },
        // our second and the server's do not begin at the same moment, and its clock may be a tick late
        slack: 2 * ranks,
        measure: (value, atMs) =>
          Math.max(0, Math.floor(atMs / 1000) - startedS - Math.floor(value / ranks) + LONGEST_IDLE_S) * 1000,
      }
    case 'lfu':
      return {
        policy,
        value: (facts, key, atMs) =>
          facts.frequency === null ? null : facts.frequency * ranks + tail(facts, key, atMs),
        slack: 2 * HASH_RANKS,
        measure: (value) => Math.floor(value / ranks),
      }
    case 'ttl':
      return {
        policy,
        value: (facts, key, atMs) =>
          facts.pttlMs === null ? null : lifeOf(facts, atMs) * LIFE_RANKS + (nameHash(key, 0) >>> 20),
        slack: 1000 * LIFE_RANKS,
        measure(value, atMs) {
          const lifeMs = Math.floor(value / LIFE_RANKS)
          return lifeMs >= NO_TTL_MS ? null : Math.max(0, lifeMs + startedAtMs - atMs)
        },
      }
    case 'random':
      return { policy, value: (_facts, key) => nameHash(key, seed), slack: 0, measure: () => null }
  }
}

/** 0 to 4095 on a logarithmic scale, about 1 % a step. */
function lifeRank(lifeMs: number): number {
  return lifeMs >= NO_TTL_MS ? LIFE_RANKS - 1 : Math.min(LIFE_RANKS - 2, Math.floor(Math.log2(1 + lifeMs) * 99))
}

/** 32 bits, evenly spread: the finaliser of MurmurHash3 over the FNV hash of the name. */
function nameHash(key: Uint8Array, seed: number): number {
  let h = hashBytes(key, 0, key.length) ^ seed
  h = Math.imul(h ^ (h >>> 16), 0x85ebca6b)
  h = Math.imul(h ^ (h >>> 13), 0xc2b2ae35)
  return (h ^ (h >>> 16)) >>> 0
}
