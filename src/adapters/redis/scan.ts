// Walks over all keys of a master with SCAN on a lane: paced so that no call holds the server up, and pipelined with what is
// asked about the keys.
import { CachectlError } from '../../core/errors.ts'
import { isErrorReply } from '../../core/reply.ts'
import type { Lane, Master, Page, Reply } from '../../ports.ts'
import { describeError } from './errors.ts'

/** One SCAN is to take less than this on the server: half of the 5 ms that no call may take, as tables are not even. */
const SLOW_CALL_MS = 2.5
/** Below this, COUNT may be doubled and the call still be far from slow. */
const QUICK_CALL_MS = 0.75
const DEFAULT_COUNT = 1000
const MIN_COUNT = 16
/** COUNT grows to this multiple of what was asked for. */
const MAX_GROWTH = 4

export interface ScanOptions {
  /** glob, matched by the server */
  match?: string
  /** `string`, `hash` …: type of the keys, matched by the server */
  type?: string
  /** COUNT of the first SCAN; the next ones follow the server's latency */
  count?: number
  /** stops at the end of the page under way and throws the signal's reason */
  signal?: AbortSignal
  /** after each SCAN, also after one without keys */
  onPage?: (page: ScanPage) => void
}

export interface ScanPage {
  /** keys of this page; keys may come more than once over a scan */
  keys: readonly Buffer[]
  /** how long the SCAN held the server up, by the server's clock; null where TIME is refused */
  callMs: number | null
}

export interface ScanSummary {
  /** keys that SCAN returned; a key that came twice counts twice */
  visited: number
  calls: number
  /** the longest SCAN in milliseconds, by the server's clock; null where TIME is refused */
  slowestCallMs: number | null
}

/**
 * Pages of keys that are not empty; the next SCAN is under way while a page is used. Every key that was there from beginning to end
 * comes at least once, maybe twice. Keys are views of what was read: copy what is to be kept for long.
 * @throws CachectlError, or the signal's reason
 */
export async function* scanKeys(master: Master, options: ScanOptions = {}): AsyncGenerator<readonly Buffer[]> {
  const lane = await master.lane()
  try {
    const cursor = new Cursor(lane, master.id, options)
    let next: Promise<readonly Buffer[]> | null = cursor.next()
    while (next !== null) {
      const keys: readonly Buffer[] = await next
      options.signal?.throwIfAborted()
      next = cursor.done ? null : cursor.next()
      if (keys.length > 0) yield keys
    }
  } finally {
    lane.close()
  }
}

/**
 * Asks something about every key: `probe` adds commands about the keys of a page, `consume` gets their replies in the same order.
 * The SCAN for the next page and the probes of this one leave in one write, and the replies of the page before are consumed
 * meanwhile, so that the server never waits for this process. On abort the pages under way are finished and consumed.
 * @throws CachectlError, or the signal's reason
 */
export async function scanWith(
  master: Master,
  probe: (page: Page, keys: readonly Buffer[]) => void,
  consume: (keys: readonly Buffer[], replies: readonly Reply[]) => void | Promise<void>,
  options: ScanOptions = {},
): Promise<ScanSummary> {
  const lane = await master.lane({ noTouch: true })
  try {
    const cursor = new Cursor(lane, master.id, options)
    let scan: Promise<readonly Buffer[]> | null = cursor.next()
    let before: { keys: readonly Buffer[]; replies: Promise<readonly Reply[]> } | null = null
    while (scan !== null) {
      const keys: readonly Buffer[] = await scan
      if (options.signal?.aborted) break
      scan = cursor.done ? null : cursor.next()
      const page = lane.page()
      if (keys.length > 0) probe(page, keys)
      const replies = lane.run(page)
      if (before !== null) await consume(before.keys, await before.replies)
      before = keys.length > 0 ? { keys, replies } : null
    }
    if (before !== null) await consume(before.keys, await before.replies)
    options.signal?.throwIfAborted()
    return cursor.summary
  } finally {
    lane.close()
  }
}

/** One walk. The cursor is opaque text: 64 bits, more than a JavaScript number holds. */
class Cursor {
  readonly summary: ScanSummary = { visited: 0, calls: 0, slowestCallMs: null }
  done = false
  readonly #lane: Lane
  readonly #endpoint: string
  readonly #options: ScanOptions
  readonly #wantedCount: number
  #cursor = '0'
  #count: number
  #timed = true

  constructor(lane: Lane, endpoint: string, options: ScanOptions) {
    this.#lane = lane
    this.#endpoint = endpoint
    this.#options = options
    this.#wantedCount = options.count ?? DEFAULT_COUNT
    // The first call finds out how fast this server is.
    this.#count = Math.max(Math.min(MIN_COUNT, this.#wantedCount), this.#wantedCount >> 2)
  }

  next(): Promise<readonly Buffer[]> {
    const keys = this.#next()
    // It is under way while something else is awaited, which may fail first.
    keys.catch(() => {})
    return keys
  }

  async #next(): Promise<readonly Buffer[]> {
    const { match, type } = this.#options
    const page = this.#lane.page()
    // The server's own clock around the call: the latency seen from here would include the network and what else is under way.
    if (this.#timed) page.add('TIME')
    const filters = [...(match === undefined ? [] : ['MATCH', match]), ...(type === undefined ? [] : ['TYPE', type])]
    page.add('SCAN', this.#cursor, 'COUNT', this.#count, ...filters)
    if (this.#timed) page.add('TIME')
    const replies = await this.#lane.run(page)
    const [before, scanned, after] = this.#timed ? replies : [null, replies[0], null]
    const { cursor, keys } = this.#read(scanned)
    this.#cursor = cursor
    this.done = cursor === '0'
    const callMs = this.#pace(before, after)
    this.summary.visited += keys.length
    this.summary.calls += 1
    this.#options.onPage?.({ keys, callMs })
    return keys
  }

  #read(reply: Reply | undefined): { cursor: string; keys: readonly Buffer[] } {
    if (isErrorReply(reply)) throw describeError(reply, this.#endpoint)
    const [cursor, keys] = Array.isArray(reply) ? (reply as readonly Reply[]) : []
    if (Buffer.isBuffer(cursor) && Array.isArray(keys))
      return { cursor: cursor.toString(), keys: keys as readonly Buffer[] }
    throw new CachectlError(
      'REDIS_PROTOCOL',
      `${this.#endpoint} answered SCAN with something else than a cursor and keys`,
    )
  }

  #pace(before: Reply | undefined, after: Reply | undefined): number | null {
    const startedUs = microseconds(before)
    const endedUs = microseconds(after)
    if (startedUs === null || endedUs === null) {
      this.#timed = false
      this.#count = this.#wantedCount
      return null
    }
    // A clock that was set back meanwhile says nothing.
    const callMs = Math.max(0, (endedUs - startedUs) / 1000)
    if (callMs > SLOW_CALL_MS) this.#count = Math.max(MIN_COUNT, this.#count >> 1)
    else if (callMs < QUICK_CALL_MS) this.#count = Math.min(this.#wantedCount * MAX_GROWTH, this.#count * 2)
    this.summary.slowestCallMs = Math.max(this.summary.slowestCallMs ?? 0, callMs)
    return callMs
  }
}

/** TIME answers seconds and microseconds. */
function microseconds(reply: Reply | undefined): number | null {
  if (!Array.isArray(reply)) return null
  const [seconds, rest] = (reply as readonly Reply[]).map(Number)
  return seconds === undefined || rest === undefined ? null : seconds * 1_000_000 + rest
}
