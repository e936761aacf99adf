// Telling the kinds of Redis replies apart.
import type { ErrorReply } from '../ports.ts'

/** What servers before Redis 7 put around the error of a command that a script called. */
const CALLED_BY_SCRIPT =
  /^ERR Error running script \(call to f_\w+\): @user_script:\d+: @user_script: ?\d+: -?(?=[A-Z]{3}|The user executing)/
/** How servers say NOPERM to a command that a script called: up to Redis 7.0 in the second way, then in the first. */
const DENIED_TO_SCRIPT =
  /^(?:ERR )?(?:ACL failure in script: |(?=The user executing the script can't ))(.+?)(?: script: .*)?$/

/** Where it was that a script came upon it: of use only where the script itself is at fault, which is ERR. */
const PLACE_IN_SCRIPT = /^(?!ERR )([A-Z]{3,} .*?) script: [0-9a-f]{40}, on @user_script:\d+\.$/

/** The line of an error reply, also where a script came upon it, with its first word, which says of what kind it is. */
export function errorReply(line: string): ErrorReply {
  const error = line.replace(CALLED_BY_SCRIPT, '').replace(DENIED_TO_SCRIPT, 'NOPERM $1').replace(PLACE_IN_SCRIPT, '$1')
  const space = error.indexOf(' ')
  return { error, code: space === -1 ? error : error.slice(0, space) }
}

/** Whether a reply of a page is an error of the server: one failed command does not fail its page. */
export function isErrorReply(reply: unknown): reply is { readonly error: string; readonly code: string } {
  return typeof reply === 'object' && reply !== null && 'error' in reply
}

/** Fields and values of HGETALL, as text; empty for any other reply. */
export function replyPairs(reply: unknown): Map<string, string> {
  const fields = new Map<string, string>()
  if (!Array.isArray(reply)) return fields
  for (let index = 0; index + 1 < reply.length; index += 2) fields.set(String(reply[index]), String(reply[index + 1]))
  return fields
}
