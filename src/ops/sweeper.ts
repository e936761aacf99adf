// Acts on pages of keys and keeps their account: what was done, gone, refused, and what nobody knows.
import { type Account, emptyAccount } from '../core/account.ts'
import { asCachectlError, type CachectlError } from '../core/errors.ts'
import { isErrorReply } from '../core/reply.ts'
import { formatCount } from '../core/units.ts'
import type { ErrorReply, Lane, Reply } from '../ports.ts'
import { runAction } from './action-page.ts'
import type { OperationContext } from './context.ts'
import { allKeys, recentKeys } from './met-keys.ts'
import { createPacer } from './pace.ts'
import { countRefusals } from './refusals.ts'
import type { SweepOptions, Swept } from './sweep.ts'

/** Keys of one page of commands, so that clients beside it get their turn. */
const KEYS_A_PAGE = 512

const REDIRECTED = new Set(['MOVED', 'ASK', 'TRYAGAIN', 'CLUSTERDOWN'])

type ActOptions = Omit<SweepOptions, 'decide' | 'examine'>

export class Sweeper {
  readonly #context: OperationContext
  readonly #options: ActOptions
  readonly #account: Account = emptyAccount()
  readonly #refusals
  readonly #pacer
  readonly #startedMs = performance.now()
  readonly #met
  readonly #spared = allKeys()
  #underWay: Promise<void> | null = null
  /** sent on a connection that was lost */
  #lost: Buffer[] = []
  #redirected = 0
  #acted = 0
  #clustered: boolean | null = null
  /** to wherever keys have moved */
  #routed: Lane | null = null

  constructor(context: OperationContext, options: ActOptions) {
    this.#context = context
    this.#options = options
    this.#pacer = createPacer(options.pace, context.store, context.signal)
    this.#met = options.action.stays ? allKeys() : recentKeys()
    this.#refusals = countRefusals(context.config?.prefix ?? null)
    context.emit({ event: 'start', task: options.task, unit: 'keys', total: options.expected })
  }

