// Waits for work that is to stop, but not for ever: a server, a source or a config may never answer.

/**
 * What the work gives, or the signal's reason thrown where the work has not ended `withinMs` after the signal was aborted.
 * The work itself goes on then: whoever gives up on it closes what it uses.
 */
export async function untilStopped<T>(work: Promise<T>, signal: AbortSignal, withinMs: number): Promise<T> {
  let timer: NodeJS.Timeout | undefined
  let giveUp: (reason: unknown) => void = () => {}
  const stopped = new Promise<never>((_, reject) => {
    giveUp = reject
  })
  const onAbort = () => {
    timer = setTimeout(() => giveUp(signal.reason), withinMs)
  }
  if (signal.aborted) onAbort()
  else signal.addEventListener('abort', onAbort)
  try {
    return await Promise.race([work, stopped])
  } finally {
    clearTimeout(timer)
    signal.removeEventListener('abort', onAbort)
  }
}
