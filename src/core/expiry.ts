// When keys are to end: how long each is given, at random or by the config, and the command that gives it without contradicting the key's envelope.
import { type DeclaredCache, type DeclaredModel, type DeclaredNamespace, own } from './declared.ts'
import { shorten } from './lifetime.ts'
import { hashBytes } from './shape.ts'

/**
 * `set`: every key gets it, entries that end earlier are good for longer. `shorten`: keys that would live longer, or have no TTL. `missing`: only keys
 * without TTL.
 */
export type ExpiryMode = 'set' | 'shorten' | 'missing'

/** TTL of a key from now on, as PTTL says it: `ttlMs`, up to `jitter` (a share) of it less, or spread evenly over `overMs` behind it. */
export interface Expiry {
  ttlMs: number
  jitter: number
  overMs: number
}

/** Of one key, in ms; at least 1. `random` in [0, 1). */
export function drawTtl({ ttlMs, jitter, overMs }: Expiry, random: () => number): number {
  return overMs > 0 ? Math.max(1, Math.ceil(ttlMs + overMs * random())) : shorten(ttlMs, jitter, random)
}

/** A number in [0, 1) for each key, the same one whenever it is asked for: who meets a key twice draws the same for it. */
export function keyedRandom(seed: number): (key: Uint8Array) => number {
  return (key) => {
    // The last bytes of names differ most, and must reach all bits: the finalizer of MurmurHash3.
    let mixed = hashBytes(key, 0, key.length) ^ seed
    mixed = Math.imul(mixed ^ (mixed >>> 16), 0x85ebca6b)
    mixed = Math.imul(mixed ^ (mixed >>> 13), 0xc2b2ae35)
    return ((mixed ^ (mixed >>> 16)) >>> 0) / 2 ** 32
  }
}

/** The shortest and the longest that is drawn. */
export function ttlRange({ ttlMs, jitter, overMs }: Expiry): { fromMs: number; toMs: number } {
  return { fromMs: Math.max(1, Math.round(ttlMs * (1 - jitter))), toMs: ttlMs + overMs }
}

// ---- By the config ---------------------------------------------------------------------------------------------------

interface Jittered {
  readonly jitter: number
}

export interface LifeConfig extends DeclaredCache {
  readonly namespaces: Readonly<Record<string, DeclaredNamespace & Jittered>>
  readonly models: Readonly<Record<string, DeclaredModel & Jittered>>
}

/** How long the config says that entries live. */
export type ConfiguredLife =
  /** fresh for `ttlMs`, of which jitter takes a share, and `graceMs` more; raw keys have no grace */
  | { kind: 'time'; ttlMs: number; graceMs: number; jitter: number }
  | { kind: 'never' }
  /** by a function of the row, which the key does not tell */
  | { kind: 'row' }
  | { kind: 'undeclared' }

/** Of one subject in a namespace; null: of raw keys that name none. What a call of the application says for itself is not known here. */
export function configuredLife(config: LifeConfig, namespace: string, subject: string | null): ConfiguredLife {
  const declared = own(config.namespaces, namespace)
  if (declared === undefined) return { kind: 'undeclared' }
  if (declared.format === 'raw') return lifeOf(declared.ttlMs, 0, declared.jitter)
  // A model speaks of its rows' entries; its lists and counts live as their namespaces say.
  const model = Object.values(config.models).find((one) => one.subject === subject && one.namespace === namespace)
  if (model === undefined) return lifeOf(declared.ttlMs, declared.graceMs, declared.jitter)
  if (typeof model.ttl === 'function') return { kind: 'row' }
  return lifeOf(model.ttl === undefined ? declared.ttlMs : model.ttl, model.graceMs, model.jitter)
}

function lifeOf(ttlMs: number | null, graceMs: number, jitter: number): ConfiguredLife {
  return ttlMs === null ? { kind: 'never' } : { kind: 'time', ttlMs, graceMs, jitter }
}

// ---- The command -----------------------------------------------------------------------------------------------------

/** What the reply says: nothing was to be changed (or there is no key), its TTL was, and the times in its header with it. */
export type ExpiryOutcome = 'as it was' | 'changed' | 'fresh for longer' | 'stale for longer'

const OUTCOMES: readonly ExpiryOutcome[] = ['as it was', 'changed', 'fresh for longer', 'stale for longer']

/**
 * A TTL for one key. An entry of cachectl that would be over before (its fresh-until and its grace stand in its header) is good until its new end: a fresh
 * one is fresh for longer, a stale one stale for longer and never fresh again, and one that is over is given nothing.
 * KEYS: key. ARGV: ttl in ms, mode, now in ms by the clock that the times in headers are compared with. Returns the index of an outcome.
 */
const EXPIRE = `
local left = redis.call('PTTL', KEYS[1])
local ttl, mode, now = tonumber(ARGV[1]), ARGV[2], tonumber(ARGV[3])
if left == -2 or (left >= 0 and (mode == 'missing' or (mode == 'shorten' and left <= ttl))) then return 0 end
local outcome = 1
if mode == 'set' and redis.call('TYPE', KEYS[1]).ok == 'string' then
  local head = redis.call('GETRANGE', KEYS[1], 0, 56)
  local digits = string.rep('[0-9a-z]', 9)
  if string.match(head, '^cctl1') and string.match(head, '^' .. digits .. '$', 49) and string.match(head, '^' .. digits, 23) then
    local grace, fresh = tonumber(string.sub(head, 23, 31), 36), tonumber(string.sub(head, 49, 57), 36)
    local function write(offset, ms)
      local text = ''
      for _ = 1, 9 do
        local digit = ms % 36
        text = string.sub('0123456789abcdefghijklmnopqrstuvwxyz', digit + 1, digit + 1) .. text
        ms = (ms - digit) / 36
      end
      redis.call('SETRANGE', KEYS[1], offset, text)
    end
    if fresh + grace >= now + ttl then outcome = 1
    elseif fresh > now then
      write(48, now + ttl - grace)
      outcome = 2
    elseif fresh + grace > now then
      write(22, now + ttl - fresh)
      outcome = 3
    elseif left >= 0 and left <= ttl then return 0
    end
  end
end
redis.call('PEXPIRE', KEYS[1], ARGV[1])
return outcome`

/** `flags`: the server's PEXPIRE knows NX and LT (Redis 7 and Valkey), which needs no script. */
export function expireCommand(
  key: Buffer,
  { ttlMs, mode, nowMs, flags }: { ttlMs: number; mode: ExpiryMode; nowMs: number; flags: boolean },
): (string | number | Buffer)[] {
  // To LT a key without TTL is one that lives for ever.
  if (flags && mode !== 'set') return ['PEXPIRE', key, ttlMs, mode === 'missing' ? 'NX' : 'LT']
  return ['EVAL', EXPIRE, 1, key, ttlMs, mode, nowMs]
}

export function expiryOutcome(reply: unknown): ExpiryOutcome {
  return OUTCOMES[Number(reply)] ?? 'as it was'
}

/** By what INFO says of the server (`Redis 7.0.15`, `Valkey 8.0.1`); null: not known, and not relied on. */
export function knowsExpiryFlags(version: string | null): boolean {
  return Number(/(\d+)\./.exec(version ?? '')?.[1] ?? 0) >= 7
}
