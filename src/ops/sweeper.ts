// Acts on pages of keys and keeps their account: what was done, gone, refused, and what nobody knows.
import { type Account, emptyAccount } from '../core/account.ts'
import { aclLine } from '../core/acl.ts'
import { asCachectlError, CachectlError } from '../core/errors.ts'
import { printable } from '../core/printable.ts'
import { isErrorReply } from '../core/reply.ts'
import type { ErrorReply, Lane, Reply } from '../ports.ts'
import type { OperationContext } from './context.ts'
import { createPacer } from './pace.ts'
import type { SweepOptions, Swept } from './sweep.ts'

export interface Sweeper {
  /** Sends what is to be done about these keys; waits only as the pace says, and for what was sent before. */
  act(lane: Lane, keys: readonly Buffer[]): Promise<void>
  /** not acted on */
  leave(keys: number): void
  protect(key: Buffer): void
  /** Waits for what is under way. @throws CachectlError what it failed with */
  settle(): Promise<void>
  /** After a lost connection: keys that were sent and are still there are met again. */
  recover(): Promise<void>
  /** whether keys were elsewhere than on the master that named them, since it was asked last */
  moved(): boolean
  finish(settled: boolean, failure: CachectlError | null): Swept
}

/** Keys of one command: few enough for a call of well under a millisecond. */
const KEYS_A_CALL = 64
/** Keys of one page of commands, so that clients beside it get their turn. */
const KEYS_A_PAGE = 512
/** Keys that SCAN may name twice before they are deleted: those of the pages under way. */
const KEYS_REMEMBERED = 8_192

const REDIRECTED = new Set(['MOVED', 'ASK', 'TRYAGAIN', 'CLUSTERDOWN'])
/** What no other key of the walk would fare better with. */
const HOPELESS: Readonly<Record<string, 'REDIS_REFUSES_WRITES' | 'REDIS_ACL'>> = {
  MISCONF: 'REDIS_REFUSES_WRITES',
  READONLY: 'REDIS_REFUSES_WRITES',
  OOM: 'REDIS_REFUSES_WRITES',
  NOREPLICAS: 'REDIS_REFUSES_WRITES',
  NOPERM: 'REDIS_ACL',
}

type ActOptions = Omit<SweepOptions, 'decide' | 'examine'>

export function createSweeper(context: OperationContext, options: ActOptions): Sweeper {
  return new RunningSweeper(context, options)
}

class RunningSweeper implements Sweeper {
  readonly #context: OperationContext
  readonly #options: ActOptions
  readonly #account: Account = emptyAccount()
  readonly #problems = new Map<string, { code: string; message: string; keys: number }>()
  readonly #pacer
  readonly #startedMs = performance.now()
  /** keys of late pages, which SCAN may name once more while they are being deleted */
  #recent = new Set<string>()
  #before = new Set<string>()
  #spared = new Set<string>()
  #underWay: Promise<void> | null = null
  /** sent on a connection that was lost */
  #lost: Buffer[] = []
  #redirected = 0
  #acted = 0
  #refusal: CachectlError | null = null
  #clustered: boolean | null = null
  /** to wherever keys have moved */
  #routed: Lane | null = null

  constructor(context: OperationContext, options: ActOptions) {
    this.#context = context
    this.#options = options
    this.#pacer = createPacer(options.pace, context.store, context.signal)
    context.emit({ event: 'start', task: options.task, unit: 'keys', total: options.expected })
  }

