// The Redis of a config, as operations see it: opened at its first use, every call with a deadline, closed once.
import type { Redis } from 'ioredis'
import type { RedisTarget } from '../../config/resolved.ts'
import { CachectlError } from '../../core/errors.ts'
import { isErrorReply } from '../../core/reply.ts'
import type {
  CommandArgument,
  Lane,
  LaneOptions,
  Master,
  RedisIdentity,
  Reply,
  ServerInfo,
  Store,
} from '../../ports.ts'
import { canTakeOver, openChannel } from './channel.ts'
import { connect } from './client.ts'
import { describeError } from './errors.ts'
import { infoIdentity, parseInfo, serverInfo } from './info.ts'
import { openPlainLane } from './plain-lane.ts'
import { replyKind, toReply } from './plain-replies.ts'
import { endpointOf, parseRedisUrl } from './url.ts'

export interface StoreOptions {
  connectTimeoutMs: number
  replyTimeoutMs: number
  /** `plain`: lanes over ioredis commands, slower by far; for looking into what the channel does */
  channel?: 'auto' | 'plain'
  /** the server is a private one of this run */
  embedded?: boolean
}

/** @throws CachectlError REDIS_URL_INVALID; nothing is opened yet */
export function openStore(target: RedisTarget, options: StoreOptions): Store {
  return new StandaloneStore(target, options)
}

class StandaloneStore implements Store {
  readonly #target: RedisTarget
  readonly #options: StoreOptions
  readonly #endpoint: string
  readonly #database: number
  readonly #supported = new Map<string, boolean>()
  #shared: Promise<Redis> | null = null
  #lanes: Lane[] = []
  #closed = false

  constructor(target: RedisTarget, options: StoreOptions) {
    this.#target = target
    this.#options = options
    this.#endpoint = endpointOf(target.url)
    this.#database = parseRedisUrl(target.url, target.tls).database
  }

  async identity(): Promise<RedisIdentity> {
    const { cluster, ...identity } = infoIdentity(await this.#info())
    const mode = this.#options.embedded ? 'embedded' : cluster ? 'cluster' : 'standalone'
    return { endpoint: this.#endpoint, database: this.#database, mode, from: this.#target.from, ...identity }
  }

  async info(): Promise<ServerInfo> {
    const [fields, keys] = await Promise.all([this.#info('everything'), this.#ask('DBSIZE')])
    return serverInfo(fields, typeof keys === 'number' ? keys : null)
  }

  async masters(): Promise<readonly Master[]> {
    // To visit one node of several and call it the whole would be untrue.
    if ((await this.identity()).mode === 'cluster') {
      throw new CachectlError(
        'USAGE',
        `${this.#endpoint} is a node of a Redis Cluster, which cachectl does not support yet`,
        {
          hint: 'name a standalone server',
        },
      )
    }
    return [{ id: this.#endpoint, lane: (options) => this.#openLane(options) }]
  }

  lane(options?: LaneOptions): Promise<Lane> {
    return this.#openLane(options)
  }

  async layout(): Promise<string | null> {
    return null
  }

  async history(): Promise<string | null> {
    return (await this.identity()).replicationId
  }

  async callEach(...args: readonly CommandArgument[]): Promise<readonly { master: string; reply: Reply }[]> {
    return [{ master: this.#endpoint, reply: await this.#ask(...args) }]
  }

  async supports(command: string): Promise<boolean> {
    const name = command.toLowerCase()
    const known = this.#supported.get(name)
    if (known !== undefined) return known
    const supported = await this.#probe(name)
    this.#supported.set(name, supported)
    return supported
  }

  async call(...args: readonly CommandArgument[]): Promise<Reply> {
    const reply = await this.#ask(...args)
    if (isErrorReply(reply)) throw describeError(reply, this.#endpoint)
    return reply
  }

  async close(): Promise<void> {
    if (this.#closed) return
    this.#closed = true
    for (const lane of this.#lanes.splice(0).reverse()) lane.close()
    const shared = await this.#shared?.catch(() => null)
    shared?.disconnect()
  }

  /** One command on the shared connection; error replies are values. */
  async #ask(...[name, ...args]: readonly CommandArgument[]): Promise<Reply> {
    const shared = this.#connect()
    const redis = await shared
    try {
      // In capitals: ioredis transforms replies of commands that it knows, by their small letters.
      return toReply(await redis.callBuffer(String(name).toUpperCase(), ...args), replyKind([name ?? '', ...args]))
    } catch (thrown) {
      if (thrown instanceof Error && thrown.name === 'ReplyError') return toReply(thrown, 'data')
      const error = describeError(thrown, this.#endpoint)
      // Nobody knows whether this connection is still of use; the next call opens another.
      if (error.code === 'REDIS_TIMEOUT') {
        this.#forget(shared)
        redis.disconnect()
      }
      throw error
    }
  }

  /** The shared connection; one attempt serves all who wait for it, and a failed or ended one is forgotten. */
  #connect(): Promise<Redis> {
    if (this.#closed) return Promise.reject(this.#closedHere())
    if (this.#shared !== null) return this.#shared
    const shared = connect(this.#target, this.#options)
    this.#shared = shared
    shared.then(
      (redis) => redis.once('end', () => this.#forget(shared)),
      () => this.#forget(shared),
    )
    return shared
  }

  /** What is asked next opens another connection. */
  #forget(shared: Promise<Redis>): void {
    if (this.#shared === shared) this.#shared = null
  }

  async #openLane(lane: LaneOptions = {}): Promise<Lane> {
    if (this.#closed) throw this.#closedHere()
    const redis = await connect(this.#target, { ...this.#options, dedicated: true })
    const open = this.#options.channel !== 'plain' && canTakeOver(redis) ? openChannel : openPlainLane
    const { replyTimeoutMs } = this.#options
    const opened = await open(redis, { ...lane, endpoint: this.#endpoint, replyTimeoutMs })
    if (this.#closed) opened.close()
    this.#lanes = [...this.#lanes.filter((other) => !other.closed), opened]
    return opened
  }

  /** Empty where the user may not ask. */
  async #info(...sections: readonly string[]): Promise<ReadonlyMap<string, string>> {
    const reply = await this.#ask('INFO', ...sections)
    return parseInfo(Buffer.isBuffer(reply) ? reply.toString() : '')
  }

  async #probe(name: string): Promise<boolean> {
    const reply = await this.#ask('COMMAND', 'INFO', name)
    if (Array.isArray(reply) && Array.isArray(reply[0])) return true
    // Before 7.0 COMMAND knows no subcommands; their containers have a text of help, one line a subcommand.
    const [container, subcommand] = name.split('|')
    if (container === undefined || subcommand === undefined) return false
    const help = await this.#ask(container, 'HELP')
    return Array.isArray(help) && help.some((line) => firstWord(line) === subcommand)
  }

  #closedHere(): CachectlError {
    return new CachectlError('REDIS_UNREACHABLE', `the connection to ${this.#endpoint} has been closed`)
  }
}

const firstWord = (line: unknown): string => /^\s*([\w-]*)/.exec(String(line))?.[1]?.toLowerCase() ?? ''
