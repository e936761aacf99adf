// Invalidations of this process: applied at once; while Redis is away kept, and applied before anything of it is trusted again.
import { setTimeout as sleep } from 'node:timers/promises'
import { CachectlError, isOfRedis } from '../core/errors.ts'
import type { Store } from '../ports.ts'
import { lapseMs } from './announce.ts'
import type { ControlMirror, Run } from './control-mirror.ts'
import { applyChange, applySettled, type Backlog, notApplied, Unsettled } from './invalidating.ts'
import type { Change, Invalidated, Kernel } from './kernel.ts'
import type { LeadContext } from './lead.ts'
import type { Commands, Link } from './link.ts'
import type { Loading } from './loading.ts'
import type { RecentChanges } from './recent-changes.ts'
import type { Announcement } from './tiers.ts'

/** For what is not on the way of a request: scans, sweeps, what was kept while Redis was away. */
export const UNHURRIED_MS = 10_000

/** What invalidations of a process share, whatever becomes of them. */
export interface ApplyingOptions {
  config: LeadContext['config']
  control: ControlMirror
  backlog: Backlog
  recent: RecentChanges
  store: Pick<Store, 'masters' | 'layout' | 'settling'>
  report(error: unknown): void
}

/** Applies what was kept; what is to be told to others of it, or null. @throws CachectlError where Redis is away again: all of it is kept then */
export function createCatchUp(options: ApplyingOptions): (run: Run) => Promise<Announcement | null> {
  const { config, control, backlog, recent, store, report } = options
  const catchUp = async (run: Run): Promise<Announcement | null> => {
    const change = backlog.take()
    if (change === null) return null
    try {
      const { announcement } = await applyChange(config.prefix, config.tenantLabel, change, control, run, store)
      recent.add(change)
      return announcement
    } catch (error) {
      if (isOfRedis(error)) {
        backlog.add(change)
        throw error
      }
      // No connection would ever bring it in step: all is invalidated in its place.
      report(error)
      backlog.add({ scopes: [{ kind: 'global' }] })
      return catchUp(run)
    }
  }
  return catchUp
}

const NOBODY = { processes: 0, of: 0, lapsed: false } as const

export function createInvalidate(
  context: LeadContext,
  { config, control, backlog, recent, store }: ApplyingOptions,
  { loading, strict }: { loading: Loading; strict: boolean },
): Kernel['invalidate'] {
  const { link, flights, near, closing, deadlineMs, report } = context

  /** What is under way may not be shared any more; where it holds a lease, Redis tells, but Redis may be away. */
  const forget = (change: Change): void => {
    loading.forgetUnleased()
    const mirror = control.current
    const named = change.entries?.length && !change.stamps?.length && !change.scopes?.length && !change.pattern
    if (mirror === null || !named || !link.up) flights.forgetAll()
    else for (const place of change.entries ?? []) for (const key of mirror.keysOf(place)) flights.forget(key)
  }
  /** It is applied: where nobody can be told, what others hold in memory lapses. */
  const announced = async (announcement: Announcement): Promise<Invalidated['acknowledged']> => {
    if (near === null) return NOBODY
    try {
      return await near.announce(announcement)
    } catch (error) {
      report(error)
      const lapsed = Object.values(config.namespaces).some((namespace) => namespace.l1 !== null)
      if (lapsed) await sleep(lapseMs(config.heartbeatMs), undefined, { signal: closing }).catch(() => {})
      return { ...NOBODY, lapsed }
    }
  }

  return async (change) => {
    // Nobody would apply it any more.
    if (closing.aborted) throw closedError()
    // Nothing that this process has or has under way is given to whoever asks after this.
    forget(change)
    try {
      const run = boundedRun(link, change, deadlineMs)
      const apply = async () => {
        const applied = await applyChange(config.prefix, config.tenantLabel, change, control, run, store)
        recent.add(change)
        flights.forgetAll()
        near?.drop(applied.announcement)
        return applied
      }
      const applied = await applySettled(store, apply, deadlineMs)
      const acknowledged = await announced(applied.announcement)
      return { status: 'applied', acknowledged, deleted: applied.deleted }
    } catch (error) {
      if (!isOfRedis(error)) throw error
      backlog.add(change)
      near?.clear()
      // Nothing of it is trusted until this has been applied.
      if (link.up && !(error instanceof Unsettled)) link.distrust(error as Error)
      report(error)
      if (strict) throw notApplied(error)
      return { status: 'queued', acknowledged: NOBODY, deleted: null }
    }
  }
}

export function closedError(): CachectlError {
  return new CachectlError('USAGE', 'the cache has been closed', {
    hint: 'close it when nothing uses it any more: what is invalidated now would be lost',
  })
}

/** A pattern is scanned for; anything else keeps the deadline of a request. */
function boundedRun(link: Link, change: Change, deadlineMs: number): Run {
  return (build: (page: Commands) => void) => link.runEarly(build, change.pattern ? UNHURRIED_MS : deadlineMs)
}
