// The head of an entry: 76 characters of ASCII at fixed places, then source version and tags. Can be read without the payload.
import { CachectlError } from './errors.ts'

/** How the payload is written; the `deflated` ones are compressed with raw deflate. */
export type Codec =
  | 'json'
  | 'tagged'
  | 'text'
  | 'bytes'
  | 'json-deflated'
  | 'tagged-deflated'
  | 'text-deflated'
  | 'bytes-deflated'

export interface EntryHeader {
  format: 1
  codec: Codec
  /** id of the control data's history that the entry belongs to: 16 characters of base64url */
  incarnation: string
  createdAtMs: number
  /** null: never stale */
  freshUntilMs: number | null
  /** how long beyond `freshUntilMs` the entry may still be given, as stale */
  graceMs: number
  /** how long its value took to compute */
  deltaMs: number
  /** who wrote it: 1 to 8 characters of base64url */
  writer: string
  /** `updated_at` or row version of its source, as the source wrote it */
  sourceVersion: string | null
  tags: readonly TagStamp[]
  payloadBytes: number
}

/** The stamp that a tag had before the value was loaded. */
export interface TagStamp {
  tag: string
  stamp: string
}

export type HeaderFailure = 'foreign' | 'truncated' | 'corrupt' | 'format'

export type DecodedHeader =
  | { ok: true; header: EntryHeader; headerBytes: number }
  /** `needBytes`: with so many bytes of the value the header can be read; a value that has no more is broken */
  | { ok: false; reason: HeaderFailure; needBytes?: number }

/** Enough for the header with a source version and a few tags. */
export const HEADER_PROBE_BYTES = 256

const MAGIC = 'cctl'
const FORMAT = '1'
const FIXED_BYTES = 76
const NEVER = '---------'
const NO_VERSION = '--'

const CODEC_LETTERS: Readonly<Record<Codec, string>> = {
  json: 'j',
  tagged: 't',
  text: 's',
  bytes: 'b',
  'json-deflated': 'J',
  'tagged-deflated': 'T',
  'text-deflated': 'S',
  'bytes-deflated': 'B',
}
const CODECS = new Map(Object.entries(CODEC_LETTERS).map(([codec, letter]) => [letter, codec as Codec]))

/** What is the same for all entries of a batch. */
export type BatchMeta = Pick<EntryHeader, 'incarnation' | 'graceMs' | 'writer' | 'tags'>
export type RowMeta = Pick<EntryHeader, 'createdAtMs' | 'freshUntilMs' | 'deltaMs' | 'sourceVersion'>

/**
 * A writer of headers for one batch. Times are whole milliseconds (rounded down); a delta beyond 25 days counts as 25 days.
 * @throws CachectlError UNEXPECTED when incarnation, writer or a time cannot stand in a header
 */
export function createHeaderWriter(meta: BatchMeta): (codec: Codec, row: RowMeta, payloadBytes: number) => string {
  if (!/^[\w-]{16}$/.test(meta.incarnation)) throw unfit('incarnation', meta.incarnation)
  if (!/^[\w-]{1,8}$/.test(meta.writer)) throw unfit('writer', meta.writer)
  const batch = meta.incarnation + base36(meta.graceMs, 9, 'graceMs') + meta.writer.padEnd(8, '.')
  const tags = meta.tags.map(({ tag, stamp }) => `${asciiText(tag)}=${asciiText(stamp)}`).join(';')
  const tagsLength = base36(tags.length, 4, 'length of the tags')
  const createdText = remembering((createdAtMs) => base36(createdAtMs, 9, 'createdAtMs'))
  const deltaText = remembering((deltaMs) => base36(Math.min(deltaMs, 36 ** 6 - 1), 6, 'deltaMs'))
  return (codec, { createdAtMs, freshUntilMs, deltaMs, sourceVersion }, payloadBytes) => {
    const created = createdText(createdAtMs)
    const fresh = freshUntilMs === null ? NEVER : base36(freshUntilMs, 9, 'freshUntilMs')
    const delta = deltaText(deltaMs)
    const version = sourceVersion === null ? '' : asciiText(sourceVersion)
    const versionLength =
      sourceVersion === null ? NO_VERSION : base36(version.length, 2, 'length of the source version')
    const lengths = versionLength + tagsLength + base36(payloadBytes, 7, 'payloadBytes')
    return MAGIC + FORMAT + CODEC_LETTERS[codec] + batch + created + fresh + delta + lengths + version + tags
  }
}

