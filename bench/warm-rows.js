// The rows of the warm bench, and the same entries as plain SETs: of these keys, with values of the same size.
export const ROWS = 1_000_000

/** @param {number} id */
export const row = (id) => ({
  id,
  name: `City of ${id}`,
  country: 'DE',
  population: (id * 7919) % 10_000_019,
  about: 'x'.repeat(110),
})

/** As many characters as the head of an entry has. */
const HEAD = 'h'.repeat(76)

/** @param {number} id @returns {[key: string, value: string]} */
export const entry = (id) => [`shop:v1:detail:city:${id}`, HEAD + JSON.stringify(row(id))]
