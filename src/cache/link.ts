// The way to Redis: one connection, everything of one turn of the event loop in one write, a deadline on each answer, and a breaker. Never waits for a
// Redis that is away: while it is, calls are refused at once and the connection is made anew behind them.
import { describeReply } from '../core/error-reply.ts'
import { CachectlError } from '../core/errors.ts'
import { isErrorReply } from '../core/reply.ts'
import type { Lane, Page, Reply } from '../ports.ts'

export interface Link {
  /** False from the first answer that was late or lost until it has come, or the connection is there again and in step. */
  readonly up: boolean
  /**
   * Replies to the commands that `build` adds. @throws CachectlError REDIS_TIMEOUT or REDIS_UNREACHABLE within `withinMs`; it is unknown then what
   * was executed.
   */
  run(build: (page: Commands) => void, withinMs: number): Promise<readonly Reply[]>
  /**
   * The same for what must be applied before the connection is used again: goes over it as soon as it answers. If it waited, a process that invalidates
   * all the time would never be in step.
   */
  runEarly(build: (page: Commands) => void, withinMs: number): Promise<readonly Reply[]>
  /** The server does not take writes any more (it became a replica): the connection is made anew. */
  distrust(error: Error): void
  close(): void
}

export type Commands = Pick<Page, 'add' | 'addSet' | 'length' | 'scattered'>

export interface LinkOptions {
  open(): Promise<Lane>
  /** Brings a new connection in step, before anything else goes over it; what it rejects with closes the connection. */
  prepare(run: (build: (page: Commands) => void) => Promise<readonly Reply[]>, lane: Lane): Promise<void>
  /** Nothing came up while the connection was being prepared or resumed that must be applied before it is used. */
  inStep(): boolean
  /** The same connection answers again: brings it in step before it is used. */
  resume(run: (build: (page: Commands) => void) => Promise<readonly Reply[]>): Promise<void>
  onDown(error: Error): void
}

const RETRY_MS = [50, 100, 200, 400, 800]

interface Turn {
  page: Page
  parts: {
    from: number
    count: number
    withinMs: number
    resolve(replies: readonly Reply[]): void
    reject(error: Error): void
  }[]
}

export function createLink(options: LinkOptions): Link {
  return new RedisLink(options)
}

class RedisLink implements Link {
  readonly #options: LinkOptions
  #lane: Lane | null = null
  /** that is being brought in step */
  #early: Lane | null = null
  /** answers that are later than their deadline; the breaker is open until they are here */
  #late = 0
  #turn: Turn | null = null
  /** the first attempt, for which calls wait within their deadline; later ones nobody waits for */
  #starting: Promise<void> | null = null
  #failures = 0
  #retry: NodeJS.Timeout | null = null
  #closed = false
  /** why it is away */
  readonly #told = new Set<string>()
  #lastError: Error = new CachectlError('REDIS_UNREACHABLE', 'there is no connection to Redis yet')

  constructor(options: LinkOptions) {
    this.#options = options
  }

  get up(): boolean {
    return this.#lane !== null && !this.#lane.closed && this.#late === 0
  }

