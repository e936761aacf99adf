// Tells every process what to drop from its memory, and waits until each has said that it did, or until what it holds is past its time.
// For processes that hold copies themselves, and for those that only invalidate (the command line).
import { busChannel } from '../core/key.ts'
import { type Call, readProcesses } from './processes.ts'
import type { Announcement } from './tiers.ts'
import { newToken } from './token.ts'

/** An announcement on the bus. */
export interface BusMessage extends Announcement {
  /** random, of this announcement; acknowledgements name it */
  op: string
  /** random id of the announcing process */
  from: string
  /** of its announcements, from 1 on: a gap means that one was lost */
  seq: number
}

export interface Acknowledged {
  /** that said that they dropped their copies */
  processes: number
  /** that may have had some */
  of: number
  /** Waited for so long that copies of the others, known or not, are past their time. */
  lapsed: boolean
}

export interface AnnounceOptions {
  prefix: string
  /** random id of this process */
  from: string
  /** Called in the moment in which the announcement is sent. */
  nextSeq(): number
  /** the config has namespaces with L1: where nobody is registered, somebody may have been */
  hasNear: boolean
  /** that of the config: none of its processes trusts copies for longer */
  heartbeatMs: number
  call: Call
  /** Asked for only where somebody is to be waited for. */
  acks: Acks
  /** Resolves when the channel of acknowledgements is heard, or it is clear that it will not be. */
  listening(): Promise<void>
}

/** Timers run early, and the clocks of two machines not at one pace. */
const LAPSE_MARGIN = 1.02
/** An announcement of more names says that all is to be dropped. */
const MAX_NAMES = 5_000

/** The channel on which a process hears who did as it announced. */
export function ackChannel(prefix: string, id: string): string {
  return `${busChannel(prefix)}:${id}`
}

/** After so long, copies that were trusted for a heartbeat are not given any more. */
export function lapseMs(heartbeatMs: number): number {
  return Math.ceil(heartbeatMs * LAPSE_MARGIN)
}

/** Which process acknowledged what. */
export class Acks {
  readonly #waiting = new Map<string, (process: string) => void>()

  /** A message on the channel of acknowledgements. */
  hear(payload: string): void {
    const { ack, from } = parseObject(payload) ?? {}
    if (typeof ack === 'string' && typeof from === 'string') this.#waiting.get(ack)?.(from)
  }

  on(op: string, heard: (process: string) => void): () => void {
    this.#waiting.set(op, heard)
    return () => void this.#waiting.delete(op)
  }
}

/**
 * To be called when the change is applied in Redis.
 * @throws CachectlError where Redis is away or refuses: nobody knows then who was told
 */
export async function announce(announcement: Announcement, options: AnnounceOptions): Promise<Acknowledged> {
  const { prefix, from, nextSeq, hasNear, heartbeatMs, call, acks } = options
  const { createdAtMs, nowMs, live } = await readProcesses(call, prefix, heartbeatMs)
  if (createdAtMs === null && !hasNear) return { processes: 0, of: 0, lapsed: false }
  const op = newToken()
  const waitedFor = new Set(live.map(({ id }) => id))
  const longestMs = Math.max(hasNear ? heartbeatMs : 0, ...live.map((process) => process.heartbeatMs))
  // Registrations may have been lost with the hash that was there before this one.
  const complete = createdAtMs !== null && createdAtMs + longestMs <= nowMs
  // It drops its own before it announces.
  waitedFor.delete(from)
  if (waitedFor.size > 0) await options.listening()
  let enough = () => {}
  const heard = new Promise<void>((resolve) => {
    enough = resolve
  })
  const stop = acks.on(op, (process) => {
    if (waitedFor.delete(process) && waitedFor.size === 0 && complete) enough()
  })
  try {
    const message: BusMessage = { op, from, seq: nextSeq(), ...bounded(announcement) }
    await call('PUBLISH', busChannel(prefix), JSON.stringify(message))
    const all = complete && waitedFor.size === 0
    // Counted from the answer to PUBLISH: whoever missed the message has no later word of Redis than that.
    const lapsed = !all && (await lapses(heard, lapseMs(longestMs)))
    return { processes: live.length - waitedFor.size, of: live.length, lapsed }
  } finally {
    stop()
  }
}

/** Whether the time passed before the promise was fulfilled. */
async function lapses(heard: Promise<void>, ms: number): Promise<boolean> {
  let timer: NodeJS.Timeout | undefined
  const late = new Promise<boolean>((resolve) => {
    timer = setTimeout(() => resolve(true), ms)
  })
  try {
    return await Promise.race([heard.then(() => false), late])
  } finally {
    clearTimeout(timer)
  }
}

/** What is announced, and dropped, in its place: itself, or all where it names too much. */
export function bounded(announcement: Announcement): Announcement {
  const { keys, stamps, bumped } = announcement
  if (keys.length + stamps.length <= MAX_NAMES) return announcement
  return { keys: [], stamps: [], bumped, pattern: '*' }
}

/** Null: not what `announce` writes. */
export function parseMessage(payload: string): BusMessage | null {
  const { op, from, seq, keys, stamps, bumped, pattern } = parseObject(payload) ?? {}
  if (typeof op !== 'string' || typeof from !== 'string' || typeof seq !== 'number') return null
  if (!isTexts(keys) || !isTexts(stamps) || typeof bumped !== 'boolean') return null
  if (pattern !== null && typeof pattern !== 'string') return null
  return { op, from, seq, keys, stamps, bumped, pattern }
}

export function ackMessage(op: string, id: string): string {
  return JSON.stringify({ ack: op, from: id })
}

function isTexts(value: unknown): value is string[] {
  return Array.isArray(value) && value.every((item) => typeof item === 'string')
}

function parseObject(payload: string): Record<string, unknown> | null {
  try {
    const value: unknown = JSON.parse(payload)
    return typeof value === 'object' && value !== null ? (value as Record<string, unknown>) : null
  } catch {
    return null
  }
}
