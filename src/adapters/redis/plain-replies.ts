// Replies as ioredis gives them, as the replies of a lane. ioredis gives statuses and bulk strings alike as Buffers, so what is a
// status is known from the command: a status that a script or a module returns stays a Buffer.
import { errorReply } from '../../core/reply.ts'
import type { CommandArgument, Reply } from '../../ports.ts'

/** What a command answers: a status, something else, or (EXEC) what each of its commands answers. */
export type ReplyKind = 'status' | 'data' | readonly ReplyKind[]

const STATUS_COMMANDS = new Set(
  (
    'AUTH DISCARD FLUSHALL FLUSHDB HMSET LSET LTRIM MSET MULTI PFMERGE PSETEX READONLY READWRITE RENAME REPLICAOF RESTORE ' +
    'SELECT SETEX SWAPDB TYPE UNWATCH WATCH'
  ).split(' '),
)
const STATUS_SUBCOMMANDS = new Set([
  'ACL SETUSER',
  'CLIENT NO-EVICT',
  'CLIENT NO-TOUCH',
  'CLIENT PAUSE',
  'CLIENT REPLY',
  'CLIENT SETNAME',
  'CLIENT UNPAUSE',
  'CONFIG RESETSTAT',
  'CONFIG REWRITE',
  'CONFIG SET',
  'SCRIPT FLUSH',
  'SCRIPT KILL',
  'XGROUP CREATE',
])

export function replyKind(command: readonly CommandArgument[]): ReplyKind {
  const name = String(command[0]).toUpperCase()
  const upper = (index: number): string => String(command[index] ?? '').toUpperCase()
  if (name === 'SET')
    return command.slice(3).some((option) => String(option).toUpperCase() === 'GET') ? 'data' : 'status'
  if (name === 'PING') return command.length === 1 ? 'status' : 'data'
  return STATUS_COMMANDS.has(name) || STATUS_SUBCOMMANDS.has(`${name} ${upper(1)}`) ? 'status' : 'data'
}

/** Follows MULTI and EXEC over the commands of one connection. */
export class ReplyKinds {
  #queued: ReplyKind[] | null = null

  next(command: readonly CommandArgument[]): ReplyKind {
    const name = String(command[0]).toUpperCase()
    const queued = this.#queued
    if (queued === null) {
      if (name === 'MULTI') this.#queued = []
      return replyKind(command)
    }
    if (name === 'EXEC' || name === 'DISCARD') {
      this.#queued = null
      return name === 'EXEC' ? queued : 'status'
    }
    if (name !== 'WATCH' && name !== 'MULTI') queued.push(replyKind(command))
    return 'status'
  }
}

export function toReply(raw: unknown, kind: ReplyKind): Reply {
  if (raw instanceof Error) return errorReply(raw.message)
  if (Buffer.isBuffer(raw)) return kind === 'status' ? raw.toString() : raw
  if (Array.isArray(raw))
    return raw.map((item, index) => toReply(item, Array.isArray(kind) ? (kind[index] ?? 'data') : 'data'))
  if (raw === null || typeof raw === 'number' || typeof raw === 'string') return raw
  return String(raw)
}
