// What an invalidation does instead of deleting: makes entries stale, or has keys end at random over a time.
import { lifetimeFields } from '../core/entry.ts'
import { expireCommand, keyedRandom, knowsExpiryFlags } from '../core/expiry.ts'
import type { OperationContext } from './context.ts'
import type { SweepAction } from './sweep.ts'

/**
 * A fresh entry is stale from now on, and ends with its grace; one without grace is deleted; a key of another form is answered with an error.
 * KEYS: entry. ARGV: now as it stands in headers, now in ms. 1: stale now, or deleted, 0: gone, or was stale.
 */
const SOFTEN = `
local head = redis.call('TYPE', KEYS[1]).ok == 'string' and redis.call('GETRANGE', KEYS[1], 0, 56) or ''
if head == '' and redis.call('EXISTS', KEYS[1]) == 0 then return 0 end
if string.sub(head, 1, 5) ~= 'cctl1' then return redis.error_reply('NOENTRY no entry of cachectl: it cannot be stale') end
local grace, fresh = tonumber(string.sub(head, 23, 31), 36), string.sub(head, 49, 57)
if fresh ~= '---------' and fresh <= ARGV[1] then return 0 end
if grace == 0 then return redis.call('DEL', KEYS[1]) end
redis.call('SETRANGE', KEYS[1], 48, ARGV[1])
local left = redis.call('PTTL', KEYS[1])
if left < 0 or left > grace then redis.call('PEXPIRE', KEYS[1], grace) end
return 1`

export function softenAction({ clock }: Pick<OperationContext, 'clock'>): SweepAction {
  return {
    many: false,
    stays: true,
    add(page, [key]) {
      const nowMs = clock.now()
      page.add('EVAL', SOFTEN, 1, key as Buffer, lifetimeFields(0, nowMs).freshUntil, nowMs)
    },
  }
}

/** Each key ends at a random moment within this time, if it does not end before. */
export async function spreadAction(
  { store, clock, random }: Pick<OperationContext, 'store' | 'clock' | 'random'>,
  overMs: number,
): Promise<SweepAction> {
  const flags = knowsExpiryFlags((await store.identity()).version)
  // One draw for each key: whoever is met again does not end earlier for it.
  const randomOf = keyedRandom(Math.floor(random() * 2 ** 32))
  return {
    many: false,
    stays: true,
    add(page, [key]) {
      const ttlMs = Math.max(1, Math.ceil(overMs * randomOf(key as Buffer)))
      page.add(...expireCommand(key as Buffer, { ttlMs, mode: 'shorten', nowMs: clock.now(), flags }))
    },
  }
}
