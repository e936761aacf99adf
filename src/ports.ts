// What the parts are to each other. Types only: no file below src/cache or src/ops knows more of Redis or of a database than this.
import type { CachectlError } from './core/errors.ts'
import type { Generations } from './core/key.ts'

/** Milliseconds since the epoch, by the clock of this machine. Never used to order events of two machines. */
export interface Clock {
  now(): number
}

/** A number in [0, 1). Passed in, so that a run can be repeated from its seed. */
export type Random = () => number

// ---- Redis -----------------------------------------------------------------------------------------------------------

/** Which server a report speaks of. Without secrets. */
export interface RedisIdentity {
  /** `127.0.0.1:6379`, `unix:/run/redis.sock`; never with user or password */
  endpoint: string
  database: number
  role: 'primary' | 'replica' | 'unknown'
  mode: 'standalone' | 'sentinel' | 'cluster' | 'embedded'
  /** `Redis 7.0.15`, `Valkey 8.0.1`, or null where INFO is refused */
  version: string | null
  runId: string | null
  /** changes when a replica is promoted: the history is another one then */
  replicationId: string | null
  /** where the URL came from: `cache.config.ts`, `--redis`, `REDIS_URL` */
  from: string
}

/** INFO, with what cachectl reads of it by name, the rest as text. Null where the server does not say. */
export interface ServerInfo {
  fields: ReadonlyMap<string, string>
  usedMemoryBytes: number | null
  /** null where unknown, 0 where there is no limit */
  maxMemoryBytes: number | null
  policy: string | null
  /** DBSIZE of the selected database, summed over masters */
  keys: number | null
  hits: number | null
  misses: number | null
  evictedKeys: number | null
  expiredKeys: number | null
  fragmentationRatio: number | null
  connectedClients: number | null
  uptimeSeconds: number | null
}

/** An error reply of the server, as a value: one failed command must not fail its page. `code` is its first word (`OOM`, `NOPERM`, `WRONGTYPE`). */
export interface ErrorReply {
  readonly error: string
  readonly code: string
}

/** Integers, bulk strings (Buffer), statuses (string), nil, arrays, error replies. */
export type Reply = number | string | Buffer | null | ErrorReply | readonly Reply[]

export type CommandArgument = string | number | Buffer

/** Commands that go to one server in one write; `run` answers in their order. */
export interface Page {
  /** Number of commands in the page. */
  readonly length: number
  /** Bytes of the page on the wire, as far as they are known. */
  readonly sizeBytes: number
  /** true: its commands go to several servers, and are not executed in their order; what must come first goes in a page of its own, and is waited for */
  readonly scattered?: boolean
  add(...args: readonly CommandArgument[]): void
  /** `SET key value [PX ttlMs] [NX]`: what bulk jobs send most, at twice the speed of `add`. */
  addSet(key: string, value: string | Buffer, ttlMs: number | null, nx: boolean, valueBytes?: number): void
}

export interface LaneOptions {
  /** asks the server (7.2 or later) that reads on this lane leave the LRU and LFU clocks of keys alone */
  noTouch?: boolean
  /** reads go to a replica of the master, where it has one that is in step; writes are refused then */
  replica?: boolean
  /** closes, instead of sending commands on to a server that was no master when it was opened: what is there may be of another history */
  fixed?: boolean
  /** how long a lane to several servers sends again what they cannot answer just now (TRYAGAIN, CLUSTERDOWN); half of the reply deadline without it */
  retryMs?: number
}

/**
 * One dedicated connection to one server. Pages are answered in the order they were run; several may be under way.
 * WATCH, MULTI and EXEC are the lane's own, because no other part of the program uses its connection.
 */
export interface Lane {
  page(): Page
  /**
   * Writes the page and resolves with one reply a command. Error replies are values, not rejections.
   * @throws CachectlError REDIS_TIMEOUT when no reply comes for the reply deadline; REDIS_UNREACHABLE when the connection is lost:
   *   what was written and not answered is unknown then; REDIS_PROTOCOL on bytes that are no reply. The lane is closed after each of them.
   */
  run(page: Page): Promise<readonly Reply[]>
  /** The server granted `noTouch`; otherwise GET, GETRANGE and the like make a key look used. */
  readonly noTouch: boolean
  readonly closed: boolean
  /** which replica answers; null: a replica was asked for, and as there is none in step the master answers; absent: none was asked for */
  readonly replica?: string | null
  close(): void
}

