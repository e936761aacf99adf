// `stats`: what is cached, by group, and how the server is. Reads only, and leaves no trace but the lookups that it reports.
import { diagnose, type Health } from '../core/diagnose.ts'
import { createGroupTable, type Group, type GroupBy } from '../core/groups.ts'
import { type StatsGroup, type StatsServer, type Summary, summarise } from '../core/stats.ts'
import type { Target } from '../core/target.ts'
import type { RedisIdentity, ServerInfo } from '../ports.ts'
import type { OperationContext } from './context.ts'
import { createKeyCounter, type KeyCounter, type LargestKey, type Lookups } from './count-keys.ts'
import { type HitRates, readHitRates } from './hit-rates.ts'
import { AGE_SAMPLE, type AgesRead, readAges } from './read-ages.ts'
import { type ReadFrom, readFrom } from './read-from.ts'
import { beginReport, type ReportBase } from './report-base.ts'
import { type ScannedPage, scan } from './scan.ts'
import { collectFacts } from './stats-facts.ts'
import { notesOf } from './stats-notes.ts'
import { describeServer, rateNow } from './stats-server.ts'
import { wantedKeys } from './wanted-keys.ts'

/** Up to this many keys everything is counted, unless a sample is asked for. */
export const MOST_KEYS_COUNTED = 100_000
export const SAMPLE_KEYS = 20_000
export const DEFAULT_TOP = 20
export const DEFAULT_BY: readonly GroupBy[] = ['namespace', 'model']

const NO_AGES: AgesRead = { ages: new Map(), headersRead: 0, allowed: true }

export type StatsMode = { kind: 'auto' } | { kind: 'full' } | { kind: 'sample'; keys: number }

export interface StatsOptions {
  /** none: the whole database */
  targets: readonly Target[]
  /** keys of this tenant only; null: of all */
  tenant: string | null
  by: readonly GroupBy[]
  mode: StatsMode
  /** groups that are shown; the rest is summed */
  top: number
  /** how many of the largest keys are named */
  largest: number
  /** read the ages of entries even where that makes the sampled keys look used */
  age: boolean
  /** measures the hit rate over this time at least; null: not */
  intervalMs: number | null
  /** keys are counted on replicas where there are some in step */
  replica?: boolean
}

/** `complete` false: stopped before the end; what was seen until then is told as a sample. */
export interface StatsReport extends ReportBase {
  command: 'stats'
  prefix: string | null
  targets: readonly string[]
  by: readonly GroupBy[]
  method: 'full' | 'sample'
  server: StatsServer
  groups: StatsGroup[]
  /** all groups together, control data excluded */
  total: StatsGroup
  /** cachectl's own data beside the entries */
  control: { keys: number; bytes: number | null }
  /** where keys were counted, of each master; null where no replica was asked for. The figures of the server are those of the primary. */
  readFrom: ReadFrom[] | null
  largest: LargestKey[]
  health: Health
  scan: {
    /** keys that SCAN returned; one that came twice counts twice */
    visited: number
    /** DBSIZE at the start, control data and expired keys included; null where it is refused */
    population: number | null
    /** keys that were gone or expired when they were asked about */
    gone: number
    /** what this run added to keyspace_hits and keyspace_misses */
    hitsAdded: number
    missesAdded: number
    /** entries whose header was read for ages */
    headersRead: number
    /** the longest SCAN by the server's clock; null where it refuses TIME */
    slowestCallMs: number | null
    durationMs: number
  }
  notes: string[]
}

export interface Counted {
  counter: KeyCounter
  /** of which keys were found */
  groups: Group[]
  summary: Summary
  ages: AgesRead
  /** null: there is no config, and so no prefix */
  rates: HitRates | null
  readFrom: ReadFrom[]
  /** lookups of this run on the servers that `info` speaks of */
  ownLookups: Lookups
  method: 'full' | 'sample'
  complete: boolean
  visited: number
  slowestCallMs: number | null
  durationMs: number
}

/**
 * Counts keys, bytes and TTLs by group. When the signal is aborted it reports what it has seen, with `complete: false`.
 * @throws CachectlError
 */
