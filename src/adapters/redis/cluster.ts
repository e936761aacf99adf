// A Redis Cluster: who owns which slots, a link to each node, and lanes over all of them.
import { setTimeout as delay } from 'node:timers/promises'
import type { RedisTarget } from '../../config/resolved.ts'
import { asCachectlError, CachectlError } from '../../core/errors.ts'
import { slotOf } from '../../core/key-slot.ts'
import { isErrorReply } from '../../core/reply.ts'
import type { CommandArgument, ErrorReply, Lane, LaneOptions, Reply } from '../../ports.ts'
import { describeError } from './errors.ts'
import { NodeLink, type NodeOptions } from './node-link.ts'
import { rememberNodes } from './place.ts'
import type { Route } from './routed-commands.ts'
import { RoutedLane } from './routed-lane.ts'
import { type NodeAddress, readRedirection, readSlotMap, SlotMap } from './slot-map.ts'

const ASK_AGAIN_MS = 100
/** A node that has not answered by then may be gone. */
const LATE_MS = 200

/** Whether this is what a node of a Cluster answers to CLUSTER SLOTS. */
export function isSlotTable(reply: Reply): reply is readonly Reply[] {
  return Array.isArray(reply)
}

export class Cluster {
  readonly #target: RedisTarget
  readonly #seed: NodeLink
  readonly #options: NodeOptions
  readonly #links = new Map<string, NodeLink>()
  #map = new SlotMap()
  /** who has answered last */
  #asked: NodeLink
  #shared: Promise<Lane> | null = null
  #closed = false
  #flux = 0

  /** @param seed the node that was named; it stays its owner's */
  constructor(target: RedisTarget, seed: NodeLink, options: NodeOptions) {
    this.#target = target
    this.#seed = seed
    this.#asked = seed
    this.#options = options
  }

  /** Of the masters that own slots now. @throws CachectlError where no node can be asked */
  async links(): Promise<readonly NodeLink[]> {
    await this.#refresh()
    return this.#map.masters().map((node) => this.#link(node))
  }

  /** One command, where its keys are; error replies are values. */
  async ask(args: readonly CommandArgument[]): Promise<Reply> {
    const lane = await this.#sharedLane()
    const page = lane.page()
    page.add(...args)
    const [reply = null] = await lane.run(page)
    return reply
  }

