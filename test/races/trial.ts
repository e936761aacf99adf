// One trial: an entry with a source that counts, readers that never stop, and a writer that changes the source and invalidates.
import { setTimeout as pause } from 'node:timers/promises'
import type { Change, Kernel, Place, Policy } from '../../src/cache/kernel.ts'
import { stampName } from '../../src/core/key.ts'
import { randomFromSeed } from '../seed.ts'
import { emptyHistory, type History, monotonicMs } from './history.ts'

/** How its entry is invalidated; `late-tag`: by a tag that only the loader names. */
export const KINDS = [
  'key',
  'tag',
  'late-tag',
  'namespace',
  'subject',
  'tenant',
  'tenant-subject',
  'global',
  'pattern',
] as const
/** By the command line only: a row, a list page by its row, a whole model, one entry of a subject, a namespace within a tenant. */
export const OUTSIDE_KINDS = ['row', 'list', 'model', 'rest', 'tenant-namespace', 'live-pattern'] as const
/** By `version bump`; the others from outside are by `invalidate`. */
export const BUMP_KINDS = ['bump-global', 'bump-namespace', 'bump-model', 'bump-tenant', 'bump-tenant-subject'] as const
export type Kind = (typeof KINDS)[number] | (typeof OUTSIDE_KINDS)[number] | (typeof BUMP_KINDS)[number]

export function isBump(kind: Kind): kind is (typeof BUMP_KINDS)[number] {
  return (BUMP_KINDS as readonly string[]).includes(kind)
}

export interface Plan {
  trial: number
  seed: number
  kind: Kind
  durationMs: number
  /** by each process that writes */
  writes: number
  /** the only process that writes; null: all do */
  writer: number | null
  /** the longest that a load takes */
  loadMs: number
  /** the longest that a reader rests between two reads */
  restMs: number
  /** readers in each process */
  readers: number
}

/** The source, behind the cache: a counter for each trial. */
export interface Truth {
  read(trial: number): Promise<number>
  write(trial: number): Promise<number>
}

/** What a trial needs of a cache. */
export type Tried = Pick<Kernel, 'load' | 'invalidate'>

/** As many namespaces as trials that may run at once without meeting in one. */
export const NAMESPACES = 30
/** A trial whose namespace has no L1. */
export const UNHELD = NAMESPACES - 1

export function placeOf({ trial, kind }: Pick<Plan, 'trial' | 'kind'>): Place {
  const tenant = /^(bump-)?tenant/.test(kind) || trial % 3 === 0 ? `t${trial}` : null
  const isRow = ['row', 'model', 'bump-model'].includes(kind) || trial % 2 === 0
  const rest = isRow ? [`${trial}`] : ['e', `${trial}`]
  return { namespace: `n${trial % NAMESPACES}`, subject: `s${trial}`, version: '1', tenant, rest }
}

function changeOf({ trial, kind }: Plan, prefix: string): Change {
  const { namespace, subject, tenant } = placeOf({ trial, kind })
  switch (kind) {
    case 'key':
      return { entries: [placeOf({ trial, kind })], fences: [subject] }
    case 'tag':
    case 'late-tag':
      return { stamps: [stampName('tag', `g${trial}`, tenant)] }
    case 'namespace':
      return { scopes: [{ kind, namespace }] }
    case 'subject':
      return { scopes: [{ kind, subject }] }
    case 'tenant':
      return { scopes: [{ kind, tenant: tenant as string }] }
    case 'tenant-subject':
      return { scopes: [{ kind, tenant: tenant as string, subject }] }
    case 'global':
      return { scopes: [{ kind }] }
    case 'pattern':
      return { pattern: { glob: `${prefix}:v1:*:${subject}:*`, tenant } }
    default:
      throw new Error(`${kind} is invalidated from outside`)
  }
}

function policyOf({ trial, kind }: Plan): Policy {
  const { tenant, subject } = placeOf({ trial, kind })
  const held = kind === 'tag' ? stampName('tag', `g${trial}`, tenant) : stampName('lists', subject, tenant)
  return {
    ttlMs: 600_000,
    graceMs: 60_000,
    jitter: 0.1,
    compressAboveBytes: null,
    negativeTtlMs: null,
    beta: 0,
    softTimeoutMs: null,
    hardTimeoutMs: null,
    stamps: kind === 'tag' || kind === 'list' ? [held] : [],
    clone: false,
    check: null,
    accept: null,
  }
}

/** Runs the part of one process in it. Resolves when its readers and its writer are done. */
export async function runTrial(
  plan: Plan,
  { cache, truth, process, prefix }: { cache: Tried; truth: Truth; process: number; prefix: string },
): Promise<History> {
  const { durationMs, kind, loadMs, trial, writes } = plan
  const random = randomFromSeed(plan.seed * 31 + process)
  const history = emptyHistory()
  const place = placeOf(plan)
  const policy = policyOf(plan)
  const read = async () => {
    const startMs = monotonicMs()
    const found = await cache.load(place, policy, async (control) => {
      history.loads++
      const version = await truth.read(trial)
      if (kind === 'late-tag') control.stamps([stampName('tag', `g${trial}`, place.tenant)])
      await pause(random() * loadMs)
      return { of: trial, version }
    })
    if (found.tier === 'l1') history.nearHits++
    const { of, version } = found.value as { of: number; version: number }
    history.reads.push({ trial, of, version, startMs, process })
  }
  const endMs = monotonicMs() + durationMs
  const reader = async () => {
    while (monotonicMs() < endMs) {
      await read()
      await pause(random() * plan.restMs)
    }
  }
  const writer = async () => {
    for (let count = 0; count < (plan.writer === null || plan.writer === process ? writes : 0); count++) {
      await pause((random() * durationMs * 1.5) / writes)
      const version = await truth.write(trial)
      const { status } = await cache.invalidate(changeOf(plan, prefix))
      if (status === 'off') throw new Error('the cache of a trial is switched off')
      history.invalidations.push({ trial, version, endMs: monotonicMs(), process, status })
      await read()
    }
  }
  await Promise.all([...Array.from({ length: plan.readers }, reader), writer()])
  return history
}

/** One more read, of what is left in the end. */
export function lastRead(plan: Plan, part: Parameters<typeof runTrial>[1]): Promise<History> {
  return runTrial({ ...plan, durationMs: 1, writes: 0, readers: 1 }, part)
}
