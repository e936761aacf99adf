// The walk over all keys: SCAN on every master, pipelined with what is asked about the keys, and paced so that no call holds the server up.
import { setTimeout as delay } from 'node:timers/promises'
import { describeReply } from '../core/error-reply.ts'
import { CachectlError } from '../core/errors.ts'
import { isErrorReply } from '../core/reply.ts'
import type { Lane, Master, Page, Reply, Store } from '../ports.ts'

/** One SCAN is to take less than this on the server: half of the 5 ms that no call may take, as tables are not even. */
const SLOW_CALL_MS = 2.5
/** The same for calm walks: what a client beside them waits for one call is then less than what its own command takes. */
const CALM_CALL_MS = 0.4
/** Share of the server's time that a calm walk takes. */
const CALM_SHARE = 0.25
/** What a key is taken to cost where the server does not tell its time. */
const UNTIMED_KEY_MS = 0.001
/** Below this share of that, COUNT may be doubled and the call still be far from slow. */
const QUICK_SHARE = 0.3
/** A timer is no shorter. */
const LEAST_REST_MS = 1
const FIRST_COUNT = 250
const LEAST_COUNT = 16
/** Longer pages are no faster: by then the commands about their keys take all the time. */
const MOST_COUNT = 1000
/** Pages of questions that are under way at once: one is being answered while the next one waits, so that the server never waits for us. */
const PAGES_UNDER_WAY = 2

export interface ScanOptions {
  /** The walk ends early, without an error, when it is aborted. What was asked by then is still answered: it has left its traces. */
  signal: AbortSignal
  /** likewise ends when this many keys have come, as many of each master */
  limit?: number | null
  /** asks the server that reads on this connection leave the LRU and LFU clocks alone */
  noTouch?: boolean
  /** reads from replicas where there are some in step */
  replica?: boolean
  /** told of the connection to each master, or to its replica, before the first page comes from it */
  opened?: (master: Master, lane: Lane) => Promise<void>
  /** a glob that the server looks at, so that no other key is sent; `wanted` still decides */
  match?: string
  /** in no hurry: calls are shorter, and the server has time for others between them */
  calm?: boolean
  /** keys to ask about; default: all */
  wanted?: (key: Buffer) => boolean
  /** adds the same number of commands for each key; default: none */
  probe?: (page: Page, key: Buffer) => void
}

export interface ScannedPage {
  /** which of the store's masters */
  master: number
  /** keys that SCAN returned, wanted or not; a key that comes twice counts twice */
  visited: number
  /** Wanted keys: views of what was read. Copy what is to be kept for long. */
  keys: readonly Buffer[]
  /** answers to `probe`, key by key */
  replies: readonly Reply[]
  /** how long the SCAN took on the server, by its own clock; null where TIME is refused */
  callMs: number | null
}

interface PageUnderWay extends Omit<ScannedPage, 'replies'> {
  replies: Promise<readonly Reply[]>
}

/**
 * Every key that is there from beginning to end comes at least once, maybe twice; keys that come or go meanwhile may come or not.
 * @throws CachectlError
 */
export async function* scan(store: Store, options: ScanOptions): AsyncGenerator<ScannedPage> {
  const masters = await store.masters()
  const limit = Math.ceil((options.limit ?? Number.POSITIVE_INFINITY) / masters.length)
  for (const [index, master] of masters.entries()) {
    if (options.signal.aborted) return
    const lane = await master.lane({ noTouch: options.noTouch ?? false, replica: options.replica ?? false })
    try {
      await options.opened?.(master, lane)
      yield* scanMaster(lane, index, lane.replica ?? master.id, { ...options, limit })
    } finally {
      lane.close()
    }
  }
}

async function* scanMaster(
  lane: Lane,
  master: number,
  endpoint: string,
  options: Omit<ScanOptions, 'limit'> & { limit: number },
): AsyncGenerator<ScannedPage> {
  const cursor = new Cursor(lane, endpoint, options)
  const underWay: PageUnderWay[] = []
  const { limit } = options
  let visited = 0
  let next: Promise<ScanCall> | null = cursor.next()
  while (next !== null || underWay.length > 0) {
    if (options.signal.aborted || visited >= limit) next = null
    if (next !== null && underWay.length < PAGES_UNDER_WAY) {
      const { found, callMs }: ScanCall = await next
      visited += found.length
      next = cursor.done || visited >= limit ? null : cursor.next()
      const keys = options.wanted === undefined ? found : found.filter(options.wanted)
      const page = lane.page()
      if (options.probe !== undefined) for (const key of keys) options.probe(page, key)
      underWay.push({ master, visited: found.length, keys, replies: lane.run(page), callMs })
    } else if (underWay.length > 0) {
      const page = underWay.shift() as PageUnderWay
      yield { ...page, replies: await page.replies }
    }
  }
}

