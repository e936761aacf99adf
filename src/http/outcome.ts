// What both kinds of servers do with what came of a request.
import type { LoadControl, Place, Policy } from '../cache/kernel.ts'
import type { Surface } from '../cache/surface.ts'
import { CachectlError } from '../core/errors.ts'
import type { Audience } from './conditional.ts'
import type { HttpRules } from './options.ts'
import type { RequestEntry } from './request-entry.ts'
import type { Verdict } from './response-rules.ts'

/** What came of a handler whose response others wait for. `again`: it was cut short, look once more. `own`: each has a handler of its own to run. */
export type Unshared = 'again' | 'own'

/** Each waits again for so many handlers whose clients went away. */
export const MOST_CUT = 5

export function audienceOf<Args extends readonly unknown[]>(rules: HttpRules<Args>, entry: RequestEntry): Audience {
  return { private: entry.private, public: rules.public, revalidate: rules.revalidate }
}

/** Tells clients that the cache had no part in it; and developers, why. */
export function bypassMarks({ kernel }: Surface, reason: string): [name: string, value: string][] {
  const marks: [string, string][] = [['X-Cache', 'BYPASS']]
  return kernel.production ? marks : [...marks, ['X-Cache-Reason', reason]]
}

/** The entry lives no longer than its response says. */
export function limitLife(
  control: LoadControl,
  verdict: Extract<Verdict, { cacheable: true }>,
  { ttlMs }: Policy,
): void {
  if (verdict.ttlMs !== null && verdict.ttlMs < (ttlMs ?? Number.POSITIVE_INFINITY)) control.ttlMs(verdict.ttlMs)
  if (!verdict.grace) control.graceMs(0)
}

/** A stale response that is not to be given any more: the handler says now that there is none. */
export function forget({ kernel }: Surface, place: Place): void {
  kernel.invalidate({ entries: [place] }).catch(kernel.report)
}

/** Goes to `onError`: the stale response was given instead. */
export function failed(status: number): CachectlError {
  return new CachectlError('SOURCE_FAILED', `the handler answered with status ${status}`, {
    hint: 'look for its own error; the stale response was given instead',
  })
}
