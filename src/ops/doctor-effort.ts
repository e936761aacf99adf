// How many entries `doctor` reads: a sample that nobody waits for, or with --full as many as the walk has kept.

export interface Effort {
  /** of each group; the walk keeps at most 1,000 */
  headersAGroup: number
  headers: number
  /** values are read one by one, and timed */
  valuesAGroup: number
  /** of models with tenants, whose rows are looked at one by one */
  tenantValuesAGroup: number
  readWithinMs: number
  /** of each model, compared with their rows: a page of the source at most */
  rows: number
}

const SAMPLE: Effort = {
  headersAGroup: 200,
  headers: 5_000,
  valuesAGroup: 10,
  tenantValuesAGroup: 50,
  readWithinMs: 2_000,
  rows: 100,
}

const FULL: Effort = {
  headersAGroup: 1_000,
  headers: 50_000,
  valuesAGroup: 10,
  tenantValuesAGroup: 1_000,
  readWithinMs: 60_000,
  rows: 500,
}

export function effortOf({ full }: { full: boolean }): Effort {
  return full ? FULL : SAMPLE
}
