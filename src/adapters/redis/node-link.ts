// One server that holds keys: the shared connection for single calls, and dedicated ones for lanes.
import type { Redis } from 'ioredis'
import { CachectlError } from '../../core/errors.ts'
import { isErrorReply } from '../../core/reply.ts'
import type { CommandArgument, Lane, LaneOptions, Reply } from '../../ports.ts'
import { canTakeOver, openChannel } from './channel.ts'
import { connectTo } from './client.ts'
import { describeError } from './errors.ts'
import { parseInfo } from './info.ts'
import type { Place } from './place.ts'
import { openPlainLane } from './plain-lane.ts'
import { replyKind, toReply } from './plain-replies.ts'
import { replicasOf } from './replicas.ts'

export interface NodeOptions {
  connectTimeoutMs: number
  replyTimeoutMs: number
  /** `plain`: lanes over ioredis commands, slower by far; for looking into what the channel does */
  channel?: 'auto' | 'plain'
}

export class NodeLink {
  readonly #place: Place
  readonly #options: NodeOptions
  #shared: Promise<Redis> | null = null
  #lanes: Lane[] = []
  #closed = false

  constructor(place: Place, options: NodeOptions) {
    this.#place = place
    this.#options = options
  }

  get endpoint(): string {
    return this.#place.endpoint
  }

  get place(): Place {
    return this.#place
  }

  /** One command on the shared connection; error replies are values. @throws CachectlError */
  async ask(...[name, ...args]: readonly CommandArgument[]): Promise<Reply> {
    const shared = this.#connect()
    const redis = await shared
    try {
      // In capitals: ioredis transforms replies of commands that it knows, by their small letters.
      return toReply(await redis.callBuffer(String(name).toUpperCase(), ...args), replyKind([name ?? '', ...args]))
    } catch (thrown) {
      if (thrown instanceof Error && thrown.name === 'ReplyError') return toReply(thrown, 'data')
      const error = describeError(thrown, this.endpoint)
      // Nobody knows whether this connection is still of use; the next call opens another.
      if (error.code === 'REDIS_TIMEOUT') this.#forget(shared, redis)
      throw error
    }
  }

  /** Empty where the user may not ask. */
  async info(...sections: readonly string[]): Promise<ReadonlyMap<string, string>> {
    const reply = await this.ask('INFO', ...sections)
    return parseInfo(Buffer.isBuffer(reply) ? reply.toString() : '')
  }

  /** The next call opens another connection: this one leads to a server that is not what it was. */
  async reopen(): Promise<void> {
    const shared = this.#shared
    if (shared !== null) this.#forget(shared, await shared)
  }

  /** A new dedicated connection, to a replica in step where that is wanted and there is one. */
  async openLane(options: LaneOptions = {}): Promise<Lane> {
    if (!options.replica) return this.#open(this.#place, options, {})
    for (const replica of replicasOf(await this.info('replication'))) {
      const place = this.#place.at(replica.host, replica.port)
      try {
        return await this.#open(place, options, { replica: place.endpoint })
      } catch {
        // Gone since, or reachable for its primary only: the next one, or the primary itself.
      }
    }
    return this.#open(this.#place, options, { replica: null })
  }

  async close(): Promise<void> {
    if (this.#closed) return
    this.#closed = true
    for (const lane of this.#lanes.splice(0).reverse()) lane.close()
    const shared = await this.#shared?.catch(() => null)
    shared?.disconnect()
  }

  async #open(place: Place, lane: LaneOptions, served: { replica?: string | null }): Promise<Lane> {
    if (this.#closed) throw this.#closedHere()
    const { replyTimeoutMs, channel } = this.#options
    const redis = await connectTo(place, {
      ...this.#options,
      dedicated: true,
      readOnly: typeof served.replica === 'string',
    })
    const open = channel !== 'plain' && canTakeOver(redis) ? openChannel : openPlainLane
    const opened = await open(redis, {
      noTouch: lane.noTouch ?? false,
      ...served,
      endpoint: place.endpoint,
      replyTimeoutMs,
    })
    if (this.#closed) opened.close()
    this.#lanes = [...this.#lanes.filter((other) => !other.closed), opened]
    return opened
  }

  /** The shared connection; one attempt serves all who wait for it, and a failed or ended one is forgotten. */
  #connect(): Promise<Redis> {
    if (this.#closed) return Promise.reject(this.#closedHere())
    if (this.#shared !== null) return this.#shared
    const shared = connectTo(this.#place, this.#options)
    this.#shared = shared
    shared.then(
      (redis) => redis.once('end', () => this.#forget(shared)),
      () => this.#forget(shared),
    )
    return shared
  }

  #forget(shared: Promise<Redis>, redis?: Redis): void {
    if (this.#shared === shared) this.#shared = null
    redis?.disconnect()
  }

  #closedHere(): CachectlError {
    return new CachectlError('REDIS_UNREACHABLE', `the connection to ${this.endpoint} has been closed`)
  }
}

/** Whether the server knows a command, e.g. `unlink`, `client|no-touch`. */
export async function probeCommand(link: NodeLink, name: string): Promise<boolean> {
  const reply = await link.ask('COMMAND', 'INFO', name)
  if (Array.isArray(reply) && Array.isArray(reply[0])) return true
  // Before 7.0 COMMAND knows no subcommands; their containers have a text of help, one line a subcommand.
  const [container, subcommand] = name.split('|')
  if (container === undefined || subcommand === undefined) return false
  const help = await link.ask(container, 'HELP')
  return Array.isArray(help) && help.some((line) => firstWord(line) === subcommand)
}

const firstWord = (line: unknown): string => /^\s*([\w-]*)/.exec(String(line))?.[1]?.toLowerCase() ?? ''

/** DBSIZE; null where the user may not ask. */
export async function countKeys(link: NodeLink): Promise<number | null> {
  const keys = await link.ask('DBSIZE')
  return isErrorReply(keys) || typeof keys !== 'number' ? null : keys
}