/**
 * Whether a change is where everybody reads. `moved`: another primary took over meanwhile, to which lanes lead from now on, and which may not have it. `unknown`:
 * whoever could say so does not answer.
 */
export type Settled = 'settled' | 'moved' | 'unknown'

/** A server that holds keys of its own: the one of a standalone Redis, the current primary of a Sentinel set, each master of a Cluster, and these of each named server. */
export interface Master {
  /** `127.0.0.1:6379`; with several named servers `reports 127.0.0.1:6379` */
  readonly id: string
  /** Opens a new dedicated connection; the caller closes it, and `Store.close` closes what was forgotten. */
  lane(options?: LaneOptions): Promise<Lane>
}

/** The Redis of a config: opened at its first use, closed with `close`. Every call has a deadline; nothing waits for ever. */
export interface Store {
  identity(): Promise<RedisIdentity>
  info(): Promise<ServerInfo>
  /** Every scan and every bulk job visits each of these. What is asked on the lane of one is answered by that one: keys of others get MOVED. */
  masters(): Promise<readonly Master[]>
  /**
   * A new lane to all of it. Where there is one master: a connection to that. Otherwise each command goes where its keys are (MOVED and ASK followed; commands
   * of many keys that may be taken apart, such as MGET, UNLINK and EXISTS, are, and answered as one; without keys to the first master, PUBLISH included);
   * WATCH and MULTI are error replies then. Commands of one slot are executed in the order of the page, those of different slots in any: what must come first goes
   * in a page of its own. The caller closes it.
   */
  lane(options?: LaneOptions): Promise<Lane>
  /**
   * Which master owns which keys and who is primary: text that changes when that does. Read before and after a walk, it says whether the walk can have
   * missed a key. Null where it can never change.
   */
  layout(): Promise<string | null>
  /** The histories that the entries are part of: replication ids of all masters, sorted, joined by a space. Null where the server does not say. */
  history(): Promise<string | null>
  /**
   * To be called before a change, and what it gives behind it: the primary that took the change is still the one that the Sentinels name, and has been for so long
   * that no process takes another one for it (that is waited for). Where there are no Sentinels a change is settled at once.
   */
  settling(): () => Promise<Settled>
  /** One command on each master, in the order of `masters`; error replies are values. */
  callEach(...args: readonly CommandArgument[]): Promise<readonly { master: string; reply: Reply }[]>
  /** Whether the server knows this command, e.g. `unlink`, `client|no-touch`, `memory|usage`; false where it says so or refuses to tell. */
  supports(command: string): Promise<boolean>
  /** One command on the shared connection, routed by its first key. @throws CachectlError also for error replies. */
  call(...args: readonly CommandArgument[]): Promise<Reply>
  close(): Promise<void>
}

// ---- Bus -------------------------------------------------------------------------------------------------------------

/** What is heard on the connection of a bus, in the order in which the server sent it. */
export interface BusListener {
  /**
   * A connection stands, and its channels are subscribed. What was said before is lost. `clientId`: where the tracking of other connections can be
   * redirected to; null where that is not wanted, or the server refuses it.
   */
  connected(clientId: number | null): void
  message(channel: string, payload: string): void
  /** Keys that the server tracks for this process have changed; null: all of them (FLUSHALL). */
  invalidated(keys: readonly string[] | null): void
  /** The connection was lost, or could not be made. It is tried again until the bus is closed. */
  lost(error: Error): void
}

/** One connection that only listens; made anew whenever it is lost. */
export interface Bus {
  /** On the connection that there is, and on each later one. */
  subscribe(channel: string): void
  unsubscribe(channel: string): void
  /**
   * Resolves with an answer that came behind everything that the server had sent on this connection before. Where none comes in time the connection
   * is given up. @throws CachectlError REDIS_UNREACHABLE, REDIS_TIMEOUT
   */
  ping(): Promise<void>
  close(): void
}

