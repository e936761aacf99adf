// The kernel: reads, loads, writes and invalidations of one process, over one link to Redis. Its parts have files of their own; this one joins them.
import { setMaxListeners } from 'node:events'
import type { ResolvedConfig } from '../config/resolved.ts'
import { CachectlError } from '../core/errors.ts'
import type { Clock, Random, Reply, Store } from '../ports.ts'
import { createCatchUp, createInvalidate, UNHURRIED_MS } from './applying.ts'
import { createControlMirror, type Run } from './control-mirror.ts'
import type { Counters } from './counters.ts'
import { createFlights } from './flights.ts'
import { createBacklog } from './invalidating.ts'
import type { Kernel } from './kernel.ts'
import { eachServer, walkKeys } from './key-walk.ts'
import type { LeadContext } from './lead.ts'
import { createLink, failedReply, type Link } from './link.ts'
import { createGate } from './load-control.ts'
import { createLoading } from './loading.ts'
import { createReader } from './reading.ts'
import { createRecentChanges } from './recent-changes.ts'
import { createReport } from './report.ts'
import type { Announcement, Near } from './tiers.ts'
import { newToken } from './token.ts'
import { createWriting } from './writing.ts'

export interface KernelOptions {
  config: ResolvedConfig
  store: Pick<Store, 'lane' | 'masters' | 'layout' | 'history' | 'settling'>
  clock: Clock
  random: Random
  counters: Counters
  near: Near | null
  /** how long a call waits for Redis */
  deadlineMs: number
  /** loaders at once while Redis is away */
  sourceConcurrency: number
  production: boolean
  /** rejects instead of going on without Redis */
  strict: boolean
  onError(error: unknown): void
}

/** Commands on keys that are moving to another server are sent again for so long: the others of their turn wait for them. */
const RETRY_MS = 50
/** `close` waits so long for what is under way. */
const CLOSE_WITHIN_MS = 2_000

/** A kernel, and whether Redis is there at this moment. */
export interface OpenedKernel extends Kernel {
  isUp(): boolean
  /** @param beforeEnd what needs the connection once more, when nothing is under way any more */
  close(beforeEnd?: () => Promise<void>): Promise<void>
}

export function createKernel(options: KernelOptions): OpenedKernel {
  const { config, clock, random, counters, near, deadlineMs, store, strict } = options
  const writer = newToken().slice(0, 8)
  const control = createControlMirror(config)
  const backlog = createBacklog()
  const recent = createRecentChanges()
  const flights = createFlights()
  const closing = new AbortController()
  // one a load under way
  setMaxListeners(0, closing.signal)
  const report = createReport(options.onError)
  const applying = { config, control, backlog, recent, store, report }
  const catchUp = createCatchUp(applying)
  /** Nobody waits for it: who was told `queued` has gone on. */
  const tell = (late: Announcement | null): void => {
    if (late !== null) near?.announce(late).catch(report)
  }
  const link: Link = createLink({
    open: () => store.lane({ fixed: true, retryMs: RETRY_MS }),
    async prepare(run, lane) {
      near?.clear()
      // What was applied at another primary, of which this one may not know.
      if (await control.checkHistory(run, () => store.history())) for (const change of recent.all()) backlog.add(change)
      await control.sync(run)
      const late = await catchUp(run)
      await near?.attach(lane)
      tell(late)
    },
    resume: async (run) => tell(await catchUp(run)),
    inStep: () => backlog.size === 0,
    // What is in memory stays for what is left of its heartbeat: whoever invalidates waits for that.
    onDown: report,
  })
  near?.onBumped(() => control.outdated())

  const reader = createReader({
    config,
    link,
    control,
    clock,
    near,
    onUndecodable: (place) => counters.count('error', place),
  })
  const context: LeadContext = {
    config,
    clock,
    random,
    counters,
    writer,
    production: options.production,
    report,
    link,
    reader,
    flights,
    near,
    closing: closing.signal,
    deadlineMs,
    gate: createGate(options.sourceConcurrency),
  }
  const loading = createLoading(context, control, strict)
  const until = () => performance.now() + deadlineMs
  const hurried: Run = (build) => link.run(build, deadlineMs)
  const unhurried: Run = (build) => link.run(build, UNHURRIED_MS)

  const command = async (...args: readonly (string | number | Buffer)[]): Promise<Reply> => {
    const [reply = null] = await link.run((page) => page.add(...args), deadlineMs)
    const failed = failedReply([reply])
    if (failed) throw failed
    return reply
  }

  const invalidate = createInvalidate(context, applying, { loading, strict })
  const writing = createWriting(context, { control, invalidate, strict })

  return {
    config,
    clock,
    random,
    counters,
    writer,
    production: options.production,
    near: loading.near,
    read: loading.read,
    readOne: loading.readOne,
    load: loading.load,
    loadMany: loading.loadMany,
    refresh: loading.refresh,
    write: writing.write,
    touch: writing.touch,
    invalidate,
    async key(place) {
      return (await reader.mirror(until())).keyOf(place)
    },
    isUp: () => link.up,
    command,
    commands: async (commands) => {
      const replies = await link.run((page) => {
        for (const args of commands) page.add(...args)
      }, deadlineMs)
      return replies
    },
    async *scan(match) {
      for await (const server of eachServer(hurried, store)) yield* walkKeys(server, match)
    },
    report,
    async close(beforeEnd) {
      await loading.settled(CLOSE_WITHIN_MS)
      await beforeEnd?.()
      if (link.up) await catchUp(unhurried).catch(report)
      if (backlog.size > 0)
        report(new CachectlError('REDIS_UNREACHABLE', `${backlog.size} invalidations were not applied: Redis was away`))
      closing.abort(new CachectlError('REDIS_UNREACHABLE', 'the cache has been closed'))
      await near?.close()
      link.close()
    },
  }
}
