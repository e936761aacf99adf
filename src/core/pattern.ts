// Glob patterns with exactly Redis' meaning (stringmatchlen of util.c), over bytes and case-sensitive: what the server would match, we match.
import { CachectlError } from './errors.ts'
import { isWellFormed } from './invisible.ts'
import { printable } from './printable.ts'

const MAX_PATTERN_CHARACTERS = 1024
const MAX_STARS = 16

type Matcher = (key: Uint8Array | string) => boolean

/** A literal byte (0 to 255), one of the two below, or the set of bytes of a class. */
type Token = number | Uint8Array
const ANY = 256
const STAR = 257

/** The pattern that matches this text and nothing else. */
export function escapeGlob(text: string): string {
  return text.replace(/[*?[\]\\]/g, '\\$&')
}

/** The text that every match begins with. */
export function literalPrefix(pattern: string): string {
  const head = /^(?:[^*?[\\]|\\.|\\$)*/s.exec(pattern)?.[0] ?? ''
  return head.replace(/\\(.)/gs, '$1')
}

/**
 * Refuses patterns that no person writes and that cost the server time.
 * @throws CachectlError PATTERN_INVALID over 1,024 characters or 16 stars, or when the pattern is empty or no well-formed text
 */
export function assertPattern(pattern: string): void {
  if (pattern === '') throw invalid('the pattern is empty', 'write * for every key')
  if (pattern.length > MAX_PATTERN_CHARACTERS)
    throw invalid(`the pattern has ${pattern.length} characters, more than ${MAX_PATTERN_CHARACTERS}`)
  const shown = printable(pattern)
  if (!isWellFormed(pattern))
    throw invalid(`the pattern ${shown} holds half a surrogate pair`, 'write text that UTF-8 can hold')
  const stars = compileTokens(Buffer.from(pattern)).filter((token) => token === STAR).length
  if (stars > MAX_STARS) throw invalid(`the pattern ${shown} has ${stars} stars, more than ${MAX_STARS}`)
}

function invalid(message: string, hint?: string): CachectlError {
  return new CachectlError('PATTERN_INVALID', message, { hint })
}

/** A matcher of keys; text counts as its UTF-8 bytes. Its time grows with key length times pattern length, never faster. */
export function compileGlob(pattern: string | Uint8Array): Matcher {
  const bytes = typeof pattern === 'string' ? Buffer.from(pattern) : pattern
  const tokens = compileTokens(bytes)
  // KEYS and SCAN do not ask the matcher about `*`, and so it alone finds the key '' (measured; `**` does not)
  if (bytes.length === 1 && tokens[0] === STAR) return () => true
  // the server never looks at a pattern when the key is empty
  const matchesEmpty = tokens.length === 0
  return (key) => {
    const text = typeof key === 'string' ? Buffer.from(key) : key
    return text.length === 0 ? matchesEmpty : matchTokens(tokens, text)
  }
}

function matchTokens(tokens: readonly Token[], key: Uint8Array): boolean {
  let token = 0
  let at = 0
  let retryToken = -1
  let retryAt = 0
  while (at < key.length) {
    const expected = tokens[token]
    if (expected === STAR) {
      retryToken = ++token
      if (retryToken === tokens.length) return true
      retryAt = at
    } else if (expected !== undefined && matchesByte(expected, key[at] as number)) {
      token++
      at++
    } else if (retryToken >= 0) {
      // only the last star has to be tried again: an earlier one could but make the rest begin later
      token = retryToken
      at = ++retryAt
    } else return false
  }
  return token === tokens.length || (tokens[token] === STAR && token === tokens.length - 1)
}

function matchesByte(expected: Token, byte: number): boolean {
  return typeof expected === 'number' ? expected === byte || expected === ANY : expected[byte] === 1
}

function compileTokens(pattern: Uint8Array): Token[] {
  const tokens: Token[] = []
  let at = 0
  while (at < pattern.length) {
    const byte = pattern[at++] as number
    if (byte === 0x2a) {
      if (tokens.at(-1) !== STAR) tokens.push(STAR)
    } else if (byte === 0x3f) tokens.push(ANY)
    else if (byte === 0x5b) {
      const set = new Uint8Array(256)
      at = readClass(pattern, at, set)
      tokens.push(set)
    } else if (byte === 0x5c && at < pattern.length) tokens.push(pattern[at++] as number)
    else tokens.push(byte)
  }
  return tokens
}

/** Fills the set from the text behind `[`; returns where the pattern goes on. A class that is never closed ends with the pattern. */
function readClass(pattern: Uint8Array, start: number, set: Uint8Array): number {
  const negated = pattern[start] === 0x5e
  let at = negated ? start + 1 : start
  for (; at < pattern.length; at++) {
    const byte = pattern[at] as number
    const left = pattern.length - at
    if (byte === 0x5c && left >= 2) set[pattern[++at] as number] = 1
    else if (byte === 0x5d) break
    else if (left >= 3 && pattern[at + 1] === 0x2d) {
      addRange(set, byte, pattern[at + 2] as number)
      at += 2
    } else set[byte] = 1
  }
  if (negated) for (let i = 0; i < 256; i++) set[i] = set[i] === 1 ? 0 : 1
  return at + 1
}

/** Either end may come first (even a `]`), and the server compares them as signed bytes, as its `char` is on x86 and on macOS. */
function addRange(set: Uint8Array, from: number, to: number): void {
  const [low, high] = [signed(from), signed(to)].sort((a, b) => a - b) as [number, number]
  for (let value = low; value <= high; value++) set[value & 0xff] = 1
}

function signed(byte: number): number {
  return byte > 127 ? byte - 256 : byte
}

const PROBE_COUNT = 1024

/**
 * Whether the pattern matches all keys, or all but a few (`?*`, `[^x]*`, `***`), found by trying it on 1,024 keys of every kind: nine in ten are enough.
 * With `within`, the keys in question are those that begin with it: `*:*` matches everything within `shop:`, and so does `shop:*`.
 */
export function matchesEverything(pattern: string, within = ''): boolean {
  const matches = compileGlob(pattern)
  const head = Buffer.from(within)
  let matched = 0
  for (let i = 0; i < PROBE_COUNT; i++) if (matches(Buffer.concat([head, probe(i)]))) matched++
  return matched >= PROBE_COUNT * 0.9
}

/** 8 to 63 bytes of noise by a fixed generator (the LCG of Numerical Recipes); each byte begins four of the probes. */
function probe(index: number): Buffer {
  let state = index
  const next = () => {
    state = (Math.imul(state, 1664525) + 1013904223) >>> 0
    return state >>> 24
  }
  next()
  const bytes = Buffer.alloc(8 + (next() % 56))
  for (let i = 0; i < bytes.length; i++) bytes[i] = next()
  bytes[0] = index & 0xff
  return bytes
}
