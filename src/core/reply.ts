// Telling the kinds of Redis replies apart.

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