export async function stats(context: OperationContext, options: StatsOptions): Promise<StatsReport> {
  const { store, clock, config } = context
  const [report, redis, before] = await Promise.all([beginReport(context), store.identity(), store.info()])
  const infoAtMs = clock.now()
  const counted = await count(context, options, redis, before)
  const { lookups } = counted.counter
  const { intervalMs } = options
  const now = intervalMs === null ? null : await rateNow(context, intervalMs, infoAtMs, before, counted.ownLookups)
  const { groups, total, control } = counted.summary
  return {
    command: 'stats',
    ...report(counted.complete),
    prefix: config?.prefix ?? null,
    targets: options.targets.map((target) => target.text),
    by: options.by,
    method: counted.method,
    server: describeServer(before, now),
    groups,
    total,
    control,
    readFrom: options.replica ? counted.readFrom : null,
    largest: counted.counter.largest.slice(0, options.largest),
    health: diagnose(
      collectFacts({
        config,
        redis,
        info: before,
        counted,
        now,
        tellsEveryModel:
          options.targets.length === 0 &&
          options.tenant === null &&
          options.by.includes('model') &&
          !options.by.some((by) => by === 'pattern' || by === 'type'),
      }),
    ),
    scan: {
      visited: counted.visited,
      population: before.keys,
      gone: counted.counter.gone,
      hitsAdded: lookups.hits,
      missesAdded: lookups.misses,
      headersRead: counted.ages.headersRead,
      slowestCallMs: counted.slowestCallMs,
      durationMs: counted.durationMs,
    },
    notes: notesOf(redis, counted),
  }
}

/** How many keys are looked at; null: all. */
function sampleSize(mode: StatsMode, keys: number | null): number | null {
  if (mode.kind === 'sample') return mode.keys
  return mode.kind === 'full' || keys === null || keys <= MOST_KEYS_COUNTED ? null : SAMPLE_KEYS
}

/**
 * One walk over the keys, and what came of it. `watch` is told each page, whose replies are those to MEMORY USAGE and PTTL of each key. @throws CachectlError
 */
export async function count(
  context: OperationContext,
  options: StatsOptions & { watch?: (page: ScannedPage) => void; readsAges?: boolean },
  redis: RedisIdentity,
  info: ServerInfo,
): Promise<Counted> {
  const { clock, config, emit, signal, store } = context
  const startedAtMs = clock.now()
  const population = info.keys
  // The keys of a Cluster lie in tables by slot, which SCAN walks one after the other: its first pages are no random sample.
  const random = redis.mode !== 'cluster'
  const limit = options.mode.kind === 'auto' && !random ? null : sampleSize(options.mode, population)
  const table = createGroupTable(config, options.by, config === null ? 0 : AGE_SAMPLE)
  const counter = createKeyCounter({ table, by: options.by, largest: options.largest, random: context.random })
  const wanted = wantedKeys(options.targets, config, options.tenant)
  const rates = await readHitRates(context, options, counter.lookups)
  const ratesLookups = { ...counter.lookups }
  const replica = options.replica ?? false
  const from: ReadFrom[] = []
  const total = limit ?? population
  emit({ event: 'start', task: 'stats', unit: 'keys', total })

  let visited = 0
  let slowestCallMs: number | null = null
  for await (const page of scan(store, {
    signal,
    limit,
    replica,
    opened: async (master, lane) => {
      if (replica) from.push(await readFrom(context, master, lane))
    },
    probe: (probes, key) => counter.probe(probes, key),
    ...(wanted === null ? {} : { wanted }),
  })) {
    visited += page.visited
    if (page.callMs !== null) slowestCallMs = Math.max(slowestCallMs ?? 0, page.callMs)
    counter.count(page)
    options.watch?.(page)
    emit({ event: 'progress', task: 'stats', done: visited, total })
  }
  const complete = !signal.aborted
  const { groups, control } = table.finish()
  const ages =
    options.readsAges === false
      ? NO_AGES
      : await readAges(context, groups, { touch: options.age, replica }, counter.lookups)
  // A walk that was cut short saw a random part of the keys.
  const cutShort = (limit !== null && visited >= limit) || !complete
  const sample =
    cutShort && population !== null && visited < population ? { visited: visited - counter.gone, population } : null
  const { reads, keyless } = rates?.attach(groups) ?? { reads: new Map(), keyless: [] }
  const summary = summarise(
    { groups: [...groups, ...keyless], control, ages: ages.ages, reads: { of: reads, total: rates?.total ?? null } },
    { top: options.top, sample, errorsKnown: random },
  )
  const durationMs = clock.now() - startedAtMs
  emit({ event: 'end', task: 'stats', done: visited, durationMs })
  return {
    counter,
    groups,
    summary,
    ages,
    rates,
    readFrom: from,
    // Replicas count for themselves.
    ownLookups: from.length > 0 && from.every((one) => one.replica !== null) ? ratesLookups : counter.lookups,
    method: sample !== null ? 'sample' : 'full',
    complete,
    visited,
    slowestCallMs,
    durationMs,
  }
}
