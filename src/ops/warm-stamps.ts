// The stamps of the entries that warm writes, as the library's own hold them.
import type { ResolvedConfig, ResolvedModel } from '../config/resolved.ts'
import type { TagStamp } from '../core/entry.ts'
import { idText } from '../core/key.ts'
import { stampTtlMs } from '../core/lifetime.ts'
import { detailStamps, rowStamp } from '../core/model-stamps.ts'
import type { BulkLane, Id } from '../ports.ts'

/** Tenants whose names of stamps are kept; beyond that they are built anew, so that memory stays flat. */
const TENANTS_KEPT = 10_000

export type Captured = ReadonlyMap<string, string>

/** An entry that is about to hold stamps. */
export interface Holder {
  names: readonly string[]
  /** how long it is there at most; null: without end */
  longestMs: number | null
}

const NO_NAMES: readonly string[] = []
const NO_TAGS: readonly TagStamp[] = []

/** Names of the stamps of a row's entry; the same array for the same names, as far as possible. Null: no entry of the model has any. */
export function createDetailNames(
  config: ResolvedConfig,
  model: ResolvedModel,
): ((id: Id, tenant: string | null) => readonly string[]) | null {
  if (model.key === null && detailStamps(config, model, null).length === 0) return null
  const byTenant = new Map<string | null, readonly string[]>()
  return (id, tenant) => {
    const own = model.tenant ? tenant : null
    let names = byTenant.get(own)
    if (names === undefined) {
      if (byTenant.size >= TENANTS_KEPT) byTenant.clear()
      names = detailStamps(config, model, own)
      byTenant.set(own, names)
    }
    return model.key === null ? names : [...names, rowStamp(model, idText(id), own)]
  }
}

/** Captures what these entries will hold, each stamp for the longest life among them. */
export async function captureStamps(lane: BulkLane, holders: readonly Holder[]): Promise<Captured> {
  const wanted = new Map<string, number | null>()
  for (const { names, longestMs } of holders) {
    for (const name of names) {
      const known = wanted.get(name)
      if (known === null) continue
      const ttlMs = stampTtlMs(longestMs)
      wanted.set(name, ttlMs === null || known === undefined ? ttlMs : Math.max(known, ttlMs))
    }
  }
  return wanted.size === 0 ? new Map() : lane.stamps(wanted)
}

/** What entries with these names hold; the same array for the same names. Null: one of them was not captured. */
export function createTags(captured: Captured): (names: readonly string[]) => readonly TagStamp[] | null {
  const known = new Map<readonly string[], readonly TagStamp[]>([[NO_NAMES, NO_TAGS]])
  return (names) => {
    const found = known.get(names)
    if (found !== undefined) return found
    const tags: TagStamp[] = []
    for (const tag of names) {
      const stamp = captured.get(tag)
      if (stamp === undefined) return null
      tags.push({ tag, stamp })
    }
    known.set(names, tags)
    return tags
  }
}
