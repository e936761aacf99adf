// How any text becomes a segment of a key and is read back: percent-encoding of what could clash, nothing else.
import { CachectlError } from './errors.ts'
import { INVISIBLE_ASTRAL, INVISIBLE_BMP, isWellFormed } from './invisible.ts'
import { printable } from './printable.ts'

/** What a segment never holds raw: characters with a meaning in keys, globs, hash tags and shells, white space, and whatever is invisible. */
const RESERVED = `[ :%~*?[\\]{}#&\\\\${INVISIBLE_BMP}]|${INVISIBLE_ASTRAL}`
const reserved = new RegExp(RESERVED)
const reservedAll = new RegExp(RESERVED, 'g')
/** Class of the characters that segments nearly always consist of: plain ASCII, which needs no closer look. */
export const PLAIN = '[!"$\'()+,\\-./0-9;<=>@A-Z^_`a-z|]'
const PLAIN_ASCII = new RegExp(`^${PLAIN}+$`)
const PLAIN_CODES = Uint8Array.from({ length: 128 }, (_, code) => (PLAIN_ASCII.test(String.fromCharCode(code)) ? 1 : 0))
/** Up to here looking at the characters takes less time than to begin a match. */
const SHORT_TEXT = 48

/** Whether the text is a segment of a key as it is, without a closer look. */
export function isPlain(text: string): boolean {
  const { length } = text
  if (length === 0 || length > SHORT_TEXT) return PLAIN_ASCII.test(text)
  for (let at = 0; at < length; at++) if (PLAIN_CODES[text.charCodeAt(at)] !== 1) return false
  return true
}

/** The text as a segment of a key. @throws CachectlError KEY_INVALID when it is empty or ill-formed; `what` names it in the message */
export function encodeText(text: string, what: string): string {
  if (isPlain(text)) return text
  checkText(text, what)
  return reserved.test(text) ? text.replace(reservedAll, percent) : text
}

/** The text that `encodeText` encoded; null for what it never writes. */
export function decodeText(encoded: string): string | null {
  if (isPlain(encoded)) return encoded
  if (encoded === '') return null
  const text = percentDecoded(encoded)
  return text !== null && isWellFormed(text) && text.replace(reservedAll, percent) === encoded ? text : null
}

/** UTF-8 bytes of the characters as `%XX`, upper case. */
export function percent(characters: string): string {
  let out = ''
  for (const byte of Buffer.from(characters)) out += `%${byte.toString(16).toUpperCase().padStart(2, '0')}`
  return out
}

/** `%XX` sequences as UTF-8; null where they are none. */
export function percentDecoded(encoded: string): string | null {
  if (!encoded.includes('%')) return encoded
  try {
    return decodeURIComponent(encoded)
  } catch {
    return null
  }
}

/** @throws CachectlError KEY_INVALID when the text is empty or ill-formed UTF-16 */
export function checkText(text: string, what: string): void {
  if (text === '') throw invalidKey(`${what} is empty`)
  if (!isWellFormed(text)) throw invalidKey(`${what} ${printable(text)} holds half a surrogate pair`)
}

/**
 * An id as the text of a segment: 42 and '42' are the same id.
 * @throws CachectlError KEY_INVALID when it is empty, ill-formed, or a number that JavaScript does not hold exactly
 */
export function idText(id: string | number | bigint): string {
  if (typeof id === 'string') {
    if (!isPlain(id)) checkText(id, 'the id')
    return id
  }
  if (typeof id === 'bigint') return id.toString()
  if (typeof id === 'number') return numberText(id, 'the id')
  throw invalidKey(`the id is ${id === null ? 'null' : `of type ${typeof id}`}`)
}

/** @throws CachectlError KEY_INVALID for NaN, the infinities and whole numbers beyond 2^53, where neighbours would share a key */
export function numberText(value: number, what: string): string {
  if (!Number.isFinite(value)) throw invalidKey(`${what} is ${value}`)
  if (Number.isInteger(value) && !Number.isSafeInteger(value)) {
    throw invalidKey(`${what} ${value} is beyond 2^53 and not exact: pass it as text or as a BigInt`)
  }
  return String(value)
}

export function invalidKey(message: string): CachectlError {
  return new CachectlError('KEY_INVALID', message)
}
