// The commands of one page on their way to several servers: where each goes, what its answer means, and what has to be sent again.
import { isErrorReply } from '../../core/reply.ts'
import type { CommandArgument, ErrorReply, Lane, Reply } from '../../ports.ts'
import { isRead, Joined, type Part, splitCommand } from './command-keys.ts'

/** A server that commands go to. */
export interface Stop {
  endpoint: string
}

/** Where commands go. `Place` is what two keys of one command must share: a slot, or a server. */
export interface Route<Place, Node extends Stop> {
  /** for messages: all of it */
  readonly endpoint: string
  placeOf(key: CommandArgument): Place
  /** null for what has no key. Undefined where nobody serves the place now. */
  where(place: Place | null): Node | undefined
  open(node: Node): Promise<Lane>
  /** What an error reply means: to be sent there (`asking`: as to one who has not got the slot yet), to be sent again later, or (null) the answer. */
  redirect(reply: ErrorReply, from: Node): { node: Node | null; asking: boolean } | 'later' | null
  /** before something is sent again later */
  refresh(): Promise<unknown>
}

/** One part of a command, on its way. */
export interface Step<Place, Node> {
  command: number
  part: Part<Place>
  repeatable: boolean
  /** instead of where its place is */
  at: Node | null
  asking: boolean
  hops: number
}

const MAX_HOPS = 16

export class RoutedCommands<Place, Node extends Stop> {
  readonly #route: Route<Place, Node>
  readonly #joined: (Joined | ErrorReply)[] = []
  /** what is to be sent now */
  steps: readonly Step<Place, Node>[]

  constructor(route: Route<Place, Node>, commands: readonly (readonly CommandArgument[])[], readOnly: boolean) {
    this.#route = route
    this.steps = commands.flatMap((args, command) => this.#plan(args, command, readOnly))
  }

  /** One a command, in their order. */
  get replies(): readonly Reply[] {
    return this.#joined.map((one) => (one instanceof Joined ? one.reply : one))
  }

  /** Takes one answer a step; what has to be sent again is in `steps` then. Says whether that should wait a little. */
  settle(answers: readonly Reply[], inTime: boolean): boolean {
    const again: Step<Place, Node>[] = []
    const disturbed = new Set<Place | null>()
    let later = false
    this.steps.forEach((step, index) => {
      const reply = answers[index] ?? null
      // Some of its keys have moved and some have not: each by itself is found.
      if (isErrorReply(reply) && reply.code === 'TRYAGAIN' && (step.part.keys?.length ?? 0) > 1) {
        again.push(...keyByKey(step))
        disturbed.add(step.part.place)
        return
      }
      const next = isErrorReply(reply) ? this.#next(step, reply, inTime) : null
      if (next !== null) {
        again.push(next.step)
        later ||= next.later
        disturbed.add(step.part.place)
        return
      }
      ;(this.#joined[step.command] as Joined).add(step.part, reply)
      // A delete must not come before what stands before it in the page, such as that of the lease whose holder could write the entry anew.
      if (step.repeatable && !isErrorReply(reply) && disturbed.has(step.part.place))
        again.push({ ...step, at: null, asking: false })
    })
    this.steps = again
    return later
  }

  #plan(args: readonly CommandArgument[], command: number, readOnly: boolean): Step<Place, Node>[] {
    const split =
      readOnly && !isRead(args)
        ? { error: "READONLY You can't write against a read only replica.", code: 'READONLY' }
        : splitCommand(args, (key) => this.#route.placeOf(key))
    if ('error' in split) {
      this.#joined[command] = split
      return []
    }
    this.#joined[command] = new Joined(split.join)
    const { repeatable } = split
    return split.parts.map((part) => ({ command, part, repeatable, at: null, asking: false, hops: 0 }))
  }

  #next(
    step: Step<Place, Node>,
    reply: ErrorReply,
    inTime: boolean,
  ): { step: Step<Place, Node>; later: boolean } | null {
    const from = step.at ?? this.#route.where(step.part.place)
    if (from === undefined) return inTime ? { step, later: true } : null
    const to = this.#route.redirect(reply, from)
    if (to === null) return null
    if (to === 'later') return inTime ? { step: { ...step, at: null, asking: false }, later: true } : null
    if (step.hops >= MAX_HOPS) return null
    // Nodes that send us to each other have not heard of each other's last word yet.
    return { step: { ...step, at: to.node, asking: to.asking, hops: step.hops + 1 }, later: step.hops > 2 }
  }
}

/** A command that was taken apart, one for each of its keys. */
function keyByKey<Place, Node>(step: Step<Place, Node>): Step<Place, Node>[] {
  const { args, keys, place } = step.part
  return (keys ?? []).map((key, at) => ({
    ...step,
    part: { args: [args[0] as CommandArgument, args[at + 1] as CommandArgument], keys: [key], place },
    at: null,
    asking: false,
  }))
}
