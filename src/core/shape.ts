// The shape of a key whose scheme nobody told us: its bytes with whatever looks like an id replaced by STAR.
// One pass over most bytes, no regular expression, no string: well under a microsecond a key.

/** Stands for `*` in a shape; a key segment that holds this byte is replaced whole, so it is never a literal. */
export const STAR = 0

/** Past this many bytes the rest of a key is one STAR. */
const SHAPE_BYTES = 192
/** Shorter text is taken for a name, if there are no digits in it. */
const SHORTEST_RANDOM = 16
/** Longer text without a separator is no name. */
const LONGEST_NAME = 40
const UUID_BYTES = 36
const DASH = 45
const AT = 64
const HASH_SEED = 0x811c9dc5
const HASH_PRIME = 0x01000193

const CONTROL = 0
const DIGIT = 1
const LOWER_HEX = 2
const LOWER = 3
const UPPER_HEX = 4
const UPPER = 5
const HIGH = 6
const MINOR = 7
const MAJOR = 8

const CLASS = buildClasses()

function buildClasses(): Uint8Array {
  const classes = new Uint8Array(256).fill(HIGH)
  for (let byte = 0; byte < 128; byte++) {
    const char = String.fromCharCode(byte)
    if (byte < 32 || byte === 127) classes[byte] = CONTROL
    else if (char >= '0' && char <= '9') classes[byte] = DIGIT
    else if (char >= 'a' && char <= 'z') classes[byte] = char <= 'f' ? LOWER_HEX : LOWER
    else if (char >= 'A' && char <= 'Z') classes[byte] = char <= 'F' ? UPPER_HEX : UPPER
    else classes[byte] = char === ':' || char === '/' || char === '|' ? MAJOR : MINOR
  }
  return classes
}

/** Whether this byte ends a token of a shape. */
export function isSeparator(byte: number): boolean {
  return (CLASS[byte] ?? HIGH) >= MINOR
}

export function isMinorSeparator(byte: number): boolean {
  return CLASS[byte] === MINOR
}

/** FNV-1a, to be continued from the hash of what came before. */
export function hashBytes(bytes: Uint8Array, start: number, end: number, hash: number = HASH_SEED): number {
  let h = hash
  for (let i = start; i < end; i++) h = Math.imul(h ^ (bytes[i] as number), HASH_PRIME)
  return h >>> 0
}

/** Places where names vary so much that they are ids too: hash of the shape up to there, to the hashes of the tokens that stay. */
export type Folds = ReadonlyMap<number, ReadonlySet<number>>

export interface Shaper {
  /** Finds the shape of a key: `bytes` up to `length` hold it until the next call. Returns its hash. */
  shape(key: Uint8Array, folds: Folds): number
  readonly bytes: Uint8Array
  length: number
}

export function createShaper(): Shaper {
  const out = new Uint8Array(SHAPE_BYTES + 2)
  let length = 0

  /** In place of what was copied since `mark`. */
  const star = (mark: number): void => {
    length = mark
    const last = out[length - 1] as number
    if (length >= 2 && out[length - 2] === STAR && isMinorSeparator(last)) length--
    else if (length === 0 || last !== STAR) out[length++] = STAR
  }

  /** Whether the token that was copied since `mark`, with so many digits, is an id; a number behind a name is starred here. */
  const isId = (key: Uint8Array, start: number, end: number, mark: number, digits: number, folds: Folds): boolean => {
    const size = end - start
    if (size === 0) return false
    if (digits === size) return true
    if (digits > 0 || size >= SHORTEST_RANDOM) {
      const literalEnd = literalPart(key, start, end)
      if (literalEnd === start) return true
      if (literalEnd < end) {
        length = mark + literalEnd - start
        out[length++] = STAR
      }
    }
    if (folds.size === 0) return false
    const path = hashBytes(out, 0, mark)
    const kept = folds.get(path)
    return kept !== undefined && !kept.has(hashBytes(out, mark, length, path))
  }

  return {
    bytes: out,
    length: 0,
    // biome-ignore lint/complexity/noExcessiveCognitiveComplexity: one loop over all bytes; calls for each would double its time
    shape(key, folds) {
      length = 0
      let segment = 0
      let segmentMark = 0
      let segmentDigits = 0
      let suspect = false
      let token = 0
      let mark = 0
      let digits = 0
      for (let i = 0; i <= key.length; i++) {
        if (i === token && key[i + 8] === DASH && isUuidAt(key, i)) {
          star(length)
          i += UUID_BYTES
          token = i
        }
        const kind = i < key.length ? (CLASS[key[i] as number] as number) : MAJOR
        if (kind < MINOR) {
          if (kind === DIGIT) digits++
          else if (kind === CONTROL) suspect = true
          // What is longer will be a star.
          if (i - token <= LONGEST_NAME) out[length++] = key[i] as number
        } else {
          if (isId(key, token, i, mark, digits, folds)) star(mark)
          segmentDigits += digits
          if (kind === MAJOR) {
            if ((suspect || (i - segment >= SHORTEST_RANDOM && segmentDigits >= 3)) && isIdSegment(key, segment, i))
              star(segmentMark)
          } else if (key[i] === AT) suspect = true
          if (i < key.length) out[length++] = key[i] as number
          token = i + 1
          digits = 0
          mark = length
          if (kind === MAJOR) {
            segment = token
            segmentMark = length
            segmentDigits = 0
            suspect = false
          }
        }
        if (length > SHAPE_BYTES - 1) {
          star(mark)
          break
        }
      }
      this.length = length
      return hashBytes(out, 0, length)
    },
  }
}

