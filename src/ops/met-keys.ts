// Keys that a sweep has met, so that each counts once: SCAN may name a key twice, and a second walk names those again that are still there.
import { hashBytes } from '../core/shape.ts'

export interface MetKeys {
  /** False: met before in this walk, or settled in an earlier one. */
  meet(key: Buffer): boolean
  /** It is counted for good: later walks do not count it again. */
  settle(key: Buffer): void
  /** What was met and not settled is new again. */
  nextWalk(): void
}

/** Keys that SCAN may name twice before they are deleted: those of the pages under way. */
const KEYS_REMEMBERED = 8_192

/** For keys that are gone when they are done: only those that are being deleted may be named once more. */
export function recentKeys(): MetKeys {
  let recent = new Set<string>()
  let before = new Set<string>()
  return {
    meet(key) {
      const text = key.toString('latin1')
      if (recent.has(text) || before.has(text)) return false
      if (recent.size >= KEYS_REMEMBERED) {
        before = recent
        recent = new Set()
      }
      recent.add(text)
      return true
    },
    settle() {},
    nextWalk() {
      recent.clear()
      before.clear()
    },
  }
}

const SHARDS = 64
const FIRST_SLOTS = 1 << 6
/** Fuller, and looking for a slot takes long. */
const MOST_FULL = 0.7
/** Seeds of two hashes of 32 bits: what makes two keys one by the first is not what does so by the second. */
const SEEDS = [0x811c9dc5, 0x2f0b4c47] as const
const EMPTY = 0
const SETTLED = 255

/**
 * For keys that stay: all of them, by 64 bits of hash each, in open-addressed tables of 9 bytes a slot, 19 MB for a million keys. Two keys of one
 * hash (one chance in 40 million among a million) would count as one, so what was met before is not to be passed over. They are many tables so that none
 * takes long to grow, and what grows is not there twice.
 */
export function allKeys(): MetKeys {
  const shards = Array.from({ length: SHARDS }, createShard)
  let walk = 1
  const write = (key: Buffer, next: number): number => {
    const [first, second] = [mixed(key, SEEDS[0]), mixed(key, SEEDS[1])]
    return (shards[second % SHARDS] as Shard).write(first, second, next)
  }
  return {
    meet(key) {
      const before = write(key, walk)
      return before !== walk && before !== SETTLED
    },
    settle: (key) => void write(key, SETTLED),
    nextWalk() {
      walk++
    },
  }
}

interface Shard {
  /** Gives what stood there before, which stays where it is SETTLED. */
  write(first: number, second: number, next: number): number
}

function createShard(): Shard {
  let size = 0
  let table = emptyTable(FIRST_SLOTS)
  const grow = (): void => {
    const before = table
    table = emptyTable(before.state.length * 2)
    for (let slot = 0; slot < before.state.length; slot++) {
      const state = before.state[slot] as number
      if (state === EMPTY) continue
      const [first, second] = [before.low[slot] as number, before.high[slot] as number]
      put(table, slotOf(table, first, second), first, second, state)
    }
  }
  return {
    write(first, second, next) {
      const slot = slotOf(table, first, second)
      const before = table.state[slot] as number
      if (before === SETTLED) return before
      put(table, slot, first, second, next)
      if (before === EMPTY && ++size > table.state.length * MOST_FULL) grow()
      return before
    },
  }
}

interface Table {
  low: Uint32Array
  high: Uint32Array
  /** EMPTY, SETTLED, or the last walk that met the key */
  state: Uint8Array
}

function emptyTable(slots: number): Table {
  return { low: new Uint32Array(slots), high: new Uint32Array(slots), state: new Uint8Array(slots) }
}

function slotOf({ low, high, state }: Table, first: number, second: number): number {
  const mask = state.length - 1
  let slot = first & mask
  while (state[slot] !== EMPTY && (low[slot] !== first || high[slot] !== second)) slot = (slot + 1) & mask
  return slot
}

function put(into: Table, slot: number, first: number, second: number, state: number): void {
  into.low[slot] = first
  into.high[slot] = second
  into.state[slot] = state
}

/** Keys that differ in their last bytes only must differ in all bits: the finalizer of MurmurHash3. */
function mixed(key: Buffer, seed: number): number {
  let hash = hashBytes(key, 0, key.length, seed)
  hash = Math.imul(hash ^ (hash >>> 16), 0x85ebca6b)
  hash = Math.imul(hash ^ (hash >>> 13), 0xc2b2ae35)
  return (hash ^ (hash >>> 16)) >>> 0
}
