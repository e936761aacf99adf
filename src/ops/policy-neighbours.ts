// Who lives on the servers besides the cache: a look at their keys for two seconds, and what INFO says of databases that cannot be seen from here.
import type { ResolvedConfig } from '../config/resolved.ts'
import { startsWith } from '../core/bytes.ts'
import { isControlKey } from '../core/key.ts'
import { knownShapeOf } from '../core/known-shapes.ts'
import { compileGlob } from '../core/pattern.ts'
import type { Resident } from '../core/policy-effects.ts'
import type { Page, Reply } from '../ports.ts'
import type { OperationContext } from './context.ts'
import type { MasterSettings } from './policy-settings.ts'
import { scan } from './scan.ts'
import { rawReader } from './wanted-keys.ts'

const LOOK_FOR_MS = 2_000
/** As many of each master: two seconds are not all spent on the first. */
const LOOK_AT_KEYS = 200_000

export interface Neighbourhood {
  /** `sample`: keys and bytes are estimated from those that were visited */
  method: 'full' | 'sample'
  visited: number
  /** DBSIZE; null where it is refused */
  population: number | null
  /** those with most keys first */
  residents: Resident[]
  otherDatabases: { database: number; keys: number; withoutTtl: number }[]
}

type Tally = Resident & { sized: number }

/** Stopped early, it tells what it saw until then. @throws CachectlError */
export async function lookAround(
  context: OperationContext,
  masters: readonly MasterSettings[],
): Promise<Neighbourhood> {
  const { config, store } = context
  const [{ keys: population }, { database }] = await Promise.all([store.info(), store.identity()])
  const whose = residentReader(config)
  const tallies = new Map<string, Tally>()
  const enough = AbortSignal.timeout(LOOK_FOR_MS)
  const signal = AbortSignal.any([context.signal, enough])
  let visited = 0
  for await (const page of scan(store, { signal, limit: LOOK_AT_KEYS, noTouch: true, probe })) {
    visited += page.visited
    for (let i = 0; i < page.keys.length; i++)
      count(tallies, whose(page.keys[i] as Buffer), page.replies[i * 2], page.replies[i * 2 + 1])
  }
  const cut = signal.aborted || visited >= LOOK_AT_KEYS
  const scale = cut && population !== null && visited > 0 ? Math.max(1, population / visited) : 1
  const residents = [...tallies.values()].map((tally) => scaled(tally, scale)).sort((a, b) => b.keys - a.keys)
  return {
    method: scale > 1 || (cut && population === null) ? 'sample' : 'full',
    visited,
    population,
    residents,
    otherDatabases: otherDatabases(masters, database),
  }
}

function probe(page: Page, key: Buffer): void {
  page.add('PTTL', key)
  page.add('MEMORY', 'USAGE', key)
}

function count(
  tallies: Map<string, Tally>,
  { name, kind }: Pick<Resident, 'name' | 'kind'>,
  pttl: Reply | undefined,
  size: Reply | undefined,
): void {
  if (pttl === -2) return
  const tally = tallies.get(name) ?? { name, kind, keys: 0, withoutTtl: 0, bytes: null, sized: 0 }
  tallies.set(name, tally)
  tally.keys++
  if (pttl === -1) tally.withoutTtl++
  if (typeof size !== 'number' || size <= 0) return
  tally.bytes = (tally.bytes ?? 0) + size
  tally.sized++
}

function scaled({ name, kind, keys, withoutTtl, bytes, sized }: Tally, scale: number): Resident {
  return {
    name,
    kind,
    keys: Math.round(keys * scale),
    withoutTtl: Math.round(withoutTtl * scale),
    bytes: bytes === null ? null : Math.round((bytes / sized) * keys * scale),
  }
}

/** Whose key it is. What the config protects is somebody's, whatever it looks like. */
function residentReader(config: ResolvedConfig | null): (key: Buffer) => Pick<Resident, 'name' | 'kind'> {
  const spared = (config?.protect ?? []).map((pattern) => ({ pattern, matches: compileGlob(pattern) }))
  const rawOf = config && rawReader(config)
  const prefix = config && Buffer.from(`${config.prefix}:`)
  return (key) => {
    if (config !== null && isControlKey(config.prefix, key)) return { name: `${config.prefix}~*`, kind: 'control' }
    const own = prefix !== null && startsWith(key, prefix)
    if (own || (rawOf?.(key) ?? null) !== null) return { name: config?.prefix ?? '', kind: 'cache' }
    const known = knownShapeOf(key)
    if (known) return { name: known.name, kind: known.kind }
    const pattern = spared.find(({ matches }) => matches(key))?.pattern
    return pattern === undefined ? { name: 'others', kind: 'other' } : { name: pattern, kind: 'protected' }
  }
}

/** `db3:keys=12,expires=3,avg_ttl=0` of INFO, over all masters. */
function otherDatabases(masters: readonly MasterSettings[], selected: number): Neighbourhood['otherDatabases'] {
  const found = new Map<number, { database: number; keys: number; withoutTtl: number }>()
  for (const [name, text] of masters.flatMap(({ fields }) => [...fields])) {
    const database = Number(/^db(\d+)$/.exec(name)?.[1] ?? selected)
    const [, keys, expires] = /keys=(\d+),expires=(\d+)/.exec(text) ?? []
    if (database === selected || keys === undefined) continue
    const sum = found.get(database) ?? { database, keys: 0, withoutTtl: 0 }
    sum.keys += Number(keys)
    sum.withoutTtl += Number(keys) - Number(expires)
    found.set(database, sum)
  }
  return [...found.values()].sort((a, b) => a.database - b.database)
}
