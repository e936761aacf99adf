// An invalidation by another program that keeps to docs/contract.md: a new fence, the log, the stamps, the leases, the entries.
import { randomBytes } from 'node:crypto'
import { fenceKey, leaseKey, stampKey, stampLogKey } from '../src/core/key.ts'
import { LOG_STAMPS } from '../src/core/lease-script.ts'
import type { Store } from '../src/ports.ts'

const token = () => randomBytes(12).toString('base64url')

/** Of the prefix `shop`. */
export async function invalidateEntries(
  store: Store,
  subject: string,
  keys: readonly string[],
  stamps: readonly string[] = [],
): Promise<void> {
  await store.call('SET', fenceKey('shop', subject), token())
  if (stamps.length > 0) {
    const lines = stamps.map((name) => `${token()} ${name}\n`).join('')
    await store.call('EVAL', LOG_STAMPS, 1, stampLogKey('shop'), lines, 8_192)
    await store.call('UNLINK', ...stamps.map((name) => stampKey('shop', name)))
  }
  if (keys.length === 0) return
  await store.call('UNLINK', ...keys.map((key) => leaseKey('shop', key)))
  await store.call('UNLINK', ...keys)
}
