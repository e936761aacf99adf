// A lane to several servers: each command of a page goes where its keys are, one write a server, and the replies come back in the order of the page.
// Commands that have to be sent again (a slot has moved, or is moving) are, for a while; a server that is lost closes the lane.
import { setTimeout as delay } from 'node:timers/promises'
import { asCachectlError, CachectlError } from '../../core/errors.ts'
import type { CommandArgument, Lane, Page, Reply } from '../../ports.ts'
import { closedHere, type LaneFailure, lost, pageError } from './lane-failure.ts'
import { RecordedPage } from './recorded-page.ts'
import { type Route, RoutedCommands, type Step, type Stop } from './routed-commands.ts'

export interface RoutedLaneOptions {
  /** closes where a command would go to a server that is not one of the first */
  fixed: boolean
  /** how long commands are sent again that a server cannot answer just now */
  retryMs: number
  /** replicas answer: reads only */
  readOnly: boolean
}

const RETRY_AFTER_MS = 20

export class RoutedLane<Place, Node extends Stop> implements Lane {
  readonly noTouch: boolean
  declare readonly replica?: string | null
  readonly #route: Route<Place, Node>
  readonly #options: RoutedLaneOptions
  readonly #lanes: Map<string, Lane>
  /** the servers of the beginning */
  readonly #first: ReadonlySet<string>
  readonly #opening = new Map<string, Promise<Lane>>()
  /** the first answers of the page that was run last are in */
  #last: Promise<void> = Promise.resolve()
  #failure: LaneFailure | null = null

  /** @param lanes by endpoint, those that are open */
  constructor(route: Route<Place, Node>, lanes: ReadonlyMap<string, Lane>, options: RoutedLaneOptions) {
    this.#route = route
    this.#options = options
    this.#lanes = new Map(lanes)
    this.#first = new Set(lanes.keys())
    const all = [...lanes.values()]
    this.noTouch = all.every((lane) => lane.noTouch)
    if (options.readOnly)
      this.replica = all.every((lane) => lane.replica) ? all.map((lane) => lane.replica).join(', ') : null
  }

  get closed(): boolean {
    if (this.#failure === null) for (const [endpoint, lane] of this.#lanes) if (lane.closed) this.#fail(lost(endpoint))
    return this.#failure !== null
  }

  page(): Page {
    return new RecordedPage()
  }

  run(page: Page): Promise<readonly Reply[]> {
    if (!(page instanceof RecordedPage)) return Promise.reject(new TypeError('this page is of another lane'))
    if (page.length === 0) return Promise.resolve([])
    const result = this.closed
      ? Promise.reject(pageError(this.#failure as LaneFailure, { length: page.length, answered: 0, sent: false }))
      : this.#runCommands(page.commands)
    // A caller with several pages under way may look at the first failure only.
    result.catch(() => {})
    return result
  }

  close(): void {
    this.#fail(closedHere(this.#route.endpoint))
  }

  async #runCommands(commands: readonly (readonly CommandArgument[])[]): Promise<readonly Reply[]> {
    const work = new RoutedCommands(this.#route, commands, this.#options.readOnly)
    const before = this.#last
    let firstAnswered = (): void => {}
    this.#last = new Promise((resolve) => {
      firstAnswered = resolve
    })
    try {
      const deadline = performance.now() + this.#options.retryMs
      let answers = await this.#send(work.steps)
      await before
      for (let round = 1; ; round++) {
        const later = work.settle(answers, performance.now() < deadline)
        firstAnswered()
        if (work.steps.length === 0) return work.replies
        if (later) await this.#waitABit(round)
        answers = await this.#send(work.steps)
      }
    } catch (error) {
      const failure = this.#failure
      if (failure === null) throw error
      throw pageError(failure, { length: commands.length, answered: null, sent: true })
    } finally {
      firstAnswered()
    }
  }

  /** One reply a step. What can be written at once is written before this returns: pages reach each server in the order in which they are run. */
  #send(steps: readonly Step<Place, Node>[]): Promise<Reply[]> {
    const replies: Reply[] = []
    const byNode = new Map<string, { node: Node; indexes: number[] }>()
    steps.forEach((step, index) => {
      const node = step.at ?? this.#route.where(step.part.place)
      if (node === undefined) {
        replies[index] = { error: 'CLUSTERDOWN Hash slot not served', code: 'CLUSTERDOWN' }
        return
      }
      const there = byNode.get(node.endpoint)
      if (there === undefined) byNode.set(node.endpoint, { node, indexes: [index] })
      else there.indexes.push(index)
    })
    const runs = [...byNode.values()].map(({ node, indexes }) => {
      const lane = this.#lanes.get(node.endpoint)
      const send = (to: Lane) => this.#sendTo(to, indexes, steps, replies)
      // One that is asked for keys that are on their way to it has taken over from nobody.
      const other = this.#options.fixed && !this.#first.has(node.endpoint) && indexes.some((at) => !steps[at]?.asking)
      const open = other ? Promise.reject(tookOver(node.endpoint)) : null
      const sent = open ?? (lane === undefined ? this.#open(node).then(send) : send(lane))
      return sent.catch((error: unknown) => {
        const { code, message } = asCachectlError(error)
        const closing = code === 'REDIS_TIMEOUT' || code === 'REDIS_PROTOCOL' ? code : 'REDIS_UNREACHABLE'
        this.#fail({ code: closing, message: message.replace(/; [^;]*commands of this page.*$/, '') })
        throw error
      })
    })
    return Promise.all(runs).then(() => replies)
  }

  async #sendTo(
    lane: Lane,
    indexes: readonly number[],
    steps: readonly Step<Place, Node>[],
    replies: Reply[],
  ): Promise<void> {
    const page = lane.page()
    for (const index of indexes) {
      const step = steps[index] as Step<Place, Node>
      if (step.asking) page.add('ASKING')
      page.add(...step.part.args)
    }
    const answers = await lane.run(page)
    let at = 0
    for (const index of indexes) {
      if (steps[index]?.asking) at += 1
      replies[index] = answers[at++] ?? null
    }
  }

  async #waitABit(round: number): Promise<void> {
    await delay(Math.min(RETRY_AFTER_MS * round, 5 * RETRY_AFTER_MS))
    await this.#route.refresh().catch(() => {})
  }

  #open(node: Node): Promise<Lane> {
    const underWay = this.#opening.get(node.endpoint)
    if (underWay !== undefined) return underWay
    const opening = this.#route.open(node).then((lane) => {
      this.#opening.delete(node.endpoint)
      if (this.#failure === null) this.#lanes.set(node.endpoint, lane)
      else lane.close()
      return lane
    })
    this.#opening.set(node.endpoint, opening)
    return opening
  }

  #fail(failure: LaneFailure): void {
    if (this.#failure !== null) return
    this.#failure = failure
    for (const lane of this.#lanes.values()) lane.close()
  }
}

function tookOver(endpoint: string): CachectlError {
  return new CachectlError('REDIS_UNREACHABLE', `${endpoint} has become a master`, {
    hint: 'it is used when it is known what it has',
  })
}
