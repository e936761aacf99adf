// What a sample says of the whole, and how sure it is.

/**
 * The intervals of one report hold for all its groups at once. They are computed at 99 % by Bonferroni's inequality, so that with the
 * approximations below they cover the truth of every group in at least 95 of 100 runs, which is what the report states.
 */
const SIMULTANEOUS_ALPHA = 0.01

/** Below this many sampled keys of a group nothing is said of the spread of their sizes. */
const FEWEST_FOR_SPREAD = 6

export interface SampleSize {
  /** keys that were looked at */
  visited: number
  /** keys there are */
  population: number
}

export interface SampledGroup {
  keys: number
  bytes: number
  bytesSquared: number
  /** keys whose size is known */
  sized: number
}

export interface Estimate {
  keys: number
  /** null where no size is known */
  bytes: number | null
  /** plus or minus; bytes null where too few keys were sampled to tell */
  error: { keys: number; bytes: number | null }
}

/** The quantile of the normal distribution by Acklam's rational approximation; relative error under 1.2e-9. For 0 < p < 1. */
export function normalQuantile(p: number): number {
  const a = [
    -39.69683028665376, 220.9460984245205, -275.9285104469687, 138.357751867269, -30.66479806614716, 2.506628277459239,
  ]
  const b = [-54.47609879822406, 161.5858368580409, -155.6989798598866, 66.80131188771972, -13.28068155288572]
  const c = [
    -0.007784894002430293, -0.3223964580411365, -2.400758277161838, -2.549732539343734, 4.374664141464968,
    2.938163982698783,
  ]
  const d = [0.007784695709041462, 0.3224671290700398, 2.445134137142996, 3.754408661907416]
  const horner = (coefficients: readonly number[], x: number): number => coefficients.reduce((sum, k) => sum * x + k, 0)
  if (p < 0.02425) {
    const q = Math.sqrt(-2 * Math.log(p))
    return horner(c, q) / (horner(d, q) * q + 1)
  }
  if (p > 1 - 0.02425) return -normalQuantile(1 - p)
  const q = p - 0.5
  const r = q * q
  return (horner(a, r) * q) / (horner(b, r) * r + 1)
}

/** Student's t for few samples, from the normal quantile (Cornish-Fisher expansion to 1/v^2). */
function studentQuantile(z: number, degrees: number): number {
  const first = (z ** 3 + z) / (4 * degrees)
  const second = (5 * z ** 5 + 16 * z ** 3 + 3 * z) / (96 * degrees ** 2)
  return z + first + second
}

/** How many standard errors an interval reaches when `groups` groups, with two figures each, are stated together. */
export function criticalValue(groups: number): number {
  return normalQuantile(1 - SIMULTANEOUS_ALPHA / (2 * 2 * Math.max(1, groups)))
}

/**
 * Keys: Wilson's score interval with the finite population correction, its longer side. Bytes: keys times mean size, the relative
 * variances of both added. Assumes that the sample is random, which the first pages of SCAN over one hash table are.
 */
export function estimateGroup(group: SampledGroup, sample: SampleSize, z: number): Estimate {
  const { visited, population } = sample
  const mean = group.sized > 0 ? group.bytes / group.sized : null
  if (visited >= population || visited < 2) {
    return {
      keys: group.keys,
      bytes: mean === null ? null : Math.round(mean * group.keys),
      error: { keys: 0, bytes: 0 },
    }
  }
  const correction = (population - visited) / (population - 1)
  const share = group.keys / visited
  const keysError = population * wilsonReach(share, visited / correction, z)
  const keys = population * share
  if (mean === null) return { keys: Math.round(keys), bytes: null, error: { keys: Math.ceil(keysError), bytes: null } }

  let bytesError: number | null = null
  if (group.sized >= FEWEST_FOR_SPREAD) {
    const variance = Math.max(0, (group.bytesSquared - group.sized * mean * mean) / (group.sized - 1))
    const meanError = studentQuantile(z, group.sized - 1) * Math.sqrt((variance / group.sized) * correction)
    bytesError = Math.ceil(Math.hypot(mean * keysError, keys * meanError))
  }
  return {
    keys: Math.round(keys),
    bytes: Math.round(keys * mean),
    error: { keys: Math.ceil(keysError), bytes: bytesError },
  }
}

/** The distance from a share to the farther end of its Wilson interval, of `n` draws. */
function wilsonReach(share: number, n: number, z: number): number {
  const centre = (share + (z * z) / (2 * n)) / (1 + (z * z) / n)
  const half = (z / (1 + (z * z) / n)) * Math.sqrt((share * (1 - share)) / n + (z * z) / (4 * n * n))
  return Math.max(centre + half - share, share - (centre - half))
}
