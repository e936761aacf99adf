// `lock show` and `lock release`: who runs what, and taking a lock from a run that is gone, never from another one.
import type { ResolvedConfig } from '../config/resolved.ts'
import { asCachectlError, CachectlError, EXIT, type ExitCode } from '../core/errors.ts'
import { lockKey } from '../core/key.ts'
import { RELEASE } from '../core/lease-script.ts'
import { escapeGlob } from '../core/pattern.ts'
import { printable, unprintable } from '../core/printable.ts'
import type { Reply } from '../ports.ts'
import type { OperationContext } from './context.ts'
import { beginJournal, type JournalPlace } from './journal.ts'
import { beginReport, type ReportBase } from './report-base.ts'
import { scan } from './scan.ts'

/** As it stands behind `{prefix}~lock:`, escaped: `warm:product`. */
export interface HeldLock {
  name: string
  /** `host:pid`; null where the value is none of cachectl's */
  holder: string | null
  /** ISO 8601, by the clock of the holder; null where the value does not say */
  since: string | null
  /** how long it has been held, by this machine's clock */
  ageMs: number | null
  /** null: it never lapses */
  expiresInMs: number | null
}

export interface LockShowReport extends ReportBase {
  command: 'lock show'
  /** null: all of the prefix */
  name: string | null
  locks: HeldLock[]
}

export interface LockReleaseReport extends Omit<ReportBase, 'dryRun'> {
  command: 'lock release'
  dryRun: boolean
  name: string
  /** who held it when it was looked at; null: nobody */
  lock: HeldLock | null
  /** `absent`: nobody held it; `lapsed`: it was gone when it was to be released; `changed hands`: somebody else holds it by now, and goes on holding it */
  outcome: 'released' | 'absent' | 'lapsed' | 'changed hands' | 'dry run'
  /** who holds it now; null: nobody */
  heldNow: HeldLock | null
  journal: JournalPlace
  exitCode: ExitCode
}

/** What stands in Redis: what is shown is what is released. */
export interface ReleasePlan {
  name: string
  key: Buffer
  value: Buffer | null
  lock: HeldLock | null
}

/** @throws CachectlError CONFIG_NOT_FOUND without a config, which names the prefix */
export async function showLocks(context: OperationContext, name: string | null): Promise<LockShowReport> {
  const report = await beginReport(context)
  const start = lockStart(context.config)
  const keys = name === null ? await findLocks(context, start) : [Buffer.concat([start, unprintable(name)])]
  const found = await Promise.all(keys.map((key) => readLock(context, start, key)))
  const locks = found.flatMap(({ lock }) => (lock === null ? [] : [lock]))
  return {
    command: 'lock show',
    ...report(!context.signal.aborted),
    name: name === null ? null : printable(unprintable(name)),
    locks: locks.sort((a, b) => (a.name < b.name ? -1 : 1)),
  }
}

/** @throws CachectlError CONFIG_NOT_FOUND, USAGE where the key is no lock */
export async function planRelease(context: OperationContext, name: string): Promise<ReleasePlan> {
  const start = lockStart(context.config)
  const key = Buffer.concat([start, unprintable(name)])
  const { value, lock, type } = await readLock(context, start, key)
  if (lock !== null && value === null)
    throw new CachectlError('USAGE', `${printable(key)} holds a ${printable(type)}, not a lock of cachectl`, {
      hint: 'other software made it: look at it with cachectl get',
    })
  return { name: printable(unprintable(name)), key, value, lock }
}

