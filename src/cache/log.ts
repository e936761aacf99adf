// What the library does, for whoever looks: events on `node:diagnostics_channel`, and lines on stderr where CACHECTL_LOG asks for them.
import { type Channel, channel } from 'node:diagnostics_channel'
import type { Environment } from '../config/environment.ts'
import { scopeField } from '../core/key.ts'
import { printable } from '../core/printable.ts'
import type { Change, Found, Invalidated } from './kernel.ts'

interface Placed {
  namespace: string
  subject: string
  tenant: string | null
}

/** `cachectl:read`: one answer to a read. */
export interface ReadEvent extends Placed {
  /** as it is in Redis */
  key: string
  hit: Found['hit']
  /** null: nothing was found, and nothing loaded */
  tier: Found['tier']
  /** of the whole call; of several entries that were asked for at once, of all of them */
  durationMs: number
}

/** `cachectl:load`: one call of a loader. */
export interface LoadEvent extends Placed {
  /** without generation tokens; null of a call for several entries */
  key: string | null
  entries: number
  durationMs: number
  /** what it threw; null: it gave its values */
  error: unknown
}

/** `cachectl:write`: what became of a value that was to be cached. */
export interface WriteEvent extends Placed {
  /** without generation tokens; null where it is not known */
  key: string | null
  /** `refused`: it was invalidated while it was loaded, or Redis did not take it; `uncacheable`: it would not come back as it is */
  outcome: 'set' | 'refused' | 'uncacheable'
}

/** `cachectl:invalidate` */
export interface InvalidateEvent extends Invalidated {
  change: Change
  durationMs: number
}

/** `cachectl:error`: what also goes to `onError`. */
export interface ErrorEvent {
  error: unknown
}

/** What is published on these channels has the cache's `prefix` as well. */
export interface CacheEvents {
  /** Nobody looks while it is false: events need not be made then. */
  readonly watched: boolean
  read(event: ReadEvent): void
  load(event: LoadEvent): void
  write(event: WriteEvent): void
  invalidate(event: InvalidateEvent): void
  error(error: unknown): void
}

const READ = channel('cachectl:read')
const LOAD = channel('cachectl:load')
const WRITE = channel('cachectl:write')
const INVALIDATE = channel('cachectl:invalidate')
const ERROR = channel('cachectl:error')

/** As pino counts them. */
const LEVELS = { debug: 20, info: 30, warn: 40 } as const
type Level = keyof typeof LEVELS
const SILENT = 100
/** Lines that wait for the logger to be loaded. */
const MOST_WAITING = 1000
const STDERR = 2

/** `destination`: a file descriptor or a path. */
export function createEvents(
  prefix: string,
  environment: Environment,
  destination: number | string = STDERR,
): CacheEvents {
  const level = levelOf(environment)
  const least = level === null ? SILENT : LEVELS[level]
  const log: Log = level === null ? () => {} : openLog(level, prefix, destination)
  const publish = (to: Channel, event: object): void => {
    if (to.hasSubscribers) to.publish({ prefix, ...event })
  }
  const debug = least <= LEVELS.debug
  return {
    get watched() {
      return (
        least < SILENT ||
        READ.hasSubscribers ||
        LOAD.hasSubscribers ||
        WRITE.hasSubscribers ||
        INVALIDATE.hasSubscribers
      )
    },
    read(event) {
      publish(READ, event)
      if (debug)
        log('debug', HITS[event.hit], { key: printable(event.key), tier: event.tier, ms: rounded(event.durationMs) })
    },
    load(event) {
      publish(LOAD, event)
      const failed = event.error !== null
      if (failed ? least <= LEVELS.warn : debug)
        log(failed ? 'warn' : 'debug', failed ? 'LOAD FAILED' : 'LOAD', loadLine(event))
    },
    write(event) {
      publish(WRITE, event)
      if (debug) log('debug', event.outcome.toUpperCase(), { key: keyOrPlace(event) })
    },
    invalidate(event) {
      publish(INVALIDATE, event)
      if (least > LEVELS.info) return
      const { acknowledged, change, deleted, durationMs, status } = event
      log('info', 'INVALIDATE', { ...changeLine(change), status, deleted, acknowledged, ms: rounded(durationMs) })
    },
    error(error) {
      publish(ERROR, { error })
      if (least <= LEVELS.warn) log('warn', 'ERROR', errorLine(error))
    },
  }
}