  /** A lane to all masters. One that cannot be reached may be failed over: they are asked for again until the deadline of connections. */
  async openLane(options: LaneOptions = {}): Promise<Lane> {
    const deadline = performance.now() + this.#options.connectTimeoutMs
    for (;;) {
      try {
        return await this.#openLanes(options)
      } catch (error) {
        const { code } = asCachectlError(error)
        const passing = code === 'REDIS_UNREACHABLE' || code === 'REDIS_TIMEOUT'
        if (!passing || this.#closed || performance.now() + ASK_AGAIN_MS > deadline) throw error
        await delay(ASK_AGAIN_MS)
      }
    }
  }

  /**
   * The slots of each master, in its own words. Slots that are moving make it another text each time: their keys may be anywhere, and whether one has moved
   * nobody says.
   */
  async layout(): Promise<string> {
    const lines = await Promise.all((await this.links()).map((link) => this.#ownLine(link)))
    if (lines.some((line) => /\[\d+-[<>]-/.test(line))) this.#flux += 1
    return [...lines.sort(), ...(this.#flux > 0 ? [`moving ${this.#flux}`] : [])].join('\n')
  }

  async close(): Promise<void> {
    this.#closed = true
    const shared = await this.#shared?.catch(() => null)
    shared?.close()
    for (const link of this.#links.values()) await link.close()
  }

  async #openLanes(options: LaneOptions): Promise<Lane> {
    await this.#refresh()
    const nodes = this.#map.masters()
    const opened = await Promise.allSettled(nodes.map((node) => this.#openNode(node, options)))
    const failed = opened.find((one) => one.status === 'rejected')
    const lanes = opened.flatMap((one, index) =>
      one.status === 'fulfilled' ? [[(nodes[index] as NodeAddress).endpoint, one.value] as const] : [],
    )
    if (failed) {
      for (const [, lane] of lanes) lane.close()
      throw failed.reason
    }
    const { retryMs = this.#options.replyTimeoutMs / 2, fixed = false, replica = false } = options
    return new RoutedLane(this.#route(options), new Map(lanes), { retryMs, fixed, readOnly: replica })
  }

  #route(options: LaneOptions): Route<number, NodeAddress> {
    return {
      endpoint: `the Cluster of ${this.#seed.endpoint}`,
      placeOf: (key) => slotOf(typeof key === 'number' ? String(key) : key),
      where: (slot) => (slot === null ? this.#map.masters()[0] : this.#map.owner(slot)),
      open: (node) => this.#openNode(node, options),
      redirect: (reply, from) => this.#redirect(reply, from),
      refresh: () => this.#refresh(),
    }
  }

  #redirect(reply: ErrorReply, from: NodeAddress): { node: NodeAddress | null; asking: boolean } | 'later' | null {
    if (reply.code === 'TRYAGAIN' || reply.code === 'CLUSTERDOWN') return 'later'
    const to = readRedirection(reply.error, from.host)
    if (to === null) return null
    if (to.kind === 'ASK') return { node: to.node, asking: true }
    this.#map.assign(to.slot, to.slot, to.node)
    return { node: null, asking: false }
  }

  async #openNode(node: NodeAddress, options: LaneOptions): Promise<Lane> {
    try {
      return await this.#link(node).openLane(options)
    } catch (error) {
      throw this.#explain(asCachectlError(error))
    }
  }

  /** The address is the Cluster's own word, which may be true only where its nodes are. */
  #explain(error: CachectlError): CachectlError {
    if (error.code !== 'REDIS_UNREACHABLE' && error.code !== 'REDIS_TIMEOUT') return error
    return new CachectlError(
      error.code,
      `a master that the Cluster of ${this.#seed.endpoint} announces cannot be used: ${error.message}`,
      {
        hint:
          'is that node down (`redis-cli CLUSTER NODES`)? If it is up, its address is right only in the network of the Cluster (NAT, containers): ' +
          'set cluster-announce-ip or cluster-announce-hostname there, or run this in that network',
      },
    )
  }

  #sharedLane(): Promise<Lane> {
    const known = this.#shared
    if (known === null) return this.#share()
    return known.then((lane) => (lane.closed ? (this.#shared === known ? this.#share() : this.#sharedLane()) : lane))
  }

  #share(): Promise<Lane> {
    const shared = this.openLane()
    this.#shared = shared
    shared.catch(() => {
      if (this.#shared === shared) this.#shared = null
    })
    return shared
  }

  #link(node: NodeAddress): NodeLink {
    const known = this.#links.get(node.endpoint)
    if (known !== undefined) return known
    const link = new NodeLink(this.#seed.place.at(node.host, node.port), this.#options)
    this.#links.set(node.endpoint, link)
    return link
  }

  /** Any node will do. */
  async #refresh(): Promise<void> {
    const { link, table } = await this.#anyTable()
    const host = link.endpoint.replace(/:\d+$/, '').replace(/^\[|\]$/g, '')
    this.#map = readSlotMap(table, { host, endpoint: link.endpoint })
    this.#asked = link
    const nodes = this.#map.masters().map((node) => this.#link(node).place)
    rememberNodes(this.#target, nodes)
  }

  /** Who answered last is asked first; when it takes its time, which may be until its deadline, so are the others. */
  async #anyTable(): Promise<{ link: NodeLink; table: readonly Reply[] }> {
    const known = new Set([this.#asked, this.#seed, ...this.#links.values()])
    const first = this.#tableOf(this.#asked)
    const tables = [...known].map(async (link) => {
      if (link === this.#asked) return first
      const failed = first.then(() => false).catch(() => true)
      const late = delay(LATE_MS, true, { ref: false })
      if (await Promise.race([failed, late])) return this.#tableOf(link)
      return first
    })
    try {
      return await Promise.any(tables)
    } catch (error) {
      throw (error as AggregateError).errors[0]
    }
  }

  async #tableOf(link: NodeLink): Promise<{ link: NodeLink; table: readonly Reply[] }> {
    const table = await link.ask('CLUSTER', 'SLOTS')
    if (isErrorReply(table)) throw describeError(table, link.endpoint)
    return { link, table: table as readonly Reply[] }
  }

  async #ownLine(link: NodeLink): Promise<string> {
    const nodes = await link.ask('CLUSTER', 'NODES')
    if (isErrorReply(nodes)) throw describeError(nodes, link.endpoint)
    const own =
      String(nodes)
        .split('\n')
        .find((line) => / (?:\S*,)?myself[, ]/.test(line)) ?? ''
    // id, address, flags, epoch and slots; what the clock changes is left out
    const [id = '', address = '', flags = '', , , , epoch = '', , ...slots] = own.split(' ')
    return [id, address.replace(/@.*$/, ''), flags, epoch, ...slots].join(' ')
  }
}
