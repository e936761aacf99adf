// Comparisons of keys as bytes, for what is asked of every key of a walk.

/** Without the view that `subarray` would make. */
export function startsWith(key: Uint8Array, start: Uint8Array): boolean {
  if (key.length < start.length) return false
  for (let at = 0; at < start.length; at++) if (key[at] !== start[at]) return false
  return true
}
