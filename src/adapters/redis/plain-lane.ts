// A lane over the commands of ioredis: the same contract as the channel at a quarter of its speed, for connections whose socket
// cannot be taken over.
import type { Redis } from 'ioredis'
import type { CommandArgument, Lane, Page, Reply } from '../../ports.ts'
import { type ChannelOptions, settle } from './channel.ts'
import { closedHere, type LaneFailure, lost, pageError, silent } from './lane-failure.ts'
import { type ReplyKind, ReplyKinds, toReply } from './plain-replies.ts'
import { RecordedPage } from './recorded-page.ts'
import { ReplyDeadline } from './reply-deadline.ts'

/** Opens a lane on a connection that is ready and used by nobody else; closing the lane closes it. */
export async function openPlainLane(redis: Redis, options: ChannelOptions): Promise<Lane> {
  const noTouch = await settle(redis, options)
  return new PlainLane(redis, noTouch, options)
}

class PlainLane implements Lane {
  readonly noTouch: boolean
  declare readonly replica?: string | null
  readonly #redis: Redis
  readonly #endpoint: string
  readonly #deadline: ReplyDeadline
  readonly #kinds = new ReplyKinds()
  /** how to reject each page under way, oldest first */
  readonly #underWay = new Set<(failure: LaneFailure) => void>()
  #failure: LaneFailure | null = null

  constructor(redis: Redis, noTouch: boolean, { endpoint, replyTimeoutMs, replica }: ChannelOptions) {
    this.noTouch = noTouch
    if (replica !== undefined) this.replica = replica
    this.#redis = redis
    this.#endpoint = endpoint
    this.#deadline = new ReplyDeadline(replyTimeoutMs, () => this.#fail(silent(endpoint, replyTimeoutMs)))
    // The lane's deadline starts anew with whatever comes; that of single commands would count the time they wait for others.
    delete redis.options.commandTimeout
    redis.stream.on('data', () => this.#deadline.progress())
    redis.on('error', (error) => this.#fail(lost(endpoint, error)))
    redis.on('close', () => this.#fail(lost(endpoint)))
    if (redis.status !== 'ready') this.#fail(lost(endpoint))
  }

  get closed(): boolean {
    return this.#failure !== null
  }

  page(): Page {
    return new RecordedPage()
  }

  run(page: Page): Promise<readonly Reply[]> {
    if (!(page instanceof RecordedPage)) return Promise.reject(new TypeError('this page is of another lane'))
    const { length } = page
    if (length === 0) return Promise.resolve([])
    const result = new Promise<readonly Reply[]>((resolve, reject) => {
      if (this.#failure !== null) return reject(pageError(this.#failure, { length, answered: 0, sent: false }))
      const abandon = (failure: LaneFailure): void => reject(pageError(failure, { length, answered: null, sent: true }))
      this.#underWay.add(abandon)
      this.#deadline.arm()
      this.#send(page.commands).then((replies) => {
        this.#underWay.delete(abandon)
        if (this.#underWay.size === 0) this.#deadline.clear()
        resolve(replies)
      }, reject)
    })
    // As in the channel: of several pages under way a caller may look at the first failure only.
    result.catch(() => {})
    return result
  }

  close(): void {
    this.#fail(closedHere(this.#endpoint))
  }

  async #send(commands: readonly (readonly CommandArgument[])[]): Promise<readonly Reply[]> {
    const kinds = commands.map((command) => this.#kinds.next(command))
    const pipeline = this.#redis.pipeline()
    // In capitals: ioredis knows EXEC and SELECT by their small letters, and does more than to send them.
    for (const [name, ...args] of commands) pipeline.callBuffer(String(name).toUpperCase(), ...args)
    const results = (await pipeline.exec()) ?? []
    return results.map(([error, result], index) => {
      if (error !== null && error.name !== 'ReplyError') {
        // The page has been rejected by then.
        this.#fail(lost(this.#endpoint, error))
        throw error
      }
      return toReply(error ?? result, kinds[index] as ReplyKind)
    })
  }

  #fail(failure: LaneFailure): void {
    if (this.#failure !== null) return
    this.#failure = failure
    this.#deadline.clear()
    this.#redis.disconnect()
    this.#redis.stream.destroy()
    for (const abandon of this.#underWay) abandon(failure)
    this.#underWay.clear()
  }
}
