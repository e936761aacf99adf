// Which quotas a key is of: asked once of each key of a walk, whatever their number.
import type { ResolvedConfig } from '../config/resolved.ts'
import { createKeys } from '../core/key.ts'
import { decideFor } from './changes.ts'
import { ALL, type Quota } from './evict-quotas.ts'

export interface Place {
  /** by their index */
  quotas: number[]
  /** protected: it counts, and never goes */
  spared: boolean
}

export interface Places {
  /** for `ScanOptions.wanted` */
  wanted(key: Buffer): boolean
  /** Of each key that was wanted, in their order. */
  next(): Place
}

/** Places that have been asked for are thrown away by so many. */
const THROWN_AWAY = 4096

export function createPlaces(quotas: readonly Quota[], config: ResolvedConfig | null): Places {
  const placeOf = createPlacer(quotas, config)
  let waiting: Place[] = []
  let at = 0
  return {
    wanted(key) {
      const place = placeOf(key)
      if (place.quotas.length === 0) return false
      waiting.push(place)
      return true
    },
    next() {
      const place = waiting[at++] as Place
      if (at < THROWN_AWAY) return place
      waiting = waiting.slice(at)
      at = 0
      return place
    },
  }
}

/** To read a key is what costs time here: it is read once for all namespaces and the prefix. */
function createPlacer(quotas: readonly Quota[], config: ResolvedConfig | null): (key: Buffer) => Place {
  const indexed = quotas.map((quota, index) => ({ quota, index }))
  const others = indexed.filter(({ quota }) => quota.place === 'other')
  const whole = indexed.find(({ quota }) => quota.place === 'prefix')?.index
  const namespaces = new Map(
    indexed.flatMap(({ quota, index }) => (quota.place === 'namespace' ? [[quota.namespace, index] as const] : [])),
  )
  const scheme = config === null ? null : createKeys({ prefix: config.prefix, tenantLabel: config.tenantLabel })
  const decide = decideFor({ targets: [ALL], tenant: null, foreign: false }, config)
  const readsPrefix = scheme !== null && (whole !== undefined || namespaces.size > 0)

  return (key) => {
    const place: Place = { quotas: [], spared: false }
    for (const { quota, index } of others) add(place, index, quota.decide(key))
    if (!readsPrefix) return place
    const decision = decide(key)
    if (decision === 'pass') return place
    const index = namespaces.size === 0 ? undefined : namespaces.get(scheme.parse(key)?.namespace ?? null)
    if (index !== undefined) add(place, index, decision)
    if (whole !== undefined) add(place, whole, decision)
    return place
  }
}

function add(place: Place, index: number, decision: 'pass' | 'protect' | 'act'): void {
  if (decision === 'pass') return
  place.quotas.push(index)
  if (decision === 'protect') place.spared = true
}