  /** Sends what is to be done about these keys; waits only as the pace says, and for what was sent before. */
  async act(lane: Lane, named: readonly Buffer[]): Promise<void> {
    const fresh: Buffer[] = []
    const again: Buffer[] = []
    for (const key of named) (this.#met.meet(key) ? fresh : again).push(key)
    for (let start = 0; start < fresh.length; start += KEYS_A_PAGE) {
      const keys = fresh.slice(start, start + KEYS_A_PAGE)
      const room = Math.max(0, (this.#options.most ?? Number.POSITIVE_INFINITY) - this.#acted)
      const stop = this.#context.signal.aborted ? 0 : Math.min(room, keys.length)
      if (stop < keys.length) this.leave(keys.length - stop)
      if (stop > 0) await this.#send(lane, keys.slice(0, stop), this.#account)
    }
    // It is counted. It is done again all the same: a server that took over may lack what the one before it was told.
    if (this.#options.action.stays && again.length > 0 && !this.#context.signal.aborted)
      await this.#send(lane, again, emptyAccount())
  }

  /** not acted on */
  leave(keys: number): void {
    this.#account.matched += keys
    this.#account[this.#options.outdated ? 'outdated' : 'remaining'] += keys
  }

  protect(key: Buffer): void {
    if (!this.#spared.meet(key)) return
    this.#account.matched++
    this.#account.protected++
  }

  /** Waits for what is under way. @throws CachectlError what it failed with */
  async settle(): Promise<void> {
    const underWay = this.#underWay
    this.#underWay = null
    await underWay
  }

  /** After a lost connection: keys that were sent and are still there are met again, or told. */
  async recover(): Promise<void> {
    await this.settle().catch(() => {})
    this.#met.nextWalk()
    const keys = this.#lost.splice(0)
    for (const [index, key] of keys.entries()) {
      try {
        await this.#lookAgain(key)
      } catch (thrown) {
        this.#lost = keys.slice(index)
        throw thrown
      }
    }
    this.#forget()
  }

  /** What was sent and not answered: a key that is still there is met again; one that stays is told from what doing it once more changes. */
  async #lookAgain(key: Buffer): Promise<void> {
    const account = this.#account
    const there = (await this.#context.store.call('EXISTS', key)) === 1
    if (there && this.#options.action.stays) {
      const reply = await this.#ask(key)
      if (!isErrorReply(reply)) {
        this.#met.settle(key)
        // Nothing changed: it was done the first time, or by somebody else. So it stays unknown.
        if (!this.#isDone(reply)) return
        account.unknown--
        account.deleted++
        return
      }
    }
    account.unknown--
    if (there) {
      account.matched--
      this.#acted--
    } else account.alreadyGone++
  }

  /** What was passed over is met again by the next walk. */
  #forget(): void {
    const account = this.#account
    for (const part of ['protected', 'remaining', 'outdated', 'failed'] as const) {
      account.matched -= account[part]
      account[part] = 0
    }
    this.#spared.nextWalk()
    this.#refusals.clear()
  }

  /** whether keys were elsewhere than on the master that named them, since it was asked last */
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
      doubt: failure !== null || signal.aborted ? null : this.#doubt(settled),
      problems: this.#refusals.list(),
    }
  }

  #doubt(settled: boolean): string | null {
    const { unknown } = this.#account
    if (!settled) return 'keys went from server to server all the while, and some may have been passed over'
    if (unknown === 0) return null
    return `the connection was lost with ${formatCount(unknown)} keys under way: they are as they were to be, and whether by this run is not known`
  }

  /** One page is under way while the next is being decided upon. */
  async #send(lane: Lane, keys: readonly Buffer[], account: Account): Promise<void> {
    await this.settle()
    const sent = this.#run(lane, keys, account)
    // Awaited by `settle`; meanwhile something else may fail first.
    sent.catch(() => {})
    this.#underWay = sent
    if (this.#options.pace !== 'max') await this.settle()
  }

  async #run(lane: Lane, keys: readonly Buffer[], account: Account): Promise<void> {
    this.#clustered ??= (await this.#context.store.layout()) !== null
    account.matched += keys.length
    if (account === this.#account) this.#acted += keys.length
    let done: Awaited<ReturnType<typeof runAction>>
    try {
      done = await runAction(lane, this.#options.action, keys, this.#clustered)
    } catch (thrown) {
      this.#lose(keys, account)
      throw thrown
    }
    const elsewhere: Buffer[] = []
    for (const { keys: some, reply } of done.answers) this.#count(reply, some, account, elsewhere)
    await this.#redirectAll(elsewhere, account)
    this.#context.emit({
      event: 'progress',
      task: this.#options.task,
      done: this.#acted,
      total: this.#options.expected,
    })
    await this.#pacer.after(keys.length, done.busyMs)
    const hopeless = this.#refusals.hopeless()
    if (hopeless !== null) throw hopeless
  }

  #count(reply: Reply, keys: readonly Buffer[], account: Account, elsewhere: Buffer[]): void {
    if (isErrorReply(reply) && REDIRECTED.has(reply.code)) elsewhere.push(...keys)
    else if (isErrorReply(reply)) this.#fail(reply, keys.length, account)
    else if (keys.length > 1) {
      account.deleted += Number(reply)
      account.alreadyGone += keys.length - Number(reply)
    } else this.#countOne(reply, keys[0] as Buffer, account)
  }

  #countOne(reply: Reply, key: Buffer, account: Account): void {
    account[this.#isDone(reply) ? 'deleted' : 'alreadyGone']++
    if (account === this.#account) this.#met.settle(key)
  }

  #isDone(reply: Reply): boolean {
    const { action } = this.#options
    return action.outcome ? action.outcome(reply) === 'done' : Number(reply) > 0
  }

  #fail(reply: ErrorReply, keys: number, account: Account): void {
    account.failed += keys
    this.#refusals.add(reply, keys)
  }

  /** Sent, and not answered. */
  #lose(keys: readonly Buffer[], account: Account): void {
    account.unknown += keys.length
    if (account === this.#account) this.#lost.push(...keys.map((key) => Buffer.from(key)))
  }

  /** These have moved to another master since, or are ghosts of ones that have. Where one is lost, so are those behind it. */
  async #redirectAll(keys: readonly Buffer[], account: Account): Promise<void> {
    for (const [index, key] of keys.entries()) {
      this.#redirected++
      try {
        const reply = await this.#ask(key)
        if (isErrorReply(reply)) this.#fail(reply, 1, account)
        else this.#countOne(reply, key, account)
      } catch (thrown) {
        this.#lose(keys.slice(index), account)
        throw thrown
      }
    }
  }

  /** The action on one key, wherever it is. */
  async #ask(key: Buffer): Promise<Reply> {
    if (this.#routed === null || this.#routed.closed) this.#routed = await this.#context.store.lane()
    const page = this.#routed.page()
    this.#options.action.add(page, [key])
    const [reply = null] = await this.#routed.run(page)
    return reply
  }
}