  run(build: (page: Commands) => void, withinMs: number): Promise<readonly Reply[]> {
    if (this.#closed) return Promise.reject(new CachectlError('REDIS_UNREACHABLE', 'the cache has been closed'))
    if (this.#lane === null && this.#failures === 0) return this.#afterStart(build, withinMs)
    // Lost while nothing was under way, which nobody heard.
    if (this.#lane?.closed) this.#down(new CachectlError('REDIS_UNREACHABLE', 'the connection to Redis was lost'))
    if (!this.up || this.#lane === null) return Promise.reject(this.#lastError)
    if (this.#turn === null) {
      this.#turn = { page: this.#lane.page(), parts: [] }
      process.nextTick(() => this.#flush())
    }
    const { page, parts } = this.#turn
    return new Promise((resolve, reject) => {
      const from = page.length
      build(page)
      parts.push({ from, count: page.length - from, withinMs, resolve, reject })
    })
  }

  async runEarly(build: (page: Commands) => void, withinMs: number): Promise<readonly Reply[]> {
    if (this.up || this.#early === null) return this.run(build, withinMs)
    const { promise, cancel } = within(runOn(this.#early, build), withinMs)
    return promise.finally(cancel)
  }

  distrust(error: Error): void {
    this.#lane?.close()
    this.#down(error)
  }

  close(): void {
    this.#closed = true
    if (this.#retry !== null) clearTimeout(this.#retry)
    this.#lane?.close()
  }

  async #afterStart(build: (page: Commands) => void, withinMs: number): Promise<readonly Reply[]> {
    this.#starting ??= this.#connect()
    const began = performance.now()
    const { promise, cancel } = within(this.#starting, withinMs)
    try {
      await promise
    } catch (error) {
      // whoever comes next need not wait as long
      if (this.#lane === null) this.#failures = Math.max(1, this.#failures)
      this.#lastError = error as Error
      throw error
    } finally {
      cancel()
    }
    return this.run(build, Math.max(1, withinMs - (performance.now() - began)))
  }

  #flush(): void {
    const turn = this.#turn
    this.#turn = null
    const lane = this.#lane
    if (turn === null) return
    if (lane === null || lane.closed) {
      for (const part of turn.parts) part.reject(this.#lastError)
      return
    }
    let answered = false
    let late = false
    const deadline = Math.min(...turn.parts.map((part) => part.withinMs))
    const expire = () => {
      if (answered) return
      late = true
      this.#late++
      const error = new CachectlError('REDIS_TIMEOUT', `Redis did not answer within ${Math.round(deadline)} ms`)
      this.#lastError = error
      if (this.#late === 1) this.#options.onDown(error)
      for (const part of turn.parts) part.reject(error)
    }
    // Where this process was busy until now, the answer may be here and not read yet: that comes before.
    const timer = setTimeout(() => setImmediate(expire), deadline)
    const settle = () => {
      answered = true
      clearTimeout(timer)
      if (late) void this.#answeredLate(lane)
    }
    lane.run(turn.page).then(
      (replies) => {
        settle()
        for (const { from, count, resolve } of turn.parts) resolve(replies.slice(from, from + count))
      },
      (error: Error) => {
        settle()
        for (const part of turn.parts) part.reject(error)
        this.#down(error)
      },
    )
  }

  async #answeredLate(lane: Lane): Promise<void> {
    if (this.#late > 1 || lane.closed) {
      this.#late--
      return
    }
    try {
      await this.#getInStep(lane, () => {
        this.#late--
      })
    } catch (error) {
      lane.close()
      this.#down(error as Error)
    }
  }

  /** Calls `use` at the very moment in which nothing is left to be applied: what is queued later finds the connection up. */
  async #getInStep(lane: Lane, use: () => void): Promise<void> {
    this.#early = lane
    try {
      while (!this.#options.inStep()) await this.#options.resume((build) => runOn(lane, build))
      use()
    } finally {
      this.#early = null
    }
  }

  async #connect(): Promise<void> {
    let lane: Lane | null = null
    try {
      lane = await this.#options.open()
      const opened = lane
      await this.#options.prepare((build) => runOn(opened, build), opened)
      await this.#getInStep(opened, () => {
        if (this.#closed) return opened.close()
        if (opened.closed) throw new CachectlError('REDIS_UNREACHABLE', 'the connection to Redis was lost')
        this.#lane = opened
        this.#failures = 0
        this.#late = 0
        this.#told.clear()
      })
    } catch (error) {
      lane?.close()
      this.#lastError = error as Error
      this.#failures++
      // Attempts go on and on: each reason is told once.
      if (!this.#closed && !this.#told.has(this.#lastError.message)) this.#options.onDown(this.#lastError)
      this.#told.add(this.#lastError.message)
      this.#again()
      throw error
    }
  }

  #down(error: Error): void {
    if (this.#lane === null || this.#closed) return
    this.#lane = null
    this.#lastError = error
    this.#failures = 1
    this.#told.add(error.message)
    this.#options.onDown(error)
    this.#again()
  }

  #again(): void {
    if (this.#closed) return
    const waitMs = RETRY_MS[Math.min(this.#failures, RETRY_MS.length) - 1] as number
    this.#retry = setTimeout(() => void this.#connect().catch(() => {}), waitMs)
    this.#retry.unref()
  }
}

async function runOn(lane: Lane, build: (page: Commands) => void): Promise<readonly Reply[]> {
  const page = lane.page()
  build(page)
  return lane.run(page)
}

/** Rejects after so long, whatever becomes of the promise. */
export function within<T>(promise: Promise<T>, ms: number): { promise: Promise<T>; cancel(): void } {
  let timer: NodeJS.Timeout | undefined
  const late = new Promise<never>((_, reject) => {
    const error = new CachectlError('REDIS_TIMEOUT', `Redis could not be reached within ${Math.round(ms)} ms`)
    timer = setTimeout(() => reject(error), ms)
  })
  return { promise: Promise.race([promise, late]), cancel: () => clearTimeout(timer) }
}

/** An error reply among these, as an error; for commands of which none may fail. */
export function failedReply(replies: readonly Reply[]): CachectlError | null {
  for (const reply of replies) {
    if (isErrorReply(reply)) return replyError(reply)
  }
  return null
}

function replyError({ error, code }: { error: string; code: string }): CachectlError {
  const refusesWrites = ['OOM', 'MISCONF', 'READONLY', 'NOREPLICAS'].includes(code)
  if (refusesWrites) return describeReply(error, 'Redis')
  if (code === 'NOPERM') return new CachectlError('REDIS_ACL', `Redis does not allow it: ${error}`)
  return new CachectlError('REDIS_REPLY', `Redis answered: ${error}`)
}