interface ScanCall {
  found: readonly Buffer[]
  callMs: number | null
}

/** One walk over one server. The cursor is opaque text: 64 bits, more than a JavaScript number holds. */
class Cursor {
  done = false
  readonly #lane: Lane
  readonly #endpoint: string
  readonly #match: readonly string[]
  readonly #calm: boolean
  readonly #signal: AbortSignal
  /** time that the server is still to be left alone */
  #restMs = 0
  #cursor = '0'
  #count = FIRST_COUNT
  #timed = true

  constructor(
    lane: Lane,
    endpoint: string,
    { match, calm = false, signal }: Pick<ScanOptions, 'match' | 'calm' | 'signal'>,
  ) {
    this.#lane = lane
    this.#endpoint = endpoint
    this.#calm = calm
    this.#signal = signal
    this.#match = match === undefined ? [] : ['MATCH', match]
  }

  next(): Promise<ScanCall> {
    const call = this.#next()
    // It is under way while something else is awaited, which may fail first.
    call.catch(() => {})
    return call
  }

  async #next(): Promise<ScanCall> {
    if (this.#restMs >= LEAST_REST_MS) await this.#rest()
    const page = this.#lane.page()
    // The server's own clock around the call: the latency seen from here would include the network and what else is under way.
    if (this.#timed) page.add('TIME')
    page.add('SCAN', this.#cursor, ...this.#match, 'COUNT', this.#count)
    if (this.#timed) page.add('TIME')
    const replies = await this.#lane.run(page)
    const [before, scanned, after] = this.#timed ? replies : [undefined, replies[0], undefined]
    const found = this.#read(scanned)
    const callMs = this.#pace(before, after)
    if (this.#calm) {
      const busyMs = callMs ?? found.length * UNTIMED_KEY_MS
      this.#restMs = Math.max(0, this.#restMs) + busyMs * (1 / CALM_SHARE - 1)
    }
    return { found, callMs }
  }

  /** A timer takes longer than it is told, which shortens the next rest. */
  async #rest(): Promise<void> {
    const startedMs = performance.now()
    await delay(this.#restMs, undefined, { signal: this.#signal }).catch(() => {})
    this.#restMs -= performance.now() - startedMs
  }

  #read(reply: Reply | undefined): readonly Buffer[] {
    if (isErrorReply(reply)) throw describeReply(reply.error, this.#endpoint, 'SCAN')
    const [cursor, keys] = Array.isArray(reply) ? (reply as readonly Reply[]) : []
    if (!Buffer.isBuffer(cursor) || !Array.isArray(keys))
      throw new CachectlError('REDIS_PROTOCOL', 'SCAN was answered with something else than a cursor and keys')
    this.#cursor = cursor.toString('latin1')
    this.done = this.#cursor === '0'
    return keys as readonly Buffer[]
  }

  #pace(before: Reply | undefined, after: Reply | undefined): number | null {
    const startedUs = microseconds(before)
    const endedUs = microseconds(after)
    if (startedUs === null || endedUs === null) {
      this.#timed = false
      return null
    }
    // A clock that was set back meanwhile says nothing.
    const callMs = Math.max(0, (endedUs - startedUs) / 1000)
    const slowCallMs = this.#calm ? CALM_CALL_MS : SLOW_CALL_MS
    if (callMs > slowCallMs) this.#count = Math.max(LEAST_COUNT, this.#count >> 1)
    else if (callMs < slowCallMs * QUICK_SHARE) this.#count = Math.min(MOST_COUNT, this.#count * 2)
    return callMs
  }
}

/** TIME answers seconds and microseconds. */
function microseconds(reply: Reply | undefined): number | null {
  if (!Array.isArray(reply)) return null
  const [seconds, rest] = (reply as readonly Reply[]).map(Number)
  return seconds === undefined || rest === undefined ? null : seconds * 1_000_000 + rest
}