/** Segments that are ids whatever separators they hold: binary ones, mail addresses, random text of base64 alphabets. */
function isIdSegment(key: Uint8Array, start: number, end: number): boolean {
  let digits = 0
  let letters = 0
  let turns = 0
  let previous = -1
  let at = false
  for (let i = start; i < end; i++) {
    const kind = CLASS[key[i] as number] as number
    if (kind === CONTROL) return true
    if (kind === DIGIT) digits++
    else if (kind < MINOR) letters++
    else if (key[i] === 64 /* @ */ && i > start) at = true
    else if (at && key[i] === 46 /* . */) return true
    if (kind < MINOR) {
      if (isTurn(previous, kind)) turns++
      previous = kind
    }
  }
  return end - start >= SHORTEST_RANDOM && digits >= 3 && letters >= 6 && turns >= (digits + letters) * 0.4
}

/** A change between digits, small and capital letters; a capital that begins a word is none. */
function isTurn(previous: number, kind: number): boolean {
  if (previous < 0) return false
  const from = previous === DIGIT ? 0 : previous <= LOWER ? 1 : 2
  const to = kind === DIGIT ? 0 : kind <= LOWER ? 1 : 2
  return from !== to && !(from === 2 && to === 1)
}

function isUuidAt(key: Uint8Array, start: number): boolean {
  const end = start + UUID_BYTES
  if (end > key.length || (end < key.length && !isSeparator(key[end] as number))) return false
  for (let i = 0; i < UUID_BYTES; i++) {
    const byte = key[start + i] as number
    const kind = CLASS[byte] as number
    const isHex = kind === DIGIT || kind === LOWER_HEX || kind === UPPER_HEX
    if (i === 8 || i === 13 || i === 18 || i === 23 ? byte !== DASH : !isHex) return false
  }
  return true
}

/** What a token is made of. */
interface Makeup {
  size: number
  digits: number
  /** letters that no hexadecimal number has */
  foreign: number
  /** places between letters and digits, and the last of them */
  borders: number
  lastBorder: number
  turns: number
  startsWithDigit: boolean
}

/** One for all calls: this runs for every token of every key. */
const makeup: Makeup = { size: 0, digits: 0, foreign: 0, borders: 0, lastBorder: 0, turns: 0, startsWithDigit: false }

function lookAt(key: Uint8Array, start: number, end: number): Makeup {
  let digits = 0
  let foreign = 0
  let borders = 0
  let turns = 0
  let previous = -1
  for (let i = start; i < end; i++) {
    const kind = CLASS[key[i] as number] as number
    if (kind === DIGIT) digits++
    else if (kind !== LOWER_HEX && kind !== UPPER_HEX) foreign++
    if (previous >= 0 && (kind === DIGIT) !== (previous === DIGIT)) {
      borders++
      makeup.lastBorder = i
    }
    if (isTurn(previous, kind)) turns++
    previous = kind
  }
  makeup.size = end - start
  makeup.digits = digits
  makeup.foreign = foreign
  makeup.borders = borders
  makeup.turns = turns
  makeup.startsWithDigit = CLASS[key[start] as number] === DIGIT
  return makeup
}

/** Where the literal part of a token ends: its start for an id, its end for a name, between them for a name with a number (`user42`). */
function literalPart(key: Uint8Array, start: number, end: number): number {
  const token = lookAt(key, start, end)
  if (looksRandom(token)) return start
  if (token.digits === 0) return end
  if (token.borders === 1 && !token.startsWithDigit) return endOfName(key, start, token.lastBorder, end)
  return token.digits >= 4 || (token.startsWithDigit && token.digits >= 3) ? start : end
}

/** Numbers, hexadecimal digests, base62 and the like. */
function looksRandom({ size, digits, foreign, borders, turns, startsWithDigit }: Makeup): boolean {
  if (digits === size || size > LONGEST_NAME || (size >= SHORTEST_RANDOM && turns >= size * 0.35)) return true
  if (digits === 0) return foreign === 0 && size >= SHORTEST_RANDOM
  if (foreign === 0 && (size >= 6 || (size >= 4 && (borders >= 2 || startsWithDigit)))) return true
  return (size >= 12 && digits >= 2 && borders >= 4) || (size >= 6 && borders >= 3)
}

/** `v2` and `l1` are names; of `user42` only `user` is. */
function endOfName(key: Uint8Array, start: number, border: number, end: number): number {
  const first = key[start]
  const isVersion = border - start === 1 && (first === 118 || first === 86) && end - border <= 3
  return isVersion || end - start <= 2 ? end : border
}
