// What a destructive verb would meet: how many keys of which groups, how large, which for example, and what it costs to make them again.
import { decodeHeader, HEADER_PROBE_BYTES } from '../core/entry.ts'
import { criticalValue, estimateGroup } from '../core/estimate.ts'
import { createGroupTable } from '../core/groups.ts'
import { printable } from '../core/printable.ts'
import type { GroupRebuild } from '../core/rebuild.ts'
import type { Page, Reply } from '../ports.ts'
import type { OperationContext } from './context.ts'
import { type ScannedPage, scan } from './scan.ts'
import type { SweepOptions } from './sweep.ts'

export interface PreviewOptions extends Pick<SweepOptions, 'decide' | 'examine'> {
  /** counts to the end, however long it takes; otherwise it looks for two seconds, and estimates from what it saw */
  exact: boolean
  /** just these, where they are there; nobody walks then */
  named?: readonly Buffer[] | null
}

export interface Preview {
  /** `sample`: keys, bytes and rebuild are estimated from the keys that were visited */
  method: 'full' | 'sample'
  visited: number
  /** DBSIZE; null where it is refused */
  population: number | null
  keys: number
  /** plus or minus, at 95 %; null where keys were counted, and in a Cluster, whose first keys are those of some slots and no random sample */
  error: number | null
  protected: number
  /** of the database; null where unknown */
  share: number | null
  /** estimated from up to 200 keys a group; null where the server does not say */
  bytes: number | null
  /** most keys first */
  groups: { group: string; keys: number; bytes: number | null }[]
  /** ten keys, escaped */
  samples: string[]
  /** what it will take to make them again: delta of the entries, from headers; null where none could be read */
  rebuild: { totalMs: number; headersRead: number; groups: GroupRebuild[] } | null
}

const LOOK_FOR_MS = 2_000
const SAMPLES = 10
/** Keys of each group whose size and header are read. */
const LOOKED_AT = 200

/** @throws CachectlError; why it was stopped, where it was */
export async function preview(context: OperationContext, options: PreviewOptions): Promise<Preview> {
  const [{ keys: population }, { mode }] = await Promise.all([context.store.info(), context.store.identity()])
  // What was seen says nothing of the rest where nobody knows how much that is.
  const exact = options.exact || population === null
  const { found, visited, spared, whole, groups, samples } = await look(context, { ...options, exact })
  const sample = whole || population === null ? null : { visited, population }
  const scale = sample === null || visited === 0 ? 1 : Math.max(1, sample.population / visited)
  const counted = { keys: found, bytes: 0, bytesSquared: 0, sized: 0 }
  return {
    method: whole ? 'full' : 'sample',
    visited,
    population,
    keys: Math.round(found * scale),
    error:
      sample === null || mode === 'cluster'
        ? null
        : Math.round(estimateGroup(counted, sample, criticalValue(1)).error.keys),
    protected: Math.round(spared * scale),
    share: population === null || population === 0 ? null : Math.min(1, (found * scale) / population),
    samples,
    ...(await weigh(context, groups, scale)),
  }
}

interface Looked {
  visited: number
  found: number
  spared: number
  /** to the end */
  whole: boolean
  groups: Weighed[]
  samples: string[]
}

