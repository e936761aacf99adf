// A Redis of any topology: its servers, and lanes to them on which pages of commands are answered. Types only.

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
