// The Redis of a config, as operations see it: opened at its first use, every call with a deadline, closed once.
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
  Settled,
  Store,
} from '../../ports.ts'
import { Cluster, isSlotTable } from './cluster.ts'
import { describeError } from './errors.ts'
import { assertNotTooOld, infoIdentity, joinIdentities, serverInfo, sumInfo } from './info.ts'
import { DEFAULT_SERVER } from './named-keys.ts'
import { NamedStore } from './named-store.ts'
import { countKeys, NodeLink, type NodeOptions, probeCommand } from './node-link.ts'
import { type Place, placeOf } from './place.ts'
import { closeWhenReadonly, onlyWhileTrusted } from './primary-lane.ts'
import { endpointOf } from './server-url.ts'

export interface StoreOptions extends NodeOptions {
  /** the server is a private one of this run */
  embedded?: boolean
}

/** @throws CachectlError REDIS_URL_INVALID; nothing is opened yet */
export function openStore(target: RedisTarget, options: StoreOptions): Store {
  const store = new ServerStore(target, options)
  if (!target.named) return store
  const others = Object.entries(target.named.others).map(
    ([name, other]) => [name, new ServerStore(other, options)] as const,
  )
  return new NamedStore(target.named, new Map<string, Store>([[DEFAULT_SERVER, store], ...others]))
}

/** A standalone server, the primary of a Sentinel set, or a Cluster: which of them, the URL or the server itself says. */
class ServerStore implements Store {
  readonly #target: RedisTarget
  readonly #options: StoreOptions
  readonly #place: Place
  readonly #link: NodeLink
  readonly #supported = new Map<string, boolean>()
  #cluster: Promise<Cluster | null> | null = null

  constructor(target: RedisTarget, options: StoreOptions) {
    this.#target = target
    this.#options = options
    this.#place = placeOf(target)
    this.#link = new NodeLink(this.#place, options)
  }

  async identity(): Promise<RedisIdentity> {
    const cluster = await this.#findCluster()
    const own = { database: this.#place.database, from: this.#target.from }
    if (cluster) {
      const infos = await Promise.all((await cluster.links()).map(knownServer))
      return {
        endpoint: endpointOf(this.#target.url),
        mode: 'cluster',
        ...own,
        ...joinIdentities(infos.map(infoIdentity)),
      }
    }
    const identity = infoIdentity(await knownServer(this.#link))
    const mode = this.#options.embedded ? 'embedded' : this.#sentinel ? 'sentinel' : 'standalone'
    return { endpoint: this.#link.endpoint, mode, ...own, ...identity }
  }

  async info(): Promise<ServerInfo> {
    const links = await this.#links()
    const infos = links.map(async (link) => {
      const [fields, keys] = await Promise.all([link.info('everything'), countKeys(link)])
      return serverInfo(fields, keys)
    })
    return sumInfo(await Promise.all(infos))
  }

  async masters(): Promise<readonly Master[]> {
    return (await this.#links()).map((link) => ({
      id: link.endpoint,
      lane: (options) => this.#openLane(link, options),
    }))
  }

  async lane(options?: LaneOptions): Promise<Lane> {
    const cluster = await this.#findCluster()
    return cluster ? cluster.openLane(options) : this.#openLane(this.#link, options)
  }

  async layout(): Promise<string | null> {
    const cluster = await this.#findCluster()
    if (cluster) return cluster.layout()
    if (!this.#sentinel) return null
    const { role, runId } = infoIdentity(await this.#link.info('server', 'replication'))
    return `${this.#link.endpoint} ${role} ${runId ?? ''}`
  }

  async history(): Promise<string | null> {
    const infos = await Promise.all((await this.#links()).map((link) => link.info('replication')))
    return joinIdentities(infos.map(infoIdentity)).replicationId
  }

  async callEach(...args: readonly CommandArgument[]): Promise<readonly { master: string; reply: Reply }[]> {
    const links = await this.#links()
    return Promise.all(links.map(async (link) => ({ master: link.endpoint, reply: await link.ask(...args) })))
  }

  settling(): () => Promise<Settled> {
    return this.#place.watch?.settling() ?? (async () => 'settled')
  }

  async supports(command: string): Promise<boolean> {
    const name = command.toLowerCase()
    const known = this.#supported.get(name)
    if (known !== undefined) return known
    const supported = await probeCommand(this.#link, name)
    this.#supported.set(name, supported)
    return supported
  }

  async call(...args: readonly CommandArgument[]): Promise<Reply> {
    const cluster = await this.#findCluster()
    const reply = await (cluster ? cluster.ask(args) : this.#askPrimary(args))
    if (isErrorReply(reply)) throw describeError(reply, cluster ? endpointOf(this.#target.url) : this.#link.endpoint)
    return reply
  }

  get #sentinel(): boolean {
    return this.#place.watch !== undefined
  }

  async close(): Promise<void> {
    const cluster = await this.#cluster?.catch(() => null)
    await cluster?.close()
    await this.#link.close()
  }

  /** A primary that was demoted while we were connected says so, and has not executed the command: its successor gets it. */
  async #askPrimary(args: readonly CommandArgument[]): Promise<Reply> {
    const reply = await this.#link.ask(...args)
    if (!this.#sentinel || !isErrorReply(reply) || reply.code !== 'READONLY') return reply
    await this.#link.reopen()
    return this.#link.ask(...args)
  }

  async #openLane(link: NodeLink, options?: LaneOptions): Promise<Lane> {
    const lane = await link.openLane(options)
    const { watch } = this.#place
    if (watch === undefined || lane.replica) return lane
    const primary = closeWhenReadonly(lane)
    return options?.fixed ? onlyWhileTrusted(primary, watch) : primary
  }

  async #links(): Promise<readonly NodeLink[]> {
    const cluster = await this.#findCluster()
    return cluster ? cluster.links() : [this.#link]
  }

  /** Asked once; null for a server of its own, and where the user may not ask: then keys of other nodes get MOVED. */
  #findCluster(): Promise<Cluster | null> {
    if (this.#cluster !== null) return this.#cluster
    const found = this.#sentinel ? Promise.resolve(null) : this.#askForCluster()
    this.#cluster = found
    found.catch(() => {
      this.#cluster = null
    })
    return found
  }

  async #askForCluster(): Promise<Cluster | null> {
    const table = await this.#link.ask('CLUSTER', 'SLOTS')
    if (!isSlotTable(table)) return null
    if (table.length > 0) return new Cluster(this.#target, this.#link, this.#options)
    throw new CachectlError(
      'REDIS_UNREACHABLE',
      `${this.#link.endpoint} is a node of a Redis Cluster that serves no slots`,
      {
        hint: 'has it been joined to the others? `redis-cli CLUSTER INFO` and `CLUSTER NODES` show its state',
      },
    )
  }
}

/** INFO. @throws CachectlError REDIS_TOO_OLD */
async function knownServer(link: NodeLink): Promise<ReadonlyMap<string, string>> {
  const fields = await link.info()
  assertNotTooOld(fields, link.endpoint)
  return fields
}