  async act(lane: Lane, named: readonly Buffer[]): Promise<void> {
    const fresh = named.filter((key) => this.#isNew(key))
    for (let start = 0; start < fresh.length; start += KEYS_A_PAGE) {
      const keys = fresh.slice(start, start + KEYS_A_PAGE)
      const room = Math.max(0, (this.#options.most ?? Number.POSITIVE_INFINITY) - this.#acted)
      const stop = this.#context.signal.aborted ? 0 : Math.min(room, keys.length)
      if (stop < keys.length) this.leave(keys.length - stop)
      if (stop > 0) await this.#send(lane, keys.slice(0, stop))
    }
  }

  leave(keys: number): void {
    this.#account.matched += keys
    this.#account[this.#options.outdated ? 'outdated' : 'remaining'] += keys
  }

  protect(key: Buffer): void {
    const text = key.toString('latin1')
    if (this.#spared.has(text)) return
    if (this.#spared.size < 1_000_000) this.#spared.add(text)
    this.#account.matched++
    this.#account.protected++
  }

  async settle(): Promise<void> {
    const underWay = this.#underWay
    this.#underWay = null
    await underWay
  }

  async recover(): Promise<void> {
    await this.settle().catch(() => {})
    this.#recent.clear()
    this.#before.clear()
    const keys = this.#lost.splice(0)
    for (const [index, key] of keys.entries()) {
      try {
        const there = (await this.#context.store.call('EXISTS', key)) === 1
        this.#account.unknown--
        if (there) {
          this.#account.matched--
          this.#acted--
        } else this.#account.alreadyGone++
      } catch (thrown) {
        this.#lost = keys.slice(index)
        throw thrown
      }
    }
    this.#forget()
  }

  /** What was passed over is met again by the next walk. */
  #forget(): void {
    const account = this.#account
    for (const part of ['protected', 'remaining', 'outdated', 'failed'] as const) {
      account.matched -= account[part]
      account[part] = 0
    }
    this.#spared.clear()
    this.#problems.clear()
  }

  moved(): boolean {
    const moved = this.#redirected > 0
    this.#redirected = 0
    return moved
  }

  finish(settled: boolean, failure: CachectlError | null): Swept {
    const { signal, emit } = this.#context
    const account = this.#account
    this.#routed?.close()
    emit({ event: 'end', task: this.#options.task, done: this.#acted, durationMs: performance.now() - this.#startedMs })
    const left = account.remaining + account.outdated + account.failed + account.unknown
    return {
      account,
      complete: settled && left === 0 && failure === null,
      stopped: signal.aborted ? asCachectlError(signal.reason) : failure,
      doubt:
        settled || failure !== null || signal.aborted
          ? null
          : 'keys went from server to server all the while, and some may have been passed over',
      problems: [...this.#problems.values()].sort((a, b) => b.keys - a.keys),
    }
  }

  /** One page is under way while the next is being decided upon. */
  async #send(lane: Lane, keys: readonly Buffer[]): Promise<void> {
    await this.settle()
    const sent = this.#run(lane, keys)
    // Awaited by `settle`; meanwhile something else may fail first.
    sent.catch(() => {})
    this.#underWay = sent
    if (this.#options.pace !== 'max') await this.settle()
  }

  async #run(lane: Lane, keys: readonly Buffer[]): Promise<void> {
    const { action } = this.#options
    // In a Cluster the keys of one command must be of one slot.
    this.#clustered ??= (await this.#context.store.layout()) !== null
    const size = !action.many || this.#clustered ? 1 : KEYS_A_CALL
    const page = lane.page()
    page.add('TIME')
    for (let start = 0; start < keys.length; start += size) action.add(page, keys.slice(start, start + size))
    page.add('TIME')
    this.#account.matched += keys.length
    this.#acted += keys.length
    let replies: readonly Reply[]
    try {
      replies = await lane.run(page)
    } catch (thrown) {
      this.#account.unknown += keys.length
      this.#lost.push(...keys.map((key) => Buffer.from(key)))
      throw thrown
    }
    const elsewhere: Buffer[] = []
    for (let start = 0, at = 1; start < keys.length; start += size, at++)
      this.#count(replies[at] as Reply, keys.slice(start, start + size), elsewhere)
    for (const key of elsewhere) await this.#redirect(key)
    this.#context.emit({
      event: 'progress',
      task: this.#options.task,
      done: this.#acted,
      total: this.#options.expected,
    })
    await this.#pacer.after(keys.length, spentMs(replies[0], replies.at(-1)))
    if (this.#refusal !== null) throw this.#refusal
  }

  #count(reply: Reply, keys: readonly Buffer[], elsewhere: Buffer[]): void {
    const account = this.#account
    if (isErrorReply(reply)) {
      if (REDIRECTED.has(reply.code)) elsewhere.push(...keys)
      else this.#fail(reply, keys.length)
    } else if (keys.length > 1) {
      account.deleted += Number(reply)
      account.alreadyGone += keys.length - Number(reply)
    } else if (this.#isDone(reply)) account.deleted++
    else account.alreadyGone++
  }

  #isDone(reply: Reply): boolean {
    const { action } = this.#options
    return action.outcome ? action.outcome(reply) === 'done' : Number(reply) > 0
  }

  #fail(reply: ErrorReply, keys: number): void {
    this.#account.failed += keys
    const message = printable(reply.error)
    const known = this.#problems.get(message)
    if (known) known.keys += keys
    else if (this.#problems.size < 100) this.#problems.set(message, { code: reply.code, message, keys })
    const code = HOPELESS[reply.code]
    if (code === undefined) return
    const hint = hintFor(reply.code, this.#context.config?.prefix ?? null)
    this.#refusal ??= new CachectlError(code, `the server refuses: ${message}`, hint === null ? {} : { hint })
  }

  /** The key has moved to another master since, or is a ghost of one that has. */
  async #redirect(key: Buffer): Promise<void> {
    this.#redirected++
    try {
      if (this.#routed === null || this.#routed.closed) this.#routed = await this.#context.store.lane()
      const page = this.#routed.page()
      this.#options.action.add(page, [key])
      const [reply = null] = await this.#routed.run(page)
      if (isErrorReply(reply)) this.#fail(reply, 1)
      else if (this.#isDone(reply)) this.#account.deleted++
      else this.#account.alreadyGone++
    } catch (thrown) {
      this.#account.unknown++
      this.#lost.push(Buffer.from(key))
      throw thrown
    }
  }

  #isNew(key: Buffer): boolean {
    const text = key.toString('latin1')
    if (this.#recent.has(text) || this.#before.has(text)) return false
    if (this.#recent.size >= KEYS_REMEMBERED) {
      this.#before = this.#recent
      this.#recent = new Set()
    }
    this.#recent.add(text)
    return true
  }
}

function hintFor(code: string, prefix: string | null): string | null {
  if (code === 'READONLY') return 'this server is a replica: name its primary, or the Sentinels'
  if (code === 'NOPERM' && prefix !== null)
    return `a user that may: ${aclLine('incident', { prefix, foreign: [], mode: 'standalone' })}`
  return null
}

/** Between two answers to TIME; null where it is refused. */
function spentMs(before: Reply | undefined, after: Reply | undefined): number | null {
  if (!Array.isArray(before) || !Array.isArray(after)) return null
  const [from, to] = [before, after].map((time) => Number(time[0]) * 1000 + Number(time[1]) / 1000)
  return Math.max(0, (to as number) - (from as number))
}
