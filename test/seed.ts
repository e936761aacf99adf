// The seed of randomised tests: of the environment (SEED=…), or a new one. Tests print it in their names.
export const seed = Number(process.env.SEED ?? Math.floor(Math.random() * 2 ** 31))

/** mulberry32: small, and the same on every machine. */
export function randomFromSeed(from: number): () => number {
  let state = from >>> 0
  return () => {
    state = (state + 0x6d2b79f5) >>> 0
    let mixed = Math.imul(state ^ (state >>> 15), state | 1)
    mixed ^= mixed + Math.imul(mixed ^ (mixed >>> 7), mixed | 61)
    return ((mixed ^ (mixed >>> 14)) >>> 0) / 2 ** 32
  }
}
