// What the surfaces of the library (direct calls, functions, models, HTTP, fragments) are built on. Types only; create-kernel.ts has the code.
import type { ResolvedConfig } from '../config/resolved.ts'
import type { Scope } from '../core/key.ts'
import type { Clock, Random, Reply } from '../ports.ts'
import type { Counters } from './counters.ts'

/** Where an entry is; the kernel adds the generation tokens. */
export interface Place {
  namespace: string
  subject: string
  /** `1` or `1.2` */
  version: string
  tenant: string | null
  rest: readonly string[]
}

/** What holds for an entry, resolved: of the call over model over namespace over defaults. Made by `policy.ts`. */
export interface Policy {
  /** null: never stale, no TTL */
  ttlMs: number | null
  graceMs: number
  jitter: number
  compressAboveBytes: number | null
  /** null: null and undefined are not cached */
  negativeTtlMs: number | null
  beta: number
  softTimeoutMs: number | null
  hardTimeoutMs: number | null
  /** names of stamps (`stampName`): the entry is good while each of them is what it was before the load */
  stamps: readonly string[]
  /** L1 hits give the value itself, deep-frozen; true: a copy of one's own */
  clone: boolean
  /** Looks at a value that came back; false is a miss. (Standard Schema) */
  check: ((value: unknown) => { value: unknown } | null | Promise<{ value: unknown } | null>) | null
  /** Looks at an entry that is fresh or stale; false: it is outdated, and loaded anew. (timestamp validation) */
  accept: ((entry: { createdAtMs: number; sourceVersion: string | null }) => boolean | Promise<boolean>) | null
}

/** What a loader may say of its value, beside giving it. */
export interface LoadControl {
  /** aborted at the hard timeout, and when the cache is closed */
  readonly signal: AbortSignal
  /** what is there, past its freshness, if anything */
  readonly stale: { value: unknown; sourceVersion: string | null } | null
  ttlMs(ttlMs: number | null): void
  graceMs(graceMs: number): void
  /** More stamps. Safe against invalidations since the load began. */
  stamps(names: readonly string[]): void
  /** The value is given, not cached. */
  skip(): void
  sourceVersion(version: string | null): void
}

export type Load = (control: LoadControl) => unknown
/** One call for all that is missing: gives a value for each index, in this order; undefined for what does not exist. */
export type LoadMany = (missing: readonly number[], control: (index: number) => LoadControl) => unknown

export interface Found {
  /** `miss`: nothing was there; of `load` the value is what was loaded */
  hit: 'fresh' | 'stale' | 'miss'
  value: unknown
  /** null: nothing was found */
  tier: 'l1' | 'l2' | 'source' | null
  key: string
  createdAtMs: number | null
  freshUntilMs: number | null
  sourceVersion: string | null
}

export interface Write {
  place: Place
  policy: Policy
  value: unknown
  sourceVersion?: string | null
}

/** What an invalidation makes unreachable. Several changes are made as one. */
export interface Change {
  /** these, in every version of the code that live processes have registered: versions of the same project or model */
  entries?: readonly Place[]
  /** names of stamps, which are deleted */
  stamps?: readonly string[]
  /** subjects whose fences advance, so that pages of bulk writes under way are refused */
  fences?: readonly string[]
  /** generations that are bumped */
  scopes?: readonly Scope[]
  /** a glob on plain keys, which are scanned for; keys of this tenant only, if one is given */
  pattern?: { glob: string; tenant: string | null }
  /** random text of the operation: scopes that it has bumped are not bumped again under it */
  op?: string
  /** who bumps; `host:pid` of this process where it is not said */
  by?: string
}

export interface Invalidated {
  /**
   * `queued`: Redis is away; it is applied before anything of it is trusted again. `off`: this cache is switched off, and nothing was invalidated: what others
   * have cached is there
   */
  status: 'applied' | 'queued' | 'off'
  /** processes with copies in their memory: how many told that they dropped them, of how many; `lapsed`: those of the others are past their time */
  acknowledged: { processes: number; of: number; lapsed: boolean }
  /** entries that were deleted by name; null where none is named, or it is not known */
  deleted: number | null
}

/** One cache of a process. All calls keep the operation's deadline towards Redis, and none rejects because Redis is away (unless `strict`). */
export interface Kernel {
  readonly config: ResolvedConfig
  readonly clock: Clock
  readonly random: Random
  readonly counters: Counters
  /** of this process, in the entries that it writes */
  readonly writer: string
  /** false: values that cannot be cached throw */
  readonly production: boolean
  /** A hit in the memory of this process, at once; null: there is none, or the policy wants a closer look, or somebody watches. To be asked before the others. */
  near(place: Place, policy: Policy): Found | null
  /** One answer a place, in their order; all in one round trip. `check` and `accept` of the policy count; nothing is loaded. */
  read(places: readonly Place[], policy: Policy): Promise<Found[]>
  /** `read` of one place, at less cost. */
  readOne(place: Place, policy: Policy): Promise<Found>
  /** Reads, or loads once over all processes and writes. Rejects with what the loader throws, where there is nothing stale to give instead. */
  load(place: Place, policy: Policy, load: Load): Promise<Found>
  loadMany(places: readonly Place[], policy: Policy, load: LoadMany): Promise<Found[]>
  /** Loads whatever is there, and writes it. */
  refresh(place: Place, policy: Policy, load: Load): Promise<Found>
  /** Resolves with whether they were written: false where Redis is away, or the value cannot be cached. */
  write(writes: readonly Write[]): Promise<boolean>
  /** A new TTL for what is there, as it is; false: it is not there. */
  touch(place: Place, policy: Policy): Promise<boolean>
  invalidate(change: Change): Promise<Invalidated>
  /** The key under which the entry is now. */
  key(place: Place): Promise<string>
  /** One command, within the deadline. @throws CachectlError where Redis is away */
  command(...args: readonly (string | number | Buffer)[]): Promise<Reply>
  /** Several, answered in their order; error replies are values. @throws CachectlError where Redis is away */
  commands(commands: readonly (readonly (string | number | Buffer)[])[]): Promise<readonly Reply[]>
  /** Keys that match this glob, on all servers, a page at a time; where slots move meanwhile, some may be missed. @throws CachectlError where Redis is away */
  scan(match: string): AsyncGenerator<readonly Buffer[], void>
  /** Of what is not the caller's fault and changes nothing for them: goes to `onError`. */
  report(error: unknown): void
  /** Waits for what is under way, flushes counters, closes connections. */
  close(): Promise<void>
}