const HITS: Record<Found['hit'], string> = { fresh: 'HIT', stale: 'STALE', miss: 'MISS' }

function levelOf(environment: Environment): Level | null {
  const asked = environment.CACHECTL_LOG?.trim().toLowerCase()
  if (!asked) return null
  if (Object.hasOwn(LEVELS, asked)) return asked as Level
  // An application must not fail for a word in a variable of its logs.
  process.emitWarning(`CACHECTL_LOG is \`${printable(asked)}\`, and nothing is logged: it may be debug, info or warn`)
  return null
}

type Log = (level: Level, message: string, fields: object) => void

/** pino takes longer to load than the library: whoever does not log does not pay for it. Lines wait until it is there. */
function openLog(level: Level, prefix: string, destination: number | string): Log {
  let write: Log | null = null
  const waiting: Parameters<Log>[] = []
  const open = async (): Promise<void> => {
    const { pino } = await import('pino')
    // Synchronous, so that the last lines of a process that ends are there.
    const output = pino.destination({ dest: destination, sync: true })
    // A full disk behind stderr is not to end the application.
    output.on('error', () => {})
    const logger = pino({ level, name: 'cachectl', base: { prefix } }, output)
    write = (at, message, fields) => logger[at](fields, message)
    for (const line of waiting.splice(0)) write(...line)
  }
  open().catch((error: unknown) => {
    write = () => {}
    waiting.length = 0
    process.emitWarning(`cachectl cannot log: ${printable(String(error))}`)
  })
  return (...line) => {
    if (write !== null) write(...line)
    else if (waiting.length < MOST_WAITING) waiting.push(line)
  }
}

function keyOrPlace({ key, namespace, subject, tenant }: WriteEvent | LoadEvent): string {
  return printable(key ?? [namespace, subject, ...(tenant === null ? [] : [tenant])].join(':'))
}

function loadLine(event: LoadEvent): object {
  const line = { key: keyOrPlace(event), entries: event.entries, ms: rounded(event.durationMs) }
  return event.error === null ? line : { ...line, ...errorLine(event.error) }
}

function errorLine(error: unknown): object {
  if (!(error instanceof Error)) return { error: printable(String(error)) }
  const { code } = error as { code?: unknown }
  return { error: printable(error.message), ...(typeof code === 'string' ? { code } : {}) }
}

/** How many names of a change a line has; the events have all of them. */
const MOST_NAMES = 20

function changeLine({ entries = [], fences = [], pattern, scopes = [], stamps = [] }: Change): object {
  const names = (all: readonly string[]): string[] => [
    ...all.slice(0, MOST_NAMES).map((name) => printable(name)),
    ...(all.length > MOST_NAMES ? [`and ${all.length - MOST_NAMES} more`] : []),
  ]
  const named = {
    entries: names(
      entries.map(({ namespace, subject, tenant, rest }) =>
        [namespace, subject, ...(tenant === null ? [] : [tenant]), ...rest].join(':'),
      ),
    ),
    stamps: names(stamps),
    scopes: names(scopes.map(scopeField)),
    fences: names(fences),
  }
  const told = Object.entries(named).filter(([, list]) => list.length > 0)
  return { ...Object.fromEntries(told), ...(pattern === undefined ? {} : { pattern: printable(pattern.glob) }) }
}

/** Microseconds are enough. */
function rounded(ms: number): number {
  return Math.round(ms * 1000) / 1000
}
