// The checks of one `doctor` run: which were made, what they saw, which were not and why. One that cannot be made never ends the others.

import { asCachectlError, type CachectlError, EXIT } from '../core/errors.ts'
import { CHECKS, type CheckId } from '../core/findings/checks.ts'
import { printable } from '../core/printable.ts'

export interface CheckReport {
  id: CheckId
  /** what was looked at, in words */
  what: string
  made: boolean
  /** what it saw, or why it was not made */
  saw: string
}

export interface Checks {
  /** `work` gives what it saw. Does nothing once the server is lost or the run is to stop. */
  make(id: CheckId, work: () => string | Promise<string>): Promise<void>
  skip(id: CheckId, why: string): void
  /** the connection was lost meanwhile */
  readonly lost: CachectlError | null
  /** In the order of `CHECKS`; what nobody asked for is not made. */
  finish(): CheckReport[]
}

/** Thrown by a check that finds that it cannot be made. */
export class NotMade extends Error {}

export function createChecks(signal: AbortSignal): Checks {
  const reports = new Map<CheckId, { made: boolean; saw: string }>()
  let lost: CachectlError | null = null
  const skip = (id: CheckId, why: string): void => void reports.set(id, { made: false, saw: why })
  return {
    async make(id, work) {
      if (lost !== null) return skip(id, 'the connection was lost before')
      if (signal.aborted) return skip(id, 'it was stopped before')
      try {
        reports.set(id, { made: true, saw: await work() })
      } catch (thrown) {
        if (thrown instanceof NotMade) return skip(id, thrown.message)
        const error = asCachectlError(thrown)
        if (error.code === 'UNEXPECTED') throw error
        if (error.exitCode === EXIT.unreachable) lost = error
        skip(id, printable(error.message))
      }
    },
    skip,
    get lost() {
      return lost
    },
    finish: () =>
      (Object.keys(CHECKS) as CheckId[]).map((id) => ({
        id,
        what: CHECKS[id],
        ...(reports.get(id) ?? { made: false, saw: 'there was nothing to look at' }),
      })),
  }
}
