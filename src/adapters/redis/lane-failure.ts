// Why a lane closed, and what its callers can know of the pages that were under way.
import { CachectlError, type ErrorCode } from '../../core/errors.ts'

export interface LaneFailure {
  code: Extract<ErrorCode, 'REDIS_UNREACHABLE' | 'REDIS_TIMEOUT' | 'REDIS_PROTOCOL'>
  message: string
}

export const lost = (endpoint: string, cause?: Error): LaneFailure => ({
  code: 'REDIS_UNREACHABLE',
  message: `the connection to ${endpoint} was lost${cause ? ` (${cause.message})` : ''}`,
})

export const closedHere = (endpoint: string): LaneFailure => ({
  code: 'REDIS_UNREACHABLE',
  message: `this connection to ${endpoint} has been closed`,
})

export const silent = (endpoint: string, replyTimeoutMs: number): LaneFailure => ({
  code: 'REDIS_TIMEOUT',
  message: `no reply from ${endpoint} for ${replyTimeoutMs} ms`,
})

export const garbled = (endpoint: string, what: string): LaneFailure => ({
  code: 'REDIS_PROTOCOL',
  message: `${endpoint} sent ${what}`,
})

/** The error of one page. `sent` is false where no byte of it was written; `answered` is null where nobody counted. */
export function pageError(
  failure: LaneFailure,
  { length, answered, sent }: { length: number; answered: number | null; sent: boolean },
): CachectlError {
  let known = `whether the ${length} commands of this page were executed is unknown`
  if (!sent) known = `none of the ${length} commands of this page was sent`
  else if (answered !== null && answered > 0)
    known = `of the ${length} commands of this page ${answered} were answered, whether the other ${length - answered} were executed is unknown`
  return new CachectlError(failure.code, `${failure.message}; ${known}`)
}
