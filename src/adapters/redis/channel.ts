// The RESP channel: a lane on the socket of an ioredis connection, which ioredis opened and which it no longer reads.
// ioredis costs about 13 us a command, which bounds every bulk job; here a page is one write and its replies are parsed in one loop.

import { Socket } from 'node:net'
import type { Redis } from 'ioredis'
import type { Lane, LaneOptions, Page, Reply } from '../../ports.ts'
import { describeError } from './errors.ts'
import { closedHere, garbled, type LaneFailure, lost, pageError, silent } from './lane-failure.ts'
import { WirePage } from './page.ts'
import { ReplyDeadline } from './reply-deadline.ts'
import { ReplyFormatError, ReplyParser } from './reply-parser.ts'

export interface ChannelOptions extends Pick<LaneOptions, 'noTouch'> {
  /** for messages; without secrets */
  endpoint: string
  replyTimeoutMs: number
  /** as `Lane.replica` */
  replica?: string | null
  /** bound of the bulk strings of one reply; default: what Redis itself allows, 512 MB */
  maxReplyBytes?: number
}

/** One page under way. */
interface Run {
  chunks: readonly (string | Buffer)[]
  length: number
  replies: Reply[]
  resolve(replies: readonly Reply[]): void
  reject(error: Error): void
}

/** Whether the socket of this connection can be taken over. */
export function canTakeOver(redis: Redis): boolean {
  return redis.stream instanceof Socket && !redis.stream.destroyed
}

/** Takes over a connection that is ready and used by nobody else; closing the lane closes it. */
export async function openChannel(redis: Redis, options: ChannelOptions): Promise<Lane> {
  const noTouch = await settle(redis, options)
  return new Channel(redis, redis.stream as Socket, noTouch, options)
}

/**
 * ioredis may still wait for replies of its handshake; they come in order, so with the reply of a last command all are there.
 * That command is `noTouch`, if it is wanted. Resolves with whether it was granted.
 */
export async function settle(redis: Redis, { endpoint, noTouch = false }: ChannelOptions): Promise<boolean> {
  try {
    await (noTouch ? redis.call('CLIENT', 'NO-TOUCH', 'ON') : redis.call('PING'))
    return noTouch
  } catch (error) {
    // An older server, or a user without the right: it has answered, and that is enough.
    if (error instanceof Error && error.name === 'ReplyError') return false
    redis.disconnect()
    throw describeError(error, endpoint)
  }
}

class Channel implements Lane {
  readonly noTouch: boolean
  declare readonly replica?: string | null
  readonly #redis: Redis
  readonly #socket: Socket
  readonly #endpoint: string
  readonly #parser: ReplyParser
  readonly #deadline: ReplyDeadline
  /** written; the first one is being answered */
  #sent: Run[] = []
  /** not written, because the socket takes no more for now */
  #waiting: Run[] = []
  #corked = false
  #failure: LaneFailure | null = null

  constructor(redis: Redis, socket: Socket, noTouch: boolean, options: ChannelOptions) {
    this.noTouch = noTouch
    if (options.replica !== undefined) this.replica = options.replica
    this.#redis = redis
    this.#socket = socket
    this.#endpoint = options.endpoint
    this.#parser = new ReplyParser((reply) => this.#onReply(reply), options.maxReplyBytes)
    this.#deadline = new ReplyDeadline(options.replyTimeoutMs, () =>
      this.#fail(silent(this.#endpoint, options.replyTimeoutMs)),
    )
    redis.on('error', () => {})
    for (const listener of socket.listeners('data')) socket.off('data', listener as () => void)
    socket.on('data', (bytes: Buffer) => this.#onData(bytes))
    socket.on('drain', () => this.#flush())
    socket.on('error', (error) => this.#fail(lost(this.#endpoint, error)))
    socket.on('end', () => this.#fail(lost(this.#endpoint)))
    socket.on('close', () => this.#fail(lost(this.#endpoint)))
    socket.resume()
    if (socket.destroyed) this.#fail(lost(this.#endpoint))
  }

  get closed(): boolean {
    return this.#failure !== null
  }

  page(): Page {
    return new WirePage()
  }

  run(page: Page): Promise<readonly Reply[]> {
    if (!(page instanceof WirePage)) return Promise.reject(new TypeError('this page is of another lane'))
    const { length } = page
    if (this.#failure !== null)
      return handled(Promise.reject(pageError(this.#failure, { length, answered: 0, sent: false })))
    if (length === 0) return Promise.resolve([])
    const result = new Promise<readonly Reply[]>((resolve, reject) => {
      this.#waiting.push({ chunks: page.chunks(), length, replies: [], resolve, reject })
    })
    this.#deadline.arm()
    this.#flush()
    return handled(result)
  }

  close(): void {
    this.#fail(closedHere(this.#endpoint))
  }

  /** Writes what the socket takes. The server answers while it reads, so a full socket empties as long as replies are read. */
  #flush(): void {
    while (this.#waiting.length > 0 && this.#failure === null && !this.#socket.writableNeedDrain) {
      const run = this.#waiting.shift() as Run
      this.#cork()
      this.#sent.push(run)
      for (const chunk of run.chunks) this.#socket.write(chunk, 'latin1')
    }
  }

  /** What is run in one turn of the event loop goes out in one write. */
  #cork(): void {
    if (this.#corked) return
    this.#corked = true
    this.#socket.cork()
    process.nextTick(() => {
      this.#corked = false
      this.#socket.uncork()
    })
  }

  #onData(bytes: Buffer): void {
    if (this.#failure !== null) return
    this.#deadline.progress()
    try {
      this.#parser.push(bytes)
    } catch (error) {
      this.#fail(garbled(this.#endpoint, error instanceof ReplyFormatError ? error.message : String(error)))
    }
  }

  #onReply(reply: Reply): void {
    const run = this.#sent[0]
    if (run === undefined) throw new ReplyFormatError('a reply to nothing that was asked')
    run.replies.push(reply)
    if (run.replies.length < run.length) return
    this.#sent.shift()
    if (this.#sent.length === 0 && this.#waiting.length === 0) this.#deadline.clear()
    run.resolve(run.replies)
  }

  /** Closes once; every page that is not answered whole is rejected. */
  #fail(failure: LaneFailure): void {
    if (this.#failure !== null) return
    this.#failure = failure
    this.#deadline.clear()
    this.#redis.disconnect()
    this.#socket.destroy()
    const pages = [...this.#sent, ...this.#waiting]
    const sent = this.#sent.length
    this.#sent = []
    this.#waiting = []
    pages.forEach(({ length, replies, reject }, index) => {
      reject(pageError(failure, { length, answered: replies.length, sent: index < sent }))
    })
  }
}

/** A caller with several pages under way stops at the first that fails; the others must not end the process as unhandled. */
function handled<T>(promise: Promise<T>): Promise<T> {
  promise.catch(() => {})
  return promise
}
