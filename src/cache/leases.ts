// Leases of loads under way: kept while the loader runs, given back where nothing is written.
import type { CachectlError } from '../core/errors.ts'
import { leaseKey } from '../core/key.ts'
import { RELEASE, RENEW } from '../core/lease-script.ts'
import type { Lead, LeadContext } from './lead.ts'

/** Renewed while the loader runs, up to the longest hold; a process that dies is waited for so long. */
export const LEASE_MS = 5_000

const LONGEST_HOLD_MS = 60_000

export function release(
  { link, config, deadlineMs }: LeadContext,
  leads: readonly Pick<Lead, 'key' | 'flight'>[],
): void {
  link
    .run((page) => {
      for (const { key, flight } of leads) page.add('EVAL', RELEASE, 1, leaseKey(config.prefix, key), flight.token)
    }, deadlineMs)
    .catch(() => {
      // It lapses by itself.
    })
}

/** Keeps the leases while the loader runs. An optimisation: a fill without its lease is refused. */
export function renewing({ link, config, deadlineMs }: LeadContext, leads: readonly Lead[]): () => void {
  const began = performance.now()
  const timer = setInterval(() => {
    if (performance.now() - began > LONGEST_HOLD_MS) return clearInterval(timer)
    const renew = link.run((page) => {
      for (const { key, flight } of leads)
        page.add('EVAL', RENEW, 1, leaseKey(config.prefix, key), flight.token, LEASE_MS)
    }, deadlineMs)
    renew.catch(() => {})
  }, LEASE_MS / 3)
  timer.unref()
  return () => clearInterval(timer)
}

/** It was the primary when the connection was made: what is invalidated at the new one comes here late, or never. */
export function isReplica({ code, message }: CachectlError): boolean {
  return code === 'REDIS_REFUSES_WRITES' && message.includes('READONLY')
}
