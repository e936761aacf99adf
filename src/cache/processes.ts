// The processes that hold entries in their own memory: a hash in Redis, in which each says every few seconds that it is there.
// Whoever is trusted has registered within its last heartbeat; so who is missing, in a hash older than a heartbeat, holds nothing.
import { WHEN_FULL } from '../core/control-script.ts'
import { CachectlError } from '../core/errors.ts'
import { processesKey } from '../core/key.ts'
import { MAX_HEARTBEAT_MS } from '../core/lifetime.ts'
import { isErrorReply } from '../core/reply.ts'
import type { CommandArgument, Reply } from '../ports.ts'

export type Call = (...args: readonly CommandArgument[]) => Promise<Reply>

/** As it stands in the hash, under a random id, with `seenAt` in ms by the clock of the server. */
export interface ProcessRecord {
  host: string
  pid: number
  /** how long it trusts its copies without a word of Redis */
  heartbeatMs: number
  /** versions of its code: `1`, `1.2` */
  versions: readonly string[]
}

export interface ProcessRegistry {
  /** null: there is no hash */
  createdAtMs: number | null
  nowMs: number
  /** those that were seen lately enough to hold anything */
  live: readonly { id: string; heartbeatMs: number; versions: readonly string[] }[]
}

/** Heartbeats after which a process that says nothing is forgotten: one is what its trust lasts, the others are for clocks that step. */
const UNSEEN_HEARTBEATS = 3
const CREATED = 'created'

/**
 * Says that this process is there, and forgets those that are not. By one script: both stand on the server's clock at that very moment.
 * KEYS: hash. ARGV: id, record without its brace.
 */
const REGISTER = `
local time = redis.call('TIME')
local now = time[1] * 1000 + math.floor(time[2] / 1000)
local text = string.format('%.0f', now)
redis.call('HSETNX', KEYS[1], '${CREATED}', text)
redis.call('HSET', KEYS[1], ARGV[1], '{"seenAt":' .. text .. ',' .. ARGV[2])
local all = redis.call('HGETALL', KEYS[1])
for i = 1, #all, 2 do
  if all[i] ~= '${CREATED}' then
    local ok, other = pcall(cjson.decode, all[i + 1])
    local known = ok and type(other) == 'table' and type(other.seenAt) == 'number' and type(other.heartbeatMs) == 'number'
    if not known or other.seenAt + ${UNSEEN_HEARTBEATS} * other.heartbeatMs < now then redis.call('HDEL', KEYS[1], all[i]) end
  end
end
return 1`

/** The hash, and the time by the clock that stands in it: of the server that has it, which is one of several in a Cluster. KEYS: hash. */
const READ = `return { redis.call('HGETALL', KEYS[1]), redis.call('TIME') }`

/** The registration of one process, which it renews with each beat. */
export class Registration {
  readonly #prefix: string
  readonly #id: string
  readonly #record: string
  readonly #report: (error: CachectlError) => void
  /** Before Redis 7 scripts have no flags. */
  #knowsFlags = true

  constructor(prefix: string, id: string, record: ProcessRecord, report: (error: CachectlError) => void) {
    this.#prefix = prefix
    this.#id = id
    this.#record = JSON.stringify(record).slice(1)
    this.#report = report
  }

  command(): CommandArgument[] {
    return [
      'EVAL',
      WHEN_FULL[this.#knowsFlags ? 0 : 1] + REGISTER,
      1,
      processesKey(this.#prefix),
      this.#id,
      this.#record,
    ]
  }

  /** What came of it. `again`: it is to be sent once more. */
  outcome(reply: Reply): 'registered' | 'again' | 'refused' {
    if (!isErrorReply(reply)) return 'registered'
    if (this.#knowsFlags && /compil/i.test(reply.error)) {
      this.#knowsFlags = false
      return 'again'
    }
    const hint = 'L1 gives nothing until it can: it needs EVAL, TIME, HSET, HSETNX, HGETALL and HDEL'
    this.#report(new CachectlError('REDIS_ACL', `this process cannot register its L1: ${reply.error}`, { hint }))
    return 'refused'
  }
}

export function leaveCommand(prefix: string, id: string): CommandArgument[] {
  return ['HDEL', processesKey(prefix), id]
}

/** @throws CachectlError where Redis is away, or refuses */
export async function readProcesses(call: Call, prefix: string, heartbeatMs: number): Promise<ProcessRegistry> {
  const answer = await call('EVAL', READ, 1, processesKey(prefix))
  const [fields, time] = Array.isArray(answer) ? answer : []
  const [seconds, micros] = Array.isArray(time) ? time.map(Number) : []
  const nowMs = (seconds ?? 0) * 1000 + Math.floor((micros ?? 0) / 1000)
  const live: { id: string; heartbeatMs: number; versions: readonly string[] }[] = []
  let createdAtMs: number | null = null
  const texts = Array.isArray(fields) ? fields.map(String) : []
  for (let index = 0; index + 1 < texts.length; index += 2) {
    const [id, text] = texts.slice(index, index + 2) as [string, string]
    if (id === CREATED) {
      createdAtMs = Number.isFinite(Number(text)) ? Number(text) : nowMs
      continue
    }
    // What cannot be read may be of a later version of the code: it is waited for as if it were one of ours.
    const { seenAt, heartbeatMs: ownMs, versions } = parseRecord(text) ?? { seenAt: nowMs, heartbeatMs, versions: [] }
    if (seenAt + UNSEEN_HEARTBEATS * ownMs >= nowMs)
      live.push({ id, heartbeatMs: Math.min(ownMs, MAX_HEARTBEAT_MS), versions })
  }
  if (createdAtMs === null && texts.length > 0) createdAtMs = nowMs
  return { createdAtMs, nowMs, live }
}

function parseRecord(text: string): (Pick<ProcessRecord, 'heartbeatMs' | 'versions'> & { seenAt: number }) | null {
  try {
    const { seenAt, heartbeatMs, versions } = JSON.parse(text) as Record<string, unknown>
    if (typeof seenAt !== 'number' || typeof heartbeatMs !== 'number') return null
    return { seenAt, heartbeatMs, versions: Array.isArray(versions) ? versions.map(String) : [] }
  } catch {
    return null
  }
}