// ---- The guarded write path ------------------------------------------------------------------------------------------

/** Run-time tokens by scope; empty where nothing was bumped. */
export interface ControlState {
  /** Entries of another incarnation are misses: the control data that they relied on is gone. */
  incarnation: string
  generations: Generations
  /** A new random one with each bump and each wide invalidation: whatever captured another one is refused. */
  epoch: string
}

/** The control data of one prefix (docs/contract.md): outside `{prefix}:`, so that no pattern, budget or sweep touches it. */
export interface Control {
  /** Makes the incarnation if there is none. */
  read(): Promise<ControlState>
  /** Takes the lock, or says who holds it. */
  lock(name: string, holder: string, ttlMs: number): Promise<Lock | LockHolder>
  /** A dedicated connection for guarded bulk writes; closed with the store at the latest. */
  bulk(): Promise<BulkLane>
}

export interface LockHolder {
  held: false
  /** `host:pid` */
  holder: string
  /** ISO 8601, by the clock of the holder */
  since: string
  expiresInMs: number | null
}

export interface Lock {
  held: true
  /** Aborted when the lock was lost: it lapsed, or was taken away. */
  readonly signal: AbortSignal
  release(): Promise<void>
}

/** What was there before a load began. A write is accepted only if it still is. */
export interface Capture {
  incarnation: string | null
  epoch: string | null
  fences: readonly (string | null)[]
  /** of each watched entry: its header, or its first bytes where it has none; null where it is absent */
  headers: readonly (Buffer | null)[]
}

export interface BulkWrite {
  key: string
  value: string | Buffer
  /** of the value */
  sizeBytes: number
  /** physical TTL; null: none */
  ttlMs: number | null
  /** replace what is there: only for entries that the capture watched */
  replace: boolean
}

/**
 * What became of each entry. `refused`: something that was captured is gone. `present`: something is there that was not when it was captured. `leased`:
 * somebody else loads this entry at this moment, and it is left to them.
 */
export type BulkOutcome = readonly ('written' | 'present' | 'refused' | 'leased')[]

export interface BulkLane {
  /** Watches the control hash, the fences of these subjects and these entries. To be awaited before the load whose rows will be written. */
  capture(subjects: readonly string[], entries?: readonly string[]): Promise<Capture>
  /**
   * The stamps of these names, made where there are none, living at least so many ms (null: without end). To be awaited before the load, or between a
   * capture whose fences move whenever one of these stamps is deleted and the commit under it.
   */
  stamps(wanted: ReadonlyMap<string, number | null>): Promise<ReadonlyMap<string, string>>
  /** The stamps of these names as they are; those that are not there are not in it. */
  readStamps(names: readonly string[]): Promise<ReadonlyMap<string, string>>
  /**
   * Writes a page under the last capture, which it uses up: MULTI, one SET an entry, EXEC; or where WATCH is refused, or there are several servers, by leases
   * that are taken first, a second look at what was captured, and a script an entry. @throws CachectlError REDIS_REFUSES_WRITES, REDIS_ACL …
   */
  commit(writes: readonly BulkWrite[]): Promise<BulkOutcome>
  /** Takes a lease on each key for the row by row path; false where somebody else holds it. */
  lease(keys: readonly string[], token: string): Promise<readonly boolean[]>
  /**
   * Writes each entry whose lease is still ours and which is as it was observed: null for absent, or its first bytes. Refuses all where the
   * control data, or a fence but that of the first subject, is no longer what was captured. Gives the leases back.
   */
  fill(
    writes: readonly (BulkWrite & { observed: Buffer | null })[],
    token: string,
    subjects: readonly string[],
    capture: Capture,
  ): Promise<readonly ('written' | 'present' | 'refused')[]>
  /** Gives back leases that are still ours, of rows that came to nothing. */
  release(keys: readonly string[], token: string): Promise<void>
  /** The header of each entry, or its first bytes where it has none; null where it is absent. */
  headers(keys: readonly string[]): Promise<readonly (Buffer | null)[]>
  close(): void
}

