// Several named servers as one store: each command goes to the server that its keys belong to, each walk over the masters of all.
import type { NamedServers } from '../../config/resolved.ts'
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
import { Joined, splitCommand } from './command-keys.ts'
import { describeError } from './errors.ts'
import { joinIdentities, sumInfo } from './info.ts'
import { DEFAULT_SERVER, serverOfKeys } from './named-keys.ts'
import type { Route, Stop } from './routed-commands.ts'
import { RoutedLane } from './routed-lane.ts'

/** A server by its name, which stands for its address in messages. */
interface Server extends Stop {
  store: Store
}

export class NamedStore implements Store {
  readonly #servers: ReadonlyMap<string, Server>
  readonly #serverOf: (key: CommandArgument) => string
  #distinct: Promise<readonly Server[]> | null = null

  /** @param stores by name, `default` first */
  constructor(named: NamedServers, stores: ReadonlyMap<string, Store>) {
    this.#servers = new Map([...stores].map(([endpoint, store]) => [endpoint, { endpoint, store }]))
    this.#serverOf = serverOfKeys(named)
  }

  /** All of them are named, since a command may act on all. */
  async identity(): Promise<RedisIdentity> {
    const servers = await this.#each()
    const identities = await Promise.all(servers.map(({ store }) => store.identity()))
    const endpoint = identities.map((identity, index) => `${servers[index]?.endpoint} ${identity.endpoint}`).join(', ')
    return { ...(identities[0] as RedisIdentity), endpoint, ...joinIdentities(identities) }
  }

  async info(): Promise<ServerInfo> {
    return sumInfo(await Promise.all((await this.#each()).map(({ store }) => store.info())))
  }

  async masters(): Promise<readonly Master[]> {
    const all = (await this.#each()).map(async ({ endpoint, store }) =>
      (await store.masters()).map(({ id, lane }): Master => ({ id: `${endpoint} ${id}`, lane })),
    )
    return (await Promise.all(all)).flat()
  }

  async lane(options: LaneOptions = {}): Promise<Lane> {
    const opened = await Promise.allSettled(
      [...this.#servers.values()].map(async (server) => [server.endpoint, await server.store.lane(options)] as const),
    )
    const lanes = opened.flatMap((one) => (one.status === 'fulfilled' ? [one.value] : []))
    const failed = opened.find((one) => one.status === 'rejected')
    if (failed) {
      for (const [, lane] of lanes) lane.close()
      throw failed.reason
    }
    return new RoutedLane(this.#route(options), new Map(lanes), {
      retryMs: 0,
      fixed: false,
      readOnly: options.replica ?? false,
    })
  }

  async layout(): Promise<string | null> {
    const layouts = await this.#text((store) => store.layout())
    return layouts.every((layout) => layout === null) ? null : layouts.join('\n')
  }

  async history(): Promise<string | null> {
    const histories = await this.#text((store) => store.history())
    if (histories.includes(null)) return null
    return [...new Set(histories.flatMap((history) => history?.split(' ') ?? []))].sort().join(' ')
  }

  settling(): () => Promise<Settled> {
    const each = [...this.#servers.values()].map(({ store }) => store.settling())
    return async () => {
      const all = await Promise.all(each.map((settled) => settled()))
      return all.find((one) => one === 'moved') ?? all.find((one) => one === 'unknown') ?? 'settled'
    }
  }

  async callEach(...args: readonly CommandArgument[]): Promise<readonly { master: string; reply: Reply }[]> {
    const all = (await this.#each()).map(async ({ endpoint, store }) =>
      (await store.callEach(...args)).map(({ master, reply }) => ({ master: `${endpoint} ${master}`, reply })),
    )
    return (await Promise.all(all)).flat()
  }

  async supports(command: string): Promise<boolean> {
    const all = await Promise.all((await this.#each()).map(({ store }) => store.supports(command)))
    return all.every(Boolean)
  }

  async call(...args: readonly CommandArgument[]): Promise<Reply> {
    const split = splitCommand(args, this.#serverOf)
    if ('error' in split) throw describeError(split, `the servers ${[...this.#servers.keys()].join(', ')}`)
    const joined = new Joined(split.join)
    const asked = split.parts.map(async (part) =>
      joined.add(part, await this.#server(part.place).store.call(...part.args)),
    )
    await Promise.all(asked)
    return joined.reply
  }

  async close(): Promise<void> {
    for (const { store } of this.#servers.values()) await store.close()
  }

  async #text(ask: (store: Store) => Promise<string | null>): Promise<(string | null)[]> {
    return Promise.all((await this.#each()).map(({ store }) => ask(store)))
  }

  #route(options: LaneOptions): Route<string, Server> {
    return {
      endpoint: [...this.#servers.keys()].join(', '),
      placeOf: this.#serverOf,
      where: (name) => this.#server(name),
      open: ({ store }) => store.lane(options),
      redirect: () => null,
      refresh: async () => {},
    }
  }

  #server(name: string | null): Server {
    return this.#servers.get(name ?? DEFAULT_SERVER) as Server
  }

  /** Two names may lead to one and the same database, on a developer's machine say: it is walked and counted once. */
  #each(): Promise<readonly Server[]> {
    this.#distinct ??= this.#findDistinct()
    this.#distinct.catch(() => {
      this.#distinct = null
    })
    return this.#distinct
  }

  async #findDistinct(): Promise<readonly Server[]> {
    const servers = [...this.#servers.values()]
    const identities = await Promise.all(servers.map(({ store }) => store.identity()))
    const seen = new Set<string>()
    return servers.filter((_, index) => {
      const { endpoint, database, runId, replicationId } = identities[index] as RedisIdentity
      const same = `${runId ?? replicationId ?? endpoint} ${database}`
      return !seen.has(same) && seen.add(same)
    })
  }
}
