// Waiting that a signal can end: a source that hangs must not hang the program.

/**
 * The promise's outcome, or the signal's reason as soon as it aborts. What the promise still does then is nobody's concern.
 * One listener per call, taken off again: a race against one long-lived promise would keep every page in memory.
 */
export function abortable<T>(promise: PromiseLike<T>, signal: AbortSignal): Promise<T> {
  return new Promise((resolve, reject) => {
    if (signal.aborted) reject(signal.reason)
    const onAbort = () => reject(signal.reason)
    signal.addEventListener('abort', onAbort, { once: true })
    promise.then(
      (value) => {
        signal.removeEventListener('abort', onAbort)
        resolve(value)
      },
      (error) => {
        signal.removeEventListener('abort', onAbort)
        reject(error)
      },
    )
  })
}
