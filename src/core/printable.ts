// What came from Redis, made safe to show: nothing that moves the cursor, hides, or turns other text around gets out raw.
import { CachectlError } from './errors.ts'
import { INVISIBLE_ASTRAL, INVISIBLE_BMP, isWellFormed, LONE_SURROGATE } from './invisible.ts'

const ESCAPED = new RegExp(`[\\\\${INVISIBLE_BMP}]|${INVISIBLE_ASTRAL}|${LONE_SURROGATE}`, 'g')
const SUSPECT = new RegExp(`[\\\\\\uFFFD${INVISIBLE_BMP}\\uD800-\\uDFFF]`)
// C0 is left out: inside strings JSON.stringify has escaped it, outside it is the line break of the indentation.
const RAW_IN_JSON = new RegExp(`(?![\\x00-\\x1F])[${INVISIBLE_BMP}]|${INVISIBLE_ASTRAL}`, 'g')

/**
 * The text for a person: control, bidi and invisible characters as `\u{…}` (C0 and DEL as `\xNN`), a byte that is no valid UTF-8 as `\xNN`,
 * a backslash as `\\`. Two different byte strings never print the same; `unprintable` gives the bytes back.
 */
export function printable(text: string | Uint8Array): string {
  if (typeof text === 'string') return SUSPECT.test(text) ? text.replace(ESCAPED, escapeCharacter) : text
  const bytes = Buffer.from(text.buffer, text.byteOffset, text.byteLength)
  const decoded = bytes.toString('utf8')
  if (!SUSPECT.test(decoded)) return decoded
  // U+FFFD stands for itself in valid text only
  if (!decoded.includes('\uFFFD') || Buffer.from(decoded).equals(bytes))
    return decoded.replace(ESCAPED, escapeCharacter)
  return printInvalid(bytes)
}

function escapeCharacter(character: string): string {
  if (character === '\\') return '\\\\'
  const code = character.codePointAt(0) ?? 0
  return code < 0x80 ? `\\x${hex(code, 2)}` : `\\u{${hex(code, 1)}}`
}

function printInvalid(bytes: Buffer): string {
  let out = ''
  let valid = 0
  let at = 0
  while (at < bytes.length) {
    const length = sequenceLength(bytes, at)
    if (length > 0) {
      at += length
      continue
    }
    out += `${printable(bytes.toString('utf8', valid, at))}\\x${hex(bytes[at] ?? 0, 2)}`
    valid = ++at
  }
  return out + printable(bytes.toString('utf8', valid))
}

/** Bytes of the UTF-8 sequence that begins here; 0 when none does (Unicode 15, table 3-7). */
function sequenceLength(bytes: Uint8Array, at: number): number {
  const first = bytes[at] ?? 0
  if (first < 0x80) return 1
  const length = first < 0xc2 || first > 0xf4 ? 0 : first < 0xe0 ? 2 : first < 0xf0 ? 3 : 4
  if (at + length > bytes.length) return 0
  for (let i = 1; i < length; i++) if (((bytes[at + i] ?? 0) & 0xc0) !== 0x80) return 0
  const second = bytes[at + 1] ?? 0
  const overlong = (first === 0xe0 && second < 0xa0) || (first === 0xf0 && second < 0x90)
  const outside = (first === 0xed && second > 0x9f) || (first === 0xf4 && second > 0x8f)
  return overlong || outside ? 0 : length
}

/**
 * The bytes that `printable` printed; text without a backslash stands for itself.
 * @throws CachectlError USAGE on a backslash that `printable` never writes
 */
export function unprintable(text: string): Buffer {
  const parts: Buffer[] = []
  let from = 0
  for (const match of text.matchAll(/\\(?:\\|x([0-9A-Fa-f]{2})|u\{([0-9A-Fa-f]{1,6})\})?/g)) {
    parts.push(utf8(text.slice(from, match.index)))
    const [written, byte, code] = match
    if (byte !== undefined) parts.push(Buffer.of(Number.parseInt(byte, 16)))
    else if (code !== undefined) parts.push(codePoint(Number.parseInt(code, 16), written))
    else if (written === '\\\\') parts.push(Buffer.from('\\'))
    else throw notPrinted(`a single backslash at character ${match.index + 1}`)
    from = match.index + written.length
  }
  parts.push(utf8(text.slice(from)))
  return Buffer.concat(parts)
}

function codePoint(code: number, written: string): Buffer {
  if (code > 0x10ffff || (code >= 0xd800 && code <= 0xdfff)) throw notPrinted(`${written}, which is no character`)
  return Buffer.from(String.fromCodePoint(code))
}

function utf8(text: string): Buffer {
  if (!isWellFormed(text)) throw notPrinted('half a surrogate pair')
  return Buffer.from(text)
}

function notPrinted(what: string): CachectlError {
  return new CachectlError('USAGE', `the text holds ${what}`, {
    hint: 'write \\\\ for a backslash, \\xNN for a byte and \\u{…} for a character, as keys are printed',
  })
}

/**
 * JSON for people and pipes: JSON.stringify, with C1, DEL, bidi and invisible characters as `\uXXXX` too. BigInt and bytes are given as text, Map and
 * Set as arrays, NaN and the infinities as text.
 * @throws CachectlError USAGE when the value is nested too deeply to be written
 */
export function safeJson(value: unknown, indent?: number): string {
  let json: string | undefined
  try {
    json = JSON.stringify(value, showable, indent)
  } catch (error) {
    if (!(error instanceof RangeError)) throw error
    throw new CachectlError('USAGE', 'the value is nested too deeply to be shown as JSON', {
      hint: 'look at its bytes, with --raw',
      cause: error,
    })
  }
  return (json ?? 'null').replace(RAW_IN_JSON, unicodeEscape)
}

function showable(this: unknown, key: string, json: unknown): unknown {
  // a Buffer's toJSON has been called by now: the holder has the value itself
  const value = (this as Record<string, unknown>)[key]
  if (typeof value === 'bigint') return value.toString()
  if (typeof value === 'number' && !Number.isFinite(value)) return String(value)
  if (typeof value !== 'object' || value === null) return json
  if (Buffer.isBuffer(value)) return printable(value)
  if (value instanceof ArrayBuffer) return printable(new Uint8Array(value))
  if (value instanceof Map || value instanceof Set) return [...value]
  if (ArrayBuffer.isView(value) && !(value instanceof DataView)) return Array.from(value as Uint8Array)
  return json
}

function unicodeEscape(characters: string): string {
  let out = ''
  for (let i = 0; i < characters.length; i++) out += `\\u${hex(characters.charCodeAt(i), 4).toLowerCase()}`
  return out
}

function hex(code: number, digits: number): string {
  return code.toString(16).toUpperCase().padStart(digits, '0')
}
