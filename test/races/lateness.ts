// How late this process was: time in which it had no processor, or its own work kept it from answering. What is promised in milliseconds is counted
// without it, because no program can promise them where it does not run.

const EVERY_MS = 5

let lateMs = 0
let lastMs = performance.now()
setInterval(() => {
  const nowMs = performance.now()
  const over = nowMs - lastMs - EVERY_MS
  // Timers are never exact.
  if (over > EVERY_MS) lateMs += over
  lastMs = nowMs
}, EVERY_MS).unref()

/** Since the process began, in ms. */
export function latenessMs(): number {
  return lateMs + Math.max(0, performance.now() - lastMs - 2 * EVERY_MS)
}
