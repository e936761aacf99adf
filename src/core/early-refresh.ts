// When a fresh entry is made anew before its end, so that not all readers miss it at once.

/**
 * The chance that a read makes the entry anew now: exp(-t / (beta delta)) with `t` left, so that one process in expectation does before the end, the likelier
 * the longer its value took to make (XFetch: Vattani, Chierichetti, Lowenstein, "Optimal Probabilistic Cache Stampede Prevention", VLDB 2015).
 */
export function earlyRefreshChance(
  { freshUntilMs, deltaMs }: { freshUntilMs: number | null; deltaMs: number },
  beta: number,
  nowMs: number,
): number {
  if (freshUntilMs === null || beta === 0 || deltaMs === 0) return 0
  return Math.min(1, Math.exp((nowMs - freshUntilMs) / (beta * deltaMs)))
}

/** @param random in [0, 1) */
export function refreshesEarly(
  entry: { freshUntilMs: number | null; deltaMs: number },
  beta: number,
  nowMs: number,
  random: () => number,
): boolean {
  return 1 - random() <= earlyRefreshChance(entry, beta, nowMs)
}
