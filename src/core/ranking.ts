// Where the line is drawn between what goes and what stays, among any number of keys in bounded memory.

/** Keys and bytes: of what is there, of what is too much, of what has gone. */
export interface Extent {
  keys: number
  bytes: number
}

export interface RankedKey {
  key: Buffer
  value: number
  bytes: number
}

/** What goes to make room: everything up to a value. */
export interface Line {
  /** value of the first one that goes */
  first: number
  /** of the last one that goes */
  last: number
  /** how far to look for them by value: a little more, for those that are found to be used or gone */
  upTo: number
  /** estimated where values were sampled */
  keys: number
  bytes: number
  /**
   * The first to go first: `keys` that go, and behind them some more, in the place of those that are found to be used meanwhile. Null where they are
   * too many to be held: they are found by their values then.
   */
  named: readonly RankedKey[] | null
  /** the first to go, at most ten */
  samples: readonly Buffer[]
  /** Share of all keys that may go in the place of others; of a sample, in 95 of 100 cases. 0: exact. */
  error: number
}

export interface RankingLimits {
  /** values that are held: with no more keys than this the line is exact */
  values: number
  /** names that are held: where no more than this go, none has to be looked for */
  names: number
  random: () => number
}

export interface Ranking {
  offer(value: number, bytes: number, key: Buffer): void
  /** The least that makes room for so much, from the lowest value on; everything where even that is not enough. Null where nothing was offered. */
  line(excess: Extent): Line | null
}

/** Of what goes, how much more is looked for by value, and is held by name. */
const SPARE = 0.005
const SPARE_NAMES = 0.05
const FEWEST_SPARE = 16

/** Ranks any number of keys in the memory of `values` numbers and `names` names. */
export function createRanking({ values, names, random }: RankingLimits): Ranking {
  const lowest = createLowest(names)
  const sample = createSample(values, random)
  let first = Number.POSITIVE_INFINITY
  return {
    offer(value, bytes, key) {
      if (value < first) first = value
      sample.offer(value, bytes)
      lowest.offer(value, bytes, key)
    },
    line(excess) {
      if (first === Number.POSITIVE_INFINITY) return null
      const samples = lowest.first(10)
      const held = lowest.take(excess)
      if (held === null) return { ...sample.line(excess), first, named: null, samples }
      const { keys, bytes, last, named } = held
      return keys === 0 ? null : { first, last, upTo: last, keys, bytes, named, samples, error: 0 }
    },
  }
}

/** Values with their sizes: all of them, or of too many so many at random. */
function createSample(most: number, random: () => number) {
  let values = new Float64Array(Math.min(most, 1024))
  let sizes = new Float64Array(values.length)
  let held = 0
  let offered = 0
  return {
    offer(value: number, bytes: number): void {
      offered++
      if (held === values.length && held < most) {
        values = grown(values, most)
        sizes = grown(sizes, most)
      }
      // Reservoir sampling, Vitter's algorithm R: each value is held with the same probability.
      const at = held < most ? held++ : Math.floor(random() * offered)
      if (at >= most) return
      values[at] = value
      sizes[at] = bytes
    },
    line(excess: Extent): Pick<Line, 'last' | 'upTo' | 'keys' | 'bytes' | 'error'> {
      const scale = offered / held
      const wanted = { keys: excess.keys / scale, bytes: excess.bytes / scale }
      const { last, keys, bytes } = lastOf(values, sizes, held, wanted)
      // Twice the standard deviation of a quantile of a sample is largest at the median: 2 x sqrt(1/4 / n).
      const sampling = offered === held ? 0 : 1 / Math.sqrt(held)
      const spare = keys * SPARE + sampling * held
      return {
        last,
        upTo: lastOf(values, sizes, held, { keys: keys + spare, bytes: 0 }).last,
        keys: Math.round(keys * scale),
        bytes: Math.round(bytes * scale),
        error: spare / held,
      }
    },
  }
}

function grown(from: Float64Array<ArrayBuffer>, most: number): Float64Array<ArrayBuffer> {
  const to = new Float64Array(Math.min(most, from.length * 2))
  to.set(from)
  return to
}

/** The keys of the lowest values. */
function createLowest(names: number) {
  // As text of one byte a character: small buffers share slabs, and one that is kept would keep a slab of those that are not.
  const kept: { text: string; value: number; bytes: number }[] = []
  let sorted = true
  let dropped = false
  let below = Number.POSITIVE_INFINITY

  const sort = (): void => {
    if (!sorted) kept.sort((a, b) => a.value - b.value || (a.text < b.text ? -1 : 1))
    sorted = true
  }
  return {
    offer(value: number, bytes: number, key: Buffer): void {
      if (value >= below) {
        dropped = true
        return
      }
      kept.push({ text: key.toString('latin1'), value, bytes })
      sorted = false
      if (kept.length < names * 2) return
      sort()
      kept.length = names
      dropped = true
      below = kept.at(-1)?.value ?? below
    },
    first(most: number): Buffer[] {
      sort()
      return kept.slice(0, most).map(({ text }) => Buffer.from(text, 'latin1'))
    },
    /** Null where those that are held do not make so much room, and others might. */
    take(excess: Extent): (Extent & { last: number; named: RankedKey[] }) | null {
      sort()
      let keys = 0
      let bytes = 0
      while (keys < kept.length && (keys < excess.keys || bytes < excess.bytes)) bytes += kept[keys++]?.bytes ?? 0
      if (dropped && (keys < excess.keys || bytes < excess.bytes)) return null
      const all = kept.slice(0, keys + Math.max(FEWEST_SPARE, Math.ceil(keys * SPARE_NAMES)))
      const named = all.map(({ text, ...ranked }) => ({ ...ranked, key: Buffer.from(text, 'latin1') }))
      return { keys, bytes, last: kept[keys - 1]?.value ?? 0, named }
    },
  }
}

/** Quickselect by weight: the value up to which there are so many keys and bytes, and how many there are. Rearranges the arrays. */
function lastOf(values: Float64Array, sizes: Float64Array, length: number, excess: Extent): Extent & { last: number } {
  let low = 0
  let high = length - 1
  let keys = 0
  let bytes = 0
  while (low < high) {
    const middle = partition(values, sizes, low, high)
    let leftBytes = 0
    for (let i = low; i <= middle; i++) leftBytes += sizes[i] as number
    if (keys + middle - low + 1 >= excess.keys && bytes + leftBytes >= excess.bytes) high = middle
    else {
      keys += middle - low + 1
      bytes += leftBytes
      low = middle + 1
    }
  }
  return { last: values[low] as number, keys: keys + 1, bytes: bytes + (sizes[low] as number) }
}

/** Hoare's: what is not above the pivot comes to stand up to the returned place, what is not below it behind that. */
function partition(values: Float64Array, sizes: Float64Array, low: number, high: number): number {
  const pivot = values[(low + high) >> 1] as number
  let left = low - 1
  let right = high + 1
  for (;;) {
    do left++
    while ((values[left] as number) < pivot)
    do right--
    while ((values[right] as number) > pivot)
    if (left >= right) return right
    swap(values, left, right)
    swap(sizes, left, right)
  }
}

function swap(array: Float64Array, a: number, b: number): void {
  const kept = array[a] as number
  array[a] = array[b] as number
  array[b] = kept
}
