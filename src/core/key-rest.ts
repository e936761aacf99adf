// The rest of a key, behind its head: ids, parameters, list pages. Segments are texts in which `%5F` is an underscore of a parameter's name.
import { createHash } from 'node:crypto'
import { checkText, decodeText, encodeText, idText, invalidKey, isPlain, numberText, PLAIN } from './key-text.ts'

/** A longer rest is replaced by its digest. */
export const MAX_REST_BYTES = 200

/** Rests of plain segments, which nearly all are, need no decoding. */
const PLAIN_REST = new RegExp(`^(?:${PLAIN}|%5F)+(?::(?:${PLAIN}|%5F)+)*$`)

/** Behind `#`: 128 bits in base64url, whose last character holds two bits of them. */
const DIGEST = /^#[A-Za-z0-9_-]{21}[AQgw]$/

/** The segments encoded and joined, or `#` and a digest of that when it is longer than 200 bytes. @throws CachectlError KEY_INVALID on an empty segment */
export function encodeRest(segments: readonly string[], guardLabel: string | null): string {
  let rest = ''
  for (let i = 0; i < segments.length; i++)
    rest += i === 0 ? encodeSegment(segments[i]) : `:${encodeSegment(segments[i])}`
  // the digest does not depend on the guard, so the same rest has one digest everywhere
  if (isTooLong(rest)) return digestOf(rest)
  return guardLabel === null ? rest : guard(rest, guardLabel)
}

/** The digest that stands for a rest, without `#`; null when the rest is there itself. */
export function digestIn(text: string): string | null {
  return text.charCodeAt(0) === 0x23 && DIGEST.test(text) ? text.slice(1) : null
}

/** The segments of a rest; null for what `encodeRest` never writes. */
export function decodeRest(text: string, guardLabel: string | null): string[] | null {
  if (text === '') return []
  const encoded = guardLabel === null ? text : unguard(text, guardLabel)
  if (isTooLong(encoded)) return null
  const segments = encoded.split(':')
  if (PLAIN_REST.test(encoded)) return segments
  for (let i = 0; i < segments.length; i++) {
    const segment = decodeSegment(segments[i] as string)
    if (segment === null) return null
    segments[i] = segment
  }
  return segments
}

function isTooLong(rest: string): boolean {
  return rest.length * 3 > MAX_REST_BYTES && Buffer.byteLength(rest) > MAX_REST_BYTES
}

function digestOf(rest: string): string {
  return `#${createHash('sha256').update(rest).digest().subarray(0, 16).toString('base64url')}`
}

function encodeSegment(segment = ''): string {
  if (isPlain(segment)) return segment
  const encoded = encodeText(segment, 'a segment of the key')
  return encoded.includes('%255F') ? encoded.replaceAll('%255F', '%5F') : encoded
}

function decodeSegment(encoded: string): string | null {
  if (encoded.includes('%255F')) return null
  return decodeText(encoded.includes('%5F') ? encoded.replaceAll('%5F', '%255F') : encoded)
}

/**
 * In a key without tenant, a first segment `{label}_…` would read as one: its `_` becomes `%5F`, and a `%5F` that stands there becomes `%255F`,
 * which no segment holds. Both ways are one to one.
 */
function guard(rest: string, label: string): string {
  if (!rest.startsWith(label)) return rest
  if (rest.startsWith('_', label.length)) return `${label}%5F${rest.slice(label.length + 1)}`
  return rest.startsWith('%5F', label.length) ? `${label}%255F${rest.slice(label.length + 3)}` : rest
}

function unguard(rest: string, label: string): string {
  if (!rest.startsWith(label)) return rest
  if (rest.startsWith('%5F', label.length)) return `${label}_${rest.slice(label.length + 3)}`
  return rest.startsWith('%255F', label.length) ? `${label}%5F${rest.slice(label.length + 5)}` : rest
}

/**
 * Parameters as segments `name_value`, sorted by name; equal for the same parameters in another order, different for different ones:
 * an absent (or undefined) one has no segment, null is `name`, empty text `name_`, a list its values one by one in their order, an empty list `name%`.
 * Numbers, booleans and BigInts are their text (1 and '1' are the same, as in a URL), a Date its ISO form in UTC.
 * @throws CachectlError KEY_INVALID for objects, functions, lists in lists, NaN
 */
export function parameterSegments(params: Readonly<Record<string, unknown>>): string[] {
  const segments: string[] = []
  for (const name of Object.keys(params).sort()) {
    const value = params[name]
    if (value === undefined) continue
    const text = parameterName(name)
    if (!Array.isArray(value)) segments.push(parameterSegment(text, value, name))
    else if (value.length === 0) segments.push(`${text}%`)
    else for (const item of value) segments.push(parameterSegment(text, item, name))
  }
  return segments
}

/** Without a raw `_`, which ends the name, and without a raw `%`, so that `%5F` in it can only be an underscore. */
export function parameterName(name: string): string {
  checkText(name, 'the name of a parameter')
  return name.replace(/[%_]/g, (character) => (character === '_' ? '%5F' : '%25'))
}

function parameterSegment(name: string, value: unknown, plainName: string): string {
  return value === null ? name : `${name}_${parameterText(value, plainName)}`
}

function parameterText(value: unknown, name: string): string {
  const what = `the parameter ${name}`
  switch (typeof value) {
    case 'string':
      if (value !== '') checkText(value, what)
      return value
    case 'number':
      return numberText(value, what)
    case 'boolean':
    case 'bigint':
      return String(value)
    default:
      if (value instanceof Date && !Number.isNaN(value.getTime())) return value.toISOString()
      throw invalidKey(`${what} is no text, number, boolean, BigInt, valid date or null`)
  }
}

/** Rest of a page of a list: `all:country_DE:page_1:size_20`. `null` is the list of all rows. */
export function listRest(
  list: string | null,
  filters: Readonly<Record<string, unknown>>,
  page: number,
  size: number,
): string[] {
  return [...countRest(list, filters), `page_${pageNumber(page, 'page')}`, `size_${pageNumber(size, 'page size')}`]
}

/** Rest of a count: `all:country_DE`. */
export function countRest(list: string | null, filters: Readonly<Record<string, unknown>>): string[] {
  return [list === null ? 'all' : idText(list), ...parameterSegments(filters)]
}

function pageNumber(value: number, what: string): number {
  if (!Number.isSafeInteger(value) || value < 0) throw invalidKey(`the ${what} ${value} is no whole number`)
  return value
}
