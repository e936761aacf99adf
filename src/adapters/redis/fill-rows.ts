// Entries that are written one by one, each under its lease, by a script of one Cluster slot.
import { leaseKey } from '../../core/key.ts'
import { RELEASE } from '../../core/lease-script.ts'
import type { BulkWrite, Page } from '../../ports.ts'

/** A write over what was there before its row was loaded: null for nothing, or the first bytes of it (none of them: no entry). */
export type RowWrite = BulkWrite & { observed: Buffer | null }

export type RowOutcome = 'written' | 'present' | 'refused'

/**
 * Writes one entry if its lease is ours and if it is what was observed, and gives the lease back.
 * KEYS: entry, lease. ARGV: token, value, ttl in ms or '', what was observed (`absent`, `same`, `other`), its first bytes.
 * 0: refused, 1: written, 2: somebody else wrote it.
 */
const FILL = `
if redis.call('GET', KEYS[2]) ~= ARGV[1] then return 0 end
redis.call('DEL', KEYS[2])
local type = redis.call('TYPE', KEYS[1]).ok
if ARGV[4] == 'absent' and type ~= 'none' then return 2 end
if ARGV[4] == 'other' and type == 'string' then return 2 end
if ARGV[4] == 'same' and (type ~= 'string' or redis.call('GETRANGE', KEYS[1], 0, #ARGV[5] - 1) ~= ARGV[5]) then return 2 end
if ARGV[3] == '' then redis.call('SET', KEYS[1], ARGV[2]) else redis.call('SET', KEYS[1], ARGV[2], 'PX', ARGV[3]) end
return 1`

const OUTCOMES: readonly RowOutcome[] = ['refused', 'written', 'present']

export function addFill(page: Page, prefix: string, { key, value, ttlMs, observed }: RowWrite, token: string): void {
  const kind = observed === null ? 'absent' : observed.length === 0 ? 'other' : 'same'
  page.add('EVAL', FILL, 2, key, leaseKey(prefix, key), token, value, ttlMs ?? '', kind, observed ?? '')
}

export function fillOutcome(reply: unknown): RowOutcome {
  return OUTCOMES[Number(reply)] ?? 'refused'
}

export function addLease(page: Page, prefix: string, key: string, token: string, ttlMs: number): void {
  page.add('SET', leaseKey(prefix, key), token, 'NX', 'PX', ttlMs)
}

export function addRelease(page: Page, prefix: string, key: string, token: string): void {
  page.add('EVAL', RELEASE, 1, leaseKey(prefix, key), token)
}
