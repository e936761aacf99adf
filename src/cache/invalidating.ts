// Invalidations: applied in Redis in an order that no fill under way survives (docs/contract.md, "Invalidating"), told to the processes that hold copies,
// and kept while Redis is away, to be applied before anything of it is trusted again.
import { hostname } from 'node:os'
import { setTimeout as sleep } from 'node:timers/promises'
import { type Scope, scopeField } from '../core/control-key.ts'
import { CachectlError } from '../core/errors.ts'
import { BUMP, type Bumped, readBumped, recordName } from '../core/generation-record.ts'
import {
  bumpsKey,
  EPOCH_FIELD,
  fenceKey,
  generationsKey,
  leaseKey,
  revisionKey,
  stampKey,
  stampLogKey,
} from '../core/key.ts'
import { LOG_STAMPS } from '../core/lease-script.ts'
import type { Store } from '../ports.ts'
import { type ControlMirror, changeControl, type Mirror, placeId, type Run, runAlways } from './control-mirror.ts'
import { inOrder, type Step } from './in-order.ts'
import type { Change, Place } from './kernel.ts'
import type { Servers } from './key-walk.ts'
import { failedReply } from './link.ts'
import { deleteMatching, scopeAround } from './pattern-delete.ts'
import type { Announcement } from './tiers.ts'
import { newToken } from './token.ts'
import { textOf } from './turn-values.ts'

/** Keys a command: few enough for one server call to stay short. */
const KEYS_A_CALL = 200
/** What the log of invalidated stamps keeps: about a hundred lines. */
const LOG_BYTES = 8_192
/** More changes than this, and everything is invalidated instead. */
const MOST_KEPT = 10_000

export interface Applied {
  deleted: number | null
  announcement: Announcement
  /** of `scopes`, in their order */
  bumps: readonly Bumped[]
}

/**
 * Applies a change. Whoever reads after this has resolved gets nothing whose load began before it was called, but for copies in other processes.
 * `servers`: what a pattern is walked on where there are several.
 * @throws CachectlError where Redis is away or refuses; a part may have been applied then
 */
export async function applyChange(
  prefix: string,
  tenantLabel: string | null,
  change: Change,
  control: ControlMirror,
  run: Run,
  servers: Servers | null = null,
): Promise<Applied> {
  const { entries = [], stamps = [], scopes = [], pattern = null } = change
  let mirror = control.current ?? (await control.sync(run))
  let keys: string[] = []
  let deleted = 0
  for (;;) {
    const known: Mirror = mirror
    keys = entries.flatMap((place) => known.keysOf(place))
    const replies = await inOrder(run, stepsOf(prefix, change, keys))
    const failed = failedReply(replies)
    if (failed) throw failed
    for (const reply of replies.slice(replies.length - Math.ceil(keys.length / KEYS_A_CALL))) deleted += Number(reply)
    if (textOf(replies[0]) === known.revision || entries.length === 0) break
    // Bumped, or other versions of the code registered: the same entries under their keys now.
    mirror = await control.sync(run)
    if (entries.flatMap((place) => mirror.keysOf(place)).every((key, index) => key === keys[index])) break
  }
  const bumps = scopes.length > 0 ? await bump(prefix, scopes, change, control, run) : []
  let bumped = scopes.length > 0
  if (pattern !== null) {
    // Pages of bulk writes under way may hold anything that matches.
    await changeControl(run, prefix, 'HSET', [EPOCH_FIELD, newToken()])
    const walked = await deleteMatching({ prefix, tenantLabel }, pattern, run, servers)
    deleted += walked.deleted
    // Slots move all the time: more than is meant goes, so that nothing that is meant stays.
    if (!walked.complete) await bump(prefix, [scopeAround(pattern)], change, control, run)
    bumped ||= !walked.complete
  }
  return {
    deleted: entries.length > 0 || pattern !== null ? deleted : null,
    announcement: { keys, stamps, bumped, pattern: pattern?.glob ?? null },
    bumps,
  }
}

/** A change was applied, and no Sentinel says whether at the primary. */
export class Unsettled extends CachectlError {}

/** How long a change waits for the connection to a primary that has just taken over, between two attempts. */
const AGAIN_MS = 20

/**
 * Applies a change where everybody reads: again at its successor, where another primary took over meanwhile, and tries to for `withinMs` then.
 * @throws what `apply` throws; Unsettled
 */
export async function applySettled<T>(
  store: Pick<Store, 'settling'>,
  apply: () => Promise<T>,
  withinMs: number,
): Promise<T> {
  let untilMs: number | null = null
  for (;;) {
    const settled = store.settling()
    try {
      const applied = await apply()
      const verdict = await settled()
      if (verdict === 'settled') return applied
      if (verdict === 'unknown') throw unsettled()
      untilMs = performance.now() + withinMs
    } catch (error) {
      if (error instanceof Unsettled || untilMs === null || performance.now() > untilMs) throw error
      await sleep(AGAIN_MS)
    }
  }
}

