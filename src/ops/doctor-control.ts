// What `doctor` reads of the control data: incarnation and history, processes with copies, locks, runs that did not end.

import type { ResolvedConfig } from '../config/resolved.ts'
import type { CheckedFacts } from '../core/findings/facts.ts'
import { HISTORY_FIELD, processesKey } from '../core/key.ts'
import { printable } from '../core/printable.ts'
import { replyPairs } from '../core/reply.ts'
import type { OperationContext } from './context.ts'
import { NotMade } from './doctor-checks.ts'
import type { MasterInfo } from './doctor-servers.ts'
import { readJournal } from './journal-read.ts'
import { lockStart, readLock } from './lock.ts'
import type { ControlFields } from './version-state.ts'

export type ControlFacts = ControlFields

const DAY_MS = 24 * 3_600_000
const SHOWN_CHARACTERS = 12

/** Whether keys that were judged by one are judged alike by the other. */
export function sameControl(before: ControlFacts, after: ControlFacts): boolean {
  if (before.fields.size !== after.fields.size) return false
  for (const [field, value] of before.fields) if (after.fields.get(field) !== value) return false
  return true
}

/** @throws CachectlError */
export async function historyOf(
  { clock, store }: OperationContext,
  control: ControlFacts,
  { entries, infos }: { entries: number; infos: readonly MasterInfo[] },
): Promise<NonNullable<CheckedFacts['control']>> {
  const known = control.fields.get(HISTORY_FIELD) ?? null
  const came = control.versions.flatMap(({ since }) => (since === null ? [] : [Date.parse(since)]))
  const now = await store.history()
  const differs = known !== null && now !== null && known !== now
  const short = (text: string) => printable(text.slice(0, SHOWN_CHARACTERS))
  return {
    missing: control.incarnation === null,
    entries,
    otherHistory: differs ? { known: short(known), now: short(now) } : null,
    flushes: infos.reduce((sum, { fields }) => sum + callsOf(fields, 'flushall') + callsOf(fields, 'flushdb'), 0),
    ageMs: control.incarnation === null || came.length === 0 ? null : Math.max(0, clock.now() - Math.min(...came)),
  }
}

/** `cmdstat_flushall:calls=1,usec=975,…`; nought where the server does not tell. */
function callsOf(fields: MasterInfo['fields'], command: string): number {
  return Number(/^calls=(\d+)/.exec(fields.get(`cmdstat_${command}`) ?? '')?.[1] ?? 0)
}

/** Each renews its record three times a heartbeat, by the clock of the server. @throws CachectlError */
export async function processesOf(
  { store }: OperationContext,
  prefix: string,
): Promise<NonNullable<CheckedFacts['processes']>> {
  const [fields, time] = await Promise.all([store.call('HGETALL', processesKey(prefix)), store.call('TIME')])
  const [seconds = 0, micros = 0] = Array.isArray(time) ? time.map(Number) : []
  const nowMs = seconds * 1000 + micros / 1000
  const silent: string[] = []
  let registered = 0
  for (const [id, text] of replyPairs(fields)) {
    if (id === 'created') continue
    registered++
    const record = recordOf(text)
    if (record !== null && record.seenAt + record.heartbeatMs < nowMs)
      silent.push(printable(`${record.host}:${record.pid}`))
  }
  return { registered, silent }
}

/** Null: of a later version of the code, or nobody's. */
function recordOf(text: string): { seenAt: number; heartbeatMs: number; host: string; pid: string } | null {
  try {
    const { seenAt, heartbeatMs, host, pid } = JSON.parse(text) as Record<string, unknown>
    if (typeof seenAt !== 'number' || typeof heartbeatMs !== 'number') return null
    return { seenAt, heartbeatMs, host: String(host), pid: String(pid) }
  } catch {
    return null
  }
}

/** Those that never lapse have no age: they were taken by nothing of cachectl's. @throws CachectlError */
export async function locksOf(
  context: OperationContext,
  config: ResolvedConfig,
  keys: readonly Buffer[],
): Promise<NonNullable<CheckedFacts['locks']>> {
  const start = lockStart(config)
  const locks = await Promise.all(keys.map((key) => readLock(context, start, key)))
  return {
    held: locks.flatMap(({ lock }) =>
      lock === null
        ? []
        : [{ name: lock.name, holder: lock.holder, ageMs: lock.expiresInMs === null ? null : (lock.ageMs ?? 0) }],
    ),
  }
}

/** @throws CachectlError */
export async function unfinishedRuns(
  context: OperationContext,
): Promise<{ facts: NonNullable<CheckedFacts['journal']>; runs: number }> {
  const since = new Date(context.clock.now() - DAY_MS).toISOString()
  const { entries, notes } = await readJournal(context, { limit: null, since, match: () => true })
  if (entries.length === 0 && notes[0] !== undefined) throw new NotMade(notes[0])
  // A run that was repeated since, and succeeded, leaves nothing to do.
  const mended = new Set<string>()
  const unfinished: NonNullable<CheckedFacts['journal']>['unfinished'][number][] = []
  for (const { verb, what, startedAt, state } of entries) {
    const id = JSON.stringify([verb, what])
    if (state === 'done') mended.add(id)
    if ((state !== 'failed' && state !== 'interrupted') || mended.has(id)) continue
    mended.add(id)
    unfinished.push({ verb, what: what.join(' '), at: startedAt.replace(/\.\d+Z$/, 'Z'), state })
  }
  return { facts: { unfinished }, runs: entries.length }
}
