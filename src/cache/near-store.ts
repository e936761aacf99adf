// Entries in the memory of this process, by namespace, bounded by number and bytes; which of them hold which stamp; and what was invalidated lately, so
// that a read which was under way then is not kept.
import { LRUCache } from 'lru-cache'
import type { ResolvedNamespace } from '../config/resolved.ts'
import type { Keys } from '../core/key.ts'
import { assertPattern, compileGlob } from '../core/pattern.ts'
import { copyValue, freezeValue } from '../core/shared-value.ts'
import type { NearEntry } from './tiers.ts'

/** So many invalidations, and up to as many before them, are remembered; reads that are older than all of these are not kept. */
const REMEMBERED = 5_000

interface Kept {
  entry: NearEntry
  /** performance.now() */
  untilMs: number
}

export class NearStore {
  readonly #keys: Keys
  readonly #spaces = new Map<string, LRUCache<string, Kept>>()
  /** keys of the entries that hold a stamp, by its name */
  readonly #holders = new Map<string, Set<string>>()
  /** when each key, and each stamp as `~name`, was invalidated last: since `#turned`, and before */
  #dropped = new Map<string, number>()
  #droppedBefore = new Map<string, number>()
  #turned = 0
  /** counts invalidations: the time of this file */
  #mark = 0
  /** reads that began before it may have missed an invalidation */
  #floor = 0

  constructor(namespaces: Readonly<Record<string, ResolvedNamespace>>, keys: Keys) {
    this.#keys = keys
    for (const { name, l1 } of Object.values(namespaces)) {
      if (l1 !== null) this.#spaces.set(name, this.#space(l1))
    }
  }

  get size(): number {
    let size = 0
    for (const space of this.#spaces.values()) size += space.size
    return size
  }

  /** The moment, for `keep`. */
  mark(): number {
    return this.#mark
  }

  find(namespace: string, key: string, nowMs: number): NearEntry | null {
    const space = this.#spaces.get(namespace)
    const kept = space?.get(key)
    if (kept === undefined) return null
    if (nowMs < kept.untilMs) return kept.entry
    space?.delete(key)
    return null
  }

  /** Keeps what was read since `mark`, unless it, or a stamp that it holds, was invalidated since. Freezes the value, or keeps a copy of it. */
  keep(mark: number, namespace: string, key: string, { header, value, sizeBytes }: NearEntry, untilMs: number): void {
    const space = this.#spaces.get(namespace)
    if (space === undefined || this.#droppedSince(mark, key)) return
    if (header.tags.some(({ tag }) => this.#droppedSince(mark, `~${tag}`))) return
    const mutable = !freezeValue(value)
    space.set(key, { entry: { header, value: mutable ? copyValue(value) : value, sizeBytes, mutable }, untilMs })
    if (!space.has(key)) return
    for (const { tag } of header.tags) {
      const holders = this.#holders.get(tag)
      if (holders) holders.add(key)
      else this.#holders.set(tag, new Set([key]))
    }
  }

  dropKey(key: string): void {
    this.#remember(key)
    for (const space of this.#spaces.values()) space.delete(key)
  }

  dropStamp(name: string): void {
    this.#remember(`~${name}`)
    for (const key of [...(this.#holders.get(name) ?? [])]) for (const space of this.#spaces.values()) space.delete(key)
  }

  /** Drops what matches this glob, as its key is without tokens; of what is being read nothing is kept. */
  dropPattern(pattern: string): void {
    const matches = matcherOf(pattern)
    if (matches === null) {
      this.clear()
      return
    }
    this.#refuseAll()
    for (const space of this.#spaces.values()) {
      for (const key of [...space.keys()]) {
        const parsed = this.#keys.parse(key)
        if (parsed === null || matches(this.#keys.plain(parsed))) space.delete(key)
      }
    }
  }

  clear(): void {
    this.#refuseAll()
    for (const space of this.#spaces.values()) space.clear()
  }

  #space({ maxEntries, maxBytes }: { maxEntries: number; maxBytes: number }): LRUCache<string, Kept> {
    return new LRUCache<string, Kept>({
      max: maxEntries,
      maxSize: maxBytes,
      sizeCalculation: ({ entry }) => Math.max(1, entry.sizeBytes),
      dispose: ({ entry }, key) => this.#forget(entry, key),
    })
  }

  #forget({ header }: NearEntry, key: string): void {
    for (const { tag } of header.tags) {
      const holders = this.#holders.get(tag)
      holders?.delete(key)
      if (holders?.size === 0) this.#holders.delete(tag)
    }
  }

  #droppedSince(mark: number, name: string): boolean {
    if (mark < this.#floor) return true
    return (this.#dropped.get(name) ?? this.#droppedBefore.get(name) ?? 0) > mark
  }

  #remember(name: string): void {
    this.#dropped.set(name, ++this.#mark)
    if (this.#dropped.size < REMEMBERED) return
    this.#floor = Math.max(this.#floor, this.#turned)
    this.#turned = this.#mark
    this.#droppedBefore = this.#dropped
    this.#dropped = new Map()
  }

  #refuseAll(): void {
    this.#floor = ++this.#mark
    this.#turned = this.#mark
    this.#dropped = new Map()
    this.#droppedBefore = new Map()
  }
}

/** Null: a pattern that nobody would announce. */
function matcherOf(pattern: string): ReturnType<typeof compileGlob> | null {
  try {
    assertPattern(pattern)
    return compileGlob(pattern)
  } catch {
    return null
  }
}
