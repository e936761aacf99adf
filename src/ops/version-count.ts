// One walk that counts entries by the generation and the version of the code that they are of.
import { currentVersion } from '../core/code-version.ts'
import { deadGenerationOf, type Generation, generationsOf } from '../core/dead-generation.ts'
import { createKeys, isControlKey, scopeField } from '../core/key.ts'
import type { RedisIdentity } from '../ports.ts'
import type { OperationContext } from './context.ts'
import { scan } from './scan.ts'
import { MOST_KEYS_COUNTED, SAMPLE_KEYS } from './stats.ts'
import { type RawVersions, rawVersions } from './version-raw.ts'
import { requireConfig, type VersionState } from './version-state.ts'
import {
  addKey,
  type CountedKeys,
  type KeyCount,
  type Measure,
  measureOf,
  newCount,
  type Teller,
  teller,
} from './version-tally.ts'

export interface VersionCount {
  method: 'full' | 'sample'
  complete: boolean
  visited: number
  /** entries of current generations and of a version of this config, by field of the scope */
  current(field: string): CountedKeys
  /** tokens of dead generations of which there are keys, by field of the scope; '' for keys without token */
  dead: ReadonlyMap<string, readonly (Generation & { keys: CountedKeys })[]>
  /** versions that are not this config's, and not of a dead generation */
  versions: readonly { version: string; subjects: readonly string[]; keys: CountedKeys }[]
  raw: RawVersions
  /** of other counts, by the same sample */
  told: Teller
}

interface Bin {
  count: KeyCount
  generation: Generation | null
  subjects: Set<string>
}

/** Subjects that are named of a version. */
const MOST_SUBJECTS = 20

/** `full`: every key, however many there are. Stops early when the signal is aborted. @throws CachectlError */
export async function countVersions(
  context: OperationContext,
  state: VersionState,
  full: boolean,
): Promise<VersionCount> {
  const { store, signal, emit, clock } = context
  const config = requireConfig(context)
  const [info, redis] = await Promise.all([store.info(), store.identity()])
  const limit = full ? null : sampleLimit(info.keys, redis)
  const keys = createKeys({ prefix: config.prefix, tenantLabel: config.tenantLabel })
  const prefix = Buffer.from(`${config.prefix}:`)
  const raw = rawVersions(config)
  const bins = createBins()
  const startedAtMs = clock.now()
  const total = limit ?? info.keys
  let visited = 0
  emit({ event: 'start', task: 'versions', unit: 'keys', total })
  const wanted = (key: Buffer) =>
    prefix.equals(key.subarray(0, prefix.length)) || (!isControlKey(config.prefix, key) && raw.knows(key))
  for await (const page of scan(store, {
    signal,
    limit,
    wanted,
    probe(probes, key) {
      probes.add('MEMORY', 'USAGE', key)
      probes.add('PTTL', key)
    },
  })) {
    visited += page.visited
    for (const [index, key] of page.keys.entries()) {
      const measure = measureOf(page.replies[index * 2], page.replies[index * 2 + 1])
      if (measure === null) continue
      const parsed = keys.parse(key)
      if (parsed === null) raw.count(key, measure)
      else bins.count(parsed, measure, state, currentVersion(config, parsed.subject))
    }
    emit({ event: 'progress', task: 'versions', done: visited, total })
  }
  emit({ event: 'end', task: 'versions', done: visited, durationMs: clock.now() - startedAtMs })
  await raw.readVersions(store)
  const complete = !signal.aborted
  const partial = (limit !== null && visited >= limit) || !complete
  const sample = partial && info.keys !== null && visited < info.keys ? { visited, population: info.keys } : null
  const told = teller(sample, state.nowMs, bins.size)
  return { method: sample === null ? 'full' : 'sample', complete, visited, raw, ...bins.finish(told) }
}

/** The keys of a Cluster lie in tables by slot: the first ones are no sample. */
function sampleLimit(population: number | null, { mode }: RedisIdentity): number | null {
  return mode === 'cluster' || population === null || population <= MOST_KEYS_COUNTED ? null : SAMPLE_KEYS
}

function createBins() {
  const current = new Map<string, KeyCount>()
  const dead = new Map<string, Map<string, Bin>>()
  const versions = new Map<string, Bin>()
  const at = (bins: Map<string, Bin>, name: string, generation: Generation | null): Bin => {
    const known = bins.get(name)
    if (known !== undefined) return known
    const bin = { count: newCount(), generation, subjects: new Set<string>() }
    bins.set(name, bin)
    return bin
  }
  return {
    get size() {
      return current.size + versions.size + [...dead.values()].reduce((sum, bins) => sum + bins.size, 0)
    },
    count(parsed: Parameters<typeof deadGenerationOf>[0], measure: Measure, state: VersionState, version: string) {
      const generation = deadGenerationOf(parsed, state.generations)
      if (generation !== null) {
        const field = scopeField(generation.scope)
        const bins = dead.get(field) ?? new Map<string, Bin>()
        dead.set(field, bins)
        addKey(at(bins, generation.token ?? '', generation).count, measure)
        return
      }
      if (parsed.version !== version) {
        const { count, subjects } = at(versions, parsed.version, null)
        addKey(count, measure)
        if (subjects.size < MOST_SUBJECTS) subjects.add(parsed.subject)
        return
      }
      for (const { scope, token } of generationsOf(parsed)) {
        // Of the many scopes that nobody ever bumped nothing is told but of what is named.
        if (token === null && (scope.kind === 'tenant' || scope.kind === 'tenant-subject') && current.size > 10_000)
          continue
        const field = scopeField(scope)
        let count = current.get(field)
        if (count === undefined) {
          count = newCount()
          current.set(field, count)
        }
        addKey(count, measure)
      }
    },
    finish(told: Teller) {
      return {
        current: (field: string) => told(current.get(field)),
        dead: new Map(
          [...dead].map(([field, bins]) => [
            field,
            [...bins.values()].map(({ count, generation }) => ({ ...(generation as Generation), keys: told(count) })),
          ]),
        ),
        versions: [...versions].map(([version, { count, subjects }]) => ({
          version,
          subjects: [...subjects],
          keys: told(count),
        })),
        told,
      }
    },
  }
}
