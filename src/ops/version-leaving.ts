// Versions of the code that the config no longer knows: whether a process of theirs lives, and when they can be forgotten.
import { setTimeout as delay } from 'node:timers/promises'
import { runAlways } from '../cache/control-mirror.ts'
import { newToken } from '../cache/token.ts'
import type { ResolvedConfig } from '../config/resolved.ts'
import { type CodeVersion, currentVersion, isOlderVersion } from '../core/code-version.ts'
import { generationsKey, revisionKey } from '../core/key.ts'
import { ASK_VERSIONS, FORGET_VERSIONS } from '../core/version-script.ts'
import type { Changer } from './apply-change.ts'
import type { OperationContext } from './context.ts'
import { readVersionState, requireConfig, type VersionState } from './version-state.ts'

export interface OldVersion {
  version: string
  /** null: of all subjects */
  subject: string | null
  /**
   * `live`: a process that holds copies in its memory says that it lives. `registered`: its processes are still to be asked. `answered`: one did.
   * `silent`: none did. `forgotten`: none did, nothing of it is left, and invalidations do not cover it any more.
   */
  state: 'live' | 'registered' | 'answered' | 'silent' | 'forgotten'
}

/**
 * Loads that began before a version's processes were asked may write for so long: a lease is renewed for a minute, and then lives five seconds. Whoever took
 * one later has looked at the revision behind it, and so has registered.
 */
const LONGEST_FILL_MS = 70_000
const LOOK_EVERY_MS = 100

/** Those that are older than what the config reads and writes under the same subjects. Newer ones may be about to be deployed. */
export function oldVersionsIn(state: VersionState, config: ResolvedConfig): (OldVersion & CodeVersion)[] {
  return state.versions
    .filter(({ version, subject }) =>
      isOlderVersion(version, subject === null ? config.version : currentVersion(config, subject)),
    )
    .map((one) => ({ ...one, state: stateOf(one, state) }))
}

function stateOf({ version, leavingMs }: CodeVersion, { live }: VersionState): OldVersion['state'] {
  if (live.has(version)) return 'live'
  return leavingMs === null ? 'registered' : 'silent'
}

/**
 * Asks the processes of these versions whether there are any: each that reads something answers at once. Waits until all versions have answered, or
 * `waitMs` from when they were asked. Ends early when the signal is aborted. @throws CachectlError
 */
export async function askVersions(
  context: OperationContext,
  changer: Changer,
  old: readonly (OldVersion & CodeVersion)[],
  waitMs: number,
): Promise<{ old: (OldVersion & CodeVersion)[]; state: VersionState }> {
  const config = requireConfig(context)
  const asked = old.filter(({ state }) => state === 'registered' || state === 'silent')
  if (asked.length > 0) await runScript(changer, config.prefix, ASK_VERSIONS, asked.map(nameOf))
  const fields = new Set(asked.map(({ field }) => field))
  const startedMs = performance.now()
  let told = false
  for (;;) {
    const state = await readVersionState(context, config.prefix)
    const now = state.versions.filter(({ field }) => fields.has(field))
    const silent = now.filter(({ leavingMs }) => leavingMs !== null)
    const leftMs = Math.max(0, ...silent.map(({ leavingMs }) => (leavingMs ?? 0) + waitMs - state.nowMs))
    const late = leftMs === 0 || performance.now() - startedMs > waitMs
    if (late || context.signal.aborted) {
      const rest = old.filter(({ field }) => !fields.has(field))
      const judged = now.map((one) => ({ ...one, state: answerOf(one, state) }))
      return { old: [...rest, ...judged], state }
    }
    if (!told)
      context.emit({
        event: 'note',
        level: 'info',
        message: `asked whether processes of ${[...new Set(silent.map(({ version }) => `v${version}`))].join(', ')} live: waiting ${Math.ceil(leftMs / 1000)} s for their next read`,
      })
    told = true
    await delay(Math.min(leftMs, LOOK_EVERY_MS), undefined, { signal: context.signal }).catch(() => {})
  }
}

function answerOf({ version, leavingMs }: CodeVersion, { live }: VersionState): OldVersion['state'] {
  if (live.has(version)) return 'live'
  return leavingMs === null ? 'answered' : 'silent'
}

/** The versions of which nothing can be left when a walk that begins now has met no key of theirs any more. */
export function forgettable(old: readonly (OldVersion & CodeVersion)[], nowMs: number): (OldVersion & CodeVersion)[] {
  return old.filter(
    ({ state, leavingMs }) => state === 'silent' && leavingMs !== null && leavingMs + LONGEST_FILL_MS <= nowMs,
  )
}

/** @throws CachectlError */
export async function forgetVersions(
  changer: Changer,
  prefix: string,
  versions: readonly CodeVersion[],
): Promise<void> {
  if (versions.length === 0) return
  const args = versions.flatMap((version) => [nameOf(version), String(version.leavingMs)])
  await runScript(changer, prefix, FORGET_VERSIONS, args)
}

function runScript(changer: Changer, prefix: string, script: string, args: readonly string[]) {
  return runAlways(changer.run, script, [generationsKey(prefix), revisionKey(prefix)], [newToken(), ...args])
}

/** As it stands in the field. */
function nameOf({ field }: CodeVersion): string {
  return field.slice(field.indexOf(':') + 1)
}