// ---- Sources ---------------------------------------------------------------------------------------------------------

export type Id = string | number | bigint

export type Row = Record<string, unknown>

/** A row with what the cache must know about it. */
export interface SourceRow {
  id: Id
  row: Row
  /** The database's own `updated_at` as text at full precision, or a row version; null where the source has none. Equal means present. */
  version: string | null
  /** The tenant that the row belongs to; null where the model has no tenant. */
  tenant: string | null
}

export type Strategy = 'all' | 'recent' | 'popular' | 'ids'

export interface Selection {
  strategy: Strategy
  /** of strategy `ids` */
  ids?: readonly Id[]
  /** rows of this tenant only */
  tenant?: string
  /** changed at or after this instant: ISO 8601 text, in UTC */
  since?: string
  limit?: number
  /** rows a page */
  pageSize: number
  signal: AbortSignal
  /** Told of each row that cannot be read (`line 17`, why); the others go on. Without it the first such row is thrown as SOURCE_FAILED. */
  onRowError?: (where: string, message: string) => void
}

/** A list or a count: rows where each filter column equals its value. */
export interface ListQuery {
  filters: Readonly<Record<string, unknown>>
  /** `['-population', 'id']`: column names, `-` for descending */
  sort: readonly string[]
  tenant?: string
  /** rows from the first one on */
  limit: number
  signal: AbortSignal
}

/**
 * Where rows come from. `select` yields pages; each page is read when it is asked for and not before (`reads: 'page'`), or the
 * source is one stream whose reading began with the first page (`reads: 'stream'`): a guard is captured before that moment.
 * Errors of the source are thrown as CachectlError SOURCE_FAILED, bad column names and the like as SOURCE_INVALID.
 */
export interface Source {
  readonly kind: string
  readonly reads: 'page' | 'stream'
  /** whether its rows name a tenant; absent: it does not know, and the config must say */
  readonly hasTenants?: boolean
  /** which strategies it can do */
  readonly strategies: readonly Strategy[]
  select(selection: Selection): AsyncIterable<readonly SourceRow[]>
  /** Ids only, for runs that look first what is absent. Absent where the source cannot. */
  selectIds?(selection: Selection): AsyncIterable<readonly { id: Id; tenant: string | null }[]>
  /** The rows of these ids that exist, in any order. Absent where the source can only stream. */
  load?(ids: readonly Id[], options: { tenant?: string; signal: AbortSignal }): Promise<readonly SourceRow[]>
  list?(query: ListQuery): Promise<readonly SourceRow[]>
  count?(query: { filters: Readonly<Record<string, unknown>>; tenant?: string; signal: AbortSignal }): Promise<number>
  /** Id and tenant of a row that did not come from here, by its columns. Absent where only rows of its own reading say them. @throws CachectlError SOURCE_INVALID */
  identify?(row: Row): { id: Id; tenant: string | null }
  /** The most frequent combinations of values in these columns, most frequent first. */
  distinct?(query: {
    columns: readonly string[]
    tenant?: string
    limit: number
    signal: AbortSignal
  }): Promise<readonly Row[]>
  /** The tenants that there are. */
  tenants?(options: { signal: AbortSignal }): AsyncIterable<readonly string[]>
  close?(): Promise<void>
}

// ---- Events ----------------------------------------------------------------------------------------------------------

/** What happens while an operation runs; renderers turn it into a bar, a line, NDJSON, or nothing. */
export type ProgressEvent =
  | { event: 'note'; level: 'info' | 'warn'; message: string }
  | { event: 'start'; task: string; unit: string; total: number | null }
  | { event: 'progress'; task: string; done: number; total: number | null; detail?: string }
  | { event: 'end'; task: string; done: number; durationMs: number }
  | { event: 'row-error'; task: string; id: string; message: string }
  | { event: 'failure'; error: CachectlError }

export type Emit = (event: ProgressEvent) => void