/** Grace and fresh-until as they stand in a header: for a script that changes them in place, at offsets 22 and 48. */
export function lifetimeFields(graceMs: number, freshUntilMs: number | null): { grace: string; freshUntil: string } {
  return {
    grace: base36(graceMs, 9, 'graceMs'),
    freshUntil: freshUntilMs === null ? NEVER : base36(freshUntilMs, 9, 'freshUntilMs'),
  }
}

/** Rows of a batch are written in the same millisecond, and took the same time. */
function remembering(write: (value: number) => string): (value: number) => string {
  let last = Number.NaN
  let text = ''
  return (value) => {
    if (value !== last) {
      text = write(value)
      last = value
    }
    return text
  }
}

const ZEROS = Array.from({ length: 10 }, (_, count) => '0'.repeat(count))
const LOW = 36 ** 5

function base36(value: number, digits: number, what: string): string {
  const whole = Math.floor(value)
  // in two small integers a time takes a quarter of the time that it takes in one large number
  const high = Math.floor(whole / LOW)
  const text = high === 0 ? whole.toString(36) : high.toString(36) + padded((whole - high * LOW).toString(36), 5)
  if (text.length > digits || !(value >= 0)) throw unfit(what, String(value))
  return padded(text, digits)
}

function padded(text: string, digits: number): string {
  return (ZEROS[digits - text.length] as string) + text
}

function unfit(what: string, value: string): CachectlError {
  return new CachectlError('UNEXPECTED', `${what} ${JSON.stringify(value)} cannot stand in the header of an entry`)
}

/** Printable ASCII as it is; `%`, `=`, `;` and all else as `%XX`. Surrogates without their half become U+FFFD. */
function asciiText(text: string): string {
  return /^[ -$&-:<>-~]*$/.test(text) ? text : text.replace(/[^ -$&-:<>-~]+/g, percent)
}

function percent(characters: string): string {
  let out = ''
  for (const byte of Buffer.from(characters)) out += `%${byte.toString(16).toUpperCase().padStart(2, '0')}`
  return out
}

function plainText(ascii: string): string | null {
  if (!/^[ -~]*$/.test(ascii)) return null
  if (!ascii.includes('%')) return ascii
  try {
    return decodeURIComponent(ascii)
  } catch {
    return null
  }
}

/** The header of the entry that begins with these bytes. Never throws. */
export function decodeHeader(bytes: Uint8Array): DecodedHeader {
  const buffer = Buffer.isBuffer(bytes) ? bytes : Buffer.from(bytes.buffer, bytes.byteOffset, bytes.byteLength)
  if (buffer.length < FIXED_BYTES || buffer.readUInt32BE(0) !== MAGIC_NUMBER || buffer[4] !== FORMAT_BYTE)
    return { ok: false, ...strange(buffer) }
  const codec = CODECS_BY_BYTE[buffer[5] as number]
  const versionBytes = buffer[63] === DASH && buffer[64] === DASH ? -1 : number(buffer, 63, 65)
  const tagsBytes = number(buffer, 65, 69)
  const payloadBytes = number(buffer, 69, 76)
  const createdAtMs = number(buffer, 39, 48)
  const freshUntilMs = buffer[48] === DASH ? (isNever(buffer) ? null : Number.NaN) : number(buffer, 48, 57)
  const deltaMs = number(buffer, 57, 63)
  const numbers = versionBytes + tagsBytes + payloadBytes + createdAtMs + (freshUntilMs ?? 0) + deltaMs
  const shared = lastShared !== null && isShared(buffer, lastShared.bytes) ? lastShared : readShared(buffer)
  if (codec === undefined || Number.isNaN(numbers) || shared === null) return { ok: false, reason: 'corrupt' }
  lastShared = shared
  const { incarnation, graceMs, writer } = shared
  const versionEnd = FIXED_BYTES + Math.max(0, versionBytes)
  const headerBytes = versionEnd + tagsBytes
  if (buffer.length < headerBytes) return { ok: false, reason: 'truncated', needBytes: headerBytes }
  const sourceVersion = versionBytes < 0 ? null : plainText(buffer.toString('latin1', FIXED_BYTES, versionEnd))
  const tags = tagsBytes === 0 ? NO_TAGS : parseTags(buffer.toString('latin1', versionEnd, headerBytes))
  if (!tags || (versionBytes >= 0 && sourceVersion === null)) return { ok: false, reason: 'corrupt' }
  const header: EntryHeader = {
    format: 1,
    codec,
    incarnation,
    createdAtMs,
    freshUntilMs,
    graceMs,
    deltaMs,
    writer,
    sourceVersion,
    tags,
    payloadBytes,
  }
  return { ok: true, header, headerBytes }
}

