// Values of every kind that entries hold, and entries of them.
import fc from 'fast-check'
import { decodeEntry, type EntryMeta, encodeEntry } from '../../src/core/entry.ts'
import { awkwardText } from './arbitrary.ts'

export const META: EntryMeta = {
  incarnation: 'abcdefgh-_ABCD12',
  createdAtMs: 1_763_690_645_123,
  freshUntilMs: 1_763_690_945_123,
  graceMs: 300_000,
  deltaMs: 12,
  writer: 'writer01',
  sourceVersion: '2026-11-21 03:04:05.123456+00',
  tags: [],
  compressAboveBytes: null,
}

export function bytesOf(value: unknown, meta: Partial<EntryMeta> = {}): Buffer {
  return Buffer.from(encodeEntry(value, { ...META, ...meta }))
}

export function roundTrip(value: unknown, meta: Partial<EntryMeta> = {}): unknown {
  const decoded = decodeEntry(bytesOf(value, meta))
  if (!decoded.ok) throw new Error(decoded.reason)
  return decoded.value
}

const leaf = fc.oneof(
  fc.string({ unit: 'binary' }),
  awkwardText,
  fc.string({ unit: 'binary' }).map((text) => `${text}\ud800`),
  fc.double(),
  fc.constantFrom<unknown>(
    null,
    undefined,
    true,
    false,
    -0,
    0,
    Number.NaN,
    Number.POSITIVE_INFINITY,
    Number.NEGATIVE_INFINITY,
  ),
  fc.bigInt(),
  fc.date({ noInvalidDate: true }),
  fc.uint8Array().map((bytes) => Buffer.from(bytes)),
  fc.uint8Array(),
  fc.int8Array(),
  fc.uint8ClampedArray(),
  fc.int16Array(),
  fc.uint16Array(),
  fc.int32Array(),
  fc.uint32Array(),
  fc.float32Array(),
  fc.float64Array(),
  fc.bigInt64Array(),
  fc.bigUint64Array(),
  fc.uint8Array().map((bytes) => Uint8Array.from(bytes).buffer),
  // a view into the middle of a larger buffer
  fc.uint8Array({ minLength: 8 }).map((bytes) => bytes.subarray(3, 7)),
)
const fieldName = fc.oneof(
  {
    weight: 2,
    arbitrary: fc.constantFrom(
      '~date',
      '~object',
      '~',
      '~map',
      '__proto__',
      'constructor',
      'prototype',
      'toString',
      '',
      '0',
      'a',
    ),
  },
  { weight: 1, arbitrary: fc.string({ unit: 'binary' }) },
)
/** Everything that comes back equal, nested. */
export const anyValue = fc.letrec<{ value: unknown }>((tie) => ({
  value: fc.oneof(
    { depthSize: 'small', withCrossShrink: true },
    leaf,
    fc.array(tie('value'), { maxLength: 4 }),
    fc.array(fc.tuple(fieldName, tie('value')), { maxLength: 4 }).map((fields) => {
      const object = {}
      for (const [name, value] of fields)
        Object.defineProperty(object, name, { value, enumerable: true, writable: true, configurable: true })
      return object
    }),
    fc.array(fc.tuple(tie('value'), tie('value')), { maxLength: 3 }).map((entries) => new Map(entries)),
    fc.array(tie('value'), { maxLength: 3 }).map((items) => new Set(items)),
  ),
})).value
