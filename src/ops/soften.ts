// What an invalidation does instead of deleting: makes entries stale, or has keys end at random over a time.
import { lifetimeFields } from '../core/entry.ts'
import { asCachectlError, type CachectlError } from '../core/errors.ts'
import { expireCommand, keyedRandom, knowsExpiryFlags } from '../core/expiry.ts'
import { type Changer, TOLD_WITHIN_MS } from './apply-change.ts'
import type { OpenedContext, OperationContext } from './context.ts'
import { type InvalidatePlan, patternOf } from './invalidate-plan.ts'
import type { Done } from './invalidate-report.ts'
import type { Pace } from './pace.ts'
import { type SweepAction, sweep } from './sweep.ts'
import { untilStopped } from './until-stopped.ts'

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

/** Never rejects once it has begun. */
export async function soften(
  context: OpenedContext,
  changer: Changer | null,
  plan: InvalidatePlan,
  pace: Pace,
): Promise<Done> {
  const { how } = plan.options
  const action = how.kind === 'spread' ? await spreadAction(context, how.overMs) : softenAction(context)
  const swept = await sweep(context, {
    decide: plan.decide,
    action,
    pace,
    task: how.kind === 'spread' ? 'spreading' : 'softening',
    expected: plan.preview?.keys ?? null,
  })
  const pattern = { keys: [], stamps: [], bumped: false, pattern: patternOf(plan.options) }
  const silent = changer === null || swept.account.deleted === 0
  let failure: CachectlError | null = null
  const acknowledged = silent
    ? null
    : await untilStopped(changer.announce(pattern), context.signal, TOLD_WITHIN_MS).catch((thrown: unknown) => {
        failure = asCachectlError(thrown)
        return null
      })
  const longestMs =
    how.kind === 'spread'
      ? how.overMs
      : Math.max(0, ...Object.values(context.config?.namespaces ?? {}).map(({ graceMs }) => graceMs))
  return {
    account: swept.account,
    complete: swept.complete,
    applied: false,
    acknowledged,
    staleUntil: new Date(context.clock.now() + longestMs).toISOString(),
    swept: [swept],
    failure,
  }
}
