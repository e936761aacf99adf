// Timestamp validation: entries hold the version that their source had before they were loaded, and are good while it has no newer one.
import { compareVersions } from '../core/entry.ts'
import { CachectlError } from '../core/errors.ts'
import { printable } from '../core/printable.ts'
import type { Found, Kernel, Load, LoadControl, Place, Policy } from './kernel.ts'
import { runLoader } from './load-control.ts'

/** `updated_at` or a row version; null and undefined: there is none, and nothing to compare. */
export type SourceVersion = string | number | bigint | Date | null | undefined
/** Asks the source for its version now: a cheap query. */
export type ReadVersion = () => SourceVersion | Promise<SourceVersion>

/** An entry's header has room for so much. */
const MAX_VERSION_BYTES = 400

/**
 * A version as entries hold it: text as it is, so that no digit is lost, numbers in decimal, a Date in ISO 8601 at milliseconds, null for none.
 * @throws CachectlError USAGE for what is no version
 */
export function versionText(version: SourceVersion): string | null {
  if (version === null || version === undefined) return null
  if (version instanceof Date && !Number.isNaN(version.getTime())) return version.toISOString()
  if (typeof version === 'bigint' || (typeof version === 'number' && Number.isFinite(version))) return String(version)
  if (typeof version === 'string' && version !== '' && Buffer.byteLength(version) <= MAX_VERSION_BYTES) return version
  throw new CachectlError('USAGE', `\`validateWith\` gave no version, but ${described(version)}`, {
    hint: `give the row's \`updated_at\` or its version: text of 1 to ${MAX_VERSION_BYTES} bytes, a number, a valid Date, or null`,
  })
}

/** Whether an entry of this version is still good where the source has that one. Of what has no order, only the same is. */
export function isCurrent(entry: string | null, source: string | null): boolean {
  const order = compareVersions(entry, source)
  return order === 'equal' || order === 'newer'
}

/** Policy and load of one call, so that only entries are given whose source has no newer version. */
export interface Validation {
  policy: Policy
  load: Load
  /** Whether what came back was compared, or loaded, by this very call. */
  settled(): boolean
}

/**
 * The version is asked for where there is an entry, and before each load: the value is at least as new as the version that it is stored with.
 * Where there is none, or asking fails (which is reported), nothing can be compared: the value is loaded, and not cached.
 */
export function withValidation(
  policy: Policy,
  load: Load,
  readVersion: ReadVersion,
  report: (error: unknown) => void,
): Validation {
  let settled = false
  let failed = false
  const current = async () => {
    // What has hung once is not waited for again.
    if (failed) return null
    try {
      return versionText(await runLoader(async () => readVersion(), policy.hardTimeoutMs, new AbortController().signal))
    } catch (error) {
      failed = true
      report(error)
      return null
    }
  }
  return {
    settled: () => settled,
    policy: {
      ...policy,
      accept: async (entry) => {
        if (policy.accept !== null && !(await policy.accept(entry))) return false
        const good = isCurrent(entry.sourceVersion, await current())
        settled ||= good
        return good
      },
    },
    load: async (control: LoadControl) => {
      settled = true
      const version = await current()
      if (version === null) control.skip()
      control.sourceVersion(version)
      return load(control)
    },
  }
}

/** `kernel.load`; with `readVersion`, of entries that are not older than their source. */
export function loadValidated(
  kernel: Kernel,
  place: Place,
  policy: Policy,
  load: Load,
  readVersion: ReadVersion | undefined,
): Promise<Found> {
  if (readVersion === undefined) return kernel.load(place, policy, load)
  const validation = withValidation(policy, load, readVersion, kernel.report)
  const again = () => kernel.load(place, validation.policy, validation.load)
  // Somebody else's load may have given it, which may have begun before this call, and the source have changed since. One that is shared then began later.
  return again().then((found) => (validation.settled() ? found : again()))
}

/** `kernel.read` of one entry; with `readVersion`, a miss where it is older than its source. */
export function readValidated(
  kernel: Kernel,
  place: Place,
  policy: Policy,
  readVersion: ReadVersion | undefined,
): Promise<Found> {
  if (readVersion === undefined) return kernel.readOne(place, policy)
  return kernel.readOne(place, withValidation(policy, () => undefined, readVersion, kernel.report).policy)
}

/** `kernel.refresh`; with `readVersion`, what is written holds the version of before the load. */
export function refreshValidated(
  kernel: Kernel,
  place: Place,
  policy: Policy,
  load: Load,
  readVersion: ReadVersion | undefined,
): Promise<Found> {
  if (readVersion === undefined) return kernel.refresh(place, policy, load)
  const validation = withValidation(policy, load, readVersion, kernel.report)
  return kernel.refresh(place, validation.policy, validation.load)
}

function described(version: unknown): string {
  if (typeof version === 'string')
    return version === '' ? 'the empty text' : `text of ${Buffer.byteLength(version)} bytes`
  if (version instanceof Date) return 'an invalid Date'
  return printable(typeof version === 'object' ? 'an object' : String(version))
}
