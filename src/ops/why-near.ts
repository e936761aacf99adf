// Which keys are there in place of one that is not: each likely one is asked for, and nothing is scanned.
import type { ResolvedConfig } from '../config/resolved.ts'
import type { ParsedKey } from '../core/key.ts'
import { type NearKey, nearKeys } from '../core/near-keys.ts'
import { printable } from '../core/printable.ts'
import type { OperationContext } from './context.ts'
import type { KeyControl } from './why-control.ts'

export interface FoundNear extends NearKey {
  exists: boolean
}

/** Those that are there; where there are none, the likeliest, if the key was no key as cachectl spells them. Escaped. */
export async function findNear(
  { store }: OperationContext,
  config: ResolvedConfig,
  bytes: Buffer,
  parsed: ParsedKey | null,
  { keys, versions }: Pick<KeyControl, 'keys' | 'versions'>,
): Promise<FoundNear[]> {
  const near = nearKeys(bytes.toString('utf8'), parsed, { cache: config, keys, versions })
  const there = await Promise.all(near.map(async ({ key }) => (await store.call('EXISTS', key)) === 1))
  const found = near.map(({ key, how }, index) => ({
    key: printable(key),
    how: printable(how),
    exists: there[index] ?? false,
  }))
  const existing = found.filter(({ exists }) => exists)
  return existing.length > 0 || parsed !== null ? existing : found.slice(0, 1)
}
