// One warm run a model and tenant at a time: it saves work and is not what correctness rests on.
import { hostname } from 'node:os'
import { CachectlError } from '../core/errors.ts'
import type { Control, Lock, LockHolder } from '../ports.ts'
import type { OperationContext } from './context.ts'
import type { ModelPlan } from './warm-report.ts'
import { delay } from './warm-run.ts'

/** A run that was killed leaves its lock for no longer than this. */
const LOCK_MS = 30_000
const LOCK_POLL_MS = 500

export type IfLocked = 'fail' | 'skip' | 'wait'

/**
 * The lock; null where the run was stopped while it waited, or is to skip the model, which `skipped` is told.
 * @throws CachectlError LOCKED
 */
export async function takeModelLock(
  { emit, signal }: Pick<OperationContext, 'emit' | 'signal'>,
  control: Control,
  plan: ModelPlan,
  ifLocked: IfLocked,
  skipped: (reason: string) => void,
): Promise<Lock | null> {
  const tenant = plan.tenant === null ? '' : `:${encodeURIComponent(plan.tenant)}`
  const holder = `${hostname()}:${process.pid}`
  let told = false
  for (;;) {
    const lock: Lock | LockHolder = await control.lock(`warm:${plan.model.subject}${tenant}`, holder, LOCK_MS)
    if (lock.held) return lock
    const who = `${plan.model.name} is being warmed by ${lock.holder} since ${lock.since}`
    if (ifLocked === 'fail') throw new CachectlError('LOCKED', who, { hint: lockHint(lock) })
    if (ifLocked === 'skip') {
      emit({ event: 'note', level: 'info', message: `${who}: skipped` })
      skipped(`locked by ${lock.holder} since ${lock.since}`)
      return null
    }
    if (!told) emit({ event: 'note', level: 'info', message: `${who}: waiting` })
    told = true
    await delay(LOCK_POLL_MS, signal)
    if (signal.aborted) return null
  }
}

function lockHint({ expiresInMs }: LockHolder): string {
  const lapses =
    expiresInMs === null ? '' : ` If that process is gone, its lock lapses in ${Math.ceil(expiresInMs / 1000)} s.`
  return `wait for it with --if-locked wait, or leave it with --if-locked skip.${lapses}`
}
