// Entries as they stand in Redis: a header that can be read alone, then the value. Encoding refuses what would not come back equal; decoding never throws.
import { deflateRawSync, inflateRawSync } from 'node:zlib'
import {
  type BatchMeta,
  type Codec,
  createHeaderWriter,
  decodeHeader,
  type EntryHeader,
  type HeaderFailure,
  type RowMeta,
} from './entry-header.ts'
import { CachectlError } from './errors.ts'
import { isWellFormed } from './invisible.ts'
import { printable } from './printable.ts'
import { tagged, UnstorableError, untagged } from './tagged-json.ts'

export {
  type Codec,
  decodeHeader,
  type EntryHeader,
  HEADER_PROBE_BYTES,
  type HeaderFailure,
  lifetimeFields,
  type TagStamp,
} from './entry-header.ts'
export { compareVersions, type VersionOrder } from './version-order.ts'

/** A larger payload is neither written nor, by default, read. */
export const MAX_PAYLOAD_BYTES = 64 * 1024 * 1024

/** Measured on JSON rows of 1 to 60 KB against deflate 1 and 6 and brotli 1 and 4: the fastest to read, a third of the time of 6 to write, 1 to 2 % larger. */
const DEFLATE_LEVEL = 3

export type EntryMeta = BatchMeta & RowMeta & { compressAboveBytes: number | null }

/** Text where the payload is text, a Buffer where it is bytes, and how many bytes it takes. */
export interface EncodedEntry {
  bytes: string | Buffer
  sizeBytes: number
}

export type DecodedEntry =
  | { ok: true; header: EntryHeader; value: unknown }
  | { ok: false; reason: HeaderFailure | 'too large' }

/**
 * The value with its header: text where the payload is text, a Buffer where it is bytes.
 * @throws CachectlError USAGE, with the place in the value, when it would not come back equal (function, symbol, class instance, hole, cycle) or is over 64 MB
 */
export function encodeEntry(value: unknown, meta: EntryMeta): string | Buffer {
  return createEntryEncoder(meta)(value, meta).bytes
}

/** `encodeEntry` for many rows: what they share is written once. */
export function createEntryEncoder(
  meta: BatchMeta & { compressAboveBytes: number | null },
): (value: unknown, row: RowMeta) => EncodedEntry {
  const header = createHeaderWriter(meta)
  const compressAbove = meta.compressAboveBytes ?? Number.POSITIVE_INFINITY
  return (value, row) => {
    const { codec, payload } = encodePayload(value)
    const payloadBytes = Buffer.byteLength(payload)
    if (payloadBytes > MAX_PAYLOAD_BYTES)
      throw unstorable(`it has ${payloadBytes} bytes, more than ${MAX_PAYLOAD_BYTES}`)
    if (payloadBytes > compressAbove) {
      const deflated = deflateRawSync(payload, { level: DEFLATE_LEVEL })
      if (deflated.length < payloadBytes) return withBytes(header(`${codec}-deflated`, row, deflated.length), deflated)
    }
    const head = header(codec, row, payloadBytes)
    if (typeof payload !== 'string') return withBytes(head, payload)
    // the head is ASCII: counting the bytes of both together would cost as much as writing them
    return { bytes: head + payload, sizeBytes: head.length + payloadBytes }
  }
}

function withBytes(head: string, payload: Buffer): EncodedEntry {
  const bytes = Buffer.concat([Buffer.from(head, 'latin1'), payload])
  return { bytes, sizeBytes: bytes.length }
}

function encodePayload(value: unknown): { codec: 'json' | 'tagged' | 'text' | 'bytes'; payload: string | Buffer } {
  // ill-formed text is left to JSON, which escapes its lone surrogates
  if (typeof value === 'string' && isWellFormed(value)) return { codec: 'text', payload: value }
  if (Buffer.isBuffer(value)) return { codec: 'bytes', payload: value }
  try {
    const json = tagged(value)
    return { codec: json === value ? 'json' : 'tagged', payload: JSON.stringify(json) }
  } catch (error) {
    if (error instanceof UnstorableError) throw unstorable(`${pathText(error.path)} ${error.message}`)
    // thrown by the engine: no stack left, or no string that long
    if (error instanceof RangeError) throw unstorable('it is nested too deeply or too large')
    throw error
  }
}

function pathText(path: readonly (string | number)[]): string {
  let text = 'value'
  for (const step of path)
    text +=
      typeof step === 'number'
        ? `[${step}]`
        : /^[\p{L}_$][\p{L}\d_$]*$/u.test(step)
          ? `.${step}`
          : `[${JSON.stringify(step)}]`
  return printable(text.length > 300 ? `${text.slice(0, 150)}…${text.slice(-150)}` : text)
}

function unstorable(why: string): CachectlError {
  return new CachectlError('USAGE', `the value cannot be stored: ${why}`, {
    hint: 'give plain data: objects, arrays, text, numbers, Date, BigInt, Map, Set, Buffer or typed arrays',
  })
}

/** The entry in these bytes, or why there is none: each reason is a miss. Never throws; reads at most `maxBytes` of payload (64 MB), compressed or not. */
export function decodeEntry(bytes: Uint8Array, limits: { maxBytes?: number } = {}): DecodedEntry {
  const head = decodeHeader(bytes)
  if (!head.ok) return { ok: false, reason: head.reason }
  const { header, headerBytes } = head
  const maxBytes = limits.maxBytes ?? MAX_PAYLOAD_BYTES
  if (bytes.length < headerBytes + header.payloadBytes) return { ok: false, reason: 'truncated' }
  if (bytes.length > headerBytes + header.payloadBytes) return { ok: false, reason: 'corrupt' }
  if (header.payloadBytes > maxBytes) return { ok: false, reason: 'too large' }
  try {
    const buffer = Buffer.isBuffer(bytes) ? bytes : Buffer.from(bytes.buffer, bytes.byteOffset, bytes.byteLength)
    return { ok: true, header, value: decodePayload(buffer, headerBytes, header.codec, maxBytes) }
  } catch (error) {
    const tooLarge = (error as { code?: unknown } | null)?.code === 'ERR_BUFFER_TOO_LARGE'
    return { ok: false, reason: tooLarge ? 'too large' : 'corrupt' }
  }
}

/** The value that stands in these bytes from here on. */
function decodePayload(bytes: Buffer, from: number, codec: Codec, maxBytes: number): unknown {
  switch (codec) {
    case 'json':
      return JSON.parse(utf8(bytes, from))
    case 'tagged':
      return untagged(JSON.parse(utf8(bytes, from)))
    case 'text':
      return utf8(bytes, from)
    case 'bytes':
      // a copy: the value must not hold on to the whole reply, nor change with it
      return Buffer.from(bytes.subarray(from))
    default: {
      const inflated = inflateRawSync(bytes.subarray(from), { maxOutputLength: maxBytes })
      return decodePayload(inflated, 0, codec.slice(0, -'-deflated'.length) as Codec, maxBytes)
    }
  }
}

function utf8(bytes: Buffer, from: number): string {
  const text = bytes.toString('utf8', from)
  if (text.includes('\uFFFD') && !Buffer.from(text).equals(bytes.subarray(from)))
    throw new RangeError('the bytes are no UTF-8')
  return text
}