/** What entries share that one process wrote under one history and one grace, as nearly all that are read one after the other do. */
type Shared = Pick<EntryHeader, 'incarnation' | 'graceMs' | 'writer'> & { bytes: Uint8Array }

const SHARED_FROM = 6
const SHARED_TO = 39

/** of the header that was decoded last: comparing its bytes takes a fifth of reading them */
let lastShared: Shared | null = null

function isShared(buffer: Buffer, bytes: Uint8Array): boolean {
  for (let at = SHARED_FROM; at < SHARED_TO; at++) if (buffer[at] !== bytes[at - SHARED_FROM]) return false
  return true
}

/** Null: they are none. */
function readShared(buffer: Buffer): Shared | null {
  const incarnation = buffer.toString('latin1', 6, 22)
  const graceMs = number(buffer, 22, 31)
  const writer = buffer.toString('latin1', 31, 39)
  if (!INCARNATION.test(incarnation) || Number.isNaN(graceMs) || !WRITER.test(writer)) return null
  const bytes = Uint8Array.prototype.slice.call(buffer, SHARED_FROM, SHARED_TO)
  return { incarnation, graceMs, writer: writer.replace(/\.+$/, ''), bytes }
}

/** Of what does not begin as an entry of this format with all of its fixed part. */
function strange(buffer: Buffer): { reason: HeaderFailure; needBytes?: number } {
  const fixed = buffer.toString('latin1', 0, Math.min(buffer.length, FIXED_BYTES))
  if (fixed === '' || !(fixed.startsWith(MAGIC) || MAGIC.startsWith(fixed))) return { reason: 'foreign' }
  if (fixed.length > MAGIC.length && fixed[MAGIC.length] !== FORMAT) return { reason: 'format' }
  return { reason: 'truncated', needBytes: FIXED_BYTES }
}

const MAGIC_NUMBER = 0x6363746c
const FORMAT_BYTE = 0x31
const DASH = 0x2d
const INCARNATION = /^[\w-]{16}$/
const WRITER = /^[\w-][\w.-]{7}$/
const NO_TAGS: readonly TagStamp[] = []
const CODECS_BY_BYTE: (Codec | undefined)[] = []
for (const [letter, codec] of CODECS) CODECS_BY_BYTE[letter.charCodeAt(0)] = codec

function isNever(buffer: Buffer): boolean {
  for (let at = 48; at < 57; at++) if (buffer[at] !== DASH) return false
  return true
}

/** NaN where one of these bytes is no digit of base 36, lower case. */
function number(buffer: Buffer, from: number, to: number): number {
  let value = 0
  for (let at = from; at < to; at++) {
    const byte = buffer[at] as number
    if (byte >= 0x30 && byte <= 0x39) value = value * 36 + byte - 0x30
    else if (byte >= 0x61 && byte <= 0x7a) value = value * 36 + byte - 0x57
    else return Number.NaN
  }
  return value
}

function parseTags(text: string): readonly TagStamp[] | null {
  if (text === '') return []
  const tags: TagStamp[] = []
  for (const part of text.split(';')) {
    const [tag, stamp, ...more] = part.split('=').map(plainText)
    if (typeof tag !== 'string' || typeof stamp !== 'string' || more.length > 0) return null
    tags.push({ tag, stamp })
  }
  return tags
}
