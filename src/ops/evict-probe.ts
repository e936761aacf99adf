// What is asked of each key to rank it: commands that leave its LRU and LFU data alone, and what their answers say.
import { CachectlError } from '../core/errors.ts'
import type { EvictionPolicy, KeyFacts } from '../core/eviction.ts'
import { isErrorReply } from '../core/reply.ts'
import type { ErrorReply, Page, Reply } from '../ports.ts'

/**
 * `gone`: or expired. `elsewhere`: another master has it, or is about to. `closed`: this user may not touch it.
 */
export type Probed =
  | { state: 'there'; bytes: number | null; facts: KeyFacts }
  | { state: 'gone' | 'elsewhere' | 'closed' }

export interface Prober {
  /** commands a key */
  readonly perKey: number
  /** for `ScanOptions.probe` */
  probe(page: Page, key: Buffer): void
  /** Of the key at this place of the page. */
  read(replies: readonly Reply[], index: number): Probed
  /** Why the policy cannot be told, once an answer did not tell it. */
  refusal(policy: EvictionPolicy): CachectlError
  /** Likewise of sizes. */
  sizeRefusal(): CachectlError
}

const SILENT: ErrorReply = { code: 'ERR', error: 'no number' }

const REDIRECTED = new Set(['MOVED', 'ASK', 'TRYAGAIN', 'CLUSTERDOWN'])

/** Asks for sizes and TTLs always, and for what these policies go by. */
export function createProber(policies: Iterable<EvictionPolicy>): Prober {
  const wanted = new Set(policies)
  const commands = [
    ['MEMORY', 'USAGE'],
    ['PTTL'],
    ...(wanted.has('lru') ? [['OBJECT', 'IDLETIME']] : []),
    ...(wanted.has('lfu') ? [['OBJECT', 'FREQ']] : []),
  ] as const
  const perKey = commands.length
  const idleAt = 2
  const frequencyAt = wanted.has('lru') ? 3 : 2
  const refused: { size?: ErrorReply; ttl?: ErrorReply; lru?: ErrorReply; lfu?: ErrorReply } = {}

  const number = (reply: Reply | undefined, of: keyof typeof refused): number | null => {
    if (typeof reply === 'number') return reply
    if (reply !== undefined) refused[of] ??= isErrorReply(reply) ? reply : SILENT
    return null
  }
  return {
    perKey,
    probe(page, key) {
      for (const command of commands) page.add(...command, key)
    },
    read(replies, index) {
      const from = index * perKey
      const [size, pttl] = [replies[from], replies[from + 1]]
      if (size === null || pttl === -2) return { state: 'gone' }
      const error = isErrorReply(size) ? size : isErrorReply(pttl) ? pttl : null
      if (error !== null && REDIRECTED.has(error.code)) return { state: 'elsewhere' }
      if (error !== null && isAboutKeys(error)) return { state: 'closed' }
      const idle = wanted.has('lru') ? replies[from + idleAt] : undefined
      const frequency = wanted.has('lfu') ? replies[from + frequencyAt] : undefined
      if (idle === null || frequency === null) return { state: 'gone' }
      const facts = {
        pttlMs: number(pttl, 'ttl'),
        idleSeconds: number(idle, 'lru'),
        frequency: number(frequency, 'lfu'),
      }
      return { state: 'there', bytes: number(size, 'size'), facts }
    },
    refusal: (policy) => explain(policy, (policy === 'random' ? undefined : refused[policy]) ?? SILENT),
    sizeRefusal: () => explainSize(refused.size ?? SILENT),
  }
}

/** A user that may not touch these keys, but others. */
function isAboutKeys({ code, error }: ErrorReply): boolean {
  return code === 'NOPERM' && /\bkeys?\b/i.test(error)
}

const ASKED = { lru: 'OBJECT IDLETIME', lfu: 'OBJECT FREQ', ttl: 'PTTL', random: 'nothing' } as const

function explain(policy: EvictionPolicy, { code, error }: ErrorReply): CachectlError {
  const command = ASKED[policy]
  const others = policy === 'ttl' ? '--policy random' : '--policy ttl or --policy random'
  if (code === 'NOPERM')
    return new CachectlError(
      'REDIS_ACL',
      `this user may not run ${command}, so nobody can tell what ${policy} would evict`,
      {
        hint: `\`ACL SETUSER <user> +${command.toLowerCase().replace(' ', '|')}\` gives the right; ${others} needs none`,
      },
    )
  if (policy !== 'ttl' && /LFU maxmemory policy/i.test(error)) {
    const kept = policy === 'lru' ? 'how often keys are used, and not when' : 'when keys were used, and not how often'
    return new CachectlError(
      'USAGE',
      `the server keeps ${kept} (by its maxmemory-policy), so \`${policy}\` cannot be told`,
      {
        hint: `use --policy ${policy === 'lru' ? 'lfu' : 'lru'}, ttl or random, or change \`policy\` of the budget in the config`,
      },
    )
  }
  return new CachectlError('USAGE', `the server does not answer ${command}, so \`${policy}\` cannot be told`, {
    hint: `use ${others}`,
  })
}

function explainSize({ code }: ErrorReply): CachectlError {
  return code === 'NOPERM'
    ? new CachectlError('REDIS_ACL', 'this user may not run MEMORY USAGE, so memory cannot be measured', {
        hint: '`ACL SETUSER <user> +memory|usage` gives the right; limits of keys (--max-keys) need none',
      })
    : new CachectlError('USAGE', 'the server does not answer MEMORY USAGE, so memory cannot be measured', {
        hint: 'give limits of keys instead: `maxKeys` of the budget, or --max-keys',
      })
}
