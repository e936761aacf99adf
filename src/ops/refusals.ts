// Error replies that a sweep was given: counted by their text, and the one after which no other key would fare better.
import { aclLine } from '../core/acl.ts'
import { CachectlError } from '../core/errors.ts'
import { printable } from '../core/printable.ts'
import type { ErrorReply } from '../ports.ts'

export interface Refusal {
  code: string
  message: string
  keys: number
}

export interface Refusals {
  add(reply: ErrorReply, keys: number): void
  /** why it is no use to go on; null: there is no such reason */
  hopeless(): CachectlError | null
  /** What was refused is tried again. */
  clear(): void
  /** most frequent first */
  list(): Refusal[]
}

const HOPELESS: Readonly<Record<string, 'REDIS_REFUSES_WRITES' | 'REDIS_ACL'>> = {
  MISCONF: 'REDIS_REFUSES_WRITES',
  READONLY: 'REDIS_REFUSES_WRITES',
  OOM: 'REDIS_REFUSES_WRITES',
  NOREPLICAS: 'REDIS_REFUSES_WRITES',
  NOPERM: 'REDIS_ACL',
}
const MOST_TEXTS = 100

export function countRefusals(prefix: string | null): Refusals {
  const found = new Map<string, Refusal>()
  let hopeless: CachectlError | null = null
  return {
    add(reply, keys) {
      const message = printable(reply.error)
      const known = found.get(message)
      if (known) known.keys += keys
      else if (found.size < MOST_TEXTS) found.set(message, { code: reply.code, message, keys })
      const code = HOPELESS[reply.code]
      if (code === undefined) return
      const hint = hintFor(reply.code, prefix)
      hopeless ??= new CachectlError(code, `the server refuses: ${message}`, hint === null ? {} : { hint })
    },
    hopeless: () => hopeless,
    clear: () => found.clear(),
    list: () => [...found.values()].sort((a, b) => b.keys - a.keys),
  }
}

function hintFor(code: string, prefix: string | null): string | null {
  if (code === 'READONLY') return 'this server is a replica: name its primary, or the Sentinels'
  if (code === 'NOPERM' && prefix !== null)
    return `a user that may: ${aclLine('incident', { prefix, foreign: [], mode: 'standalone' })}`
  return null
}
