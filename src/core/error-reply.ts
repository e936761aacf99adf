// What an error reply of Redis means to a person: which code, which cause, what to do next.
import { CachectlError, type ErrorCode } from './errors.ts'
import { printable } from './printable.ts'
import { errorReply } from './reply.ts'

const MAX_TEXT_LENGTH = 300

type Finding = readonly [code: ErrorCode, message: string, hint?: string]

/** By the first word of the reply; `ERR` replies are told apart in `describeErr`. */
const REPLIES: Readonly<Record<string, (text: string) => Finding>> = {
  NOAUTH: () => [
    'REDIS_AUTH',
    'asks for a password, and the URL holds none',
    'write redis://:password@host or redis://user:password@host',
  ],
  WRONGPASS: () => ['REDIS_AUTH', 'refused the user or the password of the URL'],
  DENIED: () => [
    'REDIS_AUTH',
    'is in protected mode: without a password it lets in only clients of its own machine',
    'set a password there (`requirepass`, or an ACL user) and put it in the URL',
  ],
  NOPERM: describeAcl,
  OOM: () => [
    'REDIS_REFUSES_WRITES',
    'is out of memory: it has reached its maxmemory, and its policy evicts nothing that would make room',
    'raise maxmemory, or choose a maxmemory-policy that evicts, or delete keys (deletes still work); `redis-cli INFO memory` shows used_memory and maxmemory',
  ],
  MISCONF: (text) => [
    'REDIS_REFUSES_WRITES',
    `cannot save its data to disk, and refuses all writes until it can, deletes too (${text})`,
    "look at the server's log and disk; `CONFIG SET stop-writes-on-bgsave-error no` lets writes through meanwhile",
  ],
  READONLY: () => [
    'REDIS_REFUSES_WRITES',
    'is a replica, which takes no writes',
    'use the URL of its primary (`redis-cli INFO replication` names it), or run again when the failover has ended',
  ],
  NOREPLICAS: () => [
    'REDIS_REFUSES_WRITES',
    'has too few replicas in step with it (min-replicas-to-write), and refuses writes',
    'bring the replicas back, then run it again',
  ],
  LOADING: () => [
    'REDIS_UNREACHABLE',
    'is still loading its data from disk',
    'run it again when it is loaded; `redis-cli INFO persistence` shows the progress',
  ],
  MASTERDOWN: () => [
    'REDIS_UNREACHABLE',
    'is a replica that has lost its primary and serves no stale data',
    'use the URL of the primary, or wait for the failover',
  ],
  CLUSTERDOWN: () => [
    'REDIS_UNREACHABLE',
    'belongs to a cluster that is down: a part of its slots is served by nobody',
    '`redis-cli CLUSTER INFO` shows its state',
  ],
  TRYAGAIN: () => [
    'REDIS_UNREACHABLE',
    'is moving this part of its cluster elsewhere just now',
    'run it again in a moment',
  ],
  BUSY: () => [
    'REDIS_TIMEOUT',
    'is held up by a script that runs too long',
    'wait for it, or end it with `redis-cli SCRIPT KILL`',
  ],
  MOVED: describeMoved,
  ASK: describeMoved,
}

/** The meaning of an error reply; `command` is the name of what was sent, where it is known. */
export function describeReply(reply: string, endpoint: string, command: string | null = null): CachectlError {
  // Servers repeat the arguments of commands that they do not know, and AUTH may be one.
  const text = errorReply(reply)
    .error.replace(/,? with args beginning with.*$/is, '')
    .slice(0, MAX_TEXT_LENGTH)
  const known = REPLIES[/^[A-Z]+/.exec(text)?.[0] ?? '']?.(printable(text)) ?? describeErr(text)
  const [code, message, hint] = known ?? [
    'REDIS_REPLY',
    `answered${command ? ` to ${printable(command)}` : ''}: ${printable(text)}`,
  ]
  return new CachectlError(code, `${endpoint} ${message}`, { hint })
}

function describeAcl(text: string): Finding {
  const [, user, command] = /(?:User (\S+)|this user) has no permissions to run the '([^']+)' command/i.exec(text) ?? []
  if (command)
    return [
      'REDIS_ACL',
      `does not let this user run ${command.toUpperCase()}`,
      `\`ACL SETUSER ${user ?? '<user>'} +${command}\` gives the right`,
    ]
  if (/executing the script can't run this command/i.test(text))
    return [
      'REDIS_ACL',
      'does not let this user run a command that a script of cachectl runs',
      '`cachectl doctor` prints the rights that each command needs',
    ]
  if (/\bkey/i.test(text))
    return [
      'REDIS_ACL',
      `does not let this user touch these keys (${text})`,
      '`ACL SETUSER <user> ~<prefix>*` gives the right',
    ]
  return ['REDIS_ACL', `refused: ${text}`]
}

function describeMoved(): Finding {
  return [
    'REDIS_UNREACHABLE',
    'does not serve this key any more: its Cluster has moved it to another node',
    'run it again; if that does not help, this user may not ask where keys are: `ACL SETUSER <user> +cluster|slots +cluster|nodes` gives the right',
  ]
}

function describeErr(text: string): Finding | null {
  if (/invalid (username-)?password/i.test(text)) return ['REDIS_AUTH', 'refused the user or the password of the URL']
  if (/wrong number of arguments for 'auth'/i.test(text)) {
    return ['REDIS_AUTH', 'is older than Redis 6, which knows no users', 'write redis://:password@host']
  }
  if (/max(imum)? number of clients/i.test(text)) {
    return [
      'REDIS_UNREACHABLE',
      'has as many clients as it takes (maxclients)',
      'close some (`redis-cli CLIENT LIST` shows them), or raise maxclients',
    ]
  }
  if (/DB index|invalid DB/i.test(text)) {
    return [
      'REDIS_URL_INVALID',
      'has no database of the number in the URL',
      'usual servers have 0 to 15; `redis-cli CONFIG GET databases` shows how many',
    ]
  }
  if (/SELECT is not allowed/i.test(text))
    return ['REDIS_URL_INVALID', 'is a node of a Redis Cluster, which has only database 0']
  return null
}