async function look(context: OperationContext, options: PreviewOptions): Promise<Looked> {
  const { decide, examine, exact, named = null } = options
  const table = createGroupTable(context.config, ['namespace', 'model'], 0)
  const kept = new Map<object, Buffer[]>()
  const looked: Looked = { visited: 0, found: 0, spared: 0, whole: true, groups: [], samples: [] }
  const startedMs = context.clock.now()
  const wanted = (key: Buffer): boolean => {
    const decision = decide(key)
    if (decision === 'protect') looked.spared++
    return decision === 'act'
  }
  const probe = examine?.probe
  const probing = probe ? { noTouch: true, probe: (page: Page, key: Buffer) => probe(page, key) } : {}
  const walk = () => scan(context.store, { signal: context.signal, wanted, calm: true, ...probing })
  for await (const page of named === null ? walk() : [await namedPage(context, named, wanted)]) {
    looked.visited += page.visited
    const meant = examine ? await examine.keep(page.keys, page.replies) : null
    for (const key of meant === null ? page.keys : page.keys.filter((_, index) => meant[index])) {
      looked.found++
      const { tally } = table.at(key, null)
      tally.keys++
      // The order of a walk has nothing to do with the keys: its first ones are a sample.
      const some = kept.get(tally) ?? []
      if (some.length === 0) kept.set(tally, some)
      if (some.length < LOOKED_AT) some.push(Buffer.from(key))
      if (looked.samples.length < SAMPLES) looked.samples.push(printable(key))
    }
    looked.whole = exact || context.clock.now() - startedMs < LOOK_FOR_MS
    if (!looked.whole) break
  }
  // Half a look would be taken for all there is.
  context.signal.throwIfAborted()
  looked.groups = table.finish().groups.map(({ identity: { group }, tally }) => ({
    group,
    keys: tally.keys,
    kept: kept.get(tally) ?? [],
  }))
  return looked
}

async function namedPage(
  { store }: OperationContext,
  named: readonly Buffer[],
  wanted: (key: Buffer) => boolean,
): Promise<Pick<ScannedPage, 'keys' | 'replies' | 'visited'>> {
  const there: Buffer[] = []
  for (const key of named) if ((await store.call('EXISTS', key)) === 1) there.push(key)
  return { keys: there.filter(wanted), replies: [], visited: there.length }
}

interface Weighed {
  group: string
  keys: number
  kept: readonly Buffer[]
}

/** Size and cost of each group, from some of its keys. Both are null where the server tells neither. */
async function weigh(
  { store, signal }: OperationContext,
  groups: readonly Weighed[],
  scale: number,
): Promise<Pick<Preview, 'bytes' | 'groups' | 'rebuild'>> {
  const lane = await store.lane({ noTouch: true })
  const sized: Preview['groups'] = []
  const rebuilt: GroupRebuild[] = []
  let headersRead = 0
  try {
    for (const { group, keys, kept } of groups) {
      const page = lane.page()
      for (const key of signal.aborted ? [] : kept) {
        page.add('MEMORY', 'USAGE', key)
        page.add('GETRANGE', key, 0, HEADER_PROBE_BYTES - 1)
      }
      const replies = await lane.run(page)
      const sizes = replies.filter((_, index) => index % 2 === 0).filter((reply) => typeof reply === 'number')
      const deltas = replies.flatMap((reply) => deltaMsOf(reply) ?? [])
      const total = Math.round(keys * scale)
      headersRead += deltas.length
      sized.push({ group, keys: total, bytes: sizes.length === 0 ? null : Math.round(mean(sizes) * total) })
      // Of keys that are no entries nobody knows what they cost.
      const share = kept.length === 0 ? 0 : deltas.length / kept.length
      if (deltas.length > 0) rebuilt.push({ group, keys: total, ms: Math.round(mean(deltas) * share * total) })
    }
  } finally {
    lane.close()
  }
  const known = sized.some(({ bytes }) => bytes !== null)
  const sum = (values: readonly number[]): number => values.reduce((a, b) => a + b, 0)
  return {
    bytes: sized.length === 0 ? 0 : known ? sum(sized.map(({ bytes }) => bytes ?? 0)) : null,
    groups: sized,
    rebuild: headersRead === 0 ? null : { totalMs: sum(rebuilt.map(({ ms }) => ms)), headersRead, groups: rebuilt },
  }
}

function deltaMsOf(reply: Reply): number | null {
  const decoded = Buffer.isBuffer(reply) ? decodeHeader(reply) : null
  return decoded?.ok ? decoded.header.deltaMs : null
}

function mean(values: readonly number[]): number {
  return values.reduce((sum, value) => sum + value, 0) / values.length
}
