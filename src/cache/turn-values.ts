// What is read in one turn of the event loop: each key once, in one MGET, with the revision in front of them.
import { revisionKey } from '../core/key.ts'
import { isErrorReply } from '../core/reply.ts'
import type { Reply } from '../ports.ts'
import { failedReply, type Link } from './link.ts'

/** Few enough for one server call to stay short. */
const KEYS_A_CALL = 1_000

const REVISION_INDEX = 0

/** What the keys of a turn held. */
export class Values {
  readonly #indexes: ReadonlyMap<string, number>
  readonly #replies: readonly Reply[]
  readonly revision: string | null

  constructor(indexes: ReadonlyMap<string, number>, replies: readonly Reply[]) {
    this.#indexes = indexes
    this.#replies = replies
    this.revision = textOf(replies[REVISION_INDEX])
  }

  /** @param index what `Turn.add` gave */
  at(index: number): Reply {
    return this.#replies[index] ?? null
  }

  has(key: string): boolean {
    return this.#indexes.has(key)
  }

  /** null also where nobody asked for it */
  text(key: string): string | null {
    const index = this.#indexes.get(key)
    return index === undefined ? null : textOf(this.#replies[index])
  }
}

/** What is asked for until this turn ends. */
export class Turn {
  readonly #indexes = new Map<string, number>()
  readonly values: Promise<Values>
  /** performance.now() */
  readonly openedMs = performance.now()
  /** what this process does until the turn ends is not the time of Redis */
  withinMs = Number.POSITIVE_INFINITY
  /** for L1: the server tells when one of these keys changes */
  tracked = false

  constructor(revision: string, read: (indexes: ReadonlyMap<string, number>, turn: Turn) => Promise<Values>) {
    this.#indexes.set(revision, REVISION_INDEX)
    this.values = new Promise((resolve, reject) => {
      process.nextTick(() => read(this.#indexes, this).then(resolve, reject))
    })
    this.values.catch(() => {})
  }

  /** Where its value will be. */
  add(key: string): number {
    const known = this.#indexes.get(key)
    if (known !== undefined) return known
    const index = this.#indexes.size
    this.#indexes.set(key, index)
    return index
  }
}

/** The turn under way. What is added is read, or fails, by the shortest time that any of its callers has. */
export type JoinTurn = (withinMs: number, tracked: boolean) => Turn

export function createTurns(link: Link, prefix: string): JoinTurn {
  const revision = revisionKey(prefix)
  let turn: Turn | null = null
  const read = async (indexes: ReadonlyMap<string, number>, { withinMs, tracked }: Turn): Promise<Values> => {
    turn = null
    const keys = [...indexes.keys()]
    const replies = await link.run((page) => {
      for (let start = 0; start < keys.length; start += KEYS_A_CALL) {
        // The server tracks what the next command reads, for L1 and for nothing else; where it refuses to, it refuses this.
        if (tracked) page.add('CLIENT', 'CACHING', 'YES')
        page.add('MGET', ...(keys.length <= KEYS_A_CALL ? keys : keys.slice(start, start + KEYS_A_CALL)))
      }
    }, withinMs)
    const calls = tracked ? replies.filter((_, index) => index % 2 === 1) : replies
    const failed = failedReply(calls)
    if (failed) throw failed
    const [first] = calls as readonly (readonly Reply[])[]
    return new Values(indexes, calls.length === 1 && first ? first : (calls as readonly (readonly Reply[])[]).flat())
  }
  return (withinMs, tracked) => {
    turn ??= new Turn(revision, read)
    if (withinMs < turn.withinMs) turn.withinMs = withinMs
    if (tracked) turn.tracked = true
    return turn
  }
}

export function textOf(reply: Reply | undefined): string | null {
  return reply === null || reply === undefined || isErrorReply(reply) ? null : String(reply)
}