/** Deletes the lock if it is still the very one that the plan has. @throws CachectlError */
export async function releaseLock(
  context: OperationContext,
  { name, key, value, lock }: ReleasePlan,
  dryRun: boolean,
): Promise<LockReleaseReport> {
  const report = await beginReport(context)
  const finish = (outcome: LockReleaseReport['outcome'], more: Partial<LockReleaseReport> = {}): LockReleaseReport => ({
    command: 'lock release',
    ...report(),
    dryRun,
    name,
    lock,
    outcome,
    heldNow: null,
    journal: 'none',
    exitCode: EXIT.done,
    ...more,
  })
  if (value === null) return finish('absent')
  if (dryRun) return finish('dry run', { heldNow: lock })
  const journal = await beginJournal(context, {
    verb: 'lock release',
    what: [name, `holder: ${lock?.holder ?? 'unknown'}`],
    frees: true,
  })
  const end = (released: number, exitCode: ExitCode) =>
    journal.end({ ok: exitCode === EXIT.done, complete: true, exitCode, counts: { released } })
  let heldNow: HeldLock | null = null
  try {
    if ((await context.store.call('EVAL', RELEASE, 1, key, value)) === 1) {
      await end(1, EXIT.done)
      return finish('released', { journal: journal.place() })
    }
    heldNow = (await readLock(context, lockStart(context.config), key)).lock
  } catch (thrown) {
    await end(0, asCachectlError(thrown).exitCode)
    throw thrown
  }
  const exitCode = heldNow === null ? EXIT.done : EXIT.locked
  await end(0, exitCode)
  return finish(heldNow === null ? 'lapsed' : 'changed hands', {
    ok: heldNow === null,
    heldNow,
    exitCode,
    journal: journal.place(),
  })
}

/** Everything before the name. */
export function lockStart(config: ResolvedConfig | null): Buffer {
  if (config === null)
    throw new CachectlError(
      'CONFIG_NOT_FOUND',
      'locks are under the prefix of a cache.config.*, and there is none here or above',
    )
  return Buffer.from(lockKey(config.prefix, 'x').slice(0, -1))
}

async function findLocks({ store, signal }: OperationContext, start: Buffer): Promise<Buffer[]> {
  const keys = new Map<string, Buffer>()
  const wanted = (key: Buffer): boolean => start.equals(key.subarray(0, start.length))
  for await (const page of scan(store, { signal, wanted, match: `${escapeGlob(start.toString())}*` }))
    for (const key of page.keys) keys.set(key.toString('latin1'), Buffer.from(key))
  return [...keys.values()]
}

interface ReadLock {
  /** null: there is none, or it is no string */
  value: Buffer | null
  lock: HeldLock | null
  type: string
}

/** `start`: see `lockStart`. @throws CachectlError */
export async function readLock({ store, clock }: OperationContext, start: Buffer, key: Buffer): Promise<ReadLock> {
  const [typeReply, ttl] = await Promise.all([store.call('TYPE', key), store.call('PTTL', key)])
  const type = String(typeReply)
  const value = type === 'string' ? bytesOf(await store.call('GET', key)) : null
  if (type === 'none' || (type === 'string' && value === null)) return { value: null, lock: null, type: 'none' }
  const { holder, since } = value === null ? NOBODY : parseHolder(value)
  const sinceMs = since === null ? Number.NaN : Date.parse(since)
  const lock: HeldLock = {
    name: printable(key.subarray(start.length)),
    holder,
    since,
    ageMs: Number.isNaN(sinceMs) ? null : Math.max(0, clock.now() - sinceMs),
    expiresInMs: typeof ttl === 'number' && ttl >= 0 ? ttl : null,
  }
  return { value, lock, type }
}

const NOBODY = { holder: null, since: null }

/** As `Control.lock` writes it; whoever wrote something else is not known. */
function parseHolder(value: Buffer): { holder: string | null; since: string | null } {
  try {
    const told = (JSON.parse(value.toString('utf8')) ?? {}) as Record<string, unknown>
    const text = (field: unknown) => (typeof field === 'string' ? printable(field) : null)
    return { holder: text(told.holder), since: text(told.since) }
  } catch {
    return NOBODY
  }
}

function bytesOf(reply: Reply): Buffer | null {
  return reply === null ? null : Buffer.isBuffer(reply) ? reply : Buffer.from(String(reply))
}
