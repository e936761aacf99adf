// What a test has to meet by chance: on a busy machine, or a very quick one, it takes more than one go.

/** Goes until it is met, and gives what the last go saw. Whatever must hold in each go is asserted by `go` itself, which is told the how-manieth it is. */
export async function untilMet<T>(
  go: (count: number) => Promise<T>,
  isMet: (seen: T) => boolean,
  atMost = 10,
): Promise<T> {
  let seen = await go(0)
  for (let count = 1; count < atMost && !isMet(seen); count++) seen = await go(count)
  return seen
}

/** How long a condition may take to come on a machine that does other things: nobody waits for it longer than it takes. */
export const SOON = { timeout: 20_000, interval: 5 }