function unsettled(): Unsettled {
  return new Unsettled('REDIS_UNREACHABLE', 'no Sentinel answers: whether this was applied at the primary is unknown', {
    hint: 'it was at the server that was the primary a moment ago; do it again when a Sentinel answers, which is safe',
  })
}

/** Under the operation of the change, where it has one: sent again because its answer was lost, it bumps nothing twice. */
async function bump(
  prefix: string,
  scopes: readonly Scope[],
  { op = newToken(), by = `${hostname()}:${process.pid}` }: Change,
  control: ControlMirror,
  run: Run,
): Promise<Bumped[]> {
  const keys = [generationsKey(prefix), revisionKey(prefix), bumpsKey(prefix)]
  const fields = scopes.flatMap((scope) => [scopeField(scope), newToken()])
  const answer = await runAlways(run, BUMP, keys, [op, recordName(by), newToken(), newToken(), ...fields])
  control.outdated()
  await control.sync(run)
  const bumps = readBumped(answer)
  if (bumps === null) throw new CachectlError('REDIS_PROTOCOL', 'a bump was answered with something else than tokens')
  return bumps
}

/**
 * What is deleted at once is deleted rather than changed, which a full server allows as well. The order is what keeps fills under way from bringing back
 * what is invalidated (docs/contract.md, "Invalidating").
 */
function stepsOf(prefix: string, { fences = [], stamps = [] }: Change, keys: readonly string[]): [Step, ...Step[]] {
  const first: Step = (page) => {
    page.add('GET', revisionKey(prefix))
    // Whoever captured it finds another one, or none.
    for (const subject of fences) page.add('UNLINK', fenceKey(prefix, subject))
    if (stamps.length === 0) return
    const lines = stamps.map((name) => `${newToken()} ${name}\n`).join('')
    page.add('EVAL', LOG_STAMPS, 1, stampLogKey(prefix), lines, LOG_BYTES)
  }
  const second: Step = (page) => {
    // Behind the log: who captures a stamp and then reads the log has either missed nothing or sees it there.
    for (const some of chunks(stamps)) page.add('UNLINK', ...some.map((name) => stampKey(prefix, name)))
    // Behind the fences: a page of bulk writes looks at them when it has its leases.
    for (const some of chunks(keys)) page.add('UNLINK', ...some.map((key) => leaseKey(prefix, key)))
  }
  // Behind the leases: a fill that finds its lease before them writes an entry that is deleted here.
  const third: Step = (page) => {
    for (const some of chunks(keys)) page.add('UNLINK', ...some)
  }
  if (keys.length === 0) return stamps.length === 0 ? [first] : [first, second]
  if (fences.length > 0 || stamps.length > 0) return [first, second, third]
  const both: Step = (page) => {
    first(page)
    second(page)
  }
  return [both, third]
}

function chunks<T>(items: readonly T[]): T[][] {
  const all: T[][] = []
  for (let start = 0; start < items.length; start += KEYS_A_CALL) all.push(items.slice(start, start + KEYS_A_CALL))
  return all
}

/** Changes that could not be applied: each once, the last of it. */
export interface Backlog {
  readonly size: number
  add(change: Change): void
  /** All of it as one change, which is taken off; null: nothing. */
  take(): Change | null
}

export function createBacklog(): Backlog {
  const entries = new Map<string, Place>()
  const stamps = new Set<string>()
  const fences = new Set<string>()
  const scopes = new Map<string, Scope>()
  let patterns: NonNullable<Change['pattern']>[] = []
  const size = () => entries.size + stamps.size + fences.size + scopes.size + patterns.length
  const clear = () => {
    for (const kept of [entries, stamps, fences, scopes]) kept.clear()
    patterns = []
  }
  return {
    get size() {
      return size()
    },
    add(change) {
      for (const place of change.entries ?? []) entries.set(placeId(place), place)
      for (const name of change.stamps ?? []) stamps.add(name)
      for (const subject of change.fences ?? []) fences.add(subject)
      for (const scope of change.scopes ?? []) scopes.set(scopeField(scope), scope)
      if (change.pattern) patterns.push(change.pattern)
      // Too many to be named, or patterns, for which a scan would keep the cache away: all of it.
      if (size() <= MOST_KEPT && patterns.length <= 1) return
      clear()
      scopes.set('global', { kind: 'global' })
    },
    take() {
      if (size() === 0) return null
      const [pattern] = patterns
      const change: Change = {
        entries: [...entries.values()],
        stamps: [...stamps],
        fences: [...fences],
        scopes: [...scopes.values()],
        ...(pattern ? { pattern } : {}),
      }
      clear()
      return change
    },
  }
}

/** Of an invalidation that `strict` callers want to hear about. */
export function notApplied(cause: unknown): CachectlError {
  return new CachectlError('REDIS_UNREACHABLE', 'the invalidation could not be applied: Redis is away', {
    hint: 'it is kept and applied when Redis is back',
    cause,
  })
}
