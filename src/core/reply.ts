// Telling the kinds of Redis replies apart.

/** Whether a reply of a page is an error of the server: one failed command does not fail its page. */
export function isErrorReply(reply: unknown): reply is { readonly error: string; readonly code: string } {
  return typeof reply === 'object' && reply !== null && 'error' in reply
}
